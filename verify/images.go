package verify

import (
	"slices"

	"satchel/bundle"
)

// images follows each image from its root to its last layer and says what the
// findings mean for it.
func (c *checker) images() {
	prologue := c.bundle.Prologue
	plan := prologue.Plan()
	c.report.BlobsOK = c.verdicts
	for _, image := range plan.Images {
		r := ImageReport{Reference: image.Reference, Digest: image.Root.Digest, State: StateOK}
		if c.options.Quick {
			r.State = StateUnchecked
		}
		graph, err := prologue.Graph(image)
		if err != nil {
			r.State = StateDamaged
			c.report.Findings = append(c.report.Findings, Finding{Volume: plan.VolumeName(1), Offset: -1, Problem: err.Error()})
		} else {
			for _, b := range graph.Blobs {
				c.judge(&r, b)
			}
		}
		slices.Sort(r.Volumes)
		r.Volumes = slices.Compact(r.Volumes)
		c.report.Images = append(c.report.Images, r)
	}
}

// judge lets the state of a blob count for an image that needs it.
func (c *checker) judge(r *ImageReport, b *bundle.Blob) {
	switch {
	case c.bad[b.Digest] && c.good[b.Digest]:
		return // unpack reads the copy that is whole
	case c.bad[b.Digest]:
		r.State = StateDamaged
	case c.absent[b.Digest]:
		if r.State != StateDamaged {
			r.State = StateMissing
		}
	default:
		return
	}
	for _, n := range b.VolumesOf() {
		if state := c.volumeState(n); state == StateDamaged || state == StateMissing {
			r.Volumes = append(r.Volumes, n)
		}
	}
}

// volumeState is the best state of the copies of a volume.
func (c *checker) volumeState(n int) string {
	state := StateMissing
	for _, v := range c.report.Volumes {
		if v.Number == n && (state != StateOK) {
			state = v.State
		}
	}
	return state
}
