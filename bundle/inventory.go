package bundle

import (
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// Inventory says what a finished bundle holds. It is written last; the SHA-256
// of its canonical JSON is the bundle ID.
type Inventory struct {
	// Attached are things that belong to an image or to the bundle and have a
	// meaning of their own: signatures, original and filtered catalogs. Readers
	// pass over types that they do not know.
	Attached []Attached `json:"attached,omitempty"`
	Blobs    []Content  `json:"blobs"`
	Images   []Image    `json:"images"`
	// Manifests stand in the prologue of every volume.
	Manifests []Content `json:"manifests"`
	// Missing is what the plan wanted and the bundle does not hold.
	Missing []Missing `json:"missing,omitempty"`
	Name    string    `json:"name"`
	// Plan is the plan ID.
	Plan    digest.Digest `json:"plan"`
	Version int           `json:"version"`
	// Volumes are in the order of their numbers.
	Volumes []Volume `json:"volumes"`
}

// Attached is a typed descriptor.
type Attached struct {
	Annotations map[string]string `json:"annotations,omitempty"`
	Content     Content           `json:"content"`
	// Subject is the manifest that it is about; empty: the bundle.
	Subject digest.Digest `json:"subject,omitempty"`
	Type    string        `json:"type"`
}

// Missing is a blob that could not be had.
type Missing struct {
	Digest digest.Digest `json:"digest"`
	Reason string        `json:"reason"`
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
// be all of them.
func NewInventory(p *Prologue, volumes []Volume) (*Inventory, error) {
	plan := p.plan
	inv := &Inventory{
		Blobs: []Content{}, Images: plan.Images, Manifests: []Content{}, Name: plan.Name,
		Plan: p.planID, Version: Version, Volumes: slices.Clone(volumes),
	}
	slices.SortFunc(inv.Volumes, func(a, b Volume) int { return a.Number - b.Number })
	for i := range plan.Blobs {
		inv.Blobs = append(inv.Blobs, plan.Blobs[i].Content)
	}
	for i := range plan.Manifests {
		inv.Manifests = append(inv.Manifests, plan.Manifests[i].Content)
	}
	return inv, inv.Agrees(p)
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
		if err := oci.CheckDigest(m.Digest); err != nil {
			return nil, fmt.Errorf("inventory: missing %w", err)
		}
	}
	for _, a := range inv.Attached {
		if err := oci.CheckDescriptor(a.Content.Descriptor()); err != nil {
			return nil, fmt.Errorf("inventory: attached %w", err)
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
	sameImages := slices.EqualFunc(inv.Images, plan.Images, func(a, b Image) bool {
		return a.Reference == b.Reference && a.Root == b.Root && a.Sparse == b.Sparse && slices.Equal(a.Platforms, b.Platforms)
	})
	if inv.Name != plan.Name || !sameImages {
		return fmt.Errorf("inventory states other images than plan %s", p.planID)
	}
	if !slices.EqualFunc(inv.Manifests, plan.Manifests, func(c Content, m Manifest) bool { return c == m.Content }) ||
		!slices.EqualFunc(inv.Blobs, plan.Blobs, func(c Content, b Blob) bool { return c == b.Content }) {
		return fmt.Errorf("inventory states other blobs than plan %s", p.planID)
	}
	for _, a := range inv.Attached {
		if b := p.Blob(a.Content.Digest); b != nil && b.Size == a.Content.Size {
			continue
		}
		if content, ok := p.Manifest(a.Content.Digest); !ok || int64(len(content)) != a.Content.Size {
			return fmt.Errorf("inventory: attached %s is not in plan %s", a.Content.Digest, p.planID)
		}
	}
	if len(inv.Volumes) != plan.Volumes {
		return fmt.Errorf("inventory states %d volumes, the plan %d", len(inv.Volumes), plan.Volumes)
	}
	for i, v := range inv.Volumes {
		if v.Number != i+1 {
			return fmt.Errorf("inventory lacks volume %d", i+1)
		}
		if err := v.agrees(p); err != nil {
			return fmt.Errorf("inventory: volume %d: %w", v.Number, err)
		}
	}
	return nil
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

// agrees checks that the members are the planned ones, without gaps between
// prologue and end.
func (v *Volume) agrees(p *Prologue) error {
	members := p.plan.Members(v.Number)
	if len(v.Members) != len(members) {
		return fmt.Errorf("%d members, the plan has %d", len(v.Members), len(members))
	}
	at := p.size
	for i, m := range members {
		got := v.Members[i]
		want := Placed{Digest: m.Blob.Digest, Length: got.Length, Offset: at, Size: m.Size, Start: m.Start}
		if got != want || got.Length < 1 || got.Length > m.storedSize() || !m.Blob.Compress && got.Length != m.storedSize() {
			return fmt.Errorf("member %s is not where the plan puts it", m.Name())
		}
		at += got.Length
	}
	if at += int64(len(endOfArchive())); v.Size != at {
		return fmt.Errorf("%d bytes, its members make %d", v.Size, at)
	}
	return nil
}
