package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"satchel/bundle"
	"satchel/transfer"
)

// packFlags are the flags of satchel pack.
type packFlags struct {
	remote     remoteFlags
	out        *output
	dirs       []string
	name       string
	have       []string
	topUp      string
	dryRun     bool
	planOut    string
	plan       string
	only       volumeNumbers
	span       bool
	keepGoing  bool
	readBack   bool
	volumeSize byteSize
	buffer     byteSize
	selectionFlags
	site siteFlags // of a dry run

	flags *pflag.FlagSet
}

func packCommand() command {
	return command{
		name: "pack", arguments: "REF...", summary: "build a bundle",
		about: "REF is an image in a registry, REPOSITORY:TAG, REPOSITORY@DIGEST or both, with or\n" +
			"without docker:// before it; or one in an OCI image layout, oci:DIR:NAME, with\n" +
			"=REPOSITORY:TAG behind it unless NAME is a full reference. All platforms are packed\n" +
			"unless --platform chooses. --release REF takes an OpenShift release with all of its\n" +
			"components and its signatures; --release-channel finds releases in an update graph.\n" +
			"--catalog REF=PKG:CHANNEL:MIN..MAX selects from an operator catalog, with all images\n" +
			"of what is selected; --config FILE takes oc-mirror's ImageSetConfiguration.\n\n" +
			"The same command again goes on where an interrupted one stopped: what is whole on the\n" +
			"media is kept, and tags are not resolved again. With --plan no REF is named, only\n" +
			"oci:DIR for the local sources that the plan needs.",
		prepare: func(p *program, flags *pflag.FlagSet) func(context.Context, []string) error {
			f := &packFlags{
				flags:      flags,
				volumeSize: byteSize{media: true, bytes: mediaSizes()[0].size, name: mediaSizes()[0].name},
				buffer:     byteSize{bytes: transfer.DefaultBuffer, name: "256MiB"},
			}
			flags.StringArrayVarP(&f.dirs, "output", "o", []string{"."}, "`DIR` for the volumes, which must exist; repeated, one is filled after the other")
			flags.Var(&f.volumeSize, "volume-size", mediaHelp())
			flags.BoolVar(&f.dryRun, "dry-run", false, "show the volumes that would be written, and move no blob")
			flags.StringVar(&f.planOut, "plan-out", "", "with --dry-run, write the plan to `FILE`")
			flags.StringVar(&f.plan, "plan", "", "pack by the plan of `SOURCE`: a plan file, a volume or a directory of a bundle; resolve nothing")
			flags.Var(&f.only, "only-volumes", "make only these volumes, as in 3,5-7")
			flags.BoolVar(&f.span, "span", false, "fill the medium in one drive, then ask for the next")
			flags.BoolVar(&f.readBack, "read-back", false, "read each volume from its medium before it counts")
			flags.BoolVar(&f.keepGoing, "keep-going", false, "leave out what cannot be transferred, record it, and end with status 4")
			flags.StringArrayVar(&f.have, "have", nil, "leave out the blobs that the site has by `FILE`, a receipt or inventory.json; may be repeated")
			flags.StringVar(&f.topUp, "top-up", "", "pack only what is lacking by `FILE`, a receipt or inventory.json; no REF is named")
			flags.StringVar(&f.name, "name", "", "`NAME` that the files begin with (default: from the first image)")
			flags.Var(&f.buffer, "buffer", "bytes that may wait between registry and volume")
			f.selectionFlags.add(flags)
			f.site.add(flags, "with --dry-run, ")
			f.remote.add(flags)
			f.out = p.output(flags)
			return f.run
		},
	}
}

// saidByPlan are the flags that mean nothing where a plan decides.
var saidByPlan = []string{"volume-size", "name", "images-file", "platform", "sparse", "foreign", "have", "top-up", "skip-missing", "no-attachments",
	"mapping", "catalog", "catalog-as-is", "config", "block", "samples", "release", "release-channel", "from-version", "to-version", "arch", "graph", "all-versions"}

