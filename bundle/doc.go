// Package bundle is the format: the plan, the volumes with their prologue and
// members, and the inventory. FORMAT.md beside this file specifies it so that a
// stranger can write a reader.
//
// Making a bundle starts with [NewPlan], which places every blob before one
// moves, goes on with a [VolumeWriter] for each volume, and ends with
// [Finish]. Reading one starts with [Open].
//
// What is read from media is checked before it is believed: the plan against the
// plan ID that every volume states, manifests and blobs by digest and size. The
// package promises neither a panic nor an unbounded allocation for any input.
package bundle

// Limits of format version 1, enforced when planning and when reading.
const (
	// Version is the format version that this package writes and reads.
	Version = 1
	// MaxVolumes is the largest number of volumes; names have four digits.
	MaxVolumes = 9_999
	// MaxExtents bounds the extents of one blob; names have four digits.
	MaxExtents = 9_999
	// MaxDocument bounds plan, inventory and index.json in bytes.
	MaxDocument = 64 << 20
	// MaxManifestBytes bounds the manifests of one bundle together in bytes:
	// they stand in every volume and in memory.
	MaxManifestBytes = 512 << 20
	// MaxMember is the largest content of one member in bytes, USTAR's limit.
	MaxMember = 8<<30 - 1
	// MaxReason bounds the reasons in what is missing, in bytes.
	MaxReason = 500
	// MaxRecipe bounds what a request says of one catalog, and what the maker of
	// derived content was told, in bytes.
	MaxRecipe = 64 << 10
	// MaxInline is the largest content in bytes whose bytes stand in the plan.
	MaxInline = 4 << 20
	// maxPrologueShare is the part of a volume, as one in so many bytes, that
	// its prologue may take.
	maxPrologueShare = 10
)
