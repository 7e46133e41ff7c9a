package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"satchel/bundle"
	"satchel/oci"
	"satchel/transfer"
)

// unpackFlags are the flags of satchel unpack.
type unpackFlags struct {
	remote  remoteFlags
	out     *output
	to      string
	naming  string
	media   string
	receipt string
	dryRun  bool
}

func unpackCommand() command {
	return command{
		name: "unpack", arguments: "MEDIA... --to REGISTRY[/PREFIX]", summary: "replay into a registry",
		about: "Pushes the images of the volumes in the directories into a registry, in one pass over\n" +
			"the media, checking while it reads. An image gets its tag only when all of it is there.\n" +
			"Blobs that the registry has are not sent again: an interrupted run is repeated and goes on.",
		prepare: func(p *program, flags *pflag.FlagSet) func(context.Context, []string) error {
			f := &unpackFlags{}
			flags.StringVar(&f.to, "to", "", "`REGISTRY[/PREFIX]` to push to, or oci:DIR for an OCI image layout")
			flags.StringVar(&f.naming, "naming", "path", "`NAMES` at the site: path (the source's repository path) or host (with its host before it)")
			flags.StringVar(&f.media, "media", "parallel", "`WAY` to read media: parallel, or sequential for discs and rotating disks")
			flags.BoolVar(&f.dryRun, "dry-run", false, "show source=destination for each image, and push nothing; does not probe the registry")
			flags.StringVar(&f.receipt, "receipt", "", "write what was done to `FILE`, as JSON")
			f.remote.add(flags)
			f.out = p.output(flags)
			return f.run
		},
	}
}

func (f *unpackFlags) check(media []string) error {
	switch {
	case f.to == "":
		return usagef("--to is missing: name the registry")
	case f.naming != string(transfer.NamingPath) && f.naming != string(transfer.NamingHost):
		return usagef("--naming %q is neither path nor host", f.naming)
	case f.media != "parallel" && f.media != "sequential":
		return usagef("--media %q is neither parallel nor sequential", f.media)
	}
	if strings.Contains(f.to, "@") {
		return usagef("--to has an @: credentials do not belong there, name them with --authfile")
	}
	f.to = strings.TrimSuffix(strings.TrimPrefix(f.to, "docker://"), "/")
	if f.to == "oci:" {
		return usagef("--to oci: names no directory")
	}
	if !strings.HasPrefix(f.to, "oci:") {
		host, _, _ := strings.Cut(f.to, "/")
		if oci.CheckRepository(f.to+"/x") != nil || !strings.ContainsAny(host, ".:[") && host != "localhost" {
			return usagef("--to %s is not HOST[:PORT] or HOST[:PORT]/PREFIX, the prefix in lower case, without http:// before it", f.to)
		}
	}
	return f.remote.check(media)
}

func (f *unpackFlags) run(ctx context.Context, media []string) error {
	if err := f.check(media); err != nil {
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
		return fmt.Errorf("no volume can be used: %w", b.Damage[0])
	}
	to := f.to
	if strings.HasPrefix(to, "oci:") {
		to = ""
	}
	if f.dryRun {
		return f.show(b.Bundle, to)
	}
	if f.receipt != "" {
		// Better now than when all is pushed.
		if err := os.WriteFile(f.receipt+".part", nil, 0o644); err != nil {
			return fmt.Errorf("receipt: %w", err)
		}
		defer os.Remove(f.receipt + ".part") // which is gone when all went well
	}
	target, done, err := f.target()
	if err != nil {
		return err
	}
	receipt, err := f.unpack(ctx, b.Bundle, target, to)
	if err := errors.Join(err, done()); err != nil {
		return err
	}
	return f.conclude(receipt, b.Bundle)
}

