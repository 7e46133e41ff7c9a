package bundle

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// Names and content of the prologue's files.
const (
	layoutName    = "oci-layout"
	layoutContent = `{"imageLayoutVersion":"1.0.0"}`
	indexName     = "index.json"
	planName      = "satchel/plan.json"
)

func headerName(n int) string { return fmt.Sprintf("satchel/volume-%04d.json", n) }

// headerFrameContent is the content of the first frame of every volume: tar
// header and volume header, which is always shorter than a tar block.
const headerFrameContent = 2 * tarBlock

// Prologue is the start of every volume of a plan. All volumes have the same but
// for the first frame, which holds the volume header. It is immutable and safe
// for concurrent use.
type Prologue struct {
	plan     *Plan
	planJSON []byte
	image    []byte // index.json
	planID   digest.Digest
	contents map[digest.Digest][]byte
	size     int64 // in a volume, header frame included
	index    sync.Once
	blobs    map[digest.Digest]*Blob

	graphMu   sync.Mutex
	graphs    map[graphKey]*Graph
	graphSize int

	frames [2][]byte // layout, index and plan; then the manifests; nil when read from a volume
}

// Plan returns the plan that the prologue states; it must not be changed.
func (p *Prologue) Plan() *Plan { return p.plan }

// PlanJSON returns the plan's canonical JSON; it must not be changed.
func (p *Prologue) PlanJSON() []byte { return p.planJSON }

// PlanID is the SHA-256 of the plan's canonical JSON.
func (p *Prologue) PlanID() digest.Digest { return p.planID }

// Manifest returns the bytes of a manifest of the plan; they must not be
// changed.
func (p *Prologue) Manifest(d digest.Digest) ([]byte, bool) {
	content, ok := p.contents[d]
	return content, ok
}

// Blob returns the plan's entry for a blob, nil when it has none; manifests are
// no entries.
func (p *Prologue) Blob(d digest.Digest) *Blob {
	p.index.Do(func() {
		p.blobs = make(map[digest.Digest]*Blob, len(p.plan.Blobs))
		for i := range p.plan.Blobs {
			p.blobs[p.plan.Blobs[i].Digest] = &p.plan.Blobs[i]
		}
	})
	return p.blobs[d]
}

// Size is the prologue's size in a volume in bytes.
func (p *Prologue) Size() int64 { return p.size }

// EncoderError says that a plan wants bytes that this satchel cannot make.
type EncoderError struct{ Plan, Satchel string }

func (e *EncoderError) Error() string {
	return fmt.Sprintf("the plan's volumes are compressed by %q, and this satchel has %q: it cannot make the same bytes", e.Plan, e.Satchel)
}

// NewPrologue makes the prologue of a plan that exists already, to write its
// volumes again. contents are its manifests by digest; the caller must not change
// them. It returns an [*EncoderError] where the bytes would be others.
func NewPrologue(plan *Plan, contents map[digest.Digest][]byte) (*Prologue, error) {
	if plan.Encoder != EncoderVersion {
		return nil, &EncoderError{Plan: plan.Encoder, Satchel: EncoderVersion}
	}
	// Others must not be in it: they would be followed here, and by no reader.
	listed := make(map[digest.Digest][]byte, len(plan.Manifests))
	for _, m := range plan.Manifests {
		if err := oci.Verify(contents[m.Digest], m.Descriptor()); err != nil {
			return nil, fmt.Errorf("manifest %w", err)
		}
		listed[m.Digest] = contents[m.Digest]
	}
	contents = listed
	manifests, err := compressManifests(plan.Manifests, contents)
	if err != nil {
		return nil, err
	}
	return newPrologue(plan, contents, manifests)
}

// canWrite refuses a prologue that was read from a volume: what it is made of is
// not kept then.
func (p *Prologue) canWrite() error {
	if p.frames[0] == nil {
		return errors.New("satchel: internal: a prologue that was read cannot be written: NewPrologue makes one")
	}
	return nil
}

// Contents returns the bytes of the manifests by digest; they must not be
// changed.
func (p *Prologue) Contents() map[digest.Digest][]byte { return p.contents }

