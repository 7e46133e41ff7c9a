package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// tarReader reads the tar entries of this format from frames, and keeps count of
// where in the volume it is.
type tarReader struct {
	r       io.Reader
	decoder *zstd.Decoder
	// offset is that of the frame that is read next, frame that of the frame
	// whose content is being handed out, in bytes from the volume's start.
	offset, frame int64
	raw, content  []byte
	rest          []byte
	// stored says that frames must be stored ones, whose bytes follow from
	// their content.
	stored bool
	// seen, where set, is given the bytes of each frame that was read and is
	// right; it must not keep them.
	seen func(frame []byte)
}

// reset begins to read at offset of a volume, which is where r stands. The
// buffers are kept.
func (t *tarReader) reset(r io.Reader, offset int64) {
	t.r, t.offset, t.frame, t.rest, t.stored = r, offset, offset, nil, false
}

// nextFrame decodes the next frame into t.rest. It returns io.EOF at a clean end.
func (t *tarReader) nextFrame() error {
	t.frame = t.offset
	raw, size, err := readFrame(t.r, t.raw)
	t.raw = raw
	t.offset += int64(len(raw))
	if err != nil {
		return err
	}
	t.content, err = t.decoder.DecodeAll(raw, t.content[:0])
	if err != nil {
		return fmt.Errorf("frame: %w", noEOF(err))
	}
	if len(t.content) != size {
		return fmt.Errorf("%w: %d bytes instead of %d", errFrame, len(t.content), size)
	}
	if t.stored && !isStored(raw, size) {
		return fmt.Errorf("%w: it is not stored as it must be", errFrame)
	}
	t.rest = t.content
	if t.seen != nil {
		t.seen(raw)
	}
	return nil
}

// Read hands out the content of the frames.
func (t *tarReader) Read(p []byte) (int, error) {
	if len(t.rest) == 0 {
		if err := t.nextFrame(); err != nil {
			return 0, err
		}
	}
	n := copy(p, t.rest)
	t.rest = t.rest[n:]
	return n, nil
}

// file reads the entry that must come next, of at most limit bytes. It allocates
// as the bytes arrive, not what a header claims.
func (t *tarReader) file(name string, limit int64) ([]byte, error) {
	var block [tarBlock]byte
	if _, err := io.ReadFull(t, block[:]); err != nil {
		return nil, noEOF(err)
	}
	got, size, err := parseTarHeader(block[:])
	if err != nil {
		return nil, err
	}
	if got != name {
		return nil, fmt.Errorf("member %q instead of %q", got, name)
	}
	if size > limit {
		return nil, fmt.Errorf("member %q: %d bytes are more than %d", name, size, limit)
	}
	var content bytes.Buffer
	if _, err := io.CopyN(&content, t, size); err != nil {
		return nil, noEOF(err)
	}
	if err := t.zeros(padded(size) - size); err != nil {
		return nil, fmt.Errorf("member %q: %w", name, err)
	}
	return content.Bytes(), nil
}

// zeros reads n < tarBlock bytes of padding.
func (t *tarReader) zeros(n int64) error {
	var block [tarBlock]byte
	if _, err := io.ReadFull(t, block[:n]); err != nil {
		return noEOF(err)
	}
	return allZero(block[:n])
}

func allZero(b []byte) error {
	if len(bytes.TrimLeft(b, "\x00")) > 0 {
		return errors.New("padding is not zero")
	}
	return nil
}

// frameEnded checks that a frame ends where the entry before ended.
func (t *tarReader) frameEnded() error {
	if len(t.rest) > 0 {
		return fmt.Errorf("%w: it goes on after its last member", errFrame)
	}
	return nil
}

