// Package layout reads and writes OCI image layouts: directories with
// oci-layout, index.json and blobs/sha256.
//
// It is an adapter over umoci's content store and its only importer. umoci
// writes: a blob or an index is written to a temporary file in a directory
// .umoci-* inside of the layout, flushed, and renamed to its place, so that none
// is ever there in part. Reading is done here, because umoci reads without
// bounds, waits for named pipes and hashes a blob when it is closed, and because
// umoci follows symbolic links wherever they lead. Here every access goes
// through an [os.Root]: a link that leads out of the layout is an error.
//
// [AddLayer] makes a new image of one, in memory, through umoci's mutate.
//
// umoci does not compile for Windows: there [Open] and [Create] return an error.
package layout

import "satchel/oci"

// Entry is one image of a layout's index.json.
type Entry struct {
	// Name is the annotation org.opencontainers.image.ref.name: a full
	// reference, a tag, or whatever the maker of the layout wrote. It may be
	// empty, and several entries may have the same.
	Name string
	// Descriptor is the entry as index.json has it, its annotations included.
	Descriptor oci.Descriptor
}
