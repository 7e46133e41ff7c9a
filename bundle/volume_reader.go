package bundle

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// readAhead is how much of a medium is read at once, in bytes.
const readAhead = 1 << 20

// reader returns a reader of the frames in length bytes at offset. It goes back
// into b.readers after use.
func (b *Bundle) reader(file io.ReaderAt, offset, length int64) *tarReader {
	t := b.readers.Get().(*tarReader)
	buffered, ok := t.r.(*bufio.Reader)
	section := io.NewSectionReader(file, offset, length)
	if !ok {
		buffered = bufio.NewReaderSize(section, readAhead)
	}
	buffered.Reset(section)
	t.reset(buffered, offset)
	return t
}

func (v *VolumeFile) damage(offset int64, err error) error {
	return &DamageError{File: v.Name, Medium: v.Medium, Offset: offset, Err: err}
}

// Blob opens a blob of the plan for reading, wherever its extents are, in the nth
// of the ways, counted from 0, in which copies of its volumes make it up. The
// reader is a gate: it says io.EOF only after size and digest agree. Its errors
// are [*DamageError]. Opening fails with a [*MissingVolumeError] when a volume
// that is needed is not there, and with a [*MissingBlobError] when the bundle was
// packed without the blob. Readers of different blobs may be used at the
// same time; the caller closes each.
func (b *Bundle) Blob(ctx context.Context, blob *Blob, nth int) (io.ReadCloser, error) {
	if blob.Held != 0 {
		return nil, &MissingBlobError{Digest: blob.Digest, Reason: "it came with " + b.Prologue.plan.Held[blob.Held-1].Name}
	}
	missing := &MissingVolumeError{Count: b.Prologue.plan.Volumes}
	for _, n := range blob.VolumesOf() {
		if b.Volume(n) == nil {
			missing.Numbers = append(missing.Numbers, n)
		}
	}
	if len(missing.Numbers) > 0 {
		return nil, missing
	}
	r := &blobReader{ctx: ctx, bundle: b}
	for _, n := range blob.VolumesOf() {
		copies := b.copiesWith(blob, n)
		v := copies[nth%len(copies)]
		nth /= len(copies)
		located, err := b.Locate(v)
		first, ok := v.index[blob.Digest]
		if !ok && err == nil {
			return nil, &MissingBlobError{Digest: blob.Digest, Volume: v.Name, Reason: b.reason(blob.Digest)}
		}
		if !ok {
			return nil, err
		}
		for _, l := range located[first:] {
			if l.Blob.Digest != blob.Digest {
				break
			}
			r.parts = append(r.parts, part{v, l})
		}
	}
	gate, err := oci.NewReader(&r.members, blob.Descriptor())
	if err != nil {
		return nil, err
	}
	r.members.blob, r.gate = r, gate
	return r, nil
}

// copiesWith returns the copies of a volume that were not made without the blob;
// all of them where each was.
func (b *Bundle) copiesWith(blob *Blob, n int) []*VolumeFile {
	copies := b.copies(n)
	if len(copies) < 2 {
		return copies
	}
	var with []*VolumeFile
	for _, v := range copies {
		_, err := b.Locate(v)
		if _, ok := v.index[blob.Digest]; ok || err != nil {
			with = append(with, v)
		}
	}
	if len(with) == 0 {
		return copies
	}
	return with
}

// blobReader reads a blob from its members.
type blobReader struct {
	ctx     context.Context // a reader lives as long as the call that it serves
	bundle  *Bundle
	parts   []part
	gate    *oci.Reader
	members memberReader
}

type part struct {
	volume *VolumeFile
	at     Located
}

// Read passes the gate's mismatch on with the place where the blob lies.
func (r *blobReader) Read(p []byte) (int, error) {
	n, err := r.gate.Read(p)
	if mismatch := (*oci.MismatchError)(nil); errors.As(err, &mismatch) {
		err = r.parts[0].volume.damage(r.parts[0].at.Offset, err)
	}
	return n, err
}

// Close gives the buffers back.
func (r *blobReader) Close() error {
	r.members.release()
	return nil
}

// memberReader reads the contents of a blob's members, one after another, and
// checks frames, headers and padding on the way.
type memberReader struct {
	blob *blobReader
	next int // the part that comes after the open one
	file volumeFile
	open *tarReader
	part part
	left int64 // content of the open member still to come
}

func (m *memberReader) Read(p []byte) (int, error) {
	if err := m.blob.ctx.Err(); err != nil {
		return 0, err
	}
	for m.left == 0 {
		if err := m.advance(); err != nil {
			return 0, err
		}
	}
	n, err := m.open.Read(p[:min(int64(len(p)), m.left)])
	m.left -= int64(n)
	if err != nil {
		err = m.part.volume.damage(m.open.frame, noEOF(err))
	}
	return n, err
}

// advance ends the open member, if any, and begins the next. It returns io.EOF
// after the last.
func (m *memberReader) advance() error {
	if m.open != nil {
		if err := m.open.padding(m.part.at.Size); err != nil {
			return m.part.volume.damage(m.open.frame, err)
		}
		if m.open.offset != m.part.at.Offset+m.part.at.Length {
			return m.part.volume.damage(m.open.offset, fmt.Errorf("member %s is shorter than the inventory says", m.part.at.Name()))
		}
		m.release()
	}
	if m.next == len(m.blob.parts) {
		return io.EOF
	}
	m.part = m.blob.parts[m.next]
	m.next++
	var err error
	if m.file, err = m.part.volume.open(); err != nil {
		return err
	}
	m.open = m.blob.bundle.reader(m.file, m.part.at.Offset, m.part.at.Length)
	if err := m.open.header(m.part.at.Member); err != nil {
		return m.part.volume.damage(m.open.frame, err)
	}
	m.left = m.part.at.Size
	return nil
}

func (m *memberReader) release() {
	if m.open != nil {
		m.blob.bundle.readers.Put(m.open)
		m.open = nil
	}
	if m.file != nil {
		m.file.Close() // it was only read
		m.file = nil
	}
}

// header reads the tar header of a member and compares it with the only one that
// the member can have.
func (t *tarReader) header(m Member) error {
	t.stored = !m.Blob.Compress
	var block [tarBlock]byte
	if _, err := io.ReadFull(t, block[:]); err != nil {
		return noEOF(err)
	}
	want, err := appendTarHeader(nil, m.Name(), m.Size)
	if err != nil {
		return err
	}
	if !bytes.Equal(block[:], want) {
		return fmt.Errorf("tar header is not that of member %s", m.Name())
	}
	return nil
}

// padding reads the zeros after a member's content of size bytes and checks that
// the frame ends with them.
func (t *tarReader) padding(size int64) error {
	if err := t.zeros(padded(size) - size); err != nil {
		return err
	}
	return t.frameEnded()
}

// End is the size in bytes that a volume has which ends with these members.
func (p *Prologue) End(located []Located) int64 {
	end := p.size
	if n := len(located); n > 0 {
		end = located[n-1].Offset + located[n-1].Length
	}
	return end + int64(len(endOfArchive()))
}

// reason is what the inventory says about a blob that is missing.
func (b *Bundle) reason(d digest.Digest) string {
	if b.Inventory != nil {
		for _, m := range b.Inventory.Missing {
			if m.Digest == d {
				return m.Reason
			}
		}
	}
	return "it was left out when the bundle was packed"
}
