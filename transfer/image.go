package transfer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// image is one wanted image being read.
type image struct {
	wanted  Wanted
	hole    *hole // what it is of topUp
	topUp   *Have // nil unless holes are filled
	sources Sources
	options SelectOptions
	cache   *manifestCache

	root      oci.Descriptor
	manifests []manifest // children before parents
	sparse    bool
	platforms map[string]bool
	// gone says why all of the image is missing, absent why children are.
	gone   error
	absent map[digest.Digest]string
	// broken is what went wrong while looking whether a child is there.
	broken error
}

type manifest struct {
	descriptor oci.Descriptor
	parsed     *oci.Manifest
}

// newImage returns an image to be read; hole is nil unless one is filled.
func newImage(w Wanted, hole *hole) *image {
	return &image{wanted: w, hole: hole, platforms: make(map[string]bool), absent: make(map[digest.Digest]string)}
}

func (img *image) origin() bundle.Origin {
	if img.wanted.Local != "" {
		return bundle.Origin{Local: img.wanted.Local}
	}
	return bundle.Origin{Repository: img.wanted.Name.Repository}
}

// made returns content that satchel made for the image.
func (img *image) made(d digest.Digest) ([]byte, bool) {
	if img.wanted.Made == nil {
		return nil, false
	}
	content, ok := img.wanted.Made.Contents[d]
	return content, ok
}

// originOf says where content of the image comes from.
func (img *image) originOf(d digest.Digest) bundle.Origin {
	content, ok := img.made(d)
	switch {
	case !ok:
		return img.origin()
	case img.wanted.Made.Derived[d] != nil:
		return bundle.Origin{Derived: img.wanted.Made.Derived[d]}
	}
	return bundle.Origin{Inline: content}
}

// called names the image for people.
func (img *image) called() string {
	if len(img.wanted.Operators) == 0 {
		return img.wanted.Name.String()
	}
	return img.wanted.Name.String() + ", which " + img.wanted.neededBy()
}

// neededBy renders "alpha, beta need", for people.
func (w *Wanted) neededBy() string {
	if len(w.Operators) == 1 {
		return w.Operators[0] + " needs"
	}
	return strings.Join(w.Operators, ", ") + " need"
}

// source names the origin; labels and repositories differ by the slash.
func (img *image) source() string { return img.wanted.Local + "/" + img.origin().Repository }

func (img *image) read(ctx context.Context) error {
	if err := img.resolve(ctx); err != nil {
		return err
	}
	if img.hole != nil && img.hole.root != "" {
		return img.readHole(ctx)
	}
	if len(img.options.Platforms) == 0 || !oci.IsIndex(img.root.MediaType) {
		return img.walk(ctx, nil)
	}
	chosen, err := img.choose(ctx)
	if err != nil {
		return err
	}
	for _, want := range img.options.Platforms {
		if !chosen.offers(want) {
			return fmt.Errorf("it has no platform %s, but %s", want, strings.Join(slices.Sorted(maps.Keys(chosen.offered)), ", "))
		}
	}
	if img.options.Sparse {
		return img.walk(ctx, chosen.keep)
	}
	if img.wanted.Name.Digest != "" {
		return fmt.Errorf("it was asked for by digest: %w", ErrSparse)
	}
	if len(img.options.Platforms) > 1 {
		return fmt.Errorf("several platforms were asked for: %w", ErrSparse)
	}
	if len(chosen.leaves) > 1 {
		var found []string
		for _, d := range chosen.leaves {
			found = append(found, oci.PlatformString(*d.Platform))
		}
		slices.Sort(found)
		return fmt.Errorf("platform %s fits several: %s", img.options.Platforms[0], strings.Join(found, ", "))
	}
	img.root = chosen.leaves[0]
	return img.walk(ctx, nil)
}

func (img *image) resolve(ctx context.Context) error {
	w := img.wanted
	if w.Made != nil {
		img.root = w.Made.Root
		return nil
	}
	if w.Local == "" {
		ref := w.Name
		if w.Root != "" {
			ref = oci.Reference{Repository: ref.Repository, Digest: w.Root}
		}
		d, content, err := img.sources.Registry.Resolve(ctx, ref)
		if err != nil {
			return err
		}
		img.root = d
		return img.cache.put(img.source(), d.Digest, content)
	}
	layout, ok := img.sources.Layouts[w.Local]
	if !ok {
		return fmt.Errorf("local source %s is not named", w.Local)
	}
	var err error
	if img.root, err = layout.Resolve(ctx, w.Entry); err != nil {
		return err
	}
	if w.Root != "" && img.root.Digest != w.Root {
		return fmt.Errorf("local source %s has it as %s, and not as %s", w.Local, img.root.Digest, w.Root)
	}
	return nil
}

