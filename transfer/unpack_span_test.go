package transfer_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/transfer"
)

// oneEach puts each volume of a bundle into a directory of its own.
func oneEach(t testing.TB, path string) []string {
	t.Helper()
	all := files(t, path)
	var paths []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if strings.HasSuffix(name, ".tar.zst") {
			paths = append(paths, copyFiles(t, map[string]string{name: all[name]}))
		}
	}
	return paths
}

// One medium at a time, in any order: what can be completed is completed in that
// pass, and the receipt is about all passes.
func TestUnpackPasses(t *testing.T) {
	images := separate()[:4] // no blob of them is cut
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	media := oneEach(t, path)
	whole := openBundle(t, path)
	needs, err := transfer.Needs(whole.Prologue)
	if err != nil {
		t.Fatal(err)
	}
	if len(media) < 3 {
		t.Fatalf("%d volumes", len(media))
	}
	for _, backwards := range []bool{false, true} {
		order := slices.Clone(media)
		if backwards {
			slices.Reverse(order)
		}
		site := serve(t, fixtures.Options{})
		var receipt *transfer.Receipt
		seen := make(map[int]bool)
		for _, medium := range order {
			b := openBundle(t, medium)
			seen[b.Volumes[0].Number] = true
			o := into(site)
			o.Earlier = receipt
			site.ResetStats()
			before := receipt
			if receipt, err = transfer.Unpack(t.Context(), b, client(t), o); err != nil {
				t.Fatal(err)
			}
			checkSite(t, "passes", site, images, func(image fixtures.Image) bool {
				i := slices.IndexFunc(images, func(o fixtures.Image) bool { return o.Repository == image.Repository })
				return !slices.ContainsFunc(needs[i].Volumes, func(n int) bool { return !seen[n] })
			})
			for i, image := range receipt.Images {
				complete := !slices.ContainsFunc(needs[i].Volumes, func(n int) bool { return !seen[n] })
				if complete != (image.State == transfer.ImagePushed) || complete != (image.Blobs != "") {
					t.Errorf("%s is %s", image.Reference, image.State)
				}
				if before != nil && before.Images[i].State == transfer.ImagePushed {
					for _, line := range site.Stats().Log {
						if strings.Contains(line, images[i].Repository) {
							t.Errorf("%s is there, and looked at again: %s", image.Reference, line)
						}
					}
				}
			}
		}
		if complete, damaged := receipt.Complete(); !complete || damaged || len(receipt.MissingVolumes) > 0 || len(receipt.Absent()) > 0 {
			t.Errorf("in the end: %+v", receipt)
		}
		if n := len(whole.Prologue.Plan().Blobs); receipt.Blobs.Pushed != n || receipt.Blobs.PushedBytes != total(whole.Prologue) {
			t.Errorf("%+v, want %d pushed", receipt.Blobs, n)
		}
	}
}

// What an earlier pass brought is not sent again for another image.
func TestUnpackPassMounts(t *testing.T) {
	images := packed() // the first two share a layer
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	site := serve(t, fixtures.Options{})
	o := into(site)
	o.Earlier = unpack(t, oneEach(t, path)[0], site)
	if states(o.Earlier, images)["team/small"] != transfer.ImagePushed {
		t.Fatalf("got %+v", o.Earlier)
	}
	site.ResetStats()
	receipt, err := transfer.Unpack(t.Context(), openBundle(t, path), client(t), o)
	if err != nil {
		t.Fatal(err)
	}
	checkSite(t, "second pass", site, images, every)
	if shared := images[0].Blobs[1].Descriptor.Digest; site.Stats().Stored[shared] > 0 || receipt.Blobs.Mounted != 1 {
		t.Errorf("stored %v, receipt %+v", site.Stats().Stored, receipt.Blobs)
	}
}

func TestUnpackPassOfAnotherBundle(t *testing.T) {
	first := makeBundle(t, 1<<20, transfer.SelectOptions{}, packed()[0])
	second := makeBundle(t, 1<<20, transfer.SelectOptions{}, packed()[2])
	site := serve(t, fixtures.Options{})
	o := into(site)
	o.Earlier = unpack(t, first, site)
	if _, err := transfer.Unpack(t.Context(), openBundle(t, second), client(t), o); err == nil || !strings.Contains(err.Error(), string(o.Earlier.Plan)) {
		t.Errorf("got %v", err)
	}
}

// changer is a drive with one medium in it, which is closed before the next goes
// in.
type changer struct {
	t     testing.TB
	media []string
	asked []int
	in    *bundle.Bundle
	// path is where the medium that is in appears: what is read must be there.
	path string
}

func newChanger(t testing.TB, media []string) *changer {
	c := &changer{t: t, media: media, path: filepath.Join(t.TempDir(), "drive")}
	c.put(0)
	return c
}

