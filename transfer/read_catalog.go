package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"satchel/bundle"
	"satchel/oci"
	"satchel/oci/catalog"
	"satchel/oci/layers"
)

// WantedCatalog is an operator catalog to pack.
type WantedCatalog struct {
	// Wanted is the catalog image.
	Wanted
	Request catalog.Request
	// AsIs carries the image as it is, whatever is selected of its images.
	AsIs bool
	// TargetPath and TargetTag take the place of the repository's path below the
	// prefix at the site, and of the tag. Both may be empty.
	TargetPath, TargetTag string
}

// CatalogOptions say how catalogs are read and made.
type CatalogOptions struct {
	// Parse reads people's spelling of a reference.
	Parse    func(string) (oci.Reference, error)
	AddLayer AddLayerFunc
	// Maker names what decides the bytes that AddLayer makes, with its version.
	Maker string
	// TempDir is a directory for large SQLite catalogs, which are read there and
	// leave nothing; empty holds them in memory.
	TempDir string
	// Platforms keeps only these, OS/ARCH[/VARIANT], of a catalog that is made anew;
	// none keeps all. One becomes the catalog's root.
	Platforms []string
}

// Catalog is an operator catalog that is to be packed.
type Catalog struct {
	// Image is the catalog image at the site: what was asked for, or what was made
	// of it.
	Image Wanted
	// Original is the root of what was asked for.
	Original digest.Digest
	// Images are what the selected operators need, each once.
	Images []Wanted
	// Packages are the names of the operators that are selected.
	Packages []string
	// Selected are their versions by channel, unless the catalog is whole.
	Selected []SelectedChannel
	// Extract says that the image has no program to serve its catalog: the cluster
	// must bring one.
	Extract  bool
	Warnings []catalog.Warning
	// Unreadable are references in the catalog that are none, with the operators
	// that need them.
	Unreadable []string

	configs string
}

// SelectedChannel is what was selected of a channel of an operator.
type SelectedChannel struct {
	Operator, Channel string
	// Versions are in the order of the catalog; a bundle that has none is here by
	// its name.
	Versions []string
}

// The label of file-based catalogs, and of those that are an SQLite database
// (operator-framework/operator-registry, pkg/containertools/labels.go).
const (
	configsLabel  = "operators.operatorframework.io.index.configs.v1"
	databaseLabel = "operators.operatorframework.io.index.database.v1"
)

// ErrNoCatalog is returned for images that are no operator catalog.
var ErrNoCatalog = errors.New("it is no operator catalog: it has neither the label " + configsLabel + " nor " + databaseLabel)

// ReadCatalogs reads catalogs, selects from them, and makes the images with what
// is selected. Nothing is written anywhere. Errors name the catalog.
func ReadCatalogs(ctx context.Context, sources Sources, wanted []WantedCatalog, o CatalogOptions) ([]*Catalog, error) {
	var all []*Catalog
	for _, w := range wanted { // one after another: each may be large
		r := newCatalogReader(sources, w, o)
		if err := r.read(ctx); err != nil {
			return nil, fmt.Errorf("catalog %s: %w", w.Name, err)
		}
		all = append(all, &r.catalog)
	}
	return all, nil
}

// catalogReader reads one catalog.
type catalogReader struct {
	releaseReader // for its image
	wanted        WantedCatalog
	options       CatalogOptions
	img           *image
	catalog       Catalog
	// remade are the images made anew, by the digest of the original.
	remade map[digest.Digest]oci.Descriptor
}

func newCatalogReader(sources Sources, w WantedCatalog, o CatalogOptions) *catalogReader {
	r := &catalogReader{releaseReader: releaseReader{sources: sources, wanted: w.Wanted}, wanted: w, options: o, img: newImage(w.Wanted, nil)}
	r.img.sources, r.img.cache = sources, newManifestCache(false)
	return r
}

func (r *catalogReader) read(ctx context.Context) error {
	if err := r.img.resolve(ctx); err != nil {
		return err
	}
	return r.readFrom(ctx)
}

// readFrom reads the catalog whose root is known.
func (r *catalogReader) readFrom(ctx context.Context) error {
	manifest, _, err := payloadManifest(r.img.root, func(d oci.Descriptor) ([]byte, error) { return r.img.fetch(ctx, d) })
	if err != nil {
		return err
	}
	file, err := r.findCatalog(ctx, manifest)
	if err != nil {
		return err
	}
	r.catalog.Original = r.img.root.Digest
	r.catalog.Image = r.wanted.Wanted
	r.catalog.Image.Root, r.catalog.Image.Part = r.img.root.Digest, bundle.PartCatalog
	tree := layers.NewTree(r.open, manifest.Blobs[1:])
	if file != "" {
		err = r.readDatabase(ctx, tree, file)
	} else {
		err = r.readConfigs(ctx, tree)
	}
	if err != nil {
		return err
	}
	r.place()
	return nil
}

