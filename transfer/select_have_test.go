package transfer_test

import (
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/transfer"
)

func TestSelectHave(t *testing.T) {
	web, api, job := layered("web", "base", "web"), layered("api", "base", "api"), layered("job", "base", "web", "api", "job")
	source := serve(t, fixtures.Options{}, web, api, job)
	sources := transfer.Sources{Registry: client(t)}
	first := plan(t, sources, source.Host(), 1<<20, transfer.SelectOptions{}, web)
	second := plan(t, sources, source.Host(), 1<<20, transfer.SelectOptions{}, web, api)
	inventory := parseHave(t, inventoryOf(t, first, []fixtures.Image{web}))
	receipt := parseHave(t, receiptOf(t, second, "site.example/mirror", nil).encode(t))
	byInventory := bundle.HeldImage{Bundle: inventory.Digest, Name: "test", Plan: first.PlanID(), Reference: source.Host() + "/team/web:1"}
	byReceipt := func(image string) bundle.HeldImage {
		return bundle.HeldImage{
			Bundle: digest.FromString("bundle ID"), Name: "test", Plan: second.PlanID(),
			Reference: source.Host() + "/team/" + image + ":1", Repository: "site.example/mirror/team/" + image,
		}
	}
	own := []digest.Digest{layerDigest("job"), configOf(job)}

	for _, test := range []struct {
		name   string
		have   []*transfer.Have
		held   map[digest.Digest]bundle.HeldImage
		list   []bundle.HeldImage // in the order of job's layers
		packed []digest.Digest
	}{
		{name: "nothing", packed: append(slices.Clone(own), layerDigest("base"), layerDigest("web"), layerDigest("api"))},
		{
			name: "inventory", have: []*transfer.Have{inventory},
			held:   map[digest.Digest]bundle.HeldImage{layerDigest("base"): byInventory, layerDigest("web"): byInventory},
			list:   []bundle.HeldImage{byInventory},
			packed: append(slices.Clone(own), layerDigest("api")),
		},
		{
			name: "receipt", have: []*transfer.Have{receipt},
			held: map[digest.Digest]bundle.HeldImage{
				layerDigest("base"): byReceipt("web"), layerDigest("web"): byReceipt("web"), layerDigest("api"): byReceipt("api"),
			},
			list:   []bundle.HeldImage{byReceipt("web"), byReceipt("api")},
			packed: own,
		},
		{
			name: "the first counts", have: []*transfer.Have{inventory, receipt},
			held: map[digest.Digest]bundle.HeldImage{
				layerDigest("base"): byInventory, layerDigest("web"): byInventory, layerDigest("api"): byReceipt("api"),
			},
			list:   []bundle.HeldImage{byInventory, byReceipt("api")},
			packed: own,
		},
		{
			name: "what is not used is not named", have: []*transfer.Have{receipt, inventory, inventory},
			held: map[digest.Digest]bundle.HeldImage{
				layerDigest("base"): byReceipt("web"), layerDigest("web"): byReceipt("web"), layerDigest("api"): byReceipt("api"),
			},
			list:   []bundle.HeldImage{byReceipt("web"), byReceipt("api")},
			packed: own,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := choose(t, source, transfer.SelectOptions{Have: test.have}, job)
			if err != nil {
				t.Fatal(err)
			}
			held, packed := heldBlobs(s)
			for d, image := range test.held {
				if held[d] != image {
					t.Errorf("%s is held by %+v, want %+v", d, held[d], image)
				}
			}
			if len(held) != len(test.held) || !sameDigests(packed, test.packed) || !slices.Equal(s.Held, test.list) {
				t.Errorf("held %v\npacked %v\nlist %+v", held, packed, s.Held)
			}
			var digests []digest.Digest
			for _, h := range test.have {
				if !slices.Contains(digests, h.Digest) {
					digests = append(digests, h.Digest)
				}
			}
			if slices.Sort(digests); !slices.Equal(s.Request.Have, digests) {
				t.Errorf("the request has %v, want %v", s.Request.Have, digests)
			}
			prologue := planOf(t, s)
			if members := prologue.Plan().Members(1); len(members) != len(test.packed) {
				t.Errorf("%d members, want %d", len(members), len(test.packed))
			}
		})
	}
}

// Of an image that the site has already, the manifests are packed.
func TestSelectHaveAll(t *testing.T) {
	image := fixtures.NewIndex(platformImage(false, linux("amd64", ""), "x"), platformImage(false, linux("arm64", ""), "x")).Named("team/web", "1")
	source := serve(t, fixtures.Options{}, image)
	first := plan(t, transfer.Sources{Registry: client(t)}, source.Host(), 1<<20, transfer.SelectOptions{}, image)
	have := parseHave(t, receiptOf(t, first, "site.example", nil).encode(t))
	s, err := choose(t, source, transfer.SelectOptions{Have: []*transfer.Have{have}}, image)
	if err != nil {
		t.Fatal(err)
	}
	prologue := planOf(t, s)
	if p := prologue.Plan(); len(p.Manifests) != 3 || p.Volumes != 1 || len(p.Members(1)) != 0 || len(p.Blobs) != 4 {
		t.Errorf("got %d manifests, %d volumes, %d members, %d blobs", len(p.Manifests), p.Volumes, len(p.Members(1)), len(p.Blobs))
	}
}

// An artifact may name as its layer a manifest that is in the bundle: that stays,
// whatever the site has.
func TestSelectHaveManifestAsBlob(t *testing.T) {
	image := platformImage(false, linux("amd64", ""), "x").Named("team/web", "1")
	root, err := image.Manifests[0].Bytes()
	if err != nil {
		t.Fatal(err)
	}
	artifact := fixtures.NewArtifact("application/vnd.example.list", nil, fixtures.NewBlob(oci.MediaTypeManifest, root)).Named("team/list", "1")
	source := serve(t, fixtures.Options{}, image, artifact)
	first := plan(t, transfer.Sources{Registry: client(t)}, source.Host(), 1<<20, transfer.SelectOptions{}, artifact)
	have := parseHave(t, inventoryOf(t, first, []fixtures.Image{artifact}))
	s, err := choose(t, source, transfer.SelectOptions{Have: []*transfer.Have{have}}, image, artifact)
	if err != nil {
		t.Fatal(err)
	}
	held, _ := heldBlobs(s)
	if _, ok := held[image.Root.Digest]; ok || len(s.Manifests) != 2 {
		t.Errorf("held %v, manifests %v", held, s.Manifests)
	}
	planOf(t, s)
}
