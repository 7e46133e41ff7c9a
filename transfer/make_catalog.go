package transfer

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"satchel/bundle"
	"satchel/oci"
	"satchel/oci/catalog"
)

// Made is content that satchel made itself.
type Made struct {
	Root oci.Descriptor
	// Contents are manifests, their configs and layers, by digest. What is larger
	// than [bundle.MaxInline] is in Derived too: how it is made again.
	Contents map[digest.Digest][]byte
	Derived  map[digest.Digest]*bundle.Derived
}

// AddLayerFunc makes a new image of one: with a further layer, an uncompressed
// tar, and another config. It must be deterministic. fetch gives manifest and
// config.
type AddLayerFunc func(ctx context.Context, manifest oci.Descriptor, fetch func(context.Context, oci.Descriptor) ([]byte, error),
	tar io.Reader, edit func(*ispec.ImageConfig)) (MadeImage, error)

// MadeImage is what an [AddLayerFunc] made.
type MadeImage struct{ Manifest, Config, Layer MadeContent }

// MadeContent is one content of it.
type MadeContent struct {
	Descriptor oci.Descriptor
	Content    []byte
}

// catalogMaker begins the name of whoever made a derived layer; the number changes
// when this package makes other bytes of the same selection.
const catalogMaker = "satchel-catalog/1"

func (o CatalogOptions) maker() string { return catalogMaker + ", " + o.Maker }

