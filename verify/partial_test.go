package verify_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/verify"
)

const reason = "503 Service Unavailable"

// needs says which of the images need a blob, by their index.
func needs(d digest.Digest) []bool {
	var list []bool
	for _, image := range images() {
		list = append(list, slices.ContainsFunc(image.Blobs, func(c fixtures.Content) bool { return c.Descriptor.Digest == d }))
	}
	return list
}

// A bundle that was packed without a blob is whole as far as it goes.
func TestPartial(t *testing.T) {
	p := newPacking(t, nil, images()...)
	blobs := p.prologue.Plan().Blobs
	for i := range blobs {
		b := &blobs[i]
		if i%slowdown != 0 && len(b.Extents) == 0 {
			continue
		}
		all := p.all(map[digest.Digest]string{b.Digest: reason})
		for _, inventory := range []bool{true, false} {
			for _, quick := range []bool{false, true} {
				what := fmt.Sprintf("blob %d, inventory %t, quick %t", i, inventory, quick)
				m, why := all, reason
				if !inventory {
					m, why = all.with("inventory.json", ""), "it was left out when the bundle was packed"
				}
				r := check(t, verify.Options{Quick: quick}, m)
				if r.OK || !errors.Is(r.Err(), verify.ErrMissing) || len(r.Findings) > 0 || len(r.MissingVolumes) > 0 || r.HereIsWhole() == quick {
					t.Errorf("%s: %v, %+v", what, r.Err(), r)
				}
				if !quick && r.BlobsOK != r.Blobs-1 || r.Blobs != len(blobs) {
					t.Errorf("%s: %d of %d blobs", what, r.BlobsOK, r.Blobs)
				}
				if len(r.Missing) != 1 || r.Missing[0].Digest != b.Digest || r.Missing[0].Reason != why || !slices.Equal(r.Missing[0].Volumes, b.VolumesOf()) || !slices.Equal(r.Again, b.VolumesOf()) {
					t.Errorf("%s: missing %+v, again %v, want volumes %v", what, r.Missing, r.Again, b.VolumesOf())
					continue
				}
				for _, v := range r.Volumes {
					lacks, want := 0, verify.StateOK
					for _, member := range p.prologue.Plan().Members(v.Number) {
						if member.Blob.Digest == b.Digest {
							lacks, want = lacks+1, verify.StatePartial
						}
					}
					if quick {
						want = verify.StateUnchecked
					}
					if v.State != want || v.Lacks != lacks || v.Newer {
						t.Errorf("%s: volume %+v, want %d lacks, %s", what, v, lacks, want)
					}
				}
				for k, needed := range needs(b.Digest) {
					fine := verify.StateOK
					if quick {
						fine = verify.StateUnchecked
					}
					switch image := r.Images[k]; {
					case !needed && (image.State != fine || len(image.Lacks) > 0):
						t.Errorf("%s: image %+v does not need it", what, image)
					case needed && (image.State != verify.StateMissing || len(image.Lacks) != 1 || image.Lacks[0].Digest != b.Digest || image.Lacks[0].Reason != why || len(image.Volumes) > 0):
						t.Errorf("%s: image %+v needs it", what, image)
					case needed && r.Missing[0].Image == "":
						t.Errorf("%s: missing %+v names no image", what, r.Missing[0])
					}
				}
			}
		}
	}
}

// Damage in what a partial bundle holds is damage.
func TestPartialDamaged(t *testing.T) {
	p := newPacking(t, nil, images()...)
	plan := p.prologue.Plan()
	lost := plan.Members(2)[0].Blob
	all := p.all(map[digest.Digest]string{lost.Digest: reason})
	content := all[volumeName(2)]
	for what, bad := range map[string]string{
		"a bit":             all.flip(volumeName(2), int64(len(content))-1100)[volumeName(2)],
		"cut":               content[:len(content)-1],
		"cut more":          content[:len(content)-1041],
		"cut to a prologue": content[:p.prologue.Size()],
		"a byte more":       content + "\x00",
	} {
		for _, inventory := range []string{all["inventory.json"], ""} {
			r := check(t, verify.Options{}, all.with(volumeName(2), bad).with("inventory.json", inventory))
			if !errors.Is(r.Err(), verify.ErrDamage) || r.HereIsWhole() || !slices.Contains(r.Again, 2) {
				t.Errorf("%s, inventory %t: %v, again %v", what, inventory != "", r.Err(), r.Again)
			}
		}
	}
}