// readHeader reads the first frame of a volume.
func (t *tarReader) readHeader() (volumeHeader, error) {
	var header volumeHeader
	var block [tarBlock]byte
	if err := t.nextFrame(); err != nil {
		return header, noEOF(err)
	}
	if len(t.rest) != headerFrameContent {
		return header, fmt.Errorf("%w: it does not begin with a volume header", errFrame)
	}
	copy(block[:], t.rest)
	name, size, err := parseTarHeader(block[:])
	if err != nil {
		return header, err
	}
	if size > tarBlock {
		return header, fmt.Errorf("member %q: %d bytes are more than %d", name, size, tarBlock)
	}
	if err := decode(t.rest[tarBlock:tarBlock+size], &header); err != nil {
		return header, fmt.Errorf("member %q: %w", name, err)
	}
	if err := oci.CheckDigest(header.Plan); err != nil {
		return header, fmt.Errorf("member %q: plan %w", name, err)
	}
	if err := CheckName(header.Name); err != nil {
		return header, fmt.Errorf("member %q: %w", name, err)
	}
	if header.Number < 1 || header.Number > header.Count || header.Count > MaxVolumes || name != headerName(header.Number) {
		return header, fmt.Errorf("member %q: volume %d of %d", name, header.Number, header.Count)
	}
	if err := allZero(t.rest[tarBlock+size:]); err != nil {
		return header, fmt.Errorf("member %q: %w", name, err)
	}
	t.rest = nil
	return header, nil
}

// readPrologue reads what follows the volume header and checks it: the plan
// against the ID that the header states, the manifests by digest, index.json
// against the plan.
func (t *tarReader) readPrologue(header volumeHeader) (*Prologue, error) {
	layout, err := t.file(layoutName, tarBlock)
	if err != nil {
		return nil, err
	}
	if string(layout) != layoutContent {
		return nil, fmt.Errorf("member %q: unexpected content", layoutName)
	}
	index, err := t.file(indexName, MaxDocument)
	if err != nil {
		return nil, err
	}
	planJSON, err := t.file(planName, MaxDocument)
	if err != nil {
		return nil, err
	}
	if got := idOf(planJSON); got != header.Plan {
		return nil, fmt.Errorf("member %q: its SHA-256 is %s, not the plan ID %s that the volume states", planName, got, header.Plan)
	}
	p := &Prologue{planJSON: planJSON, image: index, planID: header.Plan}
	if p.plan, err = ParsePlan(planJSON); err != nil {
		return nil, err
	}
	if p.plan.Volumes != header.Count || p.plan.Name != header.Name {
		return nil, fmt.Errorf("volume %d of %d of %s: the plan says %d volumes of %s",
			header.Number, header.Count, header.Name, p.plan.Volumes, p.plan.Name)
	}
	wanted, err := imageIndex(p.plan)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(index, wanted) {
		return nil, fmt.Errorf("member %q: it is not the index of the plan's images", indexName)
	}
	if err := t.frameEnded(); err != nil {
		return nil, err
	}
	p.contents = make(map[digest.Digest][]byte, len(p.plan.Manifests))
	for _, m := range p.plan.Manifests {
		content, err := t.file(blobName(m.Digest), m.Size)
		if err != nil {
			return nil, err
		}
		if err := oci.Verify(content, m.Descriptor()); err != nil {
			return nil, fmt.Errorf("manifest %w", err)
		}
		p.contents[m.Digest] = content
	}
	p.size = t.offset
	return p, t.frameEnded()
}

// samePrologue reads what follows the volume header and compares it with a
// prologue of the same plan that was read and checked before, which spares
// parsing the plan again for each volume.
func (t *tarReader) samePrologue(p *Prologue, header volumeHeader) error {
	if header.Plan != p.planID || header.Count != p.plan.Volumes || header.Name != p.plan.Name {
		return fmt.Errorf("volume states %d volumes of %s, plan %s", header.Count, header.Name, header.Plan)
	}
	same := func(name string, want []byte) error {
		content, err := t.file(name, int64(len(want)))
		if err == nil && !bytes.Equal(content, want) {
			err = fmt.Errorf("member %q: it differs from that of another volume", name)
		}
		return err
	}
	for _, f := range []struct {
		name string
		want []byte
	}{{layoutName, []byte(layoutContent)}, {indexName, p.image}, {planName, p.planJSON}} {
		if err := same(f.name, f.want); err != nil {
			return err
		}
	}
	if err := t.frameEnded(); err != nil {
		return err
	}
	for _, m := range p.plan.Manifests {
		if err := same(blobName(m.Digest), p.contents[m.Digest]); err != nil {
			return err
		}
	}
	return t.frameEnded()
}
