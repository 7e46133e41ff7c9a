package main

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"satchel/bundle"
	"satchel/fixtures"
)

// chainOf returns a package with one channel of the entries, each with a bundle.
func chainOf(name string, entries ...fixtures.CatalogEntry) []fixtures.CatalogPackage {
	var versions []string
	for _, e := range entries {
		versions = append(versions, strings.TrimPrefix(e.Name, name+".v"))
	}
	p := fixtures.CatalogChain(name, versions...)
	p.Channels[0].Entries = entries
	return []fixtures.CatalogPackage{p}
}

// TestCatalogRefused packs catalogs of which nothing can be made: each ends with a
// clear error, and nothing is on the medium.
func TestCatalogRefused(t *testing.T) {
	type entry = fixtures.CatalogEntry
	gone := fixtures.CatalogChain("alpha", "1.0.0")
	gone.Bundles[0].Related = []fixtures.CatalogImage{{Name: "gone", Image: "REGISTRY/gone/gone:v1"}}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for i := range 12 {
		at, before := string(rune('b'+i)), string(rune('a'+i))
		bomb += at + ": &" + at + " [" + strings.TrimSuffix(strings.Repeat("*"+before+",", 9), ",") + "]\n"
	}
	for _, test := range []struct {
		name     string
		packages []fixtures.CatalogPackage
		files    []fixtures.File
		request  string
		want     []string
	}{
		{"a missing image", []fixtures.CatalogPackage{gone}, nil, "alpha", []string{"/gone/gone:v1", "alpha"}},
		{"a cyclic channel", chainOf("alpha", entry{Name: "alpha.v1.0.0", Replaces: "alpha.v1.1.0"}, entry{Name: "alpha.v1.1.0", Replaces: "alpha.v1.0.0"}),
			nil, "alpha:stable:1.0.0", []string{`"alpha"`, `"stable"`}},
		{"a cycle below a head", chainOf("alpha", entry{Name: "alpha.v2.0.0", Replaces: "alpha.v1.1.0"}, entry{Name: "alpha.v1.0.0", Replaces: "alpha.v1.1.0"},
			entry{Name: "alpha.v1.1.0", Replaces: "alpha.v1.0.0"}), nil, "alpha:stable:1.0.0", []string{`"alpha"`, `"stable"`}},
		{"two heads", chainOf("alpha", entry{Name: "alpha.v1.0.0"}, entry{Name: "alpha.v1.1.0"}),
			nil, "alpha", []string{`"alpha"`, `"stable"`, "alpha.v1.0.0", "alpha.v1.1.0"}},
		{"an empty selection", nil, nil, "alpha:stable:9.0.0..10.0.0", []string{`"alpha"`, `"stable"`, "9.0.0"}},
		{"an unknown package", nil, nil, "alpka", []string{`"alpka"`, "alpha"}},
		{"an unknown channel", nil, nil, "alpha:fast", []string{`"fast"`, "choose one of"}},
		{"a YAML bomb", nil, []fixtures.File{{Name: "bomb.yaml", Content: []byte(bomb)}}, "gamma", []string{"bomb.yaml"}},
		{"no document", nil, []fixtures.File{{Name: "notes.txt", Content: []byte("not a document\n")}}, "gamma", []string{"notes.txt"}},
		{"a document cut short", nil, []fixtures.File{{Name: "cut.json", Content: []byte(`{"schema":"olm.package","name":`)}}, "gamma", []string{"cut.json"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := startRegistry(t, fixtures.Options{})
			spec := fixtures.CatalogSpec{Registry: r.Host(), Packages: test.packages, Files: test.files}
			if spec.Packages == nil {
				spec.Packages = fixtures.DemoOperators()
			}
			for _, p := range spec.Packages {
				for i := range p.Bundles {
					for j := range p.Bundles[i].Related {
						related := &p.Bundles[i].Related[j]
						related.Image = strings.Replace(related.Image, "REGISTRY", r.Host(), 1)
					}
				}
			}
			c := fixtures.NewCatalog(spec)
			if err := r.Add(c.Images...); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			stderr := fails(t, exitFailed, append(test.want, c.Reference()), "pack", "--tls-verify=false", "-o", dir, "--catalog", c.Reference()+"="+test.request)
			if lines := strings.Count(stderr, "\n"); lines > 8 || len(stderr) > 2000 {
				t.Errorf("an error of %d lines and %d bytes:\n%s", lines, len(stderr), stderr)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%d files are on the medium, %v", len(left), err)
			}
		})
	}
}

// A database that is broken is no catalog, and none of it can be selected.
func TestCatalogDatabaseRefused(t *testing.T) {
	c := fixtures.NewCatalog(fixtures.CatalogSpec{Packages: fixtures.DemoOperators()})
	whole := fixtures.NewCatalogDatabase(c.Packages)
	for _, test := range []struct {
		name, request string
		database      []byte
		want          []string
	}{
		{"cut short", "", whole[:len(whole)/2], []string{"database", "index.db"}},
		{"without its end", "", whole[:len(whole)-1], []string{"database", "index.db"}},
		{"a few bytes", "", whole[:50], []string{"database", "index.db"}},
		{"empty", "", nil, []string{"database", "index.db"}},
		{"a selection", "=alpha", whole, []string{"SQLite", "whole"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := startRegistry(t, fixtures.Options{}, c.WithDatabase(test.database).Image)
			dir := t.TempDir()
			name := source.Host() + "/" + c.Image.Reference()
			fails(t, exitFailed, append(test.want, name), "pack", "--tls-verify=false", "-o", dir, "--catalog", name+test.request)
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%d files are on the medium, %v", len(left), err)
			}
		})
	}
}

