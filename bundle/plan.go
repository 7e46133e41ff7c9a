package bundle

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// Plan says what a bundle will hold, where each blob comes from and in which
// volume it will be, before a layer moves. Its canonical JSON is written to the
// medium and into every volume; the SHA-256 of that is the plan ID.
type Plan struct {
	// Blobs are in packing order: the order of the members in each volume.
	Blobs []Blob `json:"blobs"`
	// Encoder names what compressed whatever is not stored, since another
	// encoder, or another version of it, makes other bytes.
	Encoder string `json:"encoder"`
	// Images are in the order in which they were asked for.
	Images []Image `json:"images"`
	// Manifests are in the order in which every prologue holds them: children
	// before parents.
	Manifests []Manifest `json:"manifests"`
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
	// Foreign says that foreign layers were fetched from their URLs.
	Foreign bool `json:"foreign,omitempty"`
	// Platforms are the chosen OS/ARCH[/VARIANT]; none means all.
	Platforms []string `json:"platforms,omitempty"`
	// Sparse says that indexes may name children that are left out.
	Sparse bool `json:"sparse,omitempty"`
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

// Manifest is a manifest or index with its origin.
type Manifest struct {
	Content
	Origin Origin `json:"origin"`
}

// Origin says where bytes can be had again. Exactly one field is set.
type Origin struct {
	// Local is the label of a local source. Paths are not recorded; sources
	// are named again when the plan is used, and matched by digest.
	Local string `json:"local,omitempty"`
	// Repository is the full name of a repository: "quay.io/org/app".
	Repository string `json:"repository,omitempty"`
	// URLs are those of a foreign layer, tried in order.
	URLs []string `json:"urls,omitempty"`
}

// Blob is a config, layer or other blob, with its origin and its place.
type Blob struct {
	Content
	// Compress says that the blob is compressed while it is written, because
	// its media type says that it is not compressed yet. Others are stored.
	Compress bool `json:"compress,omitempty"`
	// Extents say how a blob is cut; none when it is whole in Volume.
	Extents []Extent `json:"extents,omitempty"`
	Origin  Origin   `json:"origin"`
	// Volume is the number of the volume that holds the blob whole, counted
	// from 1; 0 when it is cut.
	Volume int `json:"volume,omitempty"`
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

// VolumesOf returns the numbers of the volumes that hold the blob, ascending.
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

var (
	validName      = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$`)
	reservedName   = regexp.MustCompile(`^(con|prn|aux|nul|com[0-9]|lpt[0-9]|inventory|readme|sha256sums)(\..*)?$`)
	validReference = regexp.MustCompile(`^[A-Za-z0-9._:/@\[\]+-]{1,512}$`)
	validPlatform  = regexp.MustCompile(`^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)?$`)
	validMediaType = regexp.MustCompile(`^[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}$`)
	validURL       = regexp.MustCompile(`^https?://[!-~]+$`)
)

// CheckName refuses names that are not safe on FAT32, exFAT, NTFS and ISO 9660
// with its usual extensions: 1 to 64 of a-z, 0-9, dot, underscore and dash,
// beginning and ending with a letter or digit, and none that DOS or a bundle
// reserves.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("name %q is not 1 to 64 of a-z, 0-9, '.', '_', '-', with a letter or digit first and last", name)
	}
	if reservedName.MatchString(name) {
		return fmt.Errorf("name %q is reserved", name)
	}
	return nil
}

func (p *Plan) check() error {
	if err := CheckName(p.Name); err != nil {
		return err
	}
	if p.Volumes < 1 || p.Volumes > MaxVolumes {
		return fmt.Errorf("%d volumes are not 1 to %d", p.Volumes, MaxVolumes)
	}
	if p.VolumeSize < 1 || p.VolumeSize > oci.MaxBlobSize {
		return fmt.Errorf("volume size %d is outside of 1 to %d bytes", p.VolumeSize, int64(oci.MaxBlobSize))
	}
	if p.Blobs == nil || p.Images == nil || p.Manifests == nil {
		return errors.New("blobs, images or manifests are not a list")
	}
	if n := len(p.Blobs) + len(p.Manifests); n > oci.MaxBlobs {
		return fmt.Errorf("%d blobs are more than %d", n, oci.MaxBlobs)
	}
	if len(p.Images) > oci.MaxBlobs {
		return fmt.Errorf("%d images are more than %d", len(p.Images), oci.MaxBlobs)
	}
	seen := make(map[digest.Digest]bool, len(p.Blobs)+len(p.Manifests))
	manifests := make(map[digest.Digest]Content, len(p.Manifests))
	var manifestBytes int64
	for i := range p.Manifests {
		m := &p.Manifests[i]
		if err := checkContent(m.Content, m.Origin, seen); err != nil {
			return fmt.Errorf("manifest %w", err)
		}
		if !oci.IsManifest(m.MediaType) || m.Size > oci.MaxManifestSize {
			return fmt.Errorf("manifest %s: %s of %d bytes is no manifest", m.Digest, m.MediaType, m.Size)
		}
		manifestBytes += m.Size
		manifests[m.Digest] = m.Content
	}
	if manifestBytes > MaxManifestBytes {
		return fmt.Errorf("manifests of %d bytes are more than %d", manifestBytes, int64(MaxManifestBytes))
	}
	names := make(map[string]bool, len(p.Images))
	for _, image := range p.Images {
		ref, err := oci.SplitReference(image.Reference)
		if err != nil {
			return fmt.Errorf("image: %w", err)
		}
		if ref.Digest != "" && ref.Digest != image.Root.Digest {
			return fmt.Errorf("image %s: its root is %s", image.Reference, image.Root.Digest)
		}
		if names[image.Reference] {
			return fmt.Errorf("image %s: stands twice", image.Reference)
		}
		names[image.Reference] = true
		if manifests[image.Root.Digest] != image.Root {
			return fmt.Errorf("image %s: root %s is not among the manifests", image.Reference, image.Root.Digest)
		}
		for _, platform := range image.Platforms {
			if !validPlatform.MatchString(platform) {
				return fmt.Errorf("image %s: platform %q", image.Reference, platform)
			}
		}
	}
	return p.checkPlaces(seen)
}