// newPrologue compresses what depends on the plan's placement; the manifests,
// which do not, come compressed.
func newPrologue(p *Plan, contents map[digest.Digest][]byte, manifests []byte) (*Prologue, error) {
	planJSON, err := p.Encode()
	if err != nil {
		return nil, err
	}
	if len(planJSON) > MaxDocument {
		return nil, fmt.Errorf("plan of %d bytes is larger than %d", len(planJSON), MaxDocument)
	}
	index, err := imageIndex(p)
	if err != nil {
		return nil, err
	}
	w, err := newFrameWriter()
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name    string
		content []byte
	}{{layoutName, []byte(layoutContent)}, {indexName, index}, {planName, planJSON}} {
		if err := w.file(f.name, f.content); err != nil {
			return nil, err
		}
	}
	head := w.flush()
	return &Prologue{
		plan: p, planJSON: planJSON, image: index, planID: idOf(planJSON), contents: contents,
		size:   storedFrameSize(headerFrameContent) + int64(len(head)+len(manifests)),
		frames: [2][]byte{head, manifests},
	}, nil
}

func compressManifests(manifests []Manifest, contents map[digest.Digest][]byte) ([]byte, error) {
	w, err := newFrameWriter()
	if err != nil {
		return nil, err
	}
	var total int64
	for _, m := range manifests {
		content, ok := contents[m.Digest]
		if !ok {
			return nil, fmt.Errorf("manifest %s: no content", m.Digest)
		}
		if total += int64(len(content)); total > MaxManifestBytes {
			return nil, fmt.Errorf("manifests of more than %d bytes", int64(MaxManifestBytes))
		}
		if err := w.file(blobName(m.Digest), content); err != nil {
			return nil, err
		}
	}
	return w.flush(), nil
}

// frameWriter makes the prologue's frames: tar entries one after another,
// compressed in frames that are full but for the last.
type frameWriter struct {
	encoder *zstd.Encoder
	content []byte
	out     []byte
}

func newFrameWriter() (*frameWriter, error) {
	encoder, err := newEncoder()
	if err != nil {
		return nil, fmt.Errorf("zstd encoder: %w", err)
	}
	return &frameWriter{encoder: encoder}, nil
}

func (w *frameWriter) file(name string, content []byte) error {
	header, err := appendTarHeader(nil, name, int64(len(content)))
	if err != nil {
		return err
	}
	w.write(header)
	w.write(content)
	w.write(make([]byte, padded(int64(len(content)))-int64(len(content))))
	return nil
}

func (w *frameWriter) write(b []byte) {
	for len(b) > 0 {
		n := min(len(b), frameContent-len(w.content))
		w.content = append(w.content, b[:n]...)
		b = b[n:]
		if len(w.content) == frameContent {
			w.flush()
		}
	}
}

func (w *frameWriter) flush() []byte {
	if len(w.content) > 0 {
		w.out = appendSmaller(w.out, w.content, w.encoder)
		w.content = w.content[:0]
	}
	return w.out
}

// appendSmaller appends the frame of content compressed, or stored where that is
// not larger.
func appendSmaller(dst, content []byte, encoder *zstd.Encoder) []byte {
	at := len(dst)
	dst = encoder.EncodeAll(content, dst)
	if int64(len(dst)-at) >= storedFrameSize(int64(len(content))) {
		dst = appendStored(dst[:at], content)
	}
	return dst
}

// header returns the first frame of volume n.
func (p *Prologue) header(n int) ([]byte, error) {
	content, err := encode(volumeHeader{
		Count: p.plan.Volumes, Name: p.plan.Name, Number: n, Plan: p.planID, Version: Version,
	})
	if err != nil {
		return nil, err
	}
	block, err := appendTarHeader(nil, headerName(n), int64(len(content)))
	if err != nil {
		return nil, err
	}
	if len(content) > tarBlock {
		return nil, fmt.Errorf("volume header of %d bytes", len(content))
	}
	block = append(block, content...)
	block = append(block, make([]byte, headerFrameContent-len(block))...)
	return appendStored(nil, block), nil
}

// writeTo writes the prologue of volume n.
func (p *Prologue) writeTo(w io.Writer, n int) error {
	header, err := p.header(n)
	if err != nil {
		return err
	}
	for _, frames := range [][]byte{header, p.frames[0], p.frames[1]} {
		if _, err := w.Write(frames); err != nil {
			return err
		}
	}
	return nil
}
