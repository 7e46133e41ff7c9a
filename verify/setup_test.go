package verify_test

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/verify"
)

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
	return newPacking(t, edit, images...).all(nil)
}

// packing is a plan with what its volumes are made of.
type packing struct {
	t        testing.TB
	prologue *bundle.Prologue
	contents map[digest.Digest]fixtures.Content
}

func newPacking(t testing.TB, edit func(*bundle.Selection), images ...fixtures.Image) *packing {
	t.Helper()
	p := &packing{t: t, contents: make(map[digest.Digest]fixtures.Content)}
	s := bundle.Selection{Name: "test", Contents: make(map[digest.Digest][]byte)}
	for _, image := range images {
		reference := "source.example/" + image.Reference()
		origin := bundle.Origin{Repository: "source.example/" + image.Repository}
		s.Images = append(s.Images, bundle.Image{Reference: reference, Root: bundle.ContentOf(image.Root)})
		for _, c := range image.Manifests {
			if p.isNew(c) {
				content, err := c.Bytes()
				if err != nil {
					t.Fatal(err)
				}
				s.Contents[c.Descriptor.Digest] = content
				s.Manifests = append(s.Manifests, bundle.Manifest{Content: bundle.ContentOf(c.Descriptor), Origin: origin})
			}
		}
		group := []bundle.Blob{}
		for _, c := range image.Blobs {
			if p.isNew(c) {
				compress := oci.IsUncompressed(c.Descriptor.MediaType) && c.Descriptor.Size > 0
				group = append(group, bundle.Blob{Content: bundle.ContentOf(c.Descriptor), Origin: origin, Compress: compress})
			}
		}
		s.Blobs = append(s.Blobs, group)
	}
	if edit != nil {
		edit(&s)
	}
	var err error
	if _, p.prologue, err = bundle.NewPlan(s, smallVolume); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *packing) isNew(c fixtures.Content) bool {
	_, known := p.contents[c.Descriptor.Digest]
	p.contents[c.Descriptor.Digest] = c
	return !known
}

// leaveOut takes a manifest out of what is planned.
func leaveOut(s *bundle.Selection, d digest.Digest) {
	s.Manifests = slices.DeleteFunc(s.Manifests, func(m bundle.Manifest) bool { return m.Digest == d })
	delete(s.Contents, d)
}

// all makes all files of the bundle, without the blobs for which lacks gives a
// reason.
func (p *packing) all(lacks map[digest.Digest]string) made {
	p.t.Helper()
	path, dir := p.dir()
	defer dir.Close()
	var volumes []bundle.Volume
	for n := 1; n <= p.prologue.Plan().Volumes; n++ {
		volumes = append(volumes, p.write(dir, n, lacks))
	}
	var missing []bundle.Missing
	for i := range p.prologue.Plan().Blobs {
		d := p.prologue.Plan().Blobs[i].Digest
		if reason := lacks[d]; reason != "" {
			missing = append(missing, bundle.Missing{Digest: d, Reason: reason})
		}
	}
	if _, _, err := bundle.Finish([]bundle.Dir{dir}, p.prologue, volumes, missing); err != nil {
		p.t.Fatal(err)
	}
	all := made{}
	entries, err := os.ReadDir(path)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(path, e.Name()))
		if err != nil {
			p.t.Fatal(err)
		}
		all[e.Name()] = string(content)
	}
	return all
}

func (p *packing) dir() (string, *bundle.OSDir) {
	path := p.t.TempDir()
	dir, err := bundle.OpenDir(path)
	if err != nil {
		p.t.Fatal(err)
	}
	return path, dir
}

func (p *packing) write(dir bundle.Dir, n int, lacks map[digest.Digest]string) bundle.Volume {
	p.t.Helper()
	w, err := bundle.CreateVolume(dir, p.prologue, n)
	if err != nil {
		p.t.Fatal(err)
	}
	for m, ok := w.Next(); ok; m, ok = w.Next() {
		if lacks[m.Blob.Digest] != "" {
			w.Skip()
			continue
		}
		var content io.Reader = strings.NewReader("")
		if m.Size > 0 {
			blob := p.contents[m.Blob.Digest].Open()
			if _, err := blob.Seek(m.Start, io.SeekStart); err != nil {
				p.t.Fatal(err)
			}
			content = blob
		}
		if err := w.WriteMember(content); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		p.t.Fatal(err)
	}
	v, err := w.Commit()
	if err != nil {
		p.t.Fatal(err)
	}
	return v
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
