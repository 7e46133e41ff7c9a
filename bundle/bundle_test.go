package bundle_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"satchel/bundle"
)

// mixed is a source with everything that the format treats differently.
func mixed(t testing.TB) *source {
	s := newSource("mixed")
	s.add(t, "registry.example/a:1", layer{typeGzip, s.random(70_000)}, layer{typeGzip, nil})
	s.add(t, "registry.example/b:1", layer{typeTar, bytes.Repeat([]byte("compressible "), 40_000)}, layer{typeGzip, s.random(5_000_000)})
	s.add(t, "registry.example/c:1", layer{typeGzip, s.random(511)}, layer{typeGzip, s.random(512)}, layer{typeGzip, s.random(513)})
	return s
}

func TestRoundTrip(t *testing.T) {
	for _, size := range []int64{60_000, 1_000_000, 4_600_000, 100_000_000} {
		s := mixed(t)
		dir := t.TempDir()
		prologue, inventory := s.write(t, dir, size)
		sizes, atMost := prologue.VolumeSizes()
		for i, v := range inventory.Volumes {
			info, err := os.Stat(filepath.Join(dir, v.Name))
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() != v.Size || v.Size > size || v.Size > sizes[i] || !atMost[i] && v.Size != sizes[i] {
				t.Errorf("volume size %d: %s has %d bytes, inventory %d, plan %d (at most: %t)",
					size, v.Name, info.Size(), v.Size, sizes[i], atMost[i])
			}
		}
		for _, remove := range []string{"", "inventory.json"} {
			if remove != "" {
				if err := os.Remove(filepath.Join(dir, remove)); err != nil {
					t.Fatal(err)
				}
			}
			b := open(t, dir)
			if len(b.Damage) > 0 || b.Prologue == nil || len(b.Missing()) > 0 {
				t.Fatalf("volume size %d: damage %v, missing %v", size, b.Damage, b.Missing())
			}
			for i := range b.Prologue.Plan().Blobs {
				blob := &b.Prologue.Plan().Blobs[i]
				r, err := b.Blob(t.Context(), blob, 0)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(r)
				if err != nil || !bytes.Equal(got, s.blobs[blob.Digest]) {
					t.Errorf("volume size %d: blob %s: %d bytes, %v", size, blob.Digest, len(got), err)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			}
			for i, v := range b.Volumes {
				got, sum := scan(t, b, v)
				if sum != inventory.Volumes[i].Digest || len(got.damage) > 0 || len(got.broken) > 0 || got.read != v.Size {
					t.Errorf("scan of %s: %s, damage %v, read %d of %d", v.Name, sum, got.damage, got.read, v.Size)
				}
			}
		}
	}
}

func TestSmallestVolumeSize(t *testing.T) {
	s := mixed(t)
	_, _, err := bundle.NewPlan(s.selection, 1000)
	refused := mustAs[*bundle.PrologueError](t, err)
	if _, _, err := bundle.NewPlan(s.selection, refused.Smallest); err != nil {
		t.Errorf("the smallest size that works, %d: %v", refused.Smallest, err)
	}
	_, _, err = bundle.NewPlan(s.selection, refused.Smallest*99/100)
	mustAs[*bundle.PrologueError](t, err)
}

// TestLargePrologue has a prologue of several frames, full ones among them.
func TestLargePrologue(t *testing.T) {
	s := newSource("large")
	s.pad = 2_000_000
	for i := range 7 {
		s.add(t, fmt.Sprintf("registry.example/image-%d:1", i), layer{typeGzip, []byte{byte(i)}})
	}
	dir := t.TempDir()
	s.write(t, dir, 100_000_000)
	b := open(t, dir)
	if len(b.Damage) > 0 || b.Prologue == nil {
		t.Fatal(b.Damage)
	}
	if got, _ := scan(t, b, b.Volumes[0]); len(got.damage) > 0 {
		t.Error(got.damage)
	}
}
