package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"satchel/fixtures"
)

// hostileRelease is a release, rightly signed, with files in its payload beside
// the usual ones, and a layer on top of its installer.
func hostileRelease(t testing.TB, payload []fixtures.File, installer ...fixtures.File) treeRelease {
	t.Helper()
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Components: fewComponents()})
	component := fixtures.NewImage(fixtures.ImageSpec{Docker: true, Layers: []fixtures.Layer{fixtures.GzipLayer(installer...)}})
	was := c.Component("installer").Image
	for i := range c.Components {
		if c.Components[i].Name == "installer" {
			c.Components[i].Image = component.Named(was.Repository, "")
		}
	}
	references := bytes.ReplaceAll(c.References, []byte(was.Root.Digest), []byte(component.Root.Digest))
	files := append([]fixtures.File{
		{Name: "release-manifests/image-references", Content: references}, {Name: "release-manifests/release-metadata", Content: c.Metadata},
		{Name: "release-manifests/keys.yaml", Content: c.Verification},
	}, payload...)
	c.Image = fixtures.NewImage(fixtures.ImageSpec{
		Docker: true, Layers: []fixtures.Layer{fixtures.GzipLayer(files...)}, Labels: map[string]string{"io.openshift.release": "4.12.0"},
	}).Named(c.Image.Repository, c.Image.Tag)
	return c
}

// TestExtractHostile has layers that want to write elsewhere.
func TestExtractHostile(t *testing.T) {
	program := fixtures.File{Name: "usr/bin/openshift-install", Content: []byte("program"), Mode: 0o755}
	outside := filepath.Join(t.TempDir(), "outside")
	writeFile(t, outside, []byte("outside"))
	link := func(name, target string) fixtures.File {
		return fixtures.File{Name: name, Type: tar.TypeSymlink, Link: target}
	}
	manifest := func(name string) fixtures.File {
		return fixtures.File{Name: "release-manifests/" + name, Content: []byte("kind: Evil\n")}
	}
	for name, test := range map[string]struct {
		payload, installer []fixtures.File
		// Statuses of packing, and of extracting the manifests and the program
		// from a registry; from media they are the same if it was packed.
		packed, manifests, program int
	}{
		"harmless":           {[]fixtures.File{manifest("good.yaml")}, []fixtures.File{program}, 0, 0, 0},
		"climbing manifest":  {[]fixtures.File{manifest("../../evil.yaml")}, []fixtures.File{program}, 1, 1, 1},
		"absolute manifest":  {[]fixtures.File{{Name: outside, Content: []byte("kind: Evil\n")}}, []fixtures.File{program}, 0, 0, 0},
		"linked manifest":    {[]fixtures.File{link("release-manifests/evil.yaml", outside)}, []fixtures.File{program}, 1, 1, 1},
		"linked directory":   {[]fixtures.File{link("release-manifests/sub", "/tmp"), manifest("sub/evil.yaml")}, []fixtures.File{program}, 1, 1, 1},
		"backslash":          {[]fixtures.File{manifest(`..\..\evil.yaml`)}, []fixtures.File{program}, 0, 1, 0},
		"climbing program":   {nil, []fixtures.File{{Name: "../../../../usr/bin/openshift-install", Content: []byte("x")}}, 0, 0, 1},
		"linked program":     {nil, []fixtures.File{link("usr/bin/openshift-install", outside)}, 0, 0, 1},
		"climbing link":      {nil, []fixtures.File{link("usr/bin/openshift-install", "../../../../../../../.."+outside)}, 0, 0, 1},
		"hard link":          {nil, []fixtures.File{{Name: "usr/bin/openshift-install", Type: tar.TypeLink, Link: outside}}, 0, 0, 1},
		"device":             {nil, []fixtures.File{{Name: "usr/bin/openshift-install", Type: tar.TypeChar}}, 0, 0, 1},
		"beside the program": {nil, []fixtures.File{program, {Name: "../evil", Content: []byte("x")}}, 0, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c := hostileRelease(t, test.payload, test.installer...)
			up := startRegistry(t, fixtures.Options{}, c.Mirrored("ocp4/openshift4")...)
			media := t.TempDir()
			sources := []string{"docker://" + up.Host() + "/ocp4/openshift4:4.12.0-x86_64"}
			status, _, stderr := satchel(t, "pack", "-o", media, "--release-key", c.key, "--from-dir", c.tree(t, fixtures.OCTree{}), "file://"+treeRepository)
			if status != test.packed {
				t.Errorf("packing: status %d\n%s", status, stderr)
			}
			if status == exitOK {
				sources = append(sources, media)
			}
			base := t.TempDir()
			dir := filepath.Join(base, "in")
			for _, from := range sources {
				command := []string{"extract", from, "-o", dir, "--release-key", c.key, "--tls-verify=false", "--retry-times", "0"}
				fails(t, test.manifests, nil, append(command, "--manifests")...)
				fails(t, test.program, nil, append(command, "--command", "openshift-install", "--command-os", "linux")...)
			}
			for _, file := range filesBelow(t, base) {
				if !strings.HasPrefix(file, "in/") || strings.Contains(file, "evil") || strings.HasSuffix(file, ".part") {
					t.Errorf("%s was written", file)
				}
			}
			if got, err := os.ReadFile(filepath.Join(dir, "openshift-install")); (err == nil) != (test.program == 0) || err == nil && string(got) != "program" {
				t.Errorf("the program is %q, %v", got, err)
			}
			if content, err := os.ReadFile(outside); err != nil || string(content) != "outside" {
				t.Errorf("%s is %q, %v", outside, content, err)
			}
		})
	}
	// Links that the directory has lead nowhere either.
	c := hostileRelease(t, nil, program)
	media := c.bundle(t)
	dir := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "openshift-install")); err != nil {
		t.Fatal(err)
	}
	said(t, "extract", media, "-o", dir, "--release-key", c.key, "--command", "openshift-install", "--command-os", "linux")
	if content, err := os.ReadFile(outside); err != nil || string(content) != "outside" {
		t.Errorf("%s is %q, %v", outside, content, err)
	}
	if info, err := os.Lstat(filepath.Join(dir, "openshift-install")); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the link is still there: %v", err)
	}
}
