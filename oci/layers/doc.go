// Package layers reads files out of the layers of an image without unpacking
// it: nothing is written, and what is in memory is bounded whatever the layers
// hold.
//
// [Walk] reads one layer, [Find] one file of an image, [Tree.Walk] all files of
// one of its directories. Layers come from outside, and what they hold is
// believed only when their size and digest have agreed, which is known at their
// end: content handed out before that must be thrown away when the call fails.
package layers

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"satchel/oci"
)

// Limits on what is accepted of layers.
const (
	// MaxEntries bounds the tar entries of one layer; the largest images have
	// some 300,000 files in all.
	MaxEntries = 1_000_000
	// MaxName bounds the name of an entry and the target of a link in bytes,
	// as Linux bounds paths.
	MaxName = 4096
	// MaxExpanded bounds the bytes that one layer expands to (128 GiB), holes
	// of sparse files that are read included.
	MaxExpanded = 128 << 30
	// MaxWindow bounds the memory that a zstd frame may ask for in bytes; it
	// is what the zstd tool takes without being told.
	MaxWindow = 128 << 20
	// MaxLinks bounds the links that are followed for one file, as Linux does.
	MaxLinks = 40
	// MaxListing bounds what one [Find] keeps of the names of an image, in
	// bytes; an image of 100,000 files needs about a fifth. [Tree.Walk] may
	// need as much again.
	MaxListing = 128 << 20
	// MaxShared bounds, in bytes, the content that [Tree.Walk] keeps of a file
	// that links lead to, times the names that it has by them.
	MaxShared = 128 << 20
)

var (
	// ErrLimit is wrapped by the errors for layers that exceed a limit of this
	// package.
	ErrLimit = errors.New("limit exceeded")
	// ErrName is wrapped by the errors for entries whose name, or hard link,
	// does not stay within the image.
	ErrName = errors.New("name is not within the image")
)

// Open opens a blob from its beginning. This package checks size and digest and
// closes what it opened.
type Open func(ctx context.Context, d oci.Descriptor) (io.ReadCloser, error)

// Entry is what a layer says of one file. Its strings are copies of their own.
type Entry struct {
	// Name is a clean path relative to the root of the image: no "/" or "./"
	// at its beginning, no ".." in it, never empty. Whiteouts keep their names
	// (".wh.x").
	Name string
	// Type is the type flag of tar, with all regular files as tar.TypeReg.
	Type byte
	// Mode has the permission bits only.
	Mode fs.FileMode
	// Size is the number of bytes of a regular file, otherwise 0.
	Size int64
	// Link is the target of a hard link, a clean path as Name is, or that of a
	// symbolic link as it stands; otherwise empty.
	Link string
}
