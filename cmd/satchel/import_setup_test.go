package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
)

// deadStore is a signature store that nobody serves.
const deadStore = "http://127.0.0.1:1/signatures"

// treeRepository is the path that the documents give a release in a tree.
const treeRepository = "openshift/release"

// treeRelease is a signed release and the file with the key that it is signed with.
type treeRelease struct {
	fixtures.Release
	key string
}

// newTreeRelease makes a release whose own store of signatures is dead.
func newTreeRelease(t testing.TB, s fixtures.ReleaseSpec) treeRelease {
	t.Helper()
	if s.Registry == "" {
		s.Registry = "quay.example"
	}
	s.Stores = map[string]string{"dead": deadStore}
	c := treeRelease{fixtures.NewRelease(s), filepath.Join(t.TempDir(), "release.pub")}
	writeFile(t, c.key, fixtures.ReleaseKey().Armored())
	return c
}

// signatures are those of all manifests of the release image.
func (c treeRelease) signatures() map[digest.Digest][][]byte {
	signatures := make(map[digest.Digest][][]byte)
	for _, m := range c.Image.Manifests {
		d := m.Descriptor.Digest
		signatures[d] = [][]byte{fixtures.SignRelease(d, c.Reference())}
	}
	return signatures
}

// tree writes the release as oc adm release mirror --to-dir does, and returns the
// directory.
func (c treeRelease) tree(t testing.TB, o fixtures.OCTree) string {
	t.Helper()
	if o.Signatures == nil {
		o.Signatures = c.signatures()
	}
	return writeTree(t, o, c.Mirrored(treeRepository)...)
}

// store writes the signatures as a directory for --signature-store.
func (c treeRelease) store(t testing.TB) string {
	t.Helper()
	var store fixtures.SignatureStore
	c.Sign(fixtures.ReleaseKey(), &store)
	dir := t.TempDir()
	if err := store.Write(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeTree(t testing.TB, o fixtures.OCTree, images ...fixtures.Image) string {
	t.Helper()
	dir := t.TempDir()
	writeTreeInto(t, dir, o, images...)
	return dir
}

// writeTreeInto adds images to a tree.
func writeTreeInto(t testing.TB, dir string, o fixtures.OCTree, images ...fixtures.Image) {
	t.Helper()
	if err := o.Write(dir, images...); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// fails runs a command that must end with a status and say all of the texts on
// standard error, which it returns.
func fails(t testing.TB, want int, texts []string, arguments ...string) string {
	t.Helper()
	status, stdout, stderr := satchel(t, arguments...)
	if status != want {
		t.Errorf("satchel %s: status %d, want %d\n%s%s", strings.Join(arguments, " "), status, want, stdout, stderr)
	}
	for _, text := range texts {
		if !strings.Contains(stderr, text) {
			t.Errorf("satchel %s: does not say %q:\n%s", strings.Join(arguments, " "), text, stderr)
		}
	}
	return stderr
}

// said runs a command that must succeed and returns its messages.
func said(t testing.TB, arguments ...string) string {
	t.Helper()
	return fails(t, exitOK, nil, arguments...)
}

// planIn returns the plan of the bundle in a directory.
func planIn(t testing.TB, dir string) *bundle.Plan {
	t.Helper()
	b, err := openMedia([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.Prologue == nil {
		t.Fatalf("%s: %v", dir, b.Damage)
	}
	return b.Prologue.Plan()
}

// names are the images of a plan as NAME DIGEST PART, attachments last.
func names(p *bundle.Plan) []string {
	var all []string
	for _, image := range p.Images {
		all = append(all, strings.Join([]string{image.Reference, image.Root.Digest.String(), image.Part, strings.Join(image.Destinations, ",")}, " "))
	}
	return all
}

// noFinal checks that a directory holds neither a volume nor an inventory by its
// final name.
func noFinal(t testing.TB, dir string) {
	t.Helper()
	for _, pattern := range []string{"*.tar.zst", "inventory.json", "SHA256SUMS"} {
		if found, err := filepath.Glob(filepath.Join(dir, pattern)); err != nil || len(found) > 0 {
			t.Errorf("%q are there, %v", found, err)
		}
	}
}

// sameFiles checks that two directories have the same files with the same
// content.
func sameFiles(t testing.TB, got, want string) {
	t.Helper()
	a, b := readDir(t, got), readDir(t, want)
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if a[name] != b[name] {
			t.Errorf("%s: %d bytes, want %d, or others", name, len(a[name]), len(b[name]))
		}
		delete(a, name)
	}
	for name := range a {
		t.Errorf("%s is too much", name)
	}
}

// filesBelow lists the regular files below a directory, with slashes.
func filesBelow(t testing.TB, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, name)
		found = append(found, filepath.ToSlash(relative))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// blobFile is the file of a blob in a tree of a release.
func blobFile(tree string, d digest.Digest) string {
	return filepath.Join(tree, "v2", filepath.FromSlash(treeRepository), "blobs", d.String())
}

// spoil inverts a byte of a file in its middle.
func spoil(t testing.TB, name string) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 0xff
	// A new file: others may be hard links to it.
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	writeFile(t, name, content)
}
