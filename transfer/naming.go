package transfer

import (
	"errors"
	"fmt"
	"slices"

	"satchel/bundle"
	"satchel/oci"
	"satchel/oci/release"
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
	// NamingOC names as oc adm catalog mirror does: paths as [NamingPath], by
	// digest a tag that is a hash of the source's name. That command joins paths to
	// two components unless it is told otherwise: see Names.MaxComponents.
	NamingOC Naming = "oc"
	// NamingOCMirror names as oc-mirror does: paths as [NamingPath], by digest the
	// tag sha256-<hex>.
	NamingOCMirror Naming = "oc-mirror"
)

// ErrNaming is returned for names that cannot be, or that two images would
// share.
var ErrNaming = errors.New("naming")

// Names says how images of a bundle are named at the site.
type Names struct {
	// To is REGISTRY or REGISTRY/PREFIX; empty keeps the images' names, for
	// targets that hold full names.
	To     string
	Naming Naming
	// ReleaseRepository, if it is not empty, is the path below To of the one
	// repository that release images and their components get, as with oc adm
	// release mirror.
	ReleaseRepository string
	// MaxComponents is how many components a repository's path may have at the
	// site, those of To included; 0 is any number. Where there are more, the last
	// are joined with dashes. The names in [bundle.Image.Destinations] stay as they
	// are.
	MaxComponents int
}

// Destination is where an image goes: a repository, HOST/PATH, and one or more
// tags, the first of which is its principal name.
type Destination struct {
	Repository string
	Tags       []string
}

func (d Destination) String() string { return d.Repository + ":" + d.Tags[0] }

// Destinations names all images of a plan. Images by digest alone get a tag, since
// registries collect what has none: digest-<hex>, or as the naming says. A release
// image and its components are named by the version in its payload; a component that
// has several names gets a tag for each. What is attached to an image goes into its
// repository. Two different digests on one name are an error that names both
// sources, and so is a name that registries do not take; both are [ErrNaming].
func Destinations(plan *bundle.Plan, names Names) ([]Destination, error) {
	if err := names.check(); err != nil {
		return nil, err
	}
	releases, err := Releases(plan)
	if err != nil {
		return nil, err
	}
	destinations, err := placed(plan, names)
	if err != nil {
		return nil, err
	}
	byReference := make(map[string]int, len(plan.Images))
	for i, image := range plan.Images {
		byReference[image.Reference] = i
	}
	if names.To != "" {
		for _, r := range releases {
			r.tag(plan, destinations, byReference)
		}
	}
	listed := make(map[string]bool) // repositories that may get lists of what is attached
	for i, image := range plan.Images {
		d := &destinations[i]
		if to, ok := byReference[image.AttachedTo]; ok {
			d.Repository = destinations[to].Repository
			listed[d.Repository] = listed[d.Repository] || len(d.Tags) == 0
		}
	}
	taken := make(map[string]int)
	for i, image := range plan.Images {
		d := &destinations[i]
		if len(d.Tags) == 0 {
			d.Tags = []string{names.digestTag(image, listed[d.Repository])}
		}
		for _, tag := range d.Tags {
			name := d.Repository + ":" + tag
			if _, err := oci.SplitReference(name); err != nil {
				return nil, fmt.Errorf("%w: image %s: %w", ErrNaming, image.Reference, err)
			}
			if other, ok := taken[name]; ok && plan.Images[other].Root.Digest != image.Root.Digest {
				return nil, fmt.Errorf("%w: images %s and %s have different digests but would both be %s",
					ErrNaming, plan.Images[other].Reference, image.Reference, name)
			}
			taken[name] = i
		}
	}
	return destinations, nil
}

// placed names the images without what releases say of their tags.
func placed(plan *bundle.Plan, names Names) ([]Destination, error) {
	destinations := make([]Destination, len(plan.Images))
	for i, image := range plan.Images {
		ref, err := oci.SplitReference(image.Reference)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", image.Reference, err)
		}
		destinations[i] = names.place(image, ref)
	}
	return destinations, nil
}

// tag gives the images of a release the tags that its payload says.
func (r *PlannedRelease) tag(plan *bundle.Plan, destinations []Destination, byReference map[string]int) {
	add := func(reference, part, tag string) {
		i, ok := byReference[reference]
		if ok && plan.Images[i].Part == part && len(plan.Images[i].Destinations) == 0 && !slices.Contains(destinations[i].Tags, tag) {
			destinations[i].Tags = append(destinations[i].Tags, tag)
		}
	}
	add(r.Reference, bundle.PartRelease, release.Tag(r.Payload.Version, r.Architecture))
	for _, c := range r.Payload.Components {
		add(c.Image.String(), bundle.PartComponent, release.ComponentTag(r.Payload.Version, r.Architecture, c.Name))
	}
}
