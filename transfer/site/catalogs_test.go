package site_test

import (
	"slices"
	"strings"
	"testing"

	"satchel/transfer/site"
)

// TestCatalogNames: no two catalogs have one name, and what was asked for as name at the
// site is in it.
func TestCatalogNames(t *testing.T) {
	const to = "mirror.example:5000/site"
	at := func(source, place string, placed bool) site.Catalog {
		repository, tag, _ := strings.Cut(place, ":")
		return site.Catalog{Source: reference(t, source), Digest: digestOf(source), Repository: to + "/" + repository, Tag: tag, Configs: "/configs", Placed: placed}
	}
	one := at("a.io/x/index:v1", "x/index:v1", false)
	two := at("b.io/y/index:v1", "y/index:v1", false)
	long := strings.Repeat("long", 20)
	for _, test := range []struct {
		name     string
		catalogs []site.Catalog
		want     []string // "#" stands for a hash
	}{
		{"one", []site.Catalog{one}, []string{"index-v1"}},
		{"two of one name", []site.Catalog{one, two}, []string{"index-v1-#", "index-v1-#"}},
		{"two of one name, and one of its own", []site.Catalog{one, at("c.io/index:v2", "index:v2", false), two}, []string{"index-v1-#", "index-v1-#", "index-v2"}},
		{"one was placed elsewhere", []site.Catalog{one, at("b.io/y/index:v1", "y/filtered:v3", true)}, []string{"filtered-v3", "index-v1"}},
		{"placed beside another", []site.Catalog{one, at("b.io/z:v7", "y/index:v1", true)}, []string{"index-v1-#", "index-v1-#"}},
		{"one image by two names", []site.Catalog{at("a.io/x:v1", "y/index:v1", true), at("b.io/z:v7", "y/index:v1", true)}, []string{"index-v1"}},
		{"names that are cut", []site.Catalog{at("a.io/"+long+":1", long+":1", false), at("a.io/"+long+":2", long+":2", false)},
			[]string{long[:51] + "-#", long[:51] + "-#"}},
	} {
		b := newBundle("b")
		b.Catalogs = test.catalogs
		files := render(t, b, site.Options{})
		for _, kind := range []string{"catalogSource-cs-", "clusterCatalog-cc-"} {
			var got []string
			for name := range files {
				rest, ok := strings.CutPrefix(name, kind)
				if !ok {
					continue
				}
				rest = strings.TrimSuffix(rest, ".yaml")
				if len(rest) > 60 || !site.IsFile(name) {
					t.Errorf("%s: %s", test.name, name)
				}
				if i := strings.LastIndexByte(rest, '-'); len(rest)-i == len("-01234567") {
					rest = rest[:i] + "-#"
				}
				got = append(got, rest)
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("%s: %s%q, want %q", test.name, kind, got, test.want)
			}
		}
	}
}

// TestOwnFiles: every file is known as one, and others are not.
func TestOwnFiles(t *testing.T) {
	for _, c := range goldenCases(t) {
		for name := range render(t, c.bundle, c.o) {
			if !site.IsFile(name) {
				t.Errorf("%s/%s is not known", c.dir, name)
			}
		}
	}
	for _, name := range []string{"", "notes.yaml", "catalogSource-own.yaml", "clusterCatalog-x.yaml", "signature-sha256-1.json", "imageTagMirrorSet.yaml.bak", "catalogSource-cs-x.yaml.orig"} {
		if site.IsFile(name) {
			t.Errorf("%q counts as ours", name)
		}
	}
}
