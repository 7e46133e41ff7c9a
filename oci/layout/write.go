//go:build !windows

package layout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"strings"
	"syscall"
	"unicode/utf8"

	specs "github.com/opencontainers/image-spec/specs-go"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/umoci/oci/cas"
	umoci "github.com/opencontainers/umoci/oci/cas/dir"

	"satchel/oci"
)

// temporaryPrefix is how umoci begins the names of its temporary directories.
const temporaryPrefix = ".umoci-"

// Create opens the layout in dir for reading and writing and makes a new one
// without images if dir is absent or empty. Of an existing layout it removes the
// temporary directories that an interrupted run left. Blobs and index.json are
// readable by their owner only, as umoci makes them. The caller closes the
// layout.
func Create(dir string) (*Layout, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("layout %s: %w", dir, err)
	}
	l, err := openRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("layout %s: %w", dir, err)
	}
	l.writable = true
	if err := l.prepare(); err != nil {
		l.root.Close()
		return nil, fmt.Errorf("layout %s: %w", dir, err)
	}
	return l, nil
}

func (l *Layout) prepare() error {
	here, err := l.root.Open(".")
	if err != nil {
		return err
	}
	names, err := here.Readdirnames(-1)
	here.Close()
	if err != nil {
		return err
	}
	if len(names) == 0 {
		if err := l.makeEmpty(); err != nil {
			return err
		}
	}
	if err := l.check(); err != nil {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, temporaryPrefix) {
			if err := l.removeTemporary(name); err != nil {
				return fmt.Errorf("removing what an interrupted run left: %w", err)
			}
		}
	}
	return nil
}

// makeEmpty does what umoci's Create does, which wants to make the directory
// itself. oci-layout comes last: what has it is whole.
func (l *Layout) makeEmpty() error {
	if err := l.root.MkdirAll(path.Join(ispec.ImageBlobsDir, cas.BlobAlgorithm.String()), 0o755); err != nil {
		return err
	}
	index := ispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ispec.MediaTypeImageIndex,
		Manifests: []ispec.Descriptor{},
	}
	if err := l.writeJSON(ispec.ImageIndexFile, index); err != nil {
		return err
	}
	return l.writeJSON(ispec.ImageLayoutFile, ispec.ImageLayout{Version: ispec.ImageLayoutVersion})
}

func (l *Layout) writeJSON(name string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return l.root.WriteFile(name, append(content, '\n'), 0o644)
}

// removeTemporary removes a temporary directory unless umoci holds its lock.
// umoci's Clean is not used: it takes the path of the layout for a pattern.
func (l *Layout) removeTemporary(name string) error {
	info, err := l.root.Lstat(name)
	if err != nil || !info.IsDir() {
		return err
	}
	file, err := l.root.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return nil // in use
	}
	return l.root.RemoveAll(name)
}