// Volumes that were made again since the inventory are judged by their blobs.
func TestMadeAgain(t *testing.T) {
	p := newPacking(t, nil, images()...)
	whole := p.all(nil)
	for i := range p.prologue.Plan().Blobs {
		b := &p.prologue.Plan().Blobs[i]
		if b.Size == 0 || i%slowdown != 0 && len(b.Extents) == 0 {
			continue
		}
		old := p.all(map[digest.Digest]string{b.Digest: reason})
		again := old
		for _, n := range b.VolumesOf() {
			again = again.with(volumeName(n), whole[volumeName(n)])
		}
		r := check(t, verify.Options{}, again)
		if !r.OK || len(r.Missing) > 0 || len(r.Again) > 0 {
			t.Errorf("blob %d made again: %v, %+v", i, r.Err(), r)
		}
		for _, v := range r.Volumes {
			if v.State != verify.StateOK || v.Newer != slices.Contains(b.VolumesOf(), v.Number) {
				t.Errorf("blob %d made again: volume %+v", i, v)
			}
		}
		if r := check(t, verify.Options{Quick: true}, again); !errors.Is(r.Err(), verify.ErrQuick) {
			t.Errorf("blob %d made again, quick: %v", i, r.Err())
		}
		n := b.VolumesOf()[0]
		if r := check(t, verify.Options{}, again.flip(volumeName(n), p.prologue.Size()+2000)); !errors.Is(r.Err(), verify.ErrDamage) || !slices.Equal(r.Again, []int{n}) {
			t.Errorf("blob %d made again and damaged: %v, again %v", i, r.Err(), r.Again)
		}
		// The old volumes beside the new ones.
		added := made{}
		for _, n := range b.VolumesOf() {
			added[volumeName(n)] = whole[volumeName(n)]
		}
		for _, media := range [][]made{{old, added}, {added, old}} {
			if r := check(t, verify.Options{}, media...); !r.OK || len(r.Missing) > 0 || r.BlobsOK != r.Blobs || r.Bytes == 0 {
				t.Errorf("blob %d in new volumes beside old ones: %v, %+v", i, r.Err(), r)
			}
		}
	}
}

// What lies in a volume that is not there is not known to be missing, unless the
// inventory says so.
func TestPartialElsewhere(t *testing.T) {
	p := newPacking(t, nil, images()...)
	lost := p.prologue.Plan().Members(2)[0].Blob
	all := p.all(map[digest.Digest]string{lost.Digest: reason}).with(volumeName(2), "")
	r := check(t, verify.Options{}, all)
	if len(r.Missing) != 1 || r.Missing[0].Reason != reason || !slices.Equal(r.Again, lost.VolumesOf()) || !slices.Equal(r.MissingVolumes, []int{2}) {
		t.Errorf("with inventory: %+v", r)
	}
	r = check(t, verify.Options{}, all.with("inventory.json", ""))
	if len(lost.VolumesOf()) == 1 && (len(r.Missing) > 0 || len(r.Again) > 0) || !errors.Is(r.Err(), verify.ErrMissing) {
		t.Errorf("without inventory: %+v", r)
	}
}

// Volumes on one of several media are whole by themselves.
func TestOneMedium(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	last := open(t, all).Prologue.Plan().Volumes
	for n := 1; n <= last; n++ {
		for _, inventory := range []string{all["inventory.json"], ""} {
			r := check(t, verify.Options{}, made{volumeName(n): all[volumeName(n)]}.with("inventory.json", inventory))
			if !errors.Is(r.Err(), verify.ErrMissing) || !r.HereIsWhole() || len(r.MissingVolumes) != last-1 || slices.Contains(r.MissingVolumes, n) || len(r.Again) > 0 {
				t.Errorf("volume %d alone, inventory %t: %v, %+v", n, inventory != "", r.Err(), r)
			}
		}
	}
}

