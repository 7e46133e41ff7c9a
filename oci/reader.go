package oci

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"
)

// MismatchError says that bytes are not what their descriptor promises.
type MismatchError struct {
	Want Descriptor
	// GotDigest is empty when the content was longer than promised and reading
	// stopped one byte past the promised size.
	GotDigest digest.Digest
	// GotSize is the number of bytes seen, at most Want.Size+1.
	GotSize int64
}

func (e *MismatchError) Error() string {
	switch {
	case e.GotSize > e.Want.Size:
		return fmt.Sprintf("%s: longer than the promised %d bytes", e.Want.Digest, e.Want.Size)
	case e.GotSize < e.Want.Size:
		return fmt.Sprintf("%s: got %d bytes, want %d", e.Want.Digest, e.GotSize, e.Want.Size)
	}
	return fmt.Sprintf("%s: content has digest %s", e.Want.Digest, e.GotDigest)
}

// Reader is the gate: it hands on the bytes of r and returns io.EOF only after
// their number and their SHA-256 agree with the descriptor. Bytes read before
// that are not yet to be believed. It is not for concurrent use.
type Reader struct {
	r    io.Reader
	want Descriptor
	hash hash.Hash
	n    int64
	err  error // sticky: a verdict does not change
}

// NewReader returns a gate for content that must be d. It refuses a descriptor
// that [CheckDescriptor] refuses. The caller keeps ownership of r and closes it.
func NewReader(r io.Reader, d Descriptor) (*Reader, error) {
	if err := CheckDescriptor(d); err != nil {
		return nil, err
	}
	return &Reader{r: r, want: d, hash: sha256.New()}, nil
}

// Read returns errors of the source unchanged, and a [*MismatchError] instead of
// io.EOF when size or digest disagree. It never delivers a byte past the
// promised size.
func (r *Reader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	left := r.want.Size - r.n
	if left == 0 {
		return 0, r.atEnd()
	}
	if int64(len(p)) > left {
		p = p[:left]
	}
	n, err := r.r.Read(p)
	r.hash.Write(p[:n])
	r.n += int64(n)
	if err == io.EOF {
		err = r.verdict()
	}
	r.err = err
	if n > 0 && err == io.EOF {
		return n, nil // the sticky verdict follows with the next call
	}
	return n, err
}

// atEnd asks the source for one byte more than promised.
func (r *Reader) atEnd() error {
	var one [1]byte
	for range 100 {
		n, err := r.r.Read(one[:])
		switch {
		case n > 0:
			r.n++
			r.err = &MismatchError{Want: r.want, GotSize: r.n}
		case err == io.EOF:
			r.err = r.verdict()
		default:
			r.err = err
		}
		if r.err != nil {
			return r.err
		}
	}
	r.err = io.ErrNoProgress
	return r.err
}

func (r *Reader) verdict() error {
	got := digest.NewDigest(digest.SHA256, r.hash)
	if r.n != r.want.Size || got != r.want.Digest {
		return &MismatchError{Want: r.want, GotDigest: got, GotSize: r.n}
	}
	return io.EOF
}

// Verify checks bytes that are wholly in memory against their descriptor.
func Verify(content []byte, d Descriptor) error {
	if err := CheckDescriptor(d); err != nil {
		return err
	}
	got := digest.FromBytes(content)
	if int64(len(content)) > d.Size {
		return &MismatchError{Want: d, GotSize: d.Size + 1}
	}
	if int64(len(content)) != d.Size || got != d.Digest {
		return &MismatchError{Want: d, GotDigest: got, GotSize: int64(len(content))}
	}
	return nil
}
