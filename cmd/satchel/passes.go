package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"satchel/bundle"
	"satchel/transfer"
	"satchel/verify"
)

// passes bring a bundle into a registry: one over all media, or one for each that
// is put into a drive.
type passes struct {
	flags  *unpackFlags
	plan   *bundle.Plan
	target transfer.Target
	trust  transfer.Trust
	// medium is what is there now. Between two media it is closed.
	medium  *openBundle
	receipt *transfer.Receipt // of all passes up to now
	// seen are the volumes that have been there.
	seen map[int]bool
}

// run makes the first pass and, with --span, one for each further medium. The
// receipt is there beside an error too.
func (p *passes) run(ctx context.Context, media []string) error {
	out := p.flags.out
	var total int64
	for i := range p.plan.Blobs {
		total += p.plan.Blobs[i].Size
	}
	out.message("unpacking %s, %s, %s, to %s", p.plan.Name, count(len(p.plan.Images), "image"), human(total), p.flags.site.to)
	if missing := p.medium.Missing(); len(missing) > 0 && !p.flags.span {
		out.message("%s of %d not here: images that need more than what is here and what the registry has are left out",
			volumeList(missing), p.plan.Volumes)
	}
	if !p.flags.span {
		return p.pass(ctx, nil)
	}
	d := newDrive(out, p.flags.stdin, media[0])
	for {
		p.note()
		if err := p.pass(ctx, nil); err != nil {
			return err
		}
		ask := p.toAsk()
		if len(ask) == 0 {
			break
		}
		if err := p.change(ctx, d, ask); errors.Is(err, errNoTerminal) {
			out.message("%v: put in %s and run this again", err, anyOf(ask))
			return nil
		} else if err != nil {
			return err
		}
	}
	if len(p.receipt.Absent()) == 0 {
		return nil
	}
	if !d.canAsk() {
		out.message("%v: what is lacking is cut over %s", errNoTerminal, volumesText(p.receipt.Needed()))
		return nil
	}
	// What is lacking now is cut over media that were not there together.
	out.message("what is left is cut over several volumes: %s are read one after another", volumesText(p.receipt.Needed()))
	err := p.pass(ctx, func(ctx context.Context, number int) (*bundle.Bundle, error) {
		for p.medium.Volume(number) == nil {
			if err := p.change(ctx, d, []int{number}); err != nil {
				return nil, err
			}
		}
		return p.medium.Bundle, nil
	})
	if errors.Is(err, errNoTerminal) {
		return nil
	}
	return err
}

// pass replays what is there now.
func (p *passes) pass(ctx context.Context, volume func(context.Context, int) (*bundle.Bundle, error)) error {
	out := p.flags.out
	var total int64
	for i := range p.plan.Blobs {
		total += p.plan.Blobs[i].Size
	}
	out.start("unpacking", total)
	defer out.stop()
	names := p.flags.site.names()
	receipt, err := transfer.Unpack(ctx, p.medium.Bundle, p.target, transfer.UnpackOptions{
		To: names.To, Naming: names.Naming, ReleaseRepository: names.ReleaseRepository, MaxComponents: names.MaxComponents, Trust: p.trust,
		Jobs: p.flags.remote.jobs, Sequential: p.flags.media == "sequential",
		KeepGoing: p.flags.keepGoing, Earlier: p.receipt, Volume: volume,
		Progress: unpackProgress(out),
	})
	if receipt != nil {
		p.receipt = receipt
	}
	return err
}

// unpackProgress turns events of a replay into progress and messages.
func unpackProgress(out *output) func(transfer.Event) {
	return func(e transfer.Event) {
		switch e.Kind {
		case transfer.BytesMoved, transfer.BytesSkipped:
			out.add(e.Bytes)
		case transfer.ImageComplete:
			out.message("%s is there", e.Destination)
		case transfer.ImageReplaced:
			out.message("%s named %s before, and is replaced", e.Destination, e.Digest)
			if e.Part == bundle.PartCatalog {
				out.message("warning: operators that only that catalog had are gone from %s: pack all that the site needs together, or give each catalog a targetTag of its own", e.Destination)
			}
		}
	}
}

// note notes which volumes are there now.
func (p *passes) note() {
	for n := 1; n <= p.plan.Volumes; n++ {
		if p.medium.Volume(n) != nil {
			p.seen[n] = true
		}
	}
}

// toAsk returns the volumes that are of use alone and have not been there.
func (p *passes) toAsk() []int {
	return slices.DeleteFunc(p.receipt.AbsentWhole(), func(n int) bool { return p.seen[n] })
}

// change asks for a medium with one of the volumes until there is one.
func (p *passes) change(ctx context.Context, d *drive, volumes []int) error {
	plan := p.medium.PlanID
	message := fmt.Sprintf("put the medium with %s of %s into %s, and press Enter", anyOf(volumes), p.plan.Name, d.path)
	for {
		p.medium.Close()
		if err := d.change(ctx, message); err != nil {
			return err
		}
		b, err := p.flags.open([]string{d.path})
		switch {
		case err != nil:
			message = fmt.Sprintf("%v: put in the medium with %s, and press Enter", err, anyOf(volumes))
			continue
		case b.PlanID != plan:
			message = fmt.Sprintf("that is %s, another bundle: put in the medium with %s, and press Enter", b.Prologue.Plan().Name, anyOf(volumes))
		case !slices.ContainsFunc(volumes, func(n int) bool { return b.Volume(n) != nil }):
			message = fmt.Sprintf("that medium has none of them: put in the medium with %s, and press Enter", anyOf(volumes))
		default:
			p.medium = b
			return p.verifyFirst(ctx)
		}
		b.Close()
	}
}

// anyOf renders volume numbers of which one is enough: "volume 3 or 5".
func anyOf(numbers []int) string {
	s := ""
	for i, n := range numbers {
		switch {
		case i > 0 && i == len(numbers)-1:
			s += " or "
		case i > 0:
			s += ", "
		}
		s += fmt.Sprint(n)
	}
	return "volume " + s
}

// verifyFirst reads all that is there now and was not there before, where that was
// asked for, and stops at damage.
func (p *passes) verifyFirst(ctx context.Context) error {
	if !p.flags.verifyFirst || !slices.ContainsFunc(p.medium.Volumes, func(v *bundle.VolumeFile) bool { return !p.seen[v.Number] }) {
		return nil
	}
	out := p.flags.out
	var total int64
	for _, v := range p.medium.Volumes {
		total += v.Size
	}
	out.start("verifying", total)
	report := verify.Bundle(ctx, p.medium.Bundle, verify.Options{Progress: out.add})
	rate := out.rate()
	out.stop()
	err := report.Err()
	switch {
	case errors.Is(err, verify.ErrDamage):
		printReport(out, report, rate)
		if p.flags.keepGoing {
			return nil
		}
		out.message("hint: nothing was pushed from these media; --keep-going pushes the images that are whole")
		return errors.Join(out.json(report), &statusError{exitDamage})
	case err == nil || errors.Is(err, verify.ErrMissing):
		out.message("read at %s: what is here is whole", rate)
		return nil
	}
	return err
}
