package extract

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"testing"

	"satchel/fixtures"
)

const (
	pathOC    = "usr/share/openshift/linux_arm64/oc"
	pathOC9   = "usr/share/openshift/linux_arm64/oc.rhel9"
	shareARM  = "usr/share/openshift/linux_arm64"
	shareName = "usr/share/openshift"
)

// binary is a small program with a place for the version.
func binary(label string) []byte {
	_, marker := markVersion.marker()
	return slices.Concat([]byte("\x7fELF "+label), marker, []byte(" end of "+label))
}

func file(name, label string) fixtures.File {
	return fixtures.File{Name: name, Mode: 0o600, Content: binary(label)}
}

// TestGather puts the program of one component into layers in all manners.
func TestGather(t *testing.T) {
	for _, test := range []struct {
		name   string
		layers [][]fixtures.File // bottom first
		want   string            // label; empty: it is not there
		fails  error             // another error than absence
		// reads is how often a layer may be read at most; 0 means once.
		reads int
		// below counts the layers at the bottom that must not be read.
		below int
	}{
		{name: "topmost layer wins", layers: [][]fixtures.File{{file(pathOC, "old")}, {file(pathOC, "new")}}, want: "new", below: 1},
		{name: "layer below", layers: [][]fixtures.File{{file("bottom", "x")}, {file(pathOC, "one")}, {file("top", "x")}}, want: "one", below: 1},
		{name: "dot and slash", layers: [][]fixtures.File{{file("./"+pathOC, "one")}}, want: "one"},
		{name: "rooted", layers: [][]fixtures.File{{file("/"+pathOC, "one")}}, want: "one"},
		{name: "directories above", layers: [][]fixtures.File{{file(pathOC, "one")}, {{Name: "usr/", Type: tar.TypeDir}, {Name: shareARM + "/", Type: tar.TypeDir}}}, want: "one"},
		{name: "absent", layers: [][]fixtures.File{{file("usr/bin/oc", "x")}, {file(pathOC+".bak", "x")}}},
		{name: "whiteout", layers: [][]fixtures.File{{file(pathOC, "old")}, {{Name: shareARM + "/.wh.oc"}}}, reads: 2, below: 1},
		{name: "whiteout of the directory", layers: [][]fixtures.File{{file(pathOC, "old")}, {{Name: shareName + "/.wh.linux_arm64"}}}, reads: 2, below: 1},
		{name: "opaque directory", layers: [][]fixtures.File{{file(pathOC, "old")}, {{Name: shareName + "/.wh..wh..opq"}}}, reads: 2, below: 1},
		{name: "opaque root", layers: [][]fixtures.File{{file(pathOC, "old")}, {{Name: ".wh..wh..opq"}}}, reads: 2, below: 1},
		{name: "whiteout and new file", layers: [][]fixtures.File{{file(pathOC, "old")}, {{Name: shareARM + "/.wh.oc"}, file(pathOC, "new")}}, want: "new", reads: 2, below: 1},
		{name: "new file and whiteout", layers: [][]fixtures.File{{file(pathOC, "old")}, {file(pathOC, "new"), {Name: shareARM + "/.wh.oc"}}}, want: "new", reads: 2, below: 1},
		{name: "whiteout of another", layers: [][]fixtures.File{{file(pathOC, "old")}, {{Name: shareARM + "/.wh.oc.rhel9"}, {Name: ".wh.etc"}}}, want: "old"},
		{name: "symlink", layers: [][]fixtures.File{{file(pathOC9, "nine")}, {link(pathOC, "oc.rhel9")}}, want: "nine", reads: 2},
		{name: "symlink in the same layer", layers: [][]fixtures.File{{link(pathOC, "oc.rhel9"), file(pathOC9, "nine")}}, want: "nine", reads: 3},
		{name: "rooted symlink", layers: [][]fixtures.File{{file("usr/bin/oc", "bin"), link(pathOC, "/usr/bin/oc")}}, want: "bin", reads: 3},
		{name: "symlinked directory", layers: [][]fixtures.File{{file(shareName+"/arm/oc", "arm"), link(shareARM, "arm")}}, want: "arm", reads: 3},
		{name: "symlink out of the image", layers: [][]fixtures.File{{link(pathOC, "../../../../../../etc/passwd")}}, reads: 3},
		{name: "symlink to nothing", layers: [][]fixtures.File{{link(pathOC, "nothing")}}, reads: 3},
		{name: "hard link", layers: [][]fixtures.File{{file(pathOC9, "nine"), hardLink(pathOC, pathOC9)}}, want: "nine", reads: 3},
		{name: "hard link to a layer below", layers: [][]fixtures.File{{file(pathOC9, "nine")}, {hardLink(pathOC, pathOC9)}}, want: "nine", reads: 3},
		{name: "loop", layers: [][]fixtures.File{{link(pathOC, "oc.rhel9"), link(pathOC9, "oc")}}, fails: errors.New("links"), reads: 50},
		{name: "directory", layers: [][]fixtures.File{{{Name: pathOC + "/", Type: tar.TypeDir}}}, fails: fs.ErrInvalid, reads: 2},
		{name: "device", layers: [][]fixtures.File{{{Name: pathOC, Type: tar.TypeFifo}}}, fails: fs.ErrInvalid, reads: 2},
		{name: "twice", layers: [][]fixtures.File{{file(pathOC, "one"), file(pathOC, "two")}}, fails: fs.ErrInvalid, reads: 2},
		{name: "file on the way", layers: [][]fixtures.File{{file(pathOC, "old")}, {file(shareARM, "x")}}, reads: 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			var layers []fixtures.Layer
			for _, files := range test.layers {
				layers = append(layers, fixtures.GzipLayer(files...))
			}
			r, images := newComponent(t, "cli-artifacts", layers...)
			root, dir := newDir(t)
			got, err := Command(t.Context(), images, r, "oc", "linux", "arm64", Options{Dir: root})
			switch {
			case test.want != "":
				if err != nil {
					t.Fatal(err)
				}
				checkFiles(t, dir, got)
				want := embedded(binary(test.want), map[markKind]string{markVersion: "4.12.0"})
				if content := read(t, dir, "oc"); !bytes.Equal(content, want) {
					t.Errorf("got %.30q, want %.30q", content, want)
				}
			case err == nil || errors.Is(err, fs.ErrNotExist) != (test.fails == nil):
				t.Errorf("error %v", err)
			case test.fails != nil && !errors.Is(err, test.fails) && !strings.Contains(err.Error(), test.fails.Error()):
				t.Errorf("error %v, want %v", err, test.fails)
			case len(list(t, dir)) > 0:
				t.Errorf("the directory has %q", list(t, dir))
			}
			if most := images.most(t); most > max(1, test.reads) {
				t.Errorf("a layer was read %d times", most)
			}
			for _, l := range layers[:test.below] {
				if images.opened[l.Descriptor.Digest] > 0 {
					t.Error("a layer was read that is not needed")
				}
			}
		})
	}
}

