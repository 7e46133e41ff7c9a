package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
)

// bundle packs the release out of a tree into a new directory.
func (c treeRelease) bundle(t testing.TB, arguments ...string) string {
	t.Helper()
	dir, _ := c.packTree(t, c.tree(t, fixtures.OCTree{}), arguments...)
	return dir
}

// extract is a command that trusts the release, and its directory.
func (c treeRelease) extract(t testing.TB, from string, arguments ...string) (command []string, dir string) {
	t.Helper()
	dir = t.TempDir()
	return append([]string{"extract", from, "-o", dir, "--release-key", c.key, "--retry-times", "0", "--tls-verify=false"}, arguments...), dir
}

// embedded is a program as it is to come out: values at the start of the first of
// each marker, with a NUL behind them, and nothing else changed.
func embedded(t testing.TB, program []byte, values map[string]string) []byte {
	t.Helper()
	program = bytes.Clone(program)
	for name, value := range values {
		i := bytes.Index(program, []byte("\x00_RELEASE_"+name+"_LOCATION_\x00XXX"))
		if i < 0 {
			t.Fatalf("no marker %s", name)
		}
		copy(program[i:], value+"\x00")
	}
	return program
}

// installer is what openshift-install of the release is to be.
func (c treeRelease) installer(t testing.TB, location string) []byte {
	t.Helper()
	return embedded(t, c.Component("installer").Files[0].Content, map[string]string{
		"IMAGE": location, "VERSION": c.Version, "ARCHITECTURE": "linux/amd64",
	})
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func TestExtractInstaller(t *testing.T) {
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Components: fewComponents()})
	media := c.bundle(t)
	d := c.Image.Root.Digest.String()
	longest := "mirror.example/" + strings.Repeat("a/", 119) + "a"
	for name, test := range map[string]struct {
		mirror []string
		want   string
	}{
		"original": {nil, "quay.example/openshift-release-dev/ocp-release@" + d},
		"mirror":   {[]string{"--mirror", "mirror.example:5000/ocp4/openshift4"}, "mirror.example:5000/ocp4/openshift4@" + d},
		"longest":  {[]string{"--mirror", longest}, longest + "@" + d},
	} {
		t.Run(name, func(t *testing.T) {
			command, dir := c.extract(t, media, append(test.mirror, "--command", "openshift-install", "--command-os", "linux", "--command-arch", "amd64")...)
			stdout := mustSatchel(t, command...)
			want := c.installer(t, test.want)
			if got := readDir(t, dir); len(got) != 1 || got["openshift-install"] != string(want) {
				t.Errorf("%d files; the installer has %d bytes, want %d, or others", len(got), len(got["openshift-install"]), len(want))
			}
			if stdout != sum(want)+"  openshift-install\n" {
				t.Errorf("says %q", stdout)
			}
			info, err := os.Stat(filepath.Join(dir, "openshift-install"))
			if err != nil || info.Mode().Perm()&0o111 == 0 {
				t.Errorf("it cannot be run: %v, %v", info.Mode(), err)
			}
			var result struct {
				Files []struct {
					Name   string
					Size   int64
					Digest digest.Digest
				}
			}
			if err := json.Unmarshal([]byte(mustSatchel(t, append(command, "--json")...)), &result); err != nil {
				t.Fatal(err)
			}
			if len(result.Files) != 1 || result.Files[0].Digest != digest.FromBytes(want) || result.Files[0].Size != int64(len(want)) {
				t.Errorf("--json says %+v", result)
			}
		})
	}
	if len(longest)+1+len(d) != 326 {
		t.Fatalf("the longest mirror has %d bytes", len(longest))
	}
	command, dir := c.extract(t, media, "--command", "openshift-install", "--command-os", "linux", "--mirror", longest+"b")
	fails(t, exitFailed, []string{longest + "b@" + d, "327 bytes, and programs have room for 326"}, command...)
	if left := filesBelow(t, dir); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

