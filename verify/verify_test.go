package verify_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/verify"
)

func TestWhole(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	var size int64
	for name, content := range all {
		if strings.HasSuffix(name, ".tar.zst") {
			size += int64(len(content))
		}
	}
	for _, without := range []string{"", "inventory.json", "README.txt", "SHA256SUMS", "test.plan.json"} {
		m := all
		if without != "" {
			m = all.with(without, "")
		}
		var progress int64
		var told []string
		r := check(t, verify.Options{Progress: func(n int64) { progress += n }, Volume: func(v verify.VolumeReport) { told = append(told, v.Name+" "+v.State) }}, m)
		if !r.OK || r.Err() != nil || r.Quick || r.Stopped != nil || len(r.Findings) > 0 || len(r.MissingVolumes) > 0 {
			t.Errorf("without %q: %+v", without, r)
		}
		if r.Blobs != r.BlobsOK || r.Blobs == 0 || r.Bytes != size || progress != size {
			t.Errorf("without %q: %d of %d blobs, read %d of %d bytes, told %d", without, r.BlobsOK, r.Blobs, r.Bytes, size, progress)
		}
		for i, v := range r.Volumes {
			content := all[v.Name]
			if v.Number != i+1 || v.State != verify.StateOK || v.Digest != digest.FromString(content) || v.Size != int64(len(content)) || v.Medium != "medium 1" || told[i] != v.Name+" ok" {
				t.Errorf("without %q: volume %+v", without, v)
			}
		}
		for i, image := range r.Images {
			if image.State != verify.StateOK || len(image.Volumes) > 0 || image.Digest != images()[i].Root.Digest || image.Reference != "source.example/"+images()[i].Reference() {
				t.Errorf("without %q: image %+v", without, image)
			}
		}
		if len(r.Images) != len(images()) || len(r.Volumes) < 5 || r.Name != "test" || r.Plan != digest.FromString(all["test.plan.json"]) {
			t.Errorf("without %q: %+v", without, r)
		}
		if known := without != "inventory.json"; known && r.Bundle != digest.FromString(all["inventory.json"]) || !known && r.Bundle != "" {
			t.Errorf("without %q: bundle ID %q", without, r.Bundle)
		}
	}
}

func TestNoBlobs(t *testing.T) {
	empty := fixtures.NewIndex().Named("team/empty", "")
	if r := check(t, verify.Options{}, makeBundle(t, nil, empty)); !r.OK || len(r.Volumes) != 1 {
		t.Errorf("got %+v", r)
	}
}

// hitBy returns which images need a volume, by their index.
func hitBy(t testing.TB, b *bundle.Bundle, n int) []bool {
	t.Helper()
	var hit []bool
	for _, image := range b.Prologue.Plan().Images {
		graph, err := b.Prologue.Graph(image)
		if err != nil {
			t.Fatal(err)
		}
		hit = append(hit, slices.ContainsFunc(graph.Blobs, func(blob *bundle.Blob) bool { return slices.Contains(blob.VolumesOf(), n) }))
	}
	return hit
}

func TestMissingVolume(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	b := open(t, all)
	for n := 1; n <= b.Prologue.Plan().Volumes; n++ {
		for _, quick := range []bool{false, true} {
			r := check(t, verify.Options{Quick: quick}, all.with(volumeName(n), ""))
			if r.OK || !errors.Is(r.Err(), verify.ErrMissing) || len(r.Findings) > 0 || !slices.Equal(r.MissingVolumes, []int{n}) {
				t.Errorf("volume %d, quick %t: %v, %+v", n, quick, r.Err(), r)
			}
			fine := verify.StateOK
			if quick {
				fine = verify.StateUnchecked
			}
			for _, v := range r.Volumes {
				want := fine
				if v.Number == n {
					want = verify.StateMissing
				}
				if v.State != want || v.Name != volumeName(v.Number) {
					t.Errorf("volume %d, quick %t: %+v", n, quick, v)
				}
			}
			for i, hit := range hitBy(t, b, n) {
				image := r.Images[i]
				if hit && (image.State != verify.StateMissing || !slices.Equal(image.Volumes, []int{n})) || !hit && (image.State != fine || len(image.Volumes) > 0) {
					t.Errorf("volume %d, quick %t: hit %t: %+v", n, quick, hit, image)
				}
			}
		}
	}
}

