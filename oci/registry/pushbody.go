package registry

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"satchel/oci"
)

var errBodyClosed = errors.New("body is closed")

// pushBody is a request body that the transport cannot finish before its source
// has said io.EOF, and that is left alone by the transport once Close returns.
type pushBody struct {
	want oci.Descriptor

	mu     sync.Mutex
	src    io.ReadCloser // nil: closed
	n      int64
	sticky error

	failure  atomic.Pointer[sourceError] // readable while a read is under way
	verified atomic.Bool                 // the source said io.EOF at the right size
}

// Read gives out the last bytes only after the source's verdict.
func (b *pushBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.src == nil:
		return 0, errBodyClosed
	case b.sticky != nil:
		return 0, b.sticky
	case len(p) == 0:
		return 0, nil
	}
	n, err := b.src.Read(p)
	b.n += int64(n)
	if err == nil && b.n >= b.want.Size {
		err = b.probe()
	}
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF && b.n == b.want.Size:
		b.sticky = io.EOF
		b.verified.Store(true)
		return n, io.EOF
	case err == io.EOF && b.n < b.want.Size:
		err = fmt.Errorf("blob %s: source has %d bytes, want %d: %w", b.want.Digest, b.n, b.want.Size, io.ErrUnexpectedEOF)
	case err == io.EOF:
		err = fmt.Errorf("blob %s: source has more than %d bytes", b.want.Digest, b.want.Size)
	}
	failure := &sourceError{err: err}
	b.failure.Store(failure)
	b.sticky = failure
	return 0, failure
}

// probe asks the source for its end.
func (b *pushBody) probe() error {
	var one [1]byte
	for range 100 {
		n, err := b.src.Read(one[:])
		b.n += int64(n)
		if err != nil {
			return err
		}
		if b.n > b.want.Size {
			return fmt.Errorf("blob %s: source has more than %d bytes", b.want.Digest, b.want.Size)
		}
	}
	return io.ErrNoProgress
}

// readEmpty brings about the verdict on a blob of no bytes.
func (b *pushBody) readEmpty() error {
	var one [1]byte
	for range 100 {
		if _, err := b.Read(one[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
	return &sourceError{err: io.ErrNoProgress}
}

// Close waits for a read that is under way, and closes the source.
func (b *pushBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.src == nil {
		return nil
	}
	err := b.src.Close()
	b.src = nil
	return err
}
