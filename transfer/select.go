package transfer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"satchel/bundle"
	"satchel/oci"
)

// Wanted is one image to pack.
type Wanted struct {
	// Name is the image's full reference: where it is in a registry or, for a
	// local source, what it is to be called.
	Name oci.Reference
	// Local is the label of a local source; empty for a registry.
	Local string
	// Entry names the image within a local source.
	Entry string
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
	// Jobs is how many images are read side by side; 0 means 32.
	Jobs     int
	Progress func(Event)
}

// ErrForeign is returned for images with foreign layers unless they are asked
// for.
var ErrForeign = errors.New("foreign layer, which its publisher does not allow to distribute")

// ErrSparse is returned where a choice of platforms would change a digest that
// was asked for, or leave an index with holes.
var ErrSparse = errors.New("the choice of platforms needs a sparse index")

// Select reads the manifests of the wanted images, many side by side, and
// returns what a plan needs. Tags are resolved once, here. It asks for no blob.
// Errors name the image. The selection has no name yet.
func Select(ctx context.Context, sources Sources, wanted []Wanted, o SelectOptions) (bundle.Selection, error) {
	if o.Jobs == 0 {
		o.Jobs = 32
	}
	images := make([]*image, len(wanted))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Jobs)
	cache := &manifestCache{contents: make(map[digest.Digest][]byte)}
	for i, w := range wanted {
		g.Go(func() error {
			img := &image{wanted: w, sources: sources, options: o, cache: cache}
			if err := img.read(ctx); err != nil {
				return fmt.Errorf("image %s: %w", w.Name, err)
			}
			images[i] = img
			tell(o.Progress, Event{Kind: ImageResolved, Image: w.Name.String(), Digest: img.root.Digest})
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return bundle.Selection{}, err
	}
	return merge(images, o)
}

// manifestCache spares reading again what several images share.
type manifestCache struct {
	mu       sync.Mutex
	contents map[digest.Digest][]byte
	bytes    int64
}

func (c *manifestCache) get(d digest.Digest) ([]byte, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	content, ok := c.contents[d]
	return content, ok
}

func (c *manifestCache) put(d digest.Digest, content []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
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

// image is one wanted image being read.
type image struct {
	wanted  Wanted
	sources Sources
	options SelectOptions
	cache   *manifestCache

	root      oci.Descriptor
	manifests []manifest // children before parents
	sparse    bool
	platforms map[string]bool
}

type manifest struct {
	descriptor oci.Descriptor
	parsed     *oci.Manifest
}

func (img *image) origin() bundle.Origin {
	if img.wanted.Local != "" {
		return bundle.Origin{Local: img.wanted.Local}
	}
	return bundle.Origin{Repository: img.wanted.Name.Repository}
}

func (img *image) read(ctx context.Context) error {
	if err := img.resolve(ctx); err != nil {
		return err
	}
	if len(img.options.Platforms) == 0 || !oci.IsIndex(img.root.MediaType) {
		return img.walk(ctx, nil)
	}
	chosen, err := img.choose(ctx)
	if err != nil {
		return err
	}
	if !img.options.Sparse {
		if img.wanted.Name.Digest != "" {
			return fmt.Errorf("it was asked for by digest: %w", ErrSparse)
		}
		if len(img.options.Platforms) > 1 {
			return fmt.Errorf("several platforms were asked for: %w", ErrSparse)
		}
		var matches []oci.Descriptor
		for _, d := range chosen {
			if !oci.IsIndex(d.MediaType) {
				matches = append(matches, d)
			}
		}
		if len(matches) > 1 {
			var found []string
			for _, d := range matches {
				found = append(found, oci.PlatformString(*d.Platform))
			}
			slices.Sort(found)
			return fmt.Errorf("platform %s fits several: %s", img.options.Platforms[0], strings.Join(found, ", "))
		}
		img.root = matches[0]
		return img.walk(ctx, nil)
	}
	return img.walk(ctx, chosen)
}

func (img *image) resolve(ctx context.Context) error {
	if img.wanted.Local == "" {
		d, content, err := img.sources.Registry.Resolve(ctx, img.wanted.Name)
		if err != nil {
			return err
		}
		img.root = d
		return img.cache.put(d.Digest, content)
	}
	layout, ok := img.sources.Layouts[img.wanted.Local]
	if !ok {
		return fmt.Errorf("local source %s is not named", img.wanted.Local)
	}
	var err error
	img.root, err = layout.Resolve(ctx, img.wanted.Entry)
	return err
}

func (img *image) fetch(ctx context.Context, d oci.Descriptor) ([]byte, error) {
	if content, ok := img.cache.get(d.Digest); ok {
		return content, oci.Verify(content, d)
	}
	var content []byte
	var err error
	if img.wanted.Local != "" {
		content, err = img.sources.Layouts[img.wanted.Local].Manifest(ctx, d)
	} else {
		content, err = img.sources.Registry.Manifest(ctx, img.wanted.Name.Repository, d)
	}
	if err != nil {
		return nil, err
	}
	return content, img.cache.put(d.Digest, content)
}

// walk collects the manifests, of an index's children only those in keep, or
// all when keep is nil.
func (img *image) walk(ctx context.Context, keep map[digest.Digest]oci.Descriptor) error {
	var filter func(oci.Descriptor) bool
	if keep != nil {
		filter = func(d oci.Descriptor) bool { _, ok := keep[d.Digest]; return ok }
	}
	img.platforms = make(map[string]bool)
	img.notePlatform(img.root)
	return oci.Walk(ctx, img.root, img.fetch, filter, func(d oci.Descriptor, _ []byte, m *oci.Manifest) error {
		for _, child := range m.Manifests {
			if filter != nil && !filter(child) {
				img.sparse = true
				continue
			}
			img.notePlatform(child)
		}
		img.manifests = append(img.manifests, manifest{d, m})
		return nil
	})
}

func (img *image) notePlatform(d oci.Descriptor) {
	if d.Platform == nil || oci.IsIndex(d.MediaType) {
		return
	}
	if s := oci.PlatformString(*d.Platform); bundle.ValidPlatform(s) && s != "unknown/unknown" {
		img.platforms[s] = true
	}
}

// choose returns the manifests of the wanted platforms and the indexes that lead
// to them.
func (img *image) choose(ctx context.Context) (map[digest.Digest]oci.Descriptor, error) {
	chosen := make(map[digest.Digest]oci.Descriptor)
	offered := make(map[string]bool)
	follow := func(d oci.Descriptor) bool {
		if oci.IsIndex(d.MediaType) {
			return true
		}
		if d.Platform == nil {
			return false
		}
		offered[oci.PlatformString(*d.Platform)] = true
		if slices.ContainsFunc(img.options.Platforms, func(want string) bool { return fits(*d.Platform, want) }) {
			chosen[d.Digest] = d
		}
		return false
	}
	err := oci.Walk(ctx, img.root, img.fetch, follow, func(d oci.Descriptor, _ []byte, m *oci.Manifest) error {
		for _, child := range m.Manifests {
			if _, ok := chosen[child.Digest]; ok {
				chosen[d.Digest] = d
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, want := range img.options.Platforms {
		if !slices.ContainsFunc(slices.Collect(maps.Values(chosen)), func(d oci.Descriptor) bool {
			return !oci.IsIndex(d.MediaType) && fits(*d.Platform, want)
		}) {
			return nil, fmt.Errorf("it has no platform %s, but %s", want, strings.Join(slices.Sorted(maps.Keys(offered)), ", "))
		}
	}
	return chosen, nil
}

// fits reports whether a platform is the wanted OS/ARCH[/VARIANT]; without a
// wanted variant any will do.
func fits(p oci.Platform, want string) bool {
	return oci.PlatformString(p) == want || strings.Count(want, "/") == 1 && p.OS+"/"+p.Architecture == want
}

// merge makes one selection of the images, each digest once, in their order.
func merge(images []*image, o SelectOptions) (bundle.Selection, error) {
	s := bundle.Selection{
		Request:  bundle.Request{Platforms: o.Platforms, Sparse: o.Sparse, Foreign: o.Foreign},
		Contents: make(map[digest.Digest][]byte),
	}
	sizes := make(map[digest.Digest]int64)
	names := make(map[string]digest.Digest)
	kept := images[:0:0]
	for _, img := range images {
		name := img.wanted.Name.String()
		if other, ok := names[name]; ok {
			if other != img.root.Digest {
				return s, fmt.Errorf("image %s: named twice, as %s and as %s", name, other, img.root.Digest)
			}
			continue
		}
		names[name] = img.root.Digest
		kept = append(kept, img)
		s.Images = append(s.Images, bundle.Image{
			Reference: name, Root: bundle.ContentOf(img.root), Sparse: img.sparse,
			Platforms: slices.Sorted(maps.Keys(img.platforms)),
		})
		for _, m := range img.manifests {
			d := m.descriptor
			if _, ok := sizes[d.Digest]; ok {
				continue
			}
			sizes[d.Digest] = d.Size
			s.Manifests = append(s.Manifests, bundle.Manifest{Content: bundle.ContentOf(d), Origin: img.origin()})
			s.Contents[d.Digest], _ = img.cache.get(d.Digest)
		}
	}
	for _, img := range kept {
		group, err := img.blobs(sizes)
		if err != nil {
			return s, fmt.Errorf("image %s: %w", img.wanted.Name, err)
		}
		s.Blobs = append(s.Blobs, group)
	}
	return s, nil
}

// blobs returns the blobs that the image adds to what sizes has.
func (img *image) blobs(sizes map[digest.Digest]int64) ([]bundle.Blob, error) {
	var group []bundle.Blob
	for _, m := range img.manifests {
		for _, d := range m.parsed.Blobs {
			origin := img.origin()
			if oci.IsForeign(d.MediaType) {
				if !img.options.Foreign {
					return nil, fmt.Errorf("layer %s: %w", d.Digest, ErrForeign)
				}
				if len(d.URLs) > 0 {
					origin = bundle.Origin{URLs: d.URLs}
				}
			}
			if size, ok := sizes[d.Digest]; ok {
				if size != d.Size {
					return nil, fmt.Errorf("blob %s: stated with %d and with %d bytes", d.Digest, size, d.Size)
				}
				continue
			}
			sizes[d.Digest] = d.Size
			if d.MediaType == "" {
				d.MediaType = "application/octet-stream"
			}
			group = append(group, bundle.Blob{
				Content: bundle.ContentOf(d), Origin: origin, Compress: oci.IsUncompressed(d.MediaType) && d.Size > 0,
			})
		}
	}
	return group, nil
}