func (c *changer) put(i int) {
	c.t.Helper()
	if c.in != nil {
		if err := errors.Join(c.in.Close(), os.Remove(c.path)); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := os.Symlink(c.media[i], c.path); err != nil {
		c.t.Fatal(err)
	}
	var err error
	if c.in, err = bundle.Open(bundle.Medium{Name: "drive", FS: os.DirFS(c.path)}); err != nil {
		c.t.Fatal(err)
	}
}

func (c *changer) volume(_ context.Context, number int) (*bundle.Bundle, error) {
	if c.in.Volume(number) == nil {
		c.asked = append(c.asked, number)
		c.put(number - 1)
	}
	return c.in, nil
}

// A blob that is cut over media which are never there together is pushed in one
// session that asks for one after another.
func TestUnpackCutOverMedia(t *testing.T) {
	images := packed()
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	media := oneEach(t, path)
	b := openBundle(t, path)
	cut := b.Prologue.Blob(images[1].Blobs[2].Descriptor.Digest)
	if len(cut.VolumesOf()) < 3 {
		t.Fatalf("the blob is cut over %v", cut.VolumesOf())
	}
	for _, withInventory := range []bool{false, true} {
		if withInventory {
			for _, medium := range media {
				if err := os.WriteFile(filepath.Join(medium, "inventory.json"), []byte(files(t, path)["inventory.json"]), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		site := serve(t, fixtures.Options{})
		c := newChanger(t, media)
		var receipt *transfer.Receipt
		var err error
		for i := range media {
			if i > 0 {
				c.put(i)
			}
			o := into(site)
			o.Earlier = receipt
			if receipt, err = transfer.Unpack(t.Context(), c.in, client(t), o); err != nil {
				t.Fatal(err)
			}
		}
		checkSite(t, "alone", site, images, func(i fixtures.Image) bool { return i.Repository != "team/big" })
		if got := receipt.Images[1].Together(); !slices.Equal(got, cut.VolumesOf()) {
			t.Errorf("needs %v together, want %v", got, cut.VolumesOf())
		}
		site.ResetStats()
		o := into(site)
		o.Earlier, o.Volume = receipt, c.volume
		if receipt, err = transfer.Unpack(t.Context(), c.in, client(t), o); err != nil {
			t.Fatal(err)
		}
		checkSite(t, "together", site, images, every)
		if !slices.Equal(c.asked, cut.VolumesOf()) || site.Stats().Stored[cut.Digest] != cut.Size || len(site.Stats().Stored) != 1 {
			t.Errorf("asked for %v, stored %v", c.asked, site.Stats().Stored)
		}
		if complete, damaged := receipt.Complete(); !complete || damaged || len(receipt.MissingVolumes) > 0 {
			t.Errorf("got %+v", receipt)
		}
		// All in one: whatever is not there is asked for.
		site = serve(t, fixtures.Options{})
		c.put(0)
		o = into(site)
		o.Volume = c.volume
		if receipt, err = transfer.Unpack(t.Context(), c.in, client(t), o); err != nil {
			t.Fatal(err)
		}
		checkSite(t, "all in one", site, images, every)
		if complete, damaged := receipt.Complete(); !complete || damaged || len(receipt.MissingVolumes) > 0 {
			t.Errorf("all in one: %+v", receipt)
		}
		if err := c.in.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Damage in a part, another bundle in the drive, and nobody to ask.
func TestUnpackCutOverMediaFails(t *testing.T) {
	images := packed()
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	b := openBundle(t, path)
	cut := b.Prologue.Blob(images[1].Blobs[2].Descriptor.Digest)
	nobody := errors.New("nobody is there")
	for _, name := range []string{"damage", "another bundle", "nobody"} {
		media := oneEach(t, path)
		site := serve(t, fixtures.Options{})
		c := newChanger(t, media)
		o := into(site)
		o.Volume = c.volume
		second := media[cut.VolumesOf()[1]-1]
		switch name {
		case "damage":
			for file, content := range files(t, second) {
				broken := []byte(content)
				broken[len(broken)/2] ^= 1
				if err := os.WriteFile(filepath.Join(second, file), broken, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		case "another bundle":
			other := openBundle(t, makeBundle(t, 1<<20, transfer.SelectOptions{}, images[0]))
			o.Volume = func(context.Context, int) (*bundle.Bundle, error) { return other, nil }
		case "nobody":
			o.Volume = func(context.Context, int) (*bundle.Bundle, error) { return nil, nobody }
		}
		receipt, err := transfer.Unpack(t.Context(), c.in, client(t), o)
		isWhole(t, site, images[1])
		state := receipt.Images[1].State
		switch name {
		case "damage":
			if err != nil || state != transfer.ImageDamaged || !slices.Equal(receipt.DamagedVolumes, []string{b.Prologue.Plan().VolumeName(cut.VolumesOf()[1])}) {
				t.Errorf("%s: %v, %+v", name, err, receipt)
			}
			checkSite(t, name, site, images, func(i fixtures.Image) bool { return i.Repository != "team/big" })
		case "another bundle":
			if err == nil || !strings.Contains(err.Error(), string(b.PlanID)) || state != transfer.ImageFailed {
				t.Errorf("%s: %v, %s", name, err, state)
			}
		case "nobody":
			if !errors.Is(err, nobody) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if err := c.in.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Several replays into one registry at one time do each other no harm.
func TestUnpackSeveralAtOnce(t *testing.T) {
	images := append(fixtures.Demo(30_000, 60_000), packed()...)
	path := makeBundle(t, 200_000, transfer.SelectOptions{}, images...)
	for _, o := range []fixtures.Options{{}, {RefuseMount: true}} {
		site := serve(t, o)
		var all sync.WaitGroup
		for range 4 {
			b, c := openBundle(t, path), client(t)
			all.Go(func() {
				receipt, err := transfer.Unpack(t.Context(), b, c, into(site))
				if err != nil {
					t.Error(err)
					return
				}
				if complete, damaged := receipt.Complete(); !complete || damaged {
					t.Errorf("got %+v", receipt)
				}
			})
		}
		all.Wait()
		checkSite(t, "several at once", site, images, every)
	}
}
