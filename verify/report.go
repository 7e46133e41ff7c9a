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
	StateMissing   = "missing" // the volume is not there; the image lacks something that is not
	// StatePartial is for volumes: all that is in it is right, but it was made
	// without some of the blobs that the plan puts there.
	StatePartial = "partial"
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
	// Blobs is how many blobs the plan puts into volumes, BlobsOK how many of
	// them were read and are right. Manifests come on top; they stand in every
	// volume.
	Blobs     int            `json:"blobs"`
	BlobsOK   int            `json:"blobsOK"`
	Manifests int            `json:"manifests"`
	Volumes   []VolumeReport `json:"volumes"`
	// MissingVolumes are the numbers of the volumes that are not there.
	MissingVolumes []int `json:"missingVolumes,omitempty"`
	// Again are the numbers of the volumes that must be made again before
	// nothing is damaged and no blob is missing. Those that are not there are not
	// among them, unless they are known to lack something.
	Again []int `json:"again,omitempty"`
	// Missing is what the bundle should hold and no volume does.
	Missing []Missing `json:"missing,omitempty"`
	// Leans are the bundles without which this one is of no use.
	Leans    []Lean        `json:"leans,omitempty"`
	Findings []Finding     `json:"findings,omitempty"`
	Images   []ImageReport `json:"images,omitempty"`
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
	// Lacks is how many of the members that the plan puts there it was made
	// without.
	Lacks int `json:"lacks,omitempty"`
	// Newer says that the volume was made again after the inventory, which
	// therefore says nothing of it: only its blobs were judged.
	Newer bool `json:"newer,omitempty"`
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

// Missing is something that a bundle was packed without.
type Missing struct {
	// Digest is that of a blob or manifest; empty when a whole image is missing
	// and not even its digest is known.
	Digest digest.Digest `json:"digest,omitempty"`
	// Image is the reference of an image that needs it.
	Image  string `json:"image,omitempty"`
	Reason string `json:"reason"`
	// Volumes are the numbers of the volumes that should hold it; none for what
	// the source did not have when the plan was made.
	Volumes []int `json:"volumes,omitempty"`
}

// Lean is another bundle that must have been replayed at the site before: this
// one leaves out what came with it.
type Lean struct {
	Name string `json:"name"`
	// Bundle is the bundle ID, empty where it is not known; Plan the plan ID.
	Bundle digest.Digest `json:"bundle,omitempty"`
	Plan   digest.Digest `json:"plan"`
	// Blobs are left out, Bytes large together, and needed by so many images.
	Blobs  int   `json:"blobs"`
	Bytes  int64 `json:"bytes"`
	Images int   `json:"images"`
}

// ImageReport is what the findings mean for one image. What it needs of other
// bundles does not count.
type ImageReport struct {
	Reference string        `json:"reference"`
	Digest    digest.Digest `json:"digest"`
	State     string        `json:"state"`
	// Volumes are the numbers of the volumes that are needed and damaged or
	// not there.
	Volumes []int `json:"volumes,omitempty"`
	// Lacks is what the image needs and the bundle was packed without.
	Lacks []Missing `json:"lacks,omitempty"`
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

// HereIsWhole reports whether all volumes that are there were read and are
// right, whatever is not there.
func (r *Report) HereIsWhole() bool {
	return r.Stopped == nil && !r.Quick && len(r.Findings) == 0 && !slices.ContainsFunc(r.Volumes, func(v VolumeReport) bool {
		return v.State != StateOK && v.State != StatePartial && v.State != StateMissing
	})
}

func newReport(b *bundle.Bundle, quick bool) *Report {
	r := &Report{Quick: quick, Plan: b.PlanID, Bundle: b.BundleID, Volumes: []VolumeReport{}}
	if b.Inventory != nil {
		r.Name = b.Inventory.Name
	}
	if b.Prologue != nil {
		plan := b.Prologue.Plan()
		r.Name, r.Manifests = plan.Name, len(plan.Manifests)
		for i := range plan.Blobs {
			if plan.Blobs[i].Held == 0 {
				r.Blobs++
			}
		}
		r.Leans = leans(b.Prologue)
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

// best returns for each volume the best state of its copies.
func (r *Report) best() map[int]string {
	order := []string{StateMissing, StateDamaged, StateUnchecked, StatePartial, StateOK}
	best := make(map[int]string)
	for _, v := range r.Volumes {
		if known, ok := best[v.Number]; !ok || slices.Index(order, v.State) > slices.Index(order, known) {
			best[v.Number] = v.State
		}
	}
	return best
}

// conclude sets OK from what was counted, not from what was not found.
func (r *Report) conclude(b *bundle.Bundle) {
	slices.SortStableFunc(r.Volumes, func(x, y VolumeReport) int { return x.Number - y.Number })
	for _, m := range r.Missing {
		r.Again = append(r.Again, m.Volumes...)
	}
	best := r.best()
	allRead := b.Prologue != nil && len(r.MissingVolumes) == 0 && len(r.Missing) == 0 && r.BlobsOK == r.Blobs
	for _, v := range r.Volumes {
		// Of two copies one may be from before the volume was made again.
		allRead = allRead && (v.State == StateOK || v.State == StatePartial && best[v.Number] == StateOK)
		if v.State == StateDamaged && best[v.Number] == StateDamaged {
			r.Again = append(r.Again, v.Number)
		}
	}
	slices.Sort(r.Again)
	r.Again = slices.Compact(r.Again)
	for _, image := range r.Images {
		allRead = allRead && image.State == StateOK
	}
	r.OK = allRead && !r.Quick && r.Stopped == nil && len(r.Findings) == 0
}
