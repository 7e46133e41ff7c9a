package main

import (
	"slices"
	"strings"
	"testing"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
)

// TestCatalogPlatforms chooses platforms: of the catalog image, not of what its
// operators need.
func TestCatalogPlatforms(t *testing.T) {
	upstream := startRegistry(t, fixtures.Options{})
	c := fixtures.NewCatalog(fixtures.CatalogSpec{
		Registry: upstream.Host(), Architectures: []string{"amd64", "arm64", "s390x"},
		Packages: []fixtures.CatalogPackage{fixtures.CatalogChain("alpha", "1.0.0", "1.1.0")},
	})
	if err := upstream.Add(c.Images...); err != nil {
		t.Fatal(err)
	}
	plan := func(arguments ...string) (*bundle.Plan, string) {
		return dryPlan(t, append([]string{"pack", "--tls-verify=false"}, arguments...)...)
	}
	for _, test := range []struct {
		name      string
		arguments []string
		index     bool
		platforms []string
	}{
		{"all", []string{"--catalog", c.Reference() + "=alpha"}, true, []string{"linux/amd64", "linux/arm64", "linux/s390x"}},
		{"one", []string{"--catalog", c.Reference() + "=alpha", "--platform", "linux/arm64"}, false, []string{"linux/arm64"}},
		{"two", []string{"--catalog", c.Reference() + "=alpha", "--platform", "linux/arm64,linux/amd64"}, true, []string{"linux/amd64", "linux/arm64"}},
		{"one, as it is", []string{"--catalog", c.Reference() + "=alpha", "--platform", "linux/arm64", "--catalog-as-is"}, false, []string{"linux/arm64"}},
	} {
		p, stderr := plan(test.arguments...)
		if p == nil {
			t.Errorf("%s: %s", test.name, stderr)
			continue
		}
		image := p.Images[0]
		if image.Part != bundle.PartCatalog || oci.IsIndex(image.Root.MediaType) != test.index || test.index && !slices.Equal(image.Platforms, test.platforms) {
			t.Errorf("%s: the catalog is %+v", test.name, image)
		}
		lists := 0
		for _, other := range p.Images[1:] {
			if oci.IsIndex(other.Root.MediaType) && slices.Equal(other.Platforms, []string{"linux/amd64", "linux/arm64", "linux/s390x"}) {
				lists++
			}
		}
		if lists != 1 {
			t.Errorf("%s: %d related images keep their lists in\n%+v", test.name, lists, p.Images)
		}
	}
	if p, stderr := plan("--catalog", c.Reference()+"=alpha", "--platform", "linux/ppc64le"); p != nil || !strings.Contains(stderr, "no platform linux/ppc64le, but linux/amd64, linux/arm64, linux/s390x") {
		t.Errorf("a platform that it does not have: %s", stderr)
	}
}
