package transfer

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// Receipt says what a replay did.
type Receipt struct {
	// Version of the receipt's form.
	Version int `json:"version"`
	// Bundle is the bundle ID, where there is an inventory; Plan the plan ID.
	Bundle digest.Digest `json:"bundle,omitempty"`
	Name   string        `json:"name"`
	Plan   digest.Digest `json:"plan"`
	// Images are in the plan's order.
	Images []ReceiptImage `json:"images"`
	// Blobs counts what happened to blobs, once for each repository.
	Blobs BlobCounts `json:"blobs"`
	// MissingVolumes are those that were not there.
	MissingVolumes []int `json:"missingVolumes,omitempty"`
	// DamagedVolumes are the files in which damage was met.
	DamagedVolumes []string `json:"damagedVolumes,omitempty"`
}

// States of an image in a receipt.
const (
	ImagePushed  = "pushed"  // it was sent, in whole or in part
	ImagePresent = "present" // it was there before, under its tag
	ImageMissing = "missing" // it lacks blobs of volumes that are not there
	ImageDamaged = "damaged" // it lacks blobs that are damaged
)

// ReceiptImage is one image.
type ReceiptImage struct {
	Destination string        `json:"destination"`
	Digest      digest.Digest `json:"digest"`
	Reference   string        `json:"reference"`
	State       string        `json:"state"`
	// Replaced is what the tag named before, where that was something else.
	Replaced digest.Digest `json:"replaced,omitempty"`
	// Lacks are the blobs that it lacks, with the volumes that hold them.
	Lacks []Lack `json:"lacks,omitempty"`
}

// Why says in one line what the image lacks, of a bundle of so many volumes: the
// damage, or all the volumes that are missing.
func (i *ReceiptImage) Why(volumes int) string {
	if len(i.Lacks) == 0 {
		return ""
	}
	missing := &bundle.MissingVolumeError{Count: volumes}
	for _, l := range i.Lacks {
		if !l.missing {
			return l.Reason
		}
		missing.Numbers = append(missing.Numbers, l.Volumes...)
	}
	slices.Sort(missing.Numbers)
	missing.Numbers = slices.Compact(missing.Numbers)
	return missing.Error()
}

// Lack is a blob that could not be had.
type Lack struct {
	Digest digest.Digest `json:"digest"`
	Reason string        `json:"reason"`
	// Volumes are the numbers of the volumes that hold it.
	Volumes []int `json:"volumes,omitempty"`

	missing bool // that is all that is wrong
}

// BlobCounts count blobs and bytes.
type BlobCounts struct {
	Pushed      int   `json:"pushed"`
	PushedBytes int64 `json:"pushedBytes"`
	Present     int   `json:"present"`
	Mounted     int   `json:"mounted"`
	// Copied were read from one repository of the registry and pushed into
	// another, because it refused to mount them.
	Copied int `json:"copied"`
}

// Complete reports whether every image is in the registry, and whether damage
// is the reason for one that is not.
func (r *Receipt) Complete() (complete, damaged bool) {
	complete = true
	for _, image := range r.Images {
		complete = complete && image.State != ImageMissing && image.State != ImageDamaged
		damaged = damaged || image.State == ImageDamaged
	}
	return complete, damaged || len(r.DamagedVolumes) > 0
}
