//go:build windows

package layout

import (
	"context"
	"errors"
	"io"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"satchel/oci"
)

// AddLayer returns an error.
func AddLayer(context.Context, oci.Descriptor, func(context.Context, oci.Descriptor) ([]byte, error),
	io.Reader, func(*ispec.ImageConfig), string) (m, config, layer Added, err error) {
	return Added{}, Added{}, Added{}, errors.New("adding layers to images is not supported on windows")
}
