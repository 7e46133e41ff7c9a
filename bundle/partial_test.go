package bundle_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// TestPartial opens bundles that lack blobs, with their inventory and without.
func TestPartial(t *testing.T) {
	t.Parallel()
	b := newStanding(t)
	for i, lacks := range b.lackSets() {
		p := b.partial(t, lacks...)
		for _, inventory := range []bool{true, false} {
			what := fmt.Sprintf("lack set %d, inventory %t", i, inventory)
			m := p.m
			if !inventory {
				m = m.without("inventory.json")
			}
			opened := openFS(t, m)
			if len(opened.Damage) > 0 || len(opened.Missing()) > 0 || (opened.Inventory != nil) != inventory {
				t.Fatalf("%s: damage %v, missing %v, inventory %v", what, opened.Damage, opened.Missing(), opened.Inventory)
			}
			for n, v := range opened.Volumes {
				checkLocated(t, what, opened, v, p.volumes[n].Members, lacks)
				if stated := opened.Stated(v); (stated != nil) != inventory || inventory && stated.Digest != p.volumes[n].Digest {
					t.Errorf("%s: of %s is stated %+v", what, v.Name, stated)
				}
				if got, sum := scan(t, opened, v); len(got.damage)+len(got.broken) > 0 || sum != p.volumes[n].Digest {
					t.Errorf("%s: scan of %s: damage %v, broken %q", what, v.Name, got.damage, got.broken)
				}
			}
			checkBlobs(t, what, b.s, opened, lacks, inventory)
		}
	}
}

// checkLocated fails the test unless just these members are found, and the others
// are the lacking ones.
func checkLocated(t *testing.T, what string, b *bundle.Bundle, v *bundle.VolumeFile, members []bundle.Placed, lacks []digest.Digest) {
	t.Helper()
	located, err := b.Locate(v)
	same := slices.EqualFunc(located, members, func(l bundle.Located, p bundle.Placed) bool {
		return p == bundle.Placed{Digest: l.Blob.Digest, Length: l.Length, Offset: l.Offset, Size: l.Size, Start: l.Start}
	})
	if err != nil || !same {
		t.Errorf("%s: in %s are %v, %v, want %v", what, v.Name, located, err, members)
	}
	var lacking []bundle.Member
	for _, m := range b.Prologue.Plan().Members(v.Number) {
		if slices.Contains(lacks, m.Blob.Digest) {
			lacking = append(lacking, m)
		}
	}
	if got := b.Unlocated(v); !slices.Equal(got, lacking) {
		t.Errorf("%s: not in %s are %v, want %v", what, v.Name, got, lacking)
	}
}

// checkBlobs fails the test unless the blobs can be read, but for those that are
// lacking: these are refused with their volume and the reason.
func checkBlobs(t *testing.T, what string, s *source, b *bundle.Bundle, lacks []digest.Digest, stated bool) {
	t.Helper()
	for i := range b.Prologue.Plan().Blobs {
		blob := &b.Prologue.Plan().Blobs[i]
		if !slices.Contains(lacks, blob.Digest) {
			if got := readBlob(t, b, blob); !bytes.Equal(got, s.blobs[blob.Digest]) {
				t.Errorf("%s: blob %s: %d bytes differ", what, blob.Digest, len(got))
			}
			continue
		}
		_, err := b.Blob(t.Context(), blob, 0)
		missing := mustAs[*bundle.MissingBlobError](t, err)
		if missing.Digest != blob.Digest || missing.Volume != b.Prologue.Plan().VolumeName(blob.VolumesOf()[0]) ||
			strings.Contains(missing.Reason, "404") != stated || missing.Reason == "" || !strings.Contains(err.Error(), blob.Digest.String()) {
			t.Errorf("%s: %+v, %v", what, missing, err)
		}
	}
}

// TestHeld asks for blobs that are left out because the site has them.
func TestHeld(t *testing.T) {
	b := open(t, goldenDir)
	held := 0
	for i := range b.Prologue.Plan().Blobs {
		blob := &b.Prologue.Plan().Blobs[i]
		if blob.Held == 0 {
			continue
		}
		held++
		_, err := b.Blob(t.Context(), blob, 0)
		missing := mustAs[*bundle.MissingBlobError](t, err)
		with := b.Prologue.Plan().Held[blob.Held-1]
		if missing.Volume != "" || !strings.Contains(err.Error(), with.Name) || len(blob.VolumesOf()) > 0 || b.Copies(blob) != 0 {
			t.Errorf("%v, in volumes %v", err, blob.VolumesOf())
		}
	}
	if held != 2 {
		t.Errorf("%d blobs are held", held)
	}
	if names := bundle.HeldBundles(b.Prologue.Plan()); !slices.Equal(names, []string{"base-1.0", "other"}) {
		t.Errorf("held with %q", names)
	}
}

