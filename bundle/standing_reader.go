package bundle

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// Reader reads what stands of volumes and judges their blobs, those that are cut
// over several volumes too. The volumes are read in ascending order. It is not
// for concurrent use.
type Reader struct {
	prologue *Prologue
	progress func(int64)
	tar      *tarReader
	buffer   *bufio.Reader
	// encoder makes again in frame what it made of a frame of a member that is
	// compressed; nil until there is one.
	encoder *zstd.Encoder
	frame   []byte
	// cut is the cut blob whose extents are being read, up to next, in bytes.
	cut  *Blob
	hash hash.Hash
	next int64
	// right are the cut blobs that were read whole and have their digest.
	// For each, sums are the SHA-256 of its extents.
	right map[digest.Digest][]digest.Digest
	sums  []digest.Digest // of the extents of cut
	// KeepLacks keeps of unfinished volumes too what comes behind members that
	// are not there. Else they are cut back to these.
	KeepLacks bool
}

// NewReader returns a reader of volumes of the plan. progress is told how many
// bytes were read; nil is silent. The caller closes it.
func NewReader(prologue *Prologue, progress func(int64)) (*Reader, error) {
	if err := prologue.canWrite(); err != nil {
		return nil, err
	}
	decoder, err := newDecoder()
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	return &Reader{
		prologue: prologue, progress: progress, tar: &tarReader{decoder: decoder}, right: make(map[digest.Digest][]digest.Digest),
		buffer: bufio.NewReaderSize(nil, readAhead),
	}, nil
}

// Close frees what the reader holds.
func (r *Reader) Close() { r.tar.decoder.Close() }

// Right reports whether all extents of a cut blob were read, one behind the
// other, and have its digest.
func (r *Reader) Right(b *Blob) bool { return r.right[b.Digest] != nil }

// Sums returns the SHA-256 of the extents of a cut blob that is right; nil for
// others.
func (r *Reader) Sums(b *Blob) []digest.Digest { return r.right[b.Digest] }

// WrongBlobError says that the extents of a cut blob, each as its frame's
// checksum says, are not the blob together.
type WrongBlobError struct {
	Blob *Blob
	Err  error
}

func (e *WrongBlobError) Error() string {
	return fmt.Sprintf("the extents of blob %s are not that blob: %v", e.Blob.Digest, e.Err)
}

func (e *WrongBlobError) Unwrap() error { return e.Err }

// Read reads volume n under its final name, if final, or else under its
// unfinished one. It returns nil when there is no such file, and an error, which
// is that of the context, only when it did not come to its end. What is wrong with
// the file is in Standing.Damage.
func (r *Reader) Read(ctx context.Context, fsys fs.FS, n int, final bool) (*Standing, error) {
	name := FileName(r.prologue.plan, n, final)
	s := &Standing{
		Volume: Volume{Name: r.prologue.plan.VolumeName(n), Number: n, Members: []Placed{}}, Final: final,
		Sums: make(map[string]digest.Digest), prologue: r.prologue, left: r.prologue.plan.Members(n),
	}
	file, size, err := openRegular(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		s.Damage = err
		return s, nil
	}
	defer file.Close() // it was only read
	s.FileSize = size
	input := &watchedReader{ctx: ctx, r: io.NewSectionReader(file, 0, size), progress: r.progress}
	err = s.readPrologue(input)
	if err == nil {
		r.buffer.Reset(input)
		r.tar.reset(r.buffer, s.Volume.Size)
		err = r.members(s)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	switch {
	case err != io.EOF:
		s.Damage = noEOF(err)
	case final && !s.Complete:
		s.Damage = fmt.Errorf("the file ends after %d bytes, in the middle of the volume", size)
	}
	return s, nil
}

// watchedReader ends with its context and counts.
type watchedReader struct {
	ctx      context.Context // a reader lives as long as the call that it serves
	r        io.Reader
	progress func(int64)
}

func (w *watchedReader) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := w.r.Read(p)
	if w.progress != nil {
		w.progress(int64(n))
	}
	return n, err
}

// readPrologue compares the prologue with the only one that the volume can have.
func (s *Standing) readPrologue(r io.Reader) error {
	compare := &comparer{r: r}
	if err := s.prologue.writeTo(compare, s.Volume.Number); err != nil {
		return fmt.Errorf("prologue: %w", err)
	}
	sum, end := sha256.New(), make(chan hash.Hash, 1)
	if err := s.prologue.writeTo(sum, s.Volume.Number); err != nil {
		return err
	}
	end <- sum
	s.Volume.Size, s.end = s.prologue.size, end
	return nil
}

// comparer is a writer that fails when what is written is not what r reads.
type comparer struct {
	r   io.Reader
	buf [64 << 10]byte
}

func (c *comparer) Write(want []byte) (int, error) {
	for rest := want; len(rest) > 0; {
		got := c.buf[:min(len(rest), len(c.buf))]
		if _, err := io.ReadFull(c.r, got); err != nil {
			return 0, noEOF(err)
		}
		if !bytes.Equal(got, rest[:len(got)]) {
			return 0, errors.New("it is not that of this plan, or damaged")
		}
		rest = rest[len(got):]
	}
	return len(want), nil
}

