package transfer

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// Have is what an inventory or a receipt says that a site has, and what it says
// that the site lacks. It does not change, and is for concurrent use.
type Have struct {
	// Digest is the SHA-256 of the file.
	Digest digest.Digest
	// of is the bundle that it tells of, without an image.
	of bundle.HeldImage
	// images are those with which blobs came: references and repositories.
	images []heldFrom
	// blobs, of an inventory, and prefixes, of a receipt, give for a blob the
	// index in images.
	blobs    map[digest.Digest]heldBlob
	prefixes map[blobPrefix]int
	// holes are the images that lack something, in order; lacks is what they
	// lack, as far as it has a digest.
	holes []hole
	lacks map[digest.Digest]bool
	// request is that of a receipt; an inventory has none, but says which
	// manifests the bundle holds.
	request   *bundle.Request
	manifests map[digest.Digest]bool
	foreign   bool // the inventory has foreign layers
}

type heldFrom struct{ reference, repository, part string }

type heldBlob struct {
	image int
	size  int64
}

// hole is an image that is not complete.
type hole struct {
	reference, repository string
	// root is empty when not even that is known.
	root digest.Digest
	// sparse and platforms are what an inventory says of the image, part is what it
	// says, or a receipt of an image that the bundle never had.
	sparse    bool
	platforms []string
	part      string
	// tags, of the repository, are what a receipt says; destinations are made of
	// them where they are not what the reference would give.
	tags         []string
	destinations []string
	// known says that a receipt lists what the image lacks, in [Have.lacks];
	// otherwise all of it has to be taken for lacking.
	known bool
}

// blobPrefix is what a receipt keeps of a digest, the first bytes. Two blobs
// with the same prefix do no harm: unpack asks the registry for the whole digest
// before it leaves a blob out.
type blobPrefix [8]byte

func prefixOf(d digest.Digest) (p blobPrefix) {
	_, _ = hex.Decode(p[:], []byte(d.Encoded()[:2*len(p)])) // every digest was checked
	return p
}

// ParseHave reads an inventory or a receipt of at most [bundle.MaxDocument]
// bytes. Of a receipt it passes over what it does not know. It returns a
// [*bundle.VersionError] for other versions.
func ParseHave(data []byte) (*Have, error) {
	if len(data) > bundle.MaxDocument {
		return nil, fmt.Errorf("%d bytes are more than the %d of an inventory or a receipt", len(data), bundle.MaxDocument)
	}
	if err := oci.CheckJSON(data, maxHaveList, maxHaveNesting); err != nil {
		return nil, err
	}
	var keys struct {
		Blobs     firstByte `json:"blobs"`
		Encoder   firstByte `json:"encoder"`
		Images    firstByte `json:"images"`
		Manifests firstByte `json:"manifests"`
	}
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, err
	}
	h := &Have{Digest: digest.FromBytes(data), lacks: make(map[digest.Digest]bool)}
	switch {
	case keys.Encoder != 0:
		return nil, errors.New("it is a plan, which does not say what there is: an inventory or a receipt does")
	case keys.Manifests == '[' && keys.Blobs == '[':
		if err := h.readInventory(data); err != nil {
			return nil, err
		}
		return h, nil
	case keys.Images == '[' && keys.Blobs == '{':
		if err := h.readReceipt(data); err != nil {
			return nil, fmt.Errorf("receipt: %w", err)
		}
		return h, nil
	}
	return nil, errors.New("it is neither an inventory nor a receipt")
}

// No list of a receipt or an inventory has more elements, and none is nested
// deeper.
const (
	maxHaveList    = oci.MaxBlobs + bundle.MaxExtents
	maxHaveNesting = 8
)

// firstByte is the first byte of a JSON value; 0 when it is not there.
type firstByte byte

// UnmarshalJSON implements [json.Unmarshaler].
func (b *firstByte) UnmarshalJSON(value []byte) error {
	*b = firstByte(value[0])
	return nil
}

// Name is that of the bundle that it tells of.
func (h *Have) Name() string { return h.of.Name }

