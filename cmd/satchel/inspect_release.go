package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"satchel/bundle"
	"satchel/oci/release"
	"satchel/transfer"
)

// inspectedRelease is a release in the result of inspect.
type inspectedRelease struct {
	Version string `json:"version"`
	// Tag is version and architecture as tags have it.
	Tag          string `json:"tag"`
	Architecture string `json:"architecture"`
	Reference    string `json:"reference"`
	Digest       string `json:"digest"`
	// Previous and Next are the versions from and to which its metadata has
	// updates.
	Previous []string `json:"previous,omitempty"`
	Next     []string `json:"next,omitempty"`
	URL      string   `json:"url,omitempty"`
	// Signatures are valid ones by trusted keys; without one, Unsigned says why.
	Signatures []inspectedSignature `json:"signatures,omitempty"`
	Unsigned   string               `json:"unsigned,omitempty"`
	// Unchecked says that the release image is not on the media, so that all this
	// stands on the word of the bundle.
	Unchecked bool `json:"unchecked,omitempty"`
	// Sigstore is how many sigstore signatures are attached to the release image.
	Sigstore   int                  `json:"sigstore"`
	Components []inspectedComponent `json:"components"`
}

type inspectedSignature struct {
	Digest      string    `json:"digest"`
	Fingerprint string    `json:"fingerprint"`
	Keyring     string    `json:"keyring"`
	Created     time.Time `json:"created"`
	Reference   string    `json:"reference"`
}

type inspectedComponent struct {
	Name      string `json:"name"`
	Reference string `json:"reference"`
	// Size is that of all blobs that the image needs, in bytes; 0 when the
	// source does not have it.
	Size int64 `json:"size"`
}

// describeReleases says what a bundle holds of releases. needs are of the images
// of the plan, in their order.
func describeReleases(ctx context.Context, b *bundle.Bundle, needs []transfer.Need, trust transfer.Trust) ([]inspectedRelease, error) {
	plan := b.Prologue.Plan()
	releases, err := transfer.Releases(plan)
	if err != nil {
		return nil, err
	}
	unchecked, err := transfer.CheckPayloads(ctx, b)
	if err != nil {
		return nil, err
	}
	sizes := make(map[string]int64, len(plan.Images))
	sigstore := make(map[string]int)
	for i, image := range plan.Images {
		sizes[image.Reference] = needs[i].Bytes
		if strings.HasSuffix(image.Reference, ".sig") {
			sigstore[image.AttachedTo]++
		}
	}
	trust.AllowUnsigned = true // inspect tells, and refuses nothing
	var all []inspectedRelease
	for _, r := range releases {
		one := inspectedRelease{
			Version: r.Payload.Version, Tag: release.Tag(r.Payload.Version, r.Architecture), Architecture: r.Architecture,
			Reference: r.Reference, Digest: string(r.Digest), Previous: r.Payload.Previous, Next: r.Payload.Next,
			URL: r.Payload.Metadata["url"], Sigstore: sigstore[r.Reference],
			Unchecked: slices.Contains(unchecked, r.Reference),
		}
		verified, err := r.Verify(trust)
		if err != nil {
			return nil, err
		}
		one.Unsigned = verified.Unsigned
		for _, s := range verified.Signatures {
			one.Signatures = append(one.Signatures, inspectedSignature{string(s.Digest), s.Fingerprint, s.Keyring, s.Created, s.Reference})
		}
		for _, c := range r.Payload.Components {
			reference := c.Image.String()
			one.Components = append(one.Components, inspectedComponent{c.Name, reference, sizes[reference]})
		}
		all = append(all, one)
	}
	return all, nil
}

func (r *inspectedRelease) print(out *output) {
	out.printf("\nrelease %s\n  %s\n  %s\n", r.Tag, r.Reference, r.Digest)
	if r.URL != "" {
		out.printf("  erratum: %s\n", r.URL)
	}
	for _, edges := range []struct {
		what     string
		versions []string
	}{{"updates from", r.Previous}, {"updates to", r.Next}} {
		if len(edges.versions) > 0 {
			out.printf("  %s: %s\n", edges.what, strings.Join(edges.versions, ", "))
		}
	}
	for _, s := range r.Signatures {
		out.printf("  signed %s by key %s (%s), as %s\n", s.Created.Format(time.DateOnly), s.Fingerprint, s.Keyring, s.Reference)
	}
	if r.Unsigned != "" {
		out.printf("  not trusted: %s\n", r.Unsigned)
	}
	if r.Unchecked {
		out.printf("  not checked: the release image is not on these media\n")
	}
	if r.Sigstore > 0 {
		out.printf("  sigstore: %s attached\n", count(r.Sigstore, "signature"))
	}
	out.printf("  %s:\n", count(len(r.Components), "component"))
	for _, c := range r.Components {
		out.printf("    %-44s %12s  %s\n", c.Name, human(c.Size), c.Reference)
	}
}

// printDigest prints the digest of the release of a version, with or without its
// architecture, and nothing else.
func printDigest(out *output, releases []inspectedRelease, version string) error {
	var found []inspectedRelease
	var there []string
	for _, r := range releases {
		there = append(there, r.Tag)
		if r.Version == version || r.Tag == version {
			found = append(found, r)
		}
	}
	switch {
	case len(there) == 0:
		return errNoRelease
	case len(found) == 0:
		return fmt.Errorf("release %s is not in the bundle, which has %s", version, strings.Join(there, ", "))
	}
	for _, r := range found[1:] {
		if r.Digest != found[0].Digest {
			return usagef("--digest %s: the bundle has it for several architectures: name one of %s", version, strings.Join(there, ", "))
		}
	}
	if found[0].Unchecked {
		return fmt.Errorf("release %s cannot be checked: its release image is not on these media", found[0].Tag)
	}
	out.printf("%s\n", found[0].Digest)
	return out.json(found[0].Digest)
}
