package extract

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
	"satchel/oci"
)

// TestHostileNames has entries that want to be elsewhere.
func TestHostileNames(t *testing.T) {
	for name, files := range map[string][]fixtures.File{
		"climbing":          {file("../../../../oc", "evil"), file(pathOC, "good")},
		"climbing within":   {file("usr/../../oc", "evil"), file(pathOC, "good")},
		"after the program": {file(pathOC, "good"), file("../oc", "evil")},
		"hard link":         {file(pathOC, "good"), hardLink("x", "../../../etc/passwd")},
	} {
		t.Run(name, func(t *testing.T) {
			r, images := newComponent(t, "cli-artifacts", fixtures.GzipLayer(files...))
			root, dir := newDir(t)
			if _, err := Command(t.Context(), images, r, "oc", "linux", "arm64", Options{Dir: root}); err == nil {
				t.Error("no error")
			}
			if there := list(t, dir); len(there) > 0 {
				t.Errorf("the directory has %q", there)
			}
			if there := entries(t, filepath.Dir(dir)); len(there) != 1 {
				t.Errorf("beside the directory is %q", there)
			}
		})
	}
	// A link that the layer makes is followed within the image only.
	r, images := newComponent(t, "cli-artifacts", fixtures.GzipLayer(
		link("usr/share/openshift", "/tmp"), link("tmp/linux_arm64", "../../../../etc"), file("etc/oc", "within")))
	root, dir := newDir(t)
	if _, err := Command(t.Context(), images, r, "oc", "linux", "arm64", Options{Dir: root}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(read(t, dir, "oc"), []byte("within")) {
		t.Error("another program was found")
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

// damaged changes what a blob gives.
type damaged struct {
	*memory
	of     digest.Digest
	change func([]byte) []byte
	err    error
}

func (d *damaged) Blob(ctx context.Context, ref oci.Reference, blob oci.Descriptor) (io.ReadCloser, error) {
	rc, err := d.memory.Blob(ctx, ref, blob)
	if err != nil || blob.Digest != d.of {
		return rc, err
	}
	if d.err != nil {
		rc.Close()
		return nil, d.err
	}
	content, err := io.ReadAll(rc)
	return struct {
		io.Reader
		io.Closer
	}{bytes.NewReader(d.change(bytes.Clone(content))), rc}, err
}

// TestDamage damages the layer of a program: no file gets its final name, and
// what had the name stays.
func TestDamage(t *testing.T) {
	// What follows the program in the layer is larger than all buffers: the
	// program is out before the damage is seen.
	layer := fixtures.GzipLayer(file(pathOC, "good"), fixtures.File{Name: "more", Content: make([]byte, 1<<20)})
	r, images := newComponent(t, "cli-artifacts", layer)
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte {
			if at < 0 {
				at += len(b)
			}
			b[at] ^= 1
			return b
		}
	}
	for name, test := range map[string]struct {
		change func([]byte) []byte
		err    error
		want   func(error) bool
	}{
		"cut":           {change: func(b []byte) []byte { return b[:len(b)-1] }, want: isMismatch},
		"half":          {change: func(b []byte) []byte { return b[:len(b)/2] }, want: isMismatch},
		"cut within it": {change: func(b []byte) []byte { return b[:550] }, want: isMismatch},
		"empty":         {change: func(b []byte) []byte { return nil }, want: isMismatch},
		"longer":        {change: func(b []byte) []byte { return append(b, 0) }, want: isMismatch},
		"bit in it":     {change: flip(540), want: isMismatch},
		"last bit":      {change: flip(-1), want: isMismatch},
		"other content": {change: flip(500_000), want: isMismatch},
		"not there":     {err: fs.ErrNotExist, want: func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
		"refused":       {err: errors.New("registry says no"), want: func(err error) bool { return strings.Contains(err.Error(), "says no") }},
	} {
		t.Run(name, func(t *testing.T) {
			for _, tools := range []bool{false, true} {
				root, dir := newDir(t)
				if err := root.WriteFile("oc", []byte("what was there"), 0o600); err != nil {
					t.Fatal(err)
				}
				source := &damaged{memory: images, of: layer.Descriptor.Digest, change: test.change, err: test.err}
				var got *Result
				var err error
				if tools {
					got, err = Tools(t.Context(), source, r, "", "", Options{Dir: root})
				} else {
					got, err = Command(t.Context(), source, r, "oc", "linux", "arm64", Options{Dir: root})
				}
				if err == nil || !test.want(err) || got != nil && len(got.Files) > 0 {
					t.Errorf("error %v, result %v", err, got)
				}
				if there := list(t, dir); len(there) != 1 || string(read(t, dir, "oc")) != "what was there" {
					t.Errorf("the directory has %q", there)
				}
				images.most(t)
			}
		})
	}
}

// TestLayerNotThere lacks a layer that a link leads to: that is not the same as
// a program that the payload does not have.
func TestLayerNotThere(t *testing.T) {
	below := fixtures.GzipLayer(file("usr/share/openshift/mac/oc", "mac"))
	r, images := newComponent(t, "cli-artifacts", below, fixtures.GzipLayer(link(pathOC, "nothing"), file("usr/share/openshift/windows/oc.exe", "w")))
	source := &damaged{memory: images, of: below.Descriptor.Digest, err: fs.ErrNotExist}
	for name, f := range map[string]func(Options) (*Result, error){
		"command": func(o Options) (*Result, error) { return Command(t.Context(), source, r, "oc", "linux", "arm64", o) },
		"tools":   func(o Options) (*Result, error) { return Tools(t.Context(), source, r, "*", "", o) },
	} {
		root, dir := newDir(t)
		got, err := f(Options{Dir: root})
		if !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "none of the programs") || got == nil {
			t.Fatalf("%s: %v", name, err)
		}
		checkFiles(t, dir, got)
	}
}

func isMismatch(err error) bool {
	var mismatch *oci.MismatchError
	return errors.As(err, &mismatch)
}

// TestWrongManifest has manifests that are not what their names say.
func TestWrongManifest(t *testing.T) {
	for name, change := range map[string]func(*memory, string){
		"other bytes": func(m *memory, ref string) {
			found := m.manifests[ref]
			found.content = append(bytes.Clone(found.content), ' ')
			m.manifests[ref] = found
		},
		"other type": func(m *memory, ref string) {
			found := m.manifests[ref]
			found.descriptor.MediaType = oci.MediaTypeIndex
			m.manifests[ref] = found
		},
		"not there": func(m *memory, ref string) { delete(m.manifests, ref) },
	} {
		r, images := newComponent(t, "cli", fixtures.GzipLayer(file("usr/bin/oc", "good")))
		change(images, r.Payload.Components[0].Image.String())
		root, dir := newDir(t)
		_, err := Command(t.Context(), images, r, "oc", "linux", "amd64", Options{Dir: root})
		if err == nil || !strings.Contains(err.Error(), "component cli") || len(list(t, dir)) > 0 {
			t.Errorf("%s: %v, %q", name, err, list(t, dir))
		}
	}
}

// TestDirectoryWithLinks has links in the directory: nothing is written through
// them.
func TestDirectoryWithLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs symbolic links, which take rights on Windows")
	}
	r, images := newComponent(t, "cli", fixtures.GzipLayer(file("usr/bin/oc", "good")))
	setup := func(name string) (o Options, dir, outside string) {
		root, dir := newDir(t)
		outside = filepath.Join(filepath.Dir(dir), "precious")
		if err := os.WriteFile(outside, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("../precious", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		return Options{Dir: root}, dir, outside
	}
	untouched := func(outside string) {
		t.Helper()
		if content, err := os.ReadFile(outside); err != nil || string(content) != "precious" {
			t.Errorf("outside: %q, %v", content, err)
		}
	}

	o, dir, outside := setup("oc")
	got, err := Command(t.Context(), images, r, "oc", "linux", "amd64", o)
	if err != nil {
		t.Fatal(err)
	}
	checkFiles(t, dir, got) // the link was replaced by a file
	untouched(outside)

	o, dir, outside = setup("oc.part")
	_, err = Command(t.Context(), images, r, "oc", "linux", "amd64", o)
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "oc.part") {
		t.Errorf("a link in the place of the part: %v", err)
	}
	untouched(outside)
	if info, err := os.Lstat(filepath.Join(dir, "oc.part")); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("what was there is gone: %v, %v", info, err)
	}
}

