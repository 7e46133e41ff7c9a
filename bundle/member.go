package bundle

import (
	"archive/tar"
	"bytes"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
)

const tarBlock = 512

// Member is one tar entry of a volume's share: a whole blob, or an extent of one.
type Member struct {
	// Blob is what the member holds or is an extent of.
	Blob *Blob
	// Extent numbers the extents of a blob from 1; 0 says that the member is
	// the whole blob.
	Extent int
	// Start and Size are the member's range in the blob, in bytes.
	Start, Size int64
}

// Name is the member's name in the tar. Whole blobs lie where an OCI layout has
// them; extents lie aside, numbered so that a shell's glob joins them in order.
func (m Member) Name() string {
	if m.Extent == 0 {
		return blobName(m.Blob.Digest)
	}
	return fmt.Sprintf("satchel/extents/sha256-%s.%04d", m.Blob.Digest.Encoded(), m.Extent)
}

// Last reports whether the blob ends with this member.
func (m Member) Last() bool { return m.Start+m.Size == m.Blob.Size }

// storedSize is the member's size in the volume in bytes when it is stored: an
// upper bound when it is compressed while written.
func (m Member) storedSize() int64 { return memberSize(m.Size) }

// memberSize is the stored size of a member with n bytes of content.
func memberSize(n int64) int64 { return storedSize(tarBlock + padded(n)) }

// memberFit is the largest n > 0 for which memberSize(n) ≤ room, or 0.
func memberFit(room int64) int64 {
	perFrame := storedFrameSize(frameContent)
	content := room / perFrame * frameContent
	if rest := room%perFrame - frameHeader - frameChecksum; rest > 0 {
		blocks := (rest + blockContent + blockHeader - 1) / (blockContent + blockHeader)
		if n := rest - blocks*blockHeader; n > 0 {
			content += n
		}
	}
	return max(content/tarBlock*tarBlock-tarBlock, 0)
}

func padded(n int64) int64 { return (n + tarBlock - 1) / tarBlock * tarBlock }

func blobName(d digest.Digest) string { return "blobs/sha256/" + d.Encoded() }

// appendTarHeader appends the one tar header that a file of this name and size
// can have in a volume: USTAR, mode 0644, owner 0, the epoch as its time.
func appendTarHeader(dst []byte, name string, size int64) ([]byte, error) {
	var block bytes.Buffer
	err := tar.NewWriter(&block).WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644,
		ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	})
	if err != nil {
		return nil, err
	}
	if block.Len() != tarBlock {
		return nil, fmt.Errorf("tar header of %q: %d bytes", name, block.Len())
	}
	return append(dst, block.Bytes()...), nil
}

// parseTarHeader reads a header block that appendTarHeader could have made.
func parseTarHeader(block []byte) (name string, size int64, err error) {
	h, err := tar.NewReader(bytes.NewReader(block)).Next()
	if err != nil {
		return "", 0, fmt.Errorf("tar header: %w", noEOF(err))
	}
	again, err := appendTarHeader(nil, h.Name, h.Size)
	if err != nil || !bytes.Equal(again, block) {
		return "", 0, fmt.Errorf("tar header of %q is not one of this format", h.Name)
	}
	return h.Name, h.Size, nil
}

// endOfArchive is the frame that ends every volume: two zero blocks.
func endOfArchive() []byte { return appendStored(nil, make([]byte, 2*tarBlock)) }
