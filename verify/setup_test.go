package verify_test

import (
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"testing/fstest"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/transfer"
	"satchel/verify"
)

// memory is where images are packed from.
type memory map[digest.Digest]fixtures.Content

func (m memory) Resolve(_ context.Context, ref oci.Reference) (oci.Descriptor, []byte, error) {
	c := m[ref.Digest]
	content, err := c.Bytes()
	return c.Descriptor, content, err
}

func (m memory) Manifest(_ context.Context, _ string, d oci.Descriptor) ([]byte, error) {
	return m[d.Digest].Bytes()
}

func (m memory) Blob(_ context.Context, _ string, d oci.Descriptor, offset, _ int64) (io.ReadCloser, bool, error) {
	r := m[d.Digest].Open()
	_, err := r.Seek(offset, io.SeekStart)
	return r, true, err
}

func (m memory) ForeignBlob(_ context.Context, _ []string, d oci.Descriptor) (io.ReadCloser, error) {
	return m[d.Digest].Open(), nil
}

const smallVolume = 120_000

// images share nothing but the base of the first two; the last has a layer that
// volumes of smallVolume cut.
func images() []fixtures.Image {
	base := fixtures.GzipLayer(fixtures.Files("base")...)
	list := []fixtures.Image{
		fixtures.NewIndex(
			fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{base, fixtures.OpaqueLayer("a", 60_000)}}),
			fixtures.NewImage(fixtures.ImageSpec{Platform: oci.Platform{OS: "linux", Architecture: "arm64"}, Layers: []fixtures.Layer{fixtures.EmptyLayer()}})),
		fixtures.NewImage(fixtures.ImageSpec{Docker: true, Layers: []fixtures.Layer{base, fixtures.OpaqueLayer("b", 60_000), fixtures.OpaqueLayer("none", 0)}}),
		fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{fixtures.TextLayer("c", 30_000), fixtures.OpaqueLayer("c", 40_000)}}),
		fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{fixtures.OpaqueLayer("big", 300_000)}}),
	}
	for i, name := range []string{"team/a", "team/b", "team/c", "team/big"} {
		list[i] = list[i].Named(name, "")
	}
	return list
}

// made is the files of a bundle, by name.
type made map[string]string

// makeBundle packs the images; edit may change what is planned.
func makeBundle(t testing.TB, edit func(*bundle.Selection), images ...fixtures.Image) made {
	t.Helper()
	source := memory{}
	var wanted []transfer.Wanted
	for _, image := range images {
		for _, c := range slices.Concat(image.Manifests, image.Blobs) {
			source[c.Descriptor.Digest] = c
		}
		wanted = append(wanted, transfer.Wanted{Name: oci.Reference{Repository: "source.example/" + image.Repository, Digest: image.Root.Digest}})
	}
	sources := transfer.Sources{Registry: source}
	s, err := transfer.Select(t.Context(), sources, wanted, transfer.SelectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.Name = "test"
	if edit != nil {
		edit(&s)
	}
	_, prologue, err := bundle.NewPlan(s, smallVolume)
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir()
	dir, err := bundle.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, _, err := transfer.Pack(t.Context(), dir, prologue, sources, transfer.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	all := made{}
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(path, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(content)
	}
	return all
}

// with returns a copy in which one file is another; an empty one is left out.
func (m made) with(name, content string) made {
	c := maps.Clone(m)
	if c[name] = content; content == "" {
		delete(c, name)
	}
	return c
}

// flip returns a copy with one bit changed.
func (m made) flip(name string, at int64) made {
	content := []byte(m[name])
	content[at] ^= 0x10
	return m.with(name, string(content))
}

// open opens the files as media named "medium 1" and so on.
func open(t testing.TB, media ...made) *bundle.Bundle {
	t.Helper()
	var list []bundle.Medium
	for i, m := range media {
		files := fstest.MapFS{}
		for name, content := range m {
			files[name] = &fstest.MapFile{Data: []byte(content)}
		}
		list = append(list, bundle.Medium{Name: "medium " + strconv.Itoa(i+1), FS: files})
	}
	b, err := bundle.Open(list...)
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

// check verifies, and fails the test when that panics.
func check(t testing.TB, o verify.Options, media ...made) (r *verify.Report) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("panic: %v", p)
			r = &verify.Report{}
		}
	}()
	r = verify.Bundle(t.Context(), open(t, media...), o)
	if r.OK != (r.Err() == nil) {
		t.Errorf("OK is %t, Err %v", r.OK, r.Err())
	}
	return r
}

func states(r *verify.Report) (volumes, images []string) {
	for _, v := range r.Volumes {
		volumes = append(volumes, v.State)
	}
	for _, i := range r.Images {
		images = append(images, i.State)
	}
	return volumes, images
}

func volumeName(n int) string { return "test-000" + strconv.Itoa(n) + ".tar.zst" }
