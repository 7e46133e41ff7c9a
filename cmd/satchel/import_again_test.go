package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"satchel/fixtures"
)

// TestTreeByPlan makes one volume again from a copy of the tree that lies
// elsewhere and has lost its links, and knows nothing of what is wanted.
func TestTreeByPlan(t *testing.T) {
	plain, images := plainTree(t)
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Components: fewComponents(), LayerSize: 40 << 10})
	for name, test := range map[string]struct {
		tree, copied string
		arguments    []string
	}{
		"images": {plain, writeTree(t, fixtures.OCTree{Dereferenced: true, Windows: true}, images...),
			[]string{"file://team/web", "file://team/api", "file://data/model"}},
		"release": {c.tree(t, fixtures.OCTree{}), writeTree(t, fixtures.OCTree{Dereferenced: true}, c.Mirrored("another/place")...),
			[]string{"--release-key", c.key, "file://" + treeRepository}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			said(t, append([]string{"pack", "-o", dir, "--volume-size", "150KB", "--from-dir", test.tree}, test.arguments...)...)
			whole := readDir(t, dir)
			volumes := glob(t, dir, "*.tar.zst")
			if len(volumes) < 3 {
				t.Fatalf("%d volumes", len(volumes))
			}
			plan := glob(t, dir, "*.plan.json")[0]
			for _, from := range []string{plan, volumes[0]} {
				again := t.TempDir()
				said(t, "pack", "--plan", from, "--only-volumes", "2", "-o", again, "--from-dir", test.copied)
				name := filepath.Base(volumes[1])
				if got := readDir(t, again)[name]; got != whole[name] {
					t.Errorf("%s is made otherwise by %s: %d bytes, want %d", name, from, len(got), len(whole[name]))
				}
			}
			again := t.TempDir()
			said(t, "pack", "--plan", dir, "-o", again, "--from-dir", test.copied)
			sameFiles(t, again, dir)
			fails(t, exitFailed, []string{"sha256:", "in none of the layouts that are named"},
				"pack", "--plan", plan, "--only-volumes", "2", "-o", t.TempDir(), "--from-dir", writeTree(t, fixtures.OCTree{}, fixtures.Small(1)...))
			fails(t, exitUsage, []string{"beside a plan only local sources are named"}, append([]string{"pack", "--plan", plan, "-o", t.TempDir(), "--from-dir", test.tree}, test.arguments...)...)
		})
	}
}

// TestTreeGoesOn packs a tree that is mended after the first run found a blob
// broken: the second keeps what is whole, and comes to what one run comes to.
func TestTreeGoesOn(t *testing.T) {
	for name, pattern := range map[string]string{"release": "4.12*", "all tags": "*"} {
		t.Run(name, func(t *testing.T) {
			c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Components: fewComponents(), LayerSize: 40 << 10})
			tree := c.tree(t, fixtures.OCTree{})
			sig := fixtures.NewImage(fixtures.ImageSpec{Labels: map[string]string{"signature": "yes"}})
			writeTreeInto(t, tree, fixtures.OCTree{}, sig.Named(treeRepository, "sha256-"+c.Image.Root.Digest.Encoded()+".sig"))
			goesOn(t, c, tree, pattern)
		})
	}
}

func goesOn(t *testing.T, c treeRelease, tree, pattern string) {
	last := c.Component("pod").Image
	layer := last.Blobs[len(last.Blobs)-1].Descriptor.Digest
	pack := func(dir string, arguments ...string) []string {
		return append([]string{"pack", "-o", dir, "--volume-size", "150KB", "--release-key", c.key, "--from-dir", tree,
			"file://" + treeRepository + ":" + pattern}, arguments...)
	}
	atOnce := t.TempDir()
	said(t, pack(atOnce)...)

	file := blobFile(tree, layer)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	spoil(t, file)
	dir := t.TempDir()
	fails(t, exitFailed, []string{layer.String()}, pack(dir)...)
	before := glob(t, dir, "*.tar.zst")
	if len(before) == len(glob(t, atOnce, "*.tar.zst")) {
		t.Fatalf("all %d volumes are whole after the first run", len(before))
	}
	first, err := os.Stat(before[0])
	if err != nil {
		t.Fatal(err)
	}
	// Another selection does not go on with it.
	writeTreeInto(t, tree, fixtures.OCTree{}, fixtures.Small(1)[0].Named("other/image", "1"))
	fails(t, exitFailed, []string{"begun with other settings", "localhost/other/image:1"}, pack(dir, "file://other/image")...)

	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, content)
	if messages := said(t, pack(dir)...); !strings.Contains(messages, "going on with openshift-4.12.0-x86_64") {
		t.Errorf("says\n%s", messages)
	}
	sameFiles(t, dir, atOnce)
	kept, err := os.Stat(before[0])
	if err != nil || !os.SameFile(first, kept) || first.ModTime() != kept.ModTime() {
		t.Errorf("%s was made again: %v", before[0], err)
	}
	said(t, pack(dir)...)
	sameFiles(t, dir, atOnce)
}
