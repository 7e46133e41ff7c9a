package transfer_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"satchel/fixtures"
	"satchel/oci/registry"
	"satchel/transfer"
)

// With KeepGoing and SkipMissing, what cannot be had is left out, and said to be;
// making its volumes again ends in the same bytes.
func faultsOfPartial(t *testing.T, f *faultTally) {
	elsewhere := serve(t, fixtures.Options{}, fiveBlobs()...)
	empty := serve(t, fixtures.Options{})
	w := newWireTrial(t, fixtures.Options{})
	kinds := wireFaults(elsewhere.URL(), empty.URL())
	w.source.ResetStats()
	if err := w.journey(t.Context(), fixtures.NewDisk(), w.prologue); err != nil {
		t.Fatal(err)
	}
	requests, partial := w.source.Stats().Total(), 0
	f.size(requests, len(kinds))
	for k, fault := range kinds {
		for n := 2 + k%f.step(5); n <= requests; n += f.step(5) {
			disk := fixtures.NewDisk()
			w.options.KeepGoing, w.options.SkipMissing, w.options.Only = true, true, nil
			end := fault.at(w.source, n)
			packed, err := w.made(t.Context(), disk)
			hit, took := end()
			what := fmt.Sprintf("%s at request %d, %s, going on", fault.name, n, hit)
			if took {
				f.ran()
			}
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			if len(packed.Missing) == 0 {
				sameFiles(t, what, disk.Files(), w.want)
				continue
			}
			partial++
			volumes := make(map[int]bool)
			for _, m := range packed.Missing {
				for i := range w.prologue.Plan().Blobs {
					if b := &w.prologue.Plan().Blobs[i]; b.Digest == m.Digest {
						for _, v := range b.VolumesOf() {
							volumes[v] = true
						}
					}
				}
				if m.Reason == "" || m.Image == "" {
					t.Errorf("%s: it does not say why: %+v", what, m)
				}
			}
			if len(packed.Incomplete) == 0 || len(packed.Absent) > 0 || packed.Inventory == nil || len(packed.Inventory.Missing) != len(packed.Missing) {
				t.Errorf("%s: got %+v", what, packed)
			}
			// The volumes that lack nothing are as they should be.
			files := disk.Files()
			for v := 1; v <= w.prologue.Plan().Volumes; v++ {
				if name := w.prologue.Plan().VolumeName(v); !volumes[v] && files[name] != w.want[name] || files[name] == "" {
					t.Errorf("%s: %s lacks nothing, and is not right", what, name)
				}
			}
			disk.Revive()
			w.options.Only = slices.Sorted(maps.Keys(volumes))
			if packed, err = w.made(t.Context(), disk); err != nil || len(packed.Missing) > 0 {
				t.Errorf("%s: completing it: %+v, %v", what, packed, err)
				continue
			}
			sameFiles(t, what+", completed", disk.Files(), w.want)
		}
	}
	t.Logf("%d were partial", partial)
	if partial == 0 {
		t.Error("nothing was left out")
	}
}

// made packs by the plan.
func (w *wireTrial) made(ctx context.Context, disk *fixtures.Disk) (packed *transfer.Packed, err error) {
	err = w.withClient(func(c *registry.Client) error {
		packed, err = transfer.Pack(ctx, []transfer.Output{{Name: "stick", Dir: disk}}, w.prologue, transfer.Sources{Registry: c}, w.options)
		return err
	})
	return packed, err
}
