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

// wanted reads the flags.
func (f *catalogFlags) wanted() ([]transfer.WantedCatalog, error) {
	if f.asIs && len(f.requests) == 0 {
		return nil, usagef("--catalog-as-is means nothing without --catalog")
	}
	var all []transfer.WantedCatalog
	for _, s := range f.requests {
		name, selected, _ := strings.Cut(s, "=")
		ref, err := registry.ParseReference(name)
		if err != nil {
			return nil, &usageError{err}
		}
		request, err := catalog.ParseRequest(selected)
		if err != nil {
			return nil, usagef("--catalog %s: %w", name, err)
		}
		all = append(all, transfer.WantedCatalog{Wanted: transfer.Wanted{Name: ref}, Request: request, AsIs: f.asIs})
	}
	return all, nil
}

// read reads the catalogs. pinned, which may be nil, are roots by reference.
func (f *catalogFlags) read(ctx context.Context, out *output, sources transfer.Sources, pinned map[string]digest.Digest) ([]*transfer.Catalog, error) {
	wanted, err := f.wanted()
	if err != nil || len(wanted) == 0 {
		return nil, err
	}
	for i := range wanted {
		wanted[i].Root = pinned[f.requests[i]]
	}
	out.message("reading %s", count(len(wanted), "operator catalog"))
	catalogs, err := transfer.ReadCatalogs(ctx, sources, wanted, transfer.CatalogOptions{Parse: registry.ParseReference, AddLayer: addLayer})
	if err != nil {
		return nil, err
	}
	for _, c := range catalogs {
		out.message("catalog %s: %s, %s", c.Image.Name, count(len(c.Packages), "operator"), count(len(c.Images), "image"))
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

// pin reads the catalogs that a plan has, as they were then, to see whether they
// are what is wanted.
func (f *catalogFlags) pin(ctx context.Context, out *output, sources transfer.Sources, wanted *wantedImages, plan *bundle.Plan) error {
	if !slices.Equal(f.requests, plan.Request.Catalogs) || f.asIs != plan.Request.CatalogsAsIs {
		return nil // which is refused anyway
	}
	pinned := make(map[string]digest.Digest)
	for i, c := range transfer.Catalogs(plan) {
		if i < len(f.requests) {
			pinned[f.requests[i]] = c.Original
		}
	}
	catalogs, err := f.read(ctx, out, sources, pinned)
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
	tar io.Reader, edit func(*ispec.ImageConfig)) ([]transfer.MadeContent, error) {
	m, config, layer, err := layout.AddLayer(ctx, manifest, fetch, tar, edit, "satchel: the selected catalog")
	if err != nil {
		return nil, err
	}
	var made []transfer.MadeContent
	for _, a := range []layout.Added{m, config, layer} {
		made = append(made, transfer.MadeContent{Descriptor: a.Descriptor, Content: a.Content})
	}
	return made, nil
}
