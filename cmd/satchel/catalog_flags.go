package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"satchel/bundle"
	"satchel/oci"
	"satchel/oci/catalog"
	"satchel/oci/layout"
	"satchel/oci/registry"
	"satchel/transfer"
)

// catalogFlags name operator catalogs and what is wanted of them.
type catalogFlags struct {
	requests []string
	asIs     bool
}

func (f *catalogFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.requests, "catalog", nil, "an operator catalog, `REF[=PKG[:CHANNEL[:MIN[..MAX]]],…]`, with all images of the operators selected; may be repeated")
	flags.BoolVar(&f.asIs, "catalog-as-is", false, "carry the images of catalogs as they are, whatever is selected of their operators")
}

func (f *catalogFlags) names() bool { return len(f.requests) > 0 || f.asIs }

// nameCatalogs notes which catalogs are wanted by name.
func (f *catalogFlags) nameCatalogs(wanted *wantedImages) error {
	for _, s := range f.requests {
		name, selected, some := strings.Cut(s, "=")
		if some && selected == "" {
			return usagef("--catalog %s: no operator stands behind the =; without it all of the catalog is taken", s)
		}
		request, err := catalog.ParseRequest(selected)
		if err != nil {
			return usagef("--catalog %s: %w", name, err)
		}
		c := transfer.WantedCatalog{Request: request}
		if spec, ok := strings.CutPrefix(name, "oci:"); ok {
			dir, entry, _ := strings.Cut(spec, ":")
			c.Wanted, err = wanted.layoutCatalog(dir, entry, "", "")
		} else if c.Name, err = registry.ParseReference(name); err != nil {
			err = &usageError{err}
		}
		if err != nil {
			return err
		}
		wanted.catalogs = append(wanted.catalogs, c)
	}
	return nil
}

// sameCatalog refuses a catalog that is named twice: it can have one selection.
func (w *wantedImages) sameCatalog() error {
	named := make(map[string]bool)
	for _, c := range w.catalogs {
		if name := c.Name.String(); named[name] {
			return usagef("catalog %s is named twice: put both selections into one, REF=PKG,PKG", name)
		}
		named[c.Name.String()] = true
	}
	return nil
}

// catalogRequests are what a plan says of the catalogs that are wanted.
func (w *wantedImages) catalogRequests() []string {
	var all []string
	for _, c := range w.catalogs {
		s := c.Name.String()
		if selected := c.Request.String(); selected != "" {
			s += "=" + selected
		}
		all = append(all, s)
	}
	return all
}

// catalogOptions say how catalogs are read and made.
func catalogOptions() transfer.CatalogOptions {
	return transfer.CatalogOptions{Parse: registry.ParseReference, AddLayer: addLayer, Maker: layout.MakerVersion}
}

// readCatalogs reads the catalogs. pinned, which may be nil, are roots by request.
func (f *selectionFlags) readCatalogs(ctx context.Context, out *output, sources transfer.Sources, wanted *wantedImages, pinned map[string]digest.Digest) ([]*transfer.Catalog, error) {
	if len(wanted.catalogs) == 0 {
		return nil, nil
	}
	for i, request := range wanted.catalogRequests() {
		wanted.catalogs[i].Root = pinned[request]
		wanted.catalogs[i].AsIs = f.catalog.asIs
	}
	out.message("reading %s", count(len(wanted.catalogs), "operator catalog"))
	o := catalogOptions()
	o.Platforms, o.TempDir = f.platforms, wanted.outputDir
	catalogs, err := transfer.ReadCatalogs(ctx, sources, wanted.catalogs, o)
	if err != nil {
		return nil, err
	}
	for _, c := range catalogs {
		out.message("catalog %s: %s, %s", c.Image.Name, count(len(c.Packages), "operator"), count(len(c.Images), "image"))
		for _, s := range c.Selected[:min(len(c.Selected), maxShown)] {
			out.message("  %s, channel %s: %s", oneLine(s.Operator), oneLine(s.Channel), shortened(s.Versions))
		}
		for _, w := range c.Warnings {
			add := ""
			if w.Add != "" {
				add = "; to add it: " + w.Add
			}
			out.message("warning: %s%s", oneLine(w.String()), add)
		}
		for _, s := range c.Unreadable {
			out.message("warning: left out, since it is no reference: %s", s)
		}
	}
	return catalogs, nil
}

// maxShown bounds the channels, and the versions of each, that are shown.
const maxShown = 100

func shortened(versions []string) string {
	if len(versions) > maxShown {
		versions = append(versions[:maxShown:maxShown], fmt.Sprintf("and %d more", len(versions)-maxShown))
	}
	return oneLine(strings.Join(versions, ", "))
}

// pinCatalogs reads the catalogs that a plan has, as they were then, to see whether
// they are what is wanted.
func (f *selectionFlags) pinCatalogs(ctx context.Context, out *output, sources transfer.Sources, wanted *wantedImages, plan *bundle.Plan) error {
	requests := wanted.catalogRequests()
	if !slices.Equal(requests, plan.Request.Catalogs) || f.catalog.asIs != plan.Request.CatalogsAsIs {
		return nil // which is refused anyway
	}
	pinned := make(map[string]digest.Digest)
	for i, c := range transfer.Catalogs(plan) {
		if i < len(requests) {
			pinned[requests[i]] = c.Original
		}
	}
	catalogs, err := f.readCatalogs(ctx, out, sources, wanted, pinned)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnpinned, err)
	}
	for _, c := range catalogs {
		wanted.components = append(append(wanted.components, c.Image), c.Images...)
	}
	return nil
}

// addLayer is [layout.AddLayer] as package transfer takes it.
func addLayer(ctx context.Context, manifest oci.Descriptor, fetch func(context.Context, oci.Descriptor) ([]byte, error),
	tar io.Reader, edit func(*ispec.ImageConfig)) (transfer.MadeImage, error) {
	m, config, layer, err := layout.AddLayer(ctx, manifest, fetch, tar, edit, "satchel: the selected catalog")
	return transfer.MadeImage{
		Manifest: transfer.MadeContent(m), Config: transfer.MadeContent(config), Layer: transfer.MadeContent(layer),
	}, err
}
