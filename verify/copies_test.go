package verify_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/verify"
)

// cutMember returns the extent of the cut blob in volume n.
func cutMember(t testing.TB, b *bundle.Bundle, n int) bundle.Located {
	t.Helper()
	return first(t, b, n, func(l bundle.Located) bool { return l.Extent > 0 })
}

// An image is not hit by damage in one copy of a volume that holds a part of a
// cut blob; the copy that is damaged is named, and no other.
func TestTwoCopiesOfACut(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	b := open(t, all)
	for _, n := range cutVolumes(t, b) {
		part := cutMember(t, b, n)
		one := made{volumeName(n): all[volumeName(n)]}
		for what, bad := range map[string]made{
			"a bit":  one.flip(volumeName(n), part.Offset+2000),
			"forged": {volumeName(n): forge(t, all[volumeName(n)], part)},
		} {
			for _, inventory := range []string{all["inventory.json"], ""} {
				whole := all.with("inventory.json", inventory)
				for order, media := range [][]made{{whole, bad}, {bad, whole}} {
					r := check(t, verify.Options{}, media...)
					where := []string{"medium 2", "medium 1"}[order]
					if !errors.Is(r.Err(), verify.ErrDamage) || r.BlobsOK != r.Blobs || len(r.Again) > 0 {
						t.Errorf("volume %d, %s, bad copy on %s, inventory %t: %v, %d of %d blobs, again %v", n, what, where, inventory != "", r.Err(), r.BlobsOK, r.Blobs, r.Again)
					}
					for _, image := range r.Images {
						if image.State != verify.StateOK {
							t.Errorf("volume %d, %s, bad copy on %s, inventory %t: image %+v", n, what, where, inventory != "", image)
						}
					}
					for _, v := range r.Volumes {
						if bad := v.Number == n && v.Medium == where; bad != (v.State == verify.StateDamaged) {
							t.Errorf("volume %d, %s, bad copy on %s, inventory %t: volume %+v", n, what, where, inventory != "", v)
						}
					}
				}
			}
		}
	}
}

// readable says whether unpack finds copies from which the blob can be read.
func readable(t testing.TB, b *bundle.Bundle, blob *bundle.Blob) bool {
	t.Helper()
	for nth := range b.Copies(blob) {
		r, err := b.Blob(t.Context(), blob, nth)
		if err != nil {
			continue
		}
		_, err = io.Copy(io.Discard, r)
		if err = errors.Join(err, r.Close()); err == nil {
			return true
		}
	}
	return false
}

// Whatever is damaged in whatever copies: an image is ok if its blobs can be
// read, and only then.
func TestCopiesDamagedInSeveralPlaces(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	b := open(t, all)
	volumes := cutVolumes(t, b)
	one, two := volumes[0], volumes[1]
	bad := func(m made, n int, forged bool) made {
		part := cutMember(t, b, n)
		if forged {
			return m.with(volumeName(n), forge(t, m[volumeName(n)], part))
		}
		return m.flip(volumeName(n), part.Offset+2000)
	}
	for what, media := range map[string][]made{
		"the same part twice":          {bad(all, one, false), bad(all, one, false)},
		"the same part, forged alike":  {bad(all, one, true), bad(all, one, true)},
		"the same part in two ways":    {bad(all, one, true), bad(all, one, false)},
		"both parts in one copy":       {bad(bad(all, one, false), two, true), all},
		"both parts in the other copy": {all, bad(bad(all, one, false), two, true)},
		"one part in each copy":        {bad(all, one, false), bad(all, two, false)},
		"one forged part in each copy": {bad(all, one, true), bad(all, two, true)},
		"three copies":                 {bad(all, one, false), bad(all, one, true), all},
	} {
		for _, inventory := range []string{all["inventory.json"], ""} {
			for i := range media {
				media[i] = media[i].with("inventory.json", inventory)
			}
			r := check(t, verify.Options{}, media...)
			copies := open(t, media...)
			part := copies.Prologue.Plan().Members(one)
			state := verify.StateDamaged
			if readable(t, copies, part[len(part)-1].Blob) {
				state = verify.StateOK
			}
			if got := r.Images[3]; got.State != state || !errors.Is(r.Err(), verify.ErrDamage) {
				t.Errorf("%s, inventory %t: %+v, want it %s; %v", what, inventory != "", got, state, r.Err())
			}
			for _, n := range r.Images[3].Volumes {
				if !slices.Contains(volumes, n) {
					t.Errorf("%s, inventory %t: image %+v", what, inventory != "", r.Images[3])
				}
			}
			if state == verify.StateDamaged && len(r.Again) == 0 {
				t.Errorf("%s, inventory %t: nothing to be made again", what, inventory != "")
			}
		}
	}
}

