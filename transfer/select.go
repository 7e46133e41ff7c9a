package transfer

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// Wanted is one image to pack.
type Wanted struct {
	// Name is the image's full reference: where it is in a registry or, for a
	// local source, what it is to be called.
	Name oci.Reference
	// Root, if it is not empty, is what is packed under the name, whatever the
	// name means now.
	Root digest.Digest
	// Local is the label of a local source; empty for a registry.
	Local string
	// Entry names the image within a local source.
	Entry string
	// Part says what the image is of a release, as [bundle.Image.Part] does.
	Part string
	// Destinations are as in [bundle.Image.Destinations], AttachedTo as in
	// [bundle.Image.AttachedTo].
	Destinations []string
	AttachedTo   string
	// Made is the image itself, where satchel made it; Name is what it is called.
	// What it names and Made does not have comes from the repository of Name.
	Made *Made
	// Operators are those that need the image, for people.
	Operators []string
	// AllPlatforms keeps all, whatever platforms are chosen.
	AllPlatforms bool
}

// SelectOptions say what of the images is packed.
type SelectOptions struct {
	// Platforms keeps only these, OS/ARCH[/VARIANT]; none keeps all. One
	// becomes the image's root, unless Sparse.
	Platforms []string
	// Sparse keeps indexes whose children are partly left out.
	Sparse bool
	// Foreign fetches foreign layers from their URLs instead of refusing them.
	Foreign bool
	// Have say what the site has: these blobs, never manifests, are left out of
	// the volumes. Of several that have a blob the first counts.
	Have []*Have
	// SkipMissing goes on without the images, and the children of indexes, that
	// the source does not have, and notes them in the selection.
	SkipMissing bool
	// Releases are those of which the images are wanted too, before all others.
	Releases []*Release
	// Catalogs are those of which the images are wanted too, after the releases'.
	Catalogs []*Catalog
	// CatalogRequests are noted in the request; see [bundle.Request.Catalogs].
	CatalogRequests []string
	CatalogsAsIs    bool
	// Channel is noted in the request; see [bundle.Request.Channel].
	Channel string
	// Block keeps out the images whose reference one of the patterns matches,
	// somewhere in it; only parts of a release and catalogs may not be kept out.
	Block []*regexp.Regexp
	// NoAttachments leaves out signatures and whatever else is attached to
	// images. Otherwise what is there of it is taken, for each manifest.
	NoAttachments bool
	// Jobs is how many images are read side by side; 0 means 32.
	Jobs     int
	Progress func(Event)
}

// defaultReads is how many manifests are read side by side.
const defaultReads = 32

// ErrForeign is returned for images with foreign layers unless they are asked
// for.
var ErrForeign = errors.New("foreign layer, which its publisher does not allow to distribute")

// ErrBlocked is returned where images are kept out that something else cannot be
// without.
var ErrBlocked = errors.New("kept out")

// ErrSparse is returned where a choice of platforms would change a digest that
// was asked for, or leave an index with holes.
var ErrSparse = errors.New("the choice of platforms needs a sparse index")

// Select reads the manifests of the wanted images, many side by side, and
// returns what a plan needs. Tags are resolved once, here. It asks for no blob.
// Errors name the image. The selection has no name yet. With SkipMissing it is
// still an error when the source has none of the images.
func Select(ctx context.Context, sources Sources, wanted []Wanted, o SelectOptions) (bundle.Selection, error) {
	named := make(map[string]bool)
	o.Releases = slices.DeleteFunc(slices.Clone(o.Releases), func(r *Release) bool {
		again := named[r.Reference+string(r.Digest)]
		named[r.Reference+string(r.Digest)] = true
		return again
	})
	var all []Wanted
	for _, r := range o.Releases {
		all = append(all, r.Images...)
	}
	for _, c := range o.Catalogs {
		all = append(append(all, c.Image), c.Images...)
	}
	all, blocked, err := withoutBlocked(append(all, wanted...), o.Block)
	if err != nil {
		return bundle.Selection{}, err
	}
	images := make([]*image, len(all))
	for i, w := range all {
		images[i] = newImage(w, nil)
	}
	selection, err := selectImages(ctx, sources, images, o, nil)
	selection.Blocked = blocked
	return selection, err
}

// withoutBlocked leaves out what a pattern matches, and returns its references,
// sorted.
func withoutBlocked(all []Wanted, patterns []*regexp.Regexp) (kept []Wanted, blocked []string, err error) {
	for _, w := range all {
		name := w.Name.String()
		i := slices.IndexFunc(patterns, func(p *regexp.Regexp) bool { return p.MatchString(name) })
		if i < 0 {
			kept = append(kept, w)
			continue
		}
		what := map[string]string{
			bundle.PartRelease: "a release", bundle.PartComponent: "a release, which is carried whole", bundle.PartCatalog: "a catalog",
		}[w.Part]
		if what != "" {
			return nil, nil, fmt.Errorf("image %s: %w by %q, and it is of %s", name, ErrBlocked, patterns[i], what)
		}
		blocked = append(blocked, name)
	}
	slices.Sort(blocked)
	return kept, slices.Compact(blocked), nil
}

// selectImages reads the images and joins them. topUp is nil unless the images
// are its holes.
func selectImages(ctx context.Context, sources Sources, images []*image, o SelectOptions, topUp *Have) (bundle.Selection, error) {
	if o.Jobs == 0 {
		o.Jobs = defaultReads
	}
	cache := newManifestCache(o.SkipMissing)
	for _, img := range images {
		img.sources, img.options, img.cache, img.topUp = sources, o, cache, topUp
		if img.wanted.AllPlatforms || img.wanted.Made != nil {
			img.options.Platforms, img.options.Sparse = nil, false
		}
	}
	if err := readImages(ctx, images, o); err != nil {
		return bundle.Selection{}, err
	}
	m := merger{options: o, topUp: topUp}
	kept, err := m.distinct(images)
	if err != nil {
		return bundle.Selection{}, err
	}
	if !o.NoAttachments && sources.Referrers != nil {
		if kept, err = withAttachments(ctx, kept, o.Jobs); err != nil {
			return bundle.Selection{}, err
		}
	}
	return m.merge(kept)
}

// manifestCache spares reading again what several images share.
type manifestCache struct {
	mu       sync.Mutex
	contents map[digest.Digest][]byte
	bytes    int64
	// strict gives an image only what its own source served, so that what is
	// missing does not depend on which image was read first.
	strict bool
	served map[servedBy]bool
}

func newManifestCache(strict bool) *manifestCache {
	return &manifestCache{contents: make(map[digest.Digest][]byte), served: make(map[servedBy]bool), strict: strict}
}

type servedBy struct {
	source string
	digest digest.Digest
}

func (c *manifestCache) get(source string, d digest.Digest) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.strict && !c.served[servedBy{source, d}] {
		return nil, false
	}
	content, ok := c.contents[d]
	return content, ok
}

func (c *manifestCache) put(source string, d digest.Digest, content []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.served[servedBy{source, d}] = true
	if _, ok := c.contents[d]; ok {
		return nil
	}
	c.bytes += int64(len(content))
	if c.bytes > bundle.MaxManifestBytes {
		return fmt.Errorf("manifests of more than %d bytes in one bundle", int64(bundle.MaxManifestBytes))
	}
	c.contents[d] = content
	return nil
}
