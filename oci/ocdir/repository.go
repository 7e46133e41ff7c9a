package ocdir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// Repository is one repository of a tree. Its methods may be called concurrently
// as long as the tree is open.
type Repository struct {
	tree *Tree
	name string
	err  error // of the name
}

// Repository returns the repository of that name, which need not exist. Calls of
// one whose name is not in the grammar fail.
func (t *Tree) Repository(name string) *Repository {
	return &Repository{tree: t, name: name, err: checkRepository(name)}
}

// Resolve returns the descriptor of the manifest that name, a tag or a digest,
// means: its content is read and agrees with the digest, its media type is
// guessed from it. The error wraps [fs.ErrNotExist] when tag or manifest are
// absent, is a [*oci.MismatchError] when the content is another, and wraps
// [oci.ErrSchema1] for Docker schema 1.
func (r *Repository) Resolve(ctx context.Context, name string) (oci.Descriptor, error) {
	d, err := r.digest(name)
	if err != nil {
		return oci.Descriptor{}, r.wrap(err)
	}
	content, err := r.manifest(ctx, oci.Descriptor{Digest: d, Size: -1})
	if err != nil {
		return oci.Descriptor{}, r.wrap(fmt.Errorf("manifest %s: %w", d, err))
	}
	mediaType, err := guess(content)
	if err != nil {
		return oci.Descriptor{}, r.wrap(fmt.Errorf("manifest %s: %w", d, err))
	}
	return oci.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(content))}, nil
}

// digest returns the digest that a tag or a digest means.
func (r *Repository) digest(name string) (digest.Digest, error) {
	if r.err != nil {
		return "", r.err
	}
	if isTag(name) {
		return r.tree.tag(r.name, name)
	}
	d := digest.Digest(name)
	if oci.CheckDigest(d) != nil {
		return "", fmt.Errorf("%.200q is neither a tag nor a sha256 digest", name)
	}
	return d, nil
}

// Manifest returns the bytes of the manifest d after their size and digest
// agreed. d may have at most [oci.MaxManifestSize] bytes. The error wraps
// [fs.ErrNotExist] when the manifest is absent, and is a [*oci.MismatchError]
// when it is something else wherever it is. The caller owns the bytes.
func (r *Repository) Manifest(ctx context.Context, d oci.Descriptor) ([]byte, error) {
	// Nothing that is not 64 hexadecimal digits becomes a file name.
	if err := oci.CheckDescriptor(d); err != nil {
		return nil, r.wrap(err)
	}
	content, err := r.manifest(ctx, d)
	if err != nil {
		return nil, r.wrap(fmt.Errorf("manifest %s: %w", d.Digest, err))
	}
	return content, nil
}

// manifest reads a manifest from the first place that has it right. A negative
// size of d stands for any.
func (r *Repository) manifest(ctx context.Context, d oci.Descriptor) (content []byte, err error) {
	if d.Size > oci.MaxManifestSize {
		return nil, fmt.Errorf("%d bytes are more than %d", d.Size, oci.MaxManifestSize)
	}
	err = r.first(ctx, d, []string{"manifests", "blobs"}, func(name string, file *os.File, size int64) error {
		defer file.Close() // opened for reading
		if size > oci.MaxManifestSize {
			return fmt.Errorf("%s: %d bytes are more than %d", name, size, oci.MaxManifestSize)
		}
		read, err := io.ReadAll(io.LimitReader(contextReader{ctx, file}, size+1))
		if err != nil {
			return fmt.Errorf("%s: %w", name, cause(err))
		}
		if err := oci.Verify(read, oci.Descriptor{Digest: d.Digest, Size: size}); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		content = read
		return nil
	})
	return content, err
}

// Blob returns a reader of the length bytes of d from offset, and true: it is
// exactly these. The range must lie within d. The error wraps [fs.ErrNotExist]
// when the blob is absent and is a [*oci.MismatchError] when its file has
// another size. The content is not verified: that is the caller's gate, as is
// noticing a file that shrinks while it is read. Reading ends with the context.
// The caller closes the reader.
func (r *Repository) Blob(ctx context.Context, d oci.Descriptor, offset, length int64) (io.ReadCloser, bool, error) {
	if err := oci.CheckDescriptor(d); err != nil {
		return nil, false, r.wrap(err)
	}
	if offset < 0 || length < 0 || offset > d.Size || length > d.Size-offset {
		return nil, false, fmt.Errorf("blob %s: range of %d bytes from %d is outside of its %d bytes",
			d.Digest, length, offset, d.Size)
	}
	var content io.ReadCloser
	err := r.first(ctx, d, []string{"blobs", "manifests"}, func(_ string, file *os.File, _ int64) error {
		content = &fileReader{contextReader{ctx, io.NewSectionReader(file, offset, length)}, file}
		return nil
	})
	if err != nil {
		return nil, false, r.wrap(fmt.Errorf("blob %s: %w", d.Digest, err))
	}
	return content, true, nil
}

// first opens the files that d may have, in turn, until use takes one; use closes
// it. What is wrong with a file says more than the absence of others.
func (r *Repository) first(ctx context.Context, d oci.Descriptor, dirs []string, use func(name string, file *os.File, size int64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.err != nil {
		return r.err
	}
	var wrong error
	for _, name := range candidates(r.name, d.Digest, dirs...) {
		file, size, err := r.tree.openFile(name)
		switch {
		case err != nil:
		case d.Size >= 0 && size != d.Size:
			file.Close() // opened for reading
			err = fmt.Errorf("%s: %w", name, &oci.MismatchError{Want: d, GotSize: min(size, d.Size+1)})
		default:
			err = use(name, file, size)
		}
		if err == nil {
			return nil
		}
		if wrong == nil && !errors.Is(err, fs.ErrNotExist) {
			wrong = err
		}
	}
	if wrong != nil {
		return wrong
	}
	return fmt.Errorf("neither in blobs nor in manifests: %w", fs.ErrNotExist)
}

func (r *Repository) wrap(err error) error {
	return fmt.Errorf("tree %s: repository %s: %w", r.tree.dir, printable(r.name), err)
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
