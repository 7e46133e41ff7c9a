package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"satchel/bundle"
	"satchel/oci"
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
		err := c.walk(image, func(d oci.Descriptor) error {
			b := prologue.Blob(d.Digest)
			if b == nil {
				if _, ok := prologue.Manifest(d.Digest); ok {
					return nil
				}
				return fmt.Errorf("blob %s is not in the plan", d.Digest)
			}
			if b.Size != d.Size {
				return fmt.Errorf("blob %s: %d bytes in the plan, %d in the manifest", d.Digest, b.Size, d.Size)
			}
			c.judge(&r, b)
			return nil
		})
		if err != nil {
			r.State = StateDamaged
			c.report.Findings = append(c.report.Findings, Finding{
				Volume: plan.VolumeName(1), Offset: -1, Problem: fmt.Sprintf("image %s: %v", image.Reference, err),
			})
		}
		slices.Sort(r.Volumes)
		r.Volumes = slices.Compact(r.Volumes)
		c.report.Images = append(c.report.Images, r)
	}
}

// judge lets the state of a blob count for an image that needs it.
func (c *checker) judge(r *ImageReport, b *bundle.Blob) {
	switch {
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

func (c *checker) walk(image bundle.Image, visit func(oci.Descriptor) error) error {
	prologue := c.bundle.Prologue
	fetch := func(_ context.Context, d oci.Descriptor) ([]byte, error) {
		content, ok := prologue.Manifest(d.Digest)
		if !ok {
			return nil, errors.New("it is not in the bundle")
		}
		return content, oci.Verify(content, d)
	}
	keep := func(d oci.Descriptor) bool {
		_, ok := prologue.Manifest(d.Digest)
		return ok || !image.Sparse
	}
	return oci.Walk(context.Background(), image.Root.Descriptor(), fetch, keep,
		func(_ oci.Descriptor, _ []byte, m *oci.Manifest) error {
			for _, d := range m.Blobs {
				if err := visit(d); err != nil {
					return err
				}
			}
			return nil
		})
}
