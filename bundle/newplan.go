package bundle

import (
	"fmt"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// Selection is what a plan is made of.
type Selection struct {
	Name    string
	Request Request
	Images  []Image
	// Manifests stand children before parents, each digest once.
	Manifests []Manifest
	// Contents are the bytes of the manifests by digest.
	Contents map[digest.Digest][]byte
	// Blobs are, for each image or what else belongs together, those that no
	// earlier one named, without a place; those that are held are left out of the volumes.
	Blobs [][]Blob
	// Attached, Blocked, Held and Missing are those of the plan.
	Attached []Attached
	Blocked  []string
	Held     []HeldImage
	Missing  []Missing
}

// PrologueError says that the prologue, which stands in every volume, would
// take more than a tenth of the volume size.
type PrologueError struct {
	// All are in bytes. Smallest is the smallest volume size that works.
	Prologue, VolumeSize, Smallest int64
}

func (e *PrologueError) Error() string {
	return fmt.Sprintf("volume size %d: the prologue of each volume takes %d bytes, more than a tenth; the smallest size that works is %d",
		e.VolumeSize, e.Prologue, e.Smallest)
}

// NewPlan places the selection into volumes of at most volumeSize bytes. It is
// deterministic. The prologue keeps the selection's manifest contents; the
// caller must not change them. It returns a [*PrologueError] when volumeSize is
// too small for the manifests.
func NewPlan(s Selection, volumeSize int64) (*Plan, *Prologue, error) {
	manifests, err := compressManifests(s.Manifests, s.Contents)
	if err != nil {
		return nil, nil, err
	}
	p, prologue, tooLarge, err := planVolumes(s, volumeSize, manifests)
	if err != nil || !tooLarge {
		return p, prologue, err
	}
	return nil, nil, refuse(s, volumeSize, prologue.Size(), manifests)
}

// refuse finds the smallest size that works, to within a few bytes: a larger
// volume size makes fewer volumes and so a hardly smaller plan.
func refuse(s Selection, volumeSize, prologueSize int64, manifests []byte) error {
	refused := &PrologueError{Prologue: prologueSize, VolumeSize: volumeSize}
	for try := prologueSize * maxPrologueShare; ; try = prologueSize * maxPrologueShare {
		if refused.Smallest > 0 && try >= refused.Smallest {
			return refused
		}
		_, prologue, tooLarge, err := planVolumes(s, try, manifests)
		if err != nil {
			return err
		}
		if tooLarge && prologue.Size() <= prologueSize {
			prologueSize++
			continue
		}
		prologueSize = prologue.Size()
		if !tooLarge {
			refused.Smallest = try
		}
	}
}

// planVolumes makes a plan for one volume size. When the prologue is too large
// it says so and returns the prologue alone.
//
// The plan states the placement, the placement depends on the size of the
// prologue, and the prologue holds the plan: so room is reserved for a prologue,
// and reserved anew while the real one is larger.
func planVolumes(s Selection, volumeSize int64, manifests []byte) (*Plan, *Prologue, bool, error) {
	p := &Plan{
		Attached: s.Attached, Blocked: s.Blocked, Encoder: EncoderVersion, Held: s.Held, Images: s.Images, Manifests: s.Manifests, Missing: s.Missing, Name: s.Name,
		Request: s.Request, Version: Version, VolumeSize: volumeSize, Volumes: 1,
	}
	count := 0
	for _, group := range s.Blobs {
		count += len(group)
	}
	if n := count + len(s.Manifests); n > oci.MaxBlobs {
		return nil, nil, false, fmt.Errorf("%d blobs are more than the %d that a bundle holds", n, oci.MaxBlobs)
	}
	for reserved := int64(0); ; {
		groups := unplaced(p, s.Blobs, count)
		if reserved > 0 {
			volumes, cutFirst, err := place(groups, volumeSize-reserved-int64(len(endOfArchive())))
			if err != nil {
				return nil, nil, false, err
			}
			if p.Volumes = volumes; cutFirst {
				sortCutFirst(p.Blobs)
			}
		}
		prologue, err := newPrologue(p, s.Contents, manifests)
		if err != nil {
			return nil, nil, false, err
		}
		if prologue.Size()*maxPrologueShare > volumeSize {
			return nil, prologue, true, nil
		}
		if prologue.Size() <= reserved {
			return p, prologue, false, p.check()
		}
		// The slack lets the second round suffice nearly always.
		reserved = prologue.Size() + prologue.Size()/256 + 64
	}
}

// unplaced makes the plan's blobs anew from the selection's, all in the first
// volume as a first guess, and returns pointers to those that need a place, by
// image.
func unplaced(p *Plan, selected [][]Blob, count int) [][]*Blob {
	p.Blobs = make([]Blob, 0, count)
	groups := make([][]*Blob, len(selected))
	for i, group := range selected {
		for _, b := range group {
			if b.Held != 0 {
				p.Blobs = append(p.Blobs, b)
				continue
			}
			b.Volume = 1
			p.Blobs = append(p.Blobs, b)
			groups[i] = append(groups[i], &p.Blobs[len(p.Blobs)-1])
		}
	}
	return groups
}

// VolumeSizes returns the planned size in bytes of each volume, and for each
// whether that is only an upper bound because it holds blobs that are compressed
// while they are written.
func (p *Prologue) VolumeSizes() (sizes []int64, atMost []bool) {
	sizes = make([]int64, p.plan.Volumes)
	atMost = make([]bool, p.plan.Volumes)
	for i := range sizes {
		sizes[i] = p.Size() + int64(len(endOfArchive()))
	}
	for i := range p.plan.Blobs {
		b := &p.plan.Blobs[i]
		if b.Volume != 0 {
			sizes[b.Volume-1] += memberSize(b.Size)
			atMost[b.Volume-1] = atMost[b.Volume-1] || b.Compress
		}
		for _, e := range b.Extents {
			sizes[e.Volume-1] += memberSize(e.Size)
			atMost[e.Volume-1] = atMost[e.Volume-1] || b.Compress
		}
	}
	return sizes, atMost
}

// imageIndex is the index.json of every volume: one entry for each image, under
// its full reference. Media types are those of the manifests, whatever reads it.
func imageIndex(p *Plan) ([]byte, error) {
	type entry struct {
		Annotations map[string]string `json:"annotations"`
		Content
	}
	index := struct {
		Manifests     []entry `json:"manifests"`
		MediaType     string  `json:"mediaType"`
		SchemaVersion int     `json:"schemaVersion"`
	}{Manifests: []entry{}, MediaType: oci.MediaTypeIndex, SchemaVersion: 2}
	for _, image := range p.Images {
		index.Manifests = append(index.Manifests, entry{
			Annotations: map[string]string{"org.opencontainers.image.ref.name": image.Reference},
			Content:     image.Root,
		})
	}
	content, err := encode(index)
	if err != nil {
		return nil, err
	}
	if len(content) > MaxDocument {
		return nil, fmt.Errorf("index.json of %d bytes is larger than %d", len(content), MaxDocument)
	}
	return content, nil
}

// volumeHeader is the first file of a volume.
type volumeHeader struct {
	Count   int           `json:"count"`
	Name    string        `json:"name"`
	Number  int           `json:"number"`
	Plan    digest.Digest `json:"plan"`
	Version int           `json:"version"`
}
