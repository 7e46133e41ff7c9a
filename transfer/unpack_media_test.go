package transfer_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/transfer"
)

// separate are images that share nothing, so that each volume hits some only.
func separate() []fixtures.Image {
	var images []fixtures.Image
	for _, name := range []string{"a", "b", "c", "d"} {
		images = append(images, fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{
			fixtures.OpaqueLayer(name, 60_000), fixtures.TextLayer(name, 20_000), fixtures.TarLayer(fixtures.Files(name)...)}}).Named("team/"+name, "1"))
	}
	images = append(images, fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{bigLayer()}}).Named("team/big", "1"))
	return images
}

// needing returns for each volume which images need it.
func needing(t testing.TB, b *bundle.Bundle, images []fixtures.Image) map[int]map[string]bool {
	t.Helper()
	needs, err := transfer.Needs(b.Prologue)
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[int]map[string]bool)
	for i, need := range needs {
		for _, n := range need.Volumes {
			if all[n] == nil {
				all[n] = make(map[string]bool)
			}
			all[n][images[i].Repository] = true
		}
	}
	return all
}

func copyFiles(t testing.TB, from map[string]string, without ...string) string {
	t.Helper()
	path := t.TempDir()
	for name, content := range from {
		if slices.Contains(without, name) {
			continue
		}
		if err := os.WriteFile(filepath.Join(path, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func TestUnpackMissingVolume(t *testing.T) {
	images := separate()
	whole := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	b := openBundle(t, whole)
	plan := b.Prologue.Plan()
	needing := needing(t, b, images)
	if plan.Volumes < 5 {
		t.Fatalf("%d volumes", plan.Volumes)
	}
	for n := 1; n <= plan.Volumes; n++ {
		for _, withInventory := range []bool{true, false} {
			without := []string{plan.VolumeName(n)}
			if !withInventory {
				without = append(without, "inventory.json")
			}
			what := fmt.Sprintf("volume %d is missing, inventory %t", n, withInventory)
			path := copyFiles(t, files(t, whole), without...)
			site := serve(t, fixtures.Options{})
			receipt := unpack(t, path, site)
			checkSite(t, what, site, images, func(i fixtures.Image) bool { return !needing[n][i.Repository] })
			if !slices.Equal(receipt.MissingVolumes, []int{n}) || len(receipt.DamagedVolumes) > 0 {
				t.Errorf("%s: receipt: missing %v, damaged %v", what, receipt.MissingVolumes, receipt.DamagedVolumes)
			}
			if complete, damaged := receipt.Complete(); complete || damaged {
				t.Errorf("%s: complete %t, damaged %t", what, complete, damaged)
			}
			for i, image := range receipt.Images {
				want := transfer.ImagePushed
				if needing[n][images[i].Repository] {
					want = transfer.ImageMissing
				}
				if image.State != want || (want == transfer.ImageMissing) != (len(image.Lacks) > 0) {
					t.Errorf("%s: %s is %s: %v", what, image.Reference, image.State, image.Lacks)
				}
				for _, lack := range image.Lacks {
					if !slices.Contains(lack.Volumes, n) || !strings.Contains(lack.Reason, fmt.Sprintf("volume %d of %d", n, plan.Volumes)) {
						t.Errorf("%s: lack %+v", what, lack)
					}
				}
			}
			// The volume turns up: only what lacked is sent.
			site.ResetStats()
			again := unpack(t, whole, site)
			checkSite(t, what+", then found", site, images, every)
			for i, image := range again.Images {
				if needed := needing[n][images[i].Repository]; needed != (image.State == transfer.ImagePushed) {
					t.Errorf("%s, then found: %s is %s", what, image.Reference, image.State)
				}
			}
		}
	}
}

func TestUnpackMediaInAnyOrder(t *testing.T) {
	images := separate()
	whole := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	var paths []string
	for name, content := range files(t, whole) {
		if strings.HasSuffix(name, ".tar.zst") {
			paths = append(paths, copyFiles(t, map[string]string{name: content}))
		}
	}
	site := serve(t, fixtures.Options{})
	if _, err := transfer.Unpack(t.Context(), openBundle(t, paths...), client(t), transfer.UnpackOptions{To: site.Host() + "/mirror"}); err != nil {
		t.Fatal(err)
	}
	checkSite(t, "a directory for each volume", site, images, every)
}

// Wherever a byte is wrong: what needs it is not visible, the rest is there, and
// no wrong blob was even sent to its end.
func TestUnpackDamagedVolume(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: long, and nothing new to the race detector")
	}
	images := separate()
	whole := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	b := openBundle(t, whole)
	all := files(t, whole)
	users := make(map[digest.Digest]string)
	for _, image := range images {
		for _, blob := range image.Blobs {
			users[blob.Descriptor.Digest] = image.Repository
		}
	}
	for _, v := range b.Volumes {
		located, err := b.Locate(v)
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range located {
			for k, at := range []int64{l.Offset, l.Offset + 7, l.Offset + 100, l.Offset + l.Length/2, l.Offset + l.Length - 1} {
				if i > 0 && k != i%5 {
					continue // all of them in one member, one of them in each
				}
				damaged := copyFiles(t, all, v.Name)
				content := []byte(all[v.Name])
				content[at] ^= 0x10
				if err := os.WriteFile(filepath.Join(damaged, v.Name), content, 0o600); err != nil {
					t.Fatal(err)
				}
				for _, remove := range []string{"", "inventory.json"} {
					if remove != "" {
						if at != l.Offset+7 {
							continue
						}
						if err := os.Remove(filepath.Join(damaged, remove)); err != nil {
							t.Fatal(err)
						}
					}
					what := fmt.Sprintf("%s, byte %d of member at %d+%d, without %q", v.Name, at, l.Offset, l.Length, remove)
					site := serve(t, fixtures.Options{})
					receipt := unpack(t, damaged, site)
					// Without the inventory, what follows a compressed member
					// whose frame is damaged cannot be found.
					hit := func(i fixtures.Image) bool { return users[l.Blob.Digest] == i.Repository }
					if remove == "" {
						checkSite(t, what, site, images, func(i fixtures.Image) bool { return !hit(i) })
					}
					for i, image := range receipt.Images {
						if whole := isWhole(t, site, images[i]); whole != (image.State == transfer.ImagePushed) || hit(images[i]) && image.State != transfer.ImageDamaged {
							t.Errorf("%s: %s is %s, visible: %t", what, image.Reference, image.State, whole)
						}
					}
					if complete, damage := receipt.Complete(); complete || !damage || !slices.Equal(receipt.DamagedVolumes, []string{v.Name}) {
						t.Errorf("%s: complete %t, damaged %t: %v", what, complete, damage, receipt.DamagedVolumes)
					}
					for _, line := range site.Stats().Log {
						if strings.HasPrefix(line, "PUT ") && strings.HasSuffix(line, " 400") {
							t.Errorf("%s: the registry had to refuse: %s", what, line)
						}
					}
				}
			}
		}
	}
}

// A damaged prologue does no harm as long as another volume has a whole one.
func TestUnpackDamagedPrologue(t *testing.T) {
	images := separate()
	whole := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	all := files(t, whole)
	b := openBundle(t, whole)
	needing := needing(t, b, images)
	for _, at := range []int64{0, 600, b.Prologue.Size() - 1} {
		name := b.Prologue.Plan().VolumeName(1)
		damaged := copyFiles(t, all, name)
		content := []byte(all[name])
		content[at] ^= 0x10
		if err := os.WriteFile(filepath.Join(damaged, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		site := serve(t, fixtures.Options{})
		receipt := unpack(t, damaged, site)
		// Without its header a volume is not believed to be of this bundle.
		lost := at < 1000
		checkSite(t, fmt.Sprintf("byte %d", at), site, images, func(i fixtures.Image) bool { return !lost || !needing[1][i.Repository] })
		if _, damage := receipt.Complete(); !damage || !slices.Equal(receipt.DamagedVolumes, []string{name}) {
			t.Errorf("byte %d: damaged %t, %v", at, damage, receipt.DamagedVolumes)
		}
	}
}
