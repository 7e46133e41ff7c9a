package site_test

import (
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"satchel/transfer/site"
)

var update = flag.Bool("update", false, "write the golden files anew")

type goldenCase struct {
	dir    string
	bundle site.Bundle
	o      site.Options
}

func goldenCases(t testing.TB) []goldenCase {
	full := newBundle("ocp-4.99")
	addRelease(t, &full, "4.99.1", "amd64", twoRepositories)
	addRelease(t, &full, "4.99.10", "amd64", twoRepositories)
	addImages(t, &full)

	older := newBundle("Older_4.9")
	addRelease(t, &older, "4.9.99", "amd64", oneRepository)
	addRelease(t, &older, "4.9.99", "multi", oneRepository)
	addImages(t, &older)

	unsigned := newBundle("test")
	addRelease(t, &unsigned, "4.99.2", "amd64", twoRepositories)
	unsigned.Images = unsigned.Images[:len(unsigned.Images)-1] // without .sig
	unsigned.Releases[0].Signatures = nil
	unsigned.Releases[0].Unsigned = "no store has a signature of it"

	images := newBundle("tools")
	addImages(t, &images)

	catalogs := newBundle("operators")
	addImages(t, &catalogs)
	catalogs.Catalogs = []site.Catalog{
		{
			Source: reference(t, "registry.example/redhat/redhat-operator-index:v4.18"), Digest: digestOf("filtered"),
			Repository: catalogs.To + "/redhat/redhat-operator-index", Tag: "v4.18", Configs: "/configs", Packages: []string{"cert-manager", "pipelines"},
		},
		{
			Source: reference(t, "registry.example/org/own_catalog@"+string(digestOf("own"))), Digest: digestOf("own"),
			Repository: catalogs.To + "/org/own", Tag: "digest-" + digestOf("own").Encoded(), Extract: true, Configs: "/configs", Unchanged: true,
		},
		{
			Source: reference(t, "registry.example/org/database:v1"), Digest: digestOf("database"),
			Repository: catalogs.To + "/other/chosen", Tag: "v2", Placed: true, Unchanged: true,
		},
	}

	return append(configCases(t), []goldenCase{
		{"catalogs", catalogs, site.Options{}},
		{"releases", full, site.Options{AlsoMirror: []string{"second.example/mirror", "third.example"}}},
		{"older", older, site.Options{MirrorSets: site.Both}},
		{"unsigned", unsigned, site.Options{MirrorSets: site.ICSP}},
		{"images", images, site.Options{}},
		{"never-contact-source", images, site.Options{NeverContactSource: true}},
		{"scope-namespace", images, site.Options{Scope: site.ScopeNamespace}},
		{"scope-registry", catalogs, site.Options{Scope: site.ScopeRegistry, MirrorSets: site.Both}},
	}...)
}

func TestGolden(t *testing.T) {
	for _, c := range goldenCases(t) {
		dir := filepath.Join("testdata", c.dir)
		got := render(t, c.bundle, c.o)
		if *update {
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, content := range got {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
			want, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			if got[e.Name()] != string(want) {
				t.Errorf("%s/%s differs from the golden file; -update writes it anew. Now:\n%s", dir, e.Name(), got[e.Name()])
			}
		}
		if made := slices.Sorted(maps.Keys(got)); !slices.Equal(made, names) {
			t.Errorf("%s: made %q, golden are %q", dir, made, names)
		}
	}
}

// TestOrder gives the same in other orders: nothing depends on them, and the
// caller's slices stay as they are.
func TestOrder(t *testing.T) {
	for _, c := range goldenCases(t) {
		want := render(t, c.bundle, c.o)
		random := rand.New(rand.NewPCG(1, 2))
		for range 8 {
			b := c.bundle
			b.Images, b.Releases = slices.Clone(b.Images), slices.Clone(b.Releases)
			random.Shuffle(len(b.Images), func(i, j int) { b.Images[i], b.Images[j] = b.Images[j], b.Images[i] })
			random.Shuffle(len(b.Releases), func(i, j int) { b.Releases[i], b.Releases[j] = b.Releases[j], b.Releases[i] })
			first := b.Images[0].Source
			if got := render(t, b, c.o); !maps.Equal(got, want) {
				for name := range want {
					if got[name] != want[name] {
						t.Fatalf("%s: %s in another order:\n%s", c.dir, name, got[name])
					}
				}
				t.Fatalf("%s: files %q in another order", c.dir, slices.Sorted(maps.Keys(got)))
			}
			if b.Images[0].Source != first {
				t.Fatal("the caller's images were sorted")
			}
		}
	}
}

// TestText: no tabs, no spaces at the end of lines, sources in order, and no
// mirror for what is unknown or lies there already.
func TestText(t *testing.T) {
	for _, c := range goldenCases(t) {
		for name, content := range render(t, c.bundle, c.o) {
			if name == "node-policy.json" {
				continue // byte for byte what the cluster makes
			}
			if strings.Contains(content, "\t") || strings.Contains(content, " \n") || strings.Contains(content, "<no value>") ||
				!strings.HasSuffix(content, "\n") || strings.HasSuffix(content, "\n\n") || strings.Contains(content, "\n\n\n") {
				t.Errorf("%s/%s: a tab, a space before a newline, a missing value or wrong blank lines:\n%s", c.dir, name, content)
			}
			if !strings.HasSuffix(name, ".yaml") || strings.HasPrefix(name, "install") || strings.HasPrefix(name, "c") || strings.Contains(name, "-patch") {
				continue
			}
			for _, r := range decode(t, content) {
				last := ""
				for _, e := range r.mirrors() {
					if e.Source <= last {
						t.Errorf("%s/%s: source %s after %s", c.dir, name, e.Source, last)
					}
					last = e.Source
					if strings.HasPrefix(e.Source, "localhost/") || strings.HasPrefix(e.Source, "file.invalid/") || slices.Contains(e.Mirrors, e.Source) {
						t.Errorf("%s/%s: source %s has mirrors %q", c.dir, name, e.Source, e.Mirrors)
					}
				}
				if last == "" {
					t.Errorf("%s/%s: a document without sources", c.dir, name)
				}
			}
		}
	}
}
