package transfer_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/transfer"
)

// twoImages are images that share a layer, and their plan.
func twoImages(t testing.TB) ([]fixtures.Image, *bundle.Prologue) {
	images := []fixtures.Image{layered("web", "base", "web"), layered("api", "base", "api")}
	return images, plan(t, newOrigin(images...).sources(), "source.example", 1<<20, transfer.SelectOptions{}, images...)
}

func TestHaveOfInventory(t *testing.T) {
	images, prologue := twoImages(t)
	data := inventoryOf(t, prologue, images, layerDigest("api"))
	h := parseHave(t, data)
	if h.Digest != digest.FromBytes(data) || h.Name() != "test" {
		t.Errorf("got %s, %s", h.Digest, h.Name())
	}
	plan := prologue.Plan()
	for i := range plan.Blobs {
		c := plan.Blobs[i].Content
		want := bundle.HeldImage{Bundle: h.Digest, Name: "test", Plan: prologue.PlanID(), Reference: "source.example/team/api:1"}
		for _, b := range images[0].Blobs {
			if b.Descriptor.Digest == c.Digest {
				want.Reference = "source.example/team/web:1"
			}
		}
		got, ok := h.Holder(c)
		if ok == (c.Digest == layerDigest("api")) || ok && got != want {
			t.Errorf("%s: got %+v, %t, want %+v", c.Digest, got, ok, want)
		}
		c.Size++
		if _, ok := h.Holder(c); ok {
			t.Errorf("%s is taken with another size", c.Digest)
		}
	}
	for _, d := range []digest.Digest{digest.FromString("else"), images[0].Root.Digest, "", "sha256:ab"} {
		if got, ok := h.Holder(bundle.Content{Digest: d}); ok {
			t.Errorf("%q: got %+v", d, got)
		}
	}
}

// A blob that no image needs is never pushed, so the site does not get it.
func TestHaveOfInventoryUnused(t *testing.T) {
	images, prologue := twoImages(t)
	inv, err := bundle.ParseInventory(inventoryOf(t, prologue, images))
	if err != nil {
		t.Fatal(err)
	}
	inv.Blobs[0].Image = 0
	data, err := inv.Encode()
	if err != nil {
		t.Fatal(err)
	}
	h := parseHave(t, data)
	if got, ok := h.Holder(inv.Blobs[0].Content); ok {
		t.Errorf("got %+v", got)
	}
	if _, ok := h.Holder(inv.Blobs[1].Content); !ok {
		t.Error("the others are not held")
	}
}

func TestHaveOfReceipt(t *testing.T) {
	images, prologue := twoImages(t)
	for _, state := range []string{"pushed", "present"} {
		receipt := receiptOf(t, prologue, "site.example:5000/mirror", map[string][]digest.Digest{"source.example/team/api:1": {layerDigest("api")}})
		receipt.images()[0]["state"] = state
		// What is listed again, or for an image that is not there, does not count.
		receipt.images()[1]["blobs"] = base64.RawURLEncoding.EncodeToString(prefix(t, configOf(images[1])))
		again := map[string]any{
			"reference": "source.example/team/job:1", "destination": "site.example:5000/mirror/team/job:1", "digest": digest.FromString("job"),
			"state": state, "blobs": base64.RawURLEncoding.EncodeToString(prefix(t, layerDigest("base"))),
		}
		receipt["images"] = append(receipt.images(), again)
		receipt["of a later satchel"] = []any{"x", map[string]int{"y": 1}}
		receipt.images()[0]["too"] = 1
		data := receipt.encode(t)
		h := parseHave(t, data)
		if h.Digest != digest.FromBytes(data) || h.Name() != "test" {
			t.Errorf("got %s, %s", h.Digest, h.Name())
		}
		want := bundle.HeldImage{
			Bundle: digest.FromString("bundle ID"), Name: "test", Plan: prologue.PlanID(),
			Reference: "source.example/team/web:1", Repository: "site.example:5000/mirror/team/web",
		}
		for _, b := range images[0].Blobs {
			if got, ok := h.Holder(bundle.ContentOf(b.Descriptor)); !ok || got != want {
				t.Errorf("%s: got %+v, %t, want %+v", b.Descriptor.Digest, got, ok, want)
			}
		}
		for _, d := range []digest.Digest{layerDigest("api"), configOf(images[1]), digest.FromString("else"), "", "sha256:ab"} {
			if got, ok := h.Holder(bundle.Content{Digest: d}); ok {
				t.Errorf("%q: got %+v", d, got)
			}
		}
	}
}

