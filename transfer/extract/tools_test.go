package extract

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"satchel/fixtures"
)

// toolNames are the packs that oc makes of a release for amd64.
var toolNames = []string{
	"ccoctl-linux-4.16.0.tar.gz", "ccoctl-linux-rhel8-4.16.0.tar.gz", "ccoctl-linux-rhel9-4.16.0.tar.gz",
	"openshift-client-linux-4.16.0.tar.gz",
	"openshift-client-linux-amd64-rhel8-4.16.0.tar.gz", "openshift-client-linux-amd64-rhel9-4.16.0.tar.gz",
	"openshift-client-linux-arm64-4.16.0.tar.gz", "openshift-client-linux-arm64-rhel8-4.16.0.tar.gz",
	"openshift-client-linux-arm64-rhel9-4.16.0.tar.gz",
	"openshift-client-linux-ppc64le-4.16.0.tar.gz", "openshift-client-linux-ppc64le-rhel8-4.16.0.tar.gz",
	"openshift-client-linux-ppc64le-rhel9-4.16.0.tar.gz",
	"openshift-client-linux-s390x-rhel8-4.16.0.tar.gz", "openshift-client-linux-s390x-rhel9-4.16.0.tar.gz",
	"openshift-client-mac-4.16.0.tar.gz", "openshift-client-mac-arm64-4.16.0.tar.gz", "openshift-client-windows-4.16.0.zip",
	"openshift-install-linux-4.16.0.tar.gz", "openshift-install-linux-arm64-4.16.0.tar.gz",
	"openshift-install-mac-4.16.0.tar.gz", "openshift-install-mac-arm64-4.16.0.tar.gz",
	"release.txt", "sha256sum.txt",
}

func TestTools(t *testing.T) {
	made, r, images := newRelease(t, fixtures.ReleaseSpec{Version: "4.16.0", Previous: []string{"4.15.10", "4.15.9"}})
	root, dir := newDir(t)
	progress := make(map[string]int64)
	o := Options{Dir: root, Progress: func(name string, size int64) { progress[name] = size }}
	got, err := Tools(t.Context(), images, r, "", "", o)
	if err != nil {
		t.Fatal(err)
	}
	checkFiles(t, dir, got)
	if there := list(t, dir); !slices.Equal(there, toolNames) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(there, "\n"), strings.Join(toolNames, "\n"))
	}
	if len(got.LeftOut) > 0 || len(got.Warnings) != 2 || !hasText(got.Warnings, "openshift-client-mac-arm64-4.16.0.tar.gz", "oc again") ||
		!hasText(got.Warnings, "openshift-install-mac-arm64-4.16.0.tar.gz") {
		t.Errorf("left out %q, warnings %q", got.LeftOut, got.Warnings)
	}
	// ccoctl.rhel9 is a hard link in a layer that is therefore read again.
	if most := images.most(t); most > 3 {
		t.Errorf("a layer was read %d times", most)
	}
	for _, f := range got.Files {
		if progress[f.Name] != f.Size {
			t.Errorf("progress of %s: %d bytes of %d", f.Name, progress[f.Name], f.Size)
		}
	}
	checkSums(t, dir, len(toolNames)-1)
	text := string(read(t, dir, "release.txt"))
	for _, want := range []string{
		"Name:      4.16.0\n", "Digest:    " + r.Digest.String() + "\n", "OS/Arch:   linux/amd64\n", "Pull From: " + made.ByDigest() + "\n",
		"  Upgrades: 4.15.9, 4.15.10\n", made.Component("cli").Reference + "\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("release.txt does not say %q:\n%s", want, text)
		}
	}

	const share = "usr/share/openshift/"
	version := map[markKind]string{markVersion: "4.16.0"}
	all := map[markKind]string{markVersion: "4.16.0", markArchitecture: "linux/amd64", markLocation: made.ByDigest()}
	checkTar(t, dir, "openshift-client-linux-4.16.0.tar.gz", "oc", embedded(sourceOf(t, made, "cli", "usr/bin/oc"), version), "kubectl")
	checkTar(t, dir, "openshift-client-linux-s390x-rhel9-4.16.0.tar.gz", "oc",
		embedded(sourceOf(t, made, "cli-artifacts", share+"linux_s390x/oc.rhel9"), version), "kubectl")
	checkTar(t, dir, "openshift-client-mac-4.16.0.tar.gz", "oc", embedded(sourceOf(t, made, "cli-artifacts", share+"mac/oc"), version), "kubectl")
	checkTar(t, dir, "openshift-install-linux-arm64-4.16.0.tar.gz", "openshift-install",
		embedded(sourceOf(t, made, "installer-artifacts", share+"linux_arm64/openshift-install"), all), "")
	checkTar(t, dir, "ccoctl-linux-rhel8-4.16.0.tar.gz", "ccoctl", sourceOf(t, made, "cloud-credential-operator", "usr/bin/ccoctl.rhel8"), "")
	checkZip(t, dir, "openshift-client-windows-4.16.0.zip", "oc.exe",
		embedded(sourceOf(t, made, "cli-artifacts", share+"windows/oc.exe"), version))

	// They are the same when they are made again, over what is there.
	again, err := Tools(t.Context(), images, r, "*", "*", Options{Dir: root})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.Files, again.Files) {
		t.Error("made again, they differ")
	}
	checkFiles(t, dir, again)
}

