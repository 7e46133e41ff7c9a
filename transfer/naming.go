package transfer

import (
	"errors"
	"fmt"
	"strings"

	"satchel/bundle"
	"satchel/oci"
)

// Naming says how images are called at the site.
type Naming string

const (
	// NamingPath puts the source's repository path under the prefix. It is the
	// default.
	NamingPath Naming = "path"
	// NamingHost puts the source's host before the path; a port's colon becomes
	// a dash.
	NamingHost Naming = "host"
)

// ErrNaming is returned for names that cannot be, or that two images would
// share.
var ErrNaming = errors.New("naming")

// Destination is where an image goes: HOST/PATH and a tag.
type Destination struct {
	Repository, Tag string
}

func (d Destination) String() string { return d.Repository + ":" + d.Tag }

// Destinations names all images of a plan under to, which is REGISTRY or
// REGISTRY/PREFIX; with to empty they keep their names. Images by digest alone
// get the tag digest-<hex>, since registries collect what has no tag. Two
// different digests on one name are an error that names both sources, and so is
// a name that registries do not take; both are [ErrNaming].
func Destinations(plan *bundle.Plan, to string, naming Naming) ([]Destination, error) {
	destinations := make([]Destination, len(plan.Images))
	taken := make(map[Destination]int)
	for i, image := range plan.Images {
		ref, err := oci.SplitReference(image.Reference)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", image.Reference, err)
		}
		d := Destination{Repository: ref.Repository, Tag: ref.Tag}
		if to != "" {
			d.Repository = to + "/" + ref.Path()
			if naming == NamingHost {
				d.Repository = to + "/" + hostComponent(ref.Host()) + "/" + ref.Path()
			}
		}
		if d.Tag == "" {
			d.Tag = "digest-" + ref.Digest.Encoded()
		}
		if err := oci.CheckRepository(d.Repository); err != nil {
			return nil, fmt.Errorf("%w: image %s: %w", ErrNaming, image.Reference, err)
		}
		if other, ok := taken[d]; ok && plan.Images[other].Root.Digest != image.Root.Digest {
			return nil, fmt.Errorf("%w: images %s and %s have different digests but would both be %s",
				ErrNaming, plan.Images[other].Reference, image.Reference, d)
		}
		taken[d] = i
		destinations[i] = d
	}
	return destinations, nil
}

// hostComponent makes a registry's host and port one component of a path.
func hostComponent(host string) string {
	return strings.ToLower(strings.NewReplacer(":", "-", "[", "", "]", "").Replace(host))
}
