package registry

import (
	"errors"
	"fmt"
	"strings"

	"github.com/containers/image/v5/docker/reference"

	"satchel/oci"
)

// scheme that skopeo and podman put before references to registries.
const transportPrefix = "docker://"

var errCredentials = errors.New("reference: it has an @ before a path; credentials do not belong into references")

// ParseReference reads [docker://]NAME[:TAG][@DIGEST] as docker and podman do: a
// name without a registry is one of docker.io, and with neither tag nor digest
// the tag is "latest". It refuses digests that [oci.CheckDigest] refuses.
func ParseReference(s string) (oci.Reference, error) {
	name := strings.TrimPrefix(s, transportPrefix)
	if _, after, ok := strings.Cut(name, "@"); ok && strings.Contains(after, "/") {
		return oci.Reference{}, errCredentials // of which nothing may be shown
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return oci.Reference{}, fmt.Errorf("reference %q: %w", s, err)
	}
	ref := oci.Reference{Repository: named.Name()}
	if tagged, ok := named.(reference.Tagged); ok {
		ref.Tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		if err := oci.CheckDigest(digested.Digest()); err != nil {
			return oci.Reference{}, fmt.Errorf("reference %q: %w", s, err)
		}
		ref.Digest = digested.Digest()
	}
	if ref.Tag == "" && ref.Digest == "" {
		ref.Tag = "latest"
	}
	return ref, nil
}

// parseRepository accepts a full, normalised repository name only, so that what
// comes out of a bundle cannot turn into another request.
func parseRepository(repository string) (reference.Named, error) {
	named, err := reference.ParseNamed(repository)
	if err != nil {
		return nil, fmt.Errorf("repository %q: %w", repository, err)
	}
	if !reference.IsNameOnly(named) {
		return nil, fmt.Errorf("repository %q: has a tag or a digest", repository)
	}
	return named, nil
}

func checkTag(tag string) error {
	if loc := reference.TagRegexp.FindStringIndex(tag); loc == nil || loc[0] != 0 || loc[1] != len(tag) {
		return fmt.Errorf("tag %q: want 1 to 128 of letters, digits, '_', '.', '-', not starting with '.' or '-'", tag)
	}
	return nil
}
