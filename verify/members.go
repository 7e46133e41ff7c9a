package verify

import (
	"crypto/sha256"
	"errors"
	"hash"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// members is what a checker knows while it reads members one after another.
type members struct {
	volume *VolumeReport
	// further says that a further copy of a volume is being read, compare that
	// there will be some.
	further, compare bool
	// unjudged says that a further copy has an extent that there is nothing to
	// compare with.
	unjudged bool

	current bundle.Member
	// blob is the hash of the current blob; a cut one goes on from volume to
	// volume. It is nil for the extents of further copies.
	blob   hash.Hash
	size   int64 // content seen of the blob
	broken bool  // some of it was not seen
	// extent is the hash of the current extent, where extents are compared.
	extent hash.Hash
	// joined are the digests of the blob's extents so far, by name; extents
	// those of blobs that are right.
	joined, extents map[string]digest.Digest
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
	if c.current == m {
		return
	}
	goesOn := m.Extent > 1 && c.current.Blob == m.Blob && c.current.Extent == m.Extent-1
	c.current, c.extent = m, nil
	if m.Extent > 0 && c.compare {
		c.extent = sha256.New()
	}
	switch {
	case m.Extent > 0 && c.further:
		c.blob = nil
	case !goesOn:
		c.blob, c.size, c.broken = sha256.New(), 0, m.Start > 0
		c.joined = make(map[string]digest.Digest)
	}
}

// EndMember implements [bundle.Visitor].
func (c *checker) EndMember(m bundle.Member, whole bool) {
	c.turnTo(m)
	if c.further {
		c.endFurther(m, whole)
		return
	}
	if c.extent != nil {
		c.joined[m.Name()] = digest.NewDigest(digest.SHA256, c.extent)
	}
	if !whole {
		c.broken, c.bad[m.Blob.Digest] = true, true
	}
	if !m.Last() || c.broken || c.absent[m.Blob.Digest] || c.bad[m.Blob.Digest] {
		return
	}
	if !c.verdict(m) {
		c.bad[m.Blob.Digest] = true
		return
	}
	c.verdicts++
	if c.extents == nil {
		c.extents = make(map[string]digest.Digest)
	}
	for name, d := range c.joined {
		c.extents[name] = d
	}
}

// verdict compares the blob that was read with what it must be.
func (c *checker) verdict(m bundle.Member) bool {
	got := digest.NewDigest(digest.SHA256, c.blob)
	if got == m.Blob.Digest && c.size == m.Blob.Size {
		return true
	}
	c.add(&bundle.DamageError{File: c.volume.Name, Medium: c.volume.Medium, Offset: -1,
		Err: &oci.MismatchError{Want: m.Blob.Descriptor(), GotDigest: got, GotSize: c.size}})
	return false
}

// endFurther judges a member of a further copy: a whole blob by its digest, an
// extent by that of the same extent of a blob that was found right.
func (c *checker) endFurther(m bundle.Member, whole bool) {
	switch {
	case !whole: // Damage has said so
	case m.Extent == 0:
		if c.verdict(m) {
			c.good[m.Blob.Digest] = true
		}
	default:
		want, ok := c.extents[m.Name()]
		if !ok {
			c.unjudged = true
		} else if want != digest.NewDigest(digest.SHA256, c.extent) {
			c.add(&bundle.DamageError{File: c.volume.Name, Medium: c.volume.Medium, Offset: -1,
				Err: errors.New("member " + m.Name() + " differs from that of the other copy")})
		}
	}
}
