package bundle

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
)

// Visitor is told what a scan comes across, in the order of the volume.
type Visitor interface {
	// Content gets the next bytes of a member's content; it must not keep p.
	Content(m Member, p []byte)
	// EndMember says that a member is over. When it is not whole, Damage has
	// said why and its content has gaps.
	EndMember(m Member, whole bool)
	// Damage is told of everything that is not as it must be.
	Damage(d *DamageError)
	// Progress counts the bytes that were read.
	Progress(n int64)
}

// Scan reads every byte of the volume once, from its start to its end, and
// returns its SHA-256, which is empty when a part could not be read. A damaged
// member does not stop it: it goes on with the next. The error is that of the
// context. Scans of different volumes may run at the same time.
func (b *Bundle) Scan(ctx context.Context, v *VolumeFile, visit Visitor) (digest.Digest, error) {
	file, err := v.open()
	if err != nil {
		if damage := (*DamageError)(nil); errors.As(err, &damage) {
			visit.Damage(damage)
		}
		b.lose(v, visit)
		return "", ctx.Err()
	}
	defer file.Close() // it was only read
	r := newScanReader(ctx, file, v.Size, visit)
	t := &tarReader{decoder: b.decoder}
	s := &scan{bundle: b, volume: v, r: r, t: t, visit: visit}
	s.run()
	sum := r.finish()
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return sum, nil
}

// lose ends all members of a volume of which nothing can be read.
func (b *Bundle) lose(v *VolumeFile, visit Visitor) {
	if b.Prologue == nil {
		return
	}
	for _, m := range b.Prologue.plan.Members(v.Number) {
		visit.EndMember(m, false)
	}
}

type scan struct {
	bundle *Bundle
	volume *VolumeFile
	r      *scanReader
	t      *tarReader
	visit  Visitor
	ended  bool // the file has ended too early, which was said
}

func (s *scan) run() {
	defer func() { s.skipTo(s.volume.Size) }()
	if s.bundle.Prologue == nil {
		return
	}
	start := s.bundle.Prologue.size
	s.region(0, start, s.prologue)
	members, err := s.bundle.Locate(s.volume)
	end, lost := start, 0
	for _, m := range members {
		if s.r.ctx.Err() != nil {
			return
		}
		end = m.Offset + m.Length
		if m.Offset >= s.volume.Size {
			lost++
			s.visit.EndMember(m.Member, false)
			continue
		}
		whole := s.region(m.Offset, m.Length, func() error { return s.member(m.Member) })
		s.visit.EndMember(m.Member, whole)
	}
	if lost > 0 && !s.ended {
		s.damage(s.volume.Size, fmt.Errorf("the file ends after %d bytes, and %d members should follow", s.volume.Size, lost))
		s.ended = true
	}
	if err != nil {
		s.damage(end, fmt.Errorf("the members from here on cannot be found without %s: %w", inventoryName, errors.Unwrap(err)))
		for _, m := range s.bundle.Unlocated(s.volume) {
			s.visit.EndMember(m, false)
		}
		return
	}
	if s.ended {
		return
	}
	tail := int64(len(endOfArchive()))
	s.region(end, tail, s.endOfArchive)
	if s.volume.Size > end+tail {
		s.damage(end+tail, fmt.Errorf("%d bytes follow the end of the volume", s.volume.Size-end-tail))
	}
}

// region reads length bytes at offset through read and notes what goes wrong.
func (s *scan) region(offset, length int64, read func() error) bool {
	if !s.skipTo(offset) {
		return false
	}
	s.t.reset(io.LimitReader(s.r, length), offset)
	err := read()
	if err == nil && s.t.offset != offset+length {
		err = fmt.Errorf("%d bytes follow the last frame", offset+length-s.t.offset)
	}
	if err == nil || s.r.ctx.Err() != nil {
		return err == nil
	}
	if errors.Is(err, io.ErrUnexpectedEOF) && s.r.pos >= s.volume.Size {
		s.ended = true
		err = fmt.Errorf("the file ends after %d bytes, in the middle of the volume", s.volume.Size)
	}
	s.damage(s.t.frame, err)
	return false
}