// TestExtractSystems gives a program for all systems, for one, and for this one.
func TestExtractSystems(t *testing.T) {
	components := append(fewComponents(), "cli-artifacts", "installer-artifacts")
	slices.Sort(components)
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Components: components})
	media := c.bundle(t)
	command, dir := c.extract(t, media, "--command", "openshift-install", "--command-os", "*")
	said(t, command...)
	want := []string{
		"openshift-install-linux-4.12.0.tar.gz", "openshift-install-linux-arm64-4.12.0.tar.gz",
		"openshift-install-mac-4.12.0.tar.gz", "openshift-install-mac-arm64-4.12.0.tar.gz", "release.txt", "sha256sum.txt",
	}
	if got := filesBelow(t, dir); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	program := func(t *testing.T, path string) []byte {
		files := c.Component("cli-artifacts").Files
		i := slices.IndexFunc(files, func(f fixtures.File) bool { return f.Name == path })
		return embedded(t, files[i].Content, map[string]string{"VERSION": "4.12.0"})
	}
	for _, test := range []struct{ system, architecture, file, path string }{
		{"linux", "arm64", "oc", "usr/share/openshift/linux_arm64/oc"}, {"mac", "amd64", "oc", "usr/share/openshift/mac/oc"},
		{"darwin", "arm64", "oc", "usr/share/openshift/mac_arm64/oc"}, {"windows", "amd64", "oc.exe", "usr/share/openshift/windows/oc.exe"},
		{"windows", "", "oc.exe", "usr/share/openshift/windows/oc.exe"}, {"linux", "aarch64", "oc", "usr/share/openshift/linux_arm64/oc"},
	} {
		command, dir := c.extract(t, media, "--command", "oc", "--command-os", test.system, "--command-arch", test.architecture)
		messages := said(t, command...)
		if got := readDir(t, dir)[test.file]; got != string(program(t, test.path)) {
			t.Errorf("%s/%s: %d bytes, or others", test.system, test.architecture, len(got))
		}
		if signed := test.path == "usr/share/openshift/mac_arm64/oc"; strings.Contains(messages, "codesign") != signed {
			t.Errorf("%s/%s: says %s", test.system, test.architecture, messages)
		}
	}
	if runtime.GOOS == "linux" && runtime.GOARCH == "amd64" {
		command, dir := c.extract(t, media, "--command", "oc")
		said(t, command...)
		if got, want := readDir(t, dir)["oc"], embedded(t, c.Component("cli").Files[0].Content, map[string]string{"VERSION": "4.12.0"}); got != string(want) {
			t.Errorf("oc for this system: %d bytes, want %d, or others", len(got), len(want))
		}
	}
	command, dir = c.extract(t, media, "--command", "ccoctl", "--command-os", "linux")
	fails(t, exitFailed, []string{"the payload has no component cloud-credential-operator"}, command...)
	if left := filesBelow(t, dir); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

func TestExtractTools(t *testing.T) {
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Architectures: []string{"amd64", "arm64"}})
	media := c.bundle(t)
	command, dir := c.extract(t, media, "--tools", "--manifests", "--mirror", "mirror.example/openshift/release-images")
	messages := said(t, command...)
	files := readDir(t, dir)
	for _, name := range []string{
		"openshift-client-linux-4.12.0.tar.gz", "openshift-client-windows-4.12.0.zip", "openshift-client-linux-arm64-rhel9-4.12.0.tar.gz",
		"openshift-install-mac-arm64-4.12.0.tar.gz", "ccoctl-linux-rhel8-4.12.0.tar.gz", "release.txt", "sha256sum.txt",
		"image-references", "release-metadata",
	} {
		if files[name] == "" {
			t.Errorf("%s is lacking, of %q", name, filesBelow(t, dir))
		}
	}
	if !strings.Contains(files["release.txt"], "mirror.example/openshift/release-images@"+c.Image.Root.Digest.String()) {
		t.Errorf("release.txt is\n%s", files["release.txt"])
	}
	if !strings.Contains(messages, "openshift-install-mac-arm64-4.12.0.tar.gz: its code signature is broken") {
		t.Errorf("says\n%s", messages)
	}
	execute(t, dir, need(t, "sha256sum"), "--strict", "-c", "sha256sum.txt")
	unpacked := t.TempDir()
	execute(t, unpacked, need(t, "tar"), "-xzf", filepath.Join(dir, "openshift-install-linux-4.12.0.tar.gz"))
	want := embedded(t, c.Component("installer").Files[0].Content, map[string]string{
		"IMAGE":   "mirror.example/openshift/release-images@" + c.Image.Root.Digest.String(),
		"VERSION": c.Version, "ARCHITECTURE": "multi (linux/amd64)",
	})
	if got := readDir(t, unpacked)["openshift-install"]; got != string(want) {
		t.Errorf("the packed installer has %d bytes, want %d, or others", len(got), len(want))
	}
	command, again := c.extract(t, media, "--tools", "--manifests", "--mirror", "mirror.example/openshift/release-images")
	said(t, command...)
	sameFiles(t, again, dir)
}

