package bundle_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// planOf returns the plan of a golden bundle.
func planOf(t testing.TB, dir string) []byte {
	t.Helper()
	return open(t, dir).Prologue.PlanJSON()
}

// TestPlanImages changes what the golden plan says of images: the images are a
// release image of a list, two that are attached to it, two components, another
// release image, its component, and one with destinations.
func TestPlanImages(t *testing.T) {
	planJSON := planOf(t, releaseDir)
	other := digest.FromString("other")
	for _, test := range []struct {
		name, says string
		edit       func(p *bundle.Plan)
	}{
		{"a reference without tag", "has neither tag nor digest", func(p *bundle.Plan) { p.Images[0].Reference = "quay.example/openshift/release" }},
		{"no reference", "reference", func(p *bundle.Plan) { p.Images[7].Reference = "" }},
		{"a reference by another digest", "its root is", func(p *bundle.Plan) { p.Images[3].Reference = "quay.example/openshift/payload@" + string(other) }},
		{"two images of one name", "stands twice", func(p *bundle.Plan) { p.Images[5].Reference = p.Images[0].Reference }},
		{"a root that is nowhere", "is not among the manifests", func(p *bundle.Plan) { p.Images[0].Root.Digest = other }},
		{"a root that is a blob", "is not among the manifests", func(p *bundle.Plan) { p.Images[0].Root = p.Blobs[0].Content }},
		{"a root of another size", "is not among the manifests", func(p *bundle.Plan) { p.Images[0].Root.Size++ }},
		{"a root of another type", "is not among the manifests", func(p *bundle.Plan) { p.Images[0].Root.MediaType = p.Images[1].Root.MediaType }},

		{"attached to what is nowhere", "which is no image of the plan", func(p *bundle.Plan) { p.Images[1].AttachedTo = "quay.example/other:1" }},
		{"attached to a digest", "which is no image of the plan", func(p *bundle.Plan) { p.Images[1].AttachedTo = string(p.Images[0].Root.Digest) }},
		{"attached to what is attached", "or attached itself", func(p *bundle.Plan) { p.Images[2].AttachedTo = p.Images[1].Reference }},
		{"attached to itself", "or attached itself", func(p *bundle.Plan) { p.Images[7].AttachedTo = p.Images[7].Reference }},
		{"attached to each other", "or attached itself", func(p *bundle.Plan) {
			p.Images[0].AttachedTo = p.Images[7].Reference
			p.Images[7].AttachedTo = p.Images[0].Reference
		}},

		{"attached under another image's tag", "its tag is not that of an attachment", func(p *bundle.Plan) {
			p.Images[1].Reference = strings.Split(p.Images[1].Reference, ":sha256-")[0] + ":latest"
		}},

		{"another part", `part "operator"`, func(p *bundle.Plan) { p.Images[0].Part = "operator" }},
		{"a part in upper case", `part "Release"`, func(p *bundle.Plan) { p.Images[0].Part = "Release" }},
		{"a part with more behind it", `part "component "`, func(p *bundle.Plan) { p.Images[0].Part = bundle.PartComponent + " " }},
		{"another part that is held", `held image quay.example/openshift/payload@`, func(p *bundle.Plan) { p.Held[0].Part = "operator" }},

		{"a platform without architecture", `platform "linux"`, func(p *bundle.Plan) { p.Images[0].Platforms[0] = "linux" }},
		{"a platform of four parts", `platform "a/b/c/d"`, func(p *bundle.Plan) { p.Images[0].Platforms[0] = "a/b/c/d" }},
		{"a platform with a control character", `platform "linux/\x1b"`, func(p *bundle.Plan) { p.Images[0].Platforms[0] = "linux/\x1b" }},
	} {
		refusePlan(t, test.name, test.says, planJSON, test.edit)
	}
	// What satchel does not write.
	editPlan(t, planJSON, func(p *bundle.Plan) {
		p.Images[1].Part, p.Images[2].Destinations = bundle.PartComponent, []string{"a:1"}
		p.Images[0].Part, p.Held[0].Part = "", bundle.PartRelease
	})
}

// TestPlanDestinations has names at the site that registries do not take, or that
// could be mistaken for something else.
func TestPlanDestinations(t *testing.T) {
	planJSON := planOf(t, releaseDir)
	set := func(destinations ...string) func(*bundle.Plan) {
		return func(p *bundle.Plan) { p.Images[7].Destinations = destinations }
	}
	long := strings.Repeat("a", 240)
	for _, bad := range []string{
		"", ":", ":1", "a", "a:", "a/:1", "/a:1", "a//b:1", "../a:1", "a/../b:1", "A:1", "-a:1", "a:-1", "a:b c", "a b:1", "a:1\n", "a:\x1b",
		"host:5000/a:1", "a:1:2", "a@" + string(digest.FromString("a")), "a:1@" + string(digest.FromString("a")),
		long + "aaaaaa:1", long + ":" + strings.Repeat("b", 15), "a:" + strings.Repeat("b", 129),
	} {
		refusePlan(t, fmt.Sprintf("%q", bad), "is not PATH:TAG", planJSON, set(bad))
		refusePlan(t, fmt.Sprintf("%q behind another", bad), "is not PATH:TAG", planJSON, set("a:1", bad))
	}
	for name, destinations := range map[string][]string{
		"another path":  {"a/b:1", "a/c:1"},
		"a longer path": {"a/b:1", "a/b:2", "a/b/c:1"},
	} {
		refusePlan(t, name, "have different paths", planJSON, set(destinations...))
	}
	for _, destinations := range [][]string{{"a:1", "a:1"}, {"a:1", "a:2", "a:3", "a:2"}} {
		refusePlan(t, fmt.Sprint(destinations), "stands twice", planJSON, set(destinations...))
	}
	for _, destinations := range [][]string{
		nil, {"a:1"}, {"a/b-c/d__e:_1", "a/b-c/d__e:latest", "a/b-c/d__e:1.0"}, {long + "aaaaa:1"}, {long + ":" + strings.Repeat("b", 14)},
	} {
		plan := editPlan(t, planJSON, set(destinations...))
		if got := plan.Images[7].Destinations; fmt.Sprint(got) != fmt.Sprint(destinations) {
			t.Errorf("%q are read as %q", destinations, got)
		}
	}
}

