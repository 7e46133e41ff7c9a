package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
)

// mappingFile writes a file for --mapping.
func mappingFile(t testing.TB, lines ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "mapping.txt")
	writeFile(t, name, []byte(strings.Join(lines, "\n")+"\n"))
	return name
}

// wantTags checks what of a registry's repositories is at which tag; digests are
// tags too.
func wantTags(t testing.TB, r *fixtures.Registry, want map[string]digest.Digest) {
	t.Helper()
	got := make(map[string]digest.Digest)
	for repository, tags := range r.Digests() {
		for tag, d := range tags {
			if !strings.HasPrefix(tag, "sha256:") {
				got[repository+":"+tag] = d
			}
		}
	}
	if !maps.Equal(got, want) {
		var lines []string
		for _, name := range slices.Sorted(maps.Keys(got)) {
			lines = append(lines, fmt.Sprintf("%s %s", name, got[name]))
		}
		t.Errorf("there is\n%s\nwant %v", strings.Join(lines, "\n"), want)
	}
}

// TestMapping keeps the destinations of a file for oc image mirror.
func TestMapping(t *testing.T) {
	image := func(label string) fixtures.Image {
		return fixtures.NewImage(fixtures.ImageSpec{Labels: map[string]string{"is": label}})
	}
	web, api, base := image("web"), image("api"), image("base")
	index := fixtures.NewIndex(image("amd64"), image("arm64"))
	source := startRegistry(t, fixtures.Options{}, web.Named("team/web", "1"), api.Named("team/api", "2"), base.Named("team/base", ""),
		index.Named("team/many", "3"), web.Named("team/other", "old"))
	host := source.Host()
	tree := writeTree(t, fixtures.OCTree{}, api.Named("from/tree", "a"), base.Named("from/tree", "b"))
	plain := mappingFile(t,
		"\ufeff# made by oc", "",
		host+"/team/web:1=registry.example/apps/web:prod # as it runs",
		"docker://"+host+"/team/web:1 docker://registry.example/apps/web:also registry.example/apps/web",
		host+"/team/api:2=registry.example/apps/api",
		host+"/team/base@"+base.Root.Digest.String()+"=registry.example:5000/apps/base",
		host+"/team/many@"+index.Root.Digest.String()+" registry.example/many:3",
		"  "+host+"/team/other:old=registry.example/one/two/three:new  ")
	local := mappingFile(t, "file://from/tree:*=registry.example/tree/of/oc", "file://from/tree:a=registry.example/tree/of/oc:again")
	dir := t.TempDir()
	said(t, "pack", "-o", dir, "--tls-verify=false", "--from-dir", tree, "--mapping", plain, "--mapping", local, host+"/team/api:2")
	site := startRegistry(t, fixtures.Options{})
	mustSatchel(t, "unpack", dir, "--to", site.Host()+"/p", "--tls-verify=false")
	want := map[string]digest.Digest{
		"p/apps/web:prod": web.Root.Digest, "p/apps/web:also": web.Root.Digest, "p/apps/web:1": web.Root.Digest,
		"p/apps/api:2": api.Root.Digest, "p/apps/base:digest-" + base.Root.Digest.Encoded(): base.Root.Digest,
		"p/many:3": index.Root.Digest, "p/one/two/three:new": web.Root.Digest,
		"p/tree/of/oc:a": api.Root.Digest, "p/tree/of/oc:b": base.Root.Digest, "p/tree/of/oc:again": api.Root.Digest,
	}
	wantTags(t, site, want)
	// Nothing else is pushed when nothing is packed.
	copied := startRegistry(t, fixtures.Options{})
	mustSatchel(t, "copy", "--tls-verify=false", "--from-dir", tree, "--mapping", plain, "--mapping", local, "--to", copied.Host()+"/p")
	wantTags(t, copied, want)
	// The same command goes on with what it made.
	said(t, "pack", "-o", dir, "--tls-verify=false", "--from-dir", tree, "--mapping", plain, "--mapping", local, host+"/team/api:2")
	fails(t, exitFailed, []string{"begun with other settings"},
		"pack", "-o", dir, "--tls-verify=false", "--mapping", plain, host+"/team/api:2")
}

