//go:build windows

package layout

import (
	"context"
	"errors"
	"io"

	"satchel/oci"
)

// Layout is never there on Windows.
type Layout struct{}

func unsupported() error {
	return errors.New("OCI layouts are not supported on windows")
}

// Open returns an error.
func Open(string) (*Layout, error) {
	return nil, unsupported()
}

// Create returns an error.
func Create(string) (*Layout, error) {
	return nil, unsupported()
}

// Close returns an error.
func (*Layout) Close() error {
	return unsupported()
}

// Resolve returns an error.
func (*Layout) Resolve(context.Context, string) (oci.Descriptor, error) {
	return oci.Descriptor{}, unsupported()
}

// Entries returns an error.
func (*Layout) Entries(context.Context) ([]Entry, error) {
	return nil, unsupported()
}

// Manifest returns an error.
func (*Layout) Manifest(context.Context, oci.Descriptor) ([]byte, error) {
	return nil, unsupported()
}

// Blob returns an error.
func (*Layout) Blob(context.Context, oci.Descriptor, int64, int64) (io.ReadCloser, bool, error) {
	return nil, false, unsupported()
}

// HasBlob returns an error.
func (*Layout) HasBlob(context.Context, oci.Descriptor) (bool, error) {
	return false, unsupported()
}

// PushBlob returns an error.
func (*Layout) PushBlob(context.Context, oci.Descriptor, func(context.Context) (io.ReadCloser, error)) error {
	return unsupported()
}

// PutManifest returns an error.
func (*Layout) PutManifest(context.Context, oci.Descriptor, []byte) error {
	return unsupported()
}

// Tag returns an error.
func (*Layout) Tag(context.Context, string, oci.Descriptor) error {
	return unsupported()
}