// checkSums checks sha256sum.txt.
func checkSums(t *testing.T, dir string, want int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(string(read(t, dir, "sha256sum.txt")), "\n"), "\n")
	if len(lines) != want || !slices.IsSortedFunc(lines, func(a, b string) int { return strings.Compare(a[66:], b[66:]) }) {
		t.Errorf("sha256sum.txt: %q", lines)
	}
	for _, line := range lines {
		sum, name, _ := strings.Cut(line, "  ")
		if got := fmt.Sprintf("%x", sha256.Sum256(read(t, dir, name))); got != sum {
			t.Errorf("sha256sum.txt: %s is %s", line, got)
		}
	}
}

func checkTar(t *testing.T, dir, name, program string, want []byte, link string) {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(read(t, dir, name)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(time.Unix(0, 0)) || h.Uid != 0 || h.Uname != "" {
			t.Errorf("%s: %s: %v", name, h.Name, h)
		}
		switch h.Name {
		case program:
			if h.Mode != 0o755 || !bytes.Equal(content, want) {
				t.Errorf("%s: %s with mode %o differs", name, h.Name, h.Mode)
			}
		case link:
			if h.Typeflag != tar.TypeLink || h.Linkname != program {
				t.Errorf("%s: %s is no link to %s", name, h.Name, program)
			}
		case "README.md":
			if len(content) == 0 {
				t.Errorf("%s: %s is empty", name, h.Name)
			}
		}
	}
	wanted := []string{"README.md", program}
	if link != "" {
		wanted = append(wanted, link)
	}
	if !slices.Equal(names, wanted) {
		t.Errorf("%s has %q", name, names)
	}
}