// What the source lacks may be left out: the bundle says so, and who needs it.
func TestCatalogSkipsMissing(t *testing.T) {
	source, c := operatorCatalog(t, fixtures.CatalogSpec{})
	var lost []string
	for _, name := range []string{"alpha.v1.2.0", "gamma.v3.1.4"} {
		image := c.Bundle(name).Related[0].Image
		lost = append(lost, image)
		source.Remove(c.ImageOf(image).Repository, c.ImageOf(image).Root.Digest.String())
	}
	dir := t.TempDir()
	args := []string{"pack", "--tls-verify=false", "-o", dir, "--catalog", c.Reference() + "=" + alphaAndGamma}
	fails(t, exitFailed, append(lost, "alpha", "gamma"), args...)
	fails(t, exitMissing, lost, append(args, "--skip-missing")...)
	missing := readInventory(t, dir).Missing
	for i, operator := range []string{"alpha", "gamma"} {
		if !slices.ContainsFunc(missing, func(m bundle.Missing) bool { return m.Image == lost[i] && strings.Contains(m.Reason, operator) }) {
			t.Errorf("the inventory says %+v", missing)
		}
	}
	site := startRegistry(t, fixtures.Options{})
	fails(t, exitMissing, nil, "unpack", dir, "--tls-verify=false", "--to", site.Host()+"/m")
	if site.Digests()["m/gamma/gamma-bundle"] == nil || site.Digests()["m/"+c.Image.Repository][c.Image.Tag] == "" {
		t.Errorf("the rest is not there: %v", site.Digests())
	}
}

// vast is a tar with one file whose size is claimed, and holds: a JSON string that
// has no end for a gigabyte.
type vast struct{ header []byte }

const vastSize = 1 << 30

func newVast(t testing.TB, name string) vast {
	t.Helper()
	var b bytes.Buffer
	if err := tar.NewWriter(&b).WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: vastSize, Mode: 0o644, Format: tar.FormatUSTAR}); err != nil {
		t.Fatal(err)
	}
	b.WriteString(`{"schema":"olm.package","name":"`)
	return vast{b.Bytes()}
}

func (v vast) ReadAt(p []byte, off int64) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	if off < int64(len(v.header)) {
		copy(p, v.header[off:])
	}
	if end := 512 + vastSize - off; end < int64(len(p)) { // the end of the tar
		clear(p[max(end, 0):])
	}
	return len(p), nil
}

// TestCatalogVast lets a catalog have a document of 1 GB, and claim one that is not
// there: satchel says so at once and in little memory.
func TestCatalogVast(t *testing.T) {
	if testing.Short() || runtime.GOOS != "linux" || raceDetector {
		t.Skip("-short, not Linux, or the race detector: reads peak memory as Linux counts it")
	}
	satchel := binary(t)
	v := newVast(t, "configs/vast.json")
	layers := map[string]fixtures.Layer{}
	for name, content := range map[string]fixtures.Content{
		"a document of 1 GB": fixtures.NewContent(ispec.MediaTypeImageLayer, v, 512+vastSize+1024),
		"a claim of 1 GB":    fixtures.NewContent(ispec.MediaTypeImageLayer, bytes.NewReader(v.header), int64(len(v.header))),
	} {
		layers[name] = fixtures.Layer{Content: content, DiffID: content.Descriptor.Digest}
	}
	for name, layer := range layers {
		t.Run(name, func(t *testing.T) {
			image := fixtures.NewImage(fixtures.ImageSpec{
				Layers: []fixtures.Layer{layer}, Labels: map[string]string{"operators.operatorframework.io.index.configs.v1": "/configs"},
			}).Named("olm/vast", "v1")
			source := startRegistry(t, fixtures.Options{}, image)
			dir, said := t.TempDir(), filepath.Join(t.TempDir(), "said")
			// The shell makes a success of the failure that is wanted.
			got := peak(t, need(t, "sh"), "-c", `said=$1; shift; "$@" >"$said" 2>&1; test $? = 1`, "sh", said,
				satchel, "pack", "--tls-verify=false", "-o", dir, "--catalog", source.Host()+"/olm/vast:v1=alpha")
			stderr, err := os.ReadFile(said)
			if err != nil || !strings.Contains(string(stderr), "olm/vast:v1: ") {
				t.Errorf("%s, %v", stderr, err)
			}
			t.Logf("%d MiB at most: %s", got>>20, stderr)
			if got > 200<<20 {
				t.Errorf("%d bytes of memory", got)
			}
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("%d files are on the medium, %v", len(left), err)
			}
		})
	}
}
