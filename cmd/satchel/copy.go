package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"

	"satchel/bundle"
	"satchel/oci"
	"satchel/transfer"
)

// copyFlags are the flags of satchel copy.
type copyFlags struct {
	remote    remoteFlags
	out       *output
	site      siteFlags
	receipt   string
	dryRun    bool
	keepGoing bool
	selectionFlags
}

func copyCommand() command {
	return command{
		name: "copy", arguments: "REF... --to REGISTRY[/PREFIX]", summary: "registry to registry, without a medium",
		about: "Where source and site can be reached from one machine: selects as pack does, and pushes\n" +
			"as unpack does, with the same names and the same resources, straight from registry to\n" +
			"registry. What the registry has is not sent again: an interrupted run is repeated.",
		prepare: func(p *program, flags *pflag.FlagSet) func(context.Context, []string) error {
			f := &copyFlags{}
			f.site.add(flags, "")
			flags.BoolVar(&f.keepGoing, "keep-going", false, "go on with the other images when one cannot be pushed")
			flags.BoolVar(&f.dryRun, "dry-run", false, "show source=destination for each image, and push nothing; --resources is written")
			flags.StringVar(&f.receipt, "receipt", "", "write what was done to `FILE`, as JSON, also when it was interrupted")
			f.selectionFlags.add(flags)
			f.remote.add(flags)
			f.out = p.output(flags)
			return f.run
		},
	}
}

func (f *copyFlags) check(references []string) error {
	if len(references) == 0 && !f.names() {
		return usagef("no image named")
	}
	if err := f.site.check(true); err != nil {
		return err
	}
	if err := f.selectionFlags.check(references); err != nil {
		return err
	}
	return f.remote.check(references)
}

func (f *copyFlags) run(ctx context.Context, references []string) error {
	if err := f.check(references); err != nil {
		return err
	}
	wanted := &wantedImages{}
	defer wanted.close()
	if err := f.nameImages(ctx, f.out, wanted, references); err != nil {
		return err
	}
	if f.receipt != "" {
		if err := tryResult(f.receipt); err != nil {
			return fmt.Errorf("receipt: %w", err)
		}
	}
	client, err := f.remote.client(f.out, false)
	if err != nil {
		return err
	}
	defer client.Close()
	sources := wanted.sources(client)
	prologue, err := f.plan(ctx, sources, wanted)
	if err != nil {
		return err
	}
	plan := prologue.Plan()
	if err := f.site.prepare(plan); err != nil {
		return err
	}
	u := &unpackFlags{remote: f.remote, out: f.out, site: f.site, receipt: f.receipt, keepGoing: f.keepGoing, trust: f.release.trust}
	if f.dryRun {
		return u.show(plan, nil, true)
	}
	target, done, err := u.target()
	if err != nil {
		return err
	}
	receipt, err := f.push(ctx, prologue, sources, target)
	if err == nil {
		_, err = f.site.write(f.out, plan, circumstances{receipt: receipt, copied: true, trust: f.release.trust, insecure: !f.remote.tlsVerify})
	}
	err = errors.Join(err, done(), u.writeReceipt(receipt))
	if err != nil {
		return err
	}
	return u.conclude(receipt, plan)
}

// plan makes the plan that pack would make, for one volume of any size: nothing is
// written to a medium.
func (f *copyFlags) plan(ctx context.Context, sources transfer.Sources, wanted *wantedImages) (*bundle.Prologue, error) {
	selection, err := f.choose(ctx, f.out, sources, wanted, &haves{})
	if err != nil {
		return nil, err
	}
	f.saySelection(f.out, &selection)
	nameSelection(&selection, "")
	plan, prologue, err := bundle.NewPlan(selection, oci.MaxBlobSize)
	if err != nil {
		return nil, err
	}
	return prologue, sayReleases(f.out, plan)
}

func (f *copyFlags) push(ctx context.Context, prologue *bundle.Prologue, sources transfer.Sources, target transfer.Target) (*transfer.Receipt, error) {
	plan := prologue.Plan()
	trust, err := f.release.trust.trust()
	if err != nil {
		return nil, err
	}
	var total int64
	for i := range plan.Blobs {
		total += plan.Blobs[i].Size
	}
	names := f.site.names()
	f.out.message("copying %s, %s, to %s", count(len(plan.Images), "image"), human(total), f.site.to)
	f.out.start("copying", total)
	defer f.out.stop()
	return transfer.Copy(ctx, prologue, sources, target, transfer.CopyOptions{
		UnpackOptions: transfer.UnpackOptions{
			To: names.To, Naming: names.Naming, ReleaseRepository: names.ReleaseRepository, MaxComponents: names.MaxComponents, Trust: trust,
			Jobs: f.remote.jobs, KeepGoing: f.keepGoing, Progress: unpackProgress(f.out),
		},
		SkipMissing: f.skip,
	})
}