// TestWantedTwice gives one reader to one want only.
func TestWantedTwice(t *testing.T) {
	r, images := newComponent(t, "baremetal-installer", fixtures.GzipLayer(file("usr/bin/openshift-install", "metal")))
	root, dir := newDir(t)
	x, err := newExtraction(images, r, Options{Dir: root})
	if err != nil {
		t.Fatal(err)
	}
	chosen := []target{}
	for _, command := range []string{"openshift-baremetal-install", "openshift-install-fips"} {
		targets, err := selection{command: command, os: "linux", arch: "amd64", release: "amd64"}.choose()
		if err != nil {
			t.Fatal(err)
		}
		chosen = append(chosen, targets...)
	}
	programs, err := x.programs(chosen, "quay.io/a@b", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.extract(t.Context(), "baremetal-installer", programs); err == nil || len(list(t, dir)) > 0 {
		t.Errorf("%v, %q", err, list(t, dir))
	}
}

// TestMemory writes a program that is much larger than what may be allocated.
func TestMemory(t *testing.T) {
	const size = 24 << 20
	r, images := newComponent(t, "cli", fixtures.TextLayer("large", size))
	for _, packed := range []bool{false, true} {
		root, dir := newDir(t)
		x, err := newExtraction(images, r, Options{Dir: root})
		if err != nil {
			t.Fatal(err)
		}
		large := target{
			as: "large", os: "linux", component: "cli", path: "usr/share/large.txt", pack: "large-%s.tar.gz",
			marks: []markKind{markLocation, markVersion},
		}
		programs, err := x.programs([]target{large}, "quay.io/a@b", packed)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := x.extract(t.Context(), "cli", programs); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 6<<20 {
			t.Errorf("packed %v: %d bytes were allocated for a program of %d", packed, allocated, size)
		}
		if names := list(t, dir); len(names) != 1 || len(x.result.Warnings) != 2 {
			t.Errorf("%q, warnings %q", names, x.result.Warnings)
		}
	}
}