// PushBlob stores the blob d with the bytes that open returns; PushBlob closes
// what it returns. Bytes that are not d are an [*oci.MismatchError], and nothing
// of them stays. A blob that is there already is written anew, so a damaged one
// is healed: ask [Layout.HasBlob] to spare the work.
func (l *Layout) PushBlob(ctx context.Context, d oci.Descriptor, open func(ctx context.Context) (io.ReadCloser, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := oci.CheckDescriptor(d); err != nil {
		return err
	}
	err := l.withEngine(func(engine cas.Engine) error {
		source, err := open(ctx)
		if err != nil {
			return err
		}
		defer source.Close()
		gate, err := oci.NewReader(contextReader{ctx, source}, d)
		if err != nil {
			return err
		}
		_, _, err = engine.PutBlob(ctx, uninterrupted{gate})
		return err
	})
	if err != nil {
		return fmt.Errorf("layout %s: writing blob %s: %w", l.dir, d.Digest, err)
	}
	return nil
}

// uninterrupted hides EINTR: umoci reads on after it, for ever, because the
// gate's errors are final.
type uninterrupted struct {
	r io.Reader
}

func (u uninterrupted) Read(p []byte) (int, error) {
	n, err := u.r.Read(p)
	if errors.Is(err, syscall.EINTR) {
		err = errors.New(err.Error())
	}
	return n, err
}

// PutManifest stores the bytes of the manifest d as they are, after checking
// them against d.
func (l *Layout) PutManifest(ctx context.Context, d oci.Descriptor, content []byte) error {
	if d.Size > oci.MaxManifestSize {
		return fmt.Errorf("manifest %s: %d bytes are more than %d", d.Digest, d.Size, oci.MaxManifestSize)
	}
	return l.PushBlob(ctx, d, func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
}

// Tag gives the manifest d a name in index.json: all entries of that name are
// replaced by one, which comes last. The manifest must be in the layout. Any
// text is a name, also one outside of the grammar that the image specification
// gives for it, because tags like _x are outside. Other entries stay, but
// without fields that the image specification does not know. Other processes
// must not change index.json at the same time.
func (l *Layout) Tag(ctx context.Context, name string, d oci.Descriptor) error {
	// JSON has no other text than UTF-8: another name would change in silence.
	if name == "" || !utf8.ValidString(name) {
		return fmt.Errorf("layout %s: %q cannot be the name of an image", l.dir, name)
	}
	has, err := l.HasBlob(ctx, d)
	if err != nil {
		return err
	}
	if !has {
		return fmt.Errorf("layout %s: naming %s: manifest %s: %w", l.dir, shown(name), d.Digest, fs.ErrNotExist)
	}
	l.index.Lock()
	defer l.index.Unlock()
	if err := l.withEngine(func(engine cas.Engine) error {
		return l.replace(ctx, engine, name, d)
	}); err != nil {
		return fmt.Errorf("layout %s: naming %s: %w", l.dir, shown(name), err)
	}
	return nil
}

// replace changes index.json. umoci's UpdateReference is not used: it refuses
// names like "a__b" and changes the annotations of the caller's descriptor.
func (l *Layout) replace(ctx context.Context, engine cas.Engine, wanted string, d oci.Descriptor) error {
	index, err := l.readIndex()
	if err != nil {
		return err
	}
	kept := make([]oci.Descriptor, 0, len(index.Manifests)+1)
	for _, other := range index.Manifests {
		if name(other) != wanted {
			kept = append(kept, other)
		}
	}
	if len(kept) >= oci.MaxBlobs {
		return fmt.Errorf("%s: more than %d images", ispec.ImageIndexFile, oci.MaxBlobs)
	}
	d.Annotations = maps.Clone(d.Annotations)
	if d.Annotations == nil {
		d.Annotations = make(map[string]string)
	}
	d.Annotations[ispec.AnnotationRefName] = wanted
	index.Manifests = append(kept, d)
	return engine.PutIndex(ctx, index)
}

// withEngine runs one writing operation with an umoci engine of its own: an
// engine must not be used concurrently, and removes what failed only when it is
// closed.
func (l *Layout) withEngine(write func(cas.Engine) error) (err error) {
	if !l.writable {
		return errors.New("opened for reading only")
	}
	if err := l.checkDirectories(); err != nil {
		return err
	}
	engine, err := umoci.Open(l.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close()) }()
	return write(engine)
}

// checkDirectories makes sure that umoci, which follows links, writes into the
// layout and not to elsewhere.
func (l *Layout) checkDirectories() error {
	blobs := path.Join(ispec.ImageBlobsDir, cas.BlobAlgorithm.String())
	if err := l.root.MkdirAll(blobs, 0o755); err != nil {
		return err
	}
	for _, name := range []string{ispec.ImageBlobsDir, blobs} {
		info, err := l.root.Lstat(name)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s: not a directory but %s", name, info.Mode().Type())
		}
	}
	return nil
}