// show prints what would be pushed where.
func (f *unpackFlags) show(b *bundle.Bundle, to string) error {
	plan := b.Prologue.Plan()
	destinations, err := transfer.Destinations(plan, to, transfer.Naming(f.naming))
	if err != nil {
		return err
	}
	type mapping struct {
		Source      string `json:"source"`
		Destination string `json:"destination"`
	}
	var mappings []mapping
	sparse := false
	for i, d := range destinations {
		f.out.printf("%s=%s\n", plan.Images[i].Reference, d)
		mappings = append(mappings, mapping{plan.Images[i].Reference, d.String()})
		sparse = sparse || plan.Images[i].Sparse
	}
	if missing := b.Missing(); len(missing) > 0 {
		f.out.message("%s of %d not here: images that need more than what is here and what the registry has will be left out",
			volumeList(missing), plan.Volumes)
	}
	if sparse {
		f.out.message("the bundle has sparse indexes; whether the registry takes them is not probed in a dry run")
	}
	return f.out.json(mappings)
}

func (f *unpackFlags) unpack(ctx context.Context, b *bundle.Bundle, target transfer.Target, to string) (*transfer.Receipt, error) {
	plan := b.Prologue.Plan()
	var total int64
	for i := range plan.Blobs {
		total += plan.Blobs[i].Size
	}
	f.out.message("unpacking %s, %s, %s, to %s", plan.Name, count(len(plan.Images), "image"), human(total), f.to)
	if missing := b.Missing(); len(missing) > 0 {
		f.out.message("%s of %d not here: images that need more than what is here and what the registry has are left out",
			volumeList(missing), plan.Volumes)
	}
	f.out.start("unpacking", total)
	defer f.out.stop()
	return transfer.Unpack(ctx, b, target, transfer.UnpackOptions{
		To: to, Naming: transfer.Naming(f.naming), Jobs: f.remote.jobs, Sequential: f.media == "sequential",
		Progress: func(e transfer.Event) {
			switch e.Kind {
			case transfer.BytesMoved, transfer.BytesSkipped:
				f.out.add(e.Bytes)
			case transfer.ImageComplete:
				f.out.message("%s is there", e.Destination)
			case transfer.ImageReplaced:
				f.out.message("%s named %s before, and is replaced", e.Destination, e.Digest)
			}
		},
	})
}

// conclude prints the result, writes the receipt and chooses the exit status.
func (f *unpackFlags) conclude(receipt *transfer.Receipt, b *bundle.Bundle) error {
	if f.receipt != "" {
		content, err := json.MarshalIndent(receipt, "", "  ")
		if err != nil {
			return err
		}
		err = os.WriteFile(f.receipt+".part", append(content, '\n'), 0o644)
		if err == nil {
			err = os.Rename(f.receipt+".part", f.receipt)
		}
		if err != nil {
			return fmt.Errorf("receipt: %w", err)
		}
	}
	there := 0
	for _, image := range receipt.Images {
		if image.State == transfer.ImagePushed || image.State == transfer.ImagePresent {
			there++
			continue
		}
		f.out.printf("%s: %s: %s\n", image.State, image.Reference, image.Why(b.Prologue.Plan().Volumes))
	}
	c := receipt.Blobs
	f.out.printf("%d of %d images are at %s: %d blobs pushed (%s), %d were there, %d mounted, %d copied\n",
		there, len(receipt.Images), f.to, c.Pushed, human(c.PushedBytes), c.Present, c.Mounted, c.Copied)
	if err := f.out.json(receipt); err != nil {
		return err
	}
	complete, damaged := receipt.Complete()
	switch {
	case damaged:
		f.out.message("hint: the images that are left out need another copy of %s; satchel verify says what is damaged",
			strings.Join(receipt.DamagedVolumes, ", "))
		return &statusError{exitDamage}
	case !complete:
		f.out.message("hint: run this again with %s, which may be alone; what is there already is not sent again", volumeList(b.Missing()))
		return &statusError{exitMissing}
	}
	return nil
}

// target opens what --to names. done closes it.
func (f *unpackFlags) target() (transfer.Target, func() error, error) {
	if dir, ok := strings.CutPrefix(f.to, "oci:"); ok {
		t, err := newLayoutTarget(dir)
		if err != nil {
			return nil, nil, err
		}
		return t, t.Close, nil
	}
	client, err := f.remote.client(f.out, true)
	if err != nil {
		return nil, nil, err
	}
	return client, client.Close, nil
}
