package transfer

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// packer is one run of Pack.
type packer struct {
	outputs
	sources Sources
	options PackOptions
	images  map[digest.Digest]string
	// cuts are the cut blobs of each volume.
	cuts map[int][]*bundle.Blob

	// done are the volumes that have their final name, stands what stands of
	// volumes on the media that are there, done or not.
	done   map[int]bundle.Volume
	stands map[int]*stand
	// lacks are the members that volumes which are done lack.
	lacks map[int][]bundle.Member
	made  []int
	// earlier are the numbers of the volumes that are left to media which were
	// in the drive before.
	earlier []int
	// queue are the volumes that are to be made and not begun, ascending.
	queue []int
	// open are those being made that have no final name yet: the one being
	// written, last, and before it those that end in a part of a blob which is
	// not checked to its end.
	open []openVolume
	// pending are the cut blobs that are not checked to their end. Of those that
	// are, sums are the SHA-256 of the extents; held are those of the extents in
	// volumes. Where the two differ, the volume is wrong.
	pending map[digest.Digest]bool
	sums    map[digest.Digest][]digest.Digest
	held    map[memberKey]digest.Digest
	// old are partial volumes that are made again: what they hold is taken over.
	old map[int]*stand
	// early are, for cut blobs, the volumes that got their final name before the
	// blob was checked, because their medium left.
	early map[digest.Digest][]int
	// todo are the members that are to be written.
	todo map[memberKey]bool
	// gone are the blobs that are left out: by this run, gaveUp, and by others.
	gone, gaveUp map[digest.Digest]bundle.Missing
	// inventory is one of the plan that lies on a medium, with its ID.
	inventory   *bundle.Inventory
	inventoryID digest.Digest
}

type openVolume struct {
	*bundle.VolumeWriter
	number, output int
}

func (p *packer) tell(e Event) { tell(p.options.Progress, e) }

func (p *packer) close() error {
	var errs []error
	for _, w := range p.open {
		errs = append(errs, w.Close())
	}
	return errors.Join(errs...)
}

// errReplan says that what is to be done must be found out anew, since another
// medium is there or a volume is begun again.
var errReplan = errors.New("satchel: internal: plan anew")

// write makes the volumes in the queue. A blob with the wrong digest is fetched
// again once: its volumes are cut back to where it began.
func (p *packer) write(ctx context.Context) error {
	var again digest.Digest
	first := true
	for {
		jobs := p.jobs()
		if first {
			p.tell(Event{Kind: Writing, Bytes: bytesOf(jobs)})
			first = false
		}
		failed, err := p.fetch(ctx, jobs)
		if err == nil {
			err = p.finishAll(ctx)
		}
		if medium := (*mediumError)(nil); errors.As(err, &medium) && isFull(err) && ctx.Err() == nil {
			err = p.leave(ctx, medium.output, medium)
		}
		switch {
		case errors.Is(err, errReplan):
			continue
		case failed == nil || ctx.Err() != nil:
			return err
		}
		source, mismatch := (*sourceError)(nil), (*oci.MismatchError)(nil)
		if !errors.As(err, &source) {
			return err
		}
		if errors.As(err, &mismatch) {
			d := failed.blob.Digest
			if volumes := p.early[d]; len(volumes) > 0 {
				return &SpoiledError{Digest: d, Volumes: volumes, Err: err}
			}
			if again != d {
				again = d
				p.tell(Event{Kind: BlobRefetched, Digest: d, Err: err})
				continue
			}
		}
		if !p.giveUp(failed, err) {
			return err
		}
	}
}

