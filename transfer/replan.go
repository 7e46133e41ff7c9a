package transfer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"satchel/bundle"
	"satchel/oci"
)

// MovedTag is a tag that no longer names what a plan has under it, or that could
// not be looked up.
type MovedTag struct {
	// Reference is the image's in the plan.
	Reference string
	// Planned is the root in the plan, Now what the tag names.
	Planned, Now digest.Digest
	// Err says why Now is not known; nil where it is.
	Err error
}

// Moved looks up the tags of a plan that is gone on with, jobs side by side (0
// means 32), and returns, in the plan's order, those that name something else by
// now, and those that could not be looked up. An image that was chosen by
// platform has not moved as long as it is below the index that the tag names. Not
// looked up are images from local sources, those that were named by digest, and
// all of a top-up, for which no tag was resolved either.
func Moved(ctx context.Context, sources Sources, plan *bundle.Plan, jobs int) []MovedTag {
	if plan.Request.TopUp != "" {
		return nil
	}
	if jobs == 0 {
		jobs = defaultReads
	}
	local := make(map[digest.Digest]bool)
	for i := range plan.Manifests {
		local[plan.Manifests[i].Digest] = plan.Manifests[i].Origin.Repository == ""
	}
	originals := make(map[string]digest.Digest)
	for _, c := range Catalogs(plan) {
		if c.Original != c.Digest {
			originals[c.Reference] = c.Original
		}
	}
	fetched := make(map[string]bool)
	for i := range plan.Blobs {
		fetched[plan.Blobs[i].Origin.Repository] = true
	}
	now := make([]MovedTag, len(plan.Images))
	var g errgroup.Group
	g.SetLimit(jobs)
	for i, image := range plan.Images {
		planned, made := originals[image.Reference]
		if !made {
			planned = image.Root.Digest
		}
		now[i] = MovedTag{Reference: image.Reference, Planned: planned, Now: planned}
		ref, err := oci.SplitReference(image.Reference)
		if err != nil || ref.Digest != "" || local[image.Root.Digest] && !(made && fetched[ref.Repository]) {
			now[i].Err = err
			continue
		}
		g.Go(func() error {
			now[i].Now, now[i].Err = resolveAgain(ctx, sources.Registry, ref, plan.Request, planned)
			return nil
		})
	}
	_ = g.Wait() // what went wrong is in the list
	return slices.DeleteFunc(now, func(m MovedTag) bool { return m.Err == nil && m.Now == m.Planned })
}

// resolveAgain returns what the tag names, and planned where that is still below
// an index out of which it was chosen.
func resolveAgain(ctx context.Context, source Registry, ref oci.Reference, request bundle.Request, planned digest.Digest) (digest.Digest, error) {
	root, content, err := source.Resolve(ctx, ref)
	if err != nil {
		return "", err
	}
	chosen := len(request.Platforms) > 0 && !request.Sparse
	if root.Digest == planned || !chosen || !oci.IsIndex(root.MediaType) {
		return root.Digest, nil
	}
	fetch := func(ctx context.Context, d oci.Descriptor) ([]byte, error) {
		if d.Digest == root.Digest {
			return content, nil
		}
		return source.Manifest(ctx, ref.Repository, d)
	}
	now := root.Digest
	keep := func(d oci.Descriptor) bool {
		if d.Digest == planned {
			now = planned
		}
		return now != planned && oci.IsIndex(d.MediaType)
	}
	if err := oci.Walk(ctx, root, fetch, keep, func(oci.Descriptor, []byte, *oci.Manifest) error { return nil }); err != nil {
		return "", err
	}
	return now, nil
}

// FetchManifests fetches the manifests of a plan, which lies alone in a file, by
// their digests from where they came, many side by side. They agree with the plan
// and take at most [bundle.MaxManifestBytes] together. progress, which may be
// nil, is told [ImageResolved] of each image whose root is there. Errors name the
// manifest.
func FetchManifests(ctx context.Context, sources Sources, plan *bundle.Plan, progress func(Event)) (map[digest.Digest][]byte, error) {
	var total int64
	for i := range plan.Manifests {
		if total += plan.Manifests[i].Size; total > bundle.MaxManifestBytes {
			return nil, fmt.Errorf("manifests of more than %d bytes in one bundle", int64(bundle.MaxManifestBytes))
		}
	}
	roots := make(map[digest.Digest][]string)
	for _, image := range plan.Images {
		roots[image.Root.Digest] = append(roots[image.Root.Digest], image.Reference)
	}
	contents := make(map[digest.Digest][]byte, len(plan.Manifests))
	var mu sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(defaultReads)
	for i := range plan.Manifests {
		m := &plan.Manifests[i]
		g.Go(func() error {
			content, err := sources.manifest(ctx, m)
			if err == nil {
				err = oci.Verify(content, m.Descriptor())
			}
			if err != nil {
				return fmt.Errorf("manifest %s: %w", m.Digest, err)
			}
			mu.Lock()
			contents[m.Digest] = content
			mu.Unlock()
			for _, reference := range roots[m.Digest] {
				tell(progress, Event{Kind: ImageResolved, Image: reference, Digest: m.Digest})
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return contents, nil
}

// manifest fetches a planned manifest from its origin.
func (s Sources) manifest(ctx context.Context, m *bundle.Manifest) ([]byte, error) {
	switch {
	case m.Origin.Repository != "":
		return s.Registry.Manifest(ctx, m.Origin.Repository, m.Descriptor())
	case m.Origin.Local != "":
		layout, ok := s.Layouts[m.Origin.Local]
		if !ok {
			return nil, fmt.Errorf("local source %s is not named", m.Origin.Local)
		}
		return layout.Manifest(ctx, m.Descriptor())
	}
	if m.Origin.Inline != nil {
		return m.Origin.Inline, nil
	}
	return nil, errors.New("its origin is neither a repository nor a local source")
}
