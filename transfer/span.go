package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"satchel/bundle"
	"satchel/oci"
)

// runSpanned fetches what is lacking because media were not there, by asking for
// one volume after another: a blob that is cut over media which are never there
// together can only be pushed so. All is done one after another.
func (u *unpacker) runSpanned(ctx context.Context) error {
	if u.options.Volume == nil {
		return nil
	}
	u.spanning = true
	for _, b := range inVolumeOrder(u.prologue.Plan()) {
		users := u.waitingFor(b)
		if len(users) == 0 {
			continue
		}
		err := u.ensure(ctx, users[0].to.Repository, b.Descriptor(), true)
		if ctx.Err() != nil {
			return err
		}
		var lacks lacksError
		if err != nil && !errors.As(err, &lacks) {
			if _, err := u.refused(users, b, err); err != nil {
				return err
			}
			continue
		}
		for _, r := range u.replaceLack(users, b, lacks) {
			if err := u.complete(ctx, r); err != nil {
				return err
			}
		}
	}
	return nil
}

// waitingFor returns the images that lack a blob and could be completed if all
// media were there.
func (u *unpacker) waitingFor(b *bundle.Blob) []*replay {
	u.mu.Lock()
	defer u.mu.Unlock()
	var users []*replay
	for _, r := range u.users[b.Digest] {
		lacksIt := false
		for _, l := range r.lacks {
			if l.cause != lackVolume {
				lacksIt = false
				break
			}
			lacksIt = lacksIt || l.Digest == b.Digest
		}
		if lacksIt {
			users = append(users, r)
		}
	}
	return users
}

// replaceLack puts other lacks, or none, in the place of that of a blob, and
// returns the images that lack nothing any more.
func (u *unpacker) replaceLack(users []*replay, b *bundle.Blob, lacks []Lack) (ready []*replay) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, r := range users {
		var all []Lack
		for _, l := range r.lacks {
			if l.Digest != b.Digest {
				all = append(all, l)
			}
		}
		if r.lacks = append(all, lacks...); len(r.lacks) == 0 {
			ready = append(ready, r)
		}
	}
	return ready
}

// openSpanned opens a blob that is read from one volume after another.
func (u *unpacker) openSpanned(ctx context.Context, b *bundle.Blob) (io.ReadCloser, error) {
	if b.Held != 0 {
		return u.supply.Blob(ctx, b, 0) // which says what is lacking
	}
	r := &spanReader{ctx: ctx, unpacker: u, blob: b, volumes: b.VolumesOf()}
	gate, err := oci.NewReader(&r.parts, b.Descriptor())
	if err != nil {
		return nil, err
	}
	r.parts.of, r.gate = r, gate
	return r, nil
}

// spanReader reads a blob from volumes that need not be there together. It asks
// for a volume when its turn comes.
type spanReader struct {
	ctx      context.Context // a reader lives as long as the call that it serves
	unpacker *unpacker
	blob     *bundle.Blob
	volumes  []int // whose turn has not come
	gate     *oci.Reader
	parts    spannedParts
}

// Read is that of the gate; a mismatch is damage that no one place explains.
func (r *spanReader) Read(p []byte) (int, error) {
	n, err := r.gate.Read(p)
	if mismatch := (*oci.MismatchError)(nil); errors.As(err, &mismatch) {
		plan := r.unpacker.prologue.Plan()
		err = &bundle.DamageError{File: plan.VolumeName(r.blob.VolumesOf()[0]), Offset: -1, Err: err}
	}
	return n, err
}

// Close closes what is open.
func (r *spanReader) Close() error { return r.parts.close() }

// spannedParts reads what the volumes hold of a blob, one after another.
type spannedParts struct {
	of   *spanReader
	open io.ReadCloser
	left int64 // bytes of the blob still to come from the open volume
}

func (s *spannedParts) Read(p []byte) (int, error) {
	for s.left == 0 {
		if err := s.advance(); err != nil {
			return 0, err
		}
	}
	n, err := s.open.Read(p[:min(int64(len(p)), s.left)])
	if s.left -= int64(n); s.left == 0 {
		err = nil // that the volume has no more of the blob is no surprise
	}
	return n, err
}

// advance opens the part that the next volume holds. It returns io.EOF after the
// last.
func (s *spannedParts) advance() error {
	if err := s.close(); err != nil {
		return err
	}
	if len(s.of.volumes) == 0 {
		return io.EOF
	}
	number := s.of.volumes[0]
	s.of.volumes = s.of.volumes[1:]
	u := s.of.unpacker
	b, err := u.options.Volume(s.of.ctx, number)
	if err != nil {
		return fmt.Errorf("volume %d: %w", number, err)
	}
	if b.PlanID != u.prologue.PlanID() || b.Prologue == nil {
		return fmt.Errorf("volume %d: it is of plan %s, not of plan %s", number, b.PlanID, u.prologue.PlanID())
	}
	u.mu.Lock()
	delete(u.absent, number)
	u.mu.Unlock()
	// For the bundle, a blob that has these extents only; its size and digest are
	// the whole one's, so its end must not be asked for.
	part := *s.of.blob
	if s.left = part.Size; part.Volume == 0 {
		part.Extents, s.left = nil, 0
		for _, e := range s.of.blob.Extents {
			if e.Volume == number {
				part.Extents = append(part.Extents, e)
				s.left += e.Size
			}
		}
	}
	s.open, err = b.Blob(s.of.ctx, &part, 0)
	if err != nil {
		s.open, s.left = nil, 0
	}
	if s.left == 0 && err == nil {
		return s.advance() // an empty blob
	}
	return err
}

func (s *spannedParts) close() error {
	if s.open == nil {
		return nil
	}
	err := s.open.Close()
	s.open = nil
	return err
}
