package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/oci/layout"
)

// layoutTarget unpacks into an OCI image layout, which has one set of blobs for
// all repositories and names images in full.
type layoutTarget struct{ *layout.Layout }

func newLayoutTarget(dir string) (*layoutTarget, error) {
	l, err := layout.Create(dir)
	if err != nil {
		return nil, fmt.Errorf("layout %s: %w", dir, err)
	}
	return &layoutTarget{l}, nil
}

func (t *layoutTarget) HasBlob(ctx context.Context, _ string, d oci.Descriptor) (bool, error) {
	return t.Layout.HasBlob(ctx, d)
}

func (t *layoutTarget) PushBlob(ctx context.Context, _ string, d oci.Descriptor, open func(context.Context) (io.ReadCloser, error)) error {
	return t.Layout.PushBlob(ctx, d, open)
}

// Mount has nothing to do: a blob that is in the layout is there for all.
func (t *layoutTarget) Mount(ctx context.Context, _, _ string, d oci.Descriptor) (bool, error) {
	return t.Layout.HasBlob(ctx, d)
}

func (t *layoutTarget) Blob(ctx context.Context, _ string, d oci.Descriptor, offset, length int64) (io.ReadCloser, bool, error) {
	return t.Layout.Blob(ctx, d, offset, length)
}

func (t *layoutTarget) PushManifest(ctx context.Context, repository, tag string, d oci.Descriptor, content []byte) error {
	if err := t.PutManifest(ctx, d, content); err != nil {
		return err
	}
	if tag == "" {
		return nil
	}
	return t.Tag(ctx, repository+":"+tag, d)
}

func (t *layoutTarget) Resolve(ctx context.Context, ref oci.Reference) (oci.Descriptor, []byte, error) {
	d, err := t.Layout.Resolve(ctx, ref.String())
	if err != nil {
		return oci.Descriptor{}, nil, err
	}
	content, err := t.Manifest(ctx, d)
	return d, content, err
}

// DeleteManifest is not needed: a layout takes sparse indexes without a probe
// that would have to go again.
func (t *layoutTarget) DeleteManifest(context.Context, string, digest.Digest) error {
	return errors.ErrUnsupported
}
