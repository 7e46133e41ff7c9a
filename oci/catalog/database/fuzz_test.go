package database_test

import (
	"slices"
	"testing"
)

// FuzzRead reads anything; what it finds is sorted and there once.
func FuzzRead(f *testing.F) {
	for _, name := range []string{"wal", "triggers", "view", "virtual", "without-rowid", "computed"} {
		f.Add(testFile(f, name))
	}
	one, of1 := long(1100, 7)
	f.Add(made(append([][]byte{page(13, 0, one, text("i:1", "b"))}, of1...)...))
	f.Add(made(page(5, 8, number(7)+"\x01"), page(13, 0, text("i:1")), page(13, 0, text("i:2"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		db, err := read(t, data)
		if err != nil {
			wantCause(t, data)
			return
		}
		if again, err := read(t, data); err != nil || !slices.Equal(listed(db), listed(again)) {
			t.Error("read twice, it differs")
		}
		for i, image := range db.Images {
			sorted := func(all []string) bool {
				return slices.IsSorted(all) && len(slices.Compact(slices.Clone(all))) == len(all) && !slices.Contains(all, "")
			}
			if image.Reference == "" || i > 0 && db.Images[i-1].Reference >= image.Reference || !sorted(image.Bundles) || !sorted(image.Operators) {
				t.Errorf("image %+v", image)
			}
		}
	})
}
