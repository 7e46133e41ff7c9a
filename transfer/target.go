package transfer

import (
	"context"
	"io"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// Target is a registry at the site. Repositories are full names. All methods are
// for concurrent use.
type Target interface {
	BlobTarget
	ManifestTarget
}

// BlobTarget takes blobs.
type BlobTarget interface {
	HasBlob(ctx context.Context, repository string, d oci.Descriptor) (bool, error)
	// PushBlob sends a blob. It calls open for every try, reads to the end and
	// closes; an error of the reader comes back so that errors.As finds it, and
	// nothing is committed then. Success means that the blob is there, not that
	// this call brought it.
	PushBlob(ctx context.Context, repository string, d oci.Descriptor, open func(context.Context) (io.ReadCloser, error)) error
	// Mount makes a blob of one repository one of another. False: the registry
	// does not do that.
	Mount(ctx context.Context, repository, from string, d oci.Descriptor) (bool, error)
	Ranger
}

// ManifestTarget takes manifests.
type ManifestTarget interface {
	// PushManifest sends a manifest under a tag, or by digest without one.
	PushManifest(ctx context.Context, repository, tag string, d oci.Descriptor, content []byte) error
	Resolve(ctx context.Context, ref oci.Reference) (oci.Descriptor, []byte, error)
	DeleteManifest(ctx context.Context, repository string, d digest.Digest) error
}

// refusal is an error of a [Target] in which it answered; it says whether the
// target looked at what it got and does not want it, rather than that something
// failed.
type refusal interface {
	error
	Refusal() bool
}
