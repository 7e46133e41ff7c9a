package bundle

import (
	"fmt"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// Plan says what a bundle will hold, where each blob comes from and in which
// volume it will be, before a layer moves. Its canonical JSON is written to the
// medium and into every volume; the SHA-256 of that is the plan ID.
type Plan struct {
	// Attached are contents of the bundle that have a meaning of their own, for
	// an image or for the bundle: what a release says of itself, its signatures.
	Attached []Attached `json:"attached,omitempty"`
	// Blobs are in packing order: the order of the members in each volume.
	Blobs []Blob `json:"blobs"`
	// Blocked are the references of images that the request kept out, sorted.
	Blocked []string `json:"blocked,omitempty"`
	// Encoder names what compressed whatever is not stored, since another
	// encoder, or another version of it, makes other bytes.
	Encoder string `json:"encoder"`
	// Held are the images, of other bundles, with which the site got the blobs
	// that this bundle leaves out because the site has them.
	Held []HeldImage `json:"held,omitempty"`
	// Images are in the order in which they were asked for.
	Images []Image `json:"images"`
	// Manifests are in the order in which every prologue holds them: children
	// before parents.
	Manifests []Manifest `json:"manifests"`
	// Missing is what the source did not have when the plan was made.
	Missing []Missing `json:"missing,omitempty"`
	// Name begins the names of all files of the bundle; see [CheckName].
	Name    string  `json:"name"`
	Request Request `json:"request"`
	Version int     `json:"version"`
	// VolumeSize is the size in bytes that no volume exceeds.
	VolumeSize int64 `json:"volumeSize"`
	// Volumes is their number, 1 … [MaxVolumes].
	Volumes int `json:"volumes"`

	once    sync.Once
	members [][]Member // by volume
}

// Request is what the packer asked for, kept for people and for repeating it.
// No secret and no path is in it.
type Request struct {
	// Block are the regular expressions of references to be kept out.
	Block []string `json:"block,omitempty"`
	// Catalogs are the operator catalogs that were asked for, with what was selected
	// of each: REF[=SELECTION], at most [MaxRecipe] bytes each.
	Catalogs []string `json:"catalogs,omitempty"`
	// CatalogsAsIs says that they are carried as they are, whatever was selected.
	CatalogsAsIs bool `json:"catalogsAsIs,omitempty"`
	// Channel is how releases were found in an update graph, for people and to
	// tell whether the same is asked for again.
	Channel string `json:"channel,omitempty"`
	// Foreign says that foreign layers were fetched from their URLs.
	Foreign bool `json:"foreign,omitempty"`
	// Have are the SHA-256 of the receipts and inventories that said what the
	// site has, sorted.
	Have []digest.Digest `json:"have,omitempty"`
	// NoAttachments says that signatures and other attachments of images were
	// not looked for.
	NoAttachments bool `json:"noAttachments,omitempty"`
	// Platforms are the chosen OS/ARCH[/VARIANT]; none means all.
	Platforms []string `json:"platforms,omitempty"`
	// Releases are the references of the releases that were asked for; their
	// components are images of the plan too.
	Releases []string `json:"releases,omitempty"`
	// Sparse says that indexes may name children that are left out.
	Sparse bool `json:"sparse,omitempty"`
	// TopUp is the SHA-256 of the receipt or inventory whose holes are filled.
	TopUp digest.Digest `json:"topUp,omitempty"`
	// Unsigned says that releases without a valid signature were allowed.
	Unsigned bool `json:"unsigned,omitempty"`
}

// Content is a blob's identity.
type Content struct {
	Digest    digest.Digest `json:"digest"`
	MediaType string        `json:"mediaType"`
	// Size is in bytes.
	Size int64 `json:"size"`
}

// Descriptor returns c in the form that package oci works with.
func (c Content) Descriptor() oci.Descriptor {
	return oci.Descriptor{MediaType: c.MediaType, Digest: c.Digest, Size: c.Size}
}

// ContentOf keeps of a descriptor what identifies content.
func ContentOf(d oci.Descriptor) Content {
	return Content{Digest: d.Digest, MediaType: d.MediaType, Size: d.Size}
}

// Image is one image of the bundle.
type Image struct {
	// AttachedTo is the reference of the image of the plan to which this one is
	// attached, as a signature is; empty for others. It goes where that goes.
	AttachedTo string `json:"attachedTo,omitempty"`
	// Destinations, if there are any, are where the image is to be at the site,
	// PATH:TAG below the prefix, all with the same path; none: naming decides.
	Destinations []string `json:"destinations,omitempty"`
	// Part says what the image is: [PartRelease], [PartComponent] or
	// [PartCatalog]; empty for others.
	Part string `json:"part,omitempty"`
	// Platforms are those of the packed image manifests, OS/ARCH[/VARIANT],
	// sorted; empty where none is stated.
	Platforms []string `json:"platforms,omitempty"`
	// Reference is the full name, REPOSITORY[:TAG][@DIGEST], under which the
	// image was asked for and is named in index.json.
	Reference string `json:"reference"`
	// Root is the manifest or index that the reference names.
	Root Content `json:"root"`
	// Sparse says that the root, or an index below it, names children that
	// are left out by choice.
	Sparse bool `json:"sparse,omitempty"`
}

// What an image is, as [Image.Part] says it.
const (
	PartRelease   = "release"   // the release image itself
	PartComponent = "component" // an image that a release names
	PartCatalog   = "catalog"   // an operator catalog
)

// Attached is a typed descriptor of content of the bundle.
type Attached struct {
	// Annotations are for readers that know the type: at most 16, of printable
	// ASCII, no key above 64 and no value above [MaxReason] bytes.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Content is a blob or a manifest of the plan.
	Content Content `json:"content"`
	// Subject is the manifest that it is about; empty: the bundle.
	Subject digest.Digest `json:"subject,omitempty"`
	// Type is 1 to 64 of a-z, 0-9, dot and dash. Readers pass over types that
	// they do not know.
	Type string `json:"type"`
}

// Manifest is a manifest or index with its origin.
type Manifest struct {
	Content
	Origin Origin `json:"origin"`
}

// Origin says where bytes can be had again. Exactly one field is set.
type Origin struct {
	// Derived says how the packer made the bytes, of a blob.
	Derived *Derived `json:"derived,omitempty"`
	// Inline are the bytes themselves, for small content that no registry holds;
	// at most [MaxInline].
	Inline []byte `json:"inline,omitempty"`
	// Local is the label of a local source. Paths are not recorded; sources
	// are named again when the plan is used, and matched by digest.
	Local string `json:"local,omitempty"`
	// Repository is the full name of a repository: "quay.io/org/app".
	Repository string `json:"repository,omitempty"`
	// URLs are those of a foreign layer, tried in order.
	URLs []string `json:"urls,omitempty"`
}

// Derived says how a packer makes content that no source holds. The same maker
// makes the same bytes of the same inputs.
type Derived struct {
	// By is the maker with its version, 1 to [MaxReason] bytes of printable ASCII.
	// Only that version is sure to make the same bytes.
	By string `json:"by"`
	// From is the manifest of which it is made, and Local or Repository, as in
	// [Origin], where that is.
	From       Content `json:"from"`
	Local      string  `json:"local,omitempty"`
	Repository string  `json:"repository,omitempty"`
	// Recipe is what the maker was told, 1 to [MaxRecipe] bytes of printable ASCII.
	Recipe string `json:"recipe"`
}

// Origin is where the manifest is of which the content is made.
func (d *Derived) Origin() Origin { return Origin{Local: d.Local, Repository: d.Repository} }

// Blob is a config, layer or other blob, with its origin and its place.
type Blob struct {
	Content
	// Compress says that the blob is compressed while it is written, because
	// its media type says that it is not compressed yet. Others are stored.
	Compress bool `json:"compress,omitempty"`
	// Extents say how a blob is cut; none when it is whole in Volume.
	Extents []Extent `json:"extents,omitempty"`
	// Held says that the blob is left out because the site has it: the number,
	// counted from 1, of the image in [Plan.Held] that it came with.
	Held   int    `json:"held,omitempty"`
	Origin Origin `json:"origin"`
	// Volume is the number of the volume that holds the blob whole, counted
	// from 1; 0 when it is cut or held.
	Volume int `json:"volume,omitempty"`
}

// HeldImage is an image of another bundle that the site has.
type HeldImage struct {
	// Bundle is that bundle's ID, empty where it is not known, Name its name and
	// Plan its plan ID.
	Bundle digest.Digest `json:"bundle,omitempty"`
	Name   string        `json:"name"`
	// Part is the image's, as [Image.Part] says it.
	Part string        `json:"part,omitempty"`
	Plan digest.Digest `json:"plan"`
	// Reference is the image's, in that bundle.
	Reference string `json:"reference"`
	// Repository is where a receipt says that the image is at the site,
	// HOST/PATH; empty where only the naming in force can tell.
	Repository string `json:"repository,omitempty"`
}

// Missing is something that a bundle should hold and does not.
type Missing struct {
	// Destinations and Part are those of an image that is missing as a whole, as
	// in [Image].
	Destinations []string `json:"destinations,omitempty"`
	// Digest is empty when not even that is known.
	Digest digest.Digest `json:"digest,omitempty"`
	// Image is the reference of an image that needs it.
	Image string `json:"image,omitempty"`
	Part  string `json:"part,omitempty"`
	// Reason is for people: printable ASCII, at most [MaxReason] bytes.
	Reason string `json:"reason"`
}

// Extent is a part of a blob; the blob's extents follow each other in it.
type Extent struct {
	// Size is in bytes, 1 … [MaxMember].
	Size int64 `json:"size"`
	// Volume is counted from 1.
	Volume int `json:"volume"`
}

// Encode returns the canonical JSON. Its SHA-256 is the plan ID.
func (p *Plan) Encode() ([]byte, error) { return encode(p) }

// ParsePlan reads a plan of at most [MaxDocument] bytes and checks everything
// that can be checked without the bytes of its blobs. It returns a
// [*VersionError] for other versions.
func ParsePlan(data []byte) (*Plan, error) {
	p := new(Plan)
	if err := decode(data, p); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	return p, nil
}

// Members returns the members of volume n in their order, none if there is no
// such volume. They point into the plan, which must not be changed any more.
func (p *Plan) Members(n int) []Member {
	p.once.Do(p.placeMembers)
	if n < 1 || n > p.Volumes {
		return nil
	}
	return p.members[n]
}

// placeMembers turns what the blobs say of volumes around.
func (p *Plan) placeMembers() {
	p.members = make([][]Member, p.Volumes+1)
	for i := range p.Blobs {
		b := &p.Blobs[i]
		if b.Volume != 0 {
			p.members[b.Volume] = append(p.members[b.Volume], Member{Blob: b, Size: b.Size})
		}
		start := int64(0)
		for k, e := range b.Extents {
			p.members[e.Volume] = append(p.members[e.Volume], Member{Blob: b, Extent: k + 1, Start: start, Size: e.Size})
			start += e.Size
		}
	}
}

// VolumesOf returns the numbers of the volumes that hold the blob, ascending;
// none when it is held.
func (b *Blob) VolumesOf() []int {
	if b.Volume != 0 {
		return []int{b.Volume}
	}
	var volumes []int
	for _, e := range b.Extents {
		if len(volumes) == 0 || volumes[len(volumes)-1] != e.Volume {
			volumes = append(volumes, e.Volume)
		}
	}
	return volumes
}

// VolumeName returns the file name of volume n.
func (p *Plan) VolumeName(n int) string { return volumeName(p.Name, n) }

func volumeName(name string, n int) string { return fmt.Sprintf("%s-%04d.tar.zst", name, n) }

// NameFrom makes a bundle's name from an image reference: its last path
// component and tag, with what is not safe replaced.
func NameFrom(reference string) string {
	name := reference
	if i := strings.LastIndex(name, "/"); i >= 0 {
		name = name[i+1:]
	}
	name, _, _ = strings.Cut(name, "@")
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, name)
	name = strings.Trim(name[:min(len(name), 64)], "._-")
	if CheckName(name) != nil {
		return "bundle"
	}
	return name
}
