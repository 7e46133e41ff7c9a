// Package catalog reads file-based catalogs of operators, chooses from them,
// and writes what was chosen. Nothing here knows images or registries: files
// come in by a [Source], from a layer or a directory, and documents go out.
//
// [Read] takes a catalog in; [Catalog.Check] says what opm would refuse in it;
// [Catalog.Select] chooses packages, channels and versions as oc-mirror does;
// [Selection.Images] lists what the chosen operators need; [Selection.Write]
// writes the catalog that has only them.
//
// The parser is our own. operator-registry's alpha/declcfg (v1.73.0) brings 333
// packages beside the standard library into a program, by go list -deps, among
// them Kubernetes' API machinery and gRPC; this package brings the YAML parser
// and semantic versions, which others here need anyway. And declcfg holds every
// document of a catalog in memory, where this package keeps of a bundle what
// choosing needs, never its manifests.
package catalog

import "errors"

// Limits on what is accepted of a catalog. The largest public catalogs have
// some 500 MB in a few thousand documents, none above some megabytes.
const (
	// MaxDocument bounds one document in bytes, as it lies and as JSON.
	MaxDocument = 64 << 20
	// MaxCatalog bounds all files together in bytes, and so the documents as
	// JSON.
	MaxCatalog = 2 << 30
	// MaxDocuments bounds the documents, MaxFiles the files.
	MaxDocuments = 500_000
	MaxFiles     = 200_000
	// MaxMarks bounds the characters of a YAML document that can begin a value:
	// each can cost the parser some hundred bytes.
	// Real documents have at most 31 in a kilobyte.
	MaxMarks = 500_000
	// MaxAliased bounds the values that the aliases of all documents stand for.
	MaxAliased = 200_000
	// MaxDepth bounds the nesting of YAML.
	MaxDepth = 200
	// MaxKept bounds what is kept of a catalog in memory, in bytes, counted
	// roughly.
	MaxKept = 256 << 20
	// MaxIgnore bounds one .indexignore file in bytes, MaxPatterns the patterns of
	// all.
	MaxIgnore   = 1 << 20
	MaxPatterns = 1000
	// MaxMatches bounds the characters of patterns that are compared with names.
	MaxMatches = 200_000_000
	// MaxPath bounds the path of a file in bytes.
	MaxPath = 4096
)

// ErrLimit is wrapped by the errors for catalogs that exceed a limit of this
// package.
var ErrLimit = errors.New("limit exceeded")

// Schemas of documents that this package understands (operator-registry,
// alpha/declcfg/declcfg.go). Documents of other schemas are carried along.
const (
	SchemaPackage      = "olm.package"
	SchemaChannel      = "olm.channel"
	SchemaBundle       = "olm.bundle"
	SchemaDeprecations = "olm.deprecations"
)
