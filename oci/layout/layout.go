//go:build !windows

package layout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"satchel/oci"
)

// maxLayoutFile bounds the file oci-layout in bytes; a real one has 30.
const maxLayoutFile = 64 << 10

// Layout is an open layout directory. Its methods may be called concurrently.
// Only one process may write to a layout at a time. The caller closes it.
type Layout struct {
	dir      string // absolute: umoci works by path
	root     *os.Root
	writable bool
	index    sync.Mutex // held while index.json is read, changed and replaced
}

// Open opens an existing layout for reading. It fails when oci-layout or
// index.json are absent or not those of a layout of version 1.0.0. The caller
// closes the layout.
func Open(dir string) (*Layout, error) {
	l, err := openRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("layout %s: %w", dir, err)
	}
	if err := l.check(); err != nil {
		l.root.Close()
		return nil, fmt.Errorf("layout %s: %w", dir, err)
	}
	return l, nil
}

func openRoot(dir string) (*Layout, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Layout{dir: dir, root: root}, nil
}

// check reads oci-layout and index.json.
func (l *Layout) check() error {
	file, size, err := l.openFile(ispec.ImageLayoutFile)
	if err != nil {
		return err
	}
	defer file.Close()
	if size > maxLayoutFile {
		return fmt.Errorf("%s: %d bytes are more than %d", ispec.ImageLayoutFile, size, maxLayoutFile)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxLayoutFile))
	if err != nil {
		return fmt.Errorf("%s: %w", ispec.ImageLayoutFile, err)
	}
	var version ispec.ImageLayout
	if err := json.Unmarshal(content, &version); err != nil {
		return fmt.Errorf("%s: %w", ispec.ImageLayoutFile, err)
	}
	if version.Version != ispec.ImageLayoutVersion {
		return fmt.Errorf("%s: version %.64q is not supported, only %q",
			ispec.ImageLayoutFile, version.Version, ispec.ImageLayoutVersion)
	}
	_, err = l.readIndex()
	return err
}

// Close releases the directory. Readers that [Layout.Blob] returned stay usable.
func (l *Layout) Close() error {
	return l.root.Close()
}

// Manifest returns the bytes of the manifest d after their size and digest
// agreed. d may have at most [oci.MaxManifestSize] bytes. The error wraps
// [fs.ErrNotExist] when the manifest is absent, and is a [*oci.MismatchError]
// when it is something else. The caller owns the bytes.
func (l *Layout) Manifest(ctx context.Context, d oci.Descriptor) ([]byte, error) {
	if d.Size > oci.MaxManifestSize {
		return nil, fmt.Errorf("manifest %s: %d bytes are more than %d", d.Digest, d.Size, oci.MaxManifestSize)
	}
	file, err := l.openBlob(ctx, d)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, d.Size+1))
	if err != nil {
		return nil, fmt.Errorf("layout %s: blob %s: %w", l.dir, d.Digest, err)
	}
	if err := oci.Verify(content, d); err != nil {
		return nil, fmt.Errorf("layout %s: blob: %w", l.dir, err)
	}
	return content, nil
}

// Blob returns a reader of the length bytes of d from offset, and true: it is
// exactly these. The range must lie within d. The error wraps [fs.ErrNotExist]
// when the blob is absent and is a [*oci.MismatchError] when its file has
// another size. The content is not verified: that is the caller's gate, as is
// noticing a file that shrinks while it is read. Reading ends with the
// context. The caller closes the reader.
func (l *Layout) Blob(ctx context.Context, d oci.Descriptor, offset, length int64) (io.ReadCloser, bool, error) {
	if offset < 0 || length < 0 || offset > d.Size || length > d.Size-offset {
		return nil, false, fmt.Errorf("blob %s: range of %d bytes from %d is outside of its %d bytes",
			d.Digest, length, offset, d.Size)
	}
	file, err := l.openBlob(ctx, d)
	if err != nil {
		return nil, false, err
	}
	section := io.NewSectionReader(file, offset, length)
	return &fileReader{contextReader{ctx, section}, file}, true, nil
}

// HasBlob reports whether the layout has a file of d's name and size. It does
// not read its content.
func (l *Layout) HasBlob(ctx context.Context, d oci.Descriptor) (bool, error) {
	file, err := l.openBlob(ctx, d)
	var mismatch *oci.MismatchError
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &mismatch):
		return false, nil
	case err != nil:
		return false, err
	}
	return true, file.Close()
}

// openBlob opens the file of d if it is a regular one of d's size.
func (l *Layout) openBlob(ctx context.Context, d oci.Descriptor) (*os.File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Nothing that is not 64 hexadecimal digits becomes a file name.
	if err := oci.CheckDescriptor(d); err != nil {
		return nil, err
	}
	file, size, err := l.openFile(blobPath(d))
	if err != nil {
		return nil, fmt.Errorf("layout %s: blob %s: %w", l.dir, d.Digest, err)
	}
	if size != d.Size {
		file.Close()
		return nil, fmt.Errorf("layout %s: blob: %w", l.dir, &oci.MismatchError{Want: d, GotSize: min(size, d.Size+1)})
	}
	return file, nil
}

func blobPath(d oci.Descriptor) string {
	return path.Join(ispec.ImageBlobsDir, d.Digest.Algorithm().String(), d.Digest.Encoded())
}

// openFile opens a regular file inside of the layout and returns its size.
func (l *Layout) openFile(name string) (*os.File, int64, error) {
	// Without O_NONBLOCK, opening a named pipe waits for its writer.
	file, err := l.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a regular file but %s", name, info.Mode().Type())
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// contextReader ends reading when the context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

type fileReader struct {
	contextReader
	io.Closer
}