// readConfigs reads a file-based catalog, and makes the image with what is
// selected.
func (r *catalogReader) readConfigs(ctx context.Context, tree *layers.Tree) error {
	source := func(ctx context.Context, visit func(string, io.Reader) error) error {
		root := strings.Trim(r.catalog.configs, "/")
		return tree.Walk(ctx, root, func(e layers.Entry, content io.Reader) error {
			return visit(strings.TrimPrefix(e.Name, root+"/"), content)
		})
	}
	read, err := catalog.Read(ctx, source)
	if err != nil {
		return err
	}
	selection, err := read.Select(r.wanted.Request)
	if err != nil {
		return err
	}
	r.catalog.Warnings = selection.Warnings
	for i := range selection.Packages {
		p := &selection.Packages[i]
		r.catalog.Packages = append(r.catalog.Packages, p.Name)
		if !selection.Whole {
			r.noteSelected(p)
		}
	}
	r.listImages(selection.Images())
	if r.wanted.AsIs && !selection.Whole {
		r.catalog.Warnings = append(r.catalog.Warnings, catalog.Warning{
			Text: fmt.Sprintf("the catalog is carried as it is: it offers %d operators, and only what was selected of them can be installed", len(read.Packages)),
		})
	}
	if selection.Whole || r.wanted.AsIs {
		return nil
	}
	return r.filter(ctx, selection, source)
}

// noteSelected notes the versions that were selected of an operator.
func (r *catalogReader) noteSelected(p *catalog.Package) {
	for _, c := range p.Channels {
		selected := SelectedChannel{Operator: p.Name, Channel: c.Name}
		for _, e := range c.Entries {
			version := e.Name
			if b, ok := p.Bundle(e.Name); ok && b.Version != "" {
				version = b.Version
			}
			selected.Versions = append(selected.Versions, version)
		}
		r.catalog.Selected = append(r.catalog.Selected, selected)
	}
}

// place says where the catalog goes at the site, if that was asked for.
func (r *catalogReader) place() {
	w := &r.catalog.Image
	if r.wanted.TargetPath == "" && r.wanted.TargetTag == "" {
		return
	}
	path, tag := r.wanted.TargetPath, r.wanted.TargetTag
	if path == "" {
		path = w.Name.Path()
	}
	if tag == "" {
		tag = w.Name.Tag
	}
	if tag == "" {
		tag = DigestTag(w.Root)
	}
	w.Destinations = []string{path + ":" + tag}
}

// findCatalog reads where in the image the catalog is: in a directory, or in a file
// that is an SQLite database.
func (r *catalogReader) findCatalog(ctx context.Context, m *oci.Manifest) (file string, err error) {
	content, err := r.small(ctx, m.Blobs[0])
	if err != nil {
		return "", fmt.Errorf("config %s: %w", m.Blobs[0].Digest, err)
	}
	var config ispec.Image
	if err := json.Unmarshal(content, &config); err != nil {
		return "", fmt.Errorf("config %s: %w", m.Blobs[0].Digest, err)
	}
	label := config.Config.Labels[configsLabel]
	if r.catalog.configs, err = cleanConfigs(label); err != nil {
		return "", err
	}
	// Whatever could serve it would be the entry point (operator-framework/operator-registry,
	// alpha/action/generate_dockerfile.go).
	r.catalog.Extract = r.catalog.configs != "" && len(config.Config.Entrypoint) == 0
	file = config.Config.Labels[databaseLabel]
	switch {
	case r.catalog.configs != "":
		return "", nil
	case strings.Trim(file, "/") != "":
		return file, nil
	}
	return "", ErrNoCatalog
}

// plainDirectory are the directories that can be named in a CatalogSource.
var plainDirectory = regexp.MustCompile(`^(/[A-Za-z0-9._-]{1,100}){1,10}$`)

// cleanConfigs reads the label of a file-based catalog: a clean path from the root
// of the image, or nothing without the label.
func cleanConfigs(label string) (string, error) {
	if label == "" {
		return "", nil
	}
	clean := path.Clean("/" + label)
	if !plainDirectory.MatchString(clean) || strings.Contains(label, "..") {
		return "", fmt.Errorf("its label %s is %.80q, which is no directory that can be used", configsLabel, label)
	}
	return clean, nil
}

// small reads a manifest or config of the catalog image.
func (r *catalogReader) small(ctx context.Context, d oci.Descriptor) ([]byte, error) {
	if oci.IsManifest(d.MediaType) {
		return r.img.fetch(ctx, d)
	}
	if d.Size > oci.MaxManifestSize {
		return nil, fmt.Errorf("%d bytes are more than %d", d.Size, int64(oci.MaxManifestSize))
	}
	content, err := r.open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer content.Close() // it is only read
	gate, err := oci.NewReader(content, d)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(gate)
}

// listImages lists what the operators need.
func (r *catalogReader) listImages(images []catalog.Image) {
	seen := make(map[string]bool)
	for _, image := range images {
		ref, err := r.options.Parse(image.Reference)
		if err != nil {
			r.catalog.Unreadable = append(r.catalog.Unreadable,
				fmt.Sprintf("%.200q, which %s", image.Reference, (&Wanted{Operators: image.Operators}).neededBy()))
			continue
		}
		if !seen[ref.String()] {
			seen[ref.String()] = true
			r.catalog.Images = append(r.catalog.Images, Wanted{Name: ref, Operators: image.Operators, AllPlatforms: true})
		}
	}
}
