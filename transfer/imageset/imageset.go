// Package imageset reads oc-mirror's ImageSetConfiguration, as it stands in
// people's repositories, into a description of what is to be packed.
//
// The keys and rules are those of openshift/oc-mirror at 855b64a3:
// internal/pkg/api/v2alpha1 and internal/pkg/config for
// mirror.openshift.io/v2alpha1, v1/pkg/api/v1alpha2 and v1/pkg/config for
// v1alpha2. It is stricter in that keys are spelt exactly and stand once; what
// satchel does not do is named line by line. What a configuration of v1alpha2
// asks for is described by the same words, and is selected as v2alpha1 selects:
// oc-mirror's first version followed the dependencies of operators, its second
// does not.
//
// It is pure: bytes in, values out. No file, no network, no clock.
package imageset

import "satchel/oci/catalog"

// Config is what a configuration asks for. Every value in it has passed the
// checks of [Parse].
type Config struct {
	// Version is "v2alpha1" or "v1alpha2".
	Version string
	// Platform says which releases.
	Platform Platform
	// Operators are in their order; no two have the same name at the site.
	Operators []Operator
	// AdditionalImages are in their order. What stands twice is here once.
	AdditionalImages []Image
	// BlockedImages keep images out, whatever names them.
	BlockedImages []Blocked
	// ArchiveSize bounds a volume, in bytes; 0 when nothing is said. The file has
	// it in GiB (openshift/oc-mirror, internal/pkg/archive/const.go).
	ArchiveSize int64
}

// Platform names releases of OpenShift or OKD.
type Platform struct {
	// Channels are empty when Release is not.
	Channels []Channel
	// Architectures are "amd64", "arm64", "ppc64le", "s390x" or "multi", each a
	// payload of its own; "amd64" when there are channels and nothing is said.
	Architectures []string
	// Release is a release image, as [Image.Name]; it takes the place of channels.
	Release string
	// Graph asks for the graph data image of an update service. It is always
	// among the findings too.
	Graph bool
	// Line is where the first channel, or Release, stands.
	Line int
}

// Channel names releases of one update channel (openshift/oc-mirror,
// internal/pkg/release/cincinnati.go, resolveChannelVersions): with neither Min,
// Max nor Full the latest; else all from Min to Max, where a missing Max is the
// latest and a missing Min the first of the channel.
type Channel struct {
	Name string
	// Type is "ocp" or "okd".
	Type string
	// Min and Max are semantic versions, or empty. Min is not above Max.
	Min, Max string
	// ShortestPath leaves out what is not on the shortest way of updates from
	// Min to Max.
	ShortestPath bool
	Full         bool
	Line         int
}

// Operator names a catalog, and what of it.
type Operator struct {
	// Catalog is a reference as [Image.Name], or empty when Layout is not.
	Catalog string
	// Layout is the path of an OCI layout: what follows "oci://".
	Layout string
	// TargetCatalog takes the place of the repository's path at the site,
	// TargetTag that of the tag. Both may be empty.
	TargetCatalog, TargetTag string
	// Full takes all versions instead of heads; with it nothing has Min or Max.
	Full bool
	// Packages are all of the catalog when there are none.
	Packages []Package
	Line     int
}

// Request returns what of the catalog is wanted. It passes its own Check.
func (o Operator) Request() catalog.Request {
	r := catalog.Request{Full: o.Full}
	for _, p := range o.Packages {
		wanted := catalog.PackageRequest{Name: p.Name, DefaultChannel: p.DefaultChannel, Min: p.Min, Max: p.Max}
		for _, c := range p.Channels {
			wanted.Channels = append(wanted.Channels, catalog.ChannelRequest{Name: c.Name, Min: c.Min, Max: c.Max})
		}
		r.Packages = append(r.Packages, wanted)
	}
	return r
}

// Package names a package of a catalog.
type Package struct {
	Name           string
	DefaultChannel string
	// Min and Max are versions as oc-mirror reads them, or empty: semantic, but
	// a "v" before them, and a missing patch or minor, are accepted. A Max without
	// patch stands for all of that minor. They are empty when a channel has its
	// own.
	Min, Max string
	Channels []PackageChannel
	Line     int
}

// PackageChannel names a channel of a package; Min and Max as [Package] has them.
type PackageChannel struct {
	Name     string
	Min, Max string
	Line     int
}

// Image is one of the additional images.
type Image struct {
	// Name is [HOST/]PATH[:TAG][@DIGEST], without "docker://"; a tag or a digest is
	// missing in v1alpha2 only, where that means the tag "latest". Without a host
	// it is one of docker.io.
	Name string
	// TargetRepo takes the place of the path at the site, TargetTag that of the
	// tag. Both may be empty.
	TargetRepo, TargetTag string
	Line                  int
}

// Blocked keeps out every image whose name the pattern matches somewhere.
type Blocked struct {
	// Pattern is a regular expression that compiles.
	Pattern string
	Line    int
}
