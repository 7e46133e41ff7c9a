// Package oci is the model of OCI and Docker content that the rest of satchel
// stands on: descriptors, manifests and what they name, and the one gate that
// every byte from outside passes.
//
// Start with [ParseManifest] to see what a manifest names, [Walk] to visit a
// whole image, and [NewReader] to read bytes that are believed only when size
// and digest agree.
//
// Manifests are opaque bytes with the media type they were served with. Nothing
// here re-marshals one: what goes in by digest comes out by that digest.
package oci

import (
	"fmt"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Limits on what is accepted from outside.
const (
	// MaxManifestSize is the largest manifest or index in bytes, the limit
	// that distribution, Harbor and the distribution specification share.
	MaxManifestSize = 4 << 20
	// MaxDepth bounds how deep indexes may be nested; a plain image is 1.
	MaxDepth = 8
	// MaxBlobs bounds the blobs, manifests included, of one bundle.
	MaxBlobs = 100_000
	// MaxBlobSize bounds one blob in bytes (8 TiB). It keeps sums of sizes far
	// from the end of int64, and in JSON from 2^53.
	MaxBlobSize = 1 << 43
)

// Descriptor names content by media type, size in bytes and digest.
type Descriptor = ispec.Descriptor

// Platform is the operating system and architecture of an image.
type Platform = ispec.Platform

// Media types of manifests that satchel carries, and of those it refuses.
const (
	MediaTypeIndex          = ispec.MediaTypeImageIndex
	MediaTypeManifest       = ispec.MediaTypeImageManifest
	MediaTypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	MediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"

	mediaTypeSchema1       = "application/vnd.docker.distribution.manifest.v1+json"
	mediaTypeSchema1Signed = "application/vnd.docker.distribution.manifest.v1+prettyjws"

	mediaTypeDockerLayer          = "application/vnd.docker.image.rootfs.diff.tar"
	mediaTypeDockerForeign        = "application/vnd.docker.image.rootfs.foreign.diff.tar"
	mediaTypeDockerForeignGzip    = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	mediaTypeNonDistributable     = "application/vnd.oci.image.layer.nondistributable.v1.tar"
	mediaTypeNonDistributableGzip = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
	mediaTypeNonDistributableZstd = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
)

// ManifestMediaTypes lists, for Accept headers, the manifests that satchel
// carries, and Docker schema 1, so that a registry answers with it and the
// refusal can name it. The caller owns the slice.
func ManifestMediaTypes() []string {
	return []string{
		MediaTypeIndex, MediaTypeManifest, MediaTypeDockerList, MediaTypeDockerManifest,
		mediaTypeSchema1Signed, mediaTypeSchema1,
	}
}

// IsManifest reports whether content of the media type is an image manifest or
// an index, in its OCI or its Docker form.
func IsManifest(mediaType string) bool {
	return IsIndex(mediaType) || mediaType == MediaTypeManifest || mediaType == MediaTypeDockerManifest
}

// IsIndex reports whether content of the media type is an OCI index or a Docker
// manifest list.
func IsIndex(mediaType string) bool {
	return mediaType == MediaTypeIndex || mediaType == MediaTypeDockerList
}

// IsSchema1 reports whether the media type is one of Docker's schema 1, which
// satchel refuses: its digest does not cover its bytes as they are served.
func IsSchema1(mediaType string) bool {
	return mediaType == mediaTypeSchema1 || mediaType == mediaTypeSchema1Signed
}

// IsForeign reports whether a layer of the media type is kept outside of the
// registry for legal reasons (Windows base layers).
func IsForeign(mediaType string) bool {
	switch mediaType {
	case mediaTypeDockerForeign, mediaTypeDockerForeignGzip,
		mediaTypeNonDistributable, mediaTypeNonDistributableGzip, mediaTypeNonDistributableZstd:
		return true
	}
	return false
}

// IsUncompressed reports whether the media type says that the blob is a plain
// tar, so that compressing it is worth the work. Anything unknown counts as
// compressed.
func IsUncompressed(mediaType string) bool {
	switch mediaType {
	case ispec.MediaTypeImageLayer, mediaTypeDockerLayer, mediaTypeDockerForeign, mediaTypeNonDistributable:
		return true
	}
	return false
}

// CheckDigest refuses anything but a well-formed SHA-256 digest in lower case.
func CheckDigest(d digest.Digest) error {
	if err := d.Validate(); err != nil {
		return fmt.Errorf("digest %.80q: %w", string(d), err)
	}
	if d.Algorithm() != digest.SHA256 {
		return fmt.Errorf("digest %.80q: algorithm is not supported, only sha256", string(d))
	}
	return nil
}

// CheckDescriptor refuses a descriptor whose digest is not SHA-256 or whose size
// is outside of 0 … [MaxBlobSize].
func CheckDescriptor(d Descriptor) error {
	if err := CheckDigest(d.Digest); err != nil {
		return err
	}
	if d.Size < 0 || d.Size > MaxBlobSize {
		return fmt.Errorf("%s: size %d is outside of 0 to %d bytes", d.Digest, d.Size, int64(MaxBlobSize))
	}
	return nil
}

// PlatformString renders a platform as OS/ARCH[/VARIANT], the form that
// --platform takes.
func PlatformString(p Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}
