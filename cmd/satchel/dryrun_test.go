package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
)

// leaningPlan is the plan of two images, of which one is incomplete, with two
// blobs that other bundles hold.
func leaningPlan(t *testing.T) *bundle.Prologue {
	t.Helper()
	s := bundle.Selection{Name: "test", Contents: make(map[digest.Digest][]byte)}
	for _, label := range []string{"web", "api"} {
		image := fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{
			fixtures.OpaqueLayer("base of "+label, 10_000), fixtures.OpaqueLayer(label, 1_000),
		}})
		content, err := image.Manifests[0].Bytes()
		if err != nil {
			t.Fatal(err)
		}
		origin := bundle.Origin{Repository: "quay.io/org/" + label}
		s.Contents[image.Root.Digest] = content
		s.Manifests = append(s.Manifests, bundle.Manifest{Content: bundle.ContentOf(image.Root), Origin: origin})
		s.Images = append(s.Images, bundle.Image{Reference: "quay.io/org/" + label + ":1", Root: bundle.ContentOf(image.Root)})
		s.Held = append(s.Held, bundle.HeldImage{Name: "old-" + label, Plan: digest.FromString(label), Reference: "quay.io/org/" + label + ":0"})
		var group []bundle.Blob
		for _, b := range image.Blobs {
			blob := bundle.Blob{Content: bundle.ContentOf(b.Descriptor), Origin: origin}
			if b.Descriptor.Size == 10_000 {
				blob.Held = len(s.Held)
			}
			group = append(group, blob)
		}
		s.Blobs = append(s.Blobs, group)
	}
	s.Held = append(s.Held, s.Held[1]) // another image of the same bundle
	s.Held[2].Reference += "0"
	s.Held[0].Bundle = digest.FromString("bundle")
	s.Missing = []bundle.Missing{
		{Digest: digest.FromString("child"), Image: "quay.io/org/api:1", Reason: "GET of it: 404"},
		{Image: "quay.io/org/gone:1", Reason: "GET of all: 404"},
	}
	_, prologue, err := bundle.NewPlan(s, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return prologue
}

func TestDryRunLeans(t *testing.T) {
	prologue := leaningPlan(t)
	var text, machine strings.Builder
	if err := showPlan(&output{stdout: &text}, prologue); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"2 images, 4 blobs of ", "left out: 2 blobs of 19.53 KiB that the site has",
		"\n  old-web, bundle ID " + digest.FromString("bundle").String() + "\n  old-api, plan ID " + digest.FromString("api").String() + "\n",
		"\nmissing: quay.io/org/api:1, " + digest.FromString("child").String() + ": GET of it: 404\n",
		"\nmissing: quay.io/org/gone:1: GET of all: 404\n",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, text.String())
		}
	}
	if err := showPlan(&output{stdout: &machine, asJSON: true}, prologue); err != nil {
		t.Fatal(err)
	}
	var p plannedBundle
	if err := json.Unmarshal([]byte(machine.String()), &p); err != nil {
		t.Fatal(err)
	}
	if p.Blobs != 4 || p.Bytes < 2_000 || p.Bytes > 10_000 || p.Shared != 0 || p.Images != 2 {
		t.Errorf("got %+v", p)
	}
	if p.Held == nil || p.Held.Blobs != 2 || p.Held.Bytes != 20_000 || len(p.Held.Bundles) != 2 ||
		p.Held.Bundles[1] != (heldBundle{Name: "old-api", Plan: digest.FromString("api").String()}) {
		t.Errorf("held %+v", p.Held)
	}
	if len(p.Missing) != 2 || p.Missing[1].Image != "quay.io/org/gone:1" {
		t.Errorf("missing %+v", p.Missing)
	}
	if got := p.Volumes[0].Complete; len(got) != 1 || got[0] != "quay.io/org/web:1" || p.Volumes[0].Blobs != 4 {
		t.Errorf("volume %+v", p.Volumes[0])
	}
}

// A plan that leans on nothing and lacks nothing does not speak of it.
func TestDryRunPlain(t *testing.T) {
	image := fixtures.NewImage(fixtures.ImageSpec{})
	content, err := image.Manifests[0].Bytes()
	if err != nil {
		t.Fatal(err)
	}
	origin := bundle.Origin{Repository: "quay.io/org/web"}
	_, prologue, err := bundle.NewPlan(bundle.Selection{
		Name: "test", Contents: map[digest.Digest][]byte{image.Root.Digest: content},
		Images:    []bundle.Image{{Reference: "quay.io/org/web:1", Root: bundle.ContentOf(image.Root)}},
		Manifests: []bundle.Manifest{{Content: bundle.ContentOf(image.Root), Origin: origin}},
		Blobs:     [][]bundle.Blob{{{Content: bundle.ContentOf(oci.Descriptor(image.Blobs[0].Descriptor)), Origin: origin}}},
	}, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, asJSON := range []bool{false, true} {
		var text strings.Builder
		if err := showPlan(&output{stdout: &text, asJSON: asJSON}, prologue); err != nil {
			t.Fatal(err)
		}
		for _, not := range []string{"left out", "missing", "held"} {
			if strings.Contains(text.String(), not) {
				t.Errorf("it says %q:\n%s", not, text.String())
			}
		}
	}
}