func TestParseHaveRefuses(t *testing.T) {
	images, prologue := twoImages(t)
	inventory := inventoryOf(t, prologue, images)
	receipt := func(edit func(received)) []byte {
		r := receiptOf(t, prologue, "site.example", map[string][]digest.Digest{"source.example/team/api:1": {layerDigest("api")}})
		edit(r)
		return r.encode(t)
	}
	image := func(n int, key string, value any) []byte {
		return receipt(func(r received) { r.images()[n][key] = value })
	}
	edited := func(edit func(*bundle.Inventory)) []byte {
		inv, err := bundle.ParseInventory(inventory)
		if err != nil {
			t.Fatal(err)
		}
		edit(inv)
		data, err := inv.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	digests := make([]byte, 8*(oci.MaxBlobs+1))
	for _, test := range []struct {
		name string
		data []byte
		says string
	}{
		{"nothing", nil, ""},
		{"no JSON", []byte("receipt"), ""},
		{"no document", []byte(`[]`), ""},
		{"neither", []byte(`{}`), "neither an inventory nor a receipt"},
		{"cut short", inventory[:len(inventory)/2], ""},
		{"more behind it", append(bytes.Clone(inventory), "{}"...), ""},
		{"plan", prologue.PlanJSON(), "it is a plan"},
		{"large", append(bytes.Clone(inventory), bytes.Repeat([]byte(" "), bundle.MaxDocument)...), "bytes are more than"},
		{"nested", []byte(`{"blobs":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`), "nested deeper"},
		{"long", []byte(`{"blobs":[` + strings.Repeat("0,", 1<<20) + `0]}`), "list of more than"},
		{"inventory not canonical", append(bytes.Clone(inventory), ' '), "canonical"},
		{"inventory of image -1", edited(func(inv *bundle.Inventory) { inv.Blobs[1].Image = -1 }), "image -1 of 2"},
		{"inventory of image 3", edited(func(inv *bundle.Inventory) { inv.Blobs[1].Image = 3 }), "image 3 of 2"},
		{"inventory with bad blob", edited(func(inv *bundle.Inventory) { inv.Blobs[1].Digest = "sha256:x" }), "blob digest"},
		{"inventory with bad root", edited(func(inv *bundle.Inventory) { inv.Images[1].Root.Digest = "sha256:x" }), "team/api"},
		{"inventory with bad reference", edited(func(inv *bundle.Inventory) { inv.Images[1].Reference = "api" }), "api"},
		{"inventory with bad platform", edited(func(inv *bundle.Inventory) { inv.Images[1].Platforms = []string{"\n"} }), "platform"},
		{"inventory with an image twice", edited(func(inv *bundle.Inventory) { inv.Images[1] = inv.Images[0] }), "twice"},
		{"receipt without name", receipt(func(r received) { delete(r, "name") }), "name"},
		{"receipt with bad name", receipt(func(r received) { r["name"] = "../x" }), "name"},
		{"receipt without plan", receipt(func(r received) { delete(r, "plan") }), "plan ID"},
		{"receipt with bad bundle", receipt(func(r received) { r["bundle"] = "x" }), "bundle ID"},
		{"receipt with bad platform", receipt(func(r received) { r["request"] = map[string]any{"platforms": []string{"x"}} }), `platform "x"`},
		{"receipt with bad reference", image(1, "reference", "api"), "api"},
		{"receipt with bad digest", image(1, "digest", "sha256:x"), "team/api"},
		{"receipt with other digest", image(1, "reference", "source.example/team/api@"+digest.FromString("x").String()), "its root"},
		{"receipt with an image twice", image(1, "reference", "source.example/team/web:1"), "twice"},
		{"receipt without destination", image(1, "destination", ""), "destination"},
		{"receipt with bad destination", image(0, "destination", "http://site.example/web:1"), "destination"},
		{"receipt with bad lack", image(1, "lacks", []any{map[string]string{"digest": "x"}}), "lacks"},
		{"receipt with lacks of another kind", image(1, "lacks", "x"), ""},
		{"receipt with padded blobs", image(0, "blobs", "AAAAAAAAAAA="), "blobs"},
		{"receipt with blobs in other letters", image(0, "blobs", "AAAAAAA+/AA"), "blobs"},
		{"receipt with half a blob", image(0, "blobs", "AAAAAAAAAAAAAAA"), "blobs"},
		{"receipt with spare bits", image(0, "blobs", "AAAAAAAAAAB"), "blobs"},
		{"receipt with many blobs", image(0, "blobs", base64.RawURLEncoding.EncodeToString(digests)), "more than"},
		{"receipt with two lists", []byte(`{"images":{},"images":[],"blobs":{},"version":1}`), ""},
	} {
		h, err := transfer.ParseHave(test.data)
		if err == nil || h != nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, %v", test.name, h, err)
		}
	}
}