// Holder returns the image with which the site got a blob, and false when the
// site is not known to have the blob. What an incomplete image brought counts.
func (h *Have) Holder(c bundle.Content) (bundle.HeldImage, bool) {
	if h.lacks[c.Digest] || oci.CheckDigest(c.Digest) != nil {
		return bundle.HeldImage{}, false
	}
	if b, ok := h.blobs[c.Digest]; ok && b.size == c.Size {
		return h.held(h.images[b.image]), true
	}
	if image, ok := h.prefixes[prefixOf(c.Digest)]; ok {
		return h.held(h.images[image]), true
	}
	return bundle.HeldImage{}, false
}

func (h *Have) held(from heldFrom) bundle.HeldImage {
	held := h.of
	held.Reference, held.Repository, held.Part = from.reference, from.repository, from.part
	return held
}

// readInventory takes what an inventory says of a bundle for what the site has
// once it has replayed it.
func (h *Have) readInventory(data []byte) error {
	inv, err := bundle.ParseInventory(data)
	if err != nil {
		return err
	}
	h.of = bundle.HeldImage{Bundle: h.Digest, Name: inv.Name, Plan: inv.Plan}
	named := make(map[string]bool)
	for _, m := range inv.Missing {
		if m.Digest != "" {
			h.lacks[m.Digest] = true
		}
	}
	byReference := make(map[string]bundle.InventoryImage, len(inv.Images))
	for _, image := range inv.Images {
		byReference[image.Reference] = image
	}
	for _, image := range inv.Images {
		if err := checkReference(image.Reference, image.Root.Digest, named); err != nil {
			return fmt.Errorf("inventory: %w", err)
		}
		for _, platform := range image.Platforms {
			if !bundle.ValidPlatform(platform) {
				return fmt.Errorf("inventory: image %s: platform %q", image.Reference, platform)
			}
		}
		from := heldFrom{reference: image.Reference, part: image.Part}
		if to, ok := byReference[image.AttachedTo]; ok { // it goes where that goes
			from = heldFrom{reference: to.Reference, part: to.Part}
		}
		h.images = append(h.images, from)
		if image.Incomplete {
			h.holes = append(h.holes, hole{
				reference: image.Reference, root: image.Root.Digest, sparse: image.Sparse, platforms: image.Platforms, part: from.part,
				destinations: image.Destinations,
			})
		}
	}
	for _, m := range inv.Missing {
		if m.Digest == "" && !named[m.Image] {
			named[m.Image] = true
			h.holes = append(h.holes, hole{reference: m.Image, part: m.Part, destinations: m.Destinations})
		}
	}
	h.manifests = make(map[digest.Digest]bool, len(inv.Manifests))
	for _, m := range inv.Manifests {
		h.manifests[m.Digest] = true
	}
	h.blobs = make(map[digest.Digest]heldBlob, len(inv.Blobs))
	for _, b := range inv.Blobs {
		if err := oci.CheckDescriptor(b.Descriptor()); err != nil {
			return fmt.Errorf("inventory: blob %w", err)
		}
		if b.Image < 0 || b.Image > len(h.images) {
			return fmt.Errorf("inventory: blob %s is of image %d of %d", b.Digest, b.Image, len(h.images))
		}
		h.foreign = h.foreign || oci.IsForeign(b.MediaType)
		if b.Image > 0 { // no site gets a blob that no image needs
			h.blobs[b.Digest] = heldBlob{b.Image - 1, b.Size}
		}
	}
	return nil
}

// checkReference refuses a reference that is none, that stands twice, or whose
// digest is not the root's.
func checkReference(reference string, root digest.Digest, named map[string]bool) error {
	ref, err := oci.SplitReference(reference)
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	if err := oci.CheckDigest(root); err != nil {
		return fmt.Errorf("image %s: %w", reference, err)
	}
	if ref.Digest != "" && ref.Digest != root {
		return fmt.Errorf("image %s: its root is %s", reference, root)
	}
	if named[reference] {
		return fmt.Errorf("image %s: stands twice", reference)
	}
	named[reference] = true
	return nil
}