func checkZip(t *testing.T, dir, name, program string, want []byte) {
	t.Helper()
	r, err := zip.OpenReader(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if len(r.File) != 2 || r.File[0].Name != "README.md" || r.File[1].Name != program {
		t.Fatalf("%s has %v", name, r.File)
	}
	for i, want := range [][]byte{[]byte(strings.ReplaceAll(readmeClient, "\n", "\r\n")), want} {
		f, err := r.File[i].Open()
		if err != nil {
			t.Fatal(err)
		}
		if content, err := io.ReadAll(f); err != nil || !bytes.Equal(content, want) {
			t.Errorf("%s: %s differs: %v", name, r.File[i].Name, err)
		}
	}
}

// TestToolsOfOthers makes tools of releases that are for other architectures, or
// do not have all.
func TestToolsOfOthers(t *testing.T) {
	for _, test := range []struct {
		spec     fixtures.ReleaseSpec
		os, arch string
		want     []string // without release.txt and sha256sum.txt
		leftOut  int
	}{
		{spec: fixtures.ReleaseSpec{Architectures: []string{"s390x"}}, os: "linux", arch: "s390x", want: []string{
			"ccoctl-linux-1.0.0.tar.gz", "ccoctl-linux-rhel8-1.0.0.tar.gz", "ccoctl-linux-rhel9-1.0.0.tar.gz",
			"openshift-client-linux-1.0.0.tar.gz", "openshift-client-linux-s390x-rhel8-1.0.0.tar.gz",
			"openshift-client-linux-s390x-rhel9-1.0.0.tar.gz", "openshift-install-linux-1.0.0.tar.gz",
		}},
		{spec: fixtures.ReleaseSpec{Architectures: []string{"s390x"}}, os: "linux", arch: "amd64", want: []string{
			"openshift-client-linux-amd64-1.0.0.tar.gz", "openshift-client-linux-amd64-rhel8-1.0.0.tar.gz",
			"openshift-client-linux-amd64-rhel9-1.0.0.tar.gz", "openshift-install-linux-amd64-1.0.0.tar.gz",
		}},
		{spec: fixtures.ReleaseSpec{Architectures: []string{"amd64", "arm64"}}, os: "mac", want: []string{
			"openshift-client-mac-1.0.0.tar.gz", "openshift-client-mac-arm64-1.0.0.tar.gz",
			"openshift-install-mac-1.0.0.tar.gz", "openshift-install-mac-arm64-1.0.0.tar.gz",
		}},
		{spec: fixtures.ReleaseSpec{Components: []string{"cluster-version-operator", "cli", "cli-artifacts"}}, arch: "arm64", want: []string{
			"openshift-client-linux-arm64-1.0.0.tar.gz", "openshift-client-linux-arm64-rhel8-1.0.0.tar.gz",
			"openshift-client-linux-arm64-rhel9-1.0.0.tar.gz", "openshift-client-mac-arm64-1.0.0.tar.gz",
		}, leftOut: 2},
	} {
		test.spec.Version = "1.0.0"
		_, r, images := newRelease(t, test.spec)
		root, dir := newDir(t)
		got, err := Tools(t.Context(), images, r, test.os, test.arch, Options{Dir: root})
		if err != nil {
			t.Fatal(err)
		}
		checkFiles(t, dir, got)
		checkSums(t, dir, len(test.want)+1)
		if there := list(t, dir); !slices.Equal(there[:len(there)-2], test.want) || len(got.LeftOut) != test.leftOut {
			t.Errorf("got %q, left out %q, want %q", there, got.LeftOut, test.want)
		}
	}
}

// TestToolsLeftOut has an older release: some files are not there, and said to
// be missing.
func TestToolsLeftOut(t *testing.T) {
	const share = "usr/share/openshift/"
	r, images := newComponent(t, "cli-artifacts",
		fixtures.GzipLayer(file(share+"mac/oc", "mac")), fixtures.GzipLayer(file(share+"windows/oc.exe", "windows")))
	root, dir := newDir(t)
	got, err := Tools(t.Context(), images, r, "", "", Options{Dir: root})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"openshift-client-mac-4.12.0.tar.gz", "openshift-client-windows-4.12.0.zip", "release.txt", "sha256sum.txt"}
	if there := list(t, dir); !slices.Equal(there, want) || len(got.Files)+len(got.LeftOut) != len(toolNames) {
		t.Errorf("got %q, left out %q", there, got.LeftOut)
	}
	if !hasText(got.LeftOut, "openshift-client-linux-arm64-rhel9-4.12.0.tar.gz", "cli-artifacts", "oc.rhel9") ||
		!hasText(got.LeftOut, "openshift-install-linux-4.12.0.tar.gz", "component installer") {
		t.Errorf("left out %q", got.LeftOut)
	}
	if most := images.most(t); most != 1 {
		t.Errorf("a layer was read %d times", most)
	}
	// With nothing at all there is an error, and no file.
	root, dir = newDir(t)
	if _, err := Tools(t.Context(), images, r, "linux", "s390x", Options{Dir: root}); err == nil || len(list(t, dir)) > 0 {
		t.Errorf("%v, %q", err, list(t, dir))
	}
}

// TestCommandForAll packs one command for all systems, as oc does.
func TestCommandForAll(t *testing.T) {
	_, r, images := newRelease(t, fixtures.ReleaseSpec{Version: "4.16.0"})
	root, dir := newDir(t)
	if _, err := Command(t.Context(), images, r, "openshift-install", "*", "", Options{Dir: root}); err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(slices.Clone(toolNames), func(name string) bool {
		return strings.HasPrefix(name, "ccoctl") || strings.HasPrefix(name, "openshift-client")
	})
	if there := list(t, dir); !slices.Equal(there, want) {
		t.Errorf("got %q, want %q", there, want)
	}
}

// TestUnfinishedPart leaves alone what another run may be writing.
func TestUnfinishedPart(t *testing.T) {
	r, images := newComponent(t, "cli", fixtures.GzipLayer(file("usr/bin/oc", "good")))
	root, dir := newDir(t)
	if err := os.WriteFile(filepath.Join(dir, "oc.part"), []byte("of another run"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Command(t.Context(), images, r, "oc", "linux", "amd64", Options{Dir: root}); err == nil {
		t.Error("no error")
	}
	if string(read(t, dir, "oc.part")) != "of another run" {
		t.Error("the part of another run was touched")
	}
}
