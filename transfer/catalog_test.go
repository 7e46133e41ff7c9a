package transfer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/catalog"
	"satchel/oci/catalog/database"
	"satchel/oci/layers"
	"satchel/oci/layout"
	"satchel/oci/registry"
	"satchel/transfer"
)

// operators serves a catalog of two operators, for two architectures, with their
// images, and one that is a database.
func operators(t testing.TB) (*fixtures.Registry, fixtures.Catalog) {
	t.Helper()
	r := serve(t, fixtures.Options{})
	versions := []string{"1.0.0", "1.1.0", "1.2.0"}
	c := fixtures.NewCatalog(fixtures.CatalogSpec{
		Registry: r.Host(), Repository: "org/index", Architectures: []string{"amd64", "arm64"}, ImageArchitectures: []string{"amd64"},
		Packages: []fixtures.CatalogPackage{fixtures.CatalogChain("alpha", versions...), fixtures.CatalogChain("beta", versions...)},
	})
	if err := r.Add(append(c.Images, c.WithDatabase(nil).Image.Named("org/sqlite", "v1"))...); err != nil {
		t.Fatal(err)
	}
	return r, c
}

// readCatalog reads one catalog of the registry.
func readCatalog(t testing.TB, r *fixtures.Registry, name, request string, asIs bool) (*transfer.Catalog, error) {
	t.Helper()
	selected, err := catalog.ParseRequest(request)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := registry.ParseReference(r.Host() + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	catalogs, err := transfer.ReadCatalogs(t.Context(), transfer.Sources{Registry: client(t)}, []transfer.WantedCatalog{
		{Wanted: transfer.Wanted{Name: ref}, Request: selected, AsIs: asIs},
	}, transfer.CatalogOptions{Parse: registry.ParseReference, AddLayer: addLayer})
	if err != nil {
		return nil, err
	}
	return catalogs[0], nil
}

func addLayer(ctx context.Context, d oci.Descriptor, fetch func(context.Context, oci.Descriptor) ([]byte, error), tar io.Reader, edit func(*ispec.ImageConfig)) (transfer.MadeImage, error) {
	m, config, layer, err := layout.AddLayer(ctx, d, fetch, tar, edit, "test")
	return transfer.MadeImage{Manifest: transfer.MadeContent(m), Config: transfer.MadeContent(config), Layer: transfer.MadeContent(layer)}, err
}

func planCatalog(t testing.TB, c *transfer.Catalog) *bundle.Prologue {
	t.Helper()
	selection, err := transfer.Select(t.Context(), transfer.Sources{Registry: client(t)}, nil, transfer.SelectOptions{Catalogs: []*transfer.Catalog{c}})
	if err != nil {
		t.Fatal(err)
	}
	selection.Name = "catalog"
	_, prologue, err := bundle.NewPlan(selection, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return prologue
}

// A selection of a catalog arrives: its images, and a catalog that has it alone.
func TestCatalog(t *testing.T) {
	up, _ := operators(t)
	c, err := readCatalog(t, up, "org/index:v4.18", "alpha:stable:1.1.0..1.2.0", false)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Packages, []string{"alpha"}) || len(c.Images) != 4 || len(c.Unreadable) > 0 {
		t.Errorf("got %+v", c)
	}
	prologue := planCatalog(t, c)
	if again, err := readCatalog(t, up, "org/index:v4.18", "alpha:stable:1.1.0..1.2.0", false); err != nil || !bytes.Equal(prologue.PlanJSON(), planCatalog(t, again).PlanJSON()) {
		t.Errorf("the second plan is another: %v", err)
	}
	planned := transfer.Catalogs(prologue.Plan())
	if len(planned) != 1 || planned[0].Original != c.Original || planned[0].Digest == c.Original || planned[0].Configs != "/configs" {
		t.Errorf("got %+v", planned)
	}
	site := serve(t, fixtures.Options{})
	receipt, err := transfer.Copy(t.Context(), prologue, transfer.Sources{Registry: client(t)}, client(t), transfer.CopyOptions{
		UnpackOptions: transfer.UnpackOptions{To: site.Host() + "/m"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if complete, _ := receipt.Complete(); !complete {
		t.Errorf("got %+v", receipt)
	}
	index := resolveList(t, site.Host()+"/m/org/index", "v4.18")
	if len(index.Manifests) != 2 || index.MediaType != oci.MediaTypeDockerList {
		t.Errorf("got %+v", index)
	}
	for _, child := range index.Manifests {
		checkFiltered(t, site.Host()+"/m/org/index", child)
	}
}

func resolveList(t testing.TB, repository, tag string) *oci.Manifest {
	t.Helper()
	d, content, err := client(t).Resolve(t.Context(), oci.Reference{Repository: repository, Tag: tag})
	if err != nil {
		t.Fatal(err)
	}
	m, err := oci.ParseManifest(d.MediaType, content)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// checkFiltered reads an image of the catalog back: the old files are hidden, the
// new ones are what was selected, and the command has no stale cache.
func checkFiltered(t testing.TB, repository string, d oci.Descriptor) {
	t.Helper()
	c := client(t)
	content, err := c.Manifest(t.Context(), repository, d)
	if err != nil {
		t.Fatal(err)
	}
	m, err := oci.ParseManifest(d.MediaType, content)
	if err != nil {
		t.Fatal(err)
	}
	open := func(ctx context.Context, d oci.Descriptor) (io.ReadCloser, error) {
		r, _, err := c.Blob(ctx, repository, d, 0, d.Size)
		return r, err
	}
	tree := layers.NewTree(open, m.Blobs[1:])
	read, err := catalog.Read(t.Context(), func(ctx context.Context, visit func(string, io.Reader) error) error {
		return tree.Walk(ctx, "configs", func(e layers.Entry, r io.Reader) error { return visit(e.Name, r) })
	})
	if err != nil {
		t.Fatal(err)
	}
	if problems := read.Check(); len(problems) > 0 || len(read.Packages) != 1 || len(read.Packages[0].Bundles) != 2 {
		t.Errorf("got %+v, %v", read.Packages, problems)
	}
	r, err := open(t.Context(), m.Blobs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var config ispec.Image
	if err := json.NewDecoder(r).Decode(&config); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(config.Config.Cmd, []string{"serve", "/configs"}) || d.Platform == nil || config.Architecture != d.Platform.Architecture {
		t.Errorf("got %+v for %v", config, d.Platform)
	}
}

// Whole catalogs, and those that are to be carried as they are, keep their digest.
func TestCatalogAsIs(t *testing.T) {
	up, built := operators(t)
	root := built.Image.Root.Digest
	for request, count := range map[string]int{"": 12, "beta": 2} {
		c, err := readCatalog(t, up, "org/index:v4.18", request, true)
		if err != nil {
			t.Fatal(err)
		}
		plan := planCatalog(t, c).Plan()
		if len(c.Images) != count || plan.Images[0].Root.Digest != root || plan.Images[0].Part != bundle.PartCatalog {
			t.Errorf("%q: %d images, %+v", request, len(c.Images), plan.Images[0])
		}
	}
}

func TestCatalogRefuses(t *testing.T) {
	up, built := operators(t)
	if _, err := readCatalog(t, up, "org/sqlite:v1", "", false); !errors.Is(err, database.ErrNoDatabase) {
		t.Errorf("got %v", err)
	}
	if _, err := readCatalog(t, up, built.Images[0].Reference(), "", false); !errors.Is(err, transfer.ErrNoCatalog) {
		t.Errorf("got %v", err)
	}
	var selection *catalog.SelectionError
	if _, err := readCatalog(t, up, "org/index:v4.18", "gamma", false); !errors.As(err, &selection) || selection.Package != "gamma" {
		t.Errorf("got %v", err)
	}
	// What an operator needs and the source does not have is said with its name.
	c, err := readCatalog(t, up, "org/index:v4.18", "alpha", false)
	if err != nil {
		t.Fatal(err)
	}
	c.Images[0].Name.Digest = built.Image.Blobs[0].Descriptor.Digest
	_, err = transfer.Select(t.Context(), transfer.Sources{Registry: client(t)}, nil, transfer.SelectOptions{Catalogs: []*transfer.Catalog{c}})
	if err == nil || !strings.Contains(err.Error(), "which alpha need") {
		t.Errorf("got %v", err)
	}
	s, err := transfer.Select(t.Context(), transfer.Sources{Registry: client(t)}, nil, transfer.SelectOptions{Catalogs: []*transfer.Catalog{c}, SkipMissing: true})
	if err != nil || len(s.Missing) != 1 || !strings.Contains(s.Missing[0].Reason, "needed by alpha") {
		t.Errorf("got %+v, %v", s.Missing, err)
	}
}
