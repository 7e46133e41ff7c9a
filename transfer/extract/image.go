package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// image is one image of the release.
type image struct {
	images   Images
	ref      oci.Reference // as the release names it
	manifest *oci.Manifest
}

// image reads the manifest of an image, for an index that of the platform.
func (x *extraction) image(ctx context.Context, ref oci.Reference) (*image, error) {
	img := &image{images: x.images, ref: ref}
	root, err := img.read(ctx, ref.Digest)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	img.manifest = root
	if !oci.IsIndex(root.MediaType) {
		return img, nil
	}
	child, err := choosePlatform(root, x.options.Platform)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	if img.manifest, err = img.read(ctx, child); err == nil && oci.IsIndex(img.manifest.MediaType) {
		err = errors.New("an index in an index is no image of a release")
	}
	if err != nil {
		return nil, fmt.Errorf("image %s: manifest %s: %w", ref, child, err)
	}
	return img, nil
}

// read gets one manifest and verifies it.
func (i *image) read(ctx context.Context, d digest.Digest) (*oci.Manifest, error) {
	served, content, err := i.images.Manifest(ctx, oci.Reference{Repository: i.ref.Repository, Digest: d})
	if err != nil {
		return nil, &sourceError{err}
	}
	if err := oci.Verify(content, oci.Descriptor{Digest: d, Size: int64(len(content))}); err != nil {
		return nil, err
	}
	return oci.ParseManifest(served.MediaType, content)
}

// layers are those of the image, the bottom one first.
func (i *image) layers() []oci.Descriptor { return i.manifest.Blobs[1:] }

// open is a [layers.Open].
func (i *image) open(ctx context.Context, d oci.Descriptor) (io.ReadCloser, error) {
	blob, err := i.images.Blob(ctx, i.ref, d)
	if err != nil {
		return nil, &sourceError{err}
	}
	return blob, nil
}

// sourceError is an error of [Images]. It tells a layer that is not there from a
// file that no layer has.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// isAbsent reports whether an image was read and does not have the file.
func isAbsent(err error) bool {
	var source *sourceError
	var write *writeError
	return errors.Is(err, fs.ErrNotExist) && !errors.As(err, &source) && !errors.As(err, &write)
}

// choosePlatform returns the image of an index that is for the platform.
func choosePlatform(index *oci.Manifest, want oci.Platform) (digest.Digest, error) {
	var there []string
	for _, child := range index.Manifests {
		p := child.Platform
		if p == nil {
			continue
		}
		if p.OS == want.OS && p.Architecture == want.Architecture && (want.Variant == "" || p.Variant == want.Variant) {
			return child.Digest, nil
		}
		there = append(there, oci.PlatformString(*p))
	}
	slices.Sort(there)
	return "", fmt.Errorf("its index has no image for %s: there are %s: %w", oci.PlatformString(want),
		strings.Join(slices.Compact(there), ", "), fs.ErrNotExist)
}