// TestMappingOfRelease takes the release out of a tree as the documents say to push
// it: into the one repository of the mapping, and nowhere else. The original names
// stay those of the payload.
func TestMappingOfRelease(t *testing.T) {
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Components: fewComponents(), Aliases: map[string]string{"tools": "cli"}})
	tree := c.tree(t, fixtures.OCTree{})
	mapping := mappingFile(t, "file://openshift/release:4.12*=registry.example/ocp4/openshift4")
	dir := t.TempDir()
	said(t, "pack", "-o", dir, "--release-key", c.key, "--from-dir", tree, "--mapping", mapping)
	site := startRegistry(t, fixtures.Options{})
	resources := t.TempDir()
	mustSatchel(t, "unpack", dir, "--to", site.Host(), "--tls-verify=false", "--release-key", c.key, "--resources", resources)
	want := make(map[string]digest.Digest)
	for _, image := range c.Mirrored("ocp4/openshift4") {
		want[image.Reference()] = image.Root.Digest
	}
	wantTags(t, site, want)
	sets := readDir(t, resources)["imageDigestMirrorSet.yaml"]
	for _, text := range []string{"source: quay.example/openshift-release-dev/ocp-release\n", "source: quay.example/openshift-release-dev/ocp-v4.0-art-dev\n",
		"- " + site.Host() + "/ocp4/openshift4\n"} {
		if !strings.Contains(sets, text) {
			t.Errorf("mirror sets lack %q:\n%s", text, sets)
		}
	}
	if strings.Contains(sets, "localhost") || strings.Contains(sets, site.Host()+"/openshift/release") {
		t.Errorf("mirror sets are\n%s", sets)
	}
	said(t, "pack", "-o", dir, "--release-key", c.key, "--from-dir", tree, "--mapping", mapping)
}

// TestMappingRefused says file and line of what is wrong, and asks nobody.
func TestMappingRefused(t *testing.T) {
	source := startRegistry(t, fixtures.Options{}, fixtures.Small(2)...)
	host := source.Host()
	tree := writeTree(t, fixtures.OCTree{}, fixtures.NewImage(fixtures.ImageSpec{}).Named("a/b", "1"),
		fixtures.NewImage(fixtures.ImageSpec{Labels: map[string]string{"is": "other"}}).Named("a/b", "2"),
		fixtures.NewImage(fixtures.ImageSpec{Labels: map[string]string{"is": "c"}}).Named("a/c", "1"))
	for name, test := range map[string]struct {
		line int
		says string
		text []string
	}{
		"no destination":     {2, "is neither SRC=DST nor SRC DST", []string{"", host + "/a:1"}},
		"empty destination":  {1, "is not SRC=DST", []string{host + "/a:1="}},
		"source":             {2, "", []string{host + "/a:1=x.example/a:1", "UPPER=x.example/b"}},
		"destination":        {1, "is not HOST/PATH[:TAG]", []string{host + "/a:1=x.example"}},
		"upper case":         {1, "is not HOST/PATH[:TAG]", []string{host + "/a:1=x.example/UP:1"}},
		"tag":                {1, "is not HOST/PATH[:TAG]", []string{host + "/a:1=x.example/up:-1"}},
		"file":               {1, "is not HOST/PATH[:TAG]", []string{host + "/a:1=file://x/y:1"}},
		"s3":                 {1, "is not HOST/PATH[:TAG]", []string{host + "/a:1=s3://x/y/z:1"}},
		"dots":               {1, "is not HOST/PATH[:TAG]", []string{host + "/a:1=x.example/../y:1"}},
		"digest":             {1, "has a digest", []string{host + "/a:1=x.example/y@sha256:1"}},
		"file without tree":  {1, "name it with --from-dir", []string{"file://a/b:1=x.example/y"}},
		"twice":              {3, "in line 1 already", []string{host + "/a:1=x.example/y:1", "", host + "/b:2 x.example/y:1"}},
		"twice, by tags":     {2, "in line 1 already", []string{host + "/a:1=x.example/y", host + "/b:1=x.example/y"}},
		"other registries":   {2, "p:1", []string{host + "/a:1=one.example/p:1", host + "/b:1=two.example/p:1"}},
		"several":            {1, "several images would get it", []string{"file://a/b=x.example/y:1"}},
		"expanded":           {2, "y:1", []string{"file://a/b:*=x.example/y", "file://a/c:*=x.example/y"}},
		"two paths":          {1, "one repository", []string{"file://a/b:1 x.example/y:1 x.example/z:1"}},
		"two paths, 2 lines": {2, "one repository", []string{"file://a/b:1=x.example/y:1", "file://a/b:1=x.example/z:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			file := mappingFile(t, test.text...)
			arguments := []string{"pack", "--dry-run", "--tls-verify=false", "--mapping", file}
			if name != "file without tree" {
				arguments = append(arguments, "--from-dir", tree)
			}
			fails(t, exitUsage, []string{fmt.Sprintf("%s, line %d: ", file, test.line), test.says}, arguments...)
		})
	}
	first, second := mappingFile(t, host+"/a:1=x.example/y:1"), mappingFile(t, "", host+"/b:1=x.example/y:1")
	fails(t, exitUsage, []string{second + ", line 2: ", "y:1"}, "pack", "--dry-run", "--tls-verify=false", "--mapping", first, "--mapping", second)
	if n := len(source.Stats().Requests); n > 0 {
		t.Errorf("%d kinds of requests although nothing is right", n)
	}
	fails(t, exitFailed, []string{"mapping: ", "none.txt"}, "pack", "--mapping", filepath.Join(tree, "none.txt"))
}

