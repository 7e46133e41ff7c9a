package extract

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
	"satchel/oci"
)

func TestCommand(t *testing.T) {
	made, r, images := newRelease(t, fixtures.ReleaseSpec{Version: "4.12.0"})
	version := map[markKind]string{markVersion: "4.12.0"}
	all := map[markKind]string{markVersion: "4.12.0", markArchitecture: "linux/amd64", markLocation: made.ByDigest()}
	const share = "usr/share/openshift/"
	for _, test := range []struct {
		command, os, arch string
		component, path   string
		name              string
		values            map[markKind]string
		signed            bool
	}{
		{command: "oc", os: "linux", component: "cli", path: "usr/bin/oc", name: "oc", values: version},
		{command: "oc", os: "linux", arch: "x86_64", component: "cli", path: "usr/bin/oc", name: "oc", values: version},
		{command: "oc", os: "linux", arch: "arm64", component: "cli-artifacts", path: share + "linux_arm64/oc", name: "oc", values: version},
		{command: "oc", os: "linux", arch: "s390x", component: "cli-artifacts", path: share + "linux_s390x/oc", name: "oc", values: version},
		{command: "oc.rhel9", os: "linux", component: "cli-artifacts", path: share + "linux_amd64/oc.rhel9", name: "oc", values: version},
		{command: "oc.rhel8", os: "linux", arch: "ppc64le", component: "cli-artifacts", path: share + "linux_ppc64le/oc.rhel8", name: "oc", values: version},
		{command: "oc", os: "mac", component: "cli-artifacts", path: share + "mac/oc", name: "oc", values: version},
		{command: "oc", os: "darwin", arch: "aarch64", component: "cli-artifacts", path: share + "mac_arm64/oc", name: "oc", values: version, signed: true},
		{command: "oc", os: "windows", component: "cli-artifacts", path: share + "windows/oc.exe", name: "oc.exe", values: version},
		{command: "openshift-install", os: "linux", component: "installer", path: "usr/bin/openshift-install", name: "openshift-install", values: all},
		{command: "openshift-install", os: "linux", arch: "arm64", component: "installer-artifacts", path: share + "linux_arm64/openshift-install", name: "openshift-install", values: all},
		{command: "openshift-install", os: "darwin", component: "installer-artifacts", path: share + "mac/openshift-install", name: "openshift-install", values: all},
		{command: "openshift-install", os: "mac", arch: "arm64", component: "installer-artifacts", path: share + "mac_arm64/openshift-install", name: "openshift-install", values: all, signed: true},
		{command: "ccoctl", os: "linux", component: "cloud-credential-operator", path: "usr/bin/ccoctl", name: "ccoctl"},
		{command: "ccoctl.rhel8", os: "linux", component: "cloud-credential-operator", path: "usr/bin/ccoctl.rhel8", name: "ccoctl"},
		{command: "ccoctl.rhel9", os: "linux", component: "cloud-credential-operator", path: "usr/bin/ccoctl", name: "ccoctl"}, // a hard link
	} {
		t.Run(test.command+"-"+test.os+"-"+test.arch, func(t *testing.T) {
			root, dir := newDir(t)
			got, err := Command(t.Context(), images, r, test.command, test.os, test.arch, Options{Dir: root})
			if err != nil {
				t.Fatal(err)
			}
			checkFiles(t, dir, got)
			if len(got.Files) != 1 || got.Files[0].Name != test.name {
				t.Fatalf("files %v, want %s", got.Files, test.name)
			}
			want := embedded(sourceOf(t, made, test.component, test.path), test.values)
			if !bytes.Equal(read(t, dir, test.name), want) {
				t.Error("it is not what the image has, with the values in it")
			}
			if info, err := os.Stat(filepath.Join(dir, test.name)); err != nil || info.Mode().Perm() != 0o755 {
				t.Errorf("%v, %v", info.Mode(), err)
			}
			if test.signed != (len(got.Warnings) == 1 && hasText(got.Warnings, "signature", "codesign")) || !test.signed && len(got.Warnings) > 0 {
				t.Errorf("warnings %q", got.Warnings)
			}
		})
	}
}

