package transfer_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/transfer"
)

// damages are what may have become of a file between two runs.
func damages() map[string]func(content []byte, at int) []byte {
	return map[string]func([]byte, int) []byte{
		"one bit wrong": func(content []byte, at int) []byte {
			content[at] ^= 0x20
			return content
		},
		"a sector of zeros": func(content []byte, at int) []byte {
			clear(content[at:min(at+512, len(content))])
			return content
		},
		"cut": func(content []byte, at int) []byte { return content[:at] },
		"something inserted": func(content []byte, at int) []byte {
			return slices.Insert(content, at, []byte("something else that does not belong here")...)
		},
		"something appended": func(content []byte, _ int) []byte { return append(content, "and more"...) },
	}
}

// Whatever has become of what stands, the run that continues keeps nothing of it
// that is wrong. Only a plan that is another one is refused.
func faultsOfDamage(t *testing.T, f *faultTally) {
	r := newTrial(t)
	places := int(24 / int64(f.step(12)))
	each := 12
	if !f.all {
		each = 47
	}
	for died := r.operations + 1; died > 0; died -= each {
		begun := fixtures.NewDisk()
		end := diskFault{DiskFault: fixtures.DiskFault{Dies: true}}.at(begun, died)
		if err := r.pack(t, begun); (err == nil) != (died > r.operations) {
			t.Fatal(err)
		}
		end()
		files := begun.Files()
		for _, name := range slices.Sorted(maps.Keys(files)) {
			if len(files[name]) == 0 {
				continue
			}
			for k, kind := range slices.Sorted(maps.Keys(damages())) {
				for i := range places {
					at := (i*len(files[name]) + (died+k)%len(files[name])) / places
					damaged := damages()[kind](bytes.Clone([]byte(files[name])), min(at, len(files[name])-1))
					if string(damaged) == files[name] {
						continue
					}
					f.ran()
					f.size(r.operations, len(damages()))
					what := fmt.Sprintf("died at %d, then %s in %s at %d of %d", died, kind, name, at, len(files[name]))
					disk := begun.Clone()
					if err := disk.Remove(name); err != nil {
						t.Fatal(err)
					}
					disk.Put(name, damaged)
					err := r.pack(t, disk)
					if name == bundle.PlanName("test") {
						occupied := (*transfer.OccupiedError)(nil)
						if !errors.As(err, &occupied) || occupied.Name != name || !occupied.Plan {
							t.Errorf("%s: Pack returns %v", what, err)
						}
						continue
					}
					// Of a volume whose header is damaged, with no other beside it,
					// nobody knows whose it is: whoever does must delete it.
					occupied := (*transfer.OccupiedError)(nil)
					if errors.As(err, &occupied) && occupied.Name == name && !occupied.Plan && alone(files, name) {
						if disk.Files()[name] != string(damaged) {
							t.Errorf("%s: it was refused, and changed", what)
						}
						disk.Revive()
						if err = disk.Remove(name); err == nil {
							err = r.pack(t, disk)
						}
					}
					if err != nil {
						t.Errorf("%s: Pack returns %v", what, err)
						continue
					}
					sameFiles(t, what, disk.Files(), r.want)
				}
			}
		}
	}
}

// alone reports whether no other file is, or was begun as, a volume.
func alone(files map[string]string, name string) bool {
	for other, content := range files {
		if _, ok := bundle.VolumeNumber(other); ok && other != name && len(content) > 0 {
			return false
		}
	}
	return true
}
