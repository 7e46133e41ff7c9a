package main

import (
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
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1") // nobody is asked beyond this machine
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	for _, test := range catalogCases() {
		t.Run(test.name, func(t *testing.T) {
			source := startProcess(t, v3)
			test.spec.Registry = source.Addr()
			test.spec.Packages = fixtures.DemoOperators()
			c := fixtures.NewCatalog(test.spec)
			if err := fixtures.Push(t.Context(), source.URL(), c.Images...); err != nil {
				t.Fatal(err)
			}
			carried, copied := startProcess(t, v3), startProcess(t, v3)
			medium, resources := t.TempDir(), t.TempDir()
			wanted := c.Reference() + "=" + test.request
			mustSatchel(t, "pack", "--tls-verify=false", "-o", medium, "--volume-size", "1MB", "--catalog", wanted)
			mustSatchel(t, "copy", "--tls-verify=false", "--catalog", wanted, "--to", copied.Addr()+"/copied", "--resources", filepath.Join(resources, "copied"))
			source.Stop()
			at := t.TempDir()
			if err := os.CopyFS(filepath.Join(at, "stick"), os.DirFS(medium)); err != nil {
				t.Fatal(err)
			}
			mustSatchel(t, "verify", filepath.Join(at, "stick"))
			mustSatchel(t, "unpack", filepath.Join(at, "stick"), "--tls-verify=false", "--to", carried.Addr()+"/mirror", "--resources", filepath.Join(resources, "carried"))
			test.check(t, program, c, carried, carried.Addr()+"/mirror", filepath.Join(resources, "carried"))
			test.check(t, program, c, copied, copied.Addr()+"/copied", filepath.Join(resources, "copied"))
		})
	}
}

// check looks at a site below a prefix, and at what satchel wrote for it.
func (test catalogCase) check(t *testing.T, program string, c fixtures.Catalog, site *fixtures.Process, prefix, resources string) {
	t.Helper()
	test.checkImages(t, c, site, resources)
	name := prefix + "/" + c.Image.Repository + ":" + c.Image.Tag
	test.checkCatalogSource(t, resources, name)
	architectures := test.spec.Architectures
	if len(architectures) == 0 {
		architectures = []string{"amd64"}
	}
	for _, architecture := range architectures {
		p := pullFiles(t, name, architecture)
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
func (test catalogCase) checkImages(t *testing.T, c fixtures.Catalog, site *fixtures.Process, resources string) {
	t.Helper()
	skopeo, conf := need(t, "skopeo"), plainHTTP(t, resources, site.Addr())
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

// checkCatalogSource wants that both generations of OLM get the name of the catalog.
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
