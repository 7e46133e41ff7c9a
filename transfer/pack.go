package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// Defaults of PackOptions.
const (
	DefaultBuffer = 256 << 20
	DefaultJobs   = 8
)

// PackOptions say how blobs are fetched.
type PackOptions struct {
	// Buffer is how many bytes may wait between network and volume; 0 means
	// DefaultBuffer.
	Buffer int64
	// Jobs is the number of connections; 0 means DefaultJobs.
	Jobs     int
	Progress func(Event)
}

// SpaceError says that a medium has too little room for what is planned.
type SpaceError struct{ Need, Free int64 } // bytes

func (e *SpaceError) Error() string {
	return fmt.Sprintf("%d bytes are needed, %d are free", e.Need, e.Free)
}

// OccupiedError says that a directory holds something that packing would
// replace.
type OccupiedError struct{ Name string }

func (e *OccupiedError) Error() string {
	return fmt.Sprintf("%s is there already, of this bundle or another", e.Name)
}

// BlobError says which image a failure is about. What failed with which blob, Err
// says; where a wrong blob came from, which it cannot know, Where adds.
type BlobError struct {
	Digest digest.Digest
	// Where the blob comes from, or goes to: a repository, URL or label.
	Where string
	// Image is the reference of one image that needs it.
	Image string
	Err   error
}

func (e *BlobError) Error() string {
	if mismatch := (*oci.MismatchError)(nil); errors.As(e.Err, &mismatch) {
		return fmt.Sprintf("image %s: %s gave a wrong blob: %v", e.Image, e.Where, e.Err)
	}
	return fmt.Sprintf("image %s: %v", e.Image, e.Err)
}

func (e *BlobError) Unwrap() error { return e.Err }

// Pack writes the volumes of a plan into dir and, at the end, the inventory. It
// locks dir, which stays locked until the caller closes it, and checks first that nothing is in the way and that there is room. Volumes get
// their final names in order, each as soon as all blobs in it are checked. It
// returns what the inventory says, and the bundle ID.
func Pack(ctx context.Context, dir bundle.Dir, prologue *bundle.Prologue, sources Sources, o PackOptions) (*bundle.Inventory, digest.Digest, error) {
	if o.Buffer == 0 {
		o.Buffer = DefaultBuffer
	}
	if o.Jobs == 0 {
		o.Jobs = DefaultJobs
	}
	if err := dir.Lock(); err != nil {
		return nil, "", fmt.Errorf("locking the output directory: %w", err)
	}
	if err := CheckVacant(dir); err != nil {
		return nil, "", err
	}
	if err := checkRoom(dir, prologue); err != nil {
		return nil, "", err
	}
	p := &packer{dir: dir, prologue: prologue, sources: sources, options: o, images: imagesOf(prologue)}
	if err := p.run(ctx); err != nil {
		return nil, "", errors.Join(err, p.close())
	}
	return bundle.Finish(dir, prologue, p.written)
}

// CheckVacant refuses a directory that holds something which packing would
// replace, with an [*OccupiedError]. Pack does so itself; asking before the plan
// is made spares waiting for it.
func CheckVacant(dir bundle.Dir) error {
	names, err := dir.Names()
	if err != nil {
		return fmt.Errorf("listing the output directory: %w", err)
	}
	for _, name := range names {
		if bundle.IsFinalName(name) {
			return &OccupiedError{Name: name}
		}
	}
	return nil
}

// checkRoom refuses a medium with too little room for the plan.
func checkRoom(dir bundle.Dir, prologue *bundle.Prologue) error {
	free, err := dir.Free()
	if err != nil || free < 0 {
		return nil // unknown: the write will tell
	}
	need := bundle.SmallFilesSize(prologue)
	sizes, _ := prologue.VolumeSizes()
	for _, size := range sizes {
		need += size
	}
	if need > free {
		return &SpaceError{Need: need, Free: free}
	}
	return nil
}

// imagesOf names for each blob the first image that needs it, for messages.
func imagesOf(prologue *bundle.Prologue) map[digest.Digest]string {
	names := make(map[digest.Digest]string)
	for _, image := range prologue.Plan().Images {
		graph, err := prologue.Graph(image)
		if err != nil {
			continue // only messages are poorer
		}
		for _, b := range graph.Blobs {
			if _, ok := names[b.Digest]; !ok {
				names[b.Digest] = image.Reference
			}
		}
	}
	return names
}

// packer is one run of Pack.
type packer struct {
	dir      bundle.Dir
	prologue *bundle.Prologue
	sources  Sources
	options  PackOptions
	images   map[digest.Digest]string
	written  []bundle.Volume
	// open are the volumes that have no final name yet: the one being written,
	// last, and before it those that end in a part of a blob which is not
	// checked to its end.
	open []*bundle.VolumeWriter
}

func (p *packer) close() error {
	var errs []error
	for _, w := range p.open {
		errs = append(errs, w.Close())
	}
	return errors.Join(errs...)
}

// run writes all blobs. A blob with the wrong digest is fetched again once: its
// volume is cut back to where it began.
func (p *packer) run(ctx context.Context) error {
	blobs := inVolumeOrder(p.prologue.Plan())
	again := -1
	for at := 0; ; {
		reached, err := p.blobs(ctx, blobs, at)
		var mismatch *oci.MismatchError
		if err == nil || reached == again || !errors.As(err, &mismatch) {
			if err != nil {
				return err
			}
			break
		}
		tell(p.options.Progress, Event{Kind: BlobRefetched, Digest: blobs[reached].Digest, Err: err})
		at, again = reached, reached
	}
	return p.finish()
}

