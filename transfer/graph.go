package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"satchel/bundle"
	"satchel/oci"
)

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
		g, err := prologue.Graph(image)
		if err != nil {
			return nil, err
		}
		volumes := make(map[int]bool)
		for _, b := range g.Blobs {
			needs[i].Bytes += b.Size
			for _, n := range b.VolumesOf() {
				volumes[n] = true
			}
		}
		needs[i].Volumes = slices.Sorted(maps.Keys(volumes))
	}
	return needs, nil
}

// inVolumeOrder lists the blobs as they begin in the volumes.
func inVolumeOrder(plan *bundle.Plan) []*bundle.Blob {
	blobs := make([]*bundle.Blob, 0, len(plan.Blobs))
	for n := 1; n <= plan.Volumes; n++ {
		for _, m := range plan.Members(n) {
			if m.Start == 0 && m.Extent <= 1 {
				blobs = append(blobs, m.Blob)
			}
		}
	}
	return blobs
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
	missing, lacking := (*bundle.MissingVolumeError)(nil), (*bundle.MissingBlobError)(nil)
	if errors.As(err, &missing) || errors.As(err, &lacking) {
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
