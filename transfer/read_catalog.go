package transfer

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
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
}

// Made is content that satchel made itself: manifests, their configs and layers,
// by digest.
type Made struct {
	Root     oci.Descriptor
	Contents map[digest.Digest][]byte
}

// AddLayerFunc makes a new image of one: with a further layer, an uncompressed
// tar, and another config. It must be deterministic. fetch gives manifest and
// config.
type AddLayerFunc func(ctx context.Context, manifest oci.Descriptor, fetch func(context.Context, oci.Descriptor) ([]byte, error),
	tar io.Reader, edit func(*ispec.ImageConfig)) (made []MadeContent, err error)

// MadeContent is one content that an [AddLayerFunc] made; the manifest is the first.
type MadeContent struct {
	Descriptor oci.Descriptor
	Content    []byte
}

// CatalogOptions say how catalogs are read.
type CatalogOptions struct {
	// Parse reads people's spelling of a reference.
	Parse    func(string) (oci.Reference, error)
	AddLayer AddLayerFunc
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
	Warnings []catalog.Warning
	// Unreadable are references in the catalog that are none, with the operators
	// that need them.
	Unreadable []string

	configs string
}

// The label of file-based catalogs, and of those that are an SQLite database
// (operator-framework/operator-registry, pkg/containertools/labels.go).
const (
	configsLabel  = "operators.operatorframework.io.index.configs.v1"
	databaseLabel = "operators.operatorframework.io.index.database.v1"
)

var (
	// ErrNoCatalog is returned for images that are no operator catalog.
	ErrNoCatalog = errors.New("it is no operator catalog: it has no label " + configsLabel)
	// ErrDatabase is returned for catalogs that are an SQLite database.
	ErrDatabase = errors.New("it is an SQLite catalog, which satchel does not read yet")
)

