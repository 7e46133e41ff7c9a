package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"satchel/bundle"
	"satchel/oci"
)

// lacksError says that blobs cannot be had from the media.
type lacksError []Lack

func (e lacksError) Error() string { return e[0].Reason }

// ensure sees to it that a blob is in a repository: it is known to be, it is
// there, it is mounted or copied from another repository, or it is pushed from
// the media. The error is a [lacksError] when the media do not give it. first
// says that this is the blob's turn, of which progress is told.
func (u *unpacker) ensure(ctx context.Context, repository string, d oci.Descriptor, first bool) error {
	_, err, _ := u.known.group.Do(repository+"@"+d.Digest.String(), func() (any, error) {
		if u.known.fresh(repository, d.Digest) {
			return nil, nil
		}
		has, doubt, err := u.ask(ctx, repository, d)
		if err != nil {
			return nil, err
		}
		if has {
			if first {
				tell(u.options.Progress, Event{Kind: BytesSkipped, Bytes: d.Size})
			}
			return nil, nil
		}
		if err := u.bring(ctx, repository, d, first, doubt); err != nil {
			return nil, err
		}
		u.known.add(repository, d.Digest, u.known.now(), true)
		return nil, nil
	})
	return err
}

// bring brings a blob into a repository that lacks it.
func (u *unpacker) bring(ctx context.Context, repository string, d oci.Descriptor, first bool, doubt error) error {
	if content, ok := u.prologue.Manifest(d.Digest); ok {
		return u.pushContent(ctx, repository, d, content)
	}
	for _, other := range u.known.others(repository, d.Digest) {
		if done, err := u.fromOther(ctx, repository, other, d); done || err != nil {
			return err
		}
	}
	b := u.prologue.Blob(d.Digest)
	// Opening reads nothing; asking beforehand spares a session at the target.
	r, err := u.open(ctx, b, 0)
	if err == nil {
		err = r.Close()
	}
	if damage := (*bundle.DamageError)(nil); err == nil || errors.As(err, &damage) {
		err = u.push(ctx, repository, b, first)
	}
	if err == nil {
		u.count(func(c *BlobCounts) { c.Pushed++; c.PushedBytes += b.Size })
		return nil
	}
	lack := u.lacking(b, err)
	if lack == nil {
		return err
	}
	if doubt != nil {
		lack.Reason += fmt.Sprintf("; %s says that it has it, but: %v", repository, doubt)
	}
	return lacksError{*lack}
}

// open opens a blob of the bundle: its nth copy or, when volumes are asked for,
// wherever that leads.
func (u *unpacker) open(ctx context.Context, b *bundle.Blob, nth int) (io.ReadCloser, error) {
	if u.spanning {
		return u.openSpanned(ctx, b)
	}
	return u.supply.Blob(ctx, b, nth)
}

// push sends a blob from the media; where there are several copies of a volume
// and one is damaged, from the others.
func (u *unpacker) push(ctx context.Context, repository string, b *bundle.Blob, first bool) (err error) {
	select {
	case u.reading <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-u.reading }()
	var sent int64
	moved := func(n int64) {
		sent += n
		if first && n != 0 {
			tell(u.options.Progress, Event{Kind: BytesMoved, Bytes: n})
		}
	}
	for nth := range max(1, u.supply.Copies(b)) {
		err = u.target.PushBlob(ctx, repository, b.Descriptor(), func(ctx context.Context) (io.ReadCloser, error) {
			moved(-sent) // what an attempt before this one read
			r, err := u.open(ctx, b, nth)
			if err != nil {
				return nil, err
			}
			return &toldReader{r, moved}, nil
		})
		if damage := (*bundle.DamageError)(nil); u.spanning || !errors.As(err, &damage) {
			break
		}
	}
	if err != nil {
		moved(-sent)
	}
	return err
}

// toldReader tells of the bytes that go by.
type toldReader struct {
	io.ReadCloser
	moved func(int64)
}

func (r *toldReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.moved(int64(n))
	return n, err
}

// lacking says what an error means for the images: nil when it is not about the
// media.
func (u *unpacker) lacking(b *bundle.Blob, err error) *Lack {
	var (
		damage *bundle.DamageError
		absent *bundle.MissingVolumeError
		left   *bundle.MissingBlobError
	)
	lack := &Lack{Digest: b.Digest, Reason: err.Error(), Volumes: b.VolumesOf()}
	switch {
	case errors.As(err, &absent):
		lack.Reason, lack.again, lack.cause = absent.Error(), absent.Numbers, lackVolume
	case errors.As(err, &left):
		lack.Reason, lack.again, lack.cause = left.Reason, u.numbered(left.Volume, b), lackAtSource
	case errors.As(err, &damage) && errors.Is(err, fs.ErrNotExist):
		lack.Reason, lack.again, lack.cause = "it is gone: "+damage.Error(), u.numbered(damage.File, b), lackVolume
	case errors.As(err, &damage):
		lack.Reason, lack.again, lack.cause = damage.Error(), u.numbered(damage.File, b), lackDamaged
		u.mu.Lock()
		defer u.mu.Unlock()
		u.damaged[damage.File] = true
	default:
		return nil
	}
	return lack
}

// numbered returns the number of the one of the blob's volumes that has the name;
// all of them when none has.
func (u *unpacker) numbered(name string, b *bundle.Blob) []int {
	for _, n := range b.VolumesOf() {
		if u.prologue.Plan().VolumeName(n) == name {
			return []int{n}
		}
	}
	return b.VolumesOf()
}

// fromOther mounts a blob from another repository or, where the registry refuses
// that, copies it. It returns false when the other repository does not have it
// any more.
func (u *unpacker) fromOther(ctx context.Context, repository, other string, d oci.Descriptor) (bool, error) {
	mounted, err := u.target.Mount(ctx, repository, other, d)
	if err != nil {
		return false, err
	}
	if mounted {
		u.count(func(c *BlobCounts) { c.Mounted++ })
		return true, nil
	}
	err = u.target.PushBlob(ctx, repository, d, func(ctx context.Context) (io.ReadCloser, error) {
		blob, _, err := u.target.Blob(ctx, other, d, 0, d.Size)
		if err != nil {
			return nil, &copyError{err}
		}
		gate, err := oci.NewReader(blob, d)
		if err != nil {
			return nil, closeWith(err, blob)
		}
		return &gated{gate, blob}, nil
	})
	if vanished := (*copyError)(nil); errors.As(err, &vanished) && ctx.Err() == nil {
		u.known.forget(other, d.Digest)
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("copying from %s: %w", other, err)
	}
	u.count(func(c *BlobCounts) { c.Copied++ })
	return true, nil
}

// copyError is a failure to read what is to be copied.
type copyError struct{ err error }

func (e *copyError) Error() string { return e.err.Error() }
func (e *copyError) Unwrap() error { return e.err }

// gated is a gate that closes what it reads from.
type gated struct {
	gate *oci.Reader
	io.Closer
}

func (g *gated) Read(p []byte) (int, error) {
	n, err := g.gate.Read(p)
	if err != nil && err != io.EOF {
		err = &copyError{err}
	}
	return n, err
}

// pushContent pushes a blob that stands among the manifests of the bundle: an
// artifact may name a manifest as its layer.
func (u *unpacker) pushContent(ctx context.Context, repository string, d oci.Descriptor, content []byte) error {
	err := u.target.PushBlob(ctx, repository, d, func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
	if err == nil {
		u.count(func(c *BlobCounts) { c.Pushed++; c.PushedBytes += d.Size })
	}
	return err
}
