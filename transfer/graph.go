package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// graph is what one image of a bundle consists of.
type graph struct {
	// manifests stand children before parents, the root last.
	manifests []oci.Descriptor
	blobs     map[digest.Digest]oci.Descriptor
}

// readGraph reads an image's manifests from a prologue. Children that the bundle
// leaves out are passed over only in a sparse image.
func readGraph(prologue *bundle.Prologue, image bundle.Image) (*graph, error) {
	g := &graph{blobs: make(map[digest.Digest]oci.Descriptor)}
	fetch := func(_ context.Context, d oci.Descriptor) ([]byte, error) {
		content, ok := prologue.Manifest(d.Digest)
		if !ok {
			return nil, fmt.Errorf("it is not in the bundle")
		}
		return content, oci.Verify(content, d)
	}
	keep := func(d oci.Descriptor) bool {
		_, ok := prologue.Manifest(d.Digest)
		return ok || !image.Sparse
	}
	err := oci.Walk(context.Background(), image.Root.Descriptor(), fetch, keep,
		func(d oci.Descriptor, _ []byte, m *oci.Manifest) error {
			g.manifests = append(g.manifests, d)
			for _, b := range m.Blobs {
				g.blobs[b.Digest] = b
			}
			return nil
		})
	return g, err
}

// Need is what one image takes.
type Need struct {
	// Bytes is the size of its blobs together.
	Bytes int64
	// Volumes are the numbers of the volumes that hold them, ascending; every
	// volume has the manifests.
	Volumes []int
}

// Needs says for each image of the plan, in their order, what it needs.
func Needs(prologue *bundle.Prologue) ([]Need, error) {
	plan := prologue.Plan()
	needs := make([]Need, len(plan.Images))
	for i, image := range plan.Images {
		g, err := readGraph(prologue, image)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", image.Reference, err)
		}
		for d := range g.blobs {
			if b := prologue.Blob(d); b != nil {
				needs[i].Bytes += b.Size
				needs[i].Volumes = append(needs[i].Volumes, b.VolumesOf()...)
			}
		}
		slices.Sort(needs[i].Volumes)
		needs[i].Volumes = slices.Compact(needs[i].Volumes)
	}
	return needs, nil
}

// Platform returns the platform, OS/ARCH[/VARIANT], of an image that is no
// index, from its config; empty where the config is no image's, or lies in a
// volume that is not there.
func Platform(ctx context.Context, b *bundle.Bundle, image bundle.Image) (string, error) {
	content, ok := b.Prologue.Manifest(image.Root.Digest)
	if !ok || oci.IsIndex(image.Root.MediaType) {
		return "", nil
	}
	m, err := oci.ParseManifest(image.Root.MediaType, content)
	if err != nil {
		return "", fmt.Errorf("image %s: %w", image.Reference, err)
	}
	config := m.Blobs[0]
	blob := b.Prologue.Blob(config.Digest)
	if blob == nil || config.Size > oci.MaxManifestSize {
		return "", nil
	}
	r, err := b.Blob(ctx, blob, 0)
	if missing := (*bundle.MissingVolumeError)(nil); errors.As(err, &missing) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("image %s: config: %w", image.Reference, err)
	}
	defer r.Close()
	content, err = io.ReadAll(r)
	if err != nil {
		return "", fmt.Errorf("image %s: config: %w", image.Reference, err)
	}
	var platform oci.Platform
	if json.Unmarshal(content, &platform) != nil {
		return "", nil // an artifact's config may be anything
	}
	if s := oci.PlatformString(platform); bundle.ValidPlatform(s) {
		return s, nil
	}
	return "", nil
}
