package transfer

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci/release"
)

// Types of what is attached to releases in a plan; see [bundle.Attached]. The
// bytes of all stand in the plan.
const (
	// attachedReferences is the payload's image-references, about the release
	// image, with the annotations below.
	attachedReferences = "release-image-references"
	// attachedMetadata is the payload's release-metadata.
	attachedMetadata = "release-metadata"
	// attachedVerification is the manifest of the payload that holds keys and
	// signature stores.
	attachedVerification = "release-verification"
	// attachedSignature is a signature by one of these keys, about the manifest
	// that it signs.
	attachedSignature = "release-signature"
)

// Annotations of these. All have the first, attachedReferences the others too.
const (
	annotationReference    = "reference"    // of the release image in the plan
	annotationArchitecture = "architecture" // as Go names it, or multi
	annotationUnsigned     = "unsigned"     // why there is no valid signature
)

// ReleaseSignature is a signature of a release image, or of a child of it.
type ReleaseSignature struct {
	// Digest is that of the manifest that is signed.
	Digest digest.Digest
	// Raw is the OpenPGP message as the store has it.
	Raw []byte
}

// PlannedRelease is a release of a plan. It must not be changed.
type PlannedRelease struct {
	// Reference is that of the release image in the plan, Digest its root.
	Reference string
	Digest    digest.Digest
	// Architecture is as Go names it; "multi" for a payload of several.
	Architecture string
	Payload      *release.Payload
	// Signatures are in the plan's order. They were verified when the bundle was
	// packed, which says nothing to whoever got the bundle: see
	// [PlannedRelease.Verify].
	Signatures []ReleaseSignature
	// Unsigned says why the release was packed without a valid signature; empty
	// for others.
	Unsigned string
}

// LacksSigstore reports whether clusters will refuse the release image, or one of
// its children, since no sigstore signature is attached to it: from 4.21 on they
// demand one (openshift/cluster-update-keys, manifests.rhel).
func (r *PlannedRelease) LacksSigstore(plan *bundle.Plan) bool {
	v, err := semver.Parse(r.Payload.Version)
	if err != nil || v.Major < 4 || v.Major == 4 && v.Minor < 21 {
		return false
	}
	return !slices.ContainsFunc(plan.Images, func(image bundle.Image) bool {
		return image.AttachedTo == r.Reference && strings.HasSuffix(image.Reference, ".sig")
	})
}

var validArchitecture = regexp.MustCompile(`^[a-z0-9_]{1,32}$`)

// Releases reads the releases of a plan, in its order. What the plan says of them
// is what their payloads say, byte for byte; that they are the payloads of the
// release images is what the packer made sure of.
func Releases(plan *bundle.Plan) ([]*PlannedRelease, error) {
	if !slices.ContainsFunc(plan.Images, func(image bundle.Image) bool { return image.Part == bundle.PartRelease }) {
		return nil, nil
	}
	inline := make(map[digest.Digest][]byte)
	for i := range plan.Blobs {
		if b := &plan.Blobs[i]; b.Origin.Inline != nil {
			inline[b.Digest] = b.Origin.Inline
		}
	}
	byReference := make(map[string]*plannedDocuments)
	var inOrder []*plannedDocuments
	for _, image := range plan.Images {
		if image.Part == bundle.PartRelease {
			r := &plannedDocuments{release: &PlannedRelease{Reference: image.Reference, Digest: image.Root.Digest}}
			byReference[image.Reference] = r
			inOrder = append(inOrder, r)
		}
	}
	for _, a := range plan.Attached {
		r := byReference[a.Annotations[annotationReference]]
		if content, ok := inline[a.Content.Digest]; ok && r != nil {
			r.add(a, content)
		}
	}
	// Each has a payload of its own, unless somebody wants to keep readers busy.
	size := 0
	for _, r := range inOrder {
		if size += len(r.documents.References) + len(r.documents.Metadata); size > bundle.MaxDocument {
			return nil, fmt.Errorf("payloads of more than %d bytes in one plan", bundle.MaxDocument)
		}
	}
	var releases []*PlannedRelease
	for _, r := range inOrder {
		if err := r.parse(); err != nil {
			return nil, fmt.Errorf("release %s: %w", r.release.Reference, err)
		}
		releases = append(releases, r.release)
	}
	return releases, nil
}

// plannedDocuments is a release while its documents are gathered.
type plannedDocuments struct {
	release   *PlannedRelease
	documents release.Documents
}

func (r *plannedDocuments) add(a bundle.Attached, content []byte) {
	if a.Type == attachedSignature {
		r.release.Signatures = append(r.release.Signatures, ReleaseSignature{a.Subject, content})
		return
	}
	if a.Subject != r.release.Digest {
		return
	}
	switch a.Type {
	case attachedReferences:
		r.documents.References = content
		r.release.Architecture, r.release.Unsigned = a.Annotations[annotationArchitecture], a.Annotations[annotationUnsigned]
	case attachedMetadata:
		r.documents.Metadata = content
	case attachedVerification:
		r.documents.Verification = content
	}
}

func (r *plannedDocuments) parse() (err error) {
	if !validArchitecture.MatchString(r.release.Architecture) {
		return fmt.Errorf("architecture %.80q", r.release.Architecture)
	}
	r.release.Payload, err = release.Parse(r.documents)
	return err
}

// attach returns what a plan attaches for the release, with the blobs that hold
// it.
func (r *PlannedRelease) attach() (attached []bundle.Attached, blobs []bundle.Blob) {
	add := func(kind, mediaType string, subject digest.Digest, content []byte, annotations map[string]string) {
		if len(content) == 0 {
			return
		}
		c := bundle.Content{Digest: digest.FromBytes(content), MediaType: mediaType, Size: int64(len(content))}
		annotations[annotationReference] = r.Reference
		attached = append(attached, bundle.Attached{Annotations: annotations, Content: c, Subject: subject, Type: kind})
		blobs = append(blobs, bundle.Blob{Content: c, Origin: bundle.Origin{Inline: content}})
	}
	about := map[string]string{annotationArchitecture: r.Architecture}
	if r.Unsigned != "" {
		about[annotationUnsigned] = bundle.CleanReason(r.Unsigned)
	}
	d := r.Payload.Documents
	add(attachedReferences, "application/json", r.Digest, d.References, about)
	add(attachedMetadata, "application/json", r.Digest, d.Metadata, map[string]string{})
	add(attachedVerification, "application/yaml", r.Digest, d.Verification, map[string]string{})
	for _, s := range r.Signatures {
		add(attachedSignature, "application/octet-stream", s.Digest, s.Raw, map[string]string{})
	}
	return attached, blobs
}