// TestPartialMissingVolume tells a volume that is not there from a blob that is
// in none.
func TestPartialMissingVolume(t *testing.T) {
	b := newStanding(t)
	p := b.partial(t, b.cut)
	opened := openFS(t, p.m.without(p.volumes[1].Name))
	_, err := opened.Blob(t.Context(), opened.Prologue.Blob(b.cut), 0)
	if missing := mustAs[*bundle.MissingVolumeError](t, err); !slices.Equal(missing.Numbers, []int{2}) {
		t.Errorf("got %v", err)
	}
}

// TestPartialDamaged flips and cuts volumes that lack members. No blob comes to
// its end with wrong bytes, and what is not there is not taken for lacking.
func TestPartialDamaged(t *testing.T) {
	t.Parallel()
	b := newStanding(t)
	p := b.partial(t, b.prologue.Plan().Blobs[1].Digest)
	v := p.volumes[0]
	start := int(b.prologue.Size())
	for _, m := range []medium{p.m, p.m.without("inventory.json")} {
		each(int(v.Size)-start, 71, func(i int) {
			flipped := bytes.Clone(m[v.Name])
			flipped[start+i] ^= 1 << (i % 8)
			files := m.with(v.Name, flipped)
			readAnything(t, files.fs().(fstest.MapFS))
			opened, err := bundle.Open(bundle.Medium{Name: "stick", FS: files.fs()})
			if err != nil {
				t.Error(err)
				return
			}
			defer opened.Close()
			if located, err := opened.Locate(opened.Volume(1)); err == nil && len(located) < len(v.Members) {
				t.Errorf("byte %d flipped: %d members of %d", start+i, len(located), len(v.Members))
			}
			checkDamaged(t, fmt.Sprintf("%s cut to %d bytes", v.Name, start+i), m.with(v.Name, m[v.Name][:start+i]), v.Name)
		})
	}
}

// TestMadeAgain has a bundle of which volumes were made again, whole, beside
// inventories from before.
func TestMadeAgain(t *testing.T) {
	b := newStanding(t)
	gzip, tail := b.prologue.Plan().Blobs[1].Digest, b.prologue.Plan().Blobs[5].Digest
	one := b.volumes[0].Name
	first := b.partial(t, gzip, tail) // lacks something of volumes 1 and 3
	second := b.partial(t, tail)      // volume 1 was made again
	older := first.m["inventory.json"]

	// Only the inventory from before is there.
	opened := openFS(t, second.m.with("inventory.json", older).without("SHA256SUMS", "README.txt"))
	if len(opened.Damage) > 0 || opened.Inventory == nil || len(opened.Inventory.Missing) != 2 {
		t.Fatalf("damage %v, inventory %+v", opened.Damage, opened.Inventory)
	}
	for n, v := range opened.Volumes {
		if stated := opened.Stated(v); (stated == nil) != (n == 0) {
			t.Errorf("of %s is stated %+v", v.Name, stated)
		}
		checkLocated(t, "made again", opened, v, second.volumes[n].Members, []digest.Digest{tail})
	}
	checkBlobs(t, "made again", b.s, opened, []digest.Digest{tail}, true)

	// The inventories of all three states lie on media, in any order.
	for _, order := range [][]medium{{first.m, second.m, b.m}, {b.m, second.m, first.m}, {second.m, b.m, first.m}} {
		media := slices.Clone(order)
		for i := range media {
			media[i] = media[i].without(b.m.volumes()...)
		}
		media[1] = media[1].with(one, b.m[one])
		for _, name := range b.m.volumes()[1:] {
			media[2] = media[2].with(name, b.m[name])
		}
		opened := openFS(t, media...)
		if len(opened.Damage) > 0 || opened.BundleID != digest.FromBytes(b.m["inventory.json"]) {
			t.Errorf("damage %v, bundle %s", opened.Damage, opened.BundleID)
		}
		checkBlobs(t, "three inventories", b.s, opened, nil, true)
	}

}

