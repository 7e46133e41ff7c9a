// Package verify judges a bundle on its media, offline and without unpacking it.
// [Bundle] reads every byte and returns a [Report], which says that all is well
// only if everything was looked at.
package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// Options say how to verify.
type Options struct {
	// Quick checks structure and sizes only; such a report never says ok.
	Quick bool
	// Progress is told how many bytes were read since the last call; nil is
	// silent.
	Progress func(bytes int64)
	// Volume is told of each volume that was looked at; nil is silent.
	Volume func(VolumeReport)
}

// Bundle checks every volume of the bundle that is there, every blob by digest
// and size, plan, inventory and volumes against each other, and the graph of
// each image down to its last layer. The report is never nil; when the context
// ends, it says that it was stopped.
func Bundle(ctx context.Context, b *bundle.Bundle, o Options) *Report {
	c := &checker{
		bundle: b, options: o, bad: make(map[digest.Digest]bool), absent: make(map[digest.Digest]bool),
		found: make(map[Finding]bool), good: make(map[digest.Digest]bool),
	}
	c.report = newReport(b, o.Quick)
	for _, d := range b.Damage {
		c.add(d)
	}
	if b.Prologue != nil {
		c.noteMissing()
	}
	// First the volumes that would be replayed, in their order, so that cut
	// blobs join; then further copies, which are compared with these.
	var first, further []*bundle.VolumeFile
	for i, v := range b.Volumes {
		if i > 0 && b.Volumes[i-1].Number == v.Number {
			further = append(further, v)
		} else {
			first = append(first, v)
		}
	}
	c.compare = len(further) > 0
	for i, v := range append(first, further...) {
		c.further = i >= len(first)
		if o.Quick {
			c.quick(v)
		} else if err := c.full(ctx, v); err != nil {
			c.report.Stopped = err
			break
		}
		if o.Volume != nil {
			o.Volume(*c.report.volume(v))
		}
	}
	if b.Prologue != nil && c.report.Stopped == nil {
		c.images()
	}
	c.report.conclude(b)
	return c.report
}

// checker is one run of Bundle.
type checker struct {
	bundle  *bundle.Bundle
	options Options
	report  *Report
	// bad are blobs that are damaged, absent those of which a part is in a
	// volume that is not there, or whose header is damaged so that it is not
	// used.
	bad, absent map[digest.Digest]bool
	// good are blobs that are whole in a further copy of a volume.
	good     map[digest.Digest]bool
	found    map[Finding]bool
	verdicts int // blobs that were read and are right
	members
}

// add notes a finding once: what was found while opening is found again.
func (c *checker) add(d *bundle.DamageError) {
	f := Finding{Volume: d.File, Medium: d.Medium, Offset: d.Offset, Problem: d.Err.Error()}
	if c.found[f] {
		return
	}
	c.found[f] = true
	c.report.Findings = append(c.report.Findings, f)
	for i := range c.report.Volumes {
		if v := &c.report.Volumes[i]; v.Name == d.File && v.Medium == d.Medium {
			v.State = StateDamaged
		}
	}
}

// noteMissing marks the blobs that lie in volumes that are not there, or that
// nothing is read from because their header is damaged.
func (c *checker) noteMissing() {
	plan := c.bundle.Prologue.Plan()
	for _, n := range c.bundle.Missing() {
		damaged := slices.ContainsFunc(c.bundle.Volumes, func(v *bundle.VolumeFile) bool { return v.Number == n })
		for _, m := range plan.Members(n) {
			if damaged {
				c.bad[m.Blob.Digest] = true
			} else {
				c.absent[m.Blob.Digest] = true
			}
		}
		if !damaged {
			c.report.MissingVolumes = append(c.report.MissingVolumes, n)
			c.report.Volumes = append(c.report.Volumes, VolumeReport{Number: n, Name: plan.VolumeName(n), State: StateMissing})
		}
	}
}

// full reads a volume to its end.
func (c *checker) full(ctx context.Context, v *bundle.VolumeFile) error {
	report := c.report.volume(v)
	c.volume, c.unjudged = report, false
	sum, err := c.bundle.Scan(ctx, v, c)
	if err != nil {
		return err
	}
	report.Digest = sum
	if c.bundle.Inventory != nil && sum != "" {
		want := c.bundle.Inventory.Volume(v.Number)
		if want == nil {
			want = &bundle.Volume{}
		}
		if sum != want.Digest || v.Size != want.Size {
			c.add(&bundle.DamageError{File: v.Name, Medium: v.Medium, Offset: -1, Err: fmt.Errorf(
				"SHA-256 %s of %d bytes, the inventory says %s of %d", sum, v.Size, want.Digest, want.Size)})
		}
	}
	if report.State == StateUnchecked && !c.unjudged {
		report.State = StateOK
	}
	return nil
}

// quick compares sizes and finds the members.
func (c *checker) quick(v *bundle.VolumeFile) {
	if c.bundle.Prologue == nil {
		return
	}
	located, err := c.bundle.Locate(v)
	if damage := (*bundle.DamageError)(nil); errors.As(err, &damage) {
		c.add(damage)
		for _, m := range c.bundle.Unlocated(v) {
			c.bad[m.Blob.Digest] = true
		}
		return
	}
	want := c.bundle.Prologue.End(located)
	if v.Size != want {
		c.add(&bundle.DamageError{File: v.Name, Medium: v.Medium, Offset: -1, Err: fmt.Errorf("%d bytes instead of %d", v.Size, want)})
		for _, m := range located {
			if m.Offset+m.Length > v.Size {
				c.bad[m.Blob.Digest] = true
			}
		}
	}
}

// Damage implements [bundle.Visitor].
func (c *checker) Damage(d *bundle.DamageError) { c.add(d) }

// Progress implements [bundle.Visitor].
func (c *checker) Progress(n int64) {
	c.report.Bytes += n
	if c.options.Progress != nil {
		c.options.Progress(n)
	}
}
