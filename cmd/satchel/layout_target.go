package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/oci/layout"
)

// layoutTarget unpacks into an OCI image layout, which has one set of blobs for
// all repositories and names images in full. Unlike a registry it checks nothing
// by itself, so a blob that is there already is read before it is believed.
type layoutTarget struct {
	*layout.Layout
	checked sync.Map // digests of blobs that this run wrote or read
}

func newLayoutTarget(dir string) (*layoutTarget, error) {
	l, err := layout.Create(dir)
	if err != nil {
		return nil, fmt.Errorf("layout %s: %w", dir, err)
	}
	return &layoutTarget{Layout: l}, nil
}

func (t *layoutTarget) HasBlob(ctx context.Context, _ string, d oci.Descriptor) (bool, error) {
	if _, ok := t.checked.Load(d.Digest); ok {
		return true, nil
	}
	has, err := t.Layout.HasBlob(ctx, d)
	if err != nil || !has {
		return false, err
	}
	r, _, err := t.Layout.Blob(ctx, d, 0, d.Size)
	if err != nil {
		return false, err
	}
	defer r.Close() // it is only read
	gate, err := oci.NewReader(r, d)
	if err != nil {
		return false, err
	}
	if _, err := io.Copy(io.Discard, gate); err != nil {
		if mismatch := (*oci.MismatchError)(nil); errors.As(err, &mismatch) {
			return false, nil // it is written anew
		}
		return false, err
	}
	t.checked.Store(d.Digest, true)
	return true, nil
}

func (t *layoutTarget) PushBlob(ctx context.Context, _ string, d oci.Descriptor, open func(context.Context) (io.ReadCloser, error)) error {
	err := t.Layout.PushBlob(ctx, d, open)
	if err == nil {
		t.checked.Store(d.Digest, true)
	}
	return err
}

// Mount has nothing to do: a blob that is in the layout is there for all.
func (t *layoutTarget) Mount(ctx context.Context, repository, _ string, d oci.Descriptor) (bool, error) {
	return t.HasBlob(ctx, repository, d)
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
