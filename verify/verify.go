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
	// Volume is told of each volume that was looked at; nil is silent. What is
	// known then may change when further copies and volumes are read.
	Volume func(VolumeReport)
}

// Bundle checks every volume of the bundle that is there, every blob by digest
// and size, plan, inventory and volumes against each other, and the graph of
// each image down to its last layer. Of a blob that is cut, damaged, and there
// in several copies, it reads the other copies again at the end. The report is
// never nil; when the context ends, it says that it was stopped.
func Bundle(ctx context.Context, b *bundle.Bundle, o Options) *Report {
	c := &checker{bundle: b, options: o, report: newReport(b, o.Quick), found: make(map[Finding]bool), fates: make(map[bundle.Member]fate)}
	c.right, c.wrong = make(map[*bundle.Blob]bool), make(map[*bundle.Blob]error)
	c.copies, c.parts = make(map[bundle.Member][]extentCopy), make(map[*bundle.Blob][]digest.Digest)
	for _, d := range b.Damage {
		c.add(d)
	}
	if b.Prologue != nil {
		c.noteMissing()
	}
	if c.report.Stopped = c.read(ctx); c.report.Stopped == nil && b.Prologue != nil {
		c.report.Stopped = c.settle(ctx)
	}
	if c.report.Stopped == nil && b.Prologue != nil {
		c.judgement().images()
	}
	c.report.conclude(b)
	return c.report
}

// read reads first the volumes that would be replayed, in their order, so that
// cut blobs join; then further copies.
func (c *checker) read(ctx context.Context) error {
	var first, further []*bundle.VolumeFile
	for i, v := range c.bundle.Volumes {
		if i > 0 && c.bundle.Volumes[i-1].Number == v.Number {
			further = append(further, v)
		} else {
			first = append(first, v)
		}
	}
	for i, v := range append(first, further...) {
		c.volume, c.further = v, i >= len(first)
		if c.options.Quick {
			c.quick(v)
		} else if err := c.full(ctx, v); err != nil {
			return err
		}
		if c.options.Volume != nil {
			c.options.Volume(*c.report.volume(v))
		}
	}
	return nil
}

// checker is one run of Bundle.
type checker struct {
	bundle  *bundle.Bundle
	options Options
	report  *Report
	found   map[Finding]bool
	// fates says what became of the members of all volumes.
	fates map[bundle.Member]fate
	members
}

// fate is the best that was met of a member in the copies of its volume.
type fate int

const (
	notHere fate = iota // its volume is not there
	lacking             // its volume was made without it
	damaged
	whole // as far as its frames tell
)

func (c *checker) meet(m bundle.Member, f fate) {
	// Nothing is replayed from a volume whose header is damaged.
	if !c.volume.Whole {
		f = damaged
	}
	c.fates[m] = max(c.fates[m], f)
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

// noteMissing notes the volumes of which no file is there.
func (c *checker) noteMissing() {
	plan := c.bundle.Prologue.Plan()
	for _, n := range c.bundle.Missing() {
		if !slices.ContainsFunc(c.bundle.Volumes, func(v *bundle.VolumeFile) bool { return v.Number == n }) {
			c.report.MissingVolumes = append(c.report.MissingVolumes, n)
			c.report.Volumes = append(c.report.Volumes, VolumeReport{Number: n, Name: plan.VolumeName(n), State: StateMissing})
		}
	}
}

// full reads a volume to its end.
func (c *checker) full(ctx context.Context, v *bundle.VolumeFile) error {
	report := c.report.volume(v)
	sum, err := c.bundle.Scan(ctx, v, c)
	if err != nil {
		return err
	}
	report.Digest = sum
	want := c.stated(v)
	report.Newer = want == nil && c.bundle.Inventory != nil
	if want != nil && sum != "" && (sum != want.Digest || v.Size != want.Size) {
		c.add(&bundle.DamageError{File: v.Name, Medium: v.Medium, Offset: -1, Err: fmt.Errorf(
			"SHA-256 %s of %d bytes, the inventory says %s of %d", sum, v.Size, want.Digest, want.Size)})
	}
	if c.bundle.Prologue != nil {
		if _, err := c.bundle.Locate(v); err == nil {
			c.noteLacking(v)
		}
	}
	switch {
	case report.State != StateUnchecked:
	case report.Lacks > 0:
		report.State = StatePartial
	default:
		report.State = StateOK
	}
	return nil
}

// stated is what the inventory says of a volume file; nil where it says nothing
// or is older than the file.
func (c *checker) stated(v *bundle.VolumeFile) *bundle.Volume {
	switch {
	case c.bundle.Inventory == nil:
		return nil
	case c.bundle.Prologue != nil:
		return c.bundle.Stated(v)
	}
	// Then the inventory may be anything, and a volume of which it says nothing
	// does not agree with it.
	if stated := c.bundle.Inventory.Volume(v.Number); stated != nil {
		return stated
	}
	return &bundle.Volume{}
}

// noteLacking notes the members that a volume was made without.
func (c *checker) noteLacking(v *bundle.VolumeFile) {
	lacks := c.bundle.Unlocated(v)
	for _, m := range lacks {
		c.meet(m, lacking)
	}
	c.report.volume(v).Lacks = len(lacks)
}

// quick compares sizes and finds the members.
func (c *checker) quick(v *bundle.VolumeFile) {
	if c.bundle.Prologue == nil {
		return
	}
	located, err := c.bundle.Locate(v)
	for _, l := range located {
		f := whole
		if l.Offset+l.Length > v.Size {
			f = damaged
		}
		c.meet(l.Member, f)
	}
	if damage := (*bundle.DamageError)(nil); errors.As(err, &damage) {
		c.add(damage)
		for _, m := range c.bundle.Unlocated(v) {
			c.meet(m, damaged)
		}
		return
	}
	c.noteLacking(v)
	if want := c.bundle.Prologue.End(located); v.Size != want {
		c.add(&bundle.DamageError{File: v.Name, Medium: v.Medium, Offset: -1, Err: fmt.Errorf("%d bytes instead of %d", v.Size, want)})
	}
	c.report.volume(v).Newer = c.bundle.Inventory != nil && c.stated(v) == nil
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