func (f *packFlags) check(references []string) error {
	if f.plan != "" {
		for _, name := range saidByPlan {
			// What the source does not have may still show while blobs are fetched.
			if f.flags.Changed(name) && name != "skip-missing" {
				return usagef("--%s means nothing with --plan, which decides that", name)
			}
		}
		if i := slices.IndexFunc(references, isRemote); i >= 0 {
			return usagef("%s: with --plan only local sources are named, oci:DIR: the plan says which images", references[i])
		}
	} else if f.topUp == "" && len(references) == 0 && !f.selectionFlags.names() {
		return usagef("no image named")
	}
	switch {
	case f.topUp != "" && (f.selectionFlags.names() || slices.ContainsFunc(references, isRemote)):
		return usagef("--top-up says which images: name none but local ones, oci:DIR:NAME")
	case f.planOut != "" && !f.dryRun:
		return usagef("--plan-out means nothing without --dry-run: pack writes the plan beside the volumes")
	case f.span && len(f.dirs) != 1:
		return usagef("--span takes one drive: name one -o, or leave --span out")
	case f.buffer.bytes < 1<<20:
		return usagef("--buffer %d is less than 1 MiB", f.buffer.bytes)
	}
	if f.name != "" {
		if err := bundle.CheckName(f.name); err != nil {
			return usagef("--name: %w", err)
		}
	}
	if err := f.selectionFlags.check(references); err != nil {
		return err
	}
	if f.site.dir != "" && !f.dryRun {
		return usagef("--resources means nothing without --dry-run: unpack and copy write them, and satchel resources")
	}
	if err := f.site.check(f.site.dir != ""); err != nil {
		return err
	}
	return f.remote.check(references)
}

func isRemote(reference string) bool {
	return !strings.HasPrefix(reference, "oci:") && !strings.HasPrefix(reference, fileTransport)
}

func (f *packFlags) run(ctx context.Context, references []string) error {
	if err := f.check(references); err != nil {
		return err
	}
	wanted := &wantedImages{}
	if !f.dryRun {
		wanted.outputDir = f.dirs[0]
	}
	defer wanted.close()
	if err := f.nameSources(ctx, wanted, references); err != nil {
		return err
	}
	media := &outputMedia{out: f.out}
	defer media.close()
	if !f.dryRun {
		if err := media.open(f.dirs); err != nil {
			return err
		}
	}
	client, err := f.remote.client(f.out, false)
	if err != nil {
		return err
	}
	defer client.Close()
	planned, err := f.choosePlan(ctx, client, wanted, media)
	if err != nil {
		return err
	}
	if f.dryRun {
		if f.planOut != "" {
			if there, err := readBounded(f.planOut); err == nil && !bytes.Equal(there, planned.prologue.PlanJSON()) {
				return fmt.Errorf("--plan-out %s: another file is there already", f.planOut)
			}
			if err := writeResult(f.planOut, planned.prologue.PlanJSON()); err != nil {
				return fmt.Errorf("--plan-out: %w", err)
			}
		}
		plan := planned.prologue.Plan()
		if _, err := f.site.write(f.out, plan, circumstances{trust: f.release.trust}); err != nil {
			return err
		}
		if err := f.site.tryPullspecs(f.out, plan); err != nil {
			return err
		}
		err := errors.Join(showPlan(f.out, planned.prologue), f.site.config.refusal())
		if err == nil && len(plan.Missing) > 0 {
			return &statusError{exitMissing} // as without --dry-run
		}
		return err
	}
	return f.write(ctx, media, planned)
}

// nameSources reads what is wanted or, with a plan, where local blobs are.
func (f *packFlags) nameSources(ctx context.Context, wanted *wantedImages, references []string) error {
	if f.plan == "" {
		err := f.nameImages(ctx, f.out, wanted, references)
		if size := f.imageSet.archiveSize; size != 0 && !f.flags.Changed("volume-size") {
			f.volumeSize = byteSize{bytes: size}
			if size > mediaSizes()[0].size {
				f.out.message("archiveSize makes volumes of up to %s bytes, which FAT32 cannot hold: --volume-size fat32 makes smaller ones", decimal(size))
			}
		}
		return err
	}
	if err := wanted.openTree(f.fromDir); err != nil {
		return err
	}
	for _, s := range references {
		if err := wanted.addSource(s); err != nil {
			return err
		}
	}
	return nil
}

// errOtherSettings says that a directory holds the beginning of another bundle.
var errOtherSettings = errors.New("it was begun with other settings")
