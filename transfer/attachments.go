package transfer

import (
	"context"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"satchel/oci"
)

// attachmentTags are the suffixes of the tags, sha256-<hex>SUFFIX, by which
// cosign attaches signatures, attestations and SBOMs to a manifest.
var attachmentTags = []string{".sig", ".att", ".sbom"}

// AttachmentError says that it is not known what is attached to a manifest.
type AttachmentError struct {
	Image   string
	Subject digest.Digest
	Err     error
}

func (e *AttachmentError) Error() string {
	return fmt.Sprintf("image %s: what is attached to %s: %v", e.Image, e.Subject, e.Err)
}

func (e *AttachmentError) Unwrap() error { return e.Err }

// withAttachments puts behind each image what is attached to its manifests in its
// repository: by tags, and by subjects. Of images from local sources nothing is
// looked for, and of attachments neither.
func withAttachments(ctx context.Context, images []*image, jobs int) ([]*image, error) {
	var searches []*search
	asked := make(map[servedBy]bool)
	named := make(map[string]bool)
	for _, img := range images {
		named[img.wanted.Name.String()] = true
		if img.wanted.Local != "" || img.wanted.AttachedTo != "" || img.gone != nil {
			continue
		}
		for _, m := range img.manifests {
			key := servedBy{img.source(), m.descriptor.Digest}
			if !asked[key] {
				asked[key] = true
				searches = append(searches, &search{image: img, subject: m.descriptor.Digest})
			}
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(jobs)
	for _, s := range searches {
		g.Go(func() error {
			if err := s.run(ctx); err != nil {
				return &AttachmentError{Image: s.image.wanted.Name.String(), Subject: s.subject, Err: err}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var all []*image
	for _, img := range images {
		all = append(all, img)
		for ; len(searches) > 0 && searches[0].image == img; searches = searches[1:] {
			for _, found := range searches[0].found {
				if name := found.wanted.Name.String(); !named[name] {
					named[name] = true
					all = append(all, found)
				}
			}
		}
	}
	return all, nil
}

// search looks for what is attached to one manifest of an image.
type search struct {
	image   *image
	subject digest.Digest
	found   []*image
}

func (s *search) run(ctx context.Context) error {
	repository := s.image.wanted.Name.Repository
	for _, suffix := range attachmentTags {
		name := oci.Reference{Repository: repository, Tag: "sha256-" + s.subject.Encoded() + suffix}
		if err := s.take(ctx, name); err != nil {
			return err
		}
	}
	referrers, err := s.image.sources.Referrers.Referrers(ctx, repository, s.subject)
	if err != nil {
		return err
	}
	slices.SortFunc(referrers, func(a, b oci.Descriptor) int { return slices.Compare([]byte(a.Digest), []byte(b.Digest)) })
	for _, d := range referrers {
		if err := s.take(ctx, oci.Reference{Repository: repository, Digest: d.Digest}); err != nil {
			return err
		}
	}
	return nil
}

// take reads what has the name, if anything has. A referrer that does not name
// the subject was listed by mistake.
func (s *search) take(ctx context.Context, name oci.Reference) error {
	found := newImage(Wanted{Name: name, AttachedTo: s.image.wanted.Name.String()}, nil)
	found.sources, found.cache = s.image.sources, s.image.cache
	found.options = SelectOptions{Foreign: s.image.options.Foreign} // all of it is taken, whatever is chosen of images
	err := found.resolve(ctx)
	if err != nil && isAbsence(found.origin(), err) {
		return nil
	}
	if err == nil {
		err = found.walk(ctx, nil)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	root := found.manifests[len(found.manifests)-1].parsed
	if name.Digest != "" && (root.Subject == nil || root.Subject.Digest != s.subject) {
		return nil
	}
	s.found = append(s.found, found)
	return nil
}
