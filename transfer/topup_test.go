package transfer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/registry"
	"satchel/transfer"
)

// topUp selects what have says is lacking.
func topUp(t *testing.T, source *fixtures.Registry, have []byte, o transfer.SelectOptions) bundle.Selection {
	t.Helper()
	h := parseHave(t, have)
	s, err := transfer.SelectTopUp(t.Context(), transfer.Sources{Registry: client(t)}, h, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Request.TopUp != h.Digest {
		t.Errorf("the request has %s, want %s", s.Request.TopUp, h.Digest)
	}
	return s
}

// Two images lack a layer each. The tags have moved since, and the digests have
// not.
func TestTopUp(t *testing.T) {
	web, api, job := layered("web", "base", "web"), layered("api", "base", "mid", "api"), layered("job", "base", "mid", "job")
	images := []fixtures.Image{web, api, job}
	source := serve(t, fixtures.Options{}, images...)
	old := plan(t, transfer.Sources{Registry: client(t)}, source.Host(), 1<<20, transfer.SelectOptions{}, images...)
	if err := source.Add(layered("web", "new").Named("team/api", "1")); err != nil {
		t.Fatal(err)
	}
	name := func(path string) string { return source.Host() + "/team/" + path + ":1" }
	receipt := receiptOf(t, old, "site.example/mirror", map[string][]digest.Digest{
		name("api"): {layerDigest("api")}, name("job"): {layerDigest("job")},
	}).encode(t)
	inventory := inventoryOf(t, old, images, layerDigest("api"), layerDigest("job"))
	for what, have := range map[string][]byte{"receipt": receipt, "inventory": inventory} {
		held := func(path string) bundle.HeldImage {
			if what == "inventory" {
				return bundle.HeldImage{Bundle: digest.FromBytes(inventory), Name: "test", Plan: old.PlanID(), Reference: name(path)}
			}
			return bundle.HeldImage{
				Bundle: digest.FromString("bundle ID"), Name: "test", Plan: old.PlanID(), Reference: name(path), Repository: "site.example/mirror/team/" + path,
			}
		}
		s := topUp(t, source, have, transfer.SelectOptions{})
		if s.Name != "test-topup" || len(s.Images) != 2 {
			t.Fatalf("%s: got %s, %+v", what, s.Name, s.Images)
		}
		for i, image := range []fixtures.Image{api, job} {
			if s.Images[i].Reference != name(strings.TrimPrefix(image.Repository, "team/")) || s.Images[i].Root.Digest != image.Root.Digest || s.Images[i].Sparse {
				t.Errorf("%s: image %+v, want %s", what, s.Images[i], image.Root.Digest)
			}
		}
		got, packed := heldBlobs(s)
		if !sameDigests(packed, []digest.Digest{layerDigest("api"), layerDigest("job")}) {
			t.Errorf("%s: packed %v", what, packed)
		}
		for d, want := range map[digest.Digest]bundle.HeldImage{
			layerDigest("base"): held("web"), layerDigest("mid"): held("api"), configOf(api): held("api"), configOf(job): held("job"),
		} {
			if got[d] != want {
				t.Errorf("%s: %s is held by %+v, want %+v", what, d, got[d], want)
			}
		}
		if len(s.Held) != 3 {
			t.Errorf("%s: held images %+v", what, s.Held)
		}
		planOf(t, s)
	}
}

// An image of which a receipt does not say what it lacks is packed whole, but for
// what other images brought.
func TestTopUpUnknownLacks(t *testing.T) {
	web, api := layered("web", "base", "web"), layered("api", "base", "api")
	source := serve(t, fixtures.Options{}, web, api)
	old := plan(t, transfer.Sources{Registry: client(t)}, source.Host(), 1<<20, transfer.SelectOptions{}, web, api)
	s := topUp(t, source, receiptOf(t, old, "site.example", map[string][]digest.Digest{source.Host() + "/team/api:1": nil}).encode(t), transfer.SelectOptions{})
	held, packed := heldBlobs(s)
	if len(held) != 1 || held[layerDigest("base")].Reference != source.Host()+"/team/web:1" || !sameDigests(packed, []digest.Digest{layerDigest("api"), configOf(api)}) {
		t.Errorf("held %v, packed %v", held, packed)
	}
}

// An image that is complete and still lacks something, as a sparse one may, lacks
// it.
func TestTopUpOfPushed(t *testing.T) {
	web := layered("web", "base", "web")
	source := serve(t, fixtures.Options{}, web)
	old := plan(t, transfer.Sources{Registry: client(t)}, source.Host(), 1<<20, transfer.SelectOptions{}, web)
	receipt := receiptOf(t, old, "site.example", map[string][]digest.Digest{source.Host() + "/team/web:1": {layerDigest("web")}})
	receipt.images()[0]["state"] = "pushed"
	if _, packed := heldBlobs(topUp(t, source, receipt.encode(t), transfer.SelectOptions{})); !sameDigests(packed, []digest.Digest{layerDigest("web")}) {
		t.Errorf("packed %v", packed)
	}
}

func TestTopUpOfWhole(t *testing.T) {
	images, prologue := twoImages(t)
	for what, data := range map[string][]byte{
		"receipt": receiptOf(t, prologue, "site.example", nil).encode(t), "inventory": inventoryOf(t, prologue, images),
	} {
		_, err := transfer.SelectTopUp(t.Context(), transfer.Sources{}, parseHave(t, data), nil, transfer.SelectOptions{})
		if !errors.Is(err, transfer.ErrWhole) || !strings.Contains(err.Error(), "test") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What was chosen by platform then is chosen again, and nothing beside it.
func TestTopUpPlatforms(t *testing.T) {
	amd, arm := platformImage(false, linux("amd64", ""), "x"), platformImage(false, linux("arm64", "v8"), "x")
	inner := fixtures.NewIndex(platformImage(false, linux("s390x", ""), "x"), platformImage(false, linux("arm", "v7"), "x"))
	web := fixtures.NewIndex(amd, arm, inner, fixtures.NewAttestation(amd)).Named("team/web", "1")
	full := fixtures.NewIndex(amd, platformImage(false, linux("arm64", ""), "y")).Named("team/full", "1")
	source := serve(t, fixtures.Options{}, web, full)
	lack := amd.Blobs[1].Descriptor.Digest
	for _, test := range []struct {
		name     string
		options  transfer.SelectOptions
		request  bundle.Request // of a top-up by inventory
		manifest int
	}{
		{name: "all", manifest: 9},
		{name: "one", options: transfer.SelectOptions{Platforms: []string{"linux/amd64"}}, manifest: 1},
		{
			name: "sparse", options: transfer.SelectOptions{Platforms: []string{"linux/amd64", "linux/arm64"}, Sparse: true}, manifest: 5,
			request: bundle.Request{Platforms: []string{"linux/amd64", "linux/arm64", "linux/arm64/v8"}, Sparse: true},
		},
	} {
		old := plan(t, transfer.Sources{Registry: client(t)}, source.Host(), 1<<20, test.options, web, full)
		if got := len(old.Plan().Manifests); got != test.manifest {
			t.Fatalf("%s: %d manifests, want %d", test.name, got, test.manifest)
		}
		receipt := receiptOf(t, old, "site.example", map[string][]digest.Digest{
			source.Host() + "/team/web:1": {lack}, source.Host() + "/team/full:1": {lack},
		})
		inventory := inventoryOf(t, old, []fixtures.Image{web, full}, lack)
		for what, have := range map[string][]byte{"receipt": receipt.encode(t), "inventory": inventory} {
			s := topUp(t, source, have, transfer.SelectOptions{})
			want := test.request
			if what == "receipt" {
				want = bundle.Request{Platforms: test.options.Platforms, Sparse: test.options.Sparse}
			}
			if !slices.Equal(s.Request.Platforms, want.Platforms) || s.Request.Sparse != want.Sparse {
				t.Errorf("%s, %s: request %+v, want %+v", test.name, what, s.Request, want)
			}
			if _, packed := heldBlobs(s); !slices.Equal(packed, []digest.Digest{lack}) || len(s.Manifests) != test.manifest || len(s.Missing) != 0 {
				t.Errorf("%s, %s: packed %v, %d manifests", test.name, what, packed, len(s.Manifests))
			}
			for i, image := range s.Images {
				then := old.Plan().Images[i]
				if what == "receipt" && test.name == "one" {
					then.Platforms = nil // neither the receipt nor the manifest states it
				}
				if image.Root != then.Root || image.Sparse != then.Sparse || !slices.Equal(image.Platforms, then.Platforms) {
					t.Errorf("%s, %s: image %+v, was %+v", test.name, what, image, then)
				}
			}
			planOf(t, s)
			// The small bundle may be short of the same blob again.
			if what == "inventory" && test.name == "sparse" {
				again := topUp(t, source, receiptOf(t, planOf(t, s), "site.example", map[string][]digest.Digest{
					source.Host() + "/team/web:1": {lack}, source.Host() + "/team/full:1": {lack},
				}).encode(t), transfer.SelectOptions{})
				if len(again.Manifests) != test.manifest || again.Name != "test-topup-topup" {
					t.Errorf("again: %d manifests, %s", len(again.Manifests), again.Name)
				}
			}
		}
	}
}

// A child that the source did not have has come back. All below it is packed, but
// for what another image brought.
func TestTopUpMissingChild(t *testing.T) {
	amd, arm := platformImage(false, linux("amd64", ""), "x"), platformImage(false, linux("arm64", ""), "x")
	shared := fixtures.NewImage(fixtures.ImageSpec{Platform: linux("s390x", ""), Layers: []fixtures.Layer{
		fixtures.GzipLayer(fixtures.Files("x" + "linux/amd64")...), fixtures.GzipLayer(fixtures.Files("s390x")...),
	}})
	inner := fixtures.NewIndex(arm, shared)
	web := fixtures.NewIndex(amd, inner, fixtures.NewAttestation(amd)).Named("team/web", "1")
	for _, test := range []struct {
		name   string
		remove fixtures.Image
		packed []digest.Digest
		held   int
	}{
		{"an image", shared, []digest.Digest{configOf(shared), layerDigest("s390x")}, 6},
		{"an index", inner, []digest.Digest{configOf(shared), layerDigest("s390x"), configOf(arm), layerDigest("xlinux/arm64")}, 4},
	} {
		source := serve(t, fixtures.Options{}, web)
		source.Remove("team/web", string(test.remove.Root.Digest))
		old := plan(t, transfer.Sources{Registry: client(t)}, source.Host(), 1<<20, skipping, web)
		if len(old.Plan().Missing) != 1 || !old.Plan().Images[0].Sparse {
			t.Fatalf("%s: the old plan is %+v", test.name, old.Plan())
		}
		reference := source.Host() + "/team/web:1"
		receipt := receiptOf(t, old, "site.example", map[string][]digest.Digest{reference: {test.remove.Root.Digest}}).encode(t)
		inventory := inventoryOf(t, old, []fixtures.Image{web})
		for what, have := range map[string][]byte{"receipt": receipt, "inventory": inventory} {
			h := parseHave(t, have)
			_, err := transfer.SelectTopUp(t.Context(), transfer.Sources{Registry: client(t)}, h, nil, transfer.SelectOptions{})
			if !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), string(test.remove.Root.Digest)) {
				t.Errorf("%s, %s: while it is away: %v", test.name, what, err)
			}
			s, err := transfer.SelectTopUp(t.Context(), transfer.Sources{Registry: client(t)}, h, nil, skipping)
			if _, packed := heldBlobs(s); err != nil || len(packed) != 0 || len(s.Missing) != 1 || !s.Images[0].Sparse {
				t.Errorf("%s, %s: while it is away, with --skip-missing: %v, %+v", test.name, what, err, s)
			}
		}
		if err := source.Add(web); err != nil {
			t.Fatal(err)
		}
		for what, have := range map[string][]byte{"receipt": receipt, "inventory": inventory} {
			s := topUp(t, source, have, transfer.SelectOptions{})
			held, packed := heldBlobs(s)
			if !sameDigests(packed, test.packed) || len(held) != test.held {
				t.Errorf("%s, %s: packed %v, held %v", test.name, what, packed, held)
			}
			if len(s.Manifests) != 6 || s.Images[0].Sparse || len(s.Missing) != 0 {
				t.Errorf("%s, %s: %d manifests, %+v, %+v", test.name, what, len(s.Manifests), s.Images, s.Missing)
			}
			planOf(t, s)
		}
	}
}

// An image that could not be resolved then is resolved now, by its tag.
func TestTopUpMissingImage(t *testing.T) {
	web := layered("web", "base", "web")
	api := fixtures.NewIndex(platformImage(false, linux("amd64", ""), "x"), platformImage(false, linux("arm64", ""), "x")).Named("team/api", "1")
	source := serve(t, fixtures.Options{}, web)
	old := plan(t, transfer.Sources{Registry: client(t)}, source.Host(), 1<<20, skipping, web, api)
	inventory := inventoryOf(t, old, []fixtures.Image{web})
	if err := source.Add(api); err != nil {
		t.Fatal(err)
	}
	inv, err := bundle.ParseInventory(inventory)
	if err != nil {
		t.Fatal(err)
	}
	inv.Missing = append(inv.Missing, inv.Missing[0], bundle.Missing{Image: source.Host() + "/team/web:1", Reason: "it is there"})
	if inventory, err = inv.Encode(); err != nil {
		t.Fatal(err)
	}
	s := topUp(t, source, inventory, transfer.SelectOptions{})
	if held, packed := heldBlobs(s); len(s.Images) != 1 || s.Images[0].Root.Digest != api.Root.Digest || len(packed) != 4 || len(held) != 0 {
		t.Errorf("got %+v, packed %v, held %v", s.Images, packed, held)
	}
	// What is resolved anew is chosen anew.
	s = topUp(t, source, inventory, transfer.SelectOptions{Platforms: []string{"linux/arm64"}})
	if len(s.Manifests) != 1 || !slices.Equal(s.Request.Platforms, []string{"linux/arm64"}) || s.Images[0].Root.Digest != api.Manifests[1].Descriptor.Digest {
		t.Errorf("one platform: %+v, %+v", s.Images, s.Request)
	}
}

func TestTopUpForeign(t *testing.T) {
	image := fixtures.NewImage(fixtures.ImageSpec{Docker: true, Layers: []fixtures.Layer{
		fixtures.ForeignLayer("windows", 1000, "https://publisher.example/layer"), fixtures.OpaqueLayer("own", 10)}}).Named("win/app", "1")
	source := serve(t, fixtures.Options{}, image)
	old := plan(t, transfer.Sources{Registry: client(t)}, source.Host(), 1<<20, transfer.SelectOptions{Foreign: true}, image)
	lack := fixtures.ForeignLayer("windows", 1000).Descriptor.Digest
	receipt := receiptOf(t, old, "site.example", map[string][]digest.Digest{source.Host() + "/win/app:1": {lack}}).encode(t)
	for what, have := range map[string][]byte{"receipt": receipt, "inventory": inventoryOf(t, old, []fixtures.Image{image}, lack)} {
		s := topUp(t, source, have, transfer.SelectOptions{})
		if _, packed := heldBlobs(s); !slices.Equal(packed, []digest.Digest{lack}) || !s.Request.Foreign {
			t.Errorf("%s: packed %v, request %+v", what, packed, s.Request)
		}
	}
}

// A local source has no place where digests could be asked for: it is named
// again, and must have the same image.
func TestTopUpLocal(t *testing.T) {
	web, api := layered("web", "base", "web"), layered("api", "base", "api")
	images := []fixtures.Image{web, api}
	old := plan(t, newOrigin(images...).sources(), "source.example", 1<<20, transfer.SelectOptions{}, images...)
	have := parseHave(t, inventoryOf(t, old, images, layerDigest("api")))
	local := func(path string) []transfer.Wanted {
		return []transfer.Wanted{{Name: oci.Reference{Repository: "source.example/team/" + path, Tag: "1"}, Local: "oci-layout-1", Entry: "api"}}
	}
	for _, test := range []struct {
		name  string
		holds fixtures.Image
		local []transfer.Wanted
		says  string
	}{
		{name: "the same", holds: api, local: local("api")},
		{name: "another image", holds: web, local: local("api"), says: string(api.Root.Digest)},
		{name: "not lacking", holds: api, local: local("web"), says: "team/web:1 is not among those that lack something"},
	} {
		sources := transfer.Sources{Layouts: map[string]transfer.Layout{"oci-layout-1": &localImage{newOrigin(test.holds), test.holds.Root}}}
		s, err := transfer.SelectTopUp(t.Context(), sources, have, test.local, transfer.SelectOptions{})
		if test.says != "" {
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		_, packed := heldBlobs(s)
		if !slices.Equal(packed, []digest.Digest{layerDigest("api")}) || s.Manifests[0].Origin.Local != "oci-layout-1" {
			t.Errorf("%s: packed %v, from %+v", test.name, packed, s.Manifests[0].Origin)
		}
	}
}

// What other files say of the site counts beside what the top-up's says.
func TestTopUpAndHave(t *testing.T) {
	web, api := layered("web", "base", "web"), layered("api", "base", "mid", "api")
	source := serve(t, fixtures.Options{}, web, api)
	sources := transfer.Sources{Registry: client(t)}
	old := plan(t, sources, source.Host(), 1<<20, transfer.SelectOptions{}, web, api)
	since := plan(t, sources, source.Host(), 1<<20, transfer.SelectOptions{}, layered("api", "base", "mid", "api"))
	lacks := map[string][]digest.Digest{source.Host() + "/team/api:1": {layerDigest("api"), layerDigest("mid")}}
	have := parseHave(t, receiptOf(t, since, "site.example/later", nil).encode(t))
	s := topUp(t, source, receiptOf(t, old, "site.example", lacks).encode(t), transfer.SelectOptions{Have: []*transfer.Have{have}})
	held, packed := heldBlobs(s)
	if len(packed) != 0 || held[layerDigest("base")].Repository != "site.example/team/web" ||
		held[layerDigest("mid")].Repository != "site.example/later/team/api" || held[configOf(api)].Repository != "site.example/later/team/api" {
		t.Errorf("held %v, packed %v", held, packed)
	}
	if !slices.Equal(s.Request.Have, []digest.Digest{have.Digest}) {
		t.Errorf("request %+v", s.Request)
	}
	planOf(t, s)
}

func TestTopUpNames(t *testing.T) {
	for name, want := range map[string]string{
		"a":                                 "a-topup",
		"ocp-4.16.0":                        "ocp-4.16.0-topup",
		strings.Repeat("x", 58):             strings.Repeat("x", 58) + "-topup",
		strings.Repeat("x", 64):             strings.Repeat("x", 58) + "-topup",
		strings.Repeat("x", 57) + "-yzyzyz": strings.Repeat("x", 57) + "-topup",
	} {
		web := layered("web", "base", "web")
		s, err := transfer.Select(t.Context(), newOrigin(web).sources(), wanted(t, "source.example", web), transfer.SelectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s.Name = name
		old := planOf(t, s)
		h := parseHave(t, receiptOf(t, old, "site.example", map[string][]digest.Digest{"source.example/team/web:1": nil}).encode(t))
		s, err = transfer.SelectTopUp(t.Context(), newOrigin(web).sources(), h, nil, transfer.SelectOptions{})
		if err != nil || s.Name != want || bundle.CheckName(s.Name) != nil {
			t.Errorf("%s: got %s, %v", name, s.Name, err)
		}
	}
}
