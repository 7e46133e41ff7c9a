// Package extract takes programs and manifests out of a release: what
// `oc adm release extract` does, from wherever the images lie.
//
// [Command] writes one program, [Tools] packs of them for all systems,
// [Manifests] and [CredentialsRequests] the files of the release image itself.
// Only the layers that are needed are read, from the top one down, and a file
// gets its final name only after the layer it came from was verified to its end.
// Everything is written through an [os.Root]: nothing gets outside of the
// directory, whatever names and links an image or the directory holds.
package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/oci/release"
)

// MaxProgram bounds a program in bytes: the largest size that USTAR can state.
// Installers have less than 1 GiB.
const MaxProgram = 8<<30 - 1

// Images gives the manifests and blobs of images by digest, wherever they are:
// the media of a bundle, or a registry. Errors for what is not there wrap
// fs.ErrNotExist, or say where it would be. What it gives is verified here.
type Images interface {
	// Manifest returns a manifest and the descriptor that it was served with,
	// of which the media type counts. ref is REPOSITORY@DIGEST.
	Manifest(ctx context.Context, ref oci.Reference) (oci.Descriptor, []byte, error)
	// Blob opens a blob from its beginning; it is closed here. ref is the
	// image that it belongs to, REPOSITORY@DIGEST; of an index, the index.
	Blob(ctx context.Context, ref oci.Reference, d oci.Descriptor) (io.ReadCloser, error)
}

// Release is the release that is read.
type Release struct {
	// Reference is the name of the release image. Its tag and its digest, if
	// any, are not looked at.
	Reference oci.Reference
	// Digest is that of its root: of the index, if it is one.
	Digest digest.Digest
	// Architecture is Go's and OCI's ("amd64"), or "multi" for an index.
	Architecture string
	Payload      *release.Payload
}

// Options say where to write, and what to embed.
type Options struct {
	// Dir takes the files; nothing is written outside of it. The caller closes
	// it.
	Dir *os.Root
	// MirrorRelease is the pullspec REGISTRY/REPOSITORY@DIGEST that installers
	// take the release from; empty means its original name.
	MirrorRelease string
	// Platform chooses among the images of an index. The zero value means the
	// release's own architecture, and linux/amd64 for "multi".
	Platform oci.Platform
	// Progress, if not nil, is called for each file that got its final name,
	// with its size in bytes.
	Progress func(name string, size int64)
}

// Result says what was written. It comes with an error too, when files got their
// names before.
type Result struct {
	// Files are in the order in which they got their names.
	Files []File
	// Warnings are sentences about files that may not do what is expected.
	Warnings []string
	// LeftOut are sentences about files that were not written because the
	// payload has nothing to make them of.
	LeftOut []string
}

// File is one file in the directory.
type File struct {
	Name   string
	Size   int64 // bytes
	Digest digest.Digest
}

// extraction is one call of a function of this package.
type extraction struct {
	images  Images
	release Release
	options Options
	result  *Result
	buffer  []byte
}

func newExtraction(images Images, r Release, o Options) (*extraction, error) {
	switch {
	case o.Dir == nil:
		return nil, errors.New("no directory to write to")
	case r.Payload == nil || r.Architecture == "":
		return nil, fmt.Errorf("release %s: payload or architecture is not known", r.Reference)
	}
	if err := oci.CheckDigest(r.Digest); err != nil {
		return nil, fmt.Errorf("release %s: %w", r.Reference, err)
	}
	if o.Platform.OS == "" {
		o.Platform.OS = "linux"
	}
	if o.Platform.Architecture == "" {
		o.Platform.Architecture = r.Architecture
		if r.Architecture == multi {
			o.Platform.Architecture = "amd64"
		}
	}
	return &extraction{images: images, release: r, options: o, result: &Result{}, buffer: make([]byte, bufferSize)}, nil
}

// multi is the architecture of a release for several.
const multi = "multi"

// architecture is the one that the release image itself is for, as far as it is
// read: of an index, that of the platform that is asked for.
func (x *extraction) architecture() string {
	if x.release.Architecture == multi {
		return x.options.Platform.Architecture
	}
	return x.release.Architecture
}

// platforms says for what the release is, as openshift/oc does in
// pkg/cli/admin/release/info.go.
func (x *extraction) platforms() string {
	platform := "linux/" + x.architecture()
	if x.release.Architecture == multi {
		return multi + " (" + platform + ")"
	}
	return platform
}

// reference names the release image by its digest.
func (x *extraction) reference() oci.Reference {
	return oci.Reference{Repository: x.release.Reference.Repository, Digest: x.release.Digest}
}
