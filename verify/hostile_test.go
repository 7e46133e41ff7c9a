package verify_test

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/verify"
)

// forge changes a byte of the content of a member and mends the frame's checksum,
// so that only digests can tell. The member must be one frame of one block.
func forge(t testing.TB, content string, l bundle.Located) string {
	t.Helper()
	const head, tail = 10 + 3, 4
	b := []byte(content)
	inner := b[l.Offset+head : l.Offset+l.Length-tail]
	if int64(len(inner)) != 512+(l.Size+511)/512*512 {
		t.Fatalf("member of %d bytes is not one block", l.Size)
	}
	inner[512] ^= 1
	binary.LittleEndian.PutUint32(b[l.Offset+l.Length-tail:], uint32(xxhash.Sum64(inner)))
	return string(b)
}

// first returns the first member of a volume for which ok holds.
func first(t testing.TB, b *bundle.Bundle, n int, ok func(bundle.Located) bool) bundle.Located {
	t.Helper()
	located, err := b.Locate(b.Volume(n))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range located {
		if ok(l) {
			return l
		}
	}
	t.Fatalf("volume %d has no such member", n)
	return bundle.Located{}
}

// cutVolumes returns the volumes of the blob that is cut.
func cutVolumes(t testing.TB, b *bundle.Bundle) []int {
	t.Helper()
	for i := range b.Prologue.Plan().Blobs {
		if volumes := b.Prologue.Plan().Blobs[i].VolumesOf(); len(volumes) > 2 {
			return volumes
		}
	}
	t.Fatal("no blob is cut over three volumes")
	return nil
}

// Frames that are in good form with other content are found by digest, with and
// without an inventory, in whole blobs and in every extent.
func TestForgedContent(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	b := open(t, all)
	for n := 1; n <= b.Prologue.Plan().Volumes; n++ {
		stored := first(t, b, n, func(l bundle.Located) bool { return l.Size > 0 && !l.Blob.Compress })
		for _, inventory := range []string{all["inventory.json"], ""} {
			r := check(t, verify.Options{}, all.with(volumeName(n), forge(t, all[volumeName(n)], stored)).with("inventory.json", inventory))
			if r.OK || !errors.Is(r.Err(), verify.ErrDamage) {
				t.Errorf("volume %d, extent %d, inventory %t: %v", n, stored.Extent, inventory != "", r.Err())
			}
			for i, image := range images() {
				if slices.ContainsFunc(image.Blobs, func(c fixtures.Content) bool { return c.Descriptor.Digest == stored.Blob.Digest }) && r.Images[i].State != verify.StateDamaged {
					t.Errorf("volume %d, inventory %t: %s is %s", n, inventory != "", image.Repository, r.Images[i].State)
				}
			}
		}
	}
}

func TestTwoCopies(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	if r := check(t, verify.Options{}, all, all); !r.OK || len(r.Volumes) != 2*open(t, all).Prologue.Plan().Volumes || r.BlobsOK != r.Blobs {
		t.Errorf("two whole copies: %v, %+v", r.Err(), r)
	}
	b := open(t, all)
	for n := 1; n <= b.Prologue.Plan().Volumes; n++ {
		stored := first(t, b, n, func(l bundle.Located) bool { return l.Size > 0 && !l.Blob.Compress })
		if n%slowdown != 1%slowdown && stored.Extent == 0 {
			continue
		}
		one := made{volumeName(n): all[volumeName(n)]}
		for what, bad := range map[string]made{
			"a bit of the content": one.flip(volumeName(n), stored.Offset+2000),
			"a bit of the header":  one.flip(volumeName(n), 600),
			"cut":                  {volumeName(n): all[volumeName(n)][:b.Prologue.Size()+3000]},
			"forged":               {volumeName(n): forge(t, all[volumeName(n)], stored)},
		} {
			for _, inventory := range []string{all["inventory.json"], ""} {
				for order, media := range [][]made{{all.with("inventory.json", inventory), bad}, {bad, all.with("inventory.json", inventory)}} {
					r := check(t, verify.Options{}, media...)
					where := "medium 2"
					if order == 1 {
						where = "medium 1"
					}
					if r.OK || !errors.Is(r.Err(), verify.ErrDamage) {
						t.Errorf("volume %d, %s, extent %d, inventory %t, bad copy on %s: %v", n, what, stored.Extent, inventory != "", where, r.Err())
						continue
					}
					for _, f := range r.Findings {
						// Of a cut blob with other content, digests alone cannot say
						// which part is wrong.
						if what != "forged" && (f.Medium != where || f.Volume != volumeName(n)) {
							t.Errorf("volume %d, %s, bad copy on %s: finding %+v", n, what, where, f)
						}
					}
				}
			}
		}
	}
}

