package transfer

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"satchel/oci"
)

// complete completes an image whose turn it is, all of whose blobs were brought.
func (u *unpacker) complete(ctx context.Context, r *replay) error {
	if r.postponed() {
		return nil // completePostponed does it
	}
	return u.completeNow(ctx, r)
}

// completeNow makes an image visible: its blobs in its repository, then its
// manifests, then its tag. What the media do not give any more is noted and is
// no error, and neither is any failure with KeepGoing.
func (u *unpacker) completeNow(ctx context.Context, r *replay) error {
	err := u.makeVisible(ctx, r)
	var lacks lacksError
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case errors.As(err, &lacks):
		u.leaveOut(r, lacks...)
		return nil
	}
	return u.fail(r, err)
}

// leaveOut notes what an image lacks.
func (u *unpacker) leaveOut(r *replay, lacks ...Lack) {
	u.mu.Lock()
	defer u.mu.Unlock()
	r.done = false
	r.lacks = append(r.lacks, lacks...)
}

// fail notes why an image could not be made visible. It returns the error if that
// ends the run.
func (u *unpacker) fail(r *replay, err error) error {
	blob := (*BlobError)(nil)
	d := r.image.Root.Digest
	if errors.As(err, &blob) {
		d = blob.Digest
	}
	u.leaveOut(r, Lack{Digest: d, Reason: err.Error(), cause: lackRefused})
	if u.options.KeepGoing {
		return nil
	}
	return err
}

func (u *unpacker) makeVisible(ctx context.Context, r *replay) error {
	if err := u.ensureAll(ctx, r); err != nil {
		return err
	}
	root := r.image.Root.Descriptor()
	// What the tag names now is for the receipt only; if it cannot be had, the
	// push will tell why.
	same, replaced := u.tagged(ctx, r)
	err := u.pushManifests(ctx, r)
	if refused := refusal(nil); errors.As(err, &refused) && refused.Refusal() && ctx.Err() == nil {
		// A blob may be gone although the target said that it has it.
		for _, d := range r.blobs() {
			u.known.doubt(r.to.Repository, d.Digest)
		}
		if err := u.ensureAll(ctx, r); err != nil {
			return err
		}
		err = u.pushManifests(ctx, r)
	}
	if err == nil {
		err = u.listReferrer(ctx, r)
	}
	if err != nil {
		return err
	}
	sent := false
	for _, d := range r.blobs() {
		_, brought := u.known.seen(r.to.Repository, d.Digest)
		sent = sent || brought
	}
	u.mu.Lock()
	r.done, r.present = true, same && !sent
	r.replaced = replaced
	u.mu.Unlock()
	if replaced != "" {
		tell(u.options.Progress, Event{Kind: ImageReplaced, Image: r.image.Reference, Destination: r.to.String(), Part: r.image.Part, Digest: replaced})
	}
	tell(u.options.Progress, Event{Kind: ImageComplete, Image: r.image.Reference, Destination: r.to.String(), Digest: root.Digest})
	return nil
}

// tagged reports whether all tags of the image name it, and what else the first
// of them that names something else does.
func (u *unpacker) tagged(ctx context.Context, r *replay) (same bool, other digest.Digest) {
	same = true
	for _, tag := range r.to.Tags {
		there, _, err := u.target.Resolve(ctx, oci.Reference{Repository: r.to.Repository, Tag: tag})
		if err != nil || there.Digest != r.image.Root.Digest {
			same = false
		}
		if err == nil && there.Digest != r.image.Root.Digest && other == "" {
			other = there.Digest
		}
	}
	return same, other
}

// blobs are all that an image needs beside its manifests.
func (r *replay) blobs() []oci.Descriptor {
	all := make([]oci.Descriptor, 0, len(r.graph.Contents)+len(r.graph.Blobs))
	for _, c := range r.graph.Contents {
		all = append(all, c.Descriptor())
	}
	for _, b := range r.graph.Blobs {
		all = append(all, b.Descriptor())
	}
	return all
}

// ensureAll sees to it that all blobs of an image are in its repository, and that
// this is known of all of them at one time.
func (u *unpacker) ensureAll(ctx context.Context, r *replay) error {
	// With the first blobs of an image, it may be too long ago when the last are
	// there. A target that never gets there in time is not waited for.
	for range 3 {
		var lacks lacksError
		late := false
		for _, d := range r.blobs() {
			if u.known.fresh(r.to.Repository, d.Digest) {
				continue
			}
			late = true
			var lack lacksError
			if err := u.ensure(ctx, r.to.Repository, d, false); errors.As(err, &lack) {
				lacks = append(lacks, lack...)
			} else if err != nil {
				return &BlobError{Digest: d.Digest, Where: r.to.Repository, Image: r.image.Reference, Err: err}
			}
		}
		if len(lacks) > 0 {
			return lacks
		}
		if !late {
			break
		}
	}
	return nil
}

// pushManifests pushes the children too even if the root is there: that it is
// does not prove that they still are.
func (u *unpacker) pushManifests(ctx context.Context, r *replay) error {
	for _, d := range r.graph.Manifests {
		content, ok := u.prologue.Manifest(d.Digest)
		if !ok {
			return fmt.Errorf("satchel: internal: manifest %s of image %s has no content", d.Digest, r.image.Reference)
		}
		tags := []string{""}
		if d.Digest == r.image.Root.Digest {
			tags = r.to.Tags
		}
		for _, tag := range tags {
			if err := u.target.PushManifest(ctx, r.to.Repository, tag, d, content); err != nil {
				return fmt.Errorf("image %s: manifest %s to %s: %w", r.image.Reference, d.Digest, r.to, err)
			}
		}
	}
	return nil
}

// readBack resolves the tags of every image that was completed, and compares.
func (u *unpacker) readBack(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(u.options.Jobs)
	for _, r := range u.images {
		if !r.done || r.earlier != nil {
			continue
		}
		g.Go(func() error {
			err := u.compareTags(ctx, r)
			if err == nil || ctx.Err() != nil {
				return err
			}
			return u.fail(r, err)
		})
	}
	return g.Wait()
}

func (u *unpacker) compareTags(ctx context.Context, r *replay) error {
	for _, tag := range r.to.Tags {
		name := oci.Reference{Repository: r.to.Repository, Tag: tag}
		d, _, err := u.target.Resolve(ctx, name)
		if err != nil {
			return fmt.Errorf("image %s: reading %s back: %w", r.image.Reference, name, err)
		}
		if want := r.image.Root; d.Digest != want.Digest || d.MediaType != want.MediaType {
			return fmt.Errorf("image %s: %s now names %s, %s, not %s, %s: something else wrote this tag",
				r.image.Reference, name, d.Digest, d.MediaType, want.Digest, want.MediaType)
		}
	}
	return nil
}
