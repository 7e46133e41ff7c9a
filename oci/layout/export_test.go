//go:build !windows

package layout

import (
	"context"
	"io"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"satchel/oci"
)

// AddLayerBounded is AddLayer with bounds that tests can reach.
func AddLayerBounded(ctx context.Context, manifest oci.Descriptor, fetch func(context.Context, oci.Descriptor) ([]byte, error),
	tar io.Reader, edit func(*ispec.ImageConfig), createdBy string, plain, compressed int64) (m, config, layer Added, err error) {
	return addLayer(ctx, manifest, fetch, tar, edit, createdBy, bounds{plain, compressed})
}
