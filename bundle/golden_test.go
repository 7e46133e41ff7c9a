package bundle_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

var update = flag.Bool("update", false, "write the golden bundle and the example in FORMAT.md anew")

const (
	goldenDir        = "testdata/v1draft"
	goldenVolumeSize = 48_000
)

// put adds a blob to a group of those that an image adds, unless it stands
// already.
func (s *source) put(group *[]bundle.Blob, mediaType string, content []byte, origin bundle.Origin) bundle.Content {
	c := bundle.Content{Digest: digest.FromBytes(content), MediaType: mediaType, Size: int64(len(content))}
	if _, ok := s.blobs[c.Digest]; !ok {
		s.blobs[c.Digest] = content
		compress := oci.IsUncompressed(mediaType) && len(content) > 0
		*group = append(*group, bundle.Blob{Content: c, Origin: origin, Compress: compress})
	}
	return c
}

// putManifest adds a manifest or index.
func (s *source) putManifest(t testing.TB, mediaType string, document map[string]any, origin bundle.Origin) bundle.Content {
	t.Helper()
	document["schemaVersion"], document["mediaType"] = 2, mediaType
	raw, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	c := bundle.Content{Digest: digest.FromBytes(raw), MediaType: mediaType, Size: int64(len(raw))}
	if _, ok := s.selection.Contents[c.Digest]; !ok {
		s.selection.Contents[c.Digest] = raw
		s.selection.Manifests = append(s.selection.Manifests, bundle.Manifest{Content: c, Origin: origin})
	}
	return c
}

func (s *source) putImage(image bundle.Image, group []bundle.Blob) {
	s.selection.Images = append(s.selection.Images, image)
	s.selection.Blobs = append(s.selection.Blobs, group)
}

// goldenSource has one of everything that the format treats differently: an
// index of two platforms and a sparse one, Docker's types, shared, empty,
// uncompressed and foreign layers, a local source, and a layer that is larger
// than a volume.
func goldenSource(t testing.TB) *source {
	const (
		dockerConfig = "application/vnd.docker.container.image.v1+json"
		dockerGzip   = "application/vnd.docker.image.rootfs.diff.tar.gzip"
		foreignGzip  = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	)
	s := newSource("golden")
	s.selection.Request = bundle.Request{Foreign: true, Platforms: []string{"linux/amd64"}, Sparse: true}
	shared := s.random(9_000)
	amd64 := map[string]any{"os": "linux", "architecture": "amd64"}
	arm64 := map[string]any{"os": "linux", "architecture": "arm64", "variant": "v8"}
	child := func(c bundle.Content, platform map[string]any) map[string]any {
		return map[string]any{"mediaType": c.MediaType, "digest": c.Digest, "size": c.Size, "platform": platform}
	}

	app := bundle.Origin{Repository: "registry.example/team/app"}
	var group []bundle.Blob
	first := s.putManifest(t, oci.MediaTypeManifest, map[string]any{
		"config": s.put(&group, typeConfig, []byte(`{"os":"linux","architecture":"amd64"}`), app),
		"layers": []bundle.Content{
			s.put(&group, typeGzip, shared, app),
			s.put(&group, typeTar, bytes.Repeat([]byte("an uncompressed layer\n"), 900), app),
		},
	}, app)
	second := s.putManifest(t, oci.MediaTypeManifest, map[string]any{
		"config": s.put(&group, typeConfig, []byte(`{"os":"linux","architecture":"arm64","variant":"v8"}`), app),
		"layers": []bundle.Content{s.put(&group, typeGzip, shared, app), s.put(&group, typeGzip, nil, app)},
	}, app)
	index := s.putManifest(t, oci.MediaTypeIndex, map[string]any{
		"manifests": []any{child(first, amd64), child(second, arm64)},
	}, app)
	s.putImage(bundle.Image{
		Reference: "registry.example/team/app:1.0", Root: index, Platforms: []string{"linux/amd64", "linux/arm64/v8"},
	}, group)

	docker := bundle.Origin{Repository: "registry.example/team/docker"}
	foreign := bundle.Origin{URLs: []string{"https://one.example/layer", "https://two.example/layer"}}
	group = nil
	image := s.putManifest(t, oci.MediaTypeDockerManifest, map[string]any{
		"config": s.put(&group, dockerConfig, []byte(`{"os":"windows","architecture":"amd64"}`), docker),
		"layers": []bundle.Content{
			s.put(&group, foreignGzip, s.random(513), foreign),
			{MediaType: dockerGzip, Digest: digest.FromBytes(shared), Size: int64(len(shared))},
			s.put(&group, dockerGzip, s.random(1_024), docker),
		},
	}, docker)
	s.putImage(bundle.Image{Reference: "registry.example/team/docker:2.0", Root: image, Platforms: []string{"windows/amd64"}}, group)

	left := bundle.Content{MediaType: oci.MediaTypeDockerManifest, Digest: digest.FromString("left out"), Size: 300}
	sparse := s.putManifest(t, oci.MediaTypeDockerList, map[string]any{
		"manifests": []any{child(image, map[string]any{"os": "windows", "architecture": "amd64"}), child(left, arm64)},
	}, docker)
	s.putImage(bundle.Image{
		Reference: "registry.example/team/docker:all", Root: sparse, Platforms: []string{"windows/amd64"}, Sparse: true,
	}, nil)

	local := bundle.Origin{Local: "layout"}
	group = nil
	large := s.putManifest(t, oci.MediaTypeManifest, map[string]any{
		"config": s.put(&group, typeConfig, []byte(`{"os":"linux","architecture":"s390x"}`), local),
		"layers": []bundle.Content{s.put(&group, typeGzip, s.random(60_000), local)},
	}, local)
	s.putImage(bundle.Image{Reference: "registry.example/team/large@" + string(large.Digest), Root: large}, group)
	return s
}

