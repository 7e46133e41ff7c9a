package transfer

import (
	"context"
	"io"

	"satchel/bundle"
)

// Window exposes the window between network and volume.
type Window = window

// NewWindow exposes newWindow for whole blobs.
func NewWindow(ctx context.Context, open openFunc, blobs []*bundle.Blob, buffer int64, jobs int) *Window {
	var pieces []piece
	for _, b := range blobs {
		pieces = append(pieces, piece{b, 0, b.Size})
	}
	return newWindow(ctx, open, pieces, buffer, jobs)
}

// Blob exposes the reader of the next blob.
func (w *window) Blob(ctx context.Context, size int64) io.Reader { return w.next(ctx, size) }
