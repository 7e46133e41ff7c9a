package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"satchel/oci"
)

// presence remembers which blobs are in which repositories of the target.
type presence struct {
	mu    sync.Mutex
	where map[digest.Digest][]string
	group singleflight.Group
}

func newPresence() *presence { return &presence{where: make(map[digest.Digest][]string)} }

func (p *presence) add(repository string, d digest.Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.where[d] = append(p.where[d], repository)
}

// find says whether the blob is in the repository and, if not, in which other.
func (p *presence) find(repository string, d digest.Digest) (has bool, other string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.where[d] {
		if r == repository {
			return true, ""
		}
		other = r
	}
	return false, other
}

// complete makes an image visible: its blobs in its repository, then its
// manifests, then its tag.
func (u *unpacker) complete(ctx context.Context, r *replay) error {
	contents := slices.Clone(r.graph.Contents)
	for _, b := range r.graph.Blobs {
		contents = append(contents, b.Content)
	}
	for _, c := range contents {
		if err := u.ensure(ctx, r, c.Descriptor()); err != nil {
			return &BlobError{Digest: c.Digest, Where: r.to.Repository, Image: r.image.Reference, Err: err}
		}
	}
	root := r.image.Root.Descriptor()
	// What the tag names now is for the receipt only; if it cannot be had, the
	// push will tell why.
	before, _, err := u.target.Resolve(ctx, oci.Reference{Repository: r.to.Repository, Tag: r.to.Tag})
	present := err == nil && before.Digest == root.Digest && !r.sent
	replaced := err == nil && before.Digest != root.Digest
	// The children are pushed again even if the root is there: that it is does
	// not prove that they still are.
	for _, d := range r.graph.Manifests {
		content, ok := u.bundle.Prologue.Manifest(d.Digest)
		if !ok {
			return fmt.Errorf("satchel: internal: manifest %s of image %s has no content", d.Digest, r.image.Reference)
		}
		tag := ""
		if d.Digest == root.Digest {
			tag = r.to.Tag
		}
		if err := u.target.PushManifest(ctx, r.to.Repository, tag, d, content); err != nil {
			return fmt.Errorf("image %s: manifest %s to %s: %w", r.image.Reference, d.Digest, r.to, err)
		}
	}
	u.mu.Lock()
	r.present = present
	if replaced {
		r.replaced = before.Digest
	}
	u.mu.Unlock()
	if replaced {
		tell(u.options.Progress, Event{Kind: ImageReplaced, Image: r.image.Reference, Destination: r.to.String(), Digest: before.Digest})
	}
	tell(u.options.Progress, Event{Kind: ImageComplete, Image: r.image.Reference, Destination: r.to.String(), Digest: root.Digest})
	return nil
}

// ensure brings a blob that is in some repository of the target into that of the
// image: it is there, it is mounted or, where the registry refuses that, copied.
func (u *unpacker) ensure(ctx context.Context, r *replay, d oci.Descriptor) error {
	repository := r.to.Repository
	_, err, _ := u.known.group.Do(repository+"@"+d.Digest.String(), func() (any, error) {
		has, other := u.known.find(repository, d.Digest)
		if has {
			return nil, nil
		}
		if content, ok := u.bundle.Prologue.Manifest(d.Digest); ok {
			if err := u.pushContent(ctx, r, d, content); err != nil {
				return nil, err
			}
			u.known.add(repository, d.Digest)
			return nil, nil
		}
		if err := u.fromOther(ctx, repository, other, d); err != nil {
			return nil, err
		}
		u.known.add(repository, d.Digest)
		return nil, nil
	})
	return err
}

func (u *unpacker) fromOther(ctx context.Context, repository, other string, d oci.Descriptor) error {
	has, err := u.target.HasBlob(ctx, repository, d)
	if err != nil {
		return err
	}
	if has {
		u.count(func(c *BlobCounts) { c.Present++ })
		return nil
	}
	mounted, err := u.target.Mount(ctx, repository, other, d)
	if err != nil {
		return err
	}
	if mounted {
		u.count(func(c *BlobCounts) { c.Mounted++ })
		return nil
	}
	err = u.target.PushBlob(ctx, repository, d, func(ctx context.Context) (io.ReadCloser, error) {
		blob, _, err := u.target.Blob(ctx, other, d, 0, d.Size)
		if err != nil {
			return nil, err
		}
		gate, err := oci.NewReader(blob, d)
		if err != nil {
			return nil, closeWith(err, blob)
		}
		return &gated{gate, blob}, nil
	})
	if err != nil {
		return fmt.Errorf("copying from %s: %w", other, err)
	}
	u.count(func(c *BlobCounts) { c.Copied++ })
	return nil
}