// Every byte counts: a sample of them all over the volumes.
func TestDamage(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	b := open(t, all)
	for _, v := range b.Volumes {
		located, err := b.Locate(v)
		if err != nil {
			t.Fatal(err)
		}
		spots := []int64{0, 500, b.Prologue.Size() - 1, v.Size - 1, v.Size - 600}
		for _, l := range located {
			spots = append(spots, l.Offset, l.Offset+7, l.Offset+20, l.Offset+l.Length/2, l.Offset+l.Length-1)
		}
		for i, at := range spots {
			if i%slowdown != 0 {
				continue
			}
			for _, inventory := range []bool{true, false} {
				m := all.flip(v.Name, at)
				if !inventory {
					m = m.with("inventory.json", "")
				}
				r := check(t, verify.Options{}, m)
				what := fmt.Sprintf("%s, byte %d, inventory %t", v.Name, at, inventory)
				if r.OK || !errors.Is(r.Err(), verify.ErrDamage) || len(r.Findings) == 0 {
					t.Errorf("%s: %v, %+v", what, r.Err(), r)
					continue
				}
				for _, f := range r.Findings {
					if f.Volume != v.Name || f.Medium != "medium 1" || f.Offset > at {
						t.Errorf("%s: finding %+v", what, f)
					}
				}
				if volumes, _ := states(r); volumes[v.Number-1] != verify.StateDamaged {
					t.Errorf("%s: volumes are %v", what, volumes)
				}
				if !inventory {
					continue // then what follows may not be found
				}
				var hit digest.Digest
				for _, l := range located {
					if at >= l.Offset && at < l.Offset+l.Length {
						hit = l.Blob.Digest
					}
				}
				for i, image := range images() {
					needs := slices.ContainsFunc(image.Blobs, func(c fixtures.Content) bool { return c.Descriptor.Digest == hit })
					if got := r.Images[i]; needs && (got.State != verify.StateDamaged || !slices.Equal(got.Volumes, []int{v.Number})) || !needs && hit != "" && got.State != verify.StateOK {
						t.Errorf("%s: hit %t: %+v", what, needs, got)
					}
				}
			}
		}
	}
}

// A volume whose header is damaged is not replayed: its images are not ok.
func TestDamagedHeader(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	whole := open(t, all)
	for n := 1; n <= whole.Prologue.Plan().Volumes; n++ {
		r := check(t, verify.Options{}, all.flip(volumeName(n), 600))
		for i, hit := range hitBy(t, whole, n) {
			if hit && r.Images[i].State == verify.StateOK {
				t.Errorf("volume %d: image %s, which needs it, is ok", n, r.Images[i].Reference)
			}
		}
	}
}

func TestCutAndGrownVolumes(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	b := open(t, all)
	last := b.Prologue.Plan().Volumes
	for n := 1; n <= last; n += slowdown {
		whole := all[volumeName(n)]
		for what, content := range map[string]string{
			"cut by a byte": whole[:len(whole)-1], "without its end": whole[:len(whole)-1041], "half": whole[:len(whole)/2],
			"prologue only": whole[:b.Prologue.Size()], "half a header": whole[:500],
			"with a byte more": whole + "\x00", "twice": whole + whole,
		} {
			for _, quick := range []bool{false, true} {
				for _, inventory := range []string{all["inventory.json"], ""} {
					r := check(t, verify.Options{Quick: quick}, all.with(volumeName(n), content).with("inventory.json", inventory))
					if r.OK || !errors.Is(r.Err(), verify.ErrDamage) {
						t.Errorf("volume %d is %s, quick %t, inventory %t: %v", n, what, quick, inventory != "", r.Err())
					}
				}
			}
		}
	}
}

