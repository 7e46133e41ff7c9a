package layers_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"strings"
	"testing"

	"satchel/oci"
	"satchel/oci/layers"
)

// FuzzWalk has outside bytes as a layer. What is seen keeps the promises of
// Entry, and damage is told from bad content.
func FuzzWalk(f *testing.F) {
	small := tarOf(f, dir("./usr/"), file("./usr/text", "hello"), link("usr/link", "../etc"), hard("usr/hard", "usr/text"))
	for _, content := range forms(f, small) {
		f.Add(content)
	}
	f.Add(header("x", '0', 1<<40))
	f.Add(tarOf(f, file("../x", ""), hard("a", "../b")))
	f.Fuzz(func(t *testing.T, content []byte) {
		var names []string
		visit := func(e layers.Entry, r io.Reader) error {
			if !fs.ValidPath(e.Name) || e.Name == "." || e.Name != path.Clean(e.Name) {
				t.Errorf("name %q", e.Name)
			}
			if len(e.Name) > layers.MaxName || len(e.Link) > layers.MaxName || e.Size < 0 || e.Mode&^fs.ModePerm != 0 {
				t.Errorf("entry %+v", e)
			}
			n, err := io.Copy(io.Discard, r)
			if n > e.Size || err == nil && n != e.Size {
				t.Errorf("%q: %d bytes of %d", e.Name, n, e.Size)
			}
			names = append(names, e.Name)
			return err
		}
		const entries, expanded = 1000, 1 << 20
		err := layers.WalkLimited(t.Context(), serve(content), describe(content), entries, expanded, visit)
		var mismatch *oci.MismatchError
		if errors.As(err, &mismatch) {
			t.Errorf("sound bytes: %v", err)
		}
		if len(names) > entries {
			t.Errorf("%d entries", len(names))
		}
		if len(content) == 0 {
			return
		}
		d := describe(content)
		content = bytes.Clone(content)
		content[len(content)-1]++
		err = layers.WalkLimited(t.Context(), serve(content), d, entries, expanded, func(_ layers.Entry, r io.Reader) error {
			_, _ = io.Copy(io.Discard, r)
			return nil
		})
		if !errors.As(err, &mismatch) {
			t.Errorf("changed bytes: %v", err)
		}
	})
}

// FuzzFind has outside bytes as two layers of an image.
func FuzzFind(f *testing.F) {
	f.Add(tarOf(f, file("usr/bin/oc", "1")), tarOf(f, link("bin", "usr/bin"), file(".wh.usr", "")), "bin/oc")
	f.Add(tarOf(f, link("a", "b/c"), hard("b", "a")), tarOf(f, file("b/.wh..wh..opq", ""), link("b/c", "../a")), "a")
	f.Fuzz(func(t *testing.T, bottom, top []byte, name string) {
		if len(bottom)+len(top) > 64<<10 {
			return
		}
		b := newBlobs()
		image := []oci.Descriptor{b.add(bottom), b.add(top)}
		open := func(ctx context.Context, d oci.Descriptor) (io.ReadCloser, error) { return b.Open(ctx, d) }
		calls := 0
		err := layers.Find(t.Context(), open, image, name, func(e layers.Entry, _ io.Reader) error {
			calls++
			if e.Type != '0' || !fs.ValidPath(e.Name) {
				t.Errorf("gave %+v", e)
			}
			return nil
		})
		if calls > 1 || err == nil && calls == 0 || b.open != 0 {
			t.Errorf("%v, %d calls, %d left open", err, calls, b.open)
		}
	})
}

// FuzzTreeWalk has outside bytes as two layers of an image: what is visited is
// below the prefix, once, and what Find finds.
func FuzzTreeWalk(f *testing.F) {
	f.Add(tarOf(f, file("c/a", "1"), hard("c/h", "c/a")), tarOf(f, link("c/l", "a"), file("c/.wh.b", "")), "c")
	f.Add(tarOf(f, file("x/d/a", "1")), tarOf(f, link("c", "x"), file("x/d/.wh..wh..opq", "")), "c/d")
	f.Fuzz(func(t *testing.T, bottom, top []byte, prefix string) {
		if len(bottom)+len(top) > 64<<10 {
			return
		}
		b := newBlobs()
		tree := layers.NewTree(b.Open, []oci.Descriptor{b.add(bottom), b.add(top)})
		sizes := make(map[string]int64)
		err := tree.Walk(t.Context(), prefix, func(e layers.Entry, _ io.Reader) error {
			if _, ok := sizes[e.Name]; ok || e.Type != '0' || prefix != "." && !strings.HasPrefix(e.Name, prefix+"/") {
				t.Errorf("visited %+v", e)
			}
			sizes[e.Name] = e.Size
			return nil
		})
		for name, size := range sizes {
			found := false
			finding := tree.Find(t.Context(), name, func(e layers.Entry, _ io.Reader) error {
				found = e.Size == size
				return nil
			})
			if err == nil && (finding != nil || !found) {
				t.Errorf("%q of %d bytes: %v", name, size, finding)
			}
		}
		if b.open != 0 {
			t.Errorf("%d left open", b.open)
		}
	})
}
