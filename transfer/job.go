package transfer

import (
	"context"
	"errors"
	"hash"
	"io"
	"slices"

	"satchel/bundle"
)

// job is a blob that must be read, since some of it is to be written or is not
// checked to its end.
type job struct {
	blob  *bundle.Blob
	parts []part
	// pieces are what must be fetched for it.
	pieces []piece
}

// part is a member of a blob that is read: written, when its volume is made and
// does not hold it yet; read from the medium where it stands; else fetched only
// to judge the blob by all of it.
type part struct {
	member bundle.Member
	// made says that the volume is one of those being made.
	made  bool
	write bool
	stand *stand
}

// jobs lists what must be read for the volumes that are to be made, in their
// order.
func (p *packer) jobs() []*job {
	var jobs []*job
	known := make(map[*bundle.Blob]bool)
	volumes := slices.Clone(p.queue)
	for _, w := range p.open {
		volumes = append(volumes, w.number)
	}
	slices.Sort(volumes)
	p.plan(volumes)
	for _, n := range volumes {
		for _, m := range p.prologue.Plan().Members(n) {
			if _, gone := p.gone[m.Blob.Digest]; gone || known[m.Blob] {
				continue
			}
			known[m.Blob] = true
			if j := p.job(m.Blob); j != nil {
				jobs = append(jobs, j)
			}
		}
	}
	return jobs
}

// plan notes which members of the volumes are to be written: of those that are
// open the ones that their writers wait for, of the others those that do not
// stand.
func (p *packer) plan(volumes []int) {
	p.todo = make(map[memberKey]bool)
	for _, n := range volumes {
		members := p.prologue.Plan().Members(n)
		stands := p.stands[n]
		if i := slices.IndexFunc(p.open, func(w openVolume) bool { return w.number == n }); i >= 0 {
			members, stands = p.open[i].Left(), nil
		}
		for _, m := range members {
			if !stands.holds(m) {
				p.todo[memberKey{m.Blob.Digest, m.Start}] = true
			}
		}
	}
}

// job returns nil when nothing of the blob is to be written, and it is known to
// be right.
func (p *packer) job(b *bundle.Blob) *job {
	j := &job{blob: b, parts: p.parts(b)}
	write := false
	for _, part := range j.parts {
		write = write || part.write
		if part.stand != nil || part.member.Size == 0 {
			continue
		}
		if n := len(j.pieces); n > 0 && j.pieces[n-1].end() == part.member.Start {
			j.pieces[n-1].size += part.member.Size
		} else {
			j.pieces = append(j.pieces, piece{b, part.member.Start, part.member.Size})
		}
	}
	if !write && (len(b.Extents) == 0 || p.sums[b.Digest] != nil) {
		return nil
	}
	if len(b.Extents) > 0 {
		p.pending[b.Digest] = true
	}
	return j
}

// parts says for each member of a blob where it is had from and what becomes of
// it.
func (p *packer) parts(b *bundle.Blob) []part {
	making := func(n int) bool {
		return slices.Contains(p.queue, n) || slices.ContainsFunc(p.open, func(w openVolume) bool { return w.number == n })
	}
	one := func(n int, m bundle.Member) part {
		if p.todo[memberKey{b.Digest, m.Start}] {
			if old := p.old[n]; old.holds(m) {
				return part{member: m, made: true, write: true, stand: old}
			}
			return part{member: m, made: true, write: true}
		}
		if s := p.stands[n]; s.holds(m) {
			return part{member: m, made: making(n), stand: s}
		}
		return part{member: m, made: making(n)}
	}
	var parts []part
	for _, m := range membersOf(b) {
		parts = append(parts, one(p.volumeOf(m), m))
	}
	return parts
}

// membersOf returns the members of a blob in their order.
func membersOf(b *bundle.Blob) []bundle.Member {
	if b.Volume != 0 {
		return []bundle.Member{{Blob: b, Size: b.Size}}
	}
	var members []bundle.Member
	start := int64(0)
	for k, e := range b.Extents {
		members = append(members, bundle.Member{Blob: b, Extent: k + 1, Start: start, Size: e.Size})
		start += e.Size
	}
	return members
}

