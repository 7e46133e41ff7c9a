package catalog_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"reflect"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/blang/semver/v4"
	"go.yaml.in/yaml/v3"

	"satchel/oci/catalog"
)

// plainly decodes a catalog with nothing but a decoder: by schema, the documents.
func plainly(t testing.TB, all fstest.MapFS) map[string][]map[string]any {
	t.Helper()
	documents := make(map[string][]map[string]any)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		data := all[name].Data
		decode := yaml.NewDecoder(bytes.NewReader(data)).Decode
		if bytes.HasPrefix(data, []byte("{")) {
			decode = json.NewDecoder(bytes.NewReader(data)).Decode
		}
		for {
			var d map[string]any
			if err := decode(&d); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			if d != nil {
				documents[d["schema"].(string)] = append(documents[d["schema"].(string)], d)
			}
		}
	}
	return documents
}

// plainImages are the images of decoded documents.
func plainImages(documents map[string][]map[string]any) []string {
	all := make(map[string]bool)
	for _, list := range documents {
		for _, d := range list {
			related, _ := d["relatedImages"].([]any)
			for _, r := range append(related, any(d)) {
				if image, _ := r.(map[string]any)["image"].(string); image != "" {
					all[image] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

func imageNames(s *catalog.Selection) []string {
	var all []string
	for _, i := range s.Images() {
		all = append(all, i.Reference)
	}
	return all
}

func TestReal(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: megabytes of real catalogs")
	}
	for _, name := range realCatalogs {
		t.Run(name, func(t *testing.T) {
			all := realFiles(t, name)
			c := read(t, all)
			t.Run("counts", func(t *testing.T) { compare(t, all, c) })
			t.Run("ranges", func(t *testing.T) { selectRanges(t, c) })
		})
	}
}

// compare counts what was read, and writes it again.
func compare(t *testing.T, all fstest.MapFS, c *catalog.Catalog) {
	plain := plainly(t, all)
	counts := map[string]int{catalog.SchemaPackage: len(c.Packages)}
	for _, p := range c.Packages {
		counts[catalog.SchemaChannel] += len(p.Channels)
		counts[catalog.SchemaBundle] += len(p.Bundles)
		for _, channel := range p.Channels {
			counts["entries"] += len(channel.Entries)
		}
		counts["deprecated"] += len(p.Deprecations)
	}
	for key, n := range counts {
		want := len(plain[key])
		switch key {
		case "entries", "deprecated":
			want = 0
			for _, d := range plain[map[string]string{"entries": catalog.SchemaChannel, "deprecated": catalog.SchemaDeprecations}[key]] {
				want += len(d["entries"].([]any))
			}
		}
		if n != want {
			t.Errorf("%d %s, want %d", n, key, want)
		}
	}
	if counts[catalog.SchemaBundle] == 0 {
		t.Error("no bundles")
	}
	whole := choose(t, c, catalog.Request{Full: true})
	if got, want := imageNames(whole), plainImages(plain); !slices.Equal(got, want) {
		t.Errorf("%d images, want %d", len(got), len(want))
	}
	size := 0
	for _, f := range all {
		size += len(f.Data)
	}
	if size > 1<<20 {
		return // the race detector makes it too slow
	}
	// All documents written and decoded are all documents.
	out := files("out.json", write(t, whole, all))
	written := plainly(t, out)
	for schema, list := range plain {
		if !reflect.DeepEqual(normal(t, list), normal(t, written[schema])) {
			t.Errorf("%s: documents written are not those read", schema)
		}
	}
	if again := read(t, out); !reflect.DeepEqual(again.Check(), c.Check()) || len(again.Packages) != len(c.Packages) {
		t.Error("read again, the catalog is another")
	}
}

// normal makes documents comparable whatever they were decoded from and in
// whatever order they came.
func normal(t testing.TB, list []map[string]any) []string {
	t.Helper()
	var all []string
	for _, d := range list {
		data, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(data))
	}
	slices.Sort(all)
	return all
}

// selectRanges selects every range between two versions of every package and
// judges what stays.
func selectRanges(t *testing.T, c *catalog.Catalog) {
	broken := make(map[string]bool)
	for _, p := range c.Check() {
		broken[p.Package] = true
		t.Log(p)
	}
	selected := 0
	for _, p := range c.Packages {
		if broken[p.Name] {
			continue
		}
		var versions []semver.Version
		for _, b := range p.Bundles {
			versions = append(versions, semver.MustParse(b.Version))
		}
		semver.Sort(versions)
		for i := range versions {
			for j := i; j < len(versions); j++ {
				r := catalog.Request{Packages: []catalog.PackageRequest{{Name: p.Name, Min: versions[i].String(), Max: versions[j].String()}}}
				s, err := c.Select(r)
				if err != nil {
					if s, err = selectWithDefault(c, r); err != nil {
						t.Log(err)
						continue
					}
				}
				selected++
				judge(t, c, s, versions[i], versions[j])
			}
		}
	}
	t.Logf("%d selections hold", selected)
}

// selectWithDefault tries each channel as the default one.
func selectWithDefault(c *catalog.Catalog, r catalog.Request) (s *catalog.Selection, err error) {
	p, _ := c.Package(r.Packages[0].Name)
	for _, channel := range p.Channels {
		r.Packages[0].DefaultChannel = channel.Name
		if s, err = c.Select(r); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// judge looks at a selection of one range of one package: it is valid, has all
// versions of the range that the channels have on their ways, and images of what
// stays alone.
func judge(t *testing.T, c *catalog.Catalog, s *catalog.Selection, low, high semver.Version) {
	t.Helper()
	p := s.Packages[0]
	from, _ := c.Package(p.Name)
	in := func(name string) bool {
		b, ok := from.Bundle(name)
		if !ok {
			return false
		}
		v := semver.MustParse(b.Version)
		return v.GTE(low) && v.LTE(high) && (len(v.Pre) == 0 || len(low.Pre)+len(high.Pre) > 0)
	}
	unreached := 0
	for _, channel := range p.Channels {
		heads, kept := 0, make(map[string]bool)
		incoming := make(map[string]bool)
		for _, e := range channel.Entries {
			kept[e.Name] = true
			for _, name := range append([]string{e.Replaces}, e.Skips...) {
				incoming[name] = true
			}
		}
		for name := range kept {
			if !incoming[name] {
				heads++
			}
		}
		if heads != 1 {
			t.Errorf("%s %s..%s: channel %s has %d heads", p.Name, low, high, channel.Name, heads)
		}
		original, _ := from.Channel(channel.Name)
		for _, e := range original.Entries {
			if in(e.Name) && !kept[e.Name] {
				unreached++
			}
		}
	}
	if unreached > 0 && len(s.Warnings) == 0 {
		t.Errorf("%s %s..%s: %d versions are left out without a word", p.Name, low, high, unreached)
	}
	images := make(map[string]bool)
	for _, b := range p.Bundles {
		for _, image := range append([]string{b.Image}, b.Related...) {
			images[image] = true
		}
	}
	if got := imageNames(s); len(got) != len(images) {
		t.Errorf("%s %s..%s: %d images, want %d", p.Name, low, high, len(got), len(images))
	}
}
