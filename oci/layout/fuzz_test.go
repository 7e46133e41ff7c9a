//go:build !windows

package layout_test

import (
	"os"
	"path/filepath"
	"testing"

	"satchel/oci/layout"
)

// FuzzIndex opens layouts with any index.json: errors, but no panic, and what
// was opened can be asked.
func FuzzIndex(f *testing.F) {
	for _, seed := range []string{"", "{}", index(), index(entry("a", "1"), entry("", "2")), `{"schemaVersion":2,"manifests":[{"digest":"x"}]}`} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "oci-layout"), []byte(layoutFile), 0o644); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(filepath.Join(dir, "index.json"), content, 0o644); err != nil {
			t.Fatal(err)
		}
		l, err := layout.Open(dir)
		if err != nil {
			return
		}
		defer l.Close()
		entries, err := l.Entries(t.Context())
		if err != nil {
			return
		}
		if d, err := l.Resolve(t.Context(), ""); (err == nil) != (len(entries) == 1) {
			t.Errorf("%d images, but one resolves to %v, %v", len(entries), d, err)
		}
	})
}
