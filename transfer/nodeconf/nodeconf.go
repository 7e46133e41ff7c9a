// Package nodeconf says what the nodes of a cluster make of its mirror sets and
// image configuration: the registries.conf and policy.json that the machine config
// operator would write, where a node then looks for an image, and what of it would
// collide with what a cluster has already.
//
// The rules are those of openshift/runtime-utils at 7bdb5b9c,
// pkg/registries/registries.go, and openshift/machine-config-operator at 7ff337a4,
// pkg/controller/container-runtime-config/helpers.go; the files are equal byte for
// byte.
//
// It is pure: values in, bytes out; no clock, no file system, no network.
package nodeconf

import "cmp"

// SourcePolicy says whether nodes may ask the source itself.
type SourcePolicy string

// The values of mirrorSourcePolicy. An empty one counts as
// AllowContactingSource, and so does every ImageContentSourcePolicy.
const (
	AllowContactingSource SourcePolicy = "AllowContactingSource"
	NeverContactSource    SourcePolicy = "NeverContactSource"
)

// Entry is one source of a mirror set.
type Entry struct {
	// Source is HOST[:PORT][/PATH] or *.HOST.
	Source string
	// Mirrors are HOST[:PORT][/PATH], in the order in which they are tried.
	Mirrors []string
	Policy  SourcePolicy
	// Name is that of the resource that has the entry, or empty. It stands in
	// findings and nowhere else.
	Name string
}

// Cluster has the mirror sets and image configuration of a cluster, or some of them.
type Cluster struct {
	// IDMS are the entries of ImageDigestMirrorSets, ITMS those of
	// ImageTagMirrorSets, ICSP those of ImageContentSourcePolicies, which have no
	// Policy.
	IDMS, ITMS, ICSP []Entry
	// Insecure, Blocked and Allowed are insecureRegistries, blockedRegistries and
	// allowedRegistries of image.config.openshift.io: each HOST[:PORT][/PATH] or
	// *.HOST.
	Insecure, Blocked, Allowed []string
	// Search are containerRuntimeSearchRegistries.
	Search []string
	// Import are allowedRegistriesForImport.
	Import []ImportRegistry
	// TrustedCA is the name of additionalTrustedCA: a ConfigMap in openshift-config.
	TrustedCA string
}

// ImportRegistry is a registry from which normal users may import images.
type ImportRegistry struct {
	// Domain is HOST[:PORT], in which * and ? stand for any letters and any letter.
	Domain   string `yaml:"domainName"`
	Insecure bool   `yaml:"insecure,omitempty"`
}

// With returns both together, c first; a TrustedCA of other takes the place of c's.
// Neither is changed.
func (c Cluster) With(other Cluster) Cluster {
	return Cluster{
		IDMS: join(c.IDMS, other.IDMS), ITMS: join(c.ITMS, other.ITMS), ICSP: join(c.ICSP, other.ICSP),
		Insecure: join(c.Insecure, other.Insecure), Blocked: join(c.Blocked, other.Blocked),
		Allowed: join(c.Allowed, other.Allowed), Search: join(c.Search, other.Search),
		Import: join(c.Import, other.Import), TrustedCA: cmp.Or(other.TrustedCA, c.TrustedCA),
	}
}

func join[T any](a, b []T) []T { return append(a[:len(a):len(a)], b...) }