// gated is a gate that closes what it reads from.
type gated struct {
	*oci.Reader
	io.Closer
}

// pushContent pushes a blob that stands among the manifests of the bundle: an
// artifact may name a manifest as its layer.
func (u *unpacker) pushContent(ctx context.Context, r *replay, d oci.Descriptor, content []byte) error {
	has, err := u.target.HasBlob(ctx, r.to.Repository, d)
	if err != nil {
		return err
	}
	if has {
		u.count(func(c *BlobCounts) { c.Present++ })
		return nil
	}
	err = u.target.PushBlob(ctx, r.to.Repository, d, func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
	if err == nil {
		u.count(func(c *BlobCounts) { c.Pushed++; c.PushedBytes += d.Size })
	}
	return err
}

// refusal is an error of a [Target] that says whether it looked at what it got
// and does not want it, rather than that something failed.
type refusal interface {
	error
	Refusal() bool
}

// SparseRefusedError says that the target does not take an index that names
// manifests which are not there.
type SparseRefusedError struct {
	Repository, Image string
	Err               error
}

func (e *SparseRefusedError) Error() string {
	return fmt.Sprintf("image %s: %s refuses sparse indexes: %v", e.Image, e.Repository, e.Err)
}

func (e *SparseRefusedError) Unwrap() error { return e.Err }

// probeSparse pushes an index that names one absent manifest, before layers
// move, if the bundle has a sparse index. The probe is deleted again where the
// registry allows that; without a tag it is garbage anyway.
func (u *unpacker) probeSparse(ctx context.Context) error {
	for _, r := range u.images {
		if !r.image.Sparse {
			continue
		}
		absent := oci.Descriptor{
			MediaType: oci.MediaTypeManifest, Digest: digest.FromString("satchel: a manifest that is nowhere"), Size: 2,
		}
		content, err := json.Marshal(struct {
			SchemaVersion int              `json:"schemaVersion"`
			MediaType     string           `json:"mediaType"`
			Manifests     []oci.Descriptor `json:"manifests"`
		}{2, oci.MediaTypeIndex, []oci.Descriptor{absent}})
		if err != nil {
			return err
		}
		probe := oci.Descriptor{MediaType: oci.MediaTypeIndex, Digest: digest.FromBytes(content), Size: int64(len(content))}
		if err := u.target.PushManifest(ctx, r.to.Repository, "", probe, content); err != nil {
			if refused := refusal(nil); errors.As(err, &refused) && refused.Refusal() {
				return &SparseRefusedError{Repository: r.to.Repository, Image: r.image.Reference, Err: err}
			}
			return fmt.Errorf("image %s: asking %s whether it takes sparse indexes: %w", r.image.Reference, r.to.Repository, err)
		}
		_ = u.target.DeleteManifest(ctx, r.to.Repository, probe.Digest) // many registries forbid it
		return nil
	}
	return nil
}

// readBack resolves the tag of every image that was completed, and compares.
func (u *unpacker) readBack(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(u.options.Jobs)
	for _, r := range u.images {
		if len(r.lacks) > 0 {
			continue
		}
		g.Go(func() error {
			d, _, err := u.target.Resolve(ctx, oci.Reference{Repository: r.to.Repository, Tag: r.to.Tag})
			if err != nil {
				return fmt.Errorf("image %s: reading %s back: %w", r.image.Reference, r.to, err)
			}
			if want := r.image.Root; d.Digest != want.Digest || d.MediaType != want.MediaType {
				return fmt.Errorf("image %s: %s now names %s, %s, not %s, %s: something else wrote this tag",
					r.image.Reference, r.to, d.Digest, d.MediaType, want.Digest, want.MediaType)
			}
			return nil
		})
	}
	return g.Wait()
}
