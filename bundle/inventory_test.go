package bundle_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// copyOf returns a copy of an inventory, and of all that it points to.
func copyOf(t testing.TB, inv *bundle.Inventory) *bundle.Inventory {
	t.Helper()
	encoded, err := inv.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := bundle.ParseInventory(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// TestAgreesRefuses lets the inventories of the golden bundles lie about each
// thing that they state.
func TestAgreesRefuses(t *testing.T) {
	whole, partial, release := open(t, goldenDir), open(t, partialDir), open(t, releaseDir)
	plan := partial.Prologue.Plan()
	there, elsewhere := plan.Blobs[1].Digest, digest.FromString("elsewhere")
	heldAt := slices.IndexFunc(whole.Prologue.Plan().Blobs, func(b bundle.Blob) bool { return b.Held > 0 })
	held := whole.Prologue.Plan().Blobs[heldAt]
	for _, test := range []struct {
		name string
		b    *bundle.Bundle
		lie  func(inv *bundle.Inventory)
	}{
		{"of another plan", partial, func(inv *bundle.Inventory) { inv.Plan = elsewhere }},
		{"another name", partial, func(inv *bundle.Inventory) { inv.Name = "other" }},

		{"an image less", partial, func(inv *bundle.Inventory) { inv.Images = inv.Images[1:] }},
		{"another reference", partial, func(inv *bundle.Inventory) { inv.Images[0].Reference = "registry.example/other:1" }},
		{"another root", partial, func(inv *bundle.Inventory) { inv.Images[0].Root.Size++ }},
		{"sparse", partial, func(inv *bundle.Inventory) { inv.Images[0].Sparse = true }},
		{"another platform", partial, func(inv *bundle.Inventory) { inv.Images[0].Platforms[0] = "linux/arm64" }},
		{"a whole image is incomplete", partial, func(inv *bundle.Inventory) { inv.Images[0].Incomplete = true }},
		{"an image that lacks a blob is complete", partial, func(inv *bundle.Inventory) { inv.Images[1].Incomplete = false }},
		{"an image that shares a lacking blob is complete", partial, func(inv *bundle.Inventory) { inv.Images[2].Incomplete = false }},
		{"an image that lacks a child is complete", whole, func(inv *bundle.Inventory) { inv.Images[5].Incomplete = false }},

		{"a blob less", partial, func(inv *bundle.Inventory) { inv.Blobs = inv.Blobs[1:] }},
		{"two blobs swapped", partial, func(inv *bundle.Inventory) { inv.Blobs[0], inv.Blobs[1] = inv.Blobs[1], inv.Blobs[0] }},
		{"another size", partial, func(inv *bundle.Inventory) { inv.Blobs[0].Size++ }},
		{"a blob that no image needs", partial, func(inv *bundle.Inventory) { inv.Blobs[0].Image = 0 }},
		{"a blob that another image needs", partial, func(inv *bundle.Inventory) { inv.Blobs[0].Image = 2 }},
		{"a shared blob that the second image needs", partial, func(inv *bundle.Inventory) { inv.Blobs[4].Image = 3 }},
		{"a blob that no such image needs", partial, func(inv *bundle.Inventory) { inv.Blobs[0].Image = 99 }},
		{"a held blob that no image needs", whole, func(inv *bundle.Inventory) { inv.Blobs[heldAt].Image = 0 }},
		{"a manifest less", partial, func(inv *bundle.Inventory) { inv.Manifests = inv.Manifests[1:] }},

		{"nothing is missing", partial, func(inv *bundle.Inventory) { inv.Missing = nil }},
		{"less is missing", partial, func(inv *bundle.Inventory) { inv.Missing = inv.Missing[1:] }},
		{"what is there is missing", partial, func(inv *bundle.Inventory) { inv.Missing[0].Digest = there }},
		{"what is there is missing too", partial, func(inv *bundle.Inventory) {
			inv.Missing = append(inv.Missing, bundle.Missing{Digest: there, Reason: "none"})
			inv.Images[0].Incomplete = true
		}},
		{"missing twice", partial, func(inv *bundle.Inventory) { inv.Missing = append(inv.Missing, inv.Missing[0]) }},
		{"what no plan has is missing", partial, func(inv *bundle.Inventory) {
			inv.Missing = append(inv.Missing, bundle.Missing{Digest: elsewhere, Reason: "none"})
		}},
		{"a manifest is missing", partial, func(inv *bundle.Inventory) {
			inv.Missing = append(inv.Missing, bundle.Missing{Digest: plan.Manifests[0].Digest, Reason: "none"})
		}},
		{"an image is missing", partial, func(inv *bundle.Inventory) {
			inv.Missing = append(inv.Missing, bundle.Missing{Image: plan.Images[0].Reference, Reason: "none"})
			inv.Images[0].Incomplete = true
		}},
		{"missing for an image that does not need it", partial, func(inv *bundle.Inventory) {
			inv.Missing[0].Image, inv.Images[0].Incomplete = plan.Images[0].Reference, true
		}},
		{"missing for the second image that needs it", partial, func(inv *bundle.Inventory) { inv.Missing[0].Image = plan.Images[2].Reference }},
		{"a held blob is missing", whole, func(inv *bundle.Inventory) {
			inv.Missing = append(inv.Missing, bundle.Missing{Digest: held.Digest, Reason: "none"})
			inv.Images[4].Incomplete = true
		}},
		{"not what the plan lacks", whole, func(inv *bundle.Inventory) { inv.Missing = nil }},
		{"less than the plan lacks", whole, func(inv *bundle.Inventory) { inv.Missing = inv.Missing[:1] }},
		{"what the plan lacks, in another order", whole, func(inv *bundle.Inventory) { slices.Reverse(inv.Missing) }},
		{"what the plan lacks, for another reason", whole, func(inv *bundle.Inventory) { inv.Missing[0].Reason = "none" }},

		{"a volume less", partial, func(inv *bundle.Inventory) { inv.Volumes = inv.Volumes[1:] }},
		{"another number", partial, func(inv *bundle.Inventory) { inv.Volumes[0].Number = 9 }},
		{"another volume size", partial, func(inv *bundle.Inventory) { inv.Volumes[0].Size++ }},
		{"a member less", partial, func(inv *bundle.Inventory) { inv.Volumes[0].Members = inv.Volumes[0].Members[1:] }},
		{"a member more", partial, func(inv *bundle.Inventory) {
			inv.Volumes[0].Members = append(inv.Volumes[0].Members, inv.Volumes[0].Members[0])
		}},
		{"no members", partial, func(inv *bundle.Inventory) { inv.Volumes[0].Members = []bundle.Placed{} }},
		{"a member that is missing", partial, func(inv *bundle.Inventory) {
			members, b := inv.Volumes[3].Members, inv.Blobs[10]
			members[0].Offset += 10_257
			inv.Volumes[3].Members = append([]bundle.Placed{{Digest: b.Digest, Length: 10_257, Offset: members[0].Offset - 10_257, Size: 9_288, Start: 30_720}}, members...)
			inv.Volumes[3].Size += 10_257
		}},
		{"a member that is held", whole, func(inv *bundle.Inventory) {
			v := &inv.Volumes[2]
			v.Members = append(v.Members, bundle.Placed{Digest: held.Digest, Length: 5_649, Offset: v.Size - 1041, Size: held.Size})
			v.Size += 5_649
		}},
		{"another digest", partial, func(inv *bundle.Inventory) { inv.Volumes[0].Members[0].Digest = elsewhere }},
		{"another offset", partial, func(inv *bundle.Inventory) { inv.Volumes[0].Members[0].Offset++ }},
		{"another length", partial, func(inv *bundle.Inventory) { inv.Volumes[0].Members[0].Length++ }},
		{"another content", partial, func(inv *bundle.Inventory) { inv.Volumes[0].Members[0].Size++ }},
		{"another start", partial, func(inv *bundle.Inventory) { inv.Volumes[0].Members[0].Start++ }},

		{"an image that is attached to nothing", release, func(inv *bundle.Inventory) { inv.Images[1].AttachedTo = "" }},
		{"an image that is attached to another", release, func(inv *bundle.Inventory) { inv.Images[1].AttachedTo = inv.Images[5].Reference }},
		{"an image that is no part of a release", release, func(inv *bundle.Inventory) { inv.Images[0].Part = "" }},
		{"another part of a release", release, func(inv *bundle.Inventory) { inv.Images[0].Part = bundle.PartComponent }},
		{"no destinations", release, func(inv *bundle.Inventory) { inv.Images[7].Destinations = nil }},
		{"another destination", release, func(inv *bundle.Inventory) { inv.Images[7].Destinations[1] = "ocp4/tools:other" }},
		{"destinations in another order", release, func(inv *bundle.Inventory) { slices.Reverse(inv.Images[7].Destinations) }},

		{"nothing attached", release, func(inv *bundle.Inventory) { inv.Attached = nil }},
		{"less attached", release, func(inv *bundle.Inventory) { inv.Attached = inv.Attached[1:] }},
		{"more attached", release, func(inv *bundle.Inventory) { inv.Attached = append(inv.Attached, inv.Attached[0]) }},
		{"attached in another order", release, func(inv *bundle.Inventory) { slices.Reverse(inv.Attached) }},
		{"attached as another type", release, func(inv *bundle.Inventory) { inv.Attached[0].Type = "release-metadata" }},
		{"attached to another manifest", release, func(inv *bundle.Inventory) { inv.Attached[0].Subject = inv.Images[5].Root.Digest }},
		{"attached to the bundle", release, func(inv *bundle.Inventory) { inv.Attached[0].Subject = "" }},
		{"other attached content", release, func(inv *bundle.Inventory) { inv.Attached[0].Content = inv.Attached[1].Content }},
		{"attached content of another size", release, func(inv *bundle.Inventory) { inv.Attached[0].Content.Size++ }},
		{"another annotation", release, func(inv *bundle.Inventory) { inv.Attached[5].Annotations["unsigned"] = "it is not signed" }},
		{"an annotation less", release, func(inv *bundle.Inventory) { delete(inv.Attached[5].Annotations, "unsigned") }},
		{"an annotation more", release, func(inv *bundle.Inventory) { inv.Attached[0].Annotations["unsigned"] = "it is not signed" }},
		{"something attached that is nowhere", partial, func(inv *bundle.Inventory) {
			inv.Attached = []bundle.Attached{{Type: "x", Content: bundle.Content{Digest: elsewhere, MediaType: typeGzip, Size: 1}}}
		}},
		{"something attached that the plan does not attach", partial, func(inv *bundle.Inventory) {
			inv.Attached = []bundle.Attached{{Type: "x", Content: inv.Manifests[0], Subject: inv.Manifests[1].Digest}}
		}},
	} {
		if test.b.Inventory == nil {
			t.Fatal(test.b.Damage)
		}
		lying := copyOf(t, test.b.Inventory)
		if err := lying.Agrees(test.b.Prologue); err != nil {
			t.Fatal(err)
		}
		test.lie(lying)
		if err := lying.Agrees(test.b.Prologue); err == nil {
			t.Errorf("%s: accepted", test.name)
		} else if !strings.Contains(err.Error(), "inventory") {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestAgrees has what a reader takes though satchel does not write it.
func TestAgrees(t *testing.T) {
	partial := open(t, partialDir)
	for name, edit := range map[string]func(inv *bundle.Inventory){
		"missing for no image":     func(inv *bundle.Inventory) { inv.Missing[0].Image = "" },
		"missing in another order": func(inv *bundle.Inventory) { slices.Reverse(inv.Missing) },
	} {
		edited := copyOf(t, partial.Inventory)
		edit(edited)
		if err := copyOf(t, edited).Agrees(partial.Prologue); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestUnneeded has a blob that no image needs.
func TestUnneeded(t *testing.T) {
	s := newSource("unneeded")
	s.add(t, "registry.example/a:1", layer{typeGzip, s.random(700)})
	c := s.put(&s.selection.Blobs[0], typeGzip, s.random(100), bundle.Origin{Local: "layout"})
	for _, lacks := range [][]digest.Digest{nil, {c.Digest}} {
		prologue, inventory := s.write(t, t.TempDir(), 50_000, lacks...)
		if inventory.Blobs[2].Image != 0 || inventory.Images[0].Incomplete || len(inventory.Missing) != len(lacks) {
			t.Errorf("blob %+v, image %+v, missing %v", inventory.Blobs[2], inventory.Images[0], inventory.Missing)
		}
		for i := range inventory.Missing {
			inventory.Missing[i].Image, inventory.Images[0].Incomplete = inventory.Images[0].Reference, true
			if err := inventory.Agrees(prologue); err == nil {
				t.Error("missing for an image that does not need it")
			}
		}
	}
}

// TestNewInventory must be told all that is there, and all that is missing.
func TestNewInventory(t *testing.T) {
	partial := open(t, partialDir)
	want := partial.Inventory
	volumes := slices.Clone(want.Volumes)
	slices.Reverse(volumes)
	inv, err := bundle.NewInventory(partial.Prologue, volumes, want.Missing)
	if err != nil {
		t.Fatal(err)
	}
	a, err := inv.Encode()
	if err != nil || digest.FromBytes(a) != partial.BundleID {
		t.Errorf("volumes in another order: another inventory, %v", err)
	}
	for name, again := range map[string]func() (*bundle.Inventory, error){
		"a volume less": func() (*bundle.Inventory, error) {
			return bundle.NewInventory(partial.Prologue, volumes[1:], want.Missing)
		},
		"less missing": func() (*bundle.Inventory, error) {
			return bundle.NewInventory(partial.Prologue, volumes, want.Missing[1:])
		},
		"more missing": func() (*bundle.Inventory, error) {
			return bundle.NewInventory(partial.Prologue, volumes, append(slices.Clone(want.Missing), bundle.Missing{Digest: want.Blobs[0].Digest, Reason: "none"}))
		},
	} {
		if _, err := again(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestFinish writes the small files onto several media, the plan first and the
// inventory last.
func TestFinish(t *testing.T) {
	b := newStanding(t)
	var dirs []bundle.Dir
	media := []*orderDir{{memoryDir: newDir(medium{})}, {memoryDir: newDir(medium{})}}
	for _, d := range media {
		dirs = append(dirs, d)
	}
	_, id, err := bundle.Finish(dirs, b.prologue, b.volumes, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range media {
		if !slices.Equal(d.named, []string{"standing.plan.json", "README.txt", "SHA256SUMS", "inventory.json"}) || len(d.files) != 4 {
			t.Errorf("named are %q", d.named)
		}
		for name, content := range d.files {
			if string(content) != string(b.m[name]) {
				t.Errorf("%s has other bytes", name)
			}
		}
	}
	if id != digest.FromBytes(b.m["inventory.json"]) {
		t.Errorf("bundle ID %s", id)
	}
}

// orderDir notes what gets a final name.
type orderDir struct {
	*memoryDir
	named []string
}

func (d *orderDir) Rename(from, to string) error {
	d.named = append(d.named, to)
	return d.memoryDir.Rename(from, to)
}