// What the source did not have is missing, although the plan does without.
func TestSourceLacked(t *testing.T) {
	index, plain := images()[0], images()[2]
	child := index.Manifests[0].Descriptor.Digest
	for what, edit := range map[string]func(*bundle.Selection){
		"a child, with its image": func(s *bundle.Selection) {
			leaveOut(s, child)
			s.Images[0].Sparse = true
			s.Missing = []bundle.Missing{{Digest: child, Image: s.Images[0].Reference, Reason: reason}}
		},
		"a child": func(s *bundle.Selection) {
			leaveOut(s, child)
			s.Images[0].Sparse = true
			s.Missing = []bundle.Missing{{Digest: child, Reason: reason}}
		},
		"an image": func(s *bundle.Selection) {
			s.Missing = []bundle.Missing{{Image: "source.example/team/gone:1", Reason: reason}}
		},
	} {
		all := makeBundle(t, edit, index, plain)
		for _, inventory := range []string{all["inventory.json"], ""} {
			for _, quick := range []bool{false, true} {
				r := check(t, verify.Options{Quick: quick}, all.with("inventory.json", inventory))
				if !errors.Is(r.Err(), verify.ErrMissing) || r.HereIsWhole() == quick || len(r.Missing) != 1 || r.Missing[0].Reason != reason || len(r.Again) > 0 {
					t.Errorf("%s: %v, %+v", what, r.Err(), r)
				}
				fine := verify.StateOK
				if quick {
					fine = verify.StateUnchecked
				}
				first := verify.StateMissing
				if what == "an image" {
					first = fine
				}
				if _, images := states(r); !slices.Equal(images, []string{first, fine}) {
					t.Errorf("%s: images are %v", what, images)
				}
				if lacks := r.Images[0].Lacks; first == verify.StateMissing && (len(lacks) != 1 || lacks[0].Digest != child || lacks[0].Reason != reason) {
					t.Errorf("%s: it lacks %+v", what, lacks)
				}
			}
		}
	}
}

// Blobs that the site has are no part of the bundle.
func TestLeans(t *testing.T) {
	plans := []digest.Digest{digest.FromString("one"), digest.FromString("two")}
	id := digest.FromString("bundle")
	held := map[digest.Digest]int{
		images()[0].Blobs[len(images()[0].Blobs)-1].Descriptor.Digest: 1, // the last layer of the index
		images()[3].Blobs[1].Descriptor.Digest:                        3, // what would be cut
	}
	for _, c := range images()[0].Blobs {
		if needs(c.Descriptor.Digest)[1] {
			held[c.Descriptor.Digest] = 2 // what the first two share
		}
	}
	var bytes [2]int64
	edit := func(s *bundle.Selection) {
		s.Held = []bundle.HeldImage{
			{Name: "base", Plan: plans[0], Reference: "source.example/team/old:1"},
			{Name: "base", Plan: plans[0], Bundle: id, Reference: "source.example/team/old:2"},
			{Name: "more", Plan: plans[1], Reference: "source.example/team/big:1", Repository: "site.example/team/big"},
		}
		for _, group := range s.Blobs {
			for i := range group {
				if group[i].Held = held[group[i].Digest]; group[i].Held != 0 {
					bytes[group[i].Held/3] += group[i].Size
				}
			}
		}
	}
	p := newPacking(t, edit, images()...)
	all := p.all(nil)
	for _, inventory := range []string{all["inventory.json"], ""} {
		r := check(t, verify.Options{}, all.with("inventory.json", inventory))
		if !r.OK || r.Blobs != len(p.prologue.Plan().Blobs)-len(held) || r.BlobsOK != r.Blobs || len(r.Missing) > 0 {
			t.Errorf("inventory %t: %v, %+v", inventory != "", r.Err(), r)
		}
		want := []verify.Lean{
			{Name: "base", Bundle: id, Plan: plans[0], Blobs: len(held) - 1, Bytes: bytes[0], Images: 2},
			{Name: "more", Plan: plans[1], Blobs: 1, Bytes: bytes[1], Images: 1},
		}
		if !slices.Equal(r.Leans, want) {
			t.Errorf("inventory %t: leans %+v, want %+v", inventory != "", r.Leans, want)
		}
	}
	// What it does hold is judged as ever.
	if r := check(t, verify.Options{}, all.flip(volumeName(1), int64(len(all[volumeName(1)]))-1100)); !errors.Is(r.Err(), verify.ErrDamage) || len(r.Leans) != 2 {
		t.Errorf("damaged: %v, %+v", r.Err(), r)
	}
	if r := check(t, verify.Options{}, all.with(volumeName(1), "").with(volumeName(2), all[volumeName(2)])); r.OK || !errors.Is(r.Err(), verify.ErrMissing) || len(r.Missing) > 0 {
		t.Errorf("a volume is missing: %v, %+v", r.Err(), r)
	}
}
