package transfer

import (
	"encoding/base64"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// Receipt says what a replay did. It is carried back to where bundles are packed,
// where it says what the site has and what it lacks.
type Receipt struct {
	// Version of the receipt's form.
	Version int `json:"version"`
	// Bundle is the bundle ID, where there is an inventory; Plan the plan ID.
	Bundle digest.Digest `json:"bundle,omitempty"`
	Name   string        `json:"name"`
	Plan   digest.Digest `json:"plan"`
	// Request is the plan's: what the packer asked for.
	Request bundle.Request `json:"request"`
	// To is the REGISTRY[/PREFIX] below which all destinations are.
	To string `json:"to,omitempty"`
	// Unsigned are the references of the releases that have no valid signature.
	Unsigned []string `json:"unsigned,omitempty"`
	// Unchecked are those whose release image the media did not give, so that
	// nobody knows yet whether the names of their components are right.
	Unchecked []string `json:"unchecked,omitempty"`
	// Volumes is how many the plan has.
	Volumes int `json:"volumes"`
	// Images are in the plan's order.
	Images []ReceiptImage `json:"images"`
	// Missing are the images that the bundle never had, in the plan's order.
	Missing []MissingImage `json:"missing,omitempty"`
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
	ImageMissing = "missing" // it lacks blobs of volumes that are not there, or that the bundle does not have
	ImageDamaged = "damaged" // it lacks blobs that are damaged
	ImageFailed  = "failed"  // the registry did not take it
	ImageWaiting = "waiting" // the run ended before it was its turn
)

// ReceiptImage is one image.
type ReceiptImage struct {
	Destination string        `json:"destination"`
	Digest      digest.Digest `json:"digest"`
	Reference   string        `json:"reference"`
	State       string        `json:"state"`
	// Tags are those that it has beside the one in Destination.
	Tags []string `json:"tags,omitempty"`
	// Replaced is what the tag named before, where that was something else.
	Replaced digest.Digest `json:"replaced,omitempty"`
	// Lacks are the blobs that it lacks and, of an index, the children that the
	// source did not have.
	Lacks []Lack `json:"lacks,omitempty"`
	// Blobs says which blobs an image has that is there: the first 8 bytes of
	// the digest of each that no earlier image of the receipt has, in unpadded
	// base64url.
	Blobs string `json:"blobs,omitempty"`
}

// Lack is a blob or manifest that could not be had, or not be pushed.
type Lack struct {
	Digest digest.Digest `json:"digest"`
	Reason string        `json:"reason"`
	// Volumes are the numbers of the volumes that hold it.
	Volumes []int `json:"volumes,omitempty"`

	cause lackCause
	// again are the numbers of the volumes that would have to be there, or be
	// made again.
	again []int
}

// lackCause is why something is lacking.
type lackCause int

const (
	lackVolume   lackCause = iota // a volume is not there
	lackAtSource                  // the bundle does not have it
	lackDamaged                   // it is damaged
	lackRefused                   // it, or the image, could not be pushed
)

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

func (c BlobCounts) plus(o BlobCounts) BlobCounts {
	return BlobCounts{c.Pushed + o.Pushed, c.PushedBytes + o.PushedBytes, c.Present + o.Present, c.Mounted + o.Mounted, c.Copied + o.Copied}
}

// there reports whether the image is in the registry, be it with holes that the
// source had.
func (i *ReceiptImage) there() bool { return i.State == ImagePushed || i.State == ImagePresent }

// Complete reports whether every image that was asked for is in the registry and
// lacks nothing, and whether damage was met.
func (r *Receipt) Complete() (complete, damaged bool) {
	complete = len(r.Missing) == 0
	for i := range r.Images {
		image := &r.Images[i]
		complete = complete && image.there() && len(image.Lacks) == 0
		damaged = damaged || image.State == ImageDamaged
	}
	return complete, damaged || len(r.DamagedVolumes) > 0
}

// Count returns how many images are in a state.
func (r *Receipt) Count(state string) int {
	n := 0
	for _, image := range r.Images {
		if image.State == state {
			n++
		}
	}
	return n
}

// Absent returns the numbers of the volumes without which images are missing,
// ascending.
func (r *Receipt) Absent() []int {
	return r.volumes(func(l *Lack) bool { return l.cause == lackVolume })
}

// AbsentWhole returns those of [Receipt.Absent] that hold a lacking blob whole, so
// that each is of use alone.
func (r *Receipt) AbsentWhole() []int {
	return r.volumes(func(l *Lack) bool { return l.cause == lackVolume && len(l.Volumes) < 2 })
}

// Needed returns the numbers of the volumes without which images are missing or
// damaged, ascending: they would have to be there, or to be made again.
func (r *Receipt) Needed() []int { return r.volumes(func(*Lack) bool { return true }) }

func (r *Receipt) volumes(which func(*Lack) bool) []int {
	all := make(map[int]bool)
	for i := range r.Images {
		for k := range r.Images[i].Lacks {
			if l := &r.Images[i].Lacks[k]; which(l) {
				for _, n := range l.again {
					all[n] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// Why says in one line what the image lacks, of a bundle of so many volumes: what
// is wrong with it or, when media are all that is lacking, which volumes.
func (i *ReceiptImage) Why(volumes int) string {
	if len(i.Lacks) == 0 {
		return ""
	}
	missing := &bundle.MissingVolumeError{Count: volumes}
	for _, l := range i.Lacks {
		if l.cause != lackVolume || len(l.again) == 0 {
			return l.Reason
		}
		missing.Numbers = append(missing.Numbers, l.again...)
	}
	slices.Sort(missing.Numbers)
	missing.Numbers = slices.Compact(missing.Numbers)
	return missing.Error()
}

// Together returns the numbers of volumes that have to be there at one time for
// the image, each of which holds a part of one of its blobs; nil when any one of
// its volumes can be used alone.
func (i *ReceiptImage) Together() []int {
	var all []int
	for _, l := range i.Lacks {
		if l.cause == lackVolume && len(l.Volumes) > 1 {
			all = append(all, l.Volumes...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// receipt says what is known. Nothing may be going on any more.
func (u *unpacker) receipt() *Receipt {
	plan := u.prologue.Plan()
	receipt := &Receipt{
		Version: 1, Name: plan.Name, Plan: u.prologue.PlanID(), Request: plan.Request, Volumes: plan.Volumes,
		To: u.options.To, Unsigned: u.unsigned, Unchecked: u.unchecked,
		Images: make([]ReceiptImage, 0, len(u.images)), Missing: missingImages(plan, u.options.names()), Blobs: u.counts,
	}
	if u.bundle != nil {
		receipt.Bundle = u.bundle.BundleID
		for _, d := range u.bundle.Damage {
			if bundle.IsVolumeName(d.File) {
				u.damaged[d.File] = true
			}
		}
	}
	if earlier := u.options.Earlier; earlier != nil {
		receipt.Blobs = earlier.Blobs.plus(u.counts)
		receipt.Unchecked = slices.DeleteFunc(slices.Clone(u.unchecked), func(reference string) bool {
			return !slices.Contains(earlier.Unchecked, reference)
		})
		maps.DeleteFunc(u.absent, func(n int, _ bool) bool { return !slices.Contains(earlier.MissingVolumes, n) })
		for _, file := range earlier.DamagedVolumes {
			u.damaged[file] = true
		}
		if receipt.Bundle == "" {
			receipt.Bundle = earlier.Bundle
		}
	}
	receipt.MissingVolumes = slices.Sorted(maps.Keys(u.absent))
	receipt.DamagedVolumes = slices.Sorted(maps.Keys(u.damaged))
	listed := make(map[blobPrefix]bool)
	for _, r := range u.images {
		image := r.receipt()
		if image.there() {
			image.Blobs = r.unlisted(listed)
		}
		receipt.Images = append(receipt.Images, image)
	}
	return receipt
}

// receipt says what became of the image.
func (r *replay) receipt() ReceiptImage {
	if r.earlier != nil {
		return *r.earlier
	}
	image := ReceiptImage{
		Destination: r.to.String(), Digest: r.image.Root.Digest, Reference: r.image.Reference,
		Replaced: r.replaced, Lacks: slices.Concat(r.lacks, r.holes),
	}
	if len(r.to.Tags) > 1 {
		image.Tags = r.to.Tags[1:]
	}
	switch {
	case r.lacking(lackRefused) && !r.lacking(lackDamaged):
		image.State = ImageFailed
	case r.waiting > 0 || !r.done && len(r.lacks) == 0:
		// What is known of what it lacks may not be all.
		image.State, image.Lacks = ImageWaiting, nil
	case r.lacking(lackDamaged):
		image.State = ImageDamaged
	case len(r.lacks) > 0:
		image.State = ImageMissing
	case r.present:
		image.State = ImagePresent
	default:
		image.State = ImagePushed
	}
	return image
}

// lacking reports whether the image lacks something for that cause.
func (r *replay) lacking(cause lackCause) bool {
	return slices.ContainsFunc(r.lacks, func(l Lack) bool { return l.cause == cause })
}

// unlisted lists the image's blobs that are not listed yet.
func (r *replay) unlisted(listed map[blobPrefix]bool) string {
	var fresh []byte
	for _, b := range r.graph.Blobs {
		if p := prefixOf(b.Digest); !listed[p] {
			listed[p] = true
			fresh = append(fresh, p[:]...)
		}
	}
	return base64.RawURLEncoding.EncodeToString(fresh)
}
