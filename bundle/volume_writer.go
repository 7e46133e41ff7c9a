package bundle

import (
	"bytes"
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

// VolumeWriter writes one volume, member after member, under an unfinished name.
// It is not for concurrent use.
type VolumeWriter struct {
	dir      Dir
	name     string
	file     File
	encoder  *zstd.Encoder
	volume   Volume
	prologue *Prologue
	members  []Member // still to be written
	hash     hash.Hash
	frame    []byte
	packed   []byte
}

// CreateVolume begins volume n with its prologue. An unfinished file of that
// name is replaced. The caller ends with [VolumeWriter.Finish] and
// [VolumeWriter.Commit], or gives up with [VolumeWriter.Close].
func CreateVolume(dir Dir, prologue *Prologue, n int) (*VolumeWriter, error) {
	encoder, err := newEncoder()
	if err != nil {
		return nil, fmt.Errorf("zstd encoder: %w", err)
	}
	plan := prologue.plan
	w := &VolumeWriter{
		dir: dir, name: plan.VolumeName(n), encoder: encoder, prologue: prologue,
		members: plan.Members(n), hash: sha256.New(), frame: make([]byte, 0, maxStoredFrame),
		volume: Volume{Name: plan.VolumeName(n), Number: n, Members: []Placed{}},
	}
	partial := w.name + partialSuffix
	if err := dir.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing %s: %w", partial, err)
	}
	if w.file, err = dir.Create(partial); err != nil {
		return nil, fmt.Errorf("creating %s: %w", partial, err)
	}
	if err := prologue.writeTo((*volumeSink)(w), n); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: prologue: %w", w.name, err), w.file.Close())
	}
	return w, nil
}

// volumeSink is the one way of bytes into the volume: counted and hashed.
type volumeSink VolumeWriter

func (s *volumeSink) Write(b []byte) (int, error) {
	if s.volume.Size+int64(len(b)) > s.prologue.plan.VolumeSize {
		return 0, fmt.Errorf("satchel: internal: %s would exceed %d bytes", s.name, s.prologue.plan.VolumeSize)
	}
	n, err := s.file.Write(b)
	s.hash.Write(b[:n])
	s.volume.Size += int64(n)
	return n, err
}

// Next returns the member that must be written next; false when there is none.
func (w *VolumeWriter) Next() (Member, bool) {
	if len(w.members) == 0 {
		return Member{}, false
	}
	return w.members[0], true
}

// WriteMember writes the next member, whose content it takes from r: Member.Size
// bytes, and with the last bytes of a blob the io.EOF of the gate that r must
// be. An error of r is returned so that errors.As finds it; the volume then ends
// in a broken member and can only be rolled back or given up.
func (w *VolumeWriter) WriteMember(r io.Reader) error {
	m, ok := w.Next()
	if !ok {
		return fmt.Errorf("satchel: internal: %s has no further member", w.name)
	}
	offset := w.volume.Size
	header, err := appendTarHeader(nil, m.Name(), m.Size)
	if err != nil {
		return err
	}
	left := tarBlock + padded(m.Size)
	content := io.MultiReader(bytes.NewReader(header), &exactly{r, m.Size},
		bytes.NewReader(make([]byte, padded(m.Size)-m.Size)))
	for left > 0 {
		n := int(min(left, frameContent))
		left -= int64(n)
		if w.frame, err = fillStored(w.frame, n, content); err != nil {
			w.frame = make([]byte, 0, maxStoredFrame)
			return fmt.Errorf("%s: member %s: %w", w.name, m.Name(), err)
		}
		frame := w.frame
		if m.Blob.Compress {
			frame = w.compressed(frame, n)
		}
		if _, err := (*volumeSink)(w).Write(frame); err != nil {
			return fmt.Errorf("writing %s: %w", w.name, err)
		}
	}
	if m.Last() {
		// A gate gives its verdict with the end of the content, not before.
		if n, err := io.ReadFull(r, make([]byte, 1)); n > 0 || err != io.EOF {
			if n > 0 || err == nil {
				err = &oci.MismatchError{Want: m.Blob.Descriptor(), GotSize: m.Blob.Size + 1}
			}
			return fmt.Errorf("%s: member %s: %w", w.name, m.Name(), err)
		}
	}
	w.volume.Members = append(w.volume.Members, Placed{
		Digest: m.Blob.Digest, Offset: offset, Length: w.volume.Size - offset, Start: m.Start, Size: m.Size,
	})
	w.members = w.members[1:]
	return nil
}

