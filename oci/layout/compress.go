//go:build !windows

package layout

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"github.com/klauspost/compress/gzip"
)

// compressor is gzip for umoci's mutation in place of umoci's own, which reads the
// layer in a goroutine that may outlive the call, writes errors to a log, and
// rests on encoders that are taken from a pool. This one does one thing after the
// other, so that its bytes depend on what it reads and on nothing else.
type compressor struct{}

// MediaTypeSuffix returns the end of the media type of layers.
func (compressor) MediaTypeSuffix() string { return "gzip" }

// Compress returns what plain is compressed to. Reading it reads plain.
func (compressor) Compress(plain io.Reader) (io.ReadCloser, error) {
	r := &compressed{plain: plain, piece: make([]byte, 64<<10)}
	r.gzip = gzip.NewWriter(&r.out)
	r.gzip.ModTime = time.Unix(0, 0) // none; its zero value is written as 2042
	return r, nil
}

type compressed struct {
	plain io.Reader
	piece []byte
	out   bytes.Buffer
	gzip  *gzip.Writer // writes to out
	err   error        // to return when out is empty
}

// Read returns the errors of the source unchanged. Only its io.EOF is an end.
func (r *compressed) Read(p []byte) (int, error) {
	for r.out.Len() == 0 && r.err == nil {
		n, err := r.plain.Read(r.piece)
		if _, broken := r.gzip.Write(r.piece[:n]); broken != nil {
			err = broken
		}
		if err == io.EOF {
			if broken := r.gzip.Close(); broken != nil {
				err = broken
			}
		}
		r.err = err
	}
	if r.out.Len() == 0 {
		return 0, r.err
	}
	return r.out.Read(p)
}

// Close has nothing to do.
func (r *compressed) Close() error { return nil }

// bounded fails when there are more than max bytes.
type bounded struct {
	r      io.Reader
	n, max int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.n += int64(n); b.n > b.max {
		return 0, fmt.Errorf("layer of more than %d bytes", b.max)
	}
	return n, err
}
