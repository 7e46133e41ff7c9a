package catalog

import "slices"

// Catalog is what is kept of a catalog. It is not changed after [Read] and is
// safe for concurrent reading; its strings are shared.
type Catalog struct {
	// Packages are sorted by name. One that documents name but no olm.package
	// describes is here too; [Catalog.Check] tells.
	Packages []Package
	// Others are documents of schemas that this package does not know and that
	// belong to no package, in the order of their files.
	Others []Other

	files     []string // sorted
	documents []document
}

// Package is one operator with all that its documents say of it.
type Package struct {
	Name, DefaultChannel string
	// Channels, Bundles and Deprecations are in the order of their files and
	// documents.
	Channels     []Channel
	Bundles      []Bundle
	Deprecations []Deprecation
	// Others are documents of other schemas that name the package.
	Others []Other

	described        int // olm.package documents
	deprecationLists int // olm.deprecations documents
	broken           []string
}

// Channel is an upgrade graph: what replaces what.
type Channel struct {
	Name    string
	Entries []Entry

	broken string
}

// Entry is one bundle in a channel. Replaces and Skips may name bundles that the
// channel does not have; SkipRange is as it stands.
type Entry struct {
	Name, Replaces string
	Skips          []string
	SkipRange      string
}

// Bundle is one version of an operator.
type Bundle struct {
	// Name is that of the entries of channels: "etcd.v0.9.4".
	Name string
	// Version is a semantic version when the bundle is valid; Release is mostly
	// empty.
	Version, Release string
	// Image is the bundle image, empty when the manifests stand in the catalog.
	Image string
	// Related are the images that the operator runs, each once, in their order;
	// the bundle image is mostly one of them.
	Related []string
	// Provides are the APIs that the operator brings, Requires what it needs of
	// others.
	Provides []GVK
	Requires []Requirement

	inlined bool // it has manifests of its own, olm.bundle.object
	broken  string
}

// GVK names an API of a cluster.
type GVK struct{ Group, Version, Kind string }

func (g GVK) String() string {
	if g.Group == "" {
		return g.Version + " " + g.Kind
	}
	return g.Group + "/" + g.Version + " " + g.Kind
}

// Requirement is one thing that a bundle needs: an API, a version of a package,
// or all or any of several. Exactly one of GVK.Kind, Package, All and Any is
// not empty. Constraints in CEL and negations are not kept: nothing that is
// added fulfils them.
type Requirement struct {
	GVK GVK
	// Package is required in a version within Range ([semver.ParseRange]'s
	// grammar); Range may be empty.
	Package, Range string
	All, Any       []Requirement
}

// Deprecation says that a package, a channel or a bundle should not be used any
// more.
type Deprecation struct {
	// Schema is SchemaPackage, SchemaChannel or SchemaBundle; Name is empty for
	// a package.
	Schema, Name string

	silent bool // without message
}

// Other is a document of a schema that this package does not know.
type Other struct {
	Schema, Package, Name string
	// Related are its image and related images, each once.
	Related []string
}

// Package returns the package of that name.
func (c *Catalog) Package(name string) (*Package, bool) {
	return find(c.Packages, name, func(p *Package) string { return p.Name })
}

// Channel returns the channel of that name, the first when several have it.
func (p *Package) Channel(name string) (*Channel, bool) {
	return find(p.Channels, name, func(c *Channel) string { return c.Name })
}

// Bundle returns the bundle of that name, the first when several have it.
func (p *Package) Bundle(name string) (*Bundle, bool) {
	return find(p.Bundles, name, func(b *Bundle) string { return b.Name })
}

func find[T any](all []T, name string, of func(*T) string) (*T, bool) {
	for i := range all {
		if of(&all[i]) == name {
			return &all[i], true
		}
	}
	return nil, false
}

// rank orders the documents of a package: readers want the package first.
func rank(schema string) int {
	all := []string{SchemaPackage, SchemaChannel, SchemaBundle, SchemaDeprecations}
	if i := slices.Index(all, schema); i >= 0 {
		return i
	}
	return len(all)
}
