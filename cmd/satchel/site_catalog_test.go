package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestNamesOfCatalogs: two catalogs of one name both get their resources, under names that
// tell them apart; a target that was asked for is in the name.
func TestNamesOfCatalogs(t *testing.T) {
	c := newConfigured(t)
	if err := c.upstream.Add(c.catalog.Image.Named("corp/operator-index", "v4.18")); err != nil {
		t.Fatal(err)
	}
	hash := regexp.MustCompile(`-[0-9a-f]{8}\.`)
	const other = ", {catalog: 'HOST/corp/operator-index:v4.18', packages: [{name: beta}]}"
	for _, test := range []struct{ target, more, want string }{
		{"", "", "operator-index-v4-18."},
		{"targetCatalog: mine/filtered, targetTag: v9", "", "filtered-v9."},
		{"", other, "operator-index-v4-18-#. operator-index-v4-18-#."},
		{"targetTag: v9", other, "operator-index-v4-18. operator-index-v9."},
	} {
		config := c.file(t, "mirror: {operators: [{catalog: 'HOST/olm/operator-index:v4.18', packages: [{name: alpha}], "+test.target+"}"+test.more+"]}")
		dir := t.TempDir()
		mustSatchel(t, c.source.command("pack", "--dry-run", "--config", config, "--to", "site.example", "--resources", dir)...)
		var sources, clusters []string
		for name := range readDir(t, dir) {
			name = strings.TrimSuffix(hash.ReplaceAllString(name, "-#."), "yaml")
			if rest, ok := strings.CutPrefix(name, "catalogSource-cs-"); ok {
				sources = append(sources, rest)
			} else if rest, ok := strings.CutPrefix(name, "clusterCatalog-cc-"); ok {
				clusters = append(clusters, rest)
			}
		}
		slices.Sort(sources)
		slices.Sort(clusters)
		if got := strings.Join(sources, " "); got != test.want || !slices.Equal(sources, clusters) {
			t.Errorf("%s%s: CatalogSources %q, ClusterCatalogs %q, want %s", test.target, test.more, sources, clusters, test.want)
		}
	}
}
