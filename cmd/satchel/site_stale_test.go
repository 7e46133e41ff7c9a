package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"satchel/fixtures"
)

// TestStaleResources: what an earlier run wrote of the same bundle goes, and nothing else
// does.
func TestStaleResources(t *testing.T) {
	image := fixtures.Demo(1000, 1000)[0].Named("team/web", "1")
	source := startRegistry(t, fixtures.Options{}, image)
	media, dir := t.TempDir(), filepath.Join(t.TempDir(), "site")
	mustSatchel(t, "pack", "--tls-verify=false", "-o", media, "--name", "b", source.Host()+"/team/web:1")
	resources := func(flags ...string) string {
		t.Helper()
		return mustSatchel(t, append([]string{"resources", media, "--to", "site.example", "-o", dir}, flags...)...)
	}
	put := func(name string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	put("catalogSource-cs-of-another-v1.yaml")
	resources("--insecure-registry", "site.example")
	first := readDir(t, dir)
	if first["imageTagMirrorSet.yaml"] == "" || first["imageConfig-patch.yaml"] == "" || first["catalogSource-cs-of-another-v1.yaml"] == "" {
		t.Fatalf("no earlier run, or it removed what was there before: %v", first)
	}
	for _, name := range []string{"notes.yaml", "clusterCatalog-cc-gone-v1.yaml", "signature-sha256-0123456789abcdef.json"} {
		put(name)
	}
	if err := os.Symlink("notes.yaml", filepath.Join(dir, "imageDigestMirrorSet.yaml")); err != nil {
		t.Fatal(err)
	}
	status, _, stderr := satchel(t, "resources", media, "--to", "site.example", "-o", dir, "--mirror-set", "icsp")
	got := readDir(t, dir)
	if want := "removed from " + dir + ", of an earlier run: catalogSource-cs-of-another-v1.yaml, clusterCatalog-cc-gone-v1.yaml, imageConfig-patch.yaml, imageTagMirrorSet.yaml, node-registries.conf, signature-sha256-0123456789abcdef.json\n"; status != exitOK || !strings.Contains(stderr, want) {
		t.Errorf("status %d, said\n%s\nwant\n%s", status, stderr, want)
	}
	for _, name := range []string{"README.md", "mapping.txt", "registries.conf", "notes.yaml", "imageDigestMirrorSet.yaml"} {
		if got[name] == "" {
			t.Errorf("%s is gone", name)
		}
	}
	if got["imageTagMirrorSet.yaml"] != "" {
		t.Error("imageTagMirrorSet.yaml is still there")
	}
}
