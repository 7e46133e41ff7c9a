package transfer_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/transfer"
)

// leaning are a bundle, and one that leaves out what it shares with that: team/new
// shares a layer with team/old, team/own shares nothing.
type leaning struct {
	images    []fixtures.Image
	old, path string
	shared    digest.Digest
	oldBundle digest.Digest
}

// makeLeaning makes them; a receipt states the repository of team/old, unless that
// is empty.
func makeLeaning(t testing.TB, repository string) *leaning {
	t.Helper()
	base := fixtures.OpaqueLayer("base", 40_000)
	old := fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{base}}).Named("team/old", "1")
	images := []fixtures.Image{
		fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{base, fixtures.OpaqueLayer("new", 30_000)}}).Named("team/new", "2"),
		fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{fixtures.OpaqueLayer("own", 20_000)}}).Named("team/own", "2"),
	}
	l := &leaning{images: images, old: makeBundle(t, 1<<20, transfer.SelectOptions{}, old), shared: old.Blobs[1].Descriptor.Digest}
	first := openBundle(t, l.old)
	l.oldBundle = first.BundleID
	source := newOrigin(images...)
	s, err := transfer.Select(t.Context(), source.sources(), wanted(t, "source.example", images...), transfer.SelectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range s.Blobs {
		for k := range s.Blobs[i] {
			if s.Blobs[i][k].Digest == l.shared {
				s.Blobs[i][k].Held = 1
			}
		}
	}
	s.Name = "second"
	s.Held = []bundle.HeldImage{{Bundle: l.oldBundle, Name: "first", Plan: first.PlanID, Reference: "source.example/" + old.Reference(), Repository: repository}}
	_, prologue, err := bundle.NewPlan(s, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	l.path = writeBundle(t, prologue, source)
	return l
}

// A bundle that leans on another completes where that one is, and brings only
// what is new.
func TestUnpackLeans(t *testing.T) {
	l := makeLeaning(t, "")
	for _, o := range []fixtures.Options{{}, {RefuseMount: true}} {
		site := serve(t, o)
		unpack(t, l.old, site)
		site.ResetStats()
		receipt := unpack(t, l.path, site)
		checkSite(t, "leaning", site, l.images, every)
		stats := site.Stats()
		if _, sent := stats.Stored[l.shared]; sent != o.RefuseMount || receipt.Blobs.Mounted+receipt.Blobs.Copied != 1 {
			t.Errorf("%+v: stored %v, receipt %+v", o, stats.Stored, receipt.Blobs)
		}
		if complete, _ := receipt.Complete(); !complete {
			t.Errorf("%+v: %+v", o, receipt)
		}
	}
}

// Where the first bundle is not, the second is refused at once, by name.
func TestUnpackLeansOnNothing(t *testing.T) {
	l := makeLeaning(t, "")
	site := serve(t, fixtures.Options{})
	receipt, err := transfer.Unpack(t.Context(), openBundle(t, l.path), client(t), into(site))
	lean := mustAs[*transfer.LeanError](t, err)
	if want := (transfer.LeanBundle{Name: "first", Bundle: l.oldBundle, Plan: openBundle(t, l.old).PlanID}); !slices.Equal(lean.Bundles, []transfer.LeanBundle{want}) {
		t.Errorf("bundles: %+v, want %+v", lean.Bundles, want)
	}
	if lean.Blobs != 1 || lean.Images != 1 || lean.Digest != l.shared || lean.Image != "source.example/team/new:2" || lean.Reference != "source.example/team/old:1" {
		t.Errorf("got %+v", lean)
	}
	for _, says := range []string{"first (bundle " + string(l.oldBundle), "1 blobs that 1 images need", site.Host() + "/mirror"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("the error does not say %s: %v", says, err)
		}
	}
	stats := site.Stats()
	if n := stats.Requests["POST upload"] + stats.Requests["PUT manifest"]; n > 0 {
		t.Errorf("%v although nothing was to be pushed", stats.Requests)
	}
	if got := states(receipt, l.images); got["team/new"] != transfer.ImageWaiting || got["team/own"] != transfer.ImageWaiting {
		t.Errorf("states %v", got)
	}

	o := into(site)
	o.KeepGoing = true
	receipt, err = transfer.Unpack(t.Context(), openBundle(t, l.path), client(t), o)
	if err != nil {
		t.Fatal(err)
	}
	checkSite(t, "keep going", site, l.images, func(i fixtures.Image) bool { return i.Repository == "team/own" })
	if image := receipt.Images[0]; image.State != transfer.ImageMissing || !strings.Contains(image.Why(1), "first (bundle ") || len(receipt.Needed()) > 0 {
		t.Errorf("keep going: %+v", image)
	}
	// Its other blobs are there: what it lacks may come with another bundle.
	for _, c := range l.images[0].Blobs {
		if _, sent := site.Stats().Stored[c.Descriptor.Digest]; sent == (c.Descriptor.Digest == l.shared) {
			t.Errorf("keep going: %s was sent: %t", c.Descriptor.Digest, sent)
		}
	}
}

// Held blobs are found where the naming puts their image, where a receipt says
// that it is, and in the repositories of the images that need them; nowhere but
// at the site.
func TestUnpackLeansSomewhere(t *testing.T) {
	for _, at := range []string{"kept/old", "mirror/team/new"} {
		site := serve(t, fixtures.Options{})
		l := makeLeaning(t, site.Host()+"/kept/old")
		base := fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{fixtures.OpaqueLayer("base", 40_000)}})
		if err := site.Add(base.Named(at, "x")); err != nil {
			t.Fatal(err)
		}
		unpack(t, l.path, site)
		checkSite(t, at, site, l.images, every)
		if _, sent := site.Stats().Stored[l.shared]; sent {
			t.Errorf("%s: the shared layer was sent", at)
		}
	}
	other, site := serve(t, fixtures.Options{}), serve(t, fixtures.Options{})
	l := makeLeaning(t, other.Host()+"/mirror/team/old")
	unpack(t, l.old, other)
	other.ResetStats()
	_, err := transfer.Unpack(t.Context(), openBundle(t, l.path), client(t), into(site))
	mustAs[*transfer.LeanError](t, err)
	if n := other.Stats().Total(); n > 0 {
		t.Errorf("%d requests to a registry that is not the site's", n)
	}
}

// A registry that does not answer is no bundle that is lacking.
func TestUnpackLeansFails(t *testing.T) {
	l := makeLeaning(t, "")
	site := serve(t, fixtures.Options{Fault: func(_ int, r *http.Request) fixtures.Fault {
		if r.Method == http.MethodHead {
			return fixtures.Fault{Kind: fixtures.FaultAnswer, Status: http.StatusBadGateway}
		}
		return fixtures.Fault{}
	}})
	_, err := transfer.Unpack(t.Context(), openBundle(t, l.path), client(t), into(site))
	if blob := mustAs[*transfer.BlobError](t, err); blob.Digest != l.shared || !strings.Contains(err.Error(), "502") {
		t.Errorf("got %v", err)
	}
}