// TestOldCopies has copies of volumes from before they were made again beside the
// new ones, with the inventory from then and without.
func TestOldCopies(t *testing.T) {
	b := newStanding(t)
	gzip, tail := b.prologue.Plan().Blobs[1].Digest, b.prologue.Plan().Blobs[5].Digest
	first := b.partial(t, gzip, tail)
	for _, described := range []bool{true, false} {
		old := first.m
		if !described {
			old = old.without("inventory.json", "SHA256SUMS", "README.txt")
		}
		for _, media := range [][]medium{{old, b.m}, {b.m, old}} {
			opened := openFS(t, media...)
			if len(opened.Damage) > 0 || opened.BundleID != digest.FromBytes(b.m["inventory.json"]) {
				t.Errorf("damage %v, bundle %s", opened.Damage, opened.BundleID)
			}
			for _, v := range opened.Volumes {
				if made := first.volumes[v.Number-1]; described && v.Size == made.Size {
					checkLocated(t, "an old copy", opened, v, made.Members, []digest.Digest{gzip, tail})
				}
			}
			for i := range opened.Prologue.Plan().Blobs {
				checkCopies(t, b.s, opened, &opened.Prologue.Plan().Blobs[i], described)
			}
		}
	}
}

// checkCopies reads a blob from each copy: one must be whole, or all of them,
// and nothing else may be wrong with others than that they are damaged.
func checkCopies(t *testing.T, s *source, b *bundle.Bundle, blob *bundle.Blob, all bool) {
	t.Helper()
	whole := 0
	for nth := range b.Copies(blob) {
		r, err := b.Blob(t.Context(), blob, nth)
		if err != nil {
			t.Errorf("blob %s, copy %d: %v", blob.Digest, nth, err)
			continue
		}
		content, err := io.ReadAll(r)
		if err = errors.Join(err, r.Close()); err == nil && bytes.Equal(content, s.blobs[blob.Digest]) {
			whole++
		} else {
			mustAs[*bundle.DamageError](t, err)
		}
	}
	if whole == 0 || all && whole < b.Copies(blob) {
		t.Errorf("blob %s is whole in %d copies of %d", blob.Digest, whole, b.Copies(blob))
	}
}

// TestCopiesCombine has a cut blob that no medium holds whole: each has damage in
// the extents of another volume.
func TestCopiesCombine(t *testing.T) {
	b := newStanding(t)
	var media []medium
	for k, v := range b.volumes {
		last := v.Members[len(v.Members)-1]
		if k == 2 {
			last = v.Members[0]
		}
		flipped := bytes.Clone(b.m[v.Name])
		flipped[last.Offset+700] ^= 1
		media = append(media, b.m.with(v.Name, flipped))
	}
	opened := openFS(t, media...)
	blob := opened.Prologue.Blob(b.cut)
	if ways := opened.Copies(blob); ways != 27 {
		t.Errorf("%d ways", ways)
	}
	checkCopies(t, b.s, opened, blob, false)
	if ways := openFS(t, b.m, b.m, b.m, b.m, b.m).Copies(blob); ways != 64 {
		t.Errorf("%d ways of 125", ways)
	}
}

// TestInventoriesDiffer has inventories of one plan of which one is a lie.
func TestInventoriesDiffer(t *testing.T) {
	b := newStanding(t)
	one, other := b.partial(t, b.prologue.Plan().Blobs[1].Digest), b.partial(t, b.prologue.Plan().Blobs[5].Digest)
	small := func(p standing) medium { return medium{"inventory.json": p.m["inventory.json"]} }
	lie := medium{"inventory.json": editJSON(t, b.m["inventory.json"], func(inventory map[string]any) {
		delete(inventory["blobs"].([]any)[0].(map[string]any), "image")
	})}
	for _, test := range []struct {
		name  string
		media []medium
		wins  standing
		wrong []string // media
	}{
		{"same", []medium{one.m, small(one)}, one, nil},
		{"as much is missing", []medium{one.m, small(other)}, one, []string{"medium 2"}},
		{"as much is missing, most have the other", []medium{one.m, small(other), small(other)}, other, []string{"medium 1"}},
		{"less is missing, most have the older", []medium{one.m, small(one), small(b)}, b, nil},
		{"a lie of which nothing is missing", []medium{one.m, lie}, one, []string{"medium 2"}},
	} {
		opened := openFS(t, test.media...)
		if opened.BundleID != digest.FromBytes(test.wins.m["inventory.json"]) {
			t.Errorf("%s: bundle %s", test.name, opened.BundleID)
		}
		var wrong []string
		for _, d := range opened.Damage {
			if d.File == "inventory.json" {
				wrong = append(wrong, d.Medium)
			}
		}
		if !slices.Equal(wrong, test.wrong) {
			t.Errorf("%s: damage %v", test.name, opened.Damage)
		}
	}
}
