package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// advance makes the last open volume the one of the member, opening the volumes
// before it.
func (p *packer) advance(ctx context.Context, m bundle.Member) error {
	n := p.volumeOf(m)
	for {
		if len(p.open) > 0 {
			current := p.open[len(p.open)-1]
			p.skipGone(current)
			if current.number == n {
				return nil
			}
			if err := current.Finish(); err != nil {
				return p.onMedium(current.output, err)
			}
		}
		if len(p.queue) == 0 {
			return fmt.Errorf("satchel: internal: volume %d is not to be made", n)
		}
		if err := p.beginVolume(ctx, p.queue[0]); err != nil {
			return err
		}
		p.queue = p.queue[1:]
	}
}

// volumeOf is the number of the volume of a member.
func (p *packer) volumeOf(m bundle.Member) int {
	if m.Extent == 0 {
		return m.Blob.Volume
	}
	return m.Blob.Extents[m.Extent-1].Volume
}

func (p *packer) skipGone(w openVolume) {
	for m, ok := w.Next(); ok; m, ok = w.Next() {
		if _, gone := p.gone[m.Blob.Digest]; !gone {
			return
		}
		w.Skip()
	}
}

// beginVolume opens volume n: where it stands, if it does and has room there, or
// on the first medium from the current one on that has room.
func (p *packer) beginVolume(ctx context.Context, n int) error {
	s := p.stands[n]
	if s != nil && !s.Final {
		if p.fits(s.output, n, s.FileSize) {
			w, err := s.Resume(p.all[s.output].Dir)
			if err != nil {
				return p.onMedium(s.output, err)
			}
			p.fresh = false
			p.open = append(p.open, openVolume{w, n, s.output})
			p.tell(Event{Kind: VolumeContinued, Volume: s.Volume.Name, Where: p.all[s.output].Name, Bytes: s.Volume.Size})
			return nil
		}
		name := bundle.FileName(p.prologue.Plan(), n, false)
		if err := p.all[s.output].Dir.Remove(name); err != nil {
			return p.onMedium(s.output, fmt.Errorf("removing %s: %w", name, err))
		}
		delete(p.stands, n)
		return errReplan
	}
	for ; p.current < len(p.all); p.current++ {
		if p.fits(p.current, n, 0) {
			return p.create(p.current, n)
		}
	}
	if p.fresh && p.next != nil {
		return p.nextMedium(ctx, n, p.noRoom([]int{n}, nil)) // one that was here before, perhaps
	}
	return p.nextMedium(ctx, n, nil)
}

func (p *packer) create(i, n int) error {
	p.fresh = false
	if _, err := p.all[i].Dir.Free(); errors.Is(err, bundle.ErrGone) {
		return p.onMedium(i, err)
	}
	if err := p.outputs.begin(i); err != nil {
		return p.onMedium(i, err)
	}
	w, err := bundle.CreateVolume(p.all[i].Dir, p.prologue, n)
	if err != nil {
		return p.onMedium(i, err)
	}
	p.open = append(p.open, openVolume{w, n, i})
	return nil
}

// nextMedium gives up the medium in the drive for another, on which volume n is
// to be written.
func (p *packer) nextMedium(ctx context.Context, n int, refused error) error {
	if p.next == nil {
		if refused != nil {
			return refused
		}
		return p.noRoom([]int{n}, p.stands)
	}
	for _, w := range p.open {
		for _, b := range p.cuts[w.number] {
			if p.pending[b.Digest] && b.Extents[0].Volume <= w.number {
				p.early[b.Digest] = append(p.early[b.Digest], w.number)
			}
		}
	}
	if err := p.commit(ctx, len(p.open)); err != nil {
		return err
	}
	why := Change{Volume: n, Count: p.prologue.Plan().Volumes, Need: p.need(n, 0), Refused: refused}
	for {
		if err := p.change(ctx, why); err != nil {
			return err
		}
		known := len(p.done)
		if err := p.survey(ctx); err != nil {
			return err
		}
		if len(p.stands) > 0 || len(p.done) != known {
			p.requeue()
			return errReplan
		}
		if p.fits(0, n, 0) {
			if why.Refused = p.create(0, n); why.Refused == nil {
				return nil
			}
		} else {
			why.Refused = p.noRoom([]int{n}, p.stands)
		}
	}
}

// requeue lists anew what is to be made.
func (p *packer) requeue() {
	p.enqueue()
	for _, w := range p.open {
		p.queue = slices.DeleteFunc(p.queue, func(n int) bool { return n == w.number })
	}
}

