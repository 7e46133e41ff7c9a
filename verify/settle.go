package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// settle judges the cut blobs when all volumes are read. One that is not right
// in the copies that were read first is read again from others, in just the way
// that unpack does it. The error is that of the context.
func (c *checker) settle(ctx context.Context) error {
	plan := c.bundle.Prologue.Plan()
	for i := range plan.Blobs {
		b := &plan.Blobs[i]
		if len(b.Extents) == 0 || c.options.Quick {
			continue
		}
		if !c.right[b] {
			if err := c.readCopies(ctx, b); err != nil {
				return err
			}
		}
		c.compareCopies(b)
		if err := c.wrong[b]; err != nil && !c.right[b] {
			c.blame(b, err)
		}
	}
	return nil
}

// readCopies looks for copies of a cut blob that are right together. The first
// copy of each volume was read already.
func (c *checker) readCopies(ctx context.Context, b *bundle.Blob) error {
	for nth := 1; nth < c.bundle.Copies(b); nth++ {
		parts, err := c.readParts(ctx, b, nth)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			c.right[b], c.parts[b] = true, parts
			return nil
		}
		if mismatch := (*oci.MismatchError)(nil); errors.As(err, &mismatch) {
			c.wrong[b] = mismatch
		}
	}
	return nil
}

// readParts reads a cut blob through its gate and returns the digests of its
// extents.
func (c *checker) readParts(ctx context.Context, b *bundle.Blob, nth int) ([]digest.Digest, error) {
	r, err := c.bundle.Blob(ctx, b, nth)
	if err != nil {
		return nil, err
	}
	defer r.Close() // it was only read
	var parts []digest.Digest
	buffer := make([]byte, 256<<10)
	for _, e := range b.Extents {
		sum := sha256.New()
		n, err := io.CopyBuffer(struct{ io.Writer }{sum}, io.LimitReader(r, e.Size), buffer)
		if err != nil {
			return nil, err
		}
		if n < e.Size {
			return nil, io.ErrUnexpectedEOF
		}
		parts = append(parts, digest.NewDigest(digest.SHA256, sum))
	}
	// The gate gives its verdict with the end, not before.
	if n, err := r.Read(buffer[:1]); n > 0 || err != io.EOF {
		return nil, errors.Join(fmt.Errorf("blob %s: no end", b.Digest), err)
	}
	return parts, nil
}

// compareCopies compares the copies of each extent of a cut blob: with what they
// must be if that is known, else with each other.
func (c *checker) compareCopies(b *bundle.Blob) {
	for i, m := range membersOf(b) {
		copies := c.copies[m]
		if len(copies) == 0 {
			continue
		}
		want, verdict := copies[0].digest, "and nothing says which is right"
		if c.right[b] {
			want, verdict = c.parts[b][i], "which is right"
		}
		differs := func(e extentCopy) bool { return e.digest != want }
		for _, e := range copies {
			if differs(e) || !c.right[b] && slices.ContainsFunc(copies, differs) {
				c.add(&bundle.DamageError{File: e.volume.Name, Medium: e.volume.Medium, Offset: -1,
					Err: fmt.Errorf("member %s differs from that of the other copy, %s", m.Name(), verdict)})
			}
		}
	}
}

// blame notes that the extents of a blob are not that blob together, although
// each is as its frames say: in the volumes that can be the reason.
func (c *checker) blame(b *bundle.Blob, err error) {
	var suspects, all []*bundle.VolumeFile
	for _, v := range c.bundle.Volumes {
		if !slices.Contains(b.VolumesOf(), v.Number) {
			continue
		}
		all = append(all, v)
		if stated := c.stated(v); stated == nil || stated.Digest != c.report.volume(v).Digest {
			suspects = append(suspects, v)
		}
	}
	if len(suspects) == 0 {
		suspects = all // then the inventory is wrong too
	}
	for _, v := range suspects {
		c.add(&bundle.DamageError{File: v.Name, Medium: v.Medium, Offset: -1, Err: fmt.Errorf("a part of blob %w", err)})
	}
}