func (s *scan) damage(offset int64, err error) {
	s.visit.Damage(&DamageError{File: s.volume.Name, Medium: s.volume.Medium, Offset: offset, Err: err})
}

// skipTo reads up to offset, where it is still needed for the digest.
func (s *scan) skipTo(offset int64) bool {
	if err := s.r.skipTo(offset); err != nil && s.r.ctx.Err() == nil {
		s.damage(s.r.pos, err)
		return s.r.jump(offset)
	}
	return s.r.ctx.Err() == nil
}

func (s *scan) prologue() error {
	header, err := s.t.readHeader()
	if err != nil {
		return err
	}
	return s.t.samePrologue(s.bundle.Prologue, header)
}

func (s *scan) member(m Member) error {
	if err := s.t.header(m); err != nil {
		return err
	}
	for left := m.Size; left > 0; {
		if len(s.t.rest) == 0 {
			if err := s.t.nextFrame(); err != nil {
				return noEOF(err)
			}
		}
		p := s.t.rest[:min(int64(len(s.t.rest)), left)]
		s.visit.Content(m, p)
		s.t.rest = s.t.rest[len(p):]
		left -= int64(len(p))
	}
	return s.t.padding(m.Size)
}

func (s *scan) endOfArchive() error {
	s.t.stored = true
	if err := s.t.nextFrame(); err != nil {
		return noEOF(err)
	}
	if len(s.t.rest) != 2*tarBlock {
		return fmt.Errorf("%w: it is not the end of the archive", errFrame)
	}
	return allZero(s.t.rest)
}

// scanReader reads a volume in sequence and hashes it on the side.
type scanReader struct {
	ctx   context.Context // a scan lives as long as the call that it serves
	file  io.ReaderAt
	size  int64
	visit Visitor
	pos   int64 // of the next byte handed out
	cur   []byte

	hash   *sideHash
	broken bool // a part was not read, so there is no digest
}

func newScanReader(ctx context.Context, file io.ReaderAt, size int64, visit Visitor) *scanReader {
	return &scanReader{ctx: ctx, file: file, size: size, visit: visit, hash: newSideHash(sha256.New())}
}

// finish ends the hashing and returns the digest.
func (r *scanReader) finish() digest.Digest {
	h := r.hash.close()
	if r.broken {
		return ""
	}
	return digest.NewDigest(digest.SHA256, h)
}

func (r *scanReader) Read(p []byte) (int, error) {
	if len(r.cur) == 0 {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.cur)
	r.cur = r.cur[n:]
	r.pos += int64(n)
	return n, nil
}

func (r *scanReader) fill() error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if r.pos >= r.size {
		return io.EOF
	}
	b := r.hash.take()
	if b == nil {
		b = make([]byte, readAhead)
	}
	n, err := r.file.ReadAt(b[:min(int64(cap(b)), r.size-r.pos)], r.pos)
	if n == 0 {
		r.hash.give(b)
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF // the file is shorter than it was
		}
		return err
	}
	r.visit.Progress(int64(n))
	r.cur = b[:n]
	r.hash.put(b[:n])
	return nil
}

// skipTo hands out the bytes up to offset to nobody.
func (r *scanReader) skipTo(offset int64) error {
	for r.pos < min(offset, r.size) {
		if len(r.cur) == 0 {
			if err := r.fill(); err != nil {
				return err
			}
		}
		n := min(int64(len(r.cur)), offset-r.pos)
		r.cur = r.cur[n:]
		r.pos += n
	}
	return nil
}

// jump goes on at offset although what is before could not be read.
func (r *scanReader) jump(offset int64) bool {
	r.broken = true
	r.pos, r.cur = max(r.pos, min(offset, r.size)), nil
	return true
}
