package bundle_test

import (
	"bytes"
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