// giveUp leaves a blob out, if that is asked for and nothing of it stands.
func (p *packer) giveUp(j *job, err error) bool {
	absent := isAbsence(j.blob.Origin, err)
	if absent && !p.options.SkipMissing || !absent && !p.options.KeepGoing {
		return false
	}
	if len(p.early[j.blob.Digest]) > 0 || slices.ContainsFunc(p.parts(j.blob), func(part part) bool { return part.stand != nil }) {
		return false
	}
	reason := err
	for inner := errors.Unwrap(reason); inner != nil; inner = errors.Unwrap(reason) {
		reason = inner // the rest says which blob it is about
	}
	if local := j.blob.Origin.Local; local != "" {
		reason = fmt.Errorf("local source %s does not give it", local) // its error has a path
	}
	d := j.blob.Digest
	p.gaveUp[d] = bundle.Missing{Digest: d, Image: p.images[d], Reason: bundle.CleanReason(reason.Error())}
	p.gone[d] = p.gaveUp[d]
	delete(p.pending, d)
	p.tell(Event{Kind: BlobLeftOut, Digest: d, Image: p.images[d], Err: err})
	return true
}

// sourceError is an error of where a blob comes from.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

// mediumError is an error of writing to a medium.
type mediumError struct {
	output int // its index
	name   string
	err    error
}

func (e *mediumError) Error() string { return e.name + ": " + e.err.Error() }
func (e *mediumError) Unwrap() error { return e.err }

// onMedium says which medium an error is about, unless it is about something else.
func (p *packer) onMedium(i int, err error) error {
	source, damage, medium := (*sourceError)(nil), (*bundle.DamageError)(nil), (*mediumError)(nil)
	if err == nil || errors.Is(err, errReplan) || errors.As(err, &source) || errors.As(err, &damage) || errors.As(err, &medium) {
		return err
	}
	return &mediumError{i, p.all[i].Name, err}
}

// fetch does the jobs. On failure it returns the job that failed, whose volumes
// are cut back to its beginning when the run may go on.
func (p *packer) fetch(ctx context.Context, jobs []*job) (*job, error) {
	var pieces []piece
	for _, j := range jobs {
		pieces = append(pieces, j.pieces...)
	}
	w := newWindow(ctx, p.sources.open, pieces, p.options.Buffer, p.options.Jobs)
	defer w.Close()
	for _, j := range jobs {
		parts := &partsReader{ctx: ctx, packer: p, window: w, parts: j.parts}
		err := p.do(ctx, j, parts)
		source, mismatch := (*sourceError)(nil), (*oci.MismatchError)(nil)
		switch {
		case err == nil:
			continue
		case errors.As(err, &mismatch):
			return j, err
		case ctx.Err() != nil:
			return j, ctx.Err()
		case !errors.As(err, &source) || !p.giveUp(j, err):
			return j, err
		}
		// What is on its way for the blobs behind this one stays.
		if err := parts.pass(); err != nil {
			return j, err
		}
	}
	return nil, nil
}

// do writes one blob, in as many volumes as it needs.
func (p *packer) do(ctx context.Context, j *job, parts *partsReader) error {
	gate, err := oci.NewReader(parts, j.blob.Descriptor())
	if err != nil {
		return err
	}
	counted := &countingReader{r: markSource{gate}, progress: p.options.Progress}
	if err = p.doParts(ctx, j, counted); err == nil {
		delete(p.pending, j.blob.Digest)
		return p.commitWhole(ctx)
	}
	p.tell(Event{Kind: BytesMoved, Bytes: -counted.n})
	if source := (*sourceError)(nil); errors.As(err, &source) {
		err = source // which volume it was for is of no interest
	}
	if !errors.Is(err, errReplan) {
		err = &BlobError{Digest: j.blob.Digest, Where: originName(j.blob.Origin), Image: p.images[j.blob.Digest], Err: err}
	}
	if closing := parts.closeMedium(); closing != nil {
		err = errors.Join(err, closing)
	}
	if !p.mayGoOn(ctx, err) {
		return err // what stands of the blob is for the next run
	}
	if undo := p.undo(j.blob); undo != nil {
		// Not wrapped: over a volume that is half undone, nothing may be fetched
		// again.
		return fmt.Errorf("%w, after %v", undo, err)
	}
	return err
}

