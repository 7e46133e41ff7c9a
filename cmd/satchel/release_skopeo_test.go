package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"satchel/fixtures"
)

// TestOriginalNames pulls with skopeo by the names that images have upstream,
// through the registries.conf that satchel wrote. No upstream answers then.
func TestOriginalNames(t *testing.T) {
	skopeo := need(t, "skopeo")
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1") // nobody is asked beyond this machine
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Run("quay.io", func(t *testing.T) {
		upstream := startRegistry(t, fixtures.Options{})
		// Whoever packs reads quay.io where this says; the site has other rules.
		home := t.TempDir()
		writeConf(t, filepath.Join(home, ".config/containers/registries.conf"),
			fmt.Appendf(nil, "[[registry]]\nprefix = \"quay.io\"\nlocation = %q\ninsecure = true\n", upstream.Host()))
		t.Setenv("HOME", home)
		carried := carryOriginal(t, upstream, newReleaseSource(t, "quay.io"), []string{"amd64"})
		carried.pull(t, skopeo)
	})
	t.Run("multi", func(t *testing.T) {
		upstream := startRegistry(t, fixtures.Options{})
		carried := carryOriginal(t, upstream, newReleaseSource(t, upstream.Host()), []string{"amd64", "arm64"}, "--release-repository", "ocp4/openshift4")
		carried.pull(t, skopeo)

		// By these tags upstream alone would have it, and it is not there.
		by := carried.release
		for conf, name := range map[string]string{
			carried.current: by.Reference(),
			carried.older:   by.Reference(),
			carried.none:    by.ByDigest(),
		} {
			out, err := exec.CommandContext(t.Context(), skopeo, "--registries-conf", conf, "inspect", "--raw", "docker://"+name).CombinedOutput()
			if err == nil || !strings.Contains(string(out), "connection refused") {
				t.Errorf("%s with %s: %v\n%s", name, conf, err, out)
			}
		}
	})
}

// carried are a release and another image that are at a site.
type carried struct {
	site    *fixtures.Registry
	release fixtures.Release
	web     fixtures.Image
	host    string // of the original names
	// current, older and none are files as registries.conf(5) has them.
	current, older, none string
}

// carryOriginal packs a release and an image by tag, unpacks them, and closes the
// registry from which they came.
func carryOriginal(t *testing.T, upstream *fixtures.Registry, source *releaseSource, architectures []string, names ...string) *carried {
	t.Helper()
	c := &carried{
		site: startRegistry(t, fixtures.Options{}), host: source.host, web: fixtures.Demo(1000, 1000)[2],
		release: source.release(fixtures.ReleaseSpec{Version: "4.12.0", Architectures: architectures, Aliases: map[string]string{"oc": "cli"}}),
	}
	if err := upstream.Add(append(c.release.Images, c.web)...); err != nil {
		t.Fatal(err)
	}
	dir, resources := t.TempDir(), t.TempDir()
	// As a process of its own, which reads the user's registries.conf of this test.
	execute(t, "", "satchel", source.command("pack", "-o", dir, "--release", c.release.Reference(), c.host+"/"+c.web.Reference())...)
	upstream.Close()
	mustSatchel(t, source.command("unpack", append(names, dir, "--to", c.site.Host()+"/mirror", "--resources", resources)...)...)
	c.current = plainHTTP(t, filepath.Join(resources, "registries.conf"), c.site.Host())
	c.older = plainHTTP(t, filepath.Join(resources, "registries-digest-only.conf"), c.site.Host())
	c.none = filepath.Join(t.TempDir(), "none.conf")
	writeConf(t, c.none, nil)
	c.site.ResetStats()
	return c
}

func writeConf(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// pull wants every image of the release by its digest, and the other by its tag.
func (c *carried) pull(t *testing.T, skopeo string) {
	t.Helper()
	for _, conf := range []string{c.current, c.older} {
		c.pullImage(t, skopeo, conf, c.release.ByDigest(), c.release.Image)
		c.pullImage(t, skopeo, conf, c.release.Component("machine-config-operator").Reference, c.release.Component("machine-config-operator").Image)
		for _, component := range c.release.Components {
			want := rootBytes(t, component.Image)
			if raw := execute(t, "", skopeo, "--registries-conf", conf, "inspect", "--raw", "docker://"+component.Reference); !bytes.Equal(raw, want) {
				t.Errorf("%s through %s: another manifest", component.Reference, conf)
			}
		}
	}
	c.pullImage(t, skopeo, c.current, c.host+"/"+c.web.Reference(), c.web)
	if c.site.Stats().Requests["GET manifest"] == 0 {
		t.Error("the site was not asked")
	}
}

// pullImage copies an image with all of its platforms; skopeo checks digests.
func (c *carried) pullImage(t *testing.T, skopeo, conf, name string, image fixtures.Image) {
	t.Helper()
	to := t.TempDir()
	execute(t, "", skopeo, "--registries-conf", conf, "copy", "--all", "--preserve-digests", "docker://"+name, "dir:"+to)
	got, err := os.ReadFile(filepath.Join(to, "manifest.json"))
	if err != nil || !bytes.Equal(got, rootBytes(t, image)) {
		t.Errorf("%s through %s: another manifest, %v", name, conf, err)
	}
	for _, b := range image.Blobs {
		if info, err := os.Stat(filepath.Join(to, b.Descriptor.Digest.Encoded())); err != nil || info.Size() != b.Descriptor.Size {
			t.Errorf("%s through %s: blob %s: %v", name, conf, b.Descriptor.Digest, err)
		}
	}
}

func rootBytes(t *testing.T, image fixtures.Image) []byte {
	t.Helper()
	content, err := image.Manifests[len(image.Manifests)-1].Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return content
}
