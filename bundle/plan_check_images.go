package bundle

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

var validType = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,62}[a-z0-9])?$`)

// maxAnnotations bounds those of one attached content.
const maxAnnotations = 16

// checkImages checks the images against the plan's manifests.
func (p *Plan) checkImages(manifests map[digest.Digest]Content) error {
	names := make(map[string]bool, len(p.Images))
	plain := make(map[string]bool, len(p.Images)) // attached to none
	for _, image := range p.Images {
		plain[image.Reference] = image.AttachedTo == ""
	}
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
		if image.AttachedTo != "" && !plain[image.AttachedTo] {
			return fmt.Errorf("image %s: it is attached to %.80q, which is no image of the plan or attached itself", image.Reference, image.AttachedTo)
		}
		if image.AttachedTo != "" && ref.Tag != "" && !attachedTag.MatchString(ref.Tag) {
			return fmt.Errorf("image %s: it is attached to %.80q, and its tag is not that of an attachment", image.Reference, image.AttachedTo)
		}
		if err := checkPart(image.Part); err != nil {
			return fmt.Errorf("image %s: %w", image.Reference, err)
		}
		for _, platform := range image.Platforms {
			if !validPlatform.MatchString(platform) {
				return fmt.Errorf("image %s: platform %q", image.Reference, platform)
			}
		}
		if err := CheckDestinations(image.Destinations); err != nil {
			return fmt.Errorf("image %s: %w", image.Reference, err)
		}
	}
	return nil
}

// attachedTag are the tags that attachments can have: those of cosign, and the one
// under which lists of referrers stand. With another, an attachment would become
// any image of the repository to which it goes.
var attachedTag = regexp.MustCompile(`^sha256-[0-9a-f]{64}(\.(sig|att|sbom))?$`)

func checkPart(part string) error {
	switch part {
	case "", PartRelease, PartComponent, PartCatalog:
		return nil
	}
	return fmt.Errorf("part %.80q", part)
}

// CheckDestinations refuses what cannot be [Image.Destinations].
func CheckDestinations(destinations []string) error {
	path, _, _ := strings.Cut(strings.Join(destinations[:min(1, len(destinations))], ""), ":")
	named := make(map[string]bool, len(destinations)) // a list may be long
	for _, d := range destinations {
		// Any host will do: the grammar of a path needs one before it.
		ref, err := oci.SplitReference("localhost/" + d)
		if err != nil || ref.Digest != "" || len(d) > oci.MaxRepository {
			return fmt.Errorf("destination %.80q is not PATH:TAG", d)
		}
		if ref.Path() != path {
			return fmt.Errorf("destinations %q and %q have different paths", destinations[0], d)
		}
		if named[d] {
			return fmt.Errorf("destination %q stands twice", d)
		}
		named[d] = true
	}
	return nil
}

// checkOrigins checks what the request and the kind of content say of origins.
func (p *Plan) checkOrigins() error {
	for i := range p.Blobs {
		b := &p.Blobs[i]
		if b.Origin.URLs != nil && !p.Request.Foreign {
			return fmt.Errorf("blob %s: it comes from a URL, and the request has no foreign layers", b.Digest)
		}
		if b.Origin.Inline != nil && b.Held != 0 {
			return fmt.Errorf("blob %s: its bytes are in the plan, and it is held", b.Digest)
		}
		if d := b.Origin.Derived; d != nil {
			if err := d.check(); err != nil {
				return fmt.Errorf("blob %s: derived: %w", b.Digest, err)
			}
		}
		if err := checkInline(b.Content, b.Origin); err != nil {
			return fmt.Errorf("blob %w", err)
		}
	}
	for i := range p.Manifests {
		m := &p.Manifests[i]
		if m.Origin.URLs != nil || m.Origin.Derived != nil {
			return fmt.Errorf("manifest %s: it comes from a URL or is derived", m.Digest)
		}
		if err := checkInline(m.Content, m.Origin); err != nil {
			return fmt.Errorf("manifest %w", err)
		}
	}
	return nil
}

func (d *Derived) check() error {
	if !printable(d.By, MaxReason) || !printable(d.Recipe, MaxRecipe) {
		return fmt.Errorf("maker %.80q or recipe %.80q", d.By, d.Recipe)
	}
	if err := oci.CheckDescriptor(d.From.Descriptor()); err != nil {
		return err
	}
	if !oci.IsManifest(d.From.MediaType) || d.From.Size > oci.MaxManifestSize {
		return fmt.Errorf("%s: %.80s of %d bytes is no manifest", d.From.Digest, d.From.MediaType, d.From.Size)
	}
	return d.Origin().check()
}

// checkInline compares content with its bytes in the plan, if they are there.
func checkInline(c Content, o Origin) error {
	if o.Inline != nil && (int64(len(o.Inline)) != c.Size || digest.FromBytes(o.Inline) != c.Digest) {
		return fmt.Errorf("%s: the %d bytes in the plan are not it", c.Digest, len(o.Inline))
	}
	return nil
}

// checkAttached checks that what is attached is content of the plan.
func (p *Plan) checkAttached(manifests map[digest.Digest]Content) error {
	if len(p.Attached) == 0 {
		return nil
	}
	if len(p.Attached) > oci.MaxBlobs {
		return fmt.Errorf("%d attached contents are more than %d", len(p.Attached), oci.MaxBlobs)
	}
	contents := make(map[digest.Digest]Content, len(p.Blobs)+len(manifests))
	for d, c := range manifests {
		contents[d] = c
	}
	for i := range p.Blobs {
		contents[p.Blobs[i].Digest] = p.Blobs[i].Content
	}
	for _, a := range p.Attached {
		if err := a.check(); err != nil {
			return err
		}
		if contents[a.Content.Digest] != a.Content {
			return fmt.Errorf("attached %s: it is not in the plan", a.Content.Digest)
		}
		if _, ok := manifests[a.Subject]; a.Subject != "" && !ok {
			return fmt.Errorf("attached %s: its subject %s is not among the manifests", a.Content.Digest, a.Subject)
		}
	}
	return nil
}

func (a Attached) check() error {
	if err := oci.CheckDescriptor(a.Content.Descriptor()); err != nil {
		return fmt.Errorf("attached %w", err)
	}
	if !validType.MatchString(a.Type) {
		return fmt.Errorf("attached %s: type %.80q", a.Content.Digest, a.Type)
	}
	if a.Subject != "" {
		if err := oci.CheckDigest(a.Subject); err != nil {
			return fmt.Errorf("attached %s: subject %w", a.Content.Digest, err)
		}
	}
	if len(a.Annotations) > maxAnnotations {
		return fmt.Errorf("attached %s: %d annotations are more than %d", a.Content.Digest, len(a.Annotations), maxAnnotations)
	}
	for key, value := range a.Annotations {
		if !validType.MatchString(key) || !printable(value, MaxReason) {
			return fmt.Errorf("attached %s: annotation %.80q", a.Content.Digest, key)
		}
	}
	return nil
}