func TestDirectoryOccupied(t *testing.T) {
	r, images := newComponent(t, "cli", fixtures.GzipLayer(file("usr/bin/oc", "good")))
	root, dir := newDir(t)
	if err := os.Mkdir(filepath.Join(dir, "oc"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Command(t.Context(), images, r, "oc", "linux", "amd64", Options{Dir: root}); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory has the name: %v", err)
	}
	if names := entries(t, dir); len(names) != 1 {
		t.Errorf("the directory has %q", names)
	}
	// An older file is replaced, and whoever has it open keeps it.
	root, dir = newDir(t)
	if err := root.WriteFile("oc", []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	old, err := root.Open("oc")
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	got, err := Command(t.Context(), images, r, "oc", "linux", "amd64", Options{Dir: root})
	if err != nil {
		t.Fatal(err)
	}
	checkFiles(t, dir, got)
	if content, err := io.ReadAll(old); err != nil || string(content) != "old" {
		t.Errorf("the older file: %q, %v", content, err)
	}
}

func TestCancelled(t *testing.T) {
	layer := fixtures.GzipLayer(file("usr/bin/oc", "good"), fixtures.File{Name: "more", Content: make([]byte, 1<<20)})
	r, images := newComponent(t, "cli", layer)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	source := &damaged{memory: images, of: layer.Descriptor.Digest, change: func(b []byte) []byte {
		cancel()
		return b
	}}
	root, dir := newDir(t)
	if _, err := Command(ctx, source, r, "oc", "linux", "amd64", Options{Dir: root}); !errors.Is(err, context.Canceled) || len(list(t, dir)) > 0 {
		t.Errorf("%v, %q", err, list(t, dir))
	}
	images.most(t)
}

// TestHugeProgram states a size that no program has.
func TestHugeProgram(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "usr/bin/oc", Size: MaxProgram + 1, Format: tar.FormatPAX}); err != nil {
		t.Fatal(err)
	}
	layer := fixtures.Layer{Content: fixtures.NewBlob(fixtures.MediaTypeDockerLayer, b.Bytes())}
	r, images := newComponent(t, "cli", layer)
	root, dir := newDir(t)
	_, err := Command(t.Context(), images, r, "oc", "linux", "amd64", Options{Dir: root})
	if err == nil || !strings.Contains(err.Error(), "8589934592 bytes") || len(list(t, dir)) > 0 {
		t.Errorf("%v, %q", err, list(t, dir))
	}
}