func TestExtractManifests(t *testing.T) {
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Components: fewComponents()})
	media := c.bundle(t)
	command, dir := c.extract(t, media, "--manifests")
	said(t, command...)
	files := readDir(t, dir)
	if files["image-references"] != string(c.References) || files["release-metadata"] != string(c.Metadata) ||
		files["0000_90_cluster-update-keys_configmap.yaml"] != string(c.Verification) || len(files) != 12 {
		t.Errorf("got %q", filesBelow(t, dir))
	}
	for cloud, want := range map[string]int{"aws": 3, "gcp": 3, "azure": 1, "": 7} {
		command, dir := c.extract(t, media, "--credentials-requests")
		if cloud != "" {
			command = append(command, "--cloud", cloud)
		}
		said(t, command...)
		files := readDir(t, dir)
		if len(files) != want {
			t.Errorf("%q: got %q", cloud, filesBelow(t, dir))
		}
		for name, content := range files {
			if strings.Count(content, "kind: CredentialsRequest\n") != 1 || cloud == "aws" && !strings.Contains(content, "kind: AWSProviderSpec") {
				t.Errorf("%q: %s is\n%s", cloud, name, content)
			}
		}
	}
	command, dir = c.extract(t, media, "--credentials-requests", "--cloud", "ovirt")
	fails(t, exitOK, []string{"no request for credentials of the cloud ovirt"}, command...)
	if left := filesBelow(t, dir); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

// TestExtractReleases chooses among the releases of one bundle.
func TestExtractReleases(t *testing.T) {
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Components: fewComponents()})
	tree := c.tree(t, fixtures.OCTree{})
	byName := map[string]treeRelease{"4.12.0": c}
	for name, spec := range map[string]fixtures.ReleaseSpec{
		"4.12.1-x86_64": {Version: "4.12.1"}, "4.12.1-multi": {Version: "4.12.1", Architectures: []string{"amd64", "arm64"}},
	} {
		spec.Components = fewComponents()
		other := newTreeRelease(t, spec)
		writeTreeInto(t, tree, fixtures.OCTree{Signatures: other.signatures()}, other.Mirrored(treeRepository)...)
		byName[name] = other
	}
	byName["4.12.0-x86_64"] = c
	media, _ := c.packTree(t, tree)
	for name, release := range byName {
		command, dir := c.extract(t, media, "--manifests", "--release", name)
		said(t, command...)
		if got := readDir(t, dir)["image-references"]; got != string(release.References) {
			t.Errorf("%s: another release came out", name)
		}
	}
	const all = "4.12.0-x86_64, 4.12.1-multi, 4.12.1-x86_64"
	for release, says := range map[string]string{
		"": "name one with --release: " + all, "4.12.1": "several releases fit", "4.13.0": "release 4.13.0 is not in the bundle, which has " + all,
	} {
		command, dir := c.extract(t, media, "--manifests", "--release", release)
		status := exitUsage
		if release == "4.13.0" {
			status = exitFailed
		}
		fails(t, status, []string{says}, command...)
		if left := filesBelow(t, dir); len(left) > 0 {
			t.Errorf("%q: %q are left", release, left)
		}
	}
}

