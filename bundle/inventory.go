package bundle

import (
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// Inventory says what a finished bundle holds. It is written last; the SHA-256
// of its canonical JSON is the bundle ID.
type Inventory struct {
	// Attached are the plan's, in its order.
	Attached []Attached `json:"attached,omitempty"`
	// Blobs are the plan's, in its order.
	Blobs []InventoryBlob `json:"blobs"`
	// Images are the plan's, in its order.
	Images []InventoryImage `json:"images"`
	// Manifests stand in the prologue of every volume.
	Manifests []Content `json:"manifests"`
	// Missing is what the bundle should hold and does not: first what the plan
	// says, then the blobs of the plan that no volume holds.
	Missing []Missing `json:"missing,omitempty"`
	Name    string    `json:"name"`
	// Plan is the plan ID.
	Plan    digest.Digest `json:"plan"`
	Version int           `json:"version"`
	// Volumes are in the order of their numbers.
	Volumes []Volume `json:"volumes"`
}

// InventoryBlob is a blob of the plan.
type InventoryBlob struct {
	Content
	// Image is the number, counted from 1, of the first image that needs the
	// blob; 0 when none does.
	Image int `json:"image,omitempty"`
}

// InventoryImage is an image of the plan.
type InventoryImage struct {
	Image
	// Incomplete says that the image lacks something that is missing.
	Incomplete bool `json:"incomplete,omitempty"`
}

// Volume is a finished volume.
type Volume struct {
	Digest digest.Digest `json:"digest"`
	// Members are what follows the prologue, in order.
	Members []Placed `json:"members"`
	Name    string   `json:"name"`
	Number  int      `json:"number"`
	// Size is in bytes.
	Size int64 `json:"size"`
}

// Placed is a member with its place in the volume. All numbers are bytes.
type Placed struct {
	Digest digest.Digest `json:"digest"`
	// Length is that of the member's frames, Offset where they begin.
	Length int64 `json:"length"`
	Offset int64 `json:"offset"`
	// Size is that of the content; Start is where it begins in the blob.
	Size  int64 `json:"size"`
	Start int64 `json:"start,omitempty"`
}

// NewInventory states what a bundle of the plan holds in its volumes, which must
// be all of them. missing are the blobs that no volume holds.
func NewInventory(p *Prologue, volumes []Volume, missing []Missing) (*Inventory, error) {
	plan := p.plan
	inv := &Inventory{
		Attached: plan.Attached, Blobs: []InventoryBlob{}, Images: []InventoryImage{}, Manifests: []Content{}, Name: plan.Name,
		Missing: slices.Concat(plan.Missing, missing), Plan: p.planID, Version: Version, Volumes: slices.Clone(volumes),
	}
	slices.SortFunc(inv.Volumes, func(a, b Volume) int { return a.Number - b.Number })
	first := p.firstImages()
	for i := range plan.Blobs {
		inv.Blobs = append(inv.Blobs, InventoryBlob{Content: plan.Blobs[i].Content, Image: first[plan.Blobs[i].Digest]})
	}
	incomplete := p.Incomplete(inv.Missing)
	for i, image := range plan.Images {
		inv.Images = append(inv.Images, InventoryImage{Image: image, Incomplete: incomplete[i]})
	}
	for i := range plan.Manifests {
		inv.Manifests = append(inv.Manifests, plan.Manifests[i].Content)
	}
	return inv, inv.Agrees(p)
}

// firstImages returns for each blob the number, counted from 1, of the first
// image that needs it.
func (p *Prologue) firstImages() map[digest.Digest]int {
	first := make(map[digest.Digest]int, len(p.plan.Blobs))
	for i, image := range p.plan.Images {
		graph, err := p.Graph(image)
		if err != nil {
			continue // whoever needs the image will say so
		}
		for _, b := range graph.Blobs {
			if first[b.Digest] == 0 {
				first[b.Digest] = i + 1
			}
		}
	}
	return first
}

// Incomplete says for each image of the plan whether it lacks some of what is
// missing.
func (p *Prologue) Incomplete(missing []Missing) []bool {
	incomplete := make([]bool, len(p.plan.Images))
	lacks := make(map[digest.Digest]bool)
	named := make(map[string]bool)
	for _, m := range missing {
		lacks[m.Digest], named[m.Image] = true, true
	}
	for i, image := range p.plan.Images {
		incomplete[i] = named[image.Reference]
		graph, err := p.Graph(image)
		if err != nil || len(missing) == 0 {
			continue
		}
		for _, b := range graph.Blobs {
			incomplete[i] = incomplete[i] || lacks[b.Digest]
		}
	}
	return incomplete
}

// Encode returns the canonical JSON. Its SHA-256 is the bundle ID.
func (inv *Inventory) Encode() ([]byte, error) { return encode(inv) }

// ParseInventory reads an inventory of at most [MaxDocument] bytes. It returns a
// [*VersionError] for other versions. [Inventory.Agrees] checks it further.
func ParseInventory(data []byte) (*Inventory, error) {
	inv := new(Inventory)
	if err := decode(data, inv); err != nil {
		return nil, fmt.Errorf("inventory: %w", err)
	}
	if err := oci.CheckDigest(inv.Plan); err != nil {
		return nil, fmt.Errorf("inventory: plan %w", err)
	}
	if err := CheckName(inv.Name); err != nil {
		return nil, fmt.Errorf("inventory: %w", err)
	}
	for _, m := range inv.Missing {
		if err := m.check(); err != nil {
			return nil, fmt.Errorf("inventory: %w", err)
		}
	}
	for _, a := range inv.Attached {
		if err := a.check(); err != nil {
			return nil, fmt.Errorf("inventory: %w", err)
		}
	}
	for i, v := range inv.Volumes {
		if v.Number < 1 || v.Number > MaxVolumes || v.Name != volumeName(inv.Name, v.Number) || i > 0 && inv.Volumes[i-1].Number >= v.Number {
			return nil, fmt.Errorf("inventory: volume %d named %q", v.Number, v.Name)
		}
		if err := oci.CheckDescriptor(oci.Descriptor{Digest: v.Digest, Size: v.Size}); err != nil {
			return nil, fmt.Errorf("inventory: volume %d: %w", v.Number, err)
		}
	}
	return inv, nil
}

// Agrees checks the inventory against the plan: the same images, manifests and
// blobs, all volumes, and in each the planned members one after another.
func (inv *Inventory) Agrees(p *Prologue) error {
	plan := p.plan
	if inv.Plan != p.planID {
		return fmt.Errorf("inventory is of plan %s, not of plan %s", inv.Plan, p.planID)
	}
	first := p.firstImages()
	lacks, err := inv.checkMissing(p, first)
	if err != nil {
		return err
	}
	incomplete := p.Incomplete(inv.Missing)
	sameImages := len(inv.Images) == len(plan.Images)
	for i := 0; sameImages && i < len(inv.Images); i++ {
		a, b := inv.Images[i], plan.Images[i]
		sameImages = sameImage(a.Image, b) && a.Incomplete == incomplete[i]
	}
	if inv.Name != plan.Name || !sameImages {
		return fmt.Errorf("inventory states other images than plan %s", p.planID)
	}
	if !slices.EqualFunc(inv.Manifests, plan.Manifests, func(c Content, m Manifest) bool { return c == m.Content }) ||
		!slices.EqualFunc(inv.Blobs, plan.Blobs, func(a InventoryBlob, b Blob) bool {
			return a == InventoryBlob{Content: b.Content, Image: first[b.Digest]}
		}) {
		return fmt.Errorf("inventory states other blobs than plan %s", p.planID)
	}
	if !slices.EqualFunc(inv.Attached, plan.Attached, sameAttached) {
		return fmt.Errorf("inventory states other attached content than plan %s", p.planID)
	}
	if len(inv.Volumes) != plan.Volumes {
		return fmt.Errorf("inventory states %d volumes, the plan %d", len(inv.Volumes), plan.Volumes)
	}
	for i, v := range inv.Volumes {
		if v.Number != i+1 {
			return fmt.Errorf("inventory lacks volume %d", i+1)
		}
		if err := v.agrees(p, lacks); err != nil {
			return fmt.Errorf("inventory: volume %d: %w", v.Number, err)
		}
	}
	return nil
}

func sameImage(a, b Image) bool {
	return a.Reference == b.Reference && a.Root == b.Root && a.Sparse == b.Sparse && a.AttachedTo == b.AttachedTo && a.Part == b.Part &&
		slices.Equal(a.Platforms, b.Platforms) && slices.Equal(a.Destinations, b.Destinations)
}

func sameMissing(a, b Missing) bool {
	return a.Digest == b.Digest && a.Image == b.Image && a.Part == b.Part && a.Reason == b.Reason && slices.Equal(a.Destinations, b.Destinations)
}

func sameAttached(a, b Attached) bool {
	return a.Type == b.Type && a.Subject == b.Subject && a.Content == b.Content && maps.Equal(a.Annotations, b.Annotations)
}

// checkMissing returns the blobs that are missing, which must be in the plan and
// have a place. Where an image is named, it must be the first that needs the blob.
func (inv *Inventory) checkMissing(p *Prologue, first map[digest.Digest]int) (map[digest.Digest]bool, error) {
	planned := p.plan.Missing
	if len(inv.Missing) < len(planned) || !slices.EqualFunc(inv.Missing[:len(planned)], planned, sameMissing) {
		return nil, fmt.Errorf("inventory does not state what plan %s lacks", p.planID)
	}
	lacks := make(map[digest.Digest]bool)
	for _, m := range inv.Missing[len(planned):] {
		if b := p.Blob(m.Digest); b == nil || b.Held != 0 || lacks[m.Digest] {
			return nil, fmt.Errorf("inventory: missing blob %s is not in plan %s, or stands twice", m.Digest, p.planID)
		}
		if n := first[m.Digest]; m.Image != "" && (n == 0 || m.Image != p.plan.Images[n-1].Reference) {
			return nil, fmt.Errorf("inventory: missing blob %s: image %s is not the first that needs it", m.Digest, m.Image)
		}
		lacks[m.Digest] = true
	}
	return lacks, nil
}

// Volume returns what the inventory says of the volume of that number; nil when
// it says nothing.
func (inv *Inventory) Volume(n int) *Volume {
	i, ok := slices.BinarySearchFunc(inv.Volumes, n, func(v Volume, n int) int { return v.Number - n })
	if !ok {
		return nil
	}
	return &inv.Volumes[i]
}

// agrees checks that the members are the planned ones but for those that are
// missing, without gaps between prologue and end.
func (v *Volume) agrees(p *Prologue, lacks map[digest.Digest]bool) error {
	at, next := p.size, 0
	for _, m := range p.plan.Members(v.Number) {
		if lacks[m.Blob.Digest] {
			continue
		}
		if next == len(v.Members) {
			return fmt.Errorf("member %s is not there", m.Name())
		}
		got := v.Members[next]
		next++
		want := Placed{Digest: m.Blob.Digest, Length: got.Length, Offset: at, Size: m.Size, Start: m.Start}
		if got != want || got.Length < 1 || got.Length > m.storedSize() || !m.Blob.Compress && got.Length != m.storedSize() {
			return fmt.Errorf("member %s is not where the plan puts it", m.Name())
		}
		at += got.Length
	}
	if next != len(v.Members) {
		return fmt.Errorf("%d members, the plan has %d", len(v.Members), next)
	}
	if at += int64(len(endOfArchive())); v.Size != at {
		return fmt.Errorf("%d bytes, its members make %d", v.Size, at)
	}
	return nil
}
