package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
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
	imagesFile []string
	platforms  []string
	sparse     bool
	foreign    bool
	have       []string
	topUp      string
	dryRun     bool
	planOut    string
	plan       string
	only       volumeNumbers
	span       bool
	keepGoing  bool
	skip       bool
	readBack   bool
	volumeSize byteSize
	buffer     byteSize

	flags *pflag.FlagSet
}

func packCommand() command {
	return command{
		name: "pack", arguments: "REF...", summary: "build a bundle",
		about: "REF is an image in a registry, REPOSITORY:TAG, REPOSITORY@DIGEST or both, with or\n" +
			"without docker:// before it; or one in an OCI image layout, oci:DIR:NAME, with\n" +
			"=REPOSITORY:TAG behind it unless NAME is a full reference. All platforms are packed\n" +
			"unless --platform chooses.\n\n" +
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
			flags.BoolVar(&f.skip, "skip-missing", false, "leave out what the source does not have, record it, and end with status 4")
			flags.StringArrayVar(&f.have, "have", nil, "leave out the blobs that the site has by `FILE`, a receipt or inventory.json; may be repeated")
			flags.StringVar(&f.topUp, "top-up", "", "pack only what is lacking by `FILE`, a receipt or inventory.json; no REF is named")
			flags.StringVar(&f.name, "name", "", "`NAME` that the files begin with (default: from the first image)")
			flags.StringArrayVar(&f.imagesFile, "images-file", nil, "`FILE` with one REF a line; # begins a comment")
			flags.StringSliceVar(&f.platforms, "platform", nil, "keep only `OS/ARCH[/VARIANT]` of each image; may be repeated")
			flags.BoolVar(&f.sparse, "sparse", false, "with --platform, keep the index although children are left out")
			flags.BoolVar(&f.foreign, "foreign", false, "fetch foreign layers from their URLs instead of refusing them")
			flags.Var(&f.buffer, "buffer", "bytes that may wait between registry and volume")
			f.remote.add(flags)
			f.out = p.output(flags)
			return f.run
		},
	}
}

var platformPattern = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?$`)

// saidByPlan are the flags that mean nothing where a plan decides.
var saidByPlan = []string{"volume-size", "name", "images-file", "platform", "sparse", "foreign", "have", "top-up", "skip-missing"}

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
	} else if f.topUp == "" && len(references) == 0 && len(f.imagesFile) == 0 {
		return usagef("no image named")
	}
	for _, p := range f.platforms {
		if !platformPattern.MatchString(p) {
			return usagef("--platform %q is not OS/ARCH[/VARIANT]", p)
		}
	}
	switch {
	case f.topUp != "" && (len(f.imagesFile) > 0 || slices.ContainsFunc(references, isRemote)):
		return usagef("--top-up says which images: name none but local ones, oci:DIR:NAME")
	case f.sparse && len(f.platforms) == 0:
		return usagef("--sparse means nothing without --platform")
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
	return f.remote.check(references)
}

func isRemote(reference string) bool { return !strings.HasPrefix(reference, "oci:") }

func (f *packFlags) run(ctx context.Context, references []string) error {
	if err := f.check(references); err != nil {
		return err
	}
	wanted := &wantedImages{}
	defer wanted.close()
	if err := f.nameImages(wanted, references); err != nil {
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
		return showPlan(f.out, planned.prologue)
	}
	return f.write(ctx, media, planned)
}

// nameImages reads the REFs of the command line and of files.
func (f *packFlags) nameImages(wanted *wantedImages, references []string) error {
	for _, s := range references {
		if f.plan != "" {
			if err := wanted.addSource(s); err != nil {
				return err
			}
			continue
		}
		if err := wanted.add(s); err != nil {
			return err
		}
	}
	for _, name := range f.imagesFile {
		if err := wanted.addFile(name); err != nil {
			return err
		}
	}
	if len(wanted.images) == 0 && len(f.imagesFile) > 0 {
		return usagef("no image named: %s names none", f.imagesFile[0])
	}
	return nil
}

// errOtherSettings says that a directory holds the beginning of another bundle.
var errOtherSettings = errors.New("it was begun with other settings")