// inVolumeOrder lists the blobs as they begin in the volumes.
func inVolumeOrder(plan *bundle.Plan) []*bundle.Blob {
	blobs := make([]*bundle.Blob, 0, len(plan.Blobs))
	for n := 1; n <= plan.Volumes; n++ {
		for _, m := range plan.Members(n) {
			if m.Start == 0 && m.Extent <= 1 {
				blobs = append(blobs, m.Blob)
			}
		}
	}
	return blobs
}

// blobs writes the blobs from index at on. On failure it returns the index of
// the blob that failed, and has cut the volumes back to its beginning.
func (p *packer) blobs(ctx context.Context, blobs []*bundle.Blob, at int) (int, error) {
	w := newWindow(ctx, p.sources.open, blobs[at:], p.options.Buffer, p.options.Jobs)
	defer w.Close()
	for i, b := range blobs[at:] {
		if err := p.blob(w.blob(ctx, b.Size), b); err != nil {
			if mismatch := (*oci.MismatchError)(nil); !errors.As(err, &mismatch) && ctx.Err() != nil {
				return at + i, ctx.Err()
			}
			return at + i, err
		}
	}
	return len(blobs), nil
}

// blob writes one blob, in as many volumes as it needs.
func (p *packer) blob(content io.Reader, b *bundle.Blob) error {
	gate, err := oci.NewReader(content, b.Descriptor())
	if err != nil {
		return err
	}
	if err := p.advance(b); err != nil {
		return err
	}
	first := len(p.open) - 1
	start := p.open[first].Checkpoint()
	counted := &countingReader{r: gate, progress: p.options.Progress}
	for range max(1, len(b.Extents)) {
		if err = p.advance(b); err != nil {
			break
		}
		if err = p.open[len(p.open)-1].WriteMember(counted); err != nil {
			break
		}
	}
	if err != nil {
		tell(p.options.Progress, Event{Kind: BytesMoved, Bytes: -counted.n})
		err = &BlobError{Digest: b.Digest, Where: originName(b.Origin), Image: p.images[b.Digest], Err: err}
		if undo := p.rollback(first, start); undo != nil {
			// Not wrapped: over a volume that is half undone, nothing may be
			// fetched again.
			return fmt.Errorf("%w, after %v", undo, err)
		}
		return err
	}
	return p.commitWhole()
}

// advance makes the last open volume the one whose next member belongs to b.
func (p *packer) advance(b *bundle.Blob) error {
	for {
		if len(p.open) > 0 {
			current := p.open[len(p.open)-1]
			m, ok := current.Next()
			if ok && m.Blob.Digest == b.Digest {
				return nil
			}
			if ok {
				return fmt.Errorf("satchel: internal: blob %s instead of %s", b.Digest, m.Blob.Digest)
			}
			if err := current.Finish(); err != nil {
				return err
			}
		}
		if err := p.begin(); err != nil {
			return err
		}
	}
}

func (p *packer) begin() error {
	w, err := bundle.CreateVolume(p.dir, p.prologue, len(p.written)+len(p.open)+1)
	if err != nil {
		return err
	}
	p.open = append(p.open, w)
	return nil
}

// rollback gives up the volumes after the first and cuts that one back.
func (p *packer) rollback(first int, start bundle.Checkpoint) error {
	for _, w := range p.open[first+1:] {
		if err := w.Close(); err != nil {
			return err
		}
	}
	p.open = p.open[:first+1]
	return p.open[first].Rollback(start)
}

// commitWhole gives their final names to the volumes whose last blob is checked:
// all that are open, or all but the one that goes on.
func (p *packer) commitWhole() error {
	current := p.open[len(p.open)-1]
	if _, ok := current.Next(); ok {
		return p.commit(len(p.open) - 1)
	}
	if err := current.Finish(); err != nil {
		return err
	}
	return p.commit(len(p.open))
}

// commit gives the first n open volumes, which are finished, their final names.
func (p *packer) commit(n int) error {
	for _, w := range p.open[:n] {
		v, err := w.Commit()
		if err != nil {
			return err
		}
		p.written = append(p.written, v)
		tell(p.options.Progress, Event{Kind: VolumeWritten, Volume: v.Name, Bytes: v.Size, Digest: v.Digest})
	}
	p.open = p.open[n:]
	return nil
}

// finish writes what has no members: the one volume of a bundle without blobs.
func (p *packer) finish() error {
	for len(p.written) < p.prologue.Plan().Volumes {
		if err := p.begin(); err != nil {
			return err
		}
		if err := p.commitWhole(); err != nil {
			return err
		}
	}
	return nil
}

func originName(o bundle.Origin) string {
	switch {
	case o.Repository != "":
		return o.Repository
	case o.Local != "":
		return o.Local
	}
	// Without its query, which may hold a token.
	u, err := url.Parse(o.URLs[0])
	if err != nil {
		return "a foreign URL"
	}
	return u.Scheme + "://" + u.Host + u.Path
}

// countingReader tells of the bytes that go by.
type countingReader struct {
	r        io.Reader
	n        int64
	progress func(Event)
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if n > 0 {
		tell(c.progress, Event{Kind: BytesMoved, Bytes: int64(n)})
	}
	return n, err
}
