package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"satchel/fixtures"
)

// catalogCase is a catalog that is carried whole or in part.
type catalogCase struct {
	name    string
	spec    fixtures.CatalogSpec
	request string
	want    selected
}

// alphaAndGamma selects a range, and a head.
const alphaAndGamma = "alpha:stable:1.1.0..1.2.0,gamma"

func wantAlphaAndGamma() selected {
	return selected{"alpha": {"stable": {"alpha.v1.1.0", "alpha.v1.2.0"}}, "gamma": {"stable": {"gamma.v3.1.4"}}}
}

func catalogCases() []catalogCase {
	many := []string{"amd64", "arm64"}
	return []catalogCase{
		{"one architecture, Docker, JSON", fixtures.CatalogSpec{}, alphaAndGamma, wantAlphaAndGamma()},
		{"two architectures, OCI, split files", fixtures.CatalogSpec{Architectures: many, OCI: true, Format: fixtures.CatalogSplit}, alphaAndGamma, wantAlphaAndGamma()},
		{"two architectures, Docker, one file, scratch",
			fixtures.CatalogSpec{Architectures: many, Format: fixtures.CatalogOneFile, Scratch: true},
			"beta:stable:0.9.0..1.0.0,alpha:candidate,alpha:stable", selected{
				"alpha": {"candidate": {"alpha.v2.0.0"}, "stable": {"alpha.v1.2.0"}},
				"beta":  {"stable": {"beta.v0.9.0", "beta.v0.9.1", "beta.v1.0.0"}},
			}},
		{"one architecture, lists of images, YAML",
			fixtures.CatalogSpec{OCI: true, Format: fixtures.CatalogYAML, ImageArchitectures: []string{"amd64", "s390x"}},
			"gamma", selected{"gamma": {"stable": {"gamma.v3.1.4"}}}},
	}
}

// TestCatalogs carries catalogs between real registries: what was selected is pulled
// by its original names, and operator-registry's own code finds exactly that in the
// catalog at the site.
func TestCatalogs(t *testing.T) {
	v3, program := distribution(t), catalogJudge(t)
	onThisMachine(t)
	for _, test := range catalogCases() {
		t.Run(test.name, func(t *testing.T) {
			c, sites := test.carry(t, v3, func(c fixtures.Catalog) fixtures.Catalog { return c })
			for _, s := range sites {
				test.check(t, program, c, s)
			}
		})
	}
}

// TestCatalogDatabases carries catalogs that are an SQLite database, which is done
// whole: the image at the site is the image that was asked for.
func TestCatalogDatabases(t *testing.T) {
	v3 := distribution(t)
	onThisMachine(t)
	for _, test := range []catalogCase{
		{name: "one architecture"},
		{name: "two architectures, OCI", spec: fixtures.CatalogSpec{Architectures: []string{"amd64", "arm64"}, OCI: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.want = selected{"all": {"": {
				"alpha.v1.0.0", "alpha.v1.1.0", "alpha.v1.2.0", "alpha.v2.0.0", "beta.v0.9.0", "beta.v0.9.1", "beta.v1.0.0", "gamma.v3.1.4",
			}}}
			c, sites := test.carry(t, v3, func(c fixtures.Catalog) fixtures.Catalog {
				return c.WithDatabase(fixtures.NewCatalogDatabase(c.Packages))
			})
			for _, s := range sites {
				test.checkImages(t, c, s)
				test.checkCatalogSource(t, s.resources, s.catalog)
				if made, err := filepath.Glob(filepath.Join(s.resources, "clusterCatalog-*")); err != nil || len(made) > 0 {
					t.Errorf("OLM v1 does not read a database, and has %q, %v", made, err)
				}
				raw := execute(t, "", need(t, "skopeo"), "inspect", "--tls-verify=false", "--raw", "docker://"+s.catalog)
				if want := rootBytes(t, c.Image); !bytes.Equal(raw, want) {
					t.Errorf("%s: another manifest than that of the source", s.catalog)
				}
				p := pullFiles(t, s.catalog, "amd64")
				if got, err := os.ReadFile(filepath.Join(p.root, "database", "index.db")); err != nil || !bytes.Equal(got, fixtures.NewCatalogDatabase(c.Packages)) {
					t.Errorf("%s: another database, %v", s.catalog, err)
				}
			}
		})
	}
}

// onThisMachine lets nobody be asked beyond it.
func onThisMachine(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
}

// catalogSite is where a catalog arrived: what satchel wrote for it, and the name of
// the catalog there.
type catalogSite struct {
	*fixtures.Process
	resources, catalog string
}

