package transfer

import (
	"context"
	"io"
)

// Window exposes the window between network and volume.
type Window = window

// NewWindow exposes newWindow.
var NewWindow = newWindow

// Blob exposes the reader of the next blob.
func (w *window) Blob(ctx context.Context, size int64) io.Reader { return w.blob(ctx, size) }
