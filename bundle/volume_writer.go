package bundle

import (
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

// VolumeWriter writes one volume, member after member, under an unfinished name.
// It is not for concurrent use.
type VolumeWriter struct {
	dir      Dir
	name     string
	file     File
	volume   Volume
	prologue *Prologue
	members  []Member   // still to be written
	hash     hash.Hash  // of what was written before side was begun
	begun    checkpoint // before the first member of the blob that was begun last
	// These cost memory, and exist only while members are being written.
	side    *sideHash
	encoder *zstd.Encoder
	plain   []byte // a frame before it is compressed
}

// CreateVolume begins volume n with its prologue. An unfinished file of that
// name is replaced; to go on with it, there is [Standing.Resume]. The caller ends with [VolumeWriter.Finish] and
// [VolumeWriter.Commit], or gives up with [VolumeWriter.Close].
func CreateVolume(dir Dir, prologue *Prologue, n int) (*VolumeWriter, error) {
	plan := prologue.plan
	w := &VolumeWriter{
		dir: dir, name: plan.VolumeName(n), prologue: prologue,
		members: plan.Members(n), hash: sha256.New(),
		volume: Volume{Name: plan.VolumeName(n), Number: n, Members: []Placed{}},
	}
	if err := prologue.canWrite(); err != nil {
		return nil, err
	}
	partial := w.name + partialSuffix
	if err := dir.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("removing %s: %w", partial, err)
	}
	var err error
	if w.file, err = dir.Create(partial); err != nil {
		return nil, fmt.Errorf("creating %s: %w", partial, err)
	}
	if err := prologue.writeTo((*volumeSink)(w), n); err != nil {
		return nil, errors.Join(fmt.Errorf("writing the prologue of %s: %w", w.name, err), w.file.Close())
	}
	return w, nil
}

// volumeSink is the way of bytes into the volume while no member is being
// written: counted and hashed.
type volumeSink VolumeWriter

func (s *volumeSink) Write(b []byte) (int, error) {
	w := (*VolumeWriter)(s)
	err := w.write(b)
	w.pause()
	w.hash.Write(b)
	return len(b), err
}

// write appends to the file; hashing is up to the caller.
func (w *VolumeWriter) write(b []byte) error {
	if w.volume.Size+int64(len(b)) > w.prologue.plan.VolumeSize {
		return fmt.Errorf("satchel: internal: %s would exceed %d bytes", w.name, w.prologue.plan.VolumeSize)
	}
	n, err := w.file.Write(b)
	w.volume.Size += int64(n)
	return err
}

// pause ends the hashing on the side and frees the buffers.
func (w *VolumeWriter) pause() {
	if w.side != nil {
		w.hash = w.side.close()
		w.side, w.encoder, w.plain = nil, nil, nil
	}
}

// Next returns the member that must be written next; false when there is none.
func (w *VolumeWriter) Next() (Member, bool) {
	if len(w.members) == 0 {
		return Member{}, false
	}
	return w.members[0], true
}

// Left returns the members that are still to be written; they must not be
// changed.
func (w *VolumeWriter) Left() []Member { return w.members }

