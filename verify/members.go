package verify

import (
	"crypto/sha256"
	"hash"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// members is what a checker knows while it reads members one after another.
type members struct {
	volume *bundle.VolumeFile
	// further says that a further copy of a volume is being read.
	further bool

	current bundle.Member // or, when it has ended, the last
	open    bool          // it has not ended
	// blob is the hash of the current blob; a cut one goes on from volume to
	// volume. It is nil for the extents of further copies.
	blob   hash.Hash
	size   int64 // content seen of the blob
	broken bool  // some of it was not seen
	// extent is the hash of the current extent, where there are further copies
	// to compare; joined are those of the extents before.
	extent hash.Hash
	joined []digest.Digest

	// right are the blobs that were read and have their digest; wrong, of those
	// that are cut, were read whole and have another.
	right map[*bundle.Blob]bool
	wrong map[*bundle.Blob]error
	// copies are the digests of extents of which there are several copies; parts
	// those that the extents of a right blob have.
	copies map[bundle.Member][]extentCopy
	parts  map[*bundle.Blob][]digest.Digest
}

// extentCopy is an extent in one of the copies of its volume.
type extentCopy struct {
	volume *bundle.VolumeFile
	digest digest.Digest
}

// Content implements [bundle.Visitor].
func (c *checker) Content(m bundle.Member, p []byte) {
	c.turnTo(m)
	if c.blob != nil {
		c.blob.Write(p)
		c.size += int64(len(p))
	}
	if c.extent != nil {
		c.extent.Write(p)
	}
}

// turnTo begins a member, unless it is the current one.
func (c *checker) turnTo(m bundle.Member) {
	if c.open && c.current == m {
		return
	}
	goesOn := m.Extent > 1 && c.current.Blob == m.Blob && c.current.Extent == m.Extent-1
	c.current, c.open, c.extent = m, true, nil
	if m.Extent > 0 && c.bundle.Copies(m.Blob) > 1 {
		c.extent = sha256.New()
	}
	switch {
	case m.Extent > 0 && c.further:
		c.blob = nil
	case !goesOn:
		c.blob, c.size, c.broken, c.joined = sha256.New(), 0, m.Start > 0, nil
	}
}

// EndMember implements [bundle.Visitor].
func (c *checker) EndMember(m bundle.Member, isWhole bool) {
	c.turnTo(m)
	c.open = false
	if !isWhole || !c.volume.Whole {
		c.broken = true
		c.meet(m, damaged)
		return
	}
	if m.Extent > 0 {
		c.meet(m, whole)
		c.endExtent(m)
		return
	}
	if err := c.verdict(m.Blob); err != nil {
		c.meet(m, damaged)
		c.add(&bundle.DamageError{File: c.volume.Name, Medium: c.volume.Medium, Offset: -1, Err: err})
		return
	}
	c.meet(m, whole)
	c.right[m.Blob] = true
}

// endExtent keeps the digest of an extent, and judges the blob that ends with it.
func (c *checker) endExtent(m bundle.Member) {
	if c.extent != nil {
		sum := digest.NewDigest(digest.SHA256, c.extent)
		c.copies[m] = append(c.copies[m], extentCopy{c.volume, sum})
		c.joined = append(c.joined, sum)
	}
	if c.further || c.broken || !m.Last() {
		return
	}
	if err := c.verdict(m.Blob); err != nil {
		c.wrong[m.Blob] = err
		return
	}
	c.right[m.Blob], c.parts[m.Blob] = true, c.joined
}

// verdict compares the blob that was read with what it must be.
func (c *checker) verdict(b *bundle.Blob) error {
	got := digest.NewDigest(digest.SHA256, c.blob)
	if got == b.Digest && c.size == b.Size {
		return nil
	}
	return &oci.MismatchError{Want: b.Descriptor(), GotDigest: got, GotSize: c.size}
}