func TestBaremetalInstaller(t *testing.T) {
	var program []byte
	for _, kind := range []markKind{markVersion, markLocation, markArchitecture, markLocation} {
		_, marker := kind.marker()
		program = append(append(program, "code"...), marker...)
	}
	r, images := newComponent(t, "baremetal-installer", fixtures.GzipLayer(fixtures.File{Name: "usr/bin/openshift-install", Content: program}))
	for _, command := range []string{"openshift-baremetal-install", "openshift-install-fips"} {
		root, dir := newDir(t)
		got, err := Command(t.Context(), images, r, command, "linux", "amd64", Options{Dir: root})
		if err != nil {
			t.Fatal(err)
		}
		checkFiles(t, dir, got)
		want := embedded(program, map[markKind]string{
			markVersion: "4.12.0", markArchitecture: "linux/amd64", markLocation: "quay.io/ocp/release@" + r.Digest.String(),
		})
		if !bytes.Equal(read(t, dir, command), want) {
			t.Error("not the first of each marker, and that alone, was replaced")
		}
	}
}

func TestMirrorRelease(t *testing.T) {
	made, r, images := newRelease(t, fixtures.ReleaseSpec{Version: "4.12.0"})
	mirror := "mirror.example.com:5000/ocp4/openshift4@" + r.Digest.String()
	root, dir := newDir(t)
	if _, err := Command(t.Context(), images, r, "openshift-install", "linux", "amd64", Options{Dir: root, MirrorRelease: mirror}); err != nil {
		t.Fatal(err)
	}
	want := embedded(sourceOf(t, made, "installer", "usr/bin/openshift-install"), map[markKind]string{
		markVersion: "4.12.0", markArchitecture: "linux/amd64", markLocation: mirror,
	})
	if !bytes.Equal(read(t, dir, "openshift-install"), want) {
		t.Error("the program is not that of the mirror")
	}
	long := "r.example.com/" + strings.Repeat("a", oci.MaxRepository-len("r.example.com/")) // 255 + 1 + 71 bytes, room for 326
	for name, mirror := range map[string]string{
		"tag": "mirror.example.com/ocp/release:4.12.0", "both": "mirror.example.com/ocp/release:a@" + r.Digest.String(),
		"other digest": "mirror.example.com/ocp/release@" + digest.FromString("other").String(), "no reference": "mirror",
		"too long": long + "@" + r.Digest.String(),
	} {
		t.Run(name, func(t *testing.T) {
			root, dir := newDir(t)
			before := len(images.opened)
			_, err := Command(t.Context(), images, r, "openshift-install", "linux", "arm64", Options{Dir: root, MirrorRelease: mirror})
			if err == nil || len(list(t, dir)) > 0 || len(images.opened) != before {
				t.Errorf("%v, %q", err, list(t, dir))
			}
		})
	}
	// oc does not learn the location.
	root, _ = newDir(t)
	if _, err := Command(t.Context(), images, r, "oc", "linux", "amd64", Options{Dir: root, MirrorRelease: long + "@" + r.Digest.String()}); err != nil {
		t.Error(err)
	}
}

func TestMulti(t *testing.T) {
	made, r, images := newRelease(t, fixtures.ReleaseSpec{Version: "4.14.1", Architectures: []string{"amd64", "arm64"}})
	child := made.Image.Manifests[0].Descriptor.Digest
	for _, test := range []struct {
		platform oci.Platform
		arch     string // asked for
		mirror   digest.Digest
		want     string
	}{
		{want: "multi (linux/amd64)", arch: "amd64"},
		{platform: oci.Platform{Architecture: "arm64"}, arch: "arm64", want: "multi (linux/arm64)"},
		{arch: "amd64", mirror: child, want: "multi (linux/amd64)"},
	} {
		root, dir := newDir(t)
		o := Options{Dir: root, Platform: test.platform}
		pullspec := made.ByDigest()
		if test.mirror != "" {
			pullspec = "r.example.com/ocp@" + test.mirror.String()
			o.MirrorRelease = pullspec
		}
		got, err := Command(t.Context(), images, r, "openshift-install", "linux", test.arch, o)
		if err != nil {
			t.Fatal(err)
		}
		program := read(t, dir, "openshift-install")
		for _, value := range []string{pullspec, "4.14.1", test.want} {
			if !bytes.Contains(program, []byte(value+"\x00")) {
				t.Errorf("%s: it does not hold %q", test.want, value)
			}
		}
		if len(got.Warnings) > 0 {
			t.Errorf("warnings %q", got.Warnings)
		}
	}
	root, _ := newDir(t)
	o := Options{Dir: root, Platform: oci.Platform{OS: "linux", Architecture: "s390x"}}
	if _, err := Command(t.Context(), images, r, "openshift-install", "linux", "s390x", o); err == nil ||
		!errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "linux/amd64, linux/arm64") {
		t.Errorf("a platform that is not there: %v", err)
	}
}

