package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/transfer"
)

// blobSizes are the sizes of all blobs of images.
func blobSizes(images []fixtures.Image) map[digest.Digest]int64 {
	sizes := make(map[digest.Digest]int64)
	for _, image := range images {
		for _, b := range image.Blobs {
			sizes[b.Descriptor.Digest] = b.Descriptor.Size
		}
	}
	return sizes
}

// TestNeighbouringReleases has two releases in one bundle, with each blob once, and
// adds the second to a site that has the first: only what is new moves.
func TestNeighbouringReleases(t *testing.T) {
	upstream := startRegistry(t, fixtures.Options{})
	source := newReleaseSource(t, upstream.Host())
	first := source.release(fixtures.ReleaseSpec{Version: "4.12.0", Shared: "4.12", LayerSize: 100_000})
	second := source.release(fixtures.ReleaseSpec{Version: "4.12.1", Shared: "4.12", LayerSize: 100_000, Previous: []string{"4.12.0"}})
	if err := upstream.Add(slices.Concat(first.Images, second.Images)...); err != nil {
		t.Fatal(err)
	}
	before, fresh := blobSizes(first.Images), blobSizes(second.Images)
	var shared, sum int64
	for d, size := range fresh {
		if _, ok := before[d]; ok {
			delete(fresh, d)
			shared += size
		} else {
			sum += size
		}
	}
	if shared < 1_000_000 || sum < 100_000 {
		t.Fatalf("%d bytes are shared, %d are new", shared, sum)
	}

	// Both in one bundle.
	both := t.TempDir()
	dry := mustSatchel(t, source.command("pack", "--dry-run", "--json", "--release", first.Reference(), "--release", second.Reference())...)
	var planned plannedBundle
	if err := json.Unmarshal([]byte(dry), &planned); err != nil {
		t.Fatal(err)
	}
	if len(planned.Releases) != 2 || planned.Releases[0].Shared != shared || planned.Releases[1].Shared != shared ||
		planned.Releases[1].Bytes != shared+sum || planned.Releases[1].Components != len(second.Components) {
		t.Errorf("got %+v, %d bytes are shared and %d more are of the second", planned.Releases, shared, sum)
	}
	mustSatchel(t, source.command("pack", "-o", both, "--release", first.Reference(), "--release", second.Reference())...)
	all := maps.Clone(before)
	maps.Copy(all, fresh)
	checkMembers(t, readInventory(t, both), nil, all)

	// The second after the first: from the whole bundle, and from one that leaves
	// out what the receipt of the first has.
	one := t.TempDir()
	mustSatchel(t, source.command("pack", "-o", one, "--release", first.Reference())...)
	for _, have := range []bool{false, true} {
		t.Run(fmt.Sprintf("have=%t", have), func(t *testing.T) {
			site := startRegistry(t, fixtures.Options{})
			receipt := filepath.Join(t.TempDir(), "receipt.json")
			mustSatchel(t, source.command("unpack", one, "--to", site.Host()+"/ocp", "--receipt", receipt)...)
			dir := both
			if have {
				dir = t.TempDir()
				mustSatchel(t, source.command("pack", "-o", dir, "--have", receipt, "--release", second.Reference())...)
				checkMembers(t, readInventory(t, dir), before, fresh)
			}
			site.ResetStats()
			out := mustSatchel(t, source.command("unpack", dir, "--to", site.Host()+"/ocp", "--json")...)
			var done transfer.Receipt
			if err := json.Unmarshal([]byte(out), &done); err != nil {
				t.Fatal(err)
			}
			stats := site.Stats()
			if done.Blobs.PushedBytes != sum || stats.BlobBytesReceived != sum || done.Blobs.Pushed != len(fresh) {
				t.Errorf("%d blobs of %d bytes pushed, %d bytes received; new are %d of %d", done.Blobs.Pushed, done.Blobs.PushedBytes,
					stats.BlobBytesReceived, len(fresh), sum)
			}
			for d := range stats.Stored {
				if fresh[d] == 0 {
					t.Errorf("blob %s is sent although it was there", d)
				}
			}
			for _, r := range []fixtures.Release{first, second} {
				if err := pullRelease(site.URL(), r, "ocp/openshift/release-images", "ocp/openshift/release"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	// By copy.
	site := startRegistry(t, fixtures.Options{})
	mustSatchel(t, source.command("copy", "--release", first.Reference(), "--to", site.Host())...)
	site.ResetStats()
	mustSatchel(t, source.command("copy", "--release", second.Reference(), "--to", site.Host())...)
	if got := site.Stats().BlobBytesReceived; got != sum {
		t.Errorf("copy sent %d bytes, %d are new", got, sum)
	}
}

func readInventory(t *testing.T, dir string) *bundle.Inventory {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "inventory.json"))
	if err != nil {
		t.Fatal(err)
	}
	inventory, err := bundle.ParseInventory(data)
	if err != nil {
		t.Fatal(err)
	}
	return inventory
}

// checkMembers wants in the volumes all that is fresh, each blob once, and nothing
// that was there before.
func checkMembers(t *testing.T, inventory *bundle.Inventory, before, fresh map[digest.Digest]int64) {
	t.Helper()
	sizes := make(map[digest.Digest]int64)
	for _, v := range inventory.Volumes {
		for _, m := range v.Members {
			sizes[m.Digest] += m.Size
		}
	}
	for d, size := range fresh {
		if sizes[d] != size {
			t.Errorf("%d bytes of blob %s are in the volumes, which is new and has %d", sizes[d], d, size)
		}
	}
	for d, size := range sizes {
		if _, there := before[d]; there {
			t.Errorf("blob %s of %d bytes is in a volume although the site has it", d, size)
		}
	}
}