func TestParseHaveVersions(t *testing.T) {
	images, prologue := twoImages(t)
	inventory := bytes.Replace(inventoryOf(t, prologue, images), []byte(`"version":1`), []byte(`"version":2`), 1)
	later := receiptOf(t, prologue, "site.example", nil)
	later["version"] = 2
	later["name"] = map[string]int{"of another form": 1}
	none := receiptOf(t, prologue, "site.example", nil)
	delete(none, "version")
	for what, data := range map[string][]byte{"inventory": inventory, "receipt": later.encode(t), "no version": none.encode(t)} {
		_, err := transfer.ParseHave(data)
		if version := (*bundle.VersionError)(nil); !errors.As(err, &version) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func FuzzParseHave(f *testing.F) {
	images, prologue := twoImages(f)
	source := newOrigin(images...)
	lacks := map[string][]digest.Digest{"source.example/team/api:1": {layerDigest("api")}}
	f.Add(inventoryOf(f, prologue, images))
	f.Add(inventoryOf(f, prologue, images, layerDigest("api")))
	f.Add(receiptOf(f, prologue, "site.example/mirror", nil).encode(f))
	f.Add(receiptOf(f, prologue, "site.example/mirror", lacks).encode(f))
	never := receiptOf(f, prologue, "site.example/mirror", nil)
	never["to"], never["images"] = "site.example/mirror", never.images()[:1]
	never["missing"] = []map[string]any{{"reference": "source.example/team/api:1", "destination": "site.example/mirror/api:1", "tags": []string{"2"}}}
	f.Add(never.encode(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := transfer.ParseHave(data)
		if err != nil {
			return
		}
		if err := bundle.CheckName(h.Name()); err != nil {
			t.Fatal(err)
		}
		// What it gives must be fit for a plan.
		p, err := bundle.ParsePlan(prologue.PlanJSON())
		if err != nil {
			t.Fatal(err)
		}
		for i := range p.Blobs {
			if held, ok := h.Holder(p.Blobs[i].Content); ok {
				p.Held = append(p.Held, held)
			}
		}
		encoded, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.ParsePlan(encoded); err != nil {
			t.Fatal(err)
		}
		s, err := transfer.SelectTopUp(t.Context(), source.sources(), h, nil, transfer.SelectOptions{})
		if err != nil {
			return
		}
		if _, _, err := bundle.NewPlan(s, 10<<20); err != nil {
			t.Fatal(err)
		}
	})
}
