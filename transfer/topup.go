package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// ErrWhole is returned for a top-up of what lacks nothing.
var ErrWhole = errors.New("nothing is lacking")

// ErrTopUpRelease is returned for a top-up of releases, whose payloads and
// signatures have to travel with them.
var ErrTopUpRelease = errors.New("it is part of a release, or a catalog, and these are packed again")

// SelectTopUp is [Select] for what an inventory or a receipt says is lacking:
// the images that are not complete, by their digests of then, with the blobs that
// they lack. Their other blobs are held by the bundle that topUp tells of. An
// image that the bundle never had is resolved anew. The selection
// has a name, made from that bundle's. local are images of local sources: they
// stand in for the lacking images of their names, and others are an error. What
// lacks nothing is [ErrWhole].
//
// What of the images is packed is what was packed then. A receipt holds the
// request, which takes the place of Platforms, Sparse and Foreign. An inventory
// holds none: of a sparse image, those children are taken that the bundle holds
// or lacks, whether they were chosen or what the source had; Platforms and Sparse
// are for images that are resolved anew only; and foreign layers are taken where
// the bundle had some. If there are sparse images, the new plan's request states
// the platforms of all.
func SelectTopUp(ctx context.Context, sources Sources, topUp *Have, local []Wanted, o SelectOptions) (bundle.Selection, error) {
	if len(topUp.holes) == 0 {
		return bundle.Selection{}, fmt.Errorf("top-up of bundle %s: %w", topUp.Name(), ErrWhole)
	}
	named := make(map[string]Wanted, len(local))
	for _, w := range local {
		named[w.Name.String()] = w
	}
	o.NoAttachments = true // those that were there are among the holes
	var images []*image
	for i := range topUp.holes {
		h := &topUp.holes[i]
		if h.part != "" || topUp.request != nil && slices.Contains(topUp.request.Releases, h.reference) {
			return bundle.Selection{}, fmt.Errorf("top-up of bundle %s: image %s: %w", topUp.Name(), h.reference, ErrTopUpRelease)
		}
		w, ok := named[h.reference]
		if delete(named, h.reference); !ok {
			var err error
			if w.Name, err = oci.SplitReference(h.reference); err != nil {
				return bundle.Selection{}, fmt.Errorf("top-up: %w", err)
			}
		}
		w.Root, w.Part, w.Destinations = h.root, h.part, h.destinations
		w.AllPlatforms = h.root == "" && topUp.hadAllPlatforms(w.Name)
		images = append(images, newImage(w, h))
	}
	for _, w := range local {
		if _, ok := named[w.Name.String()]; ok {
			return bundle.Selection{}, fmt.Errorf("top-up of bundle %s: image %s is not among those that lack something", topUp.Name(), w.Name)
		}
	}
	if topUp.request != nil {
		o.Platforms, o.Sparse, o.Foreign = topUp.request.Platforms, topUp.request.Sparse, topUp.request.Foreign
	} else {
		o.Foreign = o.Foreign || topUp.foreign
	}
	s, err := selectImages(ctx, sources, images, o, topUp)
	if err != nil {
		return s, err
	}
	s.Name = topUpName(topUp.Name())
	if topUp.request == nil {
		s.Request.Platforms, s.Request.Sparse = topUp.chosenThen(o)
	}
	return s, nil
}

// topUpName makes a bundle's name from that of the bundle whose holes it fills.
func topUpName(name string) string {
	const suffix = "-topup"
	return strings.TrimRight(name[:min(len(name), 64-len(suffix))], "._-") + suffix
}

// hadAllPlatforms reports whether an image that the bundle of a receipt never had
// was wanted with all its platforms, whatever was chosen. What operators need is,
// and an image by digest cannot be had otherwise without a sparse index.
func (h *Have) hadAllPlatforms(name oci.Reference) bool {
	return h.request != nil && (len(h.request.Catalogs) > 0 || name.Digest != "" && !h.request.Sparse)
}

// chosenThen returns the platforms that an inventory's images have where some are
// sparse, and whether any is, beside what is asked for now.
func (h *Have) chosenThen(o SelectOptions) (platforms []string, sparse bool) {
	platforms = slices.Clone(o.Platforms)
	if !slices.ContainsFunc(h.holes, func(hole hole) bool { return hole.sparse }) {
		return platforms, o.Sparse
	}
	for _, hole := range h.holes {
		platforms = append(platforms, hole.platforms...)
	}
	slices.Sort(platforms)
	return slices.Compact(platforms), true
}

// readHole reads an image whose root is known as it was packed then, and the
// children that it lacks.
func (img *image) readHole(ctx context.Context) error {
	o := img.options
	switch {
	case !oci.IsIndex(img.root.MediaType):
		for _, platform := range img.hole.platforms { // which its own manifest does not state
			img.platforms[platform] = true
		}
	case img.topUp.request == nil && img.hole.sparse:
		return img.walk(ctx, img.packedThen(ctx))
	case img.topUp.request != nil && len(o.Platforms) > 0 && o.Sparse:
		chosen, err := img.choose(ctx)
		if err != nil {
			return err
		}
		return img.walk(ctx, chosen.keep)
	}
	return img.walk(ctx, nil)
}

// packedThen returns a filter that takes the children which an inventory names
// or lacks, and all that is below what it lacks.
func (img *image) packedThen(ctx context.Context) func(oci.Descriptor) bool {
	below := make(map[digest.Digest]bool)
	return func(d oci.Descriptor) bool {
		if !img.topUp.lacks[d.Digest] {
			return img.topUp.manifests[d.Digest] || below[d.Digest]
		}
		if oci.IsIndex(d.MediaType) && img.has(ctx, d) {
			err := oci.Walk(ctx, d, img.fetch, func(child oci.Descriptor) bool {
				below[child.Digest] = true
				return oci.IsIndex(child.MediaType) && img.has(ctx, child)
			}, func(oci.Descriptor, []byte, *oci.Manifest) error { return nil })
			if err != nil && img.broken == nil {
				img.broken = err
			}
		}
		return true
	}
}

// cameWith returns the blobs that the bundle of a top-up's receipt held for the
// image and that the image does not lack: those which it names otherwise than
// through a manifest that it lacks. A receipt lists blobs of complete images
// only, but an image that says what it lacks has got the others.
func (img *image) cameWith() map[digest.Digest]bool {
	if img.hole == nil || !img.hole.known {
		return nil
	}
	parsed := make(map[digest.Digest]*oci.Manifest, len(img.manifests))
	for _, m := range img.manifests {
		parsed[m.descriptor.Digest] = m.parsed
	}
	blobs, seen := make(map[digest.Digest]bool), make(map[digest.Digest]bool)
	var visit func(d digest.Digest)
	visit = func(d digest.Digest) {
		if seen[d] || parsed[d] == nil || img.topUp.lacks[d] {
			return
		}
		seen[d] = true
		for _, b := range parsed[d].Blobs {
			if !img.topUp.lacks[b.Digest] {
				blobs[b.Digest] = true
			}
		}
		for _, child := range parsed[d].Manifests {
			visit(child.Digest)
		}
	}
	visit(img.root.Digest)
	return blobs
}
