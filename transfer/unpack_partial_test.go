package transfer_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/transfer"
)

// What a bundle was packed without is missing, unless the registry has it.
func TestUnpackLeftOut(t *testing.T) {
	images := separate()
	source := newOrigin(images...)
	prologue := plan(t, source.sources(), "source.example", smallVolume, transfer.SelectOptions{}, images...)
	left := prologue.Blob(images[2].Blobs[1].Descriptor.Digest)
	path := writeBundle(t, prologue, source, bundle.Missing{Digest: left.Digest, Image: "source.example/team/c:1", Reason: "404 at the source"})
	for _, inventory := range []bool{true, false} {
		what, media := "with inventory", path
		if !inventory {
			what, media = "without inventory", copyFiles(t, files(t, path), "inventory.json")
		}
		site := serve(t, fixtures.Options{})
		receipt := unpack(t, media, site)
		checkSite(t, what, site, images, func(i fixtures.Image) bool { return i.Repository != "team/c" })
		image := receipt.Images[2]
		if image.State != transfer.ImageMissing || len(image.Lacks) != 1 || image.Lacks[0].Digest != left.Digest || !slices.Equal(image.Lacks[0].Volumes, []int{left.Volume}) {
			t.Errorf("%s: %+v", what, image)
		}
		if inventory && !strings.Contains(image.Why(prologue.Plan().Volumes), "404 at the source") {
			t.Errorf("%s: %s", what, image.Why(prologue.Plan().Volumes))
		}
		if got := receipt.Needed(); !slices.Equal(got, []int{left.Volume}) || len(receipt.Absent()) > 0 {
			t.Errorf("%s: needed %v, absent %v", what, got, receipt.Absent())
		}
		// With the blob at the registry, in whatever repository needs it, it is whole.
		if err := site.Add(images[2].Named("mirror/team/c", "other")); err != nil {
			t.Fatal(err)
		}
		receipt = unpack(t, media, site)
		checkSite(t, what+", registry has it", site, images, every)
		if complete, _ := receipt.Complete(); !complete {
			t.Errorf("%s, registry has it: %+v", what, receipt)
		}
	}
}

// A blob of a volume that is not there may be in the repository of another image.
func TestUnpackFindsElsewhere(t *testing.T) {
	images := packed() // the first two share a layer
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	b := openBundle(t, path)
	site := serve(t, fixtures.Options{})
	if err := site.Add(images[1].Named("mirror/"+images[1].Repository, "other"), images[0].Named("mirror/"+images[0].Repository, "other")); err != nil {
		t.Fatal(err)
	}
	shared := b.Prologue.Blob(images[0].Blobs[1].Descriptor.Digest)
	site.Remove("mirror/"+images[0].Repository, shared.Digest.String())
	receipt := unpack(t, copyFiles(t, files(t, path), b.Prologue.Plan().VolumeName(shared.Volume)), site)
	checkSite(t, "elsewhere", site, images[:2], every)
	if receipt.Blobs.Mounted != 1 {
		t.Errorf("%+v", receipt.Blobs)
	}
}