// mayGoOn reports whether this run may write the blob again, or do without it.
func (p *packer) mayGoOn(ctx context.Context, err error) bool {
	source, mismatch := (*sourceError)(nil), (*oci.MismatchError)(nil)
	switch {
	case errors.Is(err, errReplan):
		return true
	case ctx.Err() != nil || !errors.As(err, &source):
		return false
	}
	return errors.As(err, &mismatch) || p.options.KeepGoing || p.options.SkipMissing
}

func (p *packer) doParts(ctx context.Context, j *job, r *countingReader) error {
	var sums []digest.Digest
	for _, part := range j.parts {
		if part.made {
			if err := p.advance(ctx, part.member); err != nil {
				return err
			}
		}
		if r.sum = nil; part.member.Extent > 0 {
			r.sum = sha256.New()
		}
		if err := p.doPart(part, r); err != nil {
			return err
		}
		if r.sum == nil {
			continue
		}
		sums = append(sums, digest.NewDigest(digest.SHA256, r.sum))
		if part.made {
			p.held[memberKey{j.blob.Digest, part.member.Start}] = sums[len(sums)-1]
		}
	}
	if sums != nil {
		p.sums[j.blob.Digest] = sums
	}
	return nil
}

// doPart writes a part, or only reads it.
func (p *packer) doPart(part part, r *countingReader) error {
	if part.write {
		w := p.open[len(p.open)-1]
		return p.onMedium(w.output, w.WriteMember(r))
	}
	r.silent = true
	if n, err := io.CopyN(io.Discard, r, part.member.Size); err != nil {
		return fmt.Errorf("after %d bytes: %w", n, noEOF(err))
	}
	if part.member.Last() {
		if _, err := r.Read(make([]byte, 1)); err != io.EOF {
			return err
		}
	}
	r.silent = false
	return nil
}

// judge sees to it that the extents of every cut blob, wherever they lie, are
// that blob together: those that were never read one behind the other are
// compared with what the source gives.
func (p *packer) judge(ctx context.Context) error {
	plan := p.prologue.Plan()
	var jobs []*job
	for i := range plan.Blobs {
		b := &plan.Blobs[i]
		if _, gone := p.gone[b.Digest]; gone || len(b.Extents) == 0 || p.sums[b.Digest] != nil {
			continue
		}
		j := &job{blob: b, pieces: []piece{{b, 0, b.Size}}}
		for _, m := range membersOf(b) {
			j.parts = append(j.parts, part{member: m})
		}
		jobs = append(jobs, j)
	}
	if _, err := p.fetch(ctx, jobs); err != nil {
		return err
	}
	for i := range plan.Blobs {
		b := &plan.Blobs[i]
		if _, gone := p.gone[b.Digest]; gone || len(b.Extents) == 0 {
			continue
		}
		wrong := &SpoiledError{Digest: b.Digest}
		for k, m := range membersOf(b) {
			if p.held[memberKey{b.Digest, m.Start}] != p.sums[b.Digest][k] {
				wrong.Volumes = append(wrong.Volumes, p.volumeOf(m))
			}
		}
		if len(wrong.Volumes) > 0 {
			return wrong
		}
	}
	return nil
}

// undo cuts back what is open to where a blob began, and forgets what stood of it
// there.
func (p *packer) undo(b *bundle.Blob) error {
	volumes := b.VolumesOf()
	first := slices.IndexFunc(p.open, func(w openVolume) bool { return slices.Contains(volumes, w.number) })
	if first < 0 {
		return nil
	}
	for _, w := range p.open[first+1:] {
		if err := w.Close(); err != nil {
			return err
		}
		delete(p.stands, w.number)
		p.queue = append(p.queue, w.number)
	}
	slices.Sort(p.queue)
	p.open = p.open[:first+1]
	p.stands[p.open[first].number].cutBack(b)
	return p.open[first].Undo(b)
}

// isFull reports whether an error is that of a medium without room.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) }
