package transfer_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/registry"
	"satchel/transfer"
)

// client returns a client that reads no file of the machine and never tries
// again unless edit says so.
func client(t testing.TB, edit ...func(*registry.Options)) *registry.Client {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"auth.json": "{}", "registries.conf": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := registry.Options{
		AuthFile: filepath.Join(dir, "auth.json"), RegistriesConf: filepath.Join(dir, "registries.conf"),
		Insecure: true, Direct: true, Retries: -1,
	}
	for _, f := range edit {
		f(&o)
	}
	c, err := registry.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// serve starts a registry with the images.
func serve(t testing.TB, o fixtures.Options, images ...fixtures.Image) *fixtures.Registry {
	t.Helper()
	r := fixtures.NewRegistry(o)
	if err := r.Add(images...); err != nil {
		t.Fatal(err)
	}
	r.Start()
	t.Cleanup(r.Close)
	return r
}

// wanted names images in a registry.
func wanted(t testing.TB, host string, images ...fixtures.Image) []transfer.Wanted {
	t.Helper()
	var all []transfer.Wanted
	for _, image := range images {
		ref, err := oci.SplitReference(host + "/" + image.Reference())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, transfer.Wanted{Name: ref})
	}
	return all
}

// plan selects images and plans their bundle.
func plan(t testing.TB, sources transfer.Sources, host string, volumeSize int64, o transfer.SelectOptions, images ...fixtures.Image) *bundle.Prologue {
	t.Helper()
	s, err := transfer.Select(t.Context(), sources, wanted(t, host, images...), o)
	if err != nil {
		t.Fatal(err)
	}
	s.Name = "test"
	_, prologue, err := bundle.NewPlan(s, volumeSize)
	if err != nil {
		t.Fatal(err)
	}
	return prologue
}

// packInto packs onto one medium.
func packInto(ctx context.Context, dir bundle.Dir, prologue *bundle.Prologue, sources transfer.Sources, o transfer.PackOptions) (*bundle.Inventory, digest.Digest, error) {
	packed, err := transfer.Pack(ctx, []transfer.Output{{Name: "stick", Dir: dir}}, prologue, sources, o)
	if err != nil {
		return nil, "", err
	}
	return packed.Inventory, packed.Bundle, nil
}

// origin is a registry by call: it serves images under any host, and can be told
// to go wrong.
type origin struct {
	contents map[digest.Digest]fixtures.Content
	tags     map[string]oci.Descriptor
	// wrap may replace a blob's reader; n counts the opens of the blob from 1.
	wrap func(ctx context.Context, n int, d oci.Descriptor, offset int64, r io.Reader) io.Reader

	mu    sync.Mutex
	opens map[digest.Digest]int
}

func newOrigin(images ...fixtures.Image) *origin {
	o := &origin{
		contents: make(map[digest.Digest]fixtures.Content), tags: make(map[string]oci.Descriptor), opens: make(map[digest.Digest]int),
	}
	for _, image := range images {
		for _, c := range slices.Concat(image.Manifests, image.Blobs) {
			o.contents[c.Descriptor.Digest] = c
		}
		o.tags[image.Repository+":"+image.Tag] = image.Root
	}
	return o
}

func (o *origin) sources() transfer.Sources { return transfer.Sources{Registry: o} }

func (o *origin) Resolve(_ context.Context, ref oci.Reference) (oci.Descriptor, []byte, error) {
	d := oci.Descriptor{Digest: ref.Digest}
	if d.Digest == "" {
		d = o.tags[ref.Path()+":"+ref.Tag]
	}
	c, ok := o.contents[d.Digest]
	if !ok {
		return d, nil, errors.New("no such image")
	}
	content, err := c.Bytes()
	return oci.Descriptor{MediaType: c.Descriptor.MediaType, Digest: d.Digest, Size: c.Descriptor.Size}, content, err
}

func (o *origin) Manifest(_ context.Context, _ string, d oci.Descriptor) ([]byte, error) {
	return o.contents[d.Digest].Bytes()
}

func (o *origin) Blob(ctx context.Context, _ string, d oci.Descriptor, offset, length int64) (io.ReadCloser, bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	content := o.contents[d.Digest].Open()
	if _, err := content.Seek(offset, io.SeekStart); err != nil {
		return nil, false, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.opens[d.Digest]++
	r := io.LimitReader(content, length)
	if o.wrap != nil {
		r = o.wrap(ctx, o.opens[d.Digest], d, offset, r)
	}
	return struct {
		io.Reader
		io.Closer
	}{r, content}, true, nil
}

func (o *origin) ForeignBlob(_ context.Context, urls []string, d oci.Descriptor) (io.ReadCloser, error) {
	return o.contents[d.Digest].Open(), nil
}

// flipped changes one bit of the first byte.
func flipped(r io.Reader) io.Reader {
	first := true
	return readerFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		if first && n > 0 {
			p[0] ^= 1
			first = false
		}
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// files reads a directory.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(content)
	}
	return all
}

// mustAs fails the test when err is not of type T.
func mustAs[T error](t testing.TB, err error) T {
	t.Helper()
	var target T
	if !errors.As(err, &target) {
		t.Fatalf("got %v (%T), want %T", err, err, target)
	}
	return target
}