// ReadCatalogs reads catalogs, selects from them, and makes the images with what
// is selected. Nothing is written anywhere. Errors name the catalog.
func ReadCatalogs(ctx context.Context, sources Sources, wanted []WantedCatalog, o CatalogOptions) ([]*Catalog, error) {
	var all []*Catalog
	for _, w := range wanted { // one after another: each may be large
		r := &catalogReader{releaseReader: releaseReader{sources: sources, wanted: w.Wanted}, wanted: w, options: o}
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
}

func (r *catalogReader) read(ctx context.Context) error {
	r.img = newImage(r.wanted.Wanted, nil)
	r.img.sources, r.img.cache = r.sources, newManifestCache(false)
	if err := r.img.resolve(ctx); err != nil {
		return err
	}
	manifest, _, err := payloadManifest(r.img.root, func(d oci.Descriptor) ([]byte, error) { return r.img.fetch(ctx, d) })
	if err != nil {
		return err
	}
	if err := r.findConfigs(ctx, manifest); err != nil {
		return err
	}
	tree := layers.NewTree(r.open, manifest.Blobs[1:])
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
	r.catalog.Warnings, r.catalog.Original = selection.Warnings, r.img.root.Digest
	for _, p := range selection.Packages {
		r.catalog.Packages = append(r.catalog.Packages, p.Name)
	}
	r.listImages(selection)
	r.catalog.Image = r.wanted.Wanted
	r.catalog.Image.Root, r.catalog.Image.Part = r.img.root.Digest, bundle.PartCatalog
	if selection.Whole || r.wanted.AsIs {
		return nil
	}
	return r.filter(ctx, selection, source)
}

// findConfigs reads where in the image the catalog is.
func (r *catalogReader) findConfigs(ctx context.Context, m *oci.Manifest) error {
	content, err := r.small(ctx, m.Blobs[0])
	if err != nil {
		return fmt.Errorf("config %s: %w", m.Blobs[0].Digest, err)
	}
	var config ispec.Image
	if err := json.Unmarshal(content, &config); err != nil {
		return fmt.Errorf("config %s: %w", m.Blobs[0].Digest, err)
	}
	r.catalog.configs = config.Config.Labels[configsLabel]
	switch {
	case strings.Trim(r.catalog.configs, "/") != "":
		return nil
	case config.Config.Labels[databaseLabel] != "":
		return ErrDatabase
	}
	return ErrNoCatalog
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
func (r *catalogReader) listImages(selection *catalog.Selection) {
	seen := make(map[string]bool)
	for _, image := range selection.Images() {
		ref, err := r.options.Parse(image.Reference)
		if err != nil {
			r.catalog.Unreadable = append(r.catalog.Unreadable,
				fmt.Sprintf("%.200q, which %s need", image.Reference, strings.Join(image.Operators, ", ")))
			continue
		}
		if !seen[ref.String()] {
			seen[ref.String()] = true
			r.catalog.Images = append(r.catalog.Images, Wanted{Name: ref, Operators: image.Operators})
		}
	}
}

// filter makes the catalog image with what is selected: of each image of it, one
// with the old catalog hidden and the new one in its place.
func (r *catalogReader) filter(ctx context.Context, selection *catalog.Selection, source catalog.Source) error {
	layer, err := r.layer(ctx, selection, source)
	if err != nil {
		return err
	}
	made := &Made{Contents: make(map[digest.Digest][]byte)}
	made.Root, err = r.remake(ctx, made, r.img.root, layer)
	if err != nil {
		return err
	}
	r.catalog.Image.Made, r.catalog.Image.Root = made, made.Root.Digest
	if r.catalog.Image.Name.Digest != "" {
		// That digest is another image's.
		r.catalog.Image.Name.Digest = ""
		if r.catalog.Image.Name.Tag == "" {
			r.catalog.Image.Name.Digest = made.Root.Digest
		}
	}
	return nil
}

// remake makes an image, or an index of all its images, anew.
func (r *catalogReader) remake(ctx context.Context, made *Made, d oci.Descriptor, layer []byte) (oci.Descriptor, error) {
	if !oci.IsIndex(d.MediaType) {
		all, err := r.options.AddLayer(ctx, d, r.small, bytes.NewReader(layer), serveWithoutCache)
		if err != nil {
			return d, fmt.Errorf("manifest %s: %w", d.Digest, err)
		}
		for _, c := range all {
			if len(c.Content) > bundle.MaxInline {
				return d, fmt.Errorf("the selected catalog is %d bytes, more than the %d that can be made: select less, or carry the catalog as it is",
					len(c.Content), bundle.MaxInline)
			}
			made.Contents[c.Descriptor.Digest] = c.Content
		}
		next := all[0].Descriptor
		next.Platform = d.Platform
		return next, nil
	}
	content, err := r.img.fetch(ctx, d)
	if err != nil {
		return d, err
	}
	m, err := oci.ParseManifest(d.MediaType, content)
	if err != nil {
		return d, err
	}
	index := ispec.Index{MediaType: d.MediaType, Manifests: []oci.Descriptor{}}
	index.SchemaVersion = 2
	for _, child := range m.Manifests {
		if child.Platform != nil && child.Platform.OS == "unknown" {
			continue // an attestation, of an image that is not here any more
		}
		next, err := r.remake(ctx, made, child, layer)
		if err != nil {
			return d, err
		}
		index.Manifests = append(index.Manifests, next)
	}
	if content, err = json.Marshal(index); err != nil {
		return d, err
	}
	root := oci.Descriptor{MediaType: d.MediaType, Digest: digest.FromBytes(content), Size: int64(len(content)), Platform: d.Platform}
	made.Contents[root.Digest] = content
	return root, nil
}

// serveWithoutCache takes the cache of the old catalog out of the command: opm
// ends when cache and catalog differ (operator-framework/operator-registry,
// cmd/opm/serve).
func serveWithoutCache(c *ispec.ImageConfig) {
	c.Cmd = slices.DeleteFunc(slices.Clone(c.Cmd), func(arg string) bool {
		return strings.HasPrefix(arg, "--cache-dir") || strings.HasPrefix(arg, "--cache-enforce-integrity")
	})
}

// layer makes the layer: the old directory made opaque, and the documents of each
// package in a file of its own.
func (r *catalogReader) layer(ctx context.Context, selection *catalog.Selection, source catalog.Source) ([]byte, error) {
	files := make(map[string]*bytes.Buffer)
	var names []string
	err := selection.Documents(ctx, source, func(d catalog.Document) error {
		name := "catalog.json"
		if d.Package != "" {
			name = d.Package + "/catalog.json"
		}
		if files[name] == nil {
			files[name] = &bytes.Buffer{}
			names = append(names, name)
		}
		files[name].Write(append(d.JSON, '\n')) // never fails
		return nil
	})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	root := strings.Trim(r.catalog.configs, "/")
	add := func(h tar.Header, content []byte) error {
		h.Format, h.Size = tar.FormatUSTAR, int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			return err
		}
		_, err := w.Write(content)
		return err
	}
	err = errors.Join(
		add(tar.Header{Typeflag: tar.TypeDir, Name: root + "/", Mode: 0o755}, nil),
		add(tar.Header{Typeflag: tar.TypeReg, Name: root + "/.wh..wh..opq", Mode: 0o644}, nil))
	slices.Sort(names)
	for _, name := range names {
		if dir, _, ok := strings.Cut(name, "/"); ok && err == nil {
			err = add(tar.Header{Typeflag: tar.TypeDir, Name: root + "/" + dir + "/", Mode: 0o755}, nil)
		}
		if err == nil {
			err = add(tar.Header{Typeflag: tar.TypeReg, Name: root + "/" + name, Mode: 0o644}, files[name].Bytes())
		}
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