// carry packs, carries and unpacks a catalog, copies it too, and ends the registry
// from which it came.
func (test catalogCase) carry(t *testing.T, v3 string, edit func(fixtures.Catalog) fixtures.Catalog) (fixtures.Catalog, []catalogSite) {
	t.Helper()
	source := startProcess(t, v3)
	test.spec.Registry, test.spec.Packages = source.Addr(), fixtures.DemoOperators()
	c := edit(fixtures.NewCatalog(test.spec))
	if err := fixtures.Push(t.Context(), source.URL(), c.Images...); err != nil {
		t.Fatal(err)
	}
	var sites []catalogSite
	for range 2 {
		s := catalogSite{Process: startProcess(t, v3), resources: t.TempDir()}
		s.catalog = s.Addr() + "/mirror/" + c.Image.Reference()
		sites = append(sites, s)
	}
	arguments := func(command string, to int, more ...string) []string {
		return append([]string{command, "--tls-verify=false", "--to", sites[to].Addr() + "/mirror", "--resources", sites[to].resources}, more...)
	}
	medium, stick := t.TempDir(), filepath.Join(t.TempDir(), "stick")
	wanted := c.Reference()
	if test.request != "" {
		wanted += "=" + test.request
	}
	mustSatchel(t, "pack", "--tls-verify=false", "-o", medium, "--volume-size", "1MB", "--catalog", wanted)
	mustSatchel(t, arguments("copy", 0, "--catalog", wanted)...)
	source.Stop()
	if err := os.CopyFS(stick, os.DirFS(medium)); err != nil {
		t.Fatal(err)
	}
	mustSatchel(t, "verify", stick)
	mustSatchel(t, arguments("unpack", 1, stick)...)
	return c, sites
}

// check looks at a site, and at what satchel wrote for it.
func (test catalogCase) check(t *testing.T, program string, c fixtures.Catalog, site catalogSite) {
	t.Helper()
	test.checkImages(t, c, site)
	test.checkCatalogSource(t, site.resources, site.catalog)
	checkClusterCatalog(t, site.resources, site.catalog)
	architectures := test.spec.Architectures
	if len(architectures) == 0 {
		architectures = []string{"amd64"}
	}
	for _, architecture := range architectures {
		p := pullFiles(t, site.catalog, architecture)
		judge(t, program, filepath.Join(p.root, "configs"), c, test.want)
		command := []string{"serve", "/configs"}
		if test.spec.Scratch {
			command = nil
		}
		if !slices.Equal(p.config.Config.Cmd, command) {
			t.Errorf("%s: command %q, want %q", architecture, p.config.Config.Cmd, command)
		}
	}
}

// checkImages wants all images of the selection by their original names, and no
// others at the site.
func (test catalogCase) checkImages(t *testing.T, c fixtures.Catalog, site catalogSite) {
	t.Helper()
	skopeo, conf := need(t, "skopeo"), plainHTTP(t, filepath.Join(site.resources, "registries.conf"), site.Addr())
	wanted := c.References(test.want.bundles()...)
	for _, reference := range wanted {
		new(carried).pullImage(t, skopeo, conf, reference, c.ImageOf(reference))
	}
	tags := 0
	for _, all := range served(t.Context(), t, site.URL()) {
		tags += len(all)
	}
	if tags != len(wanted)+1 { // the catalog
		t.Errorf("%d images are at the site, want %d", tags, len(wanted)+1)
	}
}

// checkCatalogSource wants that OLM gets the name of the catalog.
func (test catalogCase) checkCatalogSource(t *testing.T, resources, name string) {
	t.Helper()
	var source struct {
		Kind string
		Spec struct {
			Image         string
			GRPCPodConfig *struct {
				ExtractContent struct {
					CacheDir   string `yaml:"cacheDir"`
					CatalogDir string `yaml:"catalogDir"`
				} `yaml:"extractContent"`
			} `yaml:"grpcPodConfig"`
		}
	}
	readYAML(t, glob(t, resources, "catalogSource-*.yaml")[0], &source)
	extract := source.Spec.GRPCPodConfig != nil && source.Spec.GRPCPodConfig.ExtractContent.CatalogDir == "/configs"
	if source.Kind != "CatalogSource" || source.Spec.Image != name || extract != test.spec.Scratch {
		t.Errorf("got %+v, want %s, extraction %t", source, name, test.spec.Scratch)
	}
}

// checkClusterCatalog wants the same for OLM v1.
func checkClusterCatalog(t *testing.T, resources, name string) {
	t.Helper()
	var cluster struct {
		Kind string
		Spec struct {
			Source struct{ Image struct{ Ref string } }
		}
	}
	readYAML(t, glob(t, resources, "clusterCatalog-*.yaml")[0], &cluster)
	if cluster.Kind != "ClusterCatalog" || cluster.Spec.Source.Image.Ref != name {
		t.Errorf("got %+v, want %s", cluster, name)
	}
}

func readYAML(t *testing.T, name string, v any) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err == nil {
		err = yaml.Unmarshal(content, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func getJSON(ctx context.Context, t *testing.T, url string, v any) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	// A proxy of the environment is for others: this one is on this machine.
	client := http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(v); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", strings.TrimPrefix(url, "http://"), response.Status, err)
	}
}