// A child that the source did not have leaves the index as it is; the receipt says
// what it lacks.
func TestUnpackMissingChild(t *testing.T) {
	index := fixtures.Demo(100, 200)[2]
	images := []fixtures.Image{index, packed()[0]}
	source := newOrigin(images...)
	s, err := transfer.Select(t.Context(), source.sources(), wanted(t, "source.example", images...),
		transfer.SelectOptions{Platforms: []string{"linux/amd64"}, Sparse: true})
	if err != nil {
		t.Fatal(err)
	}
	child := index.Manifests[1].Descriptor.Digest
	reference := "source.example/" + index.Reference()
	s.Name, s.Request = "test", bundle.Request{}
	s.Missing = []bundle.Missing{{Digest: child, Image: reference, Reason: "404 at the source"}, {Image: "source.example/gone:1", Reason: "404 too"}}
	_, prologue, err := bundle.NewPlan(s, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	path := writeBundle(t, prologue, source)
	site := serve(t, fixtures.Options{AllowSparse: true})
	for _, state := range []string{transfer.ImagePushed, transfer.ImagePresent} {
		receipt := unpack(t, path, site)
		if got := site.Digests()["mirror/"+index.Repository][index.Tag]; got != index.Root.Digest {
			t.Errorf("the tag is %q, want %s", got, index.Root.Digest)
		}
		image := receipt.Images[0]
		if image.State != state || len(image.Lacks) != 1 || image.Lacks[0].Digest != child || image.Lacks[0].Reason != "404 at the source" || image.Blobs == "" {
			t.Errorf("got %+v", image)
		}
		if complete, damaged := receipt.Complete(); complete || damaged || receipt.Images[1].State != state {
			t.Errorf("complete %t, damaged %t, %+v", complete, damaged, receipt)
		}
	}
	// Where sparse indexes are not taken, the rest goes in with KeepGoing.
	site = serve(t, fixtures.Options{})
	o := into(site)
	o.KeepGoing = true
	receipt, err := transfer.Unpack(t.Context(), openBundle(t, path), client(t), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := []string{receipt.Images[0].State, receipt.Images[1].State}; !slices.Equal(got, []string{transfer.ImageFailed, transfer.ImagePushed}) {
		t.Errorf("states %v", got)
	}
	if len(site.Stats().Stored) != len(images[1].Blobs) {
		t.Errorf("stored %v", site.Stats().Stored)
	}
}

// With KeepGoing, what one image meets does not stop the others.
func TestUnpackKeepGoing(t *testing.T) {
	images := packed() // the first two share a layer, which the first brings
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	for name, refuses := range map[string]func(*http.Request) bool{
		"repository": func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/team/small/") },
		"blobs": func(r *http.Request) bool {
			return r.Method == http.MethodPost && strings.Contains(r.URL.Path, "/team/small/blobs")
		},
		"manifest": func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/team/small/manifests")
		},
		"reading back": func(r *http.Request) bool {
			return r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/team/small/manifests")
		},
	} {
		fault := func(_ int, r *http.Request) fixtures.Fault {
			if refuses(r) {
				return fixtures.Fault{Kind: fixtures.FaultAnswer, Status: http.StatusForbidden}
			}
			return fixtures.Fault{}
		}
		site := serve(t, fixtures.Options{Fault: fault})
		if _, err := transfer.Unpack(t.Context(), openBundle(t, path), client(t), into(site)); err == nil {
			t.Errorf("%s: no error without KeepGoing", name)
		}
		site = serve(t, fixtures.Options{Fault: fault})
		o := into(site)
		o.KeepGoing = true
		receipt, err := transfer.Unpack(t.Context(), openBundle(t, path), client(t), o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		checkSite(t, name, site, images[1:], every)
		want := map[string]string{"team/small": transfer.ImageFailed, "team/big": transfer.ImagePushed, "team/last": transfer.ImagePushed}
		if got := states(receipt, images); !maps.Equal(got, want) {
			t.Errorf("%s: states %v, want %v", name, got, want)
		}
		if why := receipt.Images[0].Why(6); !strings.Contains(why, "403") || !strings.Contains(why, "team/small") {
			t.Errorf("%s: %s", name, why)
		}
		if complete, damaged := receipt.Complete(); complete || damaged || receipt.Count(transfer.ImageFailed) != 1 || len(receipt.Needed()) > 0 {
			t.Errorf("%s: complete %t, damaged %t, needed %v", name, complete, damaged, receipt.Needed())
		}
		// The next run mends it.
		site.SetFault(nil)
		if complete, _ := unpack(t, path, site).Complete(); !complete {
			t.Errorf("%s: not complete without fault", name)
		}
		checkSite(t, name+", then without fault", site, images, every)
	}
}
