package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"satchel/bundle"
	"satchel/oci"
	"satchel/oci/registry"
	"satchel/transfer/site"
)

// bundleImages gives extract the images of a bundle.
type bundleImages struct{ *bundle.Bundle }

// Manifest implements [extract.Images].
func (b *bundleImages) Manifest(_ context.Context, ref oci.Reference) (oci.Descriptor, []byte, error) {
	plan := b.Prologue.Plan()
	content, ok := b.Prologue.Manifest(ref.Digest)
	i := slices.IndexFunc(plan.Manifests, func(m bundle.Manifest) bool { return m.Digest == ref.Digest })
	if !ok || i < 0 {
		return oci.Descriptor{}, nil, fmt.Errorf("image %s is not in the bundle: %w", ref, fs.ErrNotExist)
	}
	return plan.Manifests[i].Descriptor(), content, nil
}

// Blob implements [extract.Images].
func (b *bundleImages) Blob(ctx context.Context, ref oci.Reference, d oci.Descriptor) (io.ReadCloser, error) {
	blob := b.Prologue.Blob(d.Digest)
	if blob == nil {
		return nil, fmt.Errorf("blob %s of %s is not in the bundle: %w", d.Digest, ref, fs.ErrNotExist)
	}
	return b.Bundle.Blob(ctx, blob, 0)
}

// registryImages gives extract the images of a release in a registry, which may
// lie elsewhere than their names say.
type registryImages struct {
	client    *registry.Client
	redirects site.Redirects
	// beside is the repository of the release image.
	beside string
}

// places lists where an image may be, by its digest: where mirror sets say, where
// mirrors put components when they have the release image here, and where its
// name says.
func (r *registryImages) places(repository string) []string {
	places := r.redirects.Repositories(repository)
	places = append(places, r.beside)
	if prefix, ok := strings.CutSuffix(r.beside, "release-images"); ok {
		places = append(places, prefix+"release")
	}
	return append(places, repository)
}

// Manifest implements [extract.Images].
func (r *registryImages) Manifest(ctx context.Context, ref oci.Reference) (d oci.Descriptor, content []byte, err error) {
	err = r.each(ctx, ref, func(at oci.Reference) error {
		var err error
		d, content, err = r.client.Resolve(ctx, at)
		return err
	})
	return d, content, err
}

// Blob implements [extract.Images].
func (r *registryImages) Blob(ctx context.Context, ref oci.Reference, d oci.Descriptor) (blob io.ReadCloser, err error) {
	err = r.each(ctx, ref, func(at oci.Reference) error {
		var err error
		blob, _, err = r.client.Blob(ctx, at.Repository, d, 0, d.Size)
		return err
	})
	return blob, err
}

// each tries the places until one has it. What else than absence went wrong is
// told in the end.
func (r *registryImages) each(ctx context.Context, ref oci.Reference, try func(oci.Reference) error) error {
	var errs []error
	var asked []string
	for _, place := range r.places(ref.Repository) {
		if slices.Contains(asked, place) {
			continue
		}
		asked = append(asked, place)
		err := try(oci.Reference{Repository: place, Digest: ref.Digest})
		if err == nil || ctx.Err() != nil {
			return err
		}
		errs = append(errs, err)
	}
	return fmt.Errorf("image %s: %w", ref, errors.Join(errs...))
}
