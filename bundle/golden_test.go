package bundle_test

import (
	"bytes"
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
)

var update = flag.Bool("update", false, "write the golden bundles and the example in FORMAT.md anew")

const (
	goldenDir         = "testdata/v1draft"
	goldenVolumeSize  = 52_000
	partialDir        = "testdata/v1draft-partial"
	partialVolumeSize = 36_000
	releaseDir        = "testdata/v1draft-release"
	releaseVolumeSize = 75_000
)

// golden is a bundle that lies here, with what it is packed from.
type golden struct {
	dir        string
	volumeSize int64
	s          *source
	lacks      []digest.Digest
	// volumes, cut and out are how many volumes there are, blobs that are cut, and
	// blobs that are in no volume.
	volumes, cut, out int
}

func goldens(t testing.TB) []golden {
	partial := partialSource(t)
	return []golden{
		{goldenDir, goldenVolumeSize, goldenSource(t), nil, 3, 1, 2},
		{partialDir, partialVolumeSize, partial, goldenLacks(partial), 4, 1, 3},
		{releaseDir, releaseVolumeSize, releaseSource(t), nil, 2, 0, 1},
	}
}

// goldenDirs are where the golden bundles lie.
func goldenDirs() []string { return []string{goldenDir, partialDir, releaseDir} }

// TestGoldenSame packs the sources of the golden bundles again: the same source
// gives the same bytes for as long as the format is the same.
func TestGoldenSame(t *testing.T) {
	total := 0
	for _, g := range goldens(t) {
		if *update {
			if err := os.RemoveAll(g.dir); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(g.dir, 0o755); err != nil {
				t.Fatal(err)
			}
			g.s.write(t, g.dir, g.volumeSize, g.lacks...)
		}
		dir := t.TempDir()
		g.s.write(t, dir, g.volumeSize, g.lacks...)
		want, got := readFiles(t, g.dir), readFiles(t, dir)
		if names := slices.Sorted(maps.Keys(want)); !slices.Equal(names, slices.Sorted(maps.Keys(got))) {
			t.Fatalf("made %q, golden are %q", slices.Sorted(maps.Keys(got)), names)
		}
		for name, content := range want {
			if total += len(content); !bytes.Equal(content, got[name]) {
				t.Errorf("%s: %d bytes differ from the golden %d", name, len(got[name]), len(content))
			}
		}
	}
	if total > 280_000 {
		t.Errorf("the golden bundles have %d bytes", total)
	}
}

// TestGoldenOpens reads the bundles that lie here, as a reader of any later
// satchel must be able to.
func TestGoldenOpens(t *testing.T) {
	for _, g := range goldens(t) {
		b := open(t, g.dir)
		if len(b.Damage) > 0 || len(b.Missing()) > 0 || b.Inventory == nil || len(b.Volumes) != g.volumes {
			t.Fatalf("%s: damage %v, missing %v, inventory %v, %d volumes", g.dir, b.Damage, b.Missing(), b.Inventory, len(b.Volumes))
		}
		cut, out := 0, 0
		for i := range b.Prologue.Plan().Blobs {
			blob := &b.Prologue.Plan().Blobs[i]
			if len(blob.VolumesOf()) > 1 {
				cut++
			}
			if blob.Held != 0 || slices.Contains(g.lacks, blob.Digest) {
				out++
				_, err := b.Blob(t.Context(), blob, 0)
				mustAs[*bundle.MissingBlobError](t, err)
			} else if got := readBlob(t, b, blob); !bytes.Equal(got, g.s.blobs[blob.Digest]) {
				t.Errorf("blob %s: %d bytes differ", blob.Digest, len(got))
			}
		}
		if cut != g.cut || out != g.out {
			t.Errorf("%s: %d blobs are cut, want %d; %d are left out, want %d", g.dir, cut, g.cut, out, g.out)
		}
		for digest, content := range g.s.selection.Contents {
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
}

// TestGoldenHas checks that the golden bundles have what they are there for.
func TestGoldenHas(t *testing.T) {
	whole, partial := open(t, goldenDir), open(t, partialDir)
	plan, inventory := whole.Prologue.Plan(), whole.Inventory
	if len(plan.Images) != 6 || len(plan.Held) != 2 || len(plan.Missing) != 2 || len(inventory.Missing) != 2 || len(plan.Request.Have) != 2 || plan.Request.TopUp == "" {
		t.Errorf("%d images, held %v, missing %v and %v, request %+v", len(plan.Images), plan.Held, plan.Missing, inventory.Missing, plan.Request)
	}
	for i, image := range inventory.Images {
		if image.Incomplete != (i == 5) {
			t.Errorf("image %s is incomplete: %t", image.Reference, image.Incomplete)
		}
	}
	if inventory = partial.Inventory; len(inventory.Missing) != 3 {
		t.Errorf("missing are %v", inventory.Missing)
	}
	for i, image := range inventory.Images {
		if image.Incomplete != (i > 0) {
			t.Errorf("image %s is incomplete: %t", image.Reference, image.Incomplete)
		}
	}
	none, fewer := 0, 0
	for _, v := range inventory.Volumes {
		switch planned := len(partial.Prologue.Plan().Members(v.Number)); {
		case len(v.Members) == 0:
			none++
		case len(v.Members) < planned:
			fewer++
		}
	}
	if none == 0 || fewer == 0 {
		t.Errorf("%d volumes have no members, %d fewer than planned", none, fewer)
	}
}

// TestGoldenPlan checks that NAME.plan.json is what the volumes hold.
func TestGoldenPlan(t *testing.T) {
	for _, g := range goldens(t) {
		b := open(t, g.dir)
		beside := readFiles(t, g.dir)[g.s.selection.Name+".plan.json"]
		if !bytes.Equal(beside, b.Prologue.PlanJSON()) || digest.FromBytes(beside) != b.PlanID {
			t.Errorf("%s: the plan's file is not plan %s", g.dir, b.PlanID)
		}
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
// nothing. What writing volumes does not need, it has not.
type countingDir struct {
	bundle.Dir
	files map[string]*countingFile
}

func (d countingDir) Create(name string) (bundle.File, error) {
	d.files[name] = new(countingFile)
	return d.files[name], nil
}

func (d countingDir) Rename(from, to string) error {
	d.files[to] = d.files[from]
	delete(d.files, from)
	return nil
}
func (d countingDir) Remove(string) error { return fs.ErrNotExist }
func (d countingDir) Sync() error         { return nil }

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
