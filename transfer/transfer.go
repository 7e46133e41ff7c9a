// Package transfer makes the two journeys: pack takes images from registries
// into the volumes of a bundle, unpack replays a bundle into a registry.
//
// A blob's way out: [Select] reads the manifests and says what is needed,
// [bundle.NewPlan] places it, and [Pack] fetches it through a window of segments
// into the volume. Its way in: [Unpack] reads it forward from the medium and
// pushes it, and completes each image as soon as its last blob is there.
//
// A byte goes from the registry into the volume and from the volume into the
// registry: nothing is staged between.
package transfer

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// Registry reads from registries. Repositories are full names.
type Registry interface {
	// Resolve returns a manifest's descriptor, with the digest of the bytes
	// that it returns beside it.
	Resolve(ctx context.Context, ref oci.Reference) (oci.Descriptor, []byte, error)
	// Manifest returns the bytes of a manifest, checked against d.
	Manifest(ctx context.Context, repository string, d oci.Descriptor) ([]byte, error)
	Ranger
	// ForeignBlob opens a blob at the first URL that has it.
	ForeignBlob(ctx context.Context, urls []string, d oci.Descriptor) (io.ReadCloser, error)
}

// Ranger reads parts of blobs.
type Ranger interface {
	// Blob opens length bytes of a blob at offset. When ranged is false, the
	// bytes go on to the end of the blob. Nothing is checked: that is the gate's
	// work. The caller closes the reader.
	Blob(ctx context.Context, repository string, d oci.Descriptor, offset, length int64) (r io.ReadCloser, ranged bool, err error)
}

// Referrers lists, by the distribution specification, the manifests of a
// repository whose subject is d: by the registry's API or, where there is none,
// by the fallback tag.
type Referrers interface {
	Referrers(ctx context.Context, repository string, d digest.Digest) ([]oci.Descriptor, error)
}

// Layout reads from an OCI image layout.
type Layout interface {
	Resolve(ctx context.Context, name string) (oci.Descriptor, error)
	Manifest(ctx context.Context, d oci.Descriptor) ([]byte, error)
	// Blob is as that of [Ranger].
	Blob(ctx context.Context, d oci.Descriptor, offset, length int64) (r io.ReadCloser, ranged bool, err error)
}

// Sources are the places from which images are packed. All are for concurrent
// use.
type Sources struct {
	Registry Registry
	// Referrers finds what is attached to images; nil finds nothing.
	Referrers Referrers
	// Layouts are the local sources by label.
	Layouts map[string]Layout
	// Derived makes what plans derive; nil makes nothing.
	Derived *Derivations
}

// Event tells of the progress of a journey. Exactly the fields of its kind are
// set. Functions that take events are called from several goroutines at once.
type Event struct {
	Kind EventKind
	// Bytes went by since the last event, for BytesMoved, BytesSkipped and
	// BytesChecked; the size of the volume for VolumeWritten and VolumeKept; what
	// is to be done for Checking, Writing and ReadingBack; what is kept for
	// VolumeContinued.
	Bytes int64
	// Volume is a volume's name, Where the medium on which it lies.
	Volume, Where string
	// Image is an image's reference, Destination where it went; Part is what it is,
	// as [bundle.Image.Part] says it, for ImageReplaced.
	Image, Destination, Part string
	Digest                   digest.Digest
	// Err says what is wrong, for VolumeDamaged, BlobRefetched and BlobLeftOut.
	Err error
}

// EventKind says what happened.
type EventKind int

// The kinds of events.
const (
	ImageResolved   EventKind = iota + 1 // an image's manifests are read
	BytesMoved                           // bytes were written to a volume, or read from one to be pushed
	BytesSkipped                         // bytes need not be moved: the registry has them
	BytesChecked                         // bytes of an earlier run, or just written, were read
	Checking                             // what stands on media is going to be read
	Writing                              // what is missing is going to be written
	VolumeKept                           // a volume of an earlier run is whole
	VolumeContinued                      // an unfinished volume of an earlier run is gone on with
	VolumeDamaged                        // a volume of an earlier run is damaged and is made again
	VolumeWritten                        // a volume has its final name
	ReadingBack                          // a volume is going to be read from the medium, Bytes long
	MediumLeft                           // a medium is given up, Err says why
	BlobRefetched                        // a blob had the wrong digest and is fetched again
	BlobLeftOut                          // a blob could not be had and is left out
	ImageComplete                        // an image is in the registry, under its tag
	ImageReplaced                        // an image's tag named something else before, Digest
)

func tell(f func(Event), e Event) {
	if f != nil {
		f(e)
	}
}

// open reads part of a blob from its origin.
func (s Sources) open(ctx context.Context, b *bundle.Blob, offset, length int64) (io.ReadCloser, bool, error) {
	d := b.Descriptor()
	switch {
	case b.Origin.Repository != "":
		return s.Registry.Blob(ctx, b.Origin.Repository, d, offset, length)
	case b.Origin.Local != "":
		layout, ok := s.Layouts[b.Origin.Local]
		if !ok {
			return nil, false, fmt.Errorf("local source %s is not named", b.Origin.Local)
		}
		return layout.Blob(ctx, d, offset, length)
	case b.Origin.Inline != nil:
		return io.NopCloser(io.NewSectionReader(bytes.NewReader(b.Origin.Inline), offset, length)), true, nil
	case b.Origin.Derived != nil:
		content, err := s.Derived.content(ctx, s, b)
		return io.NopCloser(io.NewSectionReader(bytes.NewReader(content), offset, length)), true, err
	}
	r, err := s.Registry.ForeignBlob(ctx, b.Origin.URLs, d)
	if err != nil || offset == 0 {
		return r, false, err
	}
	if _, err := io.CopyN(io.Discard, r, offset); err != nil {
		return nil, false, closeWith(err, r)
	}
	return r, false, nil
}

// rangeKey names what either honours ranges or does not.
func rangeKey(o bundle.Origin) string {
	if o.Repository != "" {
		return oci.Reference{Repository: o.Repository}.Host()
	}
	return "local " + o.Local
}
