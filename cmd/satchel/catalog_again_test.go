package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"satchel/fixtures"
)

// operatorCatalog serves a catalog in memory.
func operatorCatalog(t testing.TB, spec fixtures.CatalogSpec) (*fixtures.Registry, fixtures.Catalog) {
	t.Helper()
	r := startRegistry(t, fixtures.Options{})
	spec.Registry = r.Host()
	if spec.Packages == nil {
		spec.Packages = fixtures.DemoOperators()
	}
	c := fixtures.NewCatalog(spec)
	if err := r.Add(c.Images...); err != nil {
		t.Fatal(err)
	}
	return r, c
}

// The same selection is the same bundle, to the byte; and any one of its volumes is
// made again, from the plan, after the tag of the catalog has moved on.
func TestCatalogAgain(t *testing.T) {
	large := fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{fixtures.OpaqueLayer("gamma", 700<<10)}}).Named("gamma/large", "v1")
	source := startRegistry(t, fixtures.Options{}, large)
	operators := fixtures.DemoOperators()
	operators[2].Bundles[0].Related = []fixtures.CatalogImage{{Name: "large", Image: source.Host() + "/" + large.Reference()}}
	c := fixtures.NewCatalog(fixtures.CatalogSpec{
		Registry: source.Host(), Packages: operators, Architectures: []string{"amd64", "arm64"}, OCI: true, Format: fixtures.CatalogSplit,
	})
	if err := source.Add(c.Images...); err != nil {
		t.Fatal(err)
	}
	pack := func(more ...string) string {
		dir := t.TempDir()
		mustSatchel(t, append([]string{"pack", "--tls-verify=false", "-o", dir}, more...)...)
		return dir
	}
	selection := c.Reference() + "=" + alphaAndGamma
	first := pack("--volume-size", "300KB", "--catalog", selection)
	second := pack("--volume-size", "300KB", "--catalog", selection)
	sameFiles(t, second, first)

	// Other operators, the same name; what it named before is there by its digest.
	moved := fixtures.NewCatalog(fixtures.CatalogSpec{
		Registry: source.Host(), Packages: []fixtures.CatalogPackage{fixtures.CatalogChain("alpha", "1.1.0", "7.0.0"), fixtures.CatalogChain("gamma", "4.0.0")},
	})
	if moved.Reference() != c.Reference() || moved.Image.Root.Digest == c.Image.Root.Digest {
		t.Fatal("the catalog did not move")
	}
	if err := source.Add(moved.Images...); err != nil {
		t.Fatal(err)
	}
	plan := glob(t, first, "*.plan.json")[0]
	volumes := glob(t, first, "*.tar.zst")
	if len(volumes) < 3 {
		t.Fatalf("%d volumes: too few to lose one", len(volumes))
	}
	for i, volume := range volumes {
		again := pack("--plan", plan, "--only-volumes", fmt.Sprint(i+1))
		made := glob(t, again, "*.tar.zst")
		if len(made) != 1 || filepath.Base(made[0]) != filepath.Base(volume) {
			t.Fatalf("volume %d: made %q", i+1, made)
		}
		want, err := os.ReadFile(volume)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(made[0]); err != nil || !slices.Equal(got, want) {
			t.Errorf("volume %d: other bytes than before, %v", i+1, err)
		}
	}
	// Named anew, it is what the tag says now.
	third := pack("--catalog", selection[:strings.Index(selection, "=")]+"=gamma")
	if got := planIn(t, third).Images; !strings.Contains(got[len(got)-1].Reference, "gamma") || planIn(t, third).Attached[0].Annotations["original"] != moved.Image.Root.Digest.String() {
		t.Errorf("got %v, %+v", names(planIn(t, third)), planIn(t, third).Attached)
	}
}
