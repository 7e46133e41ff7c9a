package bundle_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// TestParsePlanRefuses changes a good plan in ways that a forger would.
func TestParsePlanRefuses(t *testing.T) {
	s := mixed(t)
	_, prologue, err := bundle.NewPlan(s.selection, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	good := prologue.PlanJSON()
	if _, err := bundle.ParsePlan(good); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ name, from, to string }{
		{"a reference by another digest", `"registry.example/a:1"`, `"registry.example/a:1@` + string(digest.FromString("evil")) + `"`},
		{"a reference that leads upwards", `"registry.example/a:1"`, `"registry.example/../a:1"`},
		{"a host that leads upwards", `"registry.example/a:1"`, `"../a:1"`},
		{"two images of one name", `"registry.example/b:1"`, `"registry.example/a:1"`},
		{"a control character", `"registry.example/a:1"`, "\"registry.example/a\u001b:1\""},
		{"an unknown key", `"encoder":`, `"encode":"","encoder":`},
		{"null for a list", `"request":{}`, `"request":null`},
	} {
		changed := bytes.Replace(good, []byte(test.from), []byte(test.to), 1)
		if bytes.Equal(changed, good) {
			t.Fatalf("%s: nothing was changed", test.name)
		}
		if _, err := bundle.ParsePlan(changed); err == nil {
			t.Errorf("%s: accepted", test.name)
		}
	}
}

// TestDecodeBounded feeds documents that are small as text and large in memory.
func TestDecodeBounded(t *testing.T) {
	for _, key := range []string{"images", "blobs", "manifests", "volumes"} {
		document := []byte(`{"` + key + `":[` + strings.Repeat("{},", 1_000_000) + `{}],"version":1}`)
		allocated := testing.AllocsPerRun(1, func() {
			if _, err := bundle.ParsePlan(document); err == nil {
				t.Error("accepted")
			}
			if _, err := bundle.ParseInventory(document); err == nil {
				t.Error("accepted")
			}
		})
		if allocated > 1000 {
			t.Errorf("%s: %.0f allocations", key, allocated)
		}
	}
}

// TestGraphSize has a manifest that states another size than the plan.
func TestGraphSize(t *testing.T) {
	s := newSource("sizes")
	s.add(t, "registry.example/a:1", layer{typeGzip, s.random(100)})
	for i := range s.selection.Blobs[0] {
		s.selection.Blobs[0][i].Size++
	}
	_, prologue, err := bundle.NewPlan(s.selection, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := prologue.Graph(prologue.Plan().Images[0]); err == nil || !strings.Contains(err.Error(), "bytes in the plan") {
		t.Errorf("got %v", err)
	}
}

// TestPrologueOfOtherVolume has a second volume whose prologue is framed
// correctly, states the right plan, and differs from the first in one byte.
func TestPrologueOfOtherVolume(t *testing.T) {
	s := newSource("two")
	s.add(t, "registry.example/a:1", layer{typeGzip, s.random(60_000)}, layer{typeGzip, s.random(60_000)})
	dir := t.TempDir()
	if _, inventory := s.write(t, dir, 100_000); len(inventory.Volumes) != 2 {
		t.Fatalf("%d volumes", len(inventory.Volumes))
	}
	for _, from := range []string{"", `{"imageLayoutVersion":"1.0.0"}`, `"schemaVersion":2}` + "\n", string(s.selection.Contents[s.selection.Images[0].Root.Digest])} {
		files := readFiles(t, dir)
		for _, name := range []string{"two-0001.tar.zst", "two-0002.tar.zst"} {
			content := unframe(t, files[name])
			if name == "two-0002.tar.zst" && from != "" {
				i := bytes.Index(content, []byte(from))
				if i < 0 {
					t.Fatalf("%q is not in the volume", from)
				}
				content[i+len(from)/2] ^= 1
			}
			files[name] = frameAgain(content)
		}
		changed := t.TempDir()
		for _, name := range []string{"two-0001.tar.zst", "two-0002.tar.zst"} {
			if err := os.WriteFile(filepath.Join(changed, name), files[name], 0o644); err != nil {
				t.Fatal(err)
			}
		}
		b := open(t, changed)
		if len(b.Volumes) != 2 || b.Prologue == nil {
			t.Fatalf("%q: %v", from, b.Damage)
		}
		got, _ := scan(t, b, b.Volumes[1])
		if (len(got.damage) > 0) != (from != "") {
			t.Errorf("%q changed: damage %v", from, got.damage)
		}
	}
}
