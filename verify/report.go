package verify

import (
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// States of volumes and images.
const (
	StateOK        = "ok"        // every byte was read and is right
	StateUnchecked = "unchecked" // not looked at, or not to the end
	StateDamaged   = "damaged"
	StateMissing   = "missing" // the volume is not there; the image needs one that is not
)

// Report is what verification found. OK is true only if everything was looked at
// and nothing was found.
type Report struct {
	OK bool `json:"ok"`
	// Quick says that only structure and sizes were checked.
	Quick bool `json:"quick"`
	// Name, Bundle (the bundle ID) and Plan (the plan ID) are empty where
	// unknown.
	Name   string        `json:"name"`
	Bundle digest.Digest `json:"bundle,omitempty"`
	Plan   digest.Digest `json:"plan,omitempty"`
	// Bytes is how much was read.
	Bytes int64 `json:"bytes"`
	// Blobs is how many blobs the plan has, BlobsOK how many of them were read
	// and are right. Manifests come on top; they stand in every volume.
	Blobs          int            `json:"blobs"`
	BlobsOK        int            `json:"blobsOK"`
	Manifests      int            `json:"manifests"`
	Volumes        []VolumeReport `json:"volumes"`
	MissingVolumes []int          `json:"missingVolumes,omitempty"`
	// Missing is what the inventory says that the bundle lacks.
	Missing  []bundle.Missing `json:"missing,omitempty"`
	Findings []Finding        `json:"findings,omitempty"`
	Images   []ImageReport    `json:"images,omitempty"`
	// Stopped says why verification did not come to its end.
	Stopped error `json:"-"`
}

// VolumeReport is what is known of one volume.
type VolumeReport struct {
	Number int    `json:"number"`
	Name   string `json:"name"`
	Medium string `json:"medium,omitempty"`
	Size   int64  `json:"size,omitempty"` // bytes
	State  string `json:"state"`
	// Digest is the SHA-256 of the file, where it was read to its end.
	Digest digest.Digest `json:"digest,omitempty"`
}

// Finding is something that is wrong.
type Finding struct {
	// Volume is the name of a file, Medium where it lies.
	Volume string `json:"volume"`
	Medium string `json:"medium,omitempty"`
	// Offset is where in the file, in bytes; -1 when it is about the whole.
	Offset  int64  `json:"offset"`
	Problem string `json:"problem"`
}

// ImageReport is what the findings mean for one image.
type ImageReport struct {
	Reference string        `json:"reference"`
	Digest    digest.Digest `json:"digest"`
	State     string        `json:"state"`
	// Volumes are the numbers of the volumes that are needed and damaged or
	// missing.
	Volumes []int `json:"volumes,omitempty"`
}

// Errors of [Report.Err].
var (
	ErrDamage     = errors.New("damage found")
	ErrMissing    = errors.New("something is missing")
	ErrIncomplete = errors.New("verification did not come to its end")
	ErrQuick      = errors.New("only structure and sizes were checked")
)

// Err is nil only when the report is OK. Damage wins over what is missing.
func (r *Report) Err() error {
	switch {
	case r.Stopped != nil:
		return fmt.Errorf("%w: %w", ErrIncomplete, r.Stopped)
	case len(r.Findings) > 0:
		return ErrDamage
	case len(r.MissingVolumes) > 0 || len(r.Missing) > 0:
		return ErrMissing
	case r.Quick:
		return ErrQuick
	case !r.OK:
		return ErrIncomplete
	}
	return nil
}

func newReport(b *bundle.Bundle, quick bool) *Report {
	r := &Report{Quick: quick, Plan: b.PlanID, Bundle: b.BundleID, Volumes: []VolumeReport{}}
	if b.Prologue != nil {
		plan := b.Prologue.Plan()
		r.Name, r.Blobs, r.Manifests = plan.Name, len(plan.Blobs), len(plan.Manifests)
	}
	if b.Inventory != nil {
		r.Missing = b.Inventory.Missing
	}
	for _, v := range b.Volumes {
		r.Volumes = append(r.Volumes, VolumeReport{Number: v.Number, Name: v.Name, Medium: v.Medium, Size: v.Size, State: StateUnchecked})
	}
	return r
}

func (r *Report) volume(v *bundle.VolumeFile) *VolumeReport {
	i := slices.IndexFunc(r.Volumes, func(o VolumeReport) bool { return o.Name == v.Name && o.Medium == v.Medium })
	return &r.Volumes[i]
}

// conclude sets OK from what was counted, not from what was not found.
func (r *Report) conclude(b *bundle.Bundle) {
	slices.SortStableFunc(r.Volumes, func(x, y VolumeReport) int { return x.Number - y.Number })
	allRead := b.Prologue != nil && len(r.MissingVolumes) == 0 && len(r.Missing) == 0 && r.BlobsOK == r.Blobs
	for _, v := range r.Volumes {
		allRead = allRead && v.State == StateOK
	}
	for _, image := range r.Images {
		allRead = allRead && image.State == StateOK
	}
	r.OK = allRead && !r.Quick && r.Stopped == nil && len(r.Findings) == 0
}
