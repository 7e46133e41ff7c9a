package catalog_test

import (
	"testing"

	"satchel/oci/catalog"
)

func TestIgnored(t *testing.T) {
	tests := []struct {
		directory, patterns, name string
		want                      bool
	}{
		{".", "*.md", "README.md", true},
		{".", "*.md", "a/b/README.md", true},
		{".", "*.md", "README.md.json", false},
		{".", "# *.md\n\n  \n", "# *.md", false},
		{".", " README ", "README", true},
		{".", "docs", "docs/a.json", true},
		{".", "docs", "a/docs/b/c.json", true},
		{".", "docs/", "docs/a.json", true},
		{".", "docs/", "docs", false},
		{".", "/docs", "docs/a.json", true},
		{".", "/docs", "a/docs/a.json", false},
		{".", "a/docs", "a/docs/x", true},
		{".", "a/docs", "b/a/docs/x", false},
		{".", "a/*.json", "a/x.json", true},
		{".", "a/*.json", "a/b/x.json", false},
		{".", "a/**/x", "a/x", true},
		{".", "a/**/x", "a/b/c/x", true},
		{".", "a/**/x", "a/b/c/y", false},
		{".", "**/x", "x", true},
		{".", "**/x", "a/b/x/y", true},
		{".", "a/**", "a/b", true},
		{".", "a/**", "a", false},
		{".", "**", "a", true},
		{".", "/**", "a/b", true},
		{".", "[ab].json", "b.json", true},
		{".", "[ab.json", "[ab.json", false},
		{".", "*.json\n!keep.json", "keep.json", false},
		{".", "*.json\n!keep.json", "a/other.json", true},
		{".", "!keep.json\n*.json", "keep.json", true},
		{".", "docs/\n!docs/keep", "docs/keep", false},
		{"a", "*.md", "a/b/x.md", true},
		{"a", "*.md", "x.md", false},
		{"a", "*.md", "ab/x.md", false},
		{"a/b", "/x", "a/b/x", true},
		{"a/b", "/x", "a/x", false},
	}
	for _, test := range tests {
		if got := catalog.Ignored(test.directory, test.patterns, test.name); got != test.want {
			t.Errorf("%q in %q: %q: got %t", test.patterns, test.directory, test.name, got)
		}
	}
}

// TestIgnoredDeeper lets patterns further down decide.
func TestIgnoredDeeper(t *testing.T) {
	c := read(t, files(
		".indexignore", "*.json\n!/a/b/one.json\n", "a/.indexignore", "!two.json\none.json\n", "-/.indexignore", "!x.json",
		"a/b/one.json", "x", "a/two.json", pkg("etcd", "stable: 1.0.0"), "three.json", "{", "-/x.json", pkg("odf", "stable: 1.0.0"),
	))
	if len(c.Packages) != 2 || c.Packages[0].Name != "etcd" || c.Packages[1].Name != "odf" {
		t.Errorf("%+v", c.Packages)
	}
}