// TestExtractMedia has each volume of the bundle missing or damaged in turn: only
// the volume with the program matters, and it is named.
func TestExtractMedia(t *testing.T) {
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Components: fewComponents(), LayerSize: 60 << 10})
	media := c.bundle(t, "--volume-size", "180KB")
	volumes := glob(t, media, "*.tar.zst")
	want := c.installer(t, "quay.example/openshift-release-dev/ocp-release@"+c.Image.Root.Digest.String())
	program := []string{"--command", "openshift-install", "--command-os", "linux", "--command-arch", "amd64"}
	outcomes := map[int]int{}
	try := func(t *testing.T, from []string, bad int, says ...string) {
		dir := t.TempDir()
		arguments := append([]string{"extract", "-o", dir, "--release-key", c.key}, program...)
		status, _, stderr := satchel(t, append(arguments, from...)...)
		outcomes[status]++
		files := readDir(t, dir)
		switch status {
		case exitOK:
			if len(files) != 1 || files["openshift-install"] != string(want) {
				t.Errorf("%d files; the installer has %d bytes", len(files), len(files["openshift-install"]))
			}
		case bad:
			if len(files) > 0 {
				t.Errorf("%q are left", filesBelow(t, dir))
			}
			for _, text := range says {
				if !strings.Contains(stderr, text) {
					t.Errorf("does not say %q:\n%s", text, stderr)
				}
			}
		default:
			t.Errorf("status %d:\n%s", status, stderr)
		}
	}
	for i, volume := range volumes {
		t.Run(fmt.Sprint("missing ", i+1), func(t *testing.T) {
			var sticks []string // each volume on its own, in another order
			for j := range volumes {
				if other := volumes[(i+j)%len(volumes)]; other != volume {
					stick := t.TempDir()
					copyFile(t, other, filepath.Join(stick, filepath.Base(other)))
					sticks = append(sticks, stick)
				}
			}
			try(t, sticks, exitMissing, fmt.Sprintf("volume %d of %d", i+1, len(volumes)), "missing")
		})
		t.Run(fmt.Sprint("damaged ", i+1), func(t *testing.T) {
			stick := t.TempDir()
			for _, name := range volumes {
				copyFile(t, name, filepath.Join(stick, filepath.Base(name)))
			}
			name := filepath.Join(stick, filepath.Base(volume))
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for at := len(content) / 4; at < len(content); at += 10_000 { // every frame of a layer
				content[at] ^= 0xff
			}
			writeFile(t, name, content)
			try(t, []string{stick}, exitDamage, filepath.Base(volume))
		})
	}
	// Of the volumes one has the program, and one the payload, which is read again.
	if n := outcomes[exitMissing]; n < 1 || n > 2 || n != outcomes[exitDamage] || outcomes[exitOK] != 2*(len(volumes)-n) {
		t.Errorf("statuses are %v", outcomes)
	}
}

func TestExtractTrust(t *testing.T) {
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Components: fewComponents()})
	media := c.bundle(t)
	dir := t.TempDir()
	fails(t, exitFailed, []string{fixtures.ReleaseKey().Fingerprint(), "--release-key"}, "extract", media, "-o", dir, "--manifests")
	other := filepath.Join(t.TempDir(), "other.pub")
	writeFile(t, other, fixtures.OtherKey().Armored())
	fails(t, exitFailed, []string{fixtures.ReleaseKey().Fingerprint()}, "extract", media, "-o", dir, "--manifests", "--release-key", other)

	tree := c.tree(t, fixtures.OCTree{Signatures: map[digest.Digest][][]byte{}})
	unsigned, _ := c.packTree(t, tree, "--allow-unsigned-release")
	fails(t, exitFailed, []string{"is not trusted", "hint: do not use it"}, "extract", unsigned, "-o", dir, "--manifests", "--release-key", c.key)
	if left := filesBelow(t, dir); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
	said(t, "extract", unsigned, "-o", dir, "--manifests", "--release-key", c.key, "--allow-unsigned-release")
	if len(filesBelow(t, dir)) == 0 {
		t.Error("nothing came out")
	}
}