// bytesOf is how many bytes the jobs write.
func bytesOf(jobs []*job) (total int64) {
	for _, j := range jobs {
		for _, part := range j.parts {
			if part.write {
				total += part.member.Size
			}
		}
	}
	return total
}

// partsReader reads the parts of a blob one after another.
type partsReader struct {
	ctx    context.Context // a reader lives as long as the call that it serves
	packer *packer
	window *window
	parts  []part // still to come
	open   io.Reader
	closer io.Closer
	left   int64 // bytes of the open part still to come
}

func (r *partsReader) Read(b []byte) (int, error) {
	for r.left == 0 {
		if len(r.parts) == 0 {
			return 0, io.EOF
		}
		if err := r.begin(); err != nil {
			return 0, err
		}
	}
	n, err := r.open.Read(b[:min(int64(len(b)), r.left)])
	if r.left -= int64(n); r.left == 0 {
		// At once: before the next part is read, its medium may be asked for, and
		// this one could not be unmounted.
		return n, r.closeMedium()
	}
	return n, noEOF(err)
}

// begin opens the next part or, of those that are fetched, the next piece.
func (r *partsReader) begin() error {
	next := r.parts[0]
	r.parts = r.parts[1:]
	if next.stand == nil {
		size := next.member.Size
		for ; len(r.parts) > 0 && r.parts[0].stand == nil; r.parts = r.parts[1:] {
			size += r.parts[0].member.Size
		}
		r.open, r.left = r.window.next(r.ctx, size), size
		return nil
	}
	content, err := next.stand.Open(r.ctx, r.packer.all[next.stand.output].Dir.FS(), next.member)
	if err != nil {
		return err
	}
	r.open, r.closer, r.left = content, content, next.member.Size
	return nil
}

// closeMedium ends the open part if it is read from a medium.
func (r *partsReader) closeMedium() error {
	if r.closer == nil {
		return nil
	}
	err := r.closer.Close()
	r.closer = nil
	return err
}

// pass takes what is left of the blob's pieces out of the window, whether it came
// or not, so that the next blob's are the next.
func (r *partsReader) pass() error {
	if fetched, ok := r.open.(*windowReader); ok && r.left > 0 {
		if err := fetched.pass(); err != nil {
			return err
		}
	}
	for ; len(r.parts) > 0; r.parts = r.parts[1:] {
		if r.parts[0].stand != nil || r.parts[0].member.Size == 0 {
			continue
		}
		size := int64(0)
		for ; len(r.parts) > 1 && r.parts[1].stand == nil; r.parts = r.parts[1:] {
			size += r.parts[0].member.Size
		}
		if err := r.window.next(r.ctx, size+r.parts[0].member.Size).pass(); err != nil {
			return err
		}
	}
	return nil
}

// markSource marks the errors of a gate that are not those of a medium.
type markSource struct{ gate io.Reader }

func (m markSource) Read(b []byte) (int, error) {
	n, err := m.gate.Read(b)
	damage := (*bundle.DamageError)(nil)
	if err != nil && err != io.EOF && !errors.As(err, &damage) {
		err = &sourceError{err}
	}
	return n, err
}

// notFound is an error of a source that says whether it does not have what was
// asked for.
type notFound interface {
	error
	NotFound() bool
}

// countingReader tells of the bytes that go by, unless it is silent.
type countingReader struct {
	r        io.Reader
	n        int64
	silent   bool
	sum      hash.Hash // of what goes by, where it is wanted
	progress func(Event)
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.sum != nil {
		c.sum.Write(p[:n])
	}
	if c.silent || n == 0 {
		return n, err
	}
	c.n += int64(n)
	tell(c.progress, Event{Kind: BytesMoved, Bytes: int64(n)})
	return n, err
}
