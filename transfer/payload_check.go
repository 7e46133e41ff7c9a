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
// [*bundle.MissingVolumeError], [*bundle.MissingBlobError] or
// [*bundle.DamageError] when the media do not give the image, and a
// [*ForgedError] when something differs.
func (r *PlannedRelease) CheckPayload(ctx context.Context, b *bundle.Bundle) error {
	return r.checkPayload(ctx, b.Prologue, func(ctx context.Context, blob *bundle.Blob) (io.ReadCloser, error) {
		return b.Blob(ctx, blob, 0)
	})
}

func (r *PlannedRelease) checkPayload(ctx context.Context, prologue *bundle.Prologue, open func(context.Context, *bundle.Blob) (io.ReadCloser, error)) error {
	fail := func(err error) error { return fmt.Errorf("release %s: %w", r.Reference, err) }
	root, manifest, err := r.plannedManifest(prologue)
	if err != nil {
		return fail(err)
	}
	opened := func(ctx context.Context, d oci.Descriptor) (io.ReadCloser, error) {
		blob := prologue.Blob(d.Digest)
		if blob == nil {
			return nil, fmt.Errorf("blob %s is not in the bundle: %w", d.Digest, fs.ErrNotExist)
		}
		return open(ctx, blob)
	}
	payload, err := release.Read(ctx, opened, manifest)
	if err != nil {
		return fail(err)
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
	architecture := "multi"
	if !oci.IsIndex(root.MediaType) {
		config, err := release.ReadConfig(ctx, opened, manifest)
		if err != nil {
			return fail(err)
		}
		architecture = config.Architecture
	}
	if architecture != r.Architecture {
		return &ForgedError{Reference: r.Reference, What: "architecture"}
	}
	return nil
}

// plannedManifest returns the release image's root, and the manifest from which
// its payload is read.
func (r *PlannedRelease) plannedManifest(prologue *bundle.Prologue) (root oci.Descriptor, m *oci.Manifest, err error) {
	for _, image := range prologue.Plan().Images {
		if image.Reference == r.Reference {
			root = image.Root.Descriptor()
		}
	}
	m, _, err = payloadManifest(root, func(d oci.Descriptor) ([]byte, error) {
		content, ok := prologue.Manifest(d.Digest)
		if !ok {
			return nil, fmt.Errorf("it is not in the bundle: %w", fs.ErrNotExist)
		}
		return content, nil
	})
	return root, m, err
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

// isUnreadable reports whether an error says that media do not give something,
// rather than that it is another.
func isUnreadable(err error) bool {
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
		if isUnreadable(err) {
			unchecked = append(unchecked, r.Reference)
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	return unchecked, nil
}

// checkPayloads checks the payloads before anything is pushed: on the media or,
// where these do not give the release image, in the registry, which may have it
// from an earlier run. Of a release that cannot be checked nothing gets a tag: its
// images lack what it lacks.
func (u *unpacker) checkPayloads(ctx context.Context) error {
	if u.bundle == nil {
		return nil // whoever copies has just read it
	}
	releases, err := Releases(u.prologue.Plan())
	if err != nil {
		return err
	}
	for _, r := range releases {
		err := r.checkPayload(ctx, u.prologue, func(ctx context.Context, blob *bundle.Blob) (io.ReadCloser, error) {
			return u.openFromEither(ctx, r, blob)
		})
		if !isUnreadable(err) {
			if err != nil {
				return err
			}
			continue
		}
		u.unchecked = append(u.unchecked, r.Reference)
		u.withhold(r, err)
	}
	return nil
}

// openFromEither opens a blob of a release image on the media or in the registry.
func (u *unpacker) openFromEither(ctx context.Context, r *PlannedRelease, blob *bundle.Blob) (io.ReadCloser, error) {
	content, err := u.supply.Blob(ctx, blob, 0)
	if !isUnreadable(err) {
		return content, err
	}
	for _, image := range u.images {
		if image.image.Reference == r.Reference {
			if there, _, asked := u.target.Blob(ctx, image.to.Repository, blob.Descriptor(), 0, blob.Size); asked == nil {
				return there, nil
			}
		}
	}
	return nil, err
}

// withhold notes for the images of a release that it could not be checked.
func (u *unpacker) withhold(r *PlannedRelease, err error) {
	lack := Lack{
		Digest: r.Digest, cause: lackVolume,
		Reason: fmt.Sprintf("its release image cannot be read (%v), so that nobody knows what belongs to the release", err),
	}
	if damage := (*bundle.DamageError)(nil); errors.As(err, &damage) {
		lack.cause = lackDamaged
	}
	if _, m, err := r.plannedManifest(u.prologue); err == nil {
		for _, d := range m.Blobs {
			if blob := u.prologue.Blob(d.Digest); blob != nil {
				lack.again = append(lack.again, blob.VolumesOf()...)
			}
		}
		slices.Sort(lack.again)
		lack.again = slices.Compact(lack.again)
	}
	for _, image := range slices.Concat(u.components[r.Reference], u.named(r.Reference)) {
		if image.earlier == nil {
			u.leaveOut(image, lack)
		}
	}
}

func (u *unpacker) named(reference string) []*replay {
	i := slices.IndexFunc(u.images, func(r *replay) bool { return r.image.Reference == reference })
	return u.images[i : i+1]
}