// TestGoldenSame packs the source of the golden bundle again: the same source
// gives the same bytes for as long as the format is the same.
func TestGoldenSame(t *testing.T) {
	if *update {
		if err := os.RemoveAll(goldenDir); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(goldenDir, 0o755); err != nil {
			t.Fatal(err)
		}
		goldenSource(t).write(t, goldenDir, goldenVolumeSize)
	}
	dir := t.TempDir()
	goldenSource(t).write(t, dir, goldenVolumeSize)
	want, got := readFiles(t, goldenDir), readFiles(t, dir)
	if names := slices.Sorted(maps.Keys(want)); !slices.Equal(names, slices.Sorted(maps.Keys(got))) {
		t.Fatalf("made %q, golden are %q", slices.Sorted(maps.Keys(got)), names)
	}
	total := 0
	for name, content := range want {
		if total += len(content); !bytes.Equal(content, got[name]) {
			t.Errorf("%s: %d bytes differ from the golden %d", name, len(got[name]), len(content))
		}
	}
	if total > 150_000 {
		t.Errorf("the golden bundle has %d bytes", total)
	}
}

// TestGoldenOpens reads the bundle that lies here, as a reader of any later
// satchel must be able to.
func TestGoldenOpens(t *testing.T) {
	s := goldenSource(t)
	b := open(t, goldenDir)
	if len(b.Damage) > 0 || len(b.Missing()) > 0 || b.Inventory == nil || len(b.Volumes) < 3 {
		t.Fatalf("damage %v, missing %v, inventory %v, %d volumes", b.Damage, b.Missing(), b.Inventory, len(b.Volumes))
	}
	plan := b.Prologue.Plan()
	if len(plan.Blobs) != len(s.blobs) || len(plan.Manifests) != len(s.selection.Manifests) || len(plan.Images) != len(s.selection.Images) {
		t.Fatalf("%d blobs, %d manifests, %d images", len(plan.Blobs), len(plan.Manifests), len(plan.Images))
	}
	cut := 0
	for i := range plan.Blobs {
		blob := &plan.Blobs[i]
		if got := readBlob(t, b, blob); !bytes.Equal(got, s.blobs[blob.Digest]) {
			t.Errorf("blob %s: %d bytes differ", blob.Digest, len(got))
		}
		if len(blob.VolumesOf()) > 1 {
			cut++
		}
	}
	if cut != 1 {
		t.Errorf("%d blobs are cut, want 1", cut)
	}
	for digest, content := range s.selection.Contents {
		if got, ok := b.Prologue.Manifest(digest); !ok || !bytes.Equal(got, content) {
			t.Errorf("manifest %s is not the source's", digest)
		}
	}
	for i, v := range b.Volumes {
		if got, sum := scan(t, b, v); len(got.damage)+len(got.broken) > 0 || sum != b.Inventory.Volumes[i].Digest {
			t.Errorf("scan of %s: %s, damage %v, broken %q", v.Name, sum, got.damage, got.broken)
		}
	}
}

// TestGoldenPlan checks that NAME.plan.json is what the volumes hold.
func TestGoldenPlan(t *testing.T) {
	b := open(t, goldenDir)
	beside := readFiles(t, goldenDir)["golden.plan.json"]
	if !bytes.Equal(beside, b.Prologue.PlanJSON()) || digest.FromBytes(beside) != b.PlanID {
		t.Errorf("golden.plan.json is not plan %s", b.PlanID)
	}
}

// readFiles returns the files of a directory by name.
func readFiles(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	fsys := os.DirFS(dir)
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// readBlob reads a blob that must be whole.
func readBlob(t testing.TB, b *bundle.Bundle, blob *bundle.Blob) []byte {
	t.Helper()
	r, err := b.Blob(t.Context(), blob, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// countingDir is an output directory that counts what is written and keeps
// nothing.
type countingDir struct{ files map[string]*countingFile }

func (d countingDir) Create(name string) (bundle.File, error) {
	d.files[name] = new(countingFile)
	return d.files[name], nil
}

func (d countingDir) Rename(from, to string) error {
	d.files[to] = d.files[from]
	delete(d.files, from)
	return nil
}
func (d countingDir) Remove(string) error      { return fs.ErrNotExist }
func (d countingDir) Names() ([]string, error) { return nil, nil }
func (d countingDir) Sync() error              { return nil }
func (d countingDir) Free() (int64, error)     { return -1, nil }

type countingFile struct{ size int64 }

func (f *countingFile) Write(p []byte) (int, error) {
	f.size += int64(len(p))
	return len(p), nil
}
func (f *countingFile) Seek(offset int64, _ int) (int64, error) { return offset, nil }
func (f *countingFile) Truncate(size int64) error               { f.size = size; return nil }
func (f *countingFile) Sync() error                             { return nil }
func (f *countingFile) Close() error                            { return nil }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
