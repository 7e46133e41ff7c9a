package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"satchel/bundle"
	"satchel/oci"
	"satchel/oci/release"
)

// ForgedError says that a plan states another payload than the release image has:
// somebody changed the bundle.
type ForgedError struct {
	Reference string
	// What is the document that differs.
	What string
}

func (e *ForgedError) Error() string {
	return fmt.Sprintf("release %s: the bundle's %s is not that of the release image: somebody changed the bundle", e.Reference, e.What)
}

// CheckPayload reads the payload out of the release image of a bundle and compares
// it with what the plan says of it, from which names and components are taken: the
// signature is over the image, and not over the plan. It returns a
// [*bundle.MissingVolumeError] or [*bundle.MissingBlobError] when the media do not
// give the image, and a [*ForgedError] when something differs.
func (r *PlannedRelease) CheckPayload(ctx context.Context, b *bundle.Bundle) error {
	root := oci.Descriptor{}
	for _, image := range b.Prologue.Plan().Images {
		if image.Reference == r.Reference {
			root = image.Root.Descriptor()
		}
	}
	manifest, _, err := payloadManifest(root, func(d oci.Descriptor) ([]byte, error) {
		content, ok := b.Prologue.Manifest(d.Digest)
		if !ok {
			return nil, fmt.Errorf("it is not in the bundle: %w", fs.ErrNotExist)
		}
		return content, nil
	})
	if err != nil {
		return fmt.Errorf("release %s: %w", r.Reference, err)
	}
	payload, err := release.Read(ctx, func(ctx context.Context, d oci.Descriptor) (io.ReadCloser, error) {
		blob := b.Prologue.Blob(d.Digest)
		if blob == nil {
			return nil, fmt.Errorf("blob %s is not in the bundle: %w", d.Digest, fs.ErrNotExist)
		}
		return b.Blob(ctx, blob, 0)
	}, manifest)
	if err != nil {
		return fmt.Errorf("release %s: %w", r.Reference, err)
	}
	for _, document := range []struct {
		what            string
		stated, payload []byte
	}{
		{"image-references", r.Payload.Documents.References, payload.Documents.References},
		{"release-metadata", r.Payload.Documents.Metadata, payload.Documents.Metadata},
		{"verification ConfigMap", r.Payload.Documents.Verification, payload.Documents.Verification},
	} {
		if !bytes.Equal(document.stated, document.payload) {
			return &ForgedError{Reference: r.Reference, What: document.what}
		}
	}
	return nil
}

// payloadManifest returns the image manifest from which the payload is read and,
// of a list, all children. These have the same payload: that of linux/amd64 is
// taken, as oc does it, or else the first that can be had.
func payloadManifest(root oci.Descriptor, fetch func(oci.Descriptor) ([]byte, error)) (*oci.Manifest, []oci.Descriptor, error) {
	content, err := fetch(root)
	if err != nil {
		return nil, nil, fmt.Errorf("manifest %s: %w", root.Digest, err)
	}
	m, err := oci.ParseManifest(root.MediaType, content)
	if err != nil || !oci.IsIndex(root.MediaType) {
		return m, nil, err
	}
	err = errNoImage
	for _, child := range amd64First(m.Manifests) {
		if oci.IsIndex(child.MediaType) {
			continue
		}
		content, failed := fetch(child)
		if failed == nil {
			chosen, err := oci.ParseManifest(child.MediaType, content)
			return chosen, m.Manifests, err
		}
		if errors.Is(err, errNoImage) {
			err = fmt.Errorf("manifest %s: %w", child.Digest, failed)
		}
	}
	return nil, nil, err
}

// amd64First lists the children of an index, those of linux/amd64 before others.
func amd64First(children []oci.Descriptor) []oci.Descriptor {
	sorted := slices.Clone(children)
	rank := func(d oci.Descriptor) int {
		if d.Platform != nil && fits(*d.Platform, "linux/amd64") {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(sorted, func(a, b oci.Descriptor) int { return rank(a) - rank(b) })
	return sorted
}

// errNoImage says that something holds no image that could be a release.
var errNoImage = errors.New("its index names no image")

// isAbsent reports whether an error says that media do not give something, rather
// than that it is another.
func isAbsent(err error) bool {
	var volume *bundle.MissingVolumeError
	var blob *bundle.MissingBlobError
	var damage *bundle.DamageError
	return errors.As(err, &volume) || errors.As(err, &blob) || errors.As(err, &damage)
}

// CheckPayloads checks the payloads of all releases of a bundle. It returns the
// references of those whose release image the media do not give.
func CheckPayloads(ctx context.Context, b *bundle.Bundle) (unchecked []string, err error) {
	releases, err := Releases(b.Prologue.Plan())
	if err != nil {
		return nil, err
	}
	for _, r := range releases {
		err := r.CheckPayload(ctx, b)
		if isAbsent(err) {
			unchecked = append(unchecked, r.Reference)
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return unchecked, nil
}
