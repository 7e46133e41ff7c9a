package bundle

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

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
	if err := p.checkImages(manifests); err != nil {
		return err
	}
	if err := p.checkHeld(); err != nil {
		return err
	}
	if err := p.checkOrigins(); err != nil {
		return err
	}
	for _, m := range p.Missing {
		if err := m.check(); err != nil {
			return err
		}
	}
	if !slices.IsSorted(p.Blocked) {
		return errors.New("blocked images are not sorted")
	}
	for _, reference := range p.Blocked {
		if _, err := oci.SplitReference(reference); err != nil {
			return fmt.Errorf("blocked image: %w", err)
		}
	}
	if err := p.checkPlaces(seen); err != nil {
		return err
	}
	return p.checkAttached(manifests)
}

func (p *Plan) checkHeld() error {
	if err := p.Request.check(); err != nil {
		return err
	}
	files := slices.Clone(p.Request.Have)
	if p.Request.TopUp != "" {
		files = append(files, p.Request.TopUp)
	}
	for _, d := range files {
		if err := oci.CheckDigest(d); err != nil {
			return fmt.Errorf("request: %w", err)
		}
	}
	for _, h := range p.Held {
		if h.Bundle != "" {
			if err := oci.CheckDigest(h.Bundle); err != nil {
				return fmt.Errorf("held image %s: bundle ID %w", h.Reference, err)
			}
		}
		if err := oci.CheckDigest(h.Plan); err != nil {
			return fmt.Errorf("held image %s: plan ID %w", h.Reference, err)
		}
		if err := CheckName(h.Name); err != nil {
			return fmt.Errorf("held image %s: %w", h.Reference, err)
		}
		if _, err := oci.SplitReference(h.Reference); err != nil {
			return fmt.Errorf("held image: %w", err)
		}
		if err := checkPart(h.Part); err != nil {
			return fmt.Errorf("held image %s: %w", h.Reference, err)
		}
		if h.Repository != "" {
			if err := oci.CheckRepository(h.Repository); err != nil {
				return fmt.Errorf("held image %s: %w", h.Reference, err)
			}
		}
	}
	return nil
}

func (r Request) check() error {
	for _, catalog := range r.Catalogs {
		if !printable(catalog, MaxRecipe) {
			return fmt.Errorf("request: catalog %.80q", catalog)
		}
	}
	for _, pattern := range r.Block {
		if !printable(pattern, MaxReason) {
			return fmt.Errorf("request: block %.80q", pattern)
		}
	}
	for _, release := range r.Releases {
		if _, err := oci.SplitReference(release); err != nil {
			return fmt.Errorf("request: release: %w", err)
		}
	}
	if r.Channel != "" && !printable(r.Channel, MaxRecipe) {
		return fmt.Errorf("request: channel %.80q", r.Channel)
	}
	return nil
}

// printable reports whether s is 1 to most bytes of printable ASCII.
func printable(s string, most int) bool {
	return s != "" && len(s) <= most && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

func (m Missing) check() error {
	if m.Digest == "" && m.Image == "" {
		return errors.New("missing: neither digest nor image")
	}
	if m.Digest != "" {
		if err := oci.CheckDigest(m.Digest); err != nil {
			return fmt.Errorf("missing: %w", err)
		}
	}
	if m.Image != "" {
		if _, err := oci.SplitReference(m.Image); err != nil {
			return fmt.Errorf("missing: %w", err)
		}
	}
	if m.Digest != "" && (m.Part != "" || len(m.Destinations) > 0) {
		return fmt.Errorf("missing %s: part and destinations are those of images", m.Digest)
	}
	if err := checkPart(m.Part); err != nil {
		return fmt.Errorf("missing %s: %w", m.Image, err)
	}
	if err := CheckDestinations(m.Destinations); err != nil {
		return fmt.Errorf("missing %s: %w", m.Image, err)
	}
	if m.Reason != CleanReason(m.Reason) || m.Reason == "" {
		return fmt.Errorf("missing %s%s: the reason is not 1 to %d bytes of printable ASCII", m.Digest, m.Image, MaxReason)
	}
	return nil
}

// CleanReason makes a text fit for [Missing.Reason].
func CleanReason(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), MaxReason)]
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
		if b.Held != 0 && b.Volume == 0 && len(extents) == 0 {
			if b.Held < 1 || b.Held > len(p.Held) {
				return fmt.Errorf("blob %s: held image %d of %d", b.Digest, b.Held, len(p.Held))
			}
			continue
		}
		if b.Held != 0 || (b.Volume == 0) == (len(extents) == 0) {
			return fmt.Errorf("blob %s: not exactly one of whole, cut and held", b.Digest)
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
		extents := p.Blobs[i].Extents
		for k, e := range extents {
			if k+1 < len(extents) && extents[k+1].Volume != e.Volume && last[e.Volume] != i+1 {
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
	if o.Derived != nil {
		set++
	}
	if o.Inline != nil {
		set++
		if len(o.Inline) < 1 || len(o.Inline) > MaxInline {
			return fmt.Errorf("origin of %d bytes in the plan: want 1 to %d", len(o.Inline), MaxInline)
		}
	}
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
		return errors.New("origin is not exactly one of repository, urls, local, inline, derived")
	}
	return nil
}

// ValidPlatform reports whether s can stand in a plan as a platform.
func ValidPlatform(s string) bool { return validPlatform.MatchString(s) }
