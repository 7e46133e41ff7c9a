package catalog_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"satchel/fixtures"
	"satchel/oci/catalog"
)

// realData are files of others, for tests only.
const realData = "../../../shared/data/catalogs"

// realCatalogs are file-based catalogs among them, each below a directory of its
// own or one file.
var realCatalogs = []string{
	"cert-manager/v4.16", "lightspeed/lightspeed-catalog-4.16", "lightspeed/lightspeed-catalog.index.yaml",
	"bpfman/released.yaml", "bpfman/y-stream.yaml", "bpfman/z-stream.yaml",
	"openshift-pipelines/v4.22.next.catalog.json", "rhtas-operator/v4.21.catalog.json",
	"oc-testdata/test-declcfg.index.yaml",
}

// realFiles reads one of them; without them the test is skipped, or fails where
// nothing may be.
func realFiles(t testing.TB, name string) fstest.MapFS {
	t.Helper()
	root := filepath.Join(realData, filepath.FromSlash(name))
	files := make(fstest.MapFS)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files[filepath.Base(path)] = &fstest.MapFile{Data: content}
		return nil
	})
	fixtures.CheckShared(t, err)
	return files
}

// files makes a catalog of pairs of path and content.
func files(pairs ...string) fstest.MapFS {
	all := make(fstest.MapFS)
	for i := 0; i < len(pairs); i += 2 {
		all[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return all
}

// backwards is a source that hands out the files in the opposite order.
func backwards(all fstest.MapFS) catalog.Source {
	return func(_ context.Context, visit func(string, io.Reader) error) error {
		names := slices.Sorted(maps.Keys(all))
		slices.Reverse(names)
		for _, name := range names {
			if err := visit(name, bytes.NewReader(all[name].Data)); err != nil {
				return fmt.Errorf("in the layer: %w", err)
			}
		}
		return nil
	}
}

func read(t testing.TB, all fstest.MapFS) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Read(t.Context(), catalog.FS(all))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func choose(t testing.TB, c *catalog.Catalog, r catalog.Request) *catalog.Selection {
	t.Helper()
	s, err := c.Select(r)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func write(t testing.TB, s *catalog.Selection, all fstest.MapFS) string {
	t.Helper()
	var b bytes.Buffer
	if err := s.Write(t.Context(), &b, catalog.FS(all)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// wantError compares the text of an error with a part of it, "" for none.
func wantError(t testing.TB, err error, want string) {
	t.Helper()
	switch {
	case err == nil && want != "":
		t.Errorf("no error, want %q", want)
	case err != nil && (want == "" || !strings.Contains(err.Error(), want)):
		t.Errorf("error %q, want %q", err, want)
	}
}

// pkg makes the documents of a package in JSON. A channel is
// "NAME: ENTRY ENTRY", the first being the default channel; an entry is
// NAME[<REPLACES][-SKIP][-SKIP]; bundles are made of all entries, with their
// names as versions.
func pkg(name string, channels ...string) string {
	var b strings.Builder
	bundles := make(map[string]bool)
	for i, c := range channels {
		channel, list, _ := strings.Cut(c, ":")
		if i == 0 {
			fmt.Fprintf(&b, `{"schema":"olm.package","name":%q,"defaultChannel":%q}`+"\n", name, channel)
		}
		var entries []string
		for entry := range strings.FieldsSeq(list) {
			entry, skips, _ := strings.Cut(entry, "~")
			entry, replaces, _ := strings.Cut(entry, "<")
			e := fmt.Sprintf(`{"name":"%s.%s"`, name, entry)
			if replaces != "" {
				e += fmt.Sprintf(`,"replaces":"%s.%s"`, name, replaces)
			}
			if skips != "" {
				e += fmt.Sprintf(`,"skips":["%s.%s"]`, name, strings.Join(strings.Split(skips, "~"), `","`+name+"."))
			}
			entries = append(entries, e+"}")
			bundles[entry] = true
		}
		fmt.Fprintf(&b, `{"schema":"olm.channel","package":%q,"name":%q,"entries":[%s]}`+"\n", name, channel, strings.Join(entries, ","))
	}
	for _, version := range slices.Sorted(maps.Keys(bundles)) {
		b.WriteString(bundle(name, version))
	}
	return b.String()
}

// bundle makes an olm.bundle with further properties, as JSON.
func bundle(name, version string, properties ...string) string {
	properties = append([]string{fmt.Sprintf(`{"type":"olm.package","value":{"packageName":%q,"version":%q}}`, name, version)}, properties...)
	return fmt.Sprintf(`{"schema":"olm.bundle","package":%[1]q,"name":"%[1]s.%[2]s","image":"r.example/%[1]s-bundle:%[2]s",`+
		`"relatedImages":[{"name":"","image":"r.example/%[1]s:%[2]s"},{"name":"b","image":"r.example/%[1]s-bundle:%[2]s"},{"name":"none"}],"properties":[%[3]s]}`+"\n",
		name, version, strings.Join(properties, ","))
}

// entries lists what stays of the channels: "CHANNEL: ENTRY ENTRY", with the
// name of the package cut off.
func entries(p catalog.Package) []string {
	var all []string
	for _, c := range p.Channels {
		line := c.Name + ":"
		for _, e := range c.Entries {
			line += " " + strings.TrimPrefix(e.Name, p.Name+".")
		}
		all = append(all, line)
	}
	return all
}
