package transfer

import (
	"context"
	"fmt"
	"io"

	"satchel/bundle"
	"satchel/oci"
)

// CopyOptions say where images go and how.
type CopyOptions struct {
	UnpackOptions
	// SkipMissing leaves images out of which the source does not have a blob.
	SkipMissing bool
}

// Copy replays a plan into a target straight from its sources, without media: all
// that is said of [Unpack] holds. Volume, Earlier and Sequential mean nothing.
func Copy(ctx context.Context, prologue *bundle.Prologue, sources Sources, target Target, o CopyOptions) (*Receipt, error) {
	o.Volume, o.Earlier, o.Sequential = nil, nil, false
	u, err := newUnpacker(prologue, &sourceSupply{sources, o.SkipMissing}, target, o.UnpackOptions)
	if err != nil {
		return nil, err
	}
	return u.replay(ctx)
}

// sourceSupply gives blobs from where they come from.
type sourceSupply struct {
	sources     Sources
	skipMissing bool
}

// Copies implements supply.
func (s *sourceSupply) Copies(*bundle.Blob) int { return 1 }

// Blob implements supply.
func (s *sourceSupply) Blob(ctx context.Context, b *bundle.Blob, _ int) (io.ReadCloser, error) {
	late := &lateReader{open: func() (io.ReadCloser, error) {
		r, _, err := s.sources.open(ctx, b, 0, b.Size)
		if err != nil && s.skipMissing && isAbsence(b.Origin, err) {
			return nil, &bundle.MissingBlobError{Digest: b.Digest, Reason: bundle.CleanReason(err.Error())}
		}
		if err != nil {
			return nil, fmt.Errorf("reading from %s: %w", originName(b.Origin), err)
		}
		return r, nil
	}}
	gate, err := oci.NewReader(late, b.Descriptor())
	if err != nil {
		return nil, err
	}
	return &sourceBlob{gate, late}, nil
}

// sourceBlob is a gate over a blob of a source.
type sourceBlob struct {
	*oci.Reader
	io.Closer
}

// lateReader opens what it reads at the first byte: asking whether a blob can be
// had opens it too, and is not worth a request.
type lateReader struct {
	open func() (io.ReadCloser, error)
	r    io.ReadCloser
}

func (l *lateReader) Read(p []byte) (int, error) {
	if l.r == nil {
		r, err := l.open()
		if err != nil {
			return 0, err
		}
		l.r = r
	}
	return l.r.Read(p)
}

func (l *lateReader) Close() error {
	if l.r == nil {
		return nil
	}
	return l.r.Close()
}