// What lies beside a bundle under a name like its own is found, whatever its
// number.
func TestStrayVolumes(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	one := all[volumeName(1)]
	for name, content := range map[string]string{
		"test-0000.tar.zst": "", "test-0099.tar.zst": "stray", "test-9999.tar.zst": one, "test-0098.tar.zst": one[:500],
		"test-0097.tar.zst": one[:600] + "x" + one[601:],
	} {
		for _, inventory := range []string{all["inventory.json"], ""} {
			for _, quick := range []bool{false, true} {
				m := maps.Clone(all.with("inventory.json", inventory))
				m[name] = content
				r := check(t, verify.Options{Quick: quick}, m)
				if r.OK || !errors.Is(r.Err(), verify.ErrDamage) {
					t.Errorf("%s, inventory %t, quick %t: %v", name, inventory != "", quick, r.Err())
				}
			}
		}
	}
}

// Volumes of another bundle are not taken for volumes of this one.
func TestMixedBundles(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	other := makeBundle(t, nil, images()[:3]...)
	r := check(t, verify.Options{}, all.with(volumeName(1), other[volumeName(1)]))
	if r.OK || !errors.Is(r.Err(), verify.ErrDamage) || !slices.Equal(r.MissingVolumes, []int{1}) {
		t.Errorf("got %v, %+v", r.Err(), r)
	}
	swapped := all.with(volumeName(1), all[volumeName(2)]).with(volumeName(2), all[volumeName(1)])
	if r := check(t, verify.Options{}, swapped); r.OK || !errors.Is(r.Err(), verify.ErrDamage) {
		t.Errorf("swapped: %v", r.Err())
	}
}

func TestSmallFiles(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	for _, name := range []string{"inventory.json", "test.plan.json", "SHA256SUMS", "README.txt"} {
		r := check(t, verify.Options{}, all.flip(name, int64(len(all[name])/2)))
		if r.OK || !errors.Is(r.Err(), verify.ErrDamage) {
			t.Errorf("%s is changed: %v", name, r.Err())
		}
	}
}

// The graph of each image is followed: what manifests name must be planned.
func TestGraph(t *testing.T) {
	index := images()[0]
	for name, edit := range map[string]func(*bundle.Selection){
		"a blob is not in the plan": func(s *bundle.Selection) { s.Blobs[0] = s.Blobs[0][1:] },
		"a blob has another size in the plan": func(s *bundle.Selection) {
			s.Blobs[0][0].Digest, s.Blobs[0][0].Size = digest.FromString(""), 0
		},
		"a child is not in the plan": func(s *bundle.Selection) {
			leaveOut(s, index.Manifests[0].Descriptor.Digest)
		},
	} {
		all := makeBundle(t, edit, index, images()[2])
		r := check(t, verify.Options{}, all)
		if r.OK || !errors.Is(r.Err(), verify.ErrDamage) {
			t.Errorf("%s: %v", name, r.Err())
		}
		if _, images := states(r); !slices.Equal(images, []string{verify.StateDamaged, verify.StateOK}) {
			t.Errorf("%s: images are %v", name, images)
		}
		if !slices.ContainsFunc(r.Findings, func(f verify.Finding) bool {
			return strings.Contains(f.Problem, index.Reference()) && strings.Contains(f.Problem, "sha256:")
		}) {
			t.Errorf("%s: %+v", name, r.Findings)
		}
	}
}

// An image whose index is sparse by choice is whole without what it leaves out.
func TestSparse(t *testing.T) {
	index := images()[0]
	all := makeBundle(t, func(s *bundle.Selection) {
		leaveOut(s, index.Manifests[0].Descriptor.Digest)
		s.Images[0].Sparse = true
	}, index)
	if r := check(t, verify.Options{}, all); !r.OK {
		t.Errorf("got %v, %+v", r.Err(), r.Findings)
	}
}

// The parts of a cut blob: one missing, another damaged.
func TestCutBlob(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	b := open(t, all)
	volumes := cutVolumes(t, b)
	r := check(t, verify.Options{}, all.with(volumeName(volumes[0]), ""))
	if big := r.Images[3]; big.State != verify.StateMissing || !slices.Equal(big.Volumes, volumes[:1]) {
		t.Errorf("first part missing: %+v", big)
	}
	part := first(t, b, volumes[1], func(l bundle.Located) bool { return l.Extent > 0 })
	r = check(t, verify.Options{}, all.with(volumeName(volumes[0]), "").flip(volumeName(volumes[1]), part.Offset+1000))
	if big := r.Images[3]; big.State != verify.StateDamaged || !slices.Equal(big.Volumes, volumes[:2]) || !errors.Is(r.Err(), verify.ErrDamage) {
		t.Errorf("first part missing, second damaged: %+v, %v", big, r.Err())
	}
}

func TestNothingReadable(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	m := made{}
	for name, content := range all {
		if strings.HasSuffix(name, ".tar.zst") {
			m[name] = content[:100]
		}
	}
	r := check(t, verify.Options{}, m)
	if r.OK || !errors.Is(r.Err(), verify.ErrDamage) {
		t.Errorf("no header: %v", r.Err())
	}
	r = check(t, verify.Options{Quick: true}, m)
	if r.OK || !errors.Is(r.Err(), verify.ErrDamage) {
		t.Errorf("no header, quick: %v", r.Err())
	}
	m["inventory.json"] = all["inventory.json"]
	if r = check(t, verify.Options{}, m); r.OK || !errors.Is(r.Err(), verify.ErrDamage) {
		t.Errorf("no header, with inventory: %v", r.Err())
	}
}
