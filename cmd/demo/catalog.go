package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"satchel/fixtures"
	"satchel/oci"
)

// The operators of the story that are carried, as pack --catalog has them and as
// they are named in the catalog.
const wantedOperators = "alpha:stable:1.1.0..1.2.0,gamma"

func wantedBundles() []string { return []string{"alpha.v1.1.0", "alpha.v1.2.0", "gamma.v3.1.4"} }

// offerCatalog fills the source with a small catalog of operators, made for the
// story, and all their images.
func (j *journey) offerCatalog(ctx context.Context) (fixtures.Catalog, error) {
	c := fixtures.NewCatalog(fixtures.CatalogSpec{Registry: j.source.Addr(), Packages: fixtures.DemoOperators()})
	if err := fixtures.Push(ctx, j.source.URL(), c.Images...); err != nil {
		return c, err
	}
	versions := 0
	for _, p := range c.Packages {
		versions += len(p.Bundles)
	}
	j.pen.say(`Operators come in a catalog, an image too: a list of versions, of what replaces what, and of the images that each needs. This one offers
%d operators in %d versions. Carried are two: alpha from 1.1.0 to 1.2.0, and gamma, of which the newest is taken when
no version is said. Release and operators go onto one stick:`, len(c.Packages), versions)
	return c, nil
}

// checkCatalog asks the site's registry for what was selected, and for nothing
// else.
func (j *journey) checkCatalog(ctx context.Context, c fixtures.Catalog) error {
	w := newWire(ctx)
	wanted := c.References(wantedBundles()...)
	for _, reference := range wanted {
		image := c.ImageOf(reference)
		if _, _, err := w.manifest(j.site.URL(), mirrored+"/"+image.Repository, string(image.Root.Digest)); err != nil {
			return err
		}
	}
	repositories, err := w.repositories(j.site.URL())
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(repositories, func(name string) bool { return strings.HasPrefix(name, mirrored+"/beta/") }); i >= 0 {
		return fmt.Errorf("catalog: repository %s is at the site, and nobody asked for it", repositories[i])
	}
	bundles, err := w.bundles(j.site.URL(), mirrored+"/"+c.Image.Repository, c.Image.Tag)
	if err != nil {
		return err
	}
	if !slices.Equal(bundles, wantedBundles()) {
		return fmt.Errorf("catalog at the site: it has %q, want %q", bundles, wantedBundles())
	}
	j.pen.say(`So are the %d images of the operators. The catalog at the site is a new one, with %s and nothing else: who looks at it is
offered what can be installed.`, len(wanted), strings.Join(bundles, ", "))
	return nil
}

// bundles reads the names of the bundles in the topmost layer of a catalog image,
// in order.
func (w *wire) bundles(base, repository, tag string) ([]string, error) {
	mediaType, content, err := w.manifest(base, repository, tag)
	if err != nil {
		return nil, err
	}
	m, err := oci.ParseManifest(mediaType, content)
	if err != nil {
		return nil, err
	}
	_, content, err = w.do(http.MethodGet, base+"/v2/"+repository+"/blobs/"+string(m.Blobs[len(m.Blobs)-1].Digest), nil)
	if err != nil {
		return nil, err
	}
	layer, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	var names []string
	for files := tar.NewReader(layer); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		if !strings.HasSuffix(h.Name, ".json") {
			continue
		}
		for documents := json.NewDecoder(files); ; {
			var d struct{ Schema, Name string }
			err := documents.Decode(&d)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", h.Name, err)
			}
			if d.Schema == "olm.bundle" {
				names = append(names, d.Name)
			}
		}
	}
}

// showCatalogSource shows how the cluster gets to know the catalog.
func (j *journey) showCatalogSource(c fixtures.Catalog) error {
	names, err := filepath.Glob(j.path(filepath.Join(siteFiles, "catalogSource-*.yaml")))
	if err == nil && len(names) != 1 {
		err = fmt.Errorf("%s: %d files of a CatalogSource, want one", siteFiles, len(names))
	}
	if err != nil {
		return err
	}
	content, err := os.ReadFile(names[0])
	if err != nil {
		return err
	}
	if want := j.site.Addr() + "/" + mirrored + "/" + c.Image.Repository + ":" + c.Image.Tag; !bytes.Contains(content, []byte("image: "+want+"\n")) {
		return fmt.Errorf("%s: it does not name %s", filepath.Base(names[0]), want)
	}
	j.pen.say("One of the files tells the cluster where its operators are:")
	j.pen.command("cat", siteFiles+"/"+filepath.Base(names[0]))
	j.show(string(content))
	return nil
}