// filter makes the catalog image with what is selected: of each image of it, one
// with the old catalog hidden and the new one in its place.
func (r *catalogReader) filter(ctx context.Context, selection *catalog.Selection, source catalog.Source) error {
	layer, err := r.layer(ctx, selection, source)
	if err != nil {
		return err
	}
	recipe, err := encodeRecipe(r.wanted.Request)
	if err != nil {
		return err
	}
	made := &Made{Contents: make(map[digest.Digest][]byte), Derived: make(map[digest.Digest]*bundle.Derived)}
	r.remade = make(map[digest.Digest]oci.Descriptor)
	from := r.img.origin()
	derived := &bundle.Derived{
		By: r.options.maker(), From: bundle.ContentOf(r.img.root), Local: from.Local, Repository: from.Repository, Recipe: recipe,
	}
	if made.Root, err = r.remake(ctx, made, r.img.root, layer, derived); err != nil {
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

// maxCatalogImages bounds the images of a catalog's index. Public ones have four.
const maxCatalogImages = 64

// remake makes an image, or an index of its images, anew. An index in an index is
// refused: no catalog has one.
func (r *catalogReader) remake(ctx context.Context, made *Made, d oci.Descriptor, layer *spool, derived *bundle.Derived) (oci.Descriptor, error) {
	if next, ok := r.remade[d.Digest]; ok {
		next.Platform = d.Platform
		return next, nil
	}
	if !oci.IsIndex(d.MediaType) {
		next, err := r.addLayer(ctx, made, d, layer, derived)
		r.remade[d.Digest] = next
		return next, err
	}
	if d.Digest != r.img.root.Digest {
		return d, fmt.Errorf("manifest %s is an index within the catalog's index", d.Digest)
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
	kept, err := r.keptPlatforms(m.Manifests)
	if err != nil {
		return d, err
	}
	if len(kept) > maxCatalogImages {
		return d, fmt.Errorf("its index has %d images, more than %d", len(kept), maxCatalogImages)
	}
	for _, child := range kept {
		next, err := r.remake(ctx, made, child, layer, derived)
		if err != nil {
			return d, err
		}
		index.Manifests = append(index.Manifests, next)
	}
	if len(r.options.Platforms) == 1 && len(index.Manifests) == 1 {
		return index.Manifests[0], nil
	}
	if content, err = json.Marshal(index); err != nil {
		return d, err
	}
	root := oci.Descriptor{MediaType: d.MediaType, Digest: digest.FromBytes(content), Size: int64(len(content)), Platform: d.Platform}
	made.Contents[root.Digest] = content
	return root, nil
}

// keptPlatforms leaves out what was not asked for, and attestations, which are of
// images that are not here any more.
func (r *catalogReader) keptPlatforms(children []oci.Descriptor) (kept []oci.Descriptor, err error) {
	var offered []string
	found := make(map[string]bool)
	for _, child := range children {
		switch {
		case child.Platform == nil:
			if len(r.options.Platforms) == 0 {
				kept = append(kept, child)
			}
			continue
		case child.Platform.OS == "unknown":
			continue
		}
		offered = append(offered, oci.PlatformString(*child.Platform))
		keep := len(r.options.Platforms) == 0
		for _, want := range r.options.Platforms {
			if fits(*child.Platform, want) {
				keep, found[want] = true, true
			}
		}
		if keep {
			kept = append(kept, child)
		}
	}
	for _, want := range r.options.Platforms {
		if !found[want] {
			return nil, fmt.Errorf("it has no platform %s, but %s", want, strings.Join(offered, ", "))
		}
	}
	return kept, nil
}

// addLayer makes one image anew.
func (r *catalogReader) addLayer(ctx context.Context, made *Made, d oci.Descriptor, layer *spool, derived *bundle.Derived) (oci.Descriptor, error) {
	tar, err := layer.open()
	if err != nil {
		return d, err
	}
	defer tar.Close() // it is only read
	image, err := r.options.AddLayer(ctx, d, r.small, tar, serveWithoutCache)
	if err != nil {
		return d, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	for _, c := range []MadeContent{image.Manifest, image.Config} {
		if len(c.Content) > bundle.MaxInline {
			return d, fmt.Errorf("manifest %s: the %s made of it has %d bytes, more than %d", d.Digest, c.Descriptor.MediaType, len(c.Content), bundle.MaxInline)
		}
		made.Contents[c.Descriptor.Digest] = c.Content
	}
	made.Contents[image.Layer.Descriptor.Digest] = image.Layer.Content
	if len(image.Layer.Content) > bundle.MaxInline {
		made.Derived[image.Layer.Descriptor.Digest] = derived
		r.sources.Derived.keep(image.Layer.Descriptor.Digest, image.Layer.Content)
	}
	next := image.Manifest.Descriptor
	next.Platform = d.Platform
	return next, nil
}

// serveWithoutCache takes the cache of the old catalog out of the command: opm
// ends when cache and catalog differ (operator-framework/operator-registry,
// cmd/opm/serve).
func serveWithoutCache(c *ispec.ImageConfig) {
	c.Cmd = slices.DeleteFunc(slices.Clone(c.Cmd), func(arg string) bool {
		return strings.HasPrefix(arg, "--cache-dir") || strings.HasPrefix(arg, "--cache-enforce-integrity")
	})
}

// spool holds the tar of a layer: a catalog shrinks to less than a tenth, and
// each of the images that get it reads it again.
type spool struct{ compressed bytes.Buffer }

func (s *spool) open() (io.ReadCloser, error) {
	d, err := zstd.NewReader(bytes.NewReader(s.compressed.Bytes()), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return d.IOReadCloser(), nil
}

// plainPackage are the names of packages that can be names of directories.
var plainPackage = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,100}[a-z0-9])?$`)

// layer makes the layer: the old directory made opaque, and the documents of each
// package in a file of its own.
func (r *catalogReader) layer(ctx context.Context, selection *catalog.Selection, source catalog.Source) (*spool, error) {
	s := &spool{}
	compressor, err := zstd.NewWriter(&s.compressed, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return nil, err
	}
	w := &layerWriter{tar: tar.NewWriter(compressor), root: strings.Trim(r.catalog.configs, "/")}
	w.directory("")
	w.file(".wh..wh..opq", nil)
	err = selection.Documents(ctx, source, func(d catalog.Document) error { return w.add(d) })
	w.finishPackage()
	return s, errors.Join(err, w.err, w.tar.Close(), compressor.Close())
}

// layerWriter writes the tar of a catalog. Documents come package by package.
type layerWriter struct {
	tar      *tar.Writer
	root     string
	opened   bool
	packages int
	name     string // of the package whose documents are in content
	content  bytes.Buffer
	err      error
}

func (w *layerWriter) add(d catalog.Document) error {
	if w.opened && d.Package != w.name {
		w.finishPackage()
	}
	w.opened, w.name = true, d.Package
	w.content.Write(d.JSON)
	w.content.WriteByte('\n')
	return w.err
}

// finishPackage writes the file of a package.
func (w *layerWriter) finishPackage() {
	if !w.opened {
		return
	}
	w.packages++
	dir := ""
	if w.name != "" {
		if dir = w.name + "/"; !plainPackage.MatchString(w.name) {
			dir = fmt.Sprintf("package_%d/", w.packages) // no other has an underscore
		}
		w.directory(dir)
	}
	w.file(dir+"catalog.json", w.content.Bytes())
	w.content.Reset()
	w.opened = false
}

func (w *layerWriter) directory(name string) {
	w.header(tar.Header{Typeflag: tar.TypeDir, Name: w.root + "/" + name, Mode: 0o755})
}

func (w *layerWriter) file(name string, content []byte) {
	w.header(tar.Header{Typeflag: tar.TypeReg, Name: w.root + "/" + name, Mode: 0o644, Size: int64(len(content))})
	if w.err == nil {
		_, w.err = w.tar.Write(content)
	}
}

func (w *layerWriter) header(h tar.Header) {
	if h.Format = tar.FormatUSTAR; w.err == nil {
		w.err = w.tar.WriteHeader(&h)
	}
}

func encodeRecipe(r catalog.Request) (string, error) {
	recipe, err := json.Marshal(r)
	if err == nil && len(recipe) > bundle.MaxRecipe {
		err = fmt.Errorf("the selection of operators takes %d bytes, more than %d", len(recipe), bundle.MaxRecipe)
	}
	return string(recipe), err
}