// checkPlaces checks that every blob has its place, that extents add up and
// stand next to each other, and that no volume can exceed its size.
func (p *Plan) checkPlaces(seen map[digest.Digest]bool) error {
	sizes := make([]int64, p.Volumes+1)
	members := 0
	last := make([]int, p.Volumes+1) // the blob whose member is the latest in the volume
	for i := range p.Blobs {
		b := &p.Blobs[i]
		if err := checkContent(b.Content, b.Origin, seen); err != nil {
			return fmt.Errorf("blob %w", err)
		}
		extents := b.Extents
		if (b.Volume == 0) == (len(extents) == 0) {
			return fmt.Errorf("blob %s: neither whole nor cut", b.Digest)
		}
		if len(extents) > MaxExtents {
			return fmt.Errorf("blob %s: %d extents are more than %d", b.Digest, len(extents), MaxExtents)
		}
		if members += max(1, len(extents)); members > oci.MaxBlobs+MaxExtents {
			return fmt.Errorf("more than %d members", oci.MaxBlobs+MaxExtents)
		}
		if b.Volume != 0 {
			extents = []Extent{{Size: b.Size, Volume: b.Volume}}
		}
		var sum int64
		for k, e := range extents {
			if e.Volume < 1 || e.Volume > p.Volumes || e.Size > MaxMember || (e.Size < 1 && b.Volume == 0) {
				return fmt.Errorf("blob %s: extent %d of %d bytes in volume %d", b.Digest, k+1, e.Size, e.Volume)
			}
			if k > 0 {
				previous := extents[k-1].Volume
				beside := e.Volume == previous || e.Volume == previous+1 && sizes[e.Volume] == 0
				if !beside || last[previous] != i+1 {
					return fmt.Errorf("blob %s: extent %d does not follow extent %d", b.Digest, k+1, k)
				}
			}
			sum += e.Size
			sizes[e.Volume] += memberSize(e.Size)
			last[e.Volume] = i + 1
			if sizes[e.Volume] > p.VolumeSize {
				return fmt.Errorf("volume %d is planned larger than %d bytes", e.Volume, p.VolumeSize)
			}
		}
		if sum != b.Size {
			return fmt.Errorf("blob %s: extents add up to %d bytes, not %d", b.Digest, sum, b.Size)
		}
	}
	// What follows a cut blob's first part in its volume would stand between
	// two extents.
	for i := range p.Blobs {
		for k, e := range p.Blobs[i].Extents {
			if k+1 < len(p.Blobs[i].Extents) && last[e.Volume] != i+1 {
				return fmt.Errorf("blob %s: volume %d goes on after extent %d", p.Blobs[i].Digest, e.Volume, k+1)
			}
		}
	}
	return nil
}

func checkContent(c Content, o Origin, seen map[digest.Digest]bool) error {
	if err := oci.CheckDescriptor(c.Descriptor()); err != nil {
		return err
	}
	if !validMediaType.MatchString(c.MediaType) {
		return fmt.Errorf("%s: media type %q", c.Digest, c.MediaType)
	}
	if seen[c.Digest] {
		return fmt.Errorf("%s: stands twice", c.Digest)
	}
	seen[c.Digest] = true
	if err := o.check(); err != nil {
		return fmt.Errorf("%s: %w", c.Digest, err)
	}
	return nil
}

func (o Origin) check() error {
	set := 0
	if o.Local != "" {
		set++
		if !validReference.MatchString(o.Local) {
			return fmt.Errorf("origin %q", o.Local)
		}
	}
	if o.Repository != "" {
		set++
		if !validReference.MatchString(o.Repository) {
			return fmt.Errorf("origin %q", o.Repository)
		}
	}
	if o.URLs != nil {
		set++
		for _, u := range o.URLs {
			if len(u) > 2048 || !validURL.MatchString(u) {
				return fmt.Errorf("origin %q", u)
			}
		}
	}
	if set != 1 {
		return errors.New("origin is not exactly one of repository, urls, local")
	}
	return nil
}

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

// ValidPlatform reports whether s can stand in a plan as a platform.
func ValidPlatform(s string) bool { return validPlatform.MatchString(s) }
