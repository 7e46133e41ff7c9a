package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blang/semver/v4"

	"satchel/fixtures"
	"satchel/oci/catalog"
)

// TestCatalogJudge lets operator-registry's own code judge what fixtures builds and
// what this program refuses.
func TestCatalogJudge(t *testing.T) {
	program := catalogJudge(t)
	for format := fixtures.CatalogJSON; format <= fixtures.CatalogOneFile; format++ {
		c := fixtures.NewCatalog(fixtures.CatalogSpec{
			Packages: fixtures.DemoOperators(), Format: format, Others: []fixtures.CatalogOther{{Schema: "example.extra", Name: "extra"}},
		})
		read := judge(t, program, catalogDir(t, c.Configs), c, selected{
			"alpha": {"stable": {"alpha.v1.0.0", "alpha.v1.1.0", "alpha.v1.2.0"}, "candidate": {"alpha.v1.2.0", "alpha.v2.0.0"}},
			"beta":  {"stable": {"beta.v0.9.0", "beta.v0.9.1", "beta.v1.0.0"}},
			"gamma": {"stable": {"gamma.v3.1.4"}},
		})
		alpha := read.Packages[0]
		if len(read.Others) != 1 || alpha.Deprecated || !alpha.Channels[0].Deprecated || !alpha.Bundles[0].Deprecated || alpha.Channels[1].Head != "alpha.v1.2.0" {
			t.Errorf("format %d: got %+v, %+v", format, read.Others, alpha)
		}
	}
	type entry = fixtures.CatalogEntry
	for want, packages := range map[string][]fixtures.CatalogPackage{
		"multiple channel heads found": chainOf("alpha", entry{Name: "alpha.v1.0.0"}, entry{Name: "alpha.v1.1.0"}),
		"no channel head found":        chainOf("alpha", entry{Name: "alpha.v1.0.0", Replaces: "alpha.v1.1.0"}, entry{Name: "alpha.v1.1.0", Replaces: "alpha.v1.0.0"}),
		"detected cycle": chainOf("alpha", entry{Name: "alpha.v2.0.0", Replaces: "alpha.v1.1.0"},
			entry{Name: "alpha.v1.0.0", Replaces: "alpha.v1.1.0"}, entry{Name: "alpha.v1.1.0", Replaces: "alpha.v1.0.0"}),
	} {
		dir := catalogDir(t, fixtures.NewCatalog(fixtures.CatalogSpec{Packages: packages}).Configs)
		if _, err := fixtures.JudgeCatalog(t.Context(), program, dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if read := readCatalogDir(t, dir); len(read.Check()) == 0 {
			t.Errorf("satchel finds nothing wrong with %q", want)
		}
	}
}

func catalogDir(t *testing.T, files []fixtures.File) string {
	t.Helper()
	dir := t.TempDir()
	for _, f := range files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, name, f.Content)
	}
	return dir
}

func readCatalogDir(t *testing.T, dir string) *catalog.Catalog {
	t.Helper()
	read, err := catalog.Read(t.Context(), catalog.FS(os.DirFS(dir)))
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// TestRealCatalogsJudged compares what satchel makes of real catalogs with the
// judgement of operator-registry's own code: what is wrong with them as they are, the
// heads of all of their channels, and the upper half of all versions.
func TestRealCatalogsJudged(t *testing.T) {
	program := catalogJudge(t)
	const data = "../../../shared/data/catalogs"
	for _, name := range []string{
		"cert-manager/v4.16", "lightspeed/lightspeed-catalog-4.16", "lightspeed/lightspeed-catalog.index.yaml", "bpfman/released.yaml",
		"bpfman/y-stream.yaml", "bpfman/z-stream.yaml", "openshift-pipelines/v4.22.next.catalog.json", "rhtas-operator/v4.21.catalog.json",
		"oc-testdata/test-declcfg.index.yaml",
	} {
		t.Run(name, func(t *testing.T) {
			from := filepath.Join(data, filepath.FromSlash(name))
			info, err := os.Stat(from)
			fixtures.CheckShared(t, err)
			dir := from
			if !info.IsDir() {
				content, err := os.ReadFile(from)
				if err != nil {
					t.Fatal(err)
				}
				dir = catalogDir(t, []fixtures.File{{Name: filepath.Base(from), Content: content}})
			}
			c := readCatalogDir(t, dir)
			problems := c.Check()
			if _, err := fixtures.JudgeCatalog(t.Context(), program, dir); (err != nil) != (len(problems) > 0) {
				t.Errorf("satchel finds %v, operator-registry %v", problems, err)
			}
			var heads, upper catalog.Request
			for _, p := range c.Packages {
				if slices.ContainsFunc(problems, func(x catalog.Problem) bool { return x.Package == p.Name }) {
					continue
				}
				heads.Packages = append(heads.Packages, catalog.PackageRequest{Name: p.Name})
				upper.Packages = append(upper.Packages, catalog.PackageRequest{Name: p.Name, Min: middle(t, p)})
			}
			if len(heads.Packages) == 0 { // nothing can be selected from what is wrong already
				return
			}
			for _, r := range []catalog.Request{heads, upper} {
				judgeSelection(t, program, dir, c, r)
			}
		})
	}
}

// middle is the version of a package that as many are below as above.
func middle(t *testing.T, p catalog.Package) string {
	t.Helper()
	var versions []semver.Version
	for _, b := range p.Bundles {
		v, err := semver.Parse(b.Version)
		if err != nil {
			t.Fatal(err)
		}
		versions = append(versions, v)
	}
	semver.Sort(versions)
	return versions[len(versions)/2].String()
}

// judgeSelection writes a selection and wants that operator-registry reads in it the
// channels that satchel says.
func judgeSelection(t *testing.T, program, from string, c *catalog.Catalog, r catalog.Request) {
	t.Helper()
	s, err := c.Select(r)
	if err != nil {
		t.Fatalf("%s: %v", r, err)
	}
	var written strings.Builder
	if err := s.Write(t.Context(), &written, catalog.FS(os.DirFS(from))); err != nil {
		t.Fatal(err)
	}
	read, err := fixtures.JudgeCatalog(t.Context(), program, catalogDir(t, []fixtures.File{{Name: "catalog.json", Content: []byte(written.String())}}))
	if err != nil {
		t.Errorf("%s: %v", r, err)
		return
	}
	got, want := make(map[string][]string), make(map[string][]string)
	for _, p := range read.Packages {
		for _, channel := range p.Channels {
			for _, e := range channel.Entries {
				got[p.Name+" "+channel.Name] = append(got[p.Name+" "+channel.Name], e.Name)
			}
		}
	}
	for _, p := range s.Packages {
		for _, channel := range p.Channels {
			for _, e := range channel.Entries {
				want[p.Name+" "+channel.Name] = append(want[p.Name+" "+channel.Name], e.Name)
			}
			slices.Sort(want[p.Name+" "+channel.Name])
		}
	}
	if !maps.EqualFunc(got, want, slices.Equal) || len(got) == 0 {
		t.Errorf("%s: operator-registry reads %v, satchel selected %v", r, got, want)
	}
}
