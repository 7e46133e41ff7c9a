package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"satchel/transfer"
)

// resourcesFlags are the flags of satchel resources.
type resourcesFlags struct {
	out   *output
	site  siteFlags
	trust trustFlags
}

func resourcesCommand() command {
	return command{
		name: "resources", arguments: "MEDIA... --to REGISTRY[/PREFIX] -o DIR", summary: "write what the cluster must apply",
		about: "Writes, for what the bundle in the directories holds, the mirror sets, the signatures\n" +
			"of releases, the parts of install-config.yaml, mapping.txt, registries.conf and a README.md\n" +
			"with the commands in their order. No registry is asked. One volume is enough, of a bundle\n" +
			"with releases those that hold the release images, mostly the first. Name\n" +
			"--to, --naming, --max-components and --release-repository as for unpack.\n" +
			"With --existing, what would go wrong beside what the cluster has is said and stands in\n" +
			"README.md; what the cluster would refuse ends in status 1, with the files written.",
		prepare: func(p *program, flags *pflag.FlagSet) func(context.Context, []string) error {
			f := &resourcesFlags{}
			flags.StringVar(&f.site.to, "to", "", "`REGISTRY[/PREFIX]` into which the bundle is unpacked")
			flags.StringVarP(&f.site.dir, "output", "o", "", "`DIR` for the files; it is made when missing")
			f.site.addNames(flags)
			f.site.addKinds(flags)
			f.site.config.add(flags)
			f.trust.add(flags)
			f.out = p.output(flags)
			return f.run
		},
	}
}

func (f *resourcesFlags) run(ctx context.Context, media []string) error {
	if f.site.dir == "" {
		return usagef("-o is missing: name a directory for the files")
	}
	if err := f.site.check(true); err != nil {
		return err
	}
	if strings.HasPrefix(f.site.to, "oci:") {
		return usagef("--to %s: no cluster pulls from a layout", f.site.to)
	}
	trust, err := f.trust.trust()
	if err != nil {
		return err
	}
	b, err := openMedia(media)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, d := range b.Damage {
		f.out.message("warning: %v", d)
	}
	if b.Prologue == nil {
		return fmt.Errorf("no volume can be read: %w", b.Damage[0])
	}
	releases, err := transfer.Releases(b.Prologue.Plan())
	if err != nil {
		return err
	}
	for _, r := range releases {
		if _, err := r.Verify(trust); err != nil {
			return err
		}
	}
	unchecked, err := transfer.CheckPayloads(ctx, b.Bundle)
	if err != nil {
		return err
	}
	if len(unchecked) > 0 {
		return fmt.Errorf("release image %s: %w", unchecked[0], errUnchecked)
	}
	names, err := f.site.write(f.out, b.Prologue.Plan(), circumstances{trust: f.trust})
	if err != nil {
		return err
	}
	for _, name := range names {
		f.out.printf("%s\n", name)
	}
	err = f.out.json(struct {
		Directory string             `json:"directory"`
		Files     []string           `json:"files"`
		Findings  []resourcesFinding `json:"findings"`
	}{f.site.dir, names, f.site.config.found()})
	return errors.Join(err, f.site.config.refusal())
}

// errUnchecked says that what a bundle says of a release cannot be compared with the
// release.
var errUnchecked = errors.New("it cannot be read from these media, so that nobody knows what belongs to the release")
