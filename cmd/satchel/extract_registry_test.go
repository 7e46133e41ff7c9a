package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"satchel/fixtures"
)

// lost is where releases were made: nobody answers there.
const lost = "127.0.0.1:1"

// atSite unpacks a release from media into a new registry.
func (c treeRelease) atSite(t testing.TB, media string, arguments ...string) *fixtures.Registry {
	t.Helper()
	site := startRegistry(t, fixtures.Options{})
	mustSatchel(t, append([]string{"unpack", media, "--to", site.Host() + "/mirror", "--tls-verify=false", "--release-key", c.key}, arguments...)...)
	return site
}

// wantInstaller runs a command that must write the installer, and nothing else,
// with the location in it.
func (c treeRelease) wantInstaller(t testing.TB, location, from string, arguments ...string) {
	t.Helper()
	command, dir := c.extract(t, from, append(arguments, "--command", "openshift-install", "--command-os", "linux", "--command-arch", "amd64")...)
	said(t, command...)
	want := c.installer(t, location)
	if got := readDir(t, dir); len(got) != 1 || got["openshift-install"] != string(want) {
		t.Errorf("%q: %d files; the installer has %d bytes, want %d, or others", command, len(got), len(got["openshift-install"]), len(want))
	}
}

// TestExtractFromRegistry takes the installer from a mirror: components lie beside
// the release image, whichever naming put them there, and the installer takes the
// release from where it was extracted.
func TestExtractFromRegistry(t *testing.T) {
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Registry: lost, Components: fewComponents()})
	media := c.bundle(t)
	d := c.Image.Root.Digest.String()
	for name, test := range map[string]struct {
		arguments  []string
		repository string
	}{
		"two repositories": {nil, "mirror/openshift/release-images"},
		"one repository":   {[]string{"--release-repository", "ocp4/openshift4"}, "mirror/ocp4/openshift4"},
	} {
		t.Run(name, func(t *testing.T) {
			site := c.atSite(t, media, test.arguments...)
			repository := site.Host() + "/" + test.repository
			site.ResetStats()
			c.wantInstaller(t, repository+"@"+d, "docker://"+repository+":4.12.0-x86_64")
			read := site.Stats().Served
			for _, component := range c.Components {
				top := component.Image.Blobs[len(component.Image.Blobs)-1].Descriptor.Digest
				if (read[top] > 0) != (component.Name == "installer") && component.Name != "cluster-version-operator" {
					t.Errorf("of %s, %d bytes were read", component.Name, read[top])
				}
			}
			c.wantInstaller(t, repository+"@"+d, "docker://"+repository+"@"+d)
			c.wantInstaller(t, "other.example/x@"+d, "docker://"+repository+"@"+d, "--mirror", "other.example/x")
			command, dir := c.extract(t, "docker://"+repository+"@"+d, "--manifests")
			said(t, command...)
			if files := readDir(t, dir); files["image-references"] != string(c.References) {
				t.Errorf("got %q", filesBelow(t, dir))
			}
			// Without the components there is nothing, and it is said where they
			// were looked for.
			installer := c.Component("installer").Image.Root.Digest.String()
			for name := range site.Digests() {
				site.Remove(name, installer)
			}
			command, dir = c.extract(t, "docker://"+repository+"@"+d, "--command", "openshift-install", "--command-os", "linux")
			fails(t, exitFailed, []string{"component installer", installer, repository, lost}, command...)
			if left := filesBelow(t, dir); len(left) > 0 {
				t.Errorf("%q are left", left)
			}
		})
	}
	site := c.atSite(t, media)
	for name, says := range map[string]string{
		"mirror/openshift/release:4.12.0-x86_64-cli": "release", "mirror/openshift/release-images:4.13.0": "404", "none:1": "404",
	} {
		command, dir := c.extract(t, "docker://"+site.Host()+"/"+name, "--manifests")
		fails(t, exitFailed, []string{site.Host() + "/" + name, says}, command...)
		if left := filesBelow(t, dir); len(left) > 0 {
			t.Errorf("%s: %q are left", name, left)
		}
	}
}