// compressed returns a smaller frame of the content of a stored one, or the
// stored one.
func (w *VolumeWriter) compressed(stored []byte, n int) []byte {
	content := make([]byte, 0, n)
	for at := frameHeader; len(content) < n; {
		size := min(n-len(content), blockContent)
		content = append(content, stored[at+blockHeader:at+blockHeader+size]...)
		at += blockHeader + size
	}
	w.packed = w.encoder.EncodeAll(content, w.packed[:0])
	if len(w.packed) < len(stored) {
		return w.packed
	}
	return stored
}

// exactly reads n bytes of r and treats an early end as an error.
type exactly struct {
	r io.Reader
	n int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.n)])
	e.n -= int64(n)
	if e.n > 0 {
		return n, noEOF(err)
	}
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// Checkpoint is a place between two members of a volume to which it can be cut
// back.
type Checkpoint struct {
	size    int64
	members []Member
	placed  int
	hash    hash.Hash
}

// Checkpoint remembers the end of what is written.
func (w *VolumeWriter) Checkpoint() (Checkpoint, error) {
	h, err := cloneHash(w.hash)
	return Checkpoint{size: w.volume.Size, members: w.members, placed: len(w.volume.Members), hash: h}, err
}

// Rollback cuts the volume back to a checkpoint of the same writer, before
// [VolumeWriter.Finish] or after it.
func (w *VolumeWriter) Rollback(c Checkpoint) (err error) {
	if w.hash, err = cloneHash(c.hash); err != nil {
		return err
	}
	w.volume.Size, w.members, w.volume.Members = c.size, c.members, w.volume.Members[:c.placed]
	if err := w.file.Truncate(c.size); err != nil {
		return fmt.Errorf("cutting %s back: %w", w.name, err)
	}
	if _, err := w.file.Seek(c.size, io.SeekStart); err != nil {
		return fmt.Errorf("cutting %s back: %w", w.name, err)
	}
	return nil
}

func cloneHash(h hash.Hash) (hash.Hash, error) {
	cloner, ok := h.(hash.Cloner)
	if !ok {
		return nil, errors.New("satchel: internal: SHA-256 cannot be cloned")
	}
	return cloner.Clone()
}

// Finish ends the volume and makes its bytes durable. The file stays open and
// keeps its unfinished name until [VolumeWriter.Commit].
func (w *VolumeWriter) Finish() error {
	if len(w.members) > 0 {
		return fmt.Errorf("satchel: internal: %s lacks %d members", w.name, len(w.members))
	}
	if _, err := (*volumeSink)(w).Write(endOfArchive()); err != nil {
		return fmt.Errorf("writing %s: %w", w.name, err)
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", w.name, err)
	}
	return nil
}

// Commit gives a finished volume its final name and returns what the inventory
// says of it.
func (w *VolumeWriter) Commit() (Volume, error) {
	w.volume.Digest = digest.NewDigest(digest.SHA256, w.hash)
	if err := w.Close(); err != nil {
		return Volume{}, err
	}
	if err := commitName(w.dir, w.name+partialSuffix, w.name); err != nil {
		return Volume{}, err
	}
	return w.volume, nil
}

// Close closes the file, which stays as it is, unfinished if it was not
// committed. It may be called more than once.
func (w *VolumeWriter) Close() error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	if err != nil {
		return fmt.Errorf("closing %s: %w", w.name, err)
	}
	return nil
}