// TestOwnMapping feeds the mapping.txt that satchel writes to oc image mirror, as
// satchel reads it: everything comes to the same names again.
func TestOwnMapping(t *testing.T) {
	up := startRegistry(t, fixtures.Options{})
	c := newTreeRelease(t, fixtures.ReleaseSpec{
		Version: "4.12.0", Registry: up.Host(), Components: fewComponents(), Aliases: map[string]string{"tools": "cli"},
	})
	signature := fixtures.NewImage(fixtures.ImageSpec{Labels: map[string]string{"signature": "yes"}}).
		Named(c.Image.Repository, "sha256-"+c.Image.Root.Digest.Encoded()+".sig")
	app := fixtures.NewIndex(fixtures.NewImage(fixtures.ImageSpec{})).Named("team/app", "1")
	referrer := fixtures.NewArtifact("application/vnd.example.sbom", &app.Root, fixtures.NewBlob("text/plain", []byte("sbom"))).Named("team/app", "")
	if err := up.Add(append(c.Images, signature, app, referrer)...); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	said(t, "pack", "-o", dir, "--tls-verify=false", "--release-key", c.key, "--signature-store", c.store(t), "--release", c.Reference(), up.Host()+"/team/app:1")
	site := startRegistry(t, fixtures.Options{})
	mustSatchel(t, "unpack", dir, "--to", site.Host()+"/m", "--tls-verify=false", "--release-key", c.key)
	resources := t.TempDir()
	mustSatchel(t, "resources", dir, "--to", site.Host()+"/m", "-o", resources, "--release-key", c.key)
	mapping := filepath.Join(resources, "mapping.txt")
	if n := strings.Count(readDir(t, resources)["mapping.txt"], "\n"); n < len(c.Components)+4 {
		t.Fatalf("mapping.txt has %d lines", n)
	}
	again := t.TempDir()
	said(t, "pack", "-o", again, "--tls-verify=false", "--mapping", mapping)
	other := startRegistry(t, fixtures.Options{})
	mustSatchel(t, "unpack", again, "--to", other.Host(), "--tls-verify=false")
	want := make(map[string]digest.Digest)
	for repository, tags := range site.Digests() {
		for tag, d := range tags {
			if !strings.HasPrefix(tag, "sha256:") {
				want[repository+":"+tag] = d
			}
		}
	}
	wantTags(t, other, want)
}
