package transfer_test

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/registry"
	"satchel/transfer"
)

// makeBundle packs images, which are called source.example/…, into a new
// directory.
func makeBundle(t testing.TB, volumeSize int64, o transfer.SelectOptions, images ...fixtures.Image) string {
	t.Helper()
	source := newOrigin(images...)
	return writeBundle(t, plan(t, source.sources(), "source.example", volumeSize, o, images...), source)
}

// writeBundle writes the volumes of a plan into a new directory, without the blobs
// that are left out.
func writeBundle(t testing.TB, prologue *bundle.Prologue, source *origin, leftOut ...bundle.Missing) string {
	t.Helper()
	path := t.TempDir()
	dir, err := bundle.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	var volumes []bundle.Volume
	var gate io.Reader
	for n := 1; n <= prologue.Plan().Volumes; n++ {
		w, err := bundle.CreateVolume(dir, prologue, n)
		if err != nil {
			t.Fatal(err)
		}
		for m, ok := w.Next(); ok; m, ok = w.Next() {
			if slices.ContainsFunc(leftOut, func(l bundle.Missing) bool { return l.Digest == m.Blob.Digest }) {
				w.Skip()
				continue
			}
			if m.Start == 0 {
				content := source.contents[m.Blob.Digest].Open()
				defer content.Close()
				if gate, err = oci.NewReader(content, m.Blob.Descriptor()); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.WriteMember(gate); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		v, err := w.Commit()
		if err != nil {
			t.Fatal(err)
		}
		volumes = append(volumes, v)
	}
	if _, _, err := bundle.Finish([]bundle.Dir{dir}, prologue, volumes, leftOut); err != nil {
		t.Fatal(err)
	}
	return path
}

func openBundle(t testing.TB, paths ...string) *bundle.Bundle {
	t.Helper()
	var media []bundle.Medium
	for _, path := range paths {
		media = append(media, bundle.Medium{Name: path, FS: os.DirFS(path)})
	}
	b, err := bundle.Open(media...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// unpack replays a directory into a registry, under mirror/.
func unpack(t testing.TB, path string, site *fixtures.Registry) *transfer.Receipt {
	t.Helper()
	receipt, err := transfer.Unpack(t.Context(), openBundle(t, path), client(t), transfer.UnpackOptions{To: site.Host() + "/mirror"})
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// into are the options for unpacking into a registry, under mirror/.
func into(site *fixtures.Registry) transfer.UnpackOptions {
	return transfer.UnpackOptions{To: site.Host() + "/mirror"}
}

// states returns the states of the images in a receipt by repository at the
// source.
func states(receipt *transfer.Receipt, images []fixtures.Image) map[string]string {
	all := make(map[string]string)
	for i, image := range receipt.Images {
		all[images[i].Repository] = image.State
	}
	return all
}

// siteTag is the tag that an image has at the site.
func siteTag(image fixtures.Image) string {
	if image.Tag == "" {
		return "digest-" + image.Root.Digest.Encoded()
	}
	return image.Tag
}

// isWhole reports whether an image is visible under its tag, and fails the test
// when it is and something below it is not there, or is wrong.
func isWhole(t testing.TB, site *fixtures.Registry, image fixtures.Image) bool {
	t.Helper()
	repository := "mirror/" + image.Repository
	digests := site.Digests()[repository]
	if got, ok := digests[siteTag(image)]; !ok {
		return false
	} else if got != image.Root.Digest {
		t.Errorf("%s:%s is %s, want %s", repository, siteTag(image), got, image.Root.Digest)
	}
	blobs := site.Blobs(repository)
	for _, m := range image.Manifests {
		if _, ok := digests[m.Descriptor.Digest.String()]; !ok {
			t.Errorf("%s is visible and lacks manifest %s", image.Reference(), m.Descriptor.Digest)
		}
	}
	for _, b := range image.Blobs {
		if !slices.Contains(blobs, b.Descriptor.Digest) {
			t.Errorf("%s is visible and lacks blob %s", image.Reference(), b.Descriptor.Digest)
		}
	}
	return true
}

// checkSite checks that exactly the wanted images are visible, and whole.
func checkSite(t testing.TB, what string, site *fixtures.Registry, images []fixtures.Image, want func(fixtures.Image) bool) {
	t.Helper()
	for _, image := range images {
		if got := isWhole(t, site, image); got != want(image) {
			t.Errorf("%s: %s is visible: %t", what, image.Reference(), got)
		}
	}
}

func every(fixtures.Image) bool { return true }
func none(fixtures.Image) bool  { return false }

// puts returns the manifests that were put, in order: REPOSITORY/REFERENCE.
func puts(s fixtures.Stats) []string {
	var all []string
	for _, line := range s.Log {
		if rest, ok := strings.CutPrefix(line, "PUT /v2/"); ok && strings.Contains(rest, "/manifests/") {
			name, status, _ := strings.Cut(rest, " ")
			if status == "201" {
				all = append(all, strings.Replace(name, "/manifests/", "/", 1))
			}
		}
	}
	return all
}

// watched is a target with eyes on it.
type watched struct {
	*registry.Client
	// before is called before a blob is pushed, and can fail that.
	before func(ctx context.Context, d oci.Descriptor) error
	// manifest is called before a manifest is pushed.
	manifest func(repository, tag string)
	// tagged is called after a manifest was pushed with a tag.
	tagged  func(repository, tag string)
	resolve func(oci.Reference) (oci.Descriptor, bool)

	mu         sync.Mutex
	open, most int
	opened     []digest.Digest
}

func (w *watched) PushBlob(ctx context.Context, repository string, d oci.Descriptor, open func(context.Context) (io.ReadCloser, error)) error {
	if w.before != nil {
		if err := w.before(ctx, d); err != nil {
			return err
		}
	}
	return w.Client.PushBlob(ctx, repository, d, func(ctx context.Context) (io.ReadCloser, error) {
		r, err := open(ctx)
		if err != nil {
			return nil, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.opened = append(w.opened, d.Digest)
		w.open++
		w.most = max(w.most, w.open)
		return &watchedReader{r, w}, nil
	})
}

func (w *watched) PushManifest(ctx context.Context, repository, tag string, d oci.Descriptor, content []byte) error {
	if w.manifest != nil {
		w.manifest(repository, tag)
	}
	if err := w.Client.PushManifest(ctx, repository, tag, d, content); err != nil {
		return err
	}
	if tag != "" && w.tagged != nil {
		w.tagged(repository, tag)
	}
	return nil
}

func (w *watched) Resolve(ctx context.Context, ref oci.Reference) (oci.Descriptor, []byte, error) {
	if w.resolve != nil {
		if d, ok := w.resolve(ref); ok {
			return d, nil, nil
		}
	}
	return w.Client.Resolve(ctx, ref)
}

type watchedReader struct {
	io.ReadCloser
	target *watched
}

func (r *watchedReader) Close() error {
	r.target.mu.Lock()
	defer r.target.mu.Unlock()
	r.target.open--
	return r.ReadCloser.Close()
}
