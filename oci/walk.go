package oci

import (
	"context"
	"fmt"

	"github.com/opencontainers/go-digest"
)

// FetchFunc returns the bytes of a manifest, checked against its descriptor.
type FetchFunc func(ctx context.Context, d Descriptor) ([]byte, error)

// VisitFunc is told of one manifest of an image: its descriptor as its parent
// names it, its bytes and what they say.
type VisitFunc func(d Descriptor, content []byte, m *Manifest) error

// Walk visits every manifest of the image at root, children before parents and
// each digest once. keep, if not nil, decides which children of an index are
// followed. It fails when indexes are nested deeper than [MaxDepth] or when
// there are more than [MaxBlobs] manifests; errors name the manifest. It is
// sequential; calls for different images may run concurrently.
func Walk(ctx context.Context, root Descriptor, fetch FetchFunc, keep func(Descriptor) bool, visit VisitFunc) error {
	w := walker{fetch: fetch, keep: keep, visit: visit, seen: make(map[digest.Digest]bool)}
	return w.walk(ctx, root, 1)
}

type walker struct {
	fetch FetchFunc
	keep  func(Descriptor) bool
	visit VisitFunc
	seen  map[digest.Digest]bool
}

func (w *walker) walk(ctx context.Context, d Descriptor, depth int) error {
	if w.seen[d.Digest] {
		return nil
	}
	if depth > MaxDepth {
		return fmt.Errorf("manifest %s: indexes are nested deeper than %d", d.Digest, MaxDepth)
	}
	if len(w.seen) >= MaxBlobs {
		return fmt.Errorf("manifest %s: image has more than %d manifests", d.Digest, MaxBlobs)
	}
	w.seen[d.Digest] = true
	content, err := w.fetch(ctx, d)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	m, err := ParseManifest(d.MediaType, content)
	if err != nil {
		return fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	for _, child := range m.Manifests {
		if w.keep != nil && !w.keep(child) {
			continue
		}
		if err := w.walk(ctx, child, depth+1); err != nil {
			return err
		}
	}
	return w.visit(d, content, m)
}