// TestExtractDamagedRegistry has a registry that changes a bit of each blob, and
// one that cuts it off: nothing gets its name.
func TestExtractDamagedRegistry(t *testing.T) {
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Registry: lost, Components: fewComponents()})
	media := c.bundle(t)
	site := c.atSite(t, media, "--release-repository", "ocp4/openshift4")
	layer := c.Component("installer").Image.Blobs
	top := layer[len(layer)-1].Descriptor.Digest
	for _, fault := range []fixtures.Fault{{Kind: fixtures.FaultFlip, N: 40_000}, {Kind: fixtures.FaultShort, N: 1}, {Kind: fixtures.FaultDropBody, N: 40_000}} {
		site.SetFault(func(_ int, r *http.Request) fixtures.Fault {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/blobs/"+top.String()) {
				return fault
			}
			return fixtures.Fault{}
		})
		command, dir := c.extract(t, "docker://"+site.Host()+"/mirror/ocp4/openshift4:4.12.0-x86_64", "--command", "openshift-install", "--command-os", "linux")
		fails(t, exitFailed, []string{"component installer", top.String()}, command...)
		if left := filesBelow(t, dir); len(left) > 0 {
			t.Errorf("%v: %q are left", fault.Kind, left)
		}
	}
	if site.Stats().Faults < 3 {
		t.Error("nothing was harmed")
	}
}

// TestExtractByMirrorSets finds components in another registry than that of the
// release image, by the mirror sets that satchel and others write, and by
// registries.conf.
func TestExtractByMirrorSets(t *testing.T) {
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Registry: lost, Components: fewComponents()})
	media := c.bundle(t)
	site := c.atSite(t, media)
	d := c.Image.Root.Digest.String()
	// The release image alone lies here.
	alone := startRegistry(t, fixtures.Options{}, c.Image.Named("only/the/release", "x"))
	from := "docker://" + alone.Host() + "/only/the/release:x"
	location := alone.Host() + "/only/the/release@" + d
	fails(t, exitFailed, []string{"component installer", lost}, "extract", from, "-o", t.TempDir(), "--command", "openshift-install",
		"--command-os", "linux", "--tls-verify=false", "--retry-times", "0")

	resources := t.TempDir()
	mustSatchel(t, "resources", media, "--to", site.Host()+"/mirror", "-o", resources, "--release-key", c.key, "--mirror-set", "both")
	own := func(name, kind, list, source string, mirrors ...string) string {
		file := filepath.Join(t.TempDir(), name)
		writeFile(t, file, fmt.Appendf(nil, "kind: Other\n---\napiVersion: x/v1\nkind: %s\nspec:\n  %s:\n  - source: %s\n    mirrors: [%s]\n",
			kind, list, source, strings.Join(mirrors, ", ")))
		return file
	}
	components := site.Host() + "/mirror/openshift/release"
	for name, files := range map[string][]string{
		"own IDMS": {filepath.Join(resources, "imageDigestMirrorSet.yaml")},
		"own ICSP": {filepath.Join(resources, "imageContentSourcePolicy.yaml")},
		"IDMS":     {own("idms.yaml", "ImageDigestMirrorSet", "imageDigestMirrors", lost+"/openshift-release-dev/ocp-v4.0-art-dev", components)},
		"ICSP":     {own("icsp.yaml", "ImageContentSourcePolicy", "repositoryDigestMirrors", lost+"/openshift-release-dev/ocp-v4.0-art-dev", components)},
		"second mirror": {own("idms.yaml", "ImageDigestMirrorSet", "imageDigestMirrors", lost+"/openshift-release-dev/ocp-v4.0-art-dev",
			lost+"/none", site.Host()+"/mirror/none", components)},
		"second file": {own("idms.yaml", "ImageDigestMirrorSet", "imageDigestMirrors", "other.example", lost+"/x"),
			own("idms.yaml", "ImageDigestMirrorSet", "imageDigestMirrors", lost+"/openshift-release-dev/ocp-v4.0-art-dev", components)},
		"first file": {own("idms.yaml", "ImageDigestMirrorSet", "imageDigestMirrors", lost+"/openshift-release-dev/ocp-v4.0-art-dev", components),
			own("idms.yaml", "ImageDigestMirrorSet", "imageDigestMirrors", "other.example", lost+"/x")},
	} {
		t.Run(name, func(t *testing.T) {
			var arguments []string
			for _, file := range files {
				arguments = append(arguments, "--mirror-set-file", file)
			}
			c.wantInstaller(t, location, from, arguments...)
		})
	}
	want := map[string]string{from: location, "docker://" + c.ByDigest(): c.ByDigest()} // by its original name, too
	for _, name := range []string{"registries.conf", "registries-digest-only.conf"} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			config := filepath.Join(home, ".config", "containers")
			if err := os.MkdirAll(config, 0o755); err != nil {
				t.Fatal(err)
			}
			copyFile(t, filepath.Join(resources, name), filepath.Join(config, "registries.conf"))
			for from, location := range want {
				arguments, dir := c.extract(t, from, "--command", "openshift-install", "--command-os", "linux", "--command-arch", "amd64")
				// A process of its own: a program asks for its home once.
				command := exec.Command("satchel", arguments...)
				command.Env = append(os.Environ(), "HOME="+home)
				if out, err := command.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				if got := readDir(t, dir)["openshift-install"]; got != string(c.installer(t, location)) {
					t.Errorf("from %s: %d bytes, or others", from, len(got))
				}
			}
		})
	}
	other := own("itms.yaml", "ImageDigestMirrorSet", "imageDigestMirrors", "other.example/components", components)
	fails(t, exitFailed, []string{"component installer"}, "extract", from, "-o", t.TempDir(), "--command", "openshift-install",
		"--command-os", "linux", "--tls-verify=false", "--retry-times", "0", "--mirror-set-file", other)
}

func TestExtractUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sets.yaml")
	writeFile(t, file, []byte("kind: ConfigMap\n"))
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Components: fewComponents()})
	plain, images := plainTree(t)
	empty := t.TempDir()
	said(t, "pack", "-o", empty, "--from-dir", plain, "file://"+images[0].Repository)
	media := c.bundle(t)
	for _, test := range []struct {
		status    int
		says      string
		arguments []string
	}{
		{exitUsage, "nothing to extract", []string{media}},
		{exitUsage, "no media named", []string{"--manifests"}},
		{exitUsage, "--cloud means nothing", []string{media, "--manifests", "--cloud", "aws"}},
		{exitUsage, `--cloud "moon" is none of alibabacloud, aws`, []string{media, "--credentials-requests", "--cloud", "moon"}},
		{exitUsage, `--command "rm" is none of ccoctl`, []string{media, "--command", "rm"}},
		{exitUsage, "--mirror", []string{media, "--command", "openshift-install", "--mirror", "mirror.example"}},
		{exitUsage, "--mirror", []string{media, "--command", "openshift-install", "--mirror", "mirror.example/x:1"}},
		{exitUsage, "--mirror-set-file means nothing with media", []string{media, "--manifests", "--mirror-set-file", file}},
		{exitUsage, "--release means nothing with docker://", []string{"docker://" + lost + "/x:1", "--manifests", "--release", "4.12.0"}},
		{exitUsage, "name one release image, or media", []string{"docker://" + lost + "/x:1", media, "--manifests"}},
		{exitUsage, "docker://UPPER", []string{"docker://UPPER/x", "--manifests"}},
		{exitFailed, "sets.yaml: no ImageDigestMirrorSet", []string{"docker://" + lost + "/x:1", "--manifests", "--mirror-set-file", file}},
		{exitFailed, "--mirror-set-file: ", []string{"docker://" + lost + "/x:1", "--manifests", "--mirror-set-file", file + ".none"}},
		{exitFailed, "the bundle has no release", []string{empty, "--manifests"}},
		{exitFailed, "no bundle found", []string{t.TempDir(), "--manifests"}},
		{exitFailed, "operating system \"beos\" is not known", []string{media, "--command", "oc", "--command-os", "beos"}},
	} {
		dir := filepath.Join(t.TempDir(), "not", "made")
		fails(t, test.status, []string{test.says}, slices.Concat([]string{"extract", "-o", dir, "--release-key", c.key, "--retry-times", "0"}, test.arguments)...)
		if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) > 0 {
			t.Errorf("%q: %q are there, %v", test.arguments, files, err)
		}
	}
}
