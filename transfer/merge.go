package transfer

import (
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// merger makes one selection of the images, each digest once, in their order.
type merger struct {
	options SelectOptions
	topUp   *Have // nil unless the images are its holes

	selection bundle.Selection
	// parsed are the manifests of all images, sizes what was selected.
	parsed map[digest.Digest]*oci.Manifest
	sizes  map[digest.Digest]int64
	// absent says of all children that some source does not have why.
	absent map[digest.Digest]string
	// held are the numbers, counted from 1, in the selection's list.
	held map[bundle.HeldImage]int
}

func (m *merger) merge(kept []*image) (bundle.Selection, error) {
	m.selection = bundle.Selection{Request: m.request(), Contents: make(map[digest.Digest][]byte)}
	m.parsed, m.sizes = make(map[digest.Digest]*oci.Manifest), make(map[digest.Digest]int64)
	m.absent, m.held = make(map[digest.Digest]string), make(map[bundle.HeldImage]int)
	for _, img := range kept {
		if img.gone == nil {
			m.addManifests(img)
		}
	}
	m.attach()
	for _, img := range kept {
		if img.gone != nil {
			m.selection.Missing = append(m.selection.Missing, bundle.Missing{
				Image: img.wanted.Name.String(), Part: img.wanted.Part, Destinations: img.wanted.Destinations, Reason: img.reason(img.gone),
			})
			continue
		}
		m.addImage(img)
		group, err := m.blobs(img)
		if err != nil {
			return m.selection, fmt.Errorf("image %s: %w", img.wanted.Name, err)
		}
		m.selection.Blobs = append(m.selection.Blobs, group)
	}
	if len(m.selection.Images) == 0 && len(kept) > 0 {
		return m.selection, fmt.Errorf("the source has none of the images: image %s: %w", kept[0].wanted.Name, kept[0].gone)
	}
	return m.selection, nil
}

func (m *merger) request() bundle.Request {
	o := m.options
	r := bundle.Request{
		Channel: o.Channel, Foreign: o.Foreign, NoAttachments: o.NoAttachments, Platforms: o.Platforms, Sparse: o.Sparse,
	}
	r.Catalogs, r.CatalogsAsIs = o.CatalogRequests, o.CatalogsAsIs
	for _, pattern := range o.Block {
		r.Block = append(r.Block, pattern.String())
	}
	for _, release := range o.Releases {
		r.Releases = append(r.Releases, release.Reference)
		r.Unsigned = r.Unsigned || release.Unsigned != ""
	}
	for _, h := range o.Have {
		r.Have = append(r.Have, h.Digest)
	}
	slices.Sort(r.Have)
	r.Have = slices.Compact(r.Have)
	if m.topUp != nil {
		r.TopUp = m.topUp.Digest
	}
	return r
}

// distinct leaves out what was named again.
func (m *merger) distinct(images []*image) ([]*image, error) {
	named := make(map[string]*image)
	var kept []*image
	for _, img := range images {
		name := img.wanted.Name.String()
		other, ok := named[name]
		if ok && other.root.Digest != img.root.Digest {
			return nil, fmt.Errorf("image %s: named twice, as %s and as %s", name, other.root.Digest, img.root.Digest)
		}
		if ok {
			other.wanted.Join(img.wanted)
			continue
		}
		named[name] = img
		kept = append(kept, img)
	}
	return kept, nil
}

// Join takes over what naming an image again says of it: a part of a release is
// named as that, whoever else wants it.
func (w *Wanted) Join(again Wanted) {
	if w.Part == "" {
		w.Part = again.Part
	}
	for _, d := range again.Destinations {
		if !slices.Contains(w.Destinations, d) {
			w.Destinations = append(w.Destinations, d)
		}
	}
}

// attach adds what is attached for releases, but for signatures of children that
// are left out. Being small, it comes before the images' blobs.
func (m *merger) attach() {
	var group []bundle.Blob
	for _, r := range m.options.Releases {
		if m.parsed[r.Digest] == nil {
			continue // the source does not have it
		}
		attached, blobs := r.attach()
		for i, a := range attached {
			if m.parsed[a.Subject] == nil {
				continue
			}
			m.selection.Attached = append(m.selection.Attached, a)
			if b := blobs[i]; m.sizes[b.Digest] == 0 {
				m.sizes[b.Digest] = b.Size
				group = append(group, b)
			}
		}
	}
	for _, c := range m.options.Catalogs {
		if root := c.Image.Root; m.parsed[root] != nil {
			m.selection.Attached = append(m.selection.Attached, c.attach(bundle.Content{
				Digest: root, MediaType: m.parsed[root].MediaType, Size: m.sizes[root],
			}))
		}
	}
	if len(group) > 0 {
		m.selection.Blobs = append(m.selection.Blobs, group)
	}
}

func (m *merger) addManifests(img *image) {
	for _, one := range img.manifests {
		d := one.descriptor
		if m.parsed[d.Digest] != nil {
			continue
		}
		m.parsed[d.Digest], m.sizes[d.Digest] = one.parsed, d.Size
		m.selection.Manifests = append(m.selection.Manifests, bundle.Manifest{Content: bundle.ContentOf(d), Origin: img.originOf(d.Digest)})
		m.selection.Contents[d.Digest], _ = img.cache.get(img.source(), d.Digest)
	}
	for d, reason := range img.absent {
		if _, ok := m.absent[d]; !ok {
			m.absent[d] = reason
		}
	}
}

// addImage adds the image, once all manifests are there, and the children that
// are missing.
func (m *merger) addImage(img *image) {
	if len(img.absent) > 0 {
		img.sparse = m.addMissing(img)
	}
	m.selection.Images = append(m.selection.Images, bundle.Image{
		Reference: img.wanted.Name.String(), Root: bundle.ContentOf(img.root), Sparse: img.sparse,
		Platforms: slices.Sorted(maps.Keys(img.platforms)), Part: img.wanted.Part,
		AttachedTo: img.wanted.AttachedTo, Destinations: img.wanted.Destinations,
	})
}

// addMissing notes the children that the image lacks, and reports whether any
// child is left out. What the image's own source does not have may have come
// with another image.
func (m *merger) addMissing(img *image) (sparse bool) {
	seen := make(map[digest.Digest]bool)
	var visit func(d digest.Digest)
	visit = func(d digest.Digest) {
		for _, child := range m.parsed[d].Manifests {
			if seen[child.Digest] {
				continue
			}
			seen[child.Digest] = true
			if m.parsed[child.Digest] != nil {
				visit(child.Digest)
				continue
			}
			sparse = true
			reason, ok := img.absent[child.Digest]
			if !ok {
				reason, ok = m.absent[child.Digest]
			}
			if ok {
				m.selection.Missing = append(m.selection.Missing, bundle.Missing{
					Digest: child.Digest, Image: img.wanted.Name.String(), Reason: reason,
				})
			}
		}
	}
	visit(img.root.Digest)
	return sparse
}

// blobs returns the blobs that the image adds to what was selected.
func (m *merger) blobs(img *image) ([]bundle.Blob, error) {
	var group []bundle.Blob
	came := img.cameWith()
	for _, one := range img.manifests {
		for _, d := range one.parsed.Blobs {
			origin := img.originOf(d.Digest)
			if oci.IsForeign(d.MediaType) {
				if !m.options.Foreign {
					return nil, fmt.Errorf("layer %s: %w", d.Digest, ErrForeign)
				}
				if len(d.URLs) > 0 {
					origin = bundle.Origin{URLs: d.URLs}
				}
			}
			if size, ok := m.sizes[d.Digest]; ok {
				if size != d.Size {
					return nil, fmt.Errorf("blob %s: stated with %d and with %d bytes", d.Digest, size, d.Size)
				}
				continue
			}
			m.sizes[d.Digest] = d.Size
			if d.MediaType == "" {
				d.MediaType = "application/octet-stream"
			}
			b := bundle.Blob{
				Content: bundle.ContentOf(d), Origin: origin, Compress: oci.IsUncompressed(d.MediaType) && d.Size > 0,
			}
			if held, ok := m.holder(b.Content); ok {
				b.Held = m.number(held)
			} else if came[d.Digest] {
				b.Held = m.number(m.topUp.held(heldFrom{reference: img.hole.reference, repository: img.hole.repository}))
			}
			group = append(group, b)
		}
	}
	return group, nil
}

// holder returns the image with which the site got the blob. A complete image
// says more of where the blob is than one that lacks something.
func (m *merger) holder(c bundle.Content) (bundle.HeldImage, bool) {
	if m.topUp != nil {
		if held, ok := m.topUp.Holder(c); ok {
			return held, true
		}
	}
	for _, h := range m.options.Have {
		if held, ok := h.Holder(c); ok {
			return held, true
		}
	}
	return bundle.HeldImage{}, false
}

// number returns the image's number in the list of held images, counted from 1.
func (m *merger) number(held bundle.HeldImage) int {
	n, ok := m.held[held]
	if !ok {
		m.selection.Held = append(m.selection.Held, held)
		n = len(m.selection.Held)
		m.held[held] = n
	}
	return n
}