// TestPlanManyDestinations has as many names as a list may have. Comparing each
// with each would take minutes.
func TestPlanManyDestinations(t *testing.T) {
	var begun time.Time
	plan := editPlan(t, planOf(t, releaseDir), func(p *bundle.Plan) {
		for i := range 100_000 {
			p.Images[7].Destinations = append(p.Images[7].Destinations, fmt.Sprintf("ocp4/tools:t%d", i))
		}
		begun = time.Now()
	})
	if took := time.Since(begun); took > 20*slowdown*time.Second {
		t.Errorf("%d destinations took %s", len(plan.Images[7].Destinations), took)
	}
}

// TestPlanRequest changes what the golden plan says of what was asked for.
func TestPlanRequest(t *testing.T) {
	planJSON := planOf(t, releaseDir)
	for _, test := range []struct {
		name, says string
		edit       func(r *bundle.Request)
	}{
		{"a release without tag", "request: release", func(r *bundle.Request) { r.Releases[1] = "quay.example/openshift/release" }},
		{"no release", "request: release", func(r *bundle.Request) { r.Releases[0] = "" }},
		{"a release that is a path", "request: release", func(r *bundle.Request) { r.Releases[0] = "/media/release:1" }},
		{"a release with a control character", "request: release", func(r *bundle.Request) { r.Releases[0] += "\x1b" }},
		{"a channel of two lines", "request: channel", func(r *bundle.Request) { r.Channel = "stable\n4.18" }},
		{"a channel in another script", "request: channel", func(r *bundle.Request) { r.Channel = "größer" }},
		{"a long channel", "request: channel", func(r *bundle.Request) { r.Channel = strings.Repeat("x", bundle.MaxRecipe+1) }},
		{"a long catalog", "request: catalog", func(r *bundle.Request) { r.Catalogs = []string{strings.Repeat("x", bundle.MaxRecipe+1)} }},
		{"an empty catalog", "request: catalog", func(r *bundle.Request) { r.Catalogs = []string{""} }},
		{"a long pattern", "request: block", func(r *bundle.Request) { r.Block = []string{strings.Repeat("x", bundle.MaxReason+1)} }},
		{"a pattern of two lines", "request: block", func(r *bundle.Request) { r.Block = []string{"a\nb"} }},
	} {
		refusePlan(t, test.name, test.says, planJSON, func(p *bundle.Plan) { test.edit(&p.Request) })
	}
	want := bundle.Request{Channel: strings.Repeat("~ ", bundle.MaxRecipe/2), Block: []string{"^quay"}, NoAttachments: true, Releases: []string{"quay.example/a@" + string(digest.FromString("a"))}}
	plan := editPlan(t, planJSON, func(p *bundle.Plan) { p.Request = want })
	if got := plan.Request; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v is read as %+v", want, got)
	}
}

// TestPlanShortRefusals has long texts in a plan, of which no refusal repeats
// more than a line.
func TestPlanShortRefusals(t *testing.T) {
	planJSON := planOf(t, releaseDir)
	long := strings.Repeat("x", 100_000)
	for name, edit := range map[string]func(p *bundle.Plan){
		"attached to":   func(p *bundle.Plan) { p.Images[1].AttachedTo = long },
		"a part":        func(p *bundle.Plan) { p.Images[1].Part = long },
		"a held part":   func(p *bundle.Plan) { p.Held[0].Part = long },
		"a destination": func(p *bundle.Plan) { p.Images[1].Destinations = []string{long} },
		"a channel":     func(p *bundle.Plan) { p.Request.Channel = long },
		"a type":        func(p *bundle.Plan) { p.Attached[0].Type = long },
		"a subject":     func(p *bundle.Plan) { p.Attached[0].Subject = digest.Digest(long) },
		"a key":         func(p *bundle.Plan) { p.Attached[0].Annotations[long] = "x" },
		"a value":       func(p *bundle.Plan) { p.Attached[0].Annotations["x"] = long },
	} {
		plan, err := bundle.ParsePlan(planJSON)
		if err != nil {
			t.Fatal(err)
		}
		edit(plan)
		edited, err := plan.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.ParsePlan(edited); err == nil || len(err.Error()) > 500 {
			t.Errorf("%s: %.600v", name, err)
		}
	}
}