func (img *image) fetch(ctx context.Context, d oci.Descriptor) ([]byte, error) {
	if content, ok := img.cache.get(img.source(), d.Digest); ok {
		return content, oci.Verify(content, d)
	}
	if content, ok := img.made(d.Digest); ok {
		return content, img.cache.put(img.source(), d.Digest, content)
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
	return content, img.cache.put(img.source(), d.Digest, content)
}

// walk collects the manifests, of an index's children only those that filter
// takes, or all when it is nil.
func (img *image) walk(ctx context.Context, filter func(oci.Descriptor) bool) error {
	img.notePlatform(img.root)
	dropped := make(map[digest.Digest]bool)
	keep := func(d oci.Descriptor) bool {
		dropped[d.Digest] = filter != nil && !filter(d) || !img.has(ctx, d)
		return !dropped[d.Digest]
	}
	err := oci.Walk(ctx, img.root, img.fetch, keep, func(d oci.Descriptor, _ []byte, m *oci.Manifest) error {
		for _, child := range m.Manifests {
			if dropped[child.Digest] {
				img.sparse = true
				continue
			}
			img.notePlatform(child)
		}
		img.manifests = append(img.manifests, manifest{d, m})
		return img.broken
	})
	return err
}

func (img *image) notePlatform(d oci.Descriptor) {
	if d.Platform == nil || oci.IsIndex(d.MediaType) {
		return
	}
	if s := oci.PlatformString(*d.Platform); bundle.ValidPlatform(s) && s != "unknown/unknown" {
		img.platforms[s] = true
	}
}

// choice is what a choice of platforms leaves of an index.
type choice struct {
	// leaves are the manifests of the platforms; kept are these and the indexes
	// that lead to them, by digest.
	leaves []oci.Descriptor
	kept   map[digest.Digest]bool
	// offered are the platforms that there are.
	offered map[string]bool
}

func (c *choice) keep(d oci.Descriptor) bool { return c.kept[d.Digest] }

func (c *choice) offers(want string) bool {
	return slices.ContainsFunc(c.leaves, func(d oci.Descriptor) bool { return fits(*d.Platform, want) })
}

// choose looks for the manifests of the wanted platforms.
func (img *image) choose(ctx context.Context) (*choice, error) {
	c := &choice{kept: make(map[digest.Digest]bool), offered: make(map[string]bool)}
	follow := func(d oci.Descriptor) bool {
		if oci.IsIndex(d.MediaType) {
			return img.has(ctx, d)
		}
		if d.Platform == nil {
			return false
		}
		c.offered[oci.PlatformString(*d.Platform)] = true
		if slices.ContainsFunc(img.options.Platforms, func(want string) bool { return fits(*d.Platform, want) }) && !c.kept[d.Digest] {
			c.kept[d.Digest] = true
			c.leaves = append(c.leaves, d)
		}
		return false
	}
	err := oci.Walk(ctx, img.root, img.fetch, follow, func(d oci.Descriptor, _ []byte, m *oci.Manifest) error {
		c.kept[d.Digest] = slices.ContainsFunc(m.Manifests, c.keep)
		return img.broken
	})
	return c, err
}

// fits reports whether a platform is the wanted OS/ARCH[/VARIANT]; without a
// wanted variant any will do.
func fits(p oci.Platform, want string) bool {
	return oci.PlatformString(p) == want || strings.Count(want, "/") == 1 && p.OS+"/"+p.Architecture == want
}

// isAbsence reports whether an error says that a source does not have what was
// asked for, rather than that something failed.
func isAbsence(from bundle.Origin, err error) bool {
	if from.Local != "" {
		return errors.Is(err, fs.ErrNotExist)
	}
	n := notFound(nil)
	return errors.As(err, &n) && n.NotFound()
}

// reason says in a plan why something is missing. An error of a local source
// has a path, and no path stands in a plan.
func (img *image) reason(err error) string {
	if img.wanted.Local != "" {
		return bundle.CleanReason("local source " + img.wanted.Local + " does not have it")
	}
	if len(img.wanted.Operators) > 0 {
		return bundle.CleanReason("needed by " + strings.Join(img.wanted.Operators, ", ") + ": " + err.Error())
	}
	return bundle.CleanReason(err.Error())
}

// has reports whether the source has a child of an index. Without SkipMissing it
// does not look: then what is not there is an error.
func (img *image) has(ctx context.Context, d oci.Descriptor) bool {
	if !img.options.SkipMissing {
		return true
	}
	if _, ok := img.absent[d.Digest]; ok || img.broken != nil {
		return false
	}
	_, err := img.fetch(ctx, d)
	switch {
	case err == nil:
		return true
	case !isAbsence(img.origin(), err):
		img.broken = fmt.Errorf("manifest %s: %w", d.Digest, err)
		return false
	}
	img.absent[d.Digest] = img.reason(err)
	return false
}
