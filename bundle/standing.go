package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"slices"

	"github.com/opencontainers/go-digest"
)

// Standing is what stands of a volume that was begun or finished by an earlier
// run: its members from the first on, as far as each is whole.
type Standing struct {
	// Volume has the number, the name, the members that stand, the size in bytes
	// that they make with the prologue and, when the volume is Complete, the
	// size and digest of the whole file.
	Volume Volume
	// Complete says that the end of the volume follows its members, and nothing
	// else.
	Complete bool
	// Final says that it has its final name.
	Final bool
	// Lacks are the planned members before the last one that stands, or before
	// the end, which are not there: their blobs could not be had.
	Lacks []Member
	// Sums are the SHA-256 of the contents of the extents that were read, by the
	// names of their members.
	Sums map[string]digest.Digest
	// FileSize is the size in bytes of the file, which may have more than what
	// stands.
	FileSize int64
	// Damage says why no more stands. It is nil for a complete volume, and for
	// an unfinished one that ends behind a whole member.
	Damage error

	prologue *Prologue
	left     []Member         // planned behind what stands
	end      <-chan hash.Hash // of what stands
	// begun is where the last blob of what stands begins, when it is cut and
	// goes on in another volume; it can be cut back to there.
	begun checkpoint
}

// FileName is the name of the file of volume n, final or unfinished.
func FileName(plan *Plan, n int, final bool) string {
	if final {
		return plan.VolumeName(n)
	}
	return plan.VolumeName(n) + partialSuffix
}

// sameFrame checks that the open frame is the one that is written for the next
// content of the member, left bytes in all: what zstd decodes to the same may
// have been compressed in many ways, or cut elsewhere.
func (r *Reader) sameFrame(m Member, left int64) (err error) {
	if want := min(left, frameContent); int64(len(r.tar.content)) != want {
		return fmt.Errorf("%w: %d bytes of content instead of %d", errFrame, len(r.tar.content), want)
	}
	if !m.Blob.Compress {
		return nil
	}
	if r.encoder == nil {
		if r.encoder, err = newEncoder(); err != nil {
			return fmt.Errorf("zstd encoder: %w", err)
		}
	}
	if r.frame = appendSmaller(r.frame[:0], r.tar.content, r.encoder); !bytes.Equal(r.frame, r.tar.raw) {
		return fmt.Errorf("%w: it is compressed in another way", errFrame)
	}
	return nil
}

// CutBack takes back what stands of a blob at the end of the volume, if anything
// does: it was found wrong where it goes on.
func (s *Standing) CutBack(b *Blob) {
	c := s.begun
	if c.blob != b {
		return
	}
	s.left, s.end, s.begun = c.members, c.hash, checkpoint{}
	s.Volume.Size, s.Volume.Members, s.Volume.Digest = c.size, s.Volume.Members[:c.placed], ""
	s.Complete = false
}

// Open reads the content of a member that stands, without judging it beyond what
// frames and headers say. Errors of reading the medium are [*DamageError]. The
// caller closes the reader.
func (s *Standing) Open(ctx context.Context, fsys fs.FS, m Member) (io.ReadCloser, error) {
	name := FileName(s.prologue.plan, s.Volume.Number, s.Final)
	for _, p := range s.Volume.Members {
		if p.Digest != m.Blob.Digest || p.Start != m.Start {
			continue
		}
		b, err := newBundle()
		if err != nil {
			return nil, err
		}
		v := &VolumeFile{Name: name, Number: s.Volume.Number, fs: fsys}
		r := &blobReader{ctx: ctx, bundle: b, parts: []part{{v, Located{Member: m, Offset: p.Offset, Length: p.Length}}}}
		r.members.blob = r
		return &memberContent{&r.members, b}, nil
	}
	return nil, fmt.Errorf("satchel: internal: member %s does not stand in %s", m.Name(), name)
}

// memberContent is the content of one member.
type memberContent struct {
	*memberReader
	bundle *Bundle
}

// Close frees what the reader holds.
func (c *memberContent) Close() error {
	c.release()
	return c.bundle.Close()
}

// Resume goes on with an unfinished volume in dir, where it stands, behind its
// last whole member. It must stand as far as its prologue, and is used once.
func (s *Standing) Resume(dir Dir) (_ *VolumeWriter, err error) {
	w := &VolumeWriter{
		dir: dir, name: s.Volume.Name, volume: s.Volume, prologue: s.prologue,
		members: s.left, begun: s.begun, hash: <-s.end,
	}
	w.volume.Members = slices.Clip(w.volume.Members)
	partial := w.name + partialSuffix
	if w.file, err = dir.Reopen(partial); err != nil {
		return nil, fmt.Errorf("opening %s: %w", partial, err)
	}
	if err := w.cutBack(); err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	return w, nil
}