func TestMissingMarkers(t *testing.T) {
	plain := bytes.Repeat([]byte("no place "), 30_000)
	r, images := newComponent(t, "installer-artifacts",
		fixtures.GzipLayer(fixtures.File{Name: "usr/share/openshift/mac_arm64/openshift-install", Content: plain}))
	root, dir := newDir(t)
	got, err := Command(t.Context(), images, r, "openshift-install", "mac", "arm64", Options{Dir: root})
	if err != nil {
		t.Fatal(err)
	}
	checkFiles(t, dir, got)
	if !bytes.Equal(read(t, dir, "openshift-install"), plain) {
		t.Error("the program was changed")
	}
	if len(got.Warnings) != 3 || !hasText(got.Warnings, "location") || !hasText(got.Warnings, "version") || !hasText(got.Warnings, "architecture") {
		t.Errorf("warnings %q", got.Warnings)
	}
}

func TestCommandRefusals(t *testing.T) {
	_, r, images := newRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Components: []string{"cluster-version-operator", "cli", "cli-artifacts"}})
	root, dir := newDir(t)
	for _, test := range []struct {
		command, os, arch string
		want              []string
		absent            bool
	}{
		{command: "kubectl", os: "linux", want: append([]string{`"kubectl"`}, Commands()...)},
		{command: "", os: "linux", want: []string{"no command"}},
		{command: "oc", os: "plan9", want: []string{`"plan9"`, "linux, mac, windows"}},
		{command: "oc", os: "linux", arch: "riscv64", want: []string{"linux/riscv64", "linux/s390x"}},
		{command: "openshift-install", os: "windows", want: []string{"windows/amd64", "darwin/arm64"}},
		{command: "ccoctl", os: "linux", arch: "arm64", want: []string{"own architecture"}},
		{command: "openshift-install", os: "linux", want: []string{"4.12.0", "no component installer"}, absent: true},
		{command: "openshift-install", os: "mac", want: []string{"no component installer-artifacts"}, absent: true},
		{command: "ccoctl", os: "*", want: []string{"no component cloud-credential-operator"}, absent: true},
	} {
		got, err := Command(t.Context(), images, r, test.command, test.os, test.arch, Options{Dir: root})
		if err == nil || errors.Is(err, fs.ErrNotExist) != test.absent || got != nil && len(got.Files) > 0 {
			t.Errorf("%s for %s/%s: %v", test.command, test.os, test.arch, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s for %s/%s: %q does not say %q", test.command, test.os, test.arch, err, want)
			}
		}
	}
	for name, change := range map[string]func(*Release, *Options){
		"directory":    func(_ *Release, o *Options) { o.Dir = nil },
		"payload":      func(r *Release, _ *Options) { r.Payload = nil },
		"architecture": func(r *Release, _ *Options) { r.Architecture = "" },
		"digest":       func(r *Release, _ *Options) { r.Digest = "sha256:ab" },
	} {
		r, o := r, Options{Dir: root}
		change(&r, &o)
		if _, err := Command(t.Context(), images, r, "oc", "linux", "amd64", o); err == nil {
			t.Errorf("no %s: no error", name)
		}
	}
	if there := list(t, dir); len(there) > 0 {
		t.Errorf("the directory has %q", there)
	}
}