// commitWhole gives their final names to the volumes all of whose blobs are
// checked.
func (p *packer) commitWhole(ctx context.Context) error {
	n := 0
	for i, w := range p.open {
		if slices.ContainsFunc(p.cuts[w.number], func(b *bundle.Blob) bool { return p.pending[b.Digest] }) {
			break
		}
		if i == len(p.open)-1 {
			p.skipGone(w)
			if _, more := w.Next(); more {
				break
			}
			if err := w.Finish(); err != nil {
				return p.onMedium(w.output, err)
			}
		}
		n = i + 1
	}
	return p.commit(ctx, n)
}

// commit gives the first n open volumes, which are finished, their final names.
func (p *packer) commit(ctx context.Context, n int) error {
	for range n {
		w := p.open[0]
		if p.options.ReadBack {
			if err := p.readBack(ctx, w); err != nil {
				return err
			}
		}
		v, err := w.Commit()
		if err != nil {
			return p.onMedium(w.output, err)
		}
		p.open = p.open[1:]
		p.done[w.number] = v
		p.made = append(p.made, w.number)
		p.tell(Event{Kind: VolumeWritten, Volume: v.Name, Where: p.all[w.output].Name, Bytes: v.Size, Digest: v.Digest})
	}
	return nil
}

// readBack reads a volume from its medium. A medium that gives back something
// else is given up, and the volume is made again on the next.
func (p *packer) readBack(ctx context.Context, w openVolume) error {
	sizes := p.sizes[w.number-1]
	p.tell(Event{Kind: ReadingBack, Volume: p.prologue.Plan().VolumeName(w.number), Where: p.all[w.output].Name, Bytes: sizes})
	err := w.ReadBack(ctx, func(n int64) { p.tell(Event{Kind: BytesChecked, Bytes: n}) })
	if wrong := (*bundle.ReadBackError)(nil); !errors.As(err, &wrong) {
		return err
	}
	err = fmt.Errorf("%s: %w", p.all[w.output].Name, err)
	return p.leave(ctx, w.output, err)
}

// leave gives up a medium: what is open on it is made again on another one.
func (p *packer) leave(ctx context.Context, output int, why error) error {
	p.bad[output] = true
	if p.next == nil && !slices.Contains(p.bad[p.current:], false) {
		return why
	}
	p.tell(Event{Kind: MediumLeft, Where: p.all[output].Name, Err: why})
	if err := p.close(); err != nil {
		return errors.Join(why, err)
	}
	open := p.open
	if len(p.queue) > 0 {
		// The next one may have failed to begin.
		if s := p.stands[p.queue[0]]; s == nil || s.output == output {
			open = append(open, openVolume{number: p.queue[0], output: output})
		}
	}
	if len(open) == 0 {
		return why
	}
	lowest := open[0].number
	for _, w := range open {
		name := bundle.FileName(p.prologue.Plan(), w.number, false)
		if err := p.all[w.output].Dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(why, err)
		}
		delete(p.stands, w.number)
	}
	p.open = nil
	p.enqueue()
	if p.next != nil {
		if err := p.nextMedium(ctx, lowest, why); err != nil {
			return err
		}
		p.queue = slices.DeleteFunc(p.queue, func(n int) bool { return n == lowest })
	}
	return errReplan
}

// finish writes the small files onto each medium. One without room for them goes
// without, as long as another has them.
func (p *packer) finish(volumes []bundle.Volume, missing []bundle.Missing) (inventory *bundle.Inventory, id digest.Digest, err error) {
	var full error
	for i, out := range p.all {
		made, madeID, err := bundle.Finish([]bundle.Dir{out.Dir}, p.prologue, volumes, missing)
		switch err = p.onMedium(i, err); {
		case err == nil:
			inventory, id = made, madeID
		case isFull(err):
			full = err
			p.tell(Event{Kind: MediumLeft, Where: out.Name, Err: err})
		default:
			return nil, "", err
		}
	}
	if inventory == nil {
		return nil, "", full
	}
	return inventory, id, nil
}

// finishAll makes what has no members left to be fetched.
func (p *packer) finishAll(ctx context.Context) error {
	for {
		if err := p.commitWhole(ctx); err != nil {
			return err
		}
		if len(p.queue) == 0 {
			return nil
		}
		n := p.queue[0]
		if err := p.beginVolume(ctx, n); err != nil {
			return err
		}
		p.queue = slices.DeleteFunc(p.queue, func(k int) bool { return k == n })
	}
}