// WriteMember writes the next member, whose content it takes from r: Member.Size
// bytes, and with the last bytes of a blob the io.EOF of the gate that r must
// be. An error of r is returned so that errors.As finds it; the volume then ends
// in a broken member and can only be cut back with [VolumeWriter.Undo] or given
// up.
func (w *VolumeWriter) WriteMember(r io.Reader) error {
	m, ok := w.Next()
	if !ok {
		return fmt.Errorf("satchel: internal: %s has no further member", w.name)
	}
	if w.begun.blob != m.Blob {
		w.begun = w.checkpoint(m.Blob)
	}
	offset := w.volume.Size
	header, err := appendTarHeader(nil, m.Name(), m.Size)
	if err != nil {
		return err
	}
	left := tarBlock + padded(m.Size)
	content := io.MultiReader(bytes.NewReader(header), &exactly{r, m.Size},
		bytes.NewReader(make([]byte, padded(m.Size)-m.Size)))
	if w.side == nil {
		w.side = newSideHash(w.hash)
	}
	for left > 0 {
		n := int(min(left, frameContent))
		left -= int64(n)
		buffer := w.side.take()
		frame, err := w.makeFrame(buffer, n, content, m.Blob.Compress)
		if err != nil {
			w.side.give(buffer)
			return fmt.Errorf("%s: member %s: %w", w.name, m.Name(), err)
		}
		err = w.write(frame)
		w.side.put(frame)
		if err != nil {
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

// makeFrame builds in buffer the frame of the next n bytes of r.
func (w *VolumeWriter) makeFrame(buffer []byte, n int, r io.Reader, compress bool) (frame []byte, err error) {
	if !compress {
		return fillStored(buffer, n, r)
	}
	if w.encoder == nil {
		if w.encoder, err = newEncoder(); err != nil {
			return nil, fmt.Errorf("zstd encoder: %w", err)
		}
		w.plain = make([]byte, frameContent)
	}
	if _, err := io.ReadFull(r, w.plain[:n]); err != nil {
		return nil, noEOF(err)
	}
	return appendSmaller(buffer, w.plain[:n], w.encoder), nil
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

// checkpoint is the place in a volume where a blob begins.
type checkpoint struct {
	blob    *Blob
	size    int64
	members []Member
	placed  int
	hash    <-chan hash.Hash
}

// checkpoint remembers the end of what is written.
func (w *VolumeWriter) checkpoint(b *Blob) checkpoint {
	clone := make(chan hash.Hash, 1)
	if w.side != nil {
		w.side.snapshot(clone)
	} else {
		clone <- cloneHash(w.hash)
	}
	return checkpoint{blob: b, size: w.volume.Size, members: w.members, placed: len(w.volume.Members), hash: clone}
}

// Undo cuts the volume back to where the blob begins, if that is the one whose
// member was written, or begun to be, last: before [VolumeWriter.Finish] or after
// it. Else it does nothing.
func (w *VolumeWriter) Undo(b *Blob) error {
	c := w.begun
	if c.blob != b {
		return nil
	}
	w.pause()
	w.begun, w.hash = checkpoint{}, <-c.hash
	w.volume.Size, w.members, w.volume.Members = c.size, c.members, w.volume.Members[:c.placed]
	return w.cutBack()
}

// cutBack makes the file end where the volume does.
func (w *VolumeWriter) cutBack() error {
	if err := w.file.Truncate(w.volume.Size); err != nil {
		return fmt.Errorf("cutting %s back: %w", w.name, err)
	}
	if _, err := w.file.Seek(w.volume.Size, io.SeekStart); err != nil {
		return fmt.Errorf("cutting %s back: %w", w.name, err)
	}
	return nil
}

// Skip leaves out the next member: its blob could not be had.
func (w *VolumeWriter) Skip() { w.members = w.members[1:] }

// Finish ends the volume and makes its bytes durable. The file stays open and
// keeps its unfinished name until [VolumeWriter.Commit].
func (w *VolumeWriter) Finish() error {
	if len(w.members) > 0 {
		return fmt.Errorf("satchel: internal: %s lacks %d members", w.name, len(w.members))
	}
	if _, err := (*volumeSink)(w).Write(endOfArchive()); err != nil { // which also frees the buffers
		return fmt.Errorf("writing %s: %w", w.name, err)
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("syncing %s: %w", w.name, err)
	}
	return nil
}

// ReadBackError says that a medium gives back other bytes than were written.
type ReadBackError struct {
	Volume    string
	Want, Got digest.Digest // Got is empty when it could not be read
	Err       error
}

func (e *ReadBackError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("reading %s back: %v", e.Volume, e.Err)
	}
	return fmt.Sprintf("reading %s back: the medium gives other bytes than were written: %s instead of %s", e.Volume, e.Got, e.Want)
}

func (e *ReadBackError) Unwrap() error { return e.Err }

// ReadBack reads a finished volume from the medium, not from what the system
// keeps of it in memory, and compares: bad and fake flash takes every write.
// progress is told how many bytes were read. It returns a [*ReadBackError] when
// they differ or cannot be read.
func (w *VolumeWriter) ReadBack(ctx context.Context, progress func(int64)) error {
	name := w.name + partialSuffix
	want := digest.NewDigest(digest.SHA256, w.hash)
	if err := w.dir.Uncache(name); err != nil {
		return fmt.Errorf("reading %s back: %w", w.name, err)
	}
	file, size, err := openRegular(w.dir.FS(), name)
	if err != nil {
		return &ReadBackError{Volume: w.name, Want: want, Err: err}
	}
	sum := sha256.New()
	r := &watchedReader{ctx: ctx, r: io.NewSectionReader(file, 0, size), progress: progress}
	_, err = io.CopyBuffer(struct{ io.Writer }{sum}, r, make([]byte, readAhead))
	if err = errors.Join(err, file.Close()); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &ReadBackError{Volume: w.name, Want: want, Err: err}
	}
	if got := digest.NewDigest(digest.SHA256, sum); got != want || size != w.volume.Size {
		return &ReadBackError{Volume: w.name, Want: want, Got: got}
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
	w.pause()
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