// Without what comes before and behind it, two different copies of a part are
// both suspect.
func TestCopiesThatDiffer(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	b := open(t, all)
	n := cutVolumes(t, b)[1]
	here := made{volumeName(n): all[volumeName(n)]}
	forged := made{volumeName(n): forge(t, all[volumeName(n)], cutMember(t, b, n))}
	if r := check(t, verify.Options{}, here, here); !errors.Is(r.Err(), verify.ErrMissing) || !r.HereIsWhole() {
		t.Errorf("alike: %v, %+v", r.Err(), r.Findings)
	}
	if r := check(t, verify.Options{}, here, forged); !errors.Is(r.Err(), verify.ErrDamage) || len(r.Findings) != 2 || !slices.Equal(r.Again, []int{n}) {
		t.Errorf("different: %v, %+v, again %v", r.Err(), r.Findings, r.Again)
	}
}

// A volume with one member is read twice, not on and on.
func TestTwoCopiesOfOneMember(t *testing.T) {
	all := makeBundle(t, nil, fixtures.NewImage(fixtures.ImageSpec{}).Named("team/scratch", "1"))
	if r := check(t, verify.Options{}, all, all, all); !r.OK {
		t.Errorf("%v, %+v", r.Err(), r.Findings)
	}
}

// Damage says which volumes must be made again; a whole copy is enough.
func TestAgain(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	bad := all.flip(volumeName(2), 2000).flip(volumeName(3), 600).flip(volumeName(4), int64(len(all[volumeName(4)])-1))
	if r := check(t, verify.Options{}, bad); !slices.Equal(r.Again, []int{2, 3, 4}) {
		t.Errorf("again %v", r.Again)
	}
	if r := check(t, verify.Options{}, bad.with(volumeName(1), ""), made{volumeName(3): all[volumeName(3)]}); !slices.Equal(r.Again, []int{2, 4}) || !slices.Equal(r.MissingVolumes, []int{1}) {
		t.Errorf("with a copy of volume 3: again %v, missing %v", r.Again, r.MissingVolumes)
	}
	if r := check(t, verify.Options{}, all.flip("README.txt", 20)); len(r.Again) > 0 || r.OK {
		t.Errorf("damaged README.txt: again %v", r.Again)
	}
}

// Reading copies again ends with the context.
func TestStoppedAmongCopies(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	b := open(t, all)
	n := cutVolumes(t, b)[0]
	bad := made{volumeName(n): all[volumeName(n)]}.flip(volumeName(n), cutMember(t, b, n).Offset+2000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	last := b.Prologue.Plan().Volumes + 1
	r := verify.Bundle(ctx, open(t, bad, all), verify.Options{Volume: func(verify.VolumeReport) {
		if last--; last == 0 {
			cancel()
		}
	}})
	if last != 0 || !errors.Is(r.Err(), context.Canceled) || r.OK {
		t.Errorf("got %v after all but %d volumes", r.Err(), last)
	}
}

// An inventory that was forged too, so that it agrees with the volume, does not
// help: the blob says it.
func TestForgedInventory(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	b := open(t, all)
	volumes := cutVolumes(t, b)
	forged := all.with(volumeName(volumes[0]), forge(t, all[volumeName(volumes[0])], cutMember(t, b, volumes[0])))
	inventory, err := bundle.ParseInventory([]byte(all["inventory.json"]))
	if err != nil {
		t.Fatal(err)
	}
	inventory.Volumes[volumes[0]-1].Digest = digest.FromString(forged[volumeName(volumes[0])])
	content, err := inventory.Encode()
	if err != nil {
		t.Fatal(err)
	}
	r := check(t, verify.Options{}, forged.with("inventory.json", string(content)).with("SHA256SUMS", ""))
	if !errors.Is(r.Err(), verify.ErrDamage) || r.Images[3].State != verify.StateDamaged || !slices.Equal(r.Again, volumes) {
		t.Errorf("%v, again %v, image %+v", r.Err(), r.Again, r.Images[3])
	}
	// Where the inventory is right, it says which volume it is.
	if r := check(t, verify.Options{}, forged); !slices.Equal(r.Again, volumes[:1]) {
		t.Errorf("again %v, want %v", r.Again, volumes[:1])
	}
}
