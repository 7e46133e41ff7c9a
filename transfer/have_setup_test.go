package transfer_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/transfer"
)

// layered is an image with these layers, which are named, and a config of its own.
func layered(name string, layers ...string) fixtures.Image {
	spec := fixtures.ImageSpec{Labels: map[string]string{"name": name}}
	for _, l := range layers {
		spec.Layers = append(spec.Layers, fixtures.GzipLayer(fixtures.Files(l)...))
	}
	return fixtures.NewImage(spec).Named("team/"+name, "1")
}

// layerDigest is that of a layer of layered.
func layerDigest(name string) digest.Digest {
	return fixtures.GzipLayer(fixtures.Files(name)...).Descriptor.Digest
}

// configOf is the digest of the config of an image without children.
func configOf(image fixtures.Image) digest.Digest { return image.Blobs[0].Descriptor.Digest }

// inventoryOf writes a bundle, without what is lacking, and returns the bytes of
// its inventory.
func inventoryOf(t testing.TB, prologue *bundle.Prologue, images []fixtures.Image, lacks ...digest.Digest) []byte {
	t.Helper()
	var leftOut []bundle.Missing
	for _, d := range lacks {
		leftOut = append(leftOut, bundle.Missing{Digest: d, Reason: "it could not be had"})
	}
	content, err := os.ReadFile(filepath.Join(writeBundle(t, prologue, newOrigin(images...), leftOut...), "inventory.json"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// prefix is what a receipt has of a digest.
func prefix(t testing.TB, d digest.Digest) []byte {
	t.Helper()
	p, err := hex.DecodeString(d.Encoded()[:16])
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// received is a receipt, as JSON has it.
type received map[string]any

func (r received) images() []map[string]any { return r["images"].([]map[string]any) }

func (r received) encode(t testing.TB) []byte {
	t.Helper()
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// receiptOf is the receipt of a replay under to, of which images lack something,
// by reference.
func receiptOf(t testing.TB, prologue *bundle.Prologue, to string, lacks map[string][]digest.Digest) received {
	t.Helper()
	plan := prologue.Plan()
	destinations, err := transfer.Destinations(plan, transfer.Names{To: to})
	if err != nil {
		t.Fatal(err)
	}
	images := []map[string]any{}
	listed := make(map[digest.Digest]bool)
	for i, image := range plan.Images {
		r := map[string]any{
			"destination": destinations[i].String(), "reference": image.Reference, "digest": image.Root.Digest, "state": "pushed",
		}
		if list, ok := lacks[image.Reference]; ok {
			r["state"] = "missing"
			all := []map[string]any{}
			for _, d := range list {
				all = append(all, map[string]any{"digest": d, "reason": "volume 2 of 3 is missing", "volumes": []int{2}})
			}
			r["lacks"] = all
		} else {
			graph, err := prologue.Graph(image)
			if err != nil {
				t.Fatal(err)
			}
			var prefixes []byte
			for _, b := range graph.Blobs {
				if !listed[b.Digest] {
					listed[b.Digest] = true
					prefixes = append(prefixes, prefix(t, b.Digest)...)
				}
			}
			r["blobs"] = base64.RawURLEncoding.EncodeToString(prefixes)
		}
		images = append(images, r)
	}
	return received{
		"version": 1, "bundle": digest.FromString("bundle ID"), "name": plan.Name, "plan": prologue.PlanID(),
		"request": plan.Request, "volumes": plan.Volumes, "images": images,
		"blobs": map[string]int{"pushed": 1}, "missingVolumes": []int{2},
	}
}

func parseHave(t testing.TB, data []byte) *transfer.Have {
	t.Helper()
	h, err := transfer.ParseHave(data)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// planOf plans a selection, so that what is no plan is noticed, and looks for
// every image's graph.
func planOf(t testing.TB, s bundle.Selection) *bundle.Prologue {
	t.Helper()
	if s.Name == "" {
		s.Name = "test"
	}
	plan, prologue, err := bundle.NewPlan(s, 10<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range plan.Images {
		if _, err := prologue.Graph(image); err != nil {
			t.Error(err)
		}
	}
	encoded, err := plan.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.ParsePlan(encoded); err != nil {
		t.Error(err)
	}
	return prologue
}

// heldBlobs returns for each held blob of a selection the image that holds it,
// and the digests of the others.
func heldBlobs(s bundle.Selection) (held map[digest.Digest]bundle.HeldImage, packed []digest.Digest) {
	held = make(map[digest.Digest]bundle.HeldImage)
	for _, group := range s.Blobs {
		for _, b := range group {
			if b.Held != 0 {
				held[b.Digest] = s.Held[b.Held-1]
			} else {
				packed = append(packed, b.Digest)
			}
		}
	}
	return held, packed
}

// sameDigests reports whether two lists hold the same, in any order.
func sameDigests(a, b []digest.Digest) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}