// members reads members until one is not whole. It returns io.EOF when the file
// ends behind one, or the volume behind the last.
func (r *Reader) members(s *Standing) error {
	frames := newSideHash(<-s.end)
	defer frames.close()
	here := func() <-chan hash.Hash {
		clone := make(chan hash.Hash, 1)
		frames.snapshot(clone)
		return clone
	}
	r.tar.seen = func(frame []byte) { frames.put(append(frames.take(), frame...)) }
	defer func() { r.tar.seen = nil }()
	s.end = here()
	for {
		offset := r.tar.offset
		skipped, ended, err := r.memberHeader(s)
		if err != nil {
			return err
		}
		if ended {
			return r.endVolume(s, here)
		}
		m := s.left[skipped]
		begun := s.begun
		if m.Extent == 0 {
			begun = checkpoint{}
		} else if begun.blob != m.Blob {
			begun = checkpoint{blob: m.Blob, size: s.Volume.Size, members: s.left[skipped:], placed: len(s.Volume.Members), hash: s.end}
		}
		if err := r.member(s, m); err != nil {
			if wrong := (*WrongBlobError)(nil); errors.As(err, &wrong) {
				s.CutBack(m.Blob)
			}
			return fmt.Errorf("member %s: %w", m.Name(), err)
		}
		s.begun = begun
		s.Lacks = append(s.Lacks, s.left[:skipped]...)
		s.left = s.left[skipped+1:]
		s.Volume.Members = append(s.Volume.Members, Placed{
			Digest: m.Blob.Digest, Offset: offset, Length: r.tar.offset - offset, Start: m.Start, Size: m.Size,
		})
		s.Volume.Size, s.end = r.tar.offset, here()
	}
}

// endVolume notes that the end of the volume was read. Of an unfinished volume it
// does not count as standing: it is written again.
func (r *Reader) endVolume(s *Standing, here func() <-chan hash.Hash) error {
	if n, err := r.tar.r.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		return errors.Join(errors.New("something follows the end of the volume"), err)
	}
	s.Lacks, s.left = append(s.Lacks, s.left...), nil
	if s.Complete = true; s.Final {
		s.Volume.Size, s.Volume.Digest = r.tar.offset, digest.NewDigest(digest.SHA256, <-here())
	}
	return io.EOF
}

// memberHeader reads the first frame of the next member. It returns how many
// planned members are skipped before it, or that the volume ends here.
func (r *Reader) memberHeader(s *Standing) (skipped int, ended bool, err error) {
	t := r.tar
	t.stored = false // until it is known which member it is
	if err := t.nextFrame(); err != nil {
		return 0, false, err
	}
	stored := isStored(t.raw, len(t.content))
	if len(t.rest) == 2*tarBlock && stored && allZero(t.rest) == nil {
		if len(s.left) > 0 && !s.Final && !r.KeepLacks {
			return 0, false, fmt.Errorf("member %s is not there", s.left[0].Name())
		}
		return 0, true, nil
	}
	var block [tarBlock]byte
	if _, err := io.ReadFull(t, block[:]); err != nil {
		return 0, false, noEOF(err)
	}
	name, size, err := parseTarHeader(block[:])
	if err != nil {
		return 0, false, err
	}
	for i, m := range s.left {
		if m.Name() != name {
			continue
		}
		if i > 0 && !s.Final && !r.KeepLacks {
			break
		}
		if m.Size != size || !m.Blob.Compress && !stored {
			return 0, false, fmt.Errorf("member %s is not as the plan has it", name)
		}
		t.stored = !m.Blob.Compress
		return i, false, nil
	}
	return 0, false, fmt.Errorf("member %q instead of the next that is planned", name)
}

// member reads the content of a member and judges the blob that ends with it.
func (r *Reader) member(s *Standing, m Member) error {
	sum, extent := r.begin(m), sha256.New()
	frames := tarBlock + padded(m.Size) // content of the open frame and those behind it
	if err := r.sameFrame(m, frames); err != nil {
		r.cut = nil
		return err
	}
	for left := m.Size; left > 0; {
		if len(r.tar.rest) == 0 {
			frames -= frameContent
			err := r.tar.nextFrame()
			if err == nil {
				err = r.sameFrame(m, frames)
			}
			if err != nil {
				r.cut = nil
				return noEOF(err)
			}
		}
		p := r.tar.rest[:min(int64(len(r.tar.rest)), left)]
		if sum != nil {
			sum.Write(p)
		}
		if m.Extent > 0 {
			extent.Write(p)
		}
		r.tar.rest = r.tar.rest[len(p):]
		left -= int64(len(p))
	}
	if err := r.tar.padding(m.Size); err != nil {
		r.cut = nil
		return err
	}
	r.next = m.Start + m.Size
	if m.Extent > 0 {
		d := digest.NewDigest(digest.SHA256, extent)
		r.sums = append(r.sums, d)
		s.Sums[m.Name()] = d
	}
	if sum == nil || !m.Last() {
		return nil
	}
	r.cut = nil
	if got := digest.NewDigest(digest.SHA256, sum); got != m.Blob.Digest {
		err := &oci.MismatchError{Want: m.Blob.Descriptor(), GotDigest: got, GotSize: m.Blob.Size}
		if m.Extent > 0 {
			return &WrongBlobError{Blob: m.Blob, Err: err}
		}
		return err
	}
	if m.Extent > 0 {
		r.right[m.Blob.Digest] = r.sums
	}
	return nil
}

// begin returns the hash of the blob that the member belongs to, nil when what is
// before the member was not read.
func (r *Reader) begin(m Member) hash.Hash {
	switch {
	case m.Start == 0:
		r.cut, r.hash, r.sums = m.Blob, sha256.New(), nil
	case r.cut != m.Blob || r.next != m.Start:
		r.cut = nil
		return nil
	}
	return r.hash
}
