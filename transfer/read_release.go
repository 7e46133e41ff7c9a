package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"satchel/bundle"
	"satchel/oci"
	"satchel/oci/release"
	"satchel/oci/release/signature"
)

// ReleaseOptions say how releases are trusted.
type ReleaseOptions struct {
	// Stores are asked for signatures beside those that the payload names.
	Stores []signature.Store
	// Open opens a store that a payload names, by its http or https URL; nil
	// asks none of these.
	Open func(url string) signature.Store
	Trust
}

// Trust says which signatures of releases count.
type Trust struct {
	// Keys are trusted beside Red Hat's.
	Keys []*signature.Keyring
	// AllowUnsigned takes releases without a valid signature too, and says so.
	AllowUnsigned bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Release is a release that is to be packed.
type Release struct {
	PlannedRelease
	// Images are the release image and its components, each once, pinned.
	Images []Wanted
}

// ReadReleases reads the payloads of release images, resolves the tags among
// their names, here and once, and gets and verifies their signatures. Nothing is
// written anywhere. A release whose signature is lacking or wrong is a
// [*TrustError] unless that is allowed. Errors name the release.
func ReadReleases(ctx context.Context, sources Sources, wanted []Wanted, o ReleaseOptions) ([]*Release, error) {
	releases := make([]*Release, len(wanted))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4) // each holds a payload's files in memory
	for i, w := range wanted {
		g.Go(func() error {
			r := &releaseReader{sources: sources, wanted: w, options: o}
			err := r.read(ctx)
			if trust := (*TrustError)(nil); errors.As(err, &trust) {
				return err // which names the release
			}
			if err != nil {
				return fmt.Errorf("release %s: %w", w.Name, err)
			}
			releases[i] = &r.release
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return releases, nil
}

// releaseReader reads one release.
type releaseReader struct {
	sources Sources
	wanted  Wanted
	options ReleaseOptions
	release Release
	// signed are the manifests that may have signatures: the root first.
	signed []digest.Digest
}

func (r *releaseReader) read(ctx context.Context) error {
	img := newImage(r.wanted, nil)
	img.sources, img.cache = r.sources, newManifestCache(false)
	if err := img.resolve(ctx); err != nil {
		return err
	}
	r.wanted.Root = img.root.Digest
	r.release.Reference, r.release.Digest = r.wanted.Name.String(), img.root.Digest
	r.signed = []digest.Digest{img.root.Digest}
	manifest, err := r.manifest(ctx, img)
	if err != nil {
		return err
	}
	if r.release.Payload, err = release.Read(ctx, r.open, manifest); err != nil {
		return err
	}
	if r.release.Architecture == "" {
		config, err := release.ReadConfig(ctx, r.open, manifest)
		if err != nil {
			return err
		}
		if r.release.Architecture = config.Architecture; !validArchitecture.MatchString(config.Architecture) {
			return fmt.Errorf("its config states architecture %.80q", config.Architecture)
		}
	}
	r.listImages()
	return r.verify(ctx)
}

// manifest returns the image manifest from which the payload is read, and notes
// what may be signed.
func (r *releaseReader) manifest(ctx context.Context, img *image) (*oci.Manifest, error) {
	m, children, err := payloadManifest(img.root, func(d oci.Descriptor) ([]byte, error) { return img.fetch(ctx, d) })
	if err == nil && oci.IsIndex(img.root.MediaType) {
		r.release.Architecture = "multi"
	}
	for _, child := range children {
		r.signed = append(r.signed, child.Digest)
	}
	return m, err
}

// open opens a blob of the release image.
func (r *releaseReader) open(ctx context.Context, d oci.Descriptor) (io.ReadCloser, error) {
	b := &bundle.Blob{Content: bundle.ContentOf(d), Origin: bundle.Origin{Repository: r.wanted.Name.Repository}}
	if r.wanted.Local != "" {
		b.Origin = bundle.Origin{Local: r.wanted.Local}
	}
	content, _, err := r.sources.open(ctx, b, 0, d.Size)
	return content, err
}

// listImages lists what is to be packed: nothing missing, nothing twice.
func (r *releaseReader) listImages() {
	image := r.wanted
	image.Part = bundle.PartRelease
	r.release.Images = []Wanted{image}
	seen := make(map[string]bool)
	for _, c := range r.release.Payload.Components {
		if name := c.Image.String(); !seen[name] {
			seen[name] = true
			w := Wanted{Name: c.Image, Root: c.Image.Digest, Part: bundle.PartComponent}
			if r.wanted.Local != "" {
				w.Local, w.Entry = r.wanted.Local, c.Image.Digest.String()
			}
			r.release.Images = append(r.release.Images, w)
		}
	}
}

// verify gets the signatures of all that may be signed. The root must be; of its
// children, what is signed must be right.
func (r *releaseReader) verify(ctx context.Context) error {
	keyrings, stores, err := r.trusted()
	if err != nil {
		return r.distrust(err)
	}
	for i, d := range r.signed {
		// A store that hangs must not keep those that answer from being believed,
		// nor anybody waiting for hours.
		raws, err := collectSignatures(ctx, stores, d)
		if err == nil && i > 0 && len(raws) == 0 {
			continue
		}
		var signatures []signature.Signature
		if err == nil {
			signatures, err = signature.VerifyAll(raws, d, keyrings, r.options.now())
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			if err := r.distrust(err); err != nil {
				return err
			}
			continue
		}
		for _, s := range signatures {
			r.release.Signatures = append(r.release.Signatures, ReleaseSignature{d, s.Raw})
		}
	}
	return nil
}

// storeTimeout bounds how long the stores may take to answer for one digest.
const storeTimeout = 2 * time.Minute

func collectSignatures(ctx context.Context, stores []signature.Store, d digest.Digest) ([][]byte, error) {
	limited, cancel := context.WithTimeoutCause(ctx, storeTimeout, fmt.Errorf("signature stores did not answer within %s", storeTimeout))
	defer cancel()
	return signature.Collect(limited, stores, d)
}

// distrust returns why the release is not trusted, unless that is allowed: then
// it is noted.
func (r *releaseReader) distrust(err error) error {
	if !r.options.AllowUnsigned {
		return &TrustError{Reference: r.release.Reference, Digest: r.release.Digest, Err: err}
	}
	if r.release.Unsigned == "" {
		r.release.Unsigned = err.Error()
	}
	return nil
}

// trusted returns the payload's keyrings, if all their keys are trusted, and the
// stores.
func (r *releaseReader) trusted() ([]*signature.Keyring, []signature.Store, error) {
	stores := r.options.Stores
	v, err := verification(r.release.Payload)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range v.Stores {
		if r.options.Open != nil {
			if store := r.options.Open(s.URL); store != nil {
				stores = append(stores[:len(stores):len(stores)], store)
			}
		}
	}
	keyrings, err := r.options.keyrings(v)
	return keyrings, stores, err
}

// IsRelease reports, from its config alone, whether an image is a release image,
// and returns its digest.
func IsRelease(ctx context.Context, sources Sources, w Wanted) (bool, digest.Digest, error) {
	r := &releaseReader{sources: sources, wanted: w}
	img := newImage(w, nil)
	img.sources, img.cache = sources, newManifestCache(false)
	err := img.resolve(ctx)
	var manifest *oci.Manifest
	if err == nil {
		manifest, err = r.manifest(ctx, img)
	}
	if err == nil {
		_, err = release.ReadConfig(ctx, r.open, manifest)
	}
	if errors.Is(err, release.ErrNoRelease) || errors.Is(err, errNoImage) {
		return false, img.root.Digest, nil
	}
	if err != nil {
		return false, "", fmt.Errorf("image %s: %w", w.Name, err)
	}
	return true, img.root.Digest, nil
}
