package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
)

// TestTreeFaults packs trees in which something is wrong: it is named, and nothing
// gets a final name.
func TestTreeFaults(t *testing.T) {
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Components: fewComponents()})
	cli := c.Component("cli").Image
	layer := cli.Blobs[len(cli.Blobs)-1].Descriptor.Digest // of the cli alone
	config := cli.Blobs[0].Descriptor.Digest
	root := cli.Root.Digest
	outside := filepath.Join(t.TempDir(), "outside")
	manifests := func(tree string) string {
		return filepath.Join(tree, "v2", filepath.FromSlash(treeRepository), "manifests")
	}
	remove := func(names ...string) {
		for _, name := range names {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
	link := func(target, name string) {
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		harm func(tree string)
		says []string
		// skipped is what --skip-missing leaves out; nil if it does not help.
		skipped digest.Digest
	}{
		"broken layer": {func(tree string) { spoil(t, blobFile(tree, layer)) }, []string{layer.String()}, ""},
		"cut layer": {func(tree string) {
			if err := os.Truncate(blobFile(tree, layer), 5); err != nil {
				t.Fatal(err)
			}
		}, []string{layer.String()}, ""},
		"broken config": {func(tree string) { spoil(t, blobFile(tree, config)) }, []string{config.String()}, ""},
		"broken manifest": {func(tree string) {
			spoil(t, blobFile(tree, root))
			remove(filepath.Join(manifests(tree), root.String()))
		}, []string{root.String(), c.Component("cli").Reference}, ""},
		"broken release image": {func(tree string) {
			d := c.Image.Root.Digest
			spoil(t, blobFile(tree, d))
			remove(filepath.Join(manifests(tree), d.String()))
		}, []string{c.Image.Root.Digest.String()}, ""},
		"missing layer":  {func(tree string) { remove(blobFile(tree, layer)) }, []string{layer.String(), treeRepository}, layer},
		"missing config": {func(tree string) { remove(blobFile(tree, config)) }, []string{config.String()}, config},
		"missing config of the release": {func(tree string) { remove(blobFile(tree, c.Image.Blobs[0].Descriptor.Digest)) },
			[]string{c.Image.Blobs[0].Descriptor.Digest.String()}, c.Image.Blobs[0].Descriptor.Digest},
		"missing payload": {func(tree string) {
			remove(blobFile(tree, c.Image.Blobs[len(c.Image.Blobs)-1].Descriptor.Digest))
		}, []string{c.Image.Blobs[len(c.Image.Blobs)-1].Descriptor.Digest.String(), c.Reference()}, ""},
		"missing component": {func(tree string) {
			remove(blobFile(tree, root), filepath.Join(manifests(tree), root.String()), filepath.Join(manifests(tree), "4.12.0-x86_64-cli"))
		}, []string{c.Component("cli").Reference}, root},
		"missing component, tag left": {func(tree string) {
			remove(blobFile(tree, root), filepath.Join(manifests(tree), root.String()))
		}, []string{root.String()}, root},
		"layer is a link out of the tree": {func(tree string) {
			if err := os.Rename(blobFile(tree, layer), outside); err != nil {
				t.Fatal(err)
			}
			link(outside, blobFile(tree, layer)) // the right bytes, from the wrong place
		}, []string{layer.String()}, ""},
		"tag is a link out of the tree": {func(tree string) {
			tag := filepath.Join(manifests(tree), "4.12.0-x86_64-cli")
			remove(tag)
			link("../../../../../etc/passwd", tag)
		}, []string{"4.12.0-x86_64-cli", "etc/passwd"}, ""},
		"repository is a link out of the tree": {func(tree string) {
			away := filepath.Join(t.TempDir(), "away")
			if err := os.Rename(filepath.Join(tree, "v2", "openshift"), away); err != nil {
				t.Fatal(err)
			}
			link(away, filepath.Join(tree, "v2", "openshift"))
		}, []string{"v2/openshift"}, ""},
		"no tree": {func(tree string) {
			if err := os.RemoveAll(filepath.Join(tree, "v2")); err != nil {
				t.Fatal(err)
			}
		}, []string{"v2"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tree := c.tree(t, fixtures.OCTree{})
			test.harm(tree)
			dir := t.TempDir()
			arguments := []string{"pack", "-o", dir, "--release-key", c.key, "--from-dir", tree, "file://openshift/release:4.12*"}
			fails(t, exitFailed, test.says, arguments...)
			noFinal(t, dir)
			dir = t.TempDir()
			arguments[2] = dir
			if test.skipped == "" {
				fails(t, exitFailed, test.says, append(arguments, "--skip-missing")...)
				noFinal(t, dir)
				return
			}
			fails(t, exitMissing, []string{test.skipped.String()}, append(arguments, "--skip-missing")...)
			status, stdout, stderr := satchel(t, "verify", dir)
			if status != exitMissing || !strings.Contains(stdout, test.skipped.String()) {
				t.Errorf("verify: status %d\n%s%s", status, stdout, stderr)
			}
			if !strings.Contains(mustSatchel(t, "inspect", dir, "--json", "--release-key", c.key), test.skipped.String()) {
				t.Error("inspect does not tell of it")
			}
		})
	}
}
