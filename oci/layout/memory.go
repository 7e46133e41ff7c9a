//go:build !windows

package layout

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/umoci/oci/cas"
)

// memory is a content store for umoci that touches no disk. It has no index, and
// is for one goroutine.
type memory struct {
	blobs map[digest.Digest][]byte
	max   int64 // bytes of one blob
}

var _ cas.Engine = (*memory)(nil)

func newMemory(max int64) *memory {
	return &memory{blobs: make(map[digest.Digest][]byte), max: max}
}

// PutBlob keeps what it reads.
func (m *memory) PutBlob(ctx context.Context, r io.Reader) (digest.Digest, int64, error) {
	content, err := io.ReadAll(io.LimitReader(contextReader{ctx, r}, m.max+1))
	if err != nil {
		return "", 0, err
	}
	if int64(len(content)) > m.max {
		return "", 0, fmt.Errorf("blob of more than %d bytes", m.max)
	}
	d := cas.BlobAlgorithm.FromBytes(content)
	m.blobs[d] = content
	return d, int64(len(content)), nil
}

// GetBlob returns a reader of the blob, or cas.ErrNotExist.
func (m *memory) GetBlob(_ context.Context, d digest.Digest) (io.ReadCloser, error) {
	content, ok := m.blobs[d]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d, cas.ErrNotExist)
	}
	return io.NopCloser(bytes.NewReader(content)), nil
}

// StatBlob reports whether the blob is there.
func (m *memory) StatBlob(_ context.Context, d digest.Digest) (bool, error) {
	_, ok := m.blobs[d]
	return ok, nil
}

// DeleteBlob forgets the blob.
func (m *memory) DeleteBlob(_ context.Context, d digest.Digest) error {
	delete(m.blobs, d)
	return nil
}

// ListBlobs returns the digests in their order.
func (m *memory) ListBlobs(context.Context) ([]digest.Digest, error) {
	return slices.Sorted(maps.Keys(m.blobs)), nil
}

// PutIndex returns cas.ErrNotImplemented.
func (m *memory) PutIndex(context.Context, ispec.Index) error { return cas.ErrNotImplemented }

// GetIndex returns cas.ErrNotImplemented.
func (m *memory) GetIndex(context.Context) (ispec.Index, error) {
	return ispec.Index{}, cas.ErrNotImplemented
}

// Clean has nothing to do.
func (m *memory) Clean(context.Context) error { return nil }

// Close has nothing to do.
func (m *memory) Close() error { return nil }