// A quick look knows which images a volume hits that is cut, or whose header is
// damaged.
func TestQuickHits(t *testing.T) {
	p := newPacking(t, nil, images()...)
	all := p.all(nil)
	b := open(t, all)
	for n := 1; n <= b.Prologue.Plan().Volumes; n++ {
		for what, m := range map[string]made{
			"cut":              all.with(volumeName(n), all[volumeName(n)][:b.Prologue.Size()+10]),
			"a damaged header": all.flip(volumeName(n), 600),
			"partial, and a damaged header": p.all(map[digest.Digest]string{
				b.Prologue.Plan().Members(n)[0].Blob.Digest: "gone"}).flip(volumeName(n), 600),
		} {
			for _, inventory := range []string{m["inventory.json"], ""} {
				r := check(t, verify.Options{Quick: true}, m.with("inventory.json", inventory))
				for i, hit := range hitBy(t, b, n) {
					if got := r.Images[i]; hit && (got.State != verify.StateDamaged || !slices.Contains(got.Volumes, n)) || !hit && got.State == verify.StateDamaged {
						t.Errorf("volume %d is %s, inventory %t: hit %t: %+v", n, what, inventory != "", hit, got)
					}
				}
				if !slices.Contains(r.Again, n) {
					t.Errorf("volume %d is %s, inventory %t: again %v", n, what, inventory != "", r.Again)
				}
			}
		}
	}
}

// A member that is compressed has its length in its frames: where these are
// damaged, what follows is not found.
func TestQuickLost(t *testing.T) {
	all := makeBundle(t, nil, images()...).with("inventory.json", "")
	b := open(t, all)
	for n := 1; n <= b.Prologue.Plan().Volumes; n++ {
		located, err := b.Locate(b.Volume(n))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range located {
			if !l.Blob.Compress {
				continue
			}
			r := check(t, verify.Options{Quick: true}, all.flip(volumeName(n), l.Offset))
			if got := r.Images[2]; got.State != verify.StateDamaged || !slices.Equal(got.Volumes, []int{n}) {
				t.Errorf("image %+v", got)
			}
			return
		}
	}
	t.Error("no member is compressed")
}

func TestQuickNeverSaysOK(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	for _, m := range []made{all, all.with("inventory.json", "")} {
		r := check(t, verify.Options{Quick: true}, m)
		if r.OK || !errors.Is(r.Err(), verify.ErrQuick) || !r.Quick || r.BlobsOK != 0 {
			t.Errorf("got %v, %+v", r.Err(), r)
		}
		volumes, images := states(r)
		if slices.ContainsFunc(slices.Concat(volumes, images), func(s string) bool { return s != verify.StateUnchecked }) {
			t.Errorf("states %v %v", volumes, images)
		}
	}
}

func TestStopped(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	var size int64
	check(t, verify.Options{Progress: func(n int64) { size += n }}, all)
	for _, damaged := range []bool{false, true} {
		for part := range int64(10) {
			m := all
			if damaged {
				m = all.flip(volumeName(1), 100)
			}
			ctx, cancel := context.WithCancel(t.Context())
			if part == 0 {
				cancel()
			}
			var read int64
			r := verify.Bundle(ctx, open(t, m), verify.Options{Progress: func(n int64) {
				if read += n; read >= size*part/10 {
					cancel()
				}
			}})
			cancel()
			if r.OK || r.Err() == nil || r.Stopped != nil && (!errors.Is(r.Err(), verify.ErrIncomplete) || !errors.Is(r.Err(), context.Canceled)) {
				t.Errorf("stopped at %d of 10: OK %t, %v", part, r.OK, r.Err())
			}
			if r.Stopped == nil && (read < size || !damaged) {
				t.Errorf("stopped at %d of 10: not noted", part)
			}
		}
	}
}

func TestErrOrder(t *testing.T) {
	all := makeBundle(t, nil, images()...)
	r := check(t, verify.Options{}, all.with(volumeName(2), "").flip(volumeName(1), 2000))
	if !errors.Is(r.Err(), verify.ErrDamage) {
		t.Errorf("damaged and missing: %v", r.Err())
	}
	if (&verify.Report{}).Err() == nil {
		t.Error("a report that says nothing is no success")
	}
}
