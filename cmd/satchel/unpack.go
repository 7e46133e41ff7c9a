package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"satchel/bundle"
	"satchel/transfer"
)

// unpackFlags are the flags of satchel unpack.
type unpackFlags struct {
	remote      remoteFlags
	out         *output
	stdin       *os.File // where another medium is asked for
	site        siteFlags
	trust       trustFlags
	media       string
	receipt     string
	dryRun      bool
	keepGoing   bool
	verifyFirst bool
	span        bool
}

func unpackCommand() command {
	return command{
		name: "unpack", arguments: "MEDIA... --to REGISTRY[/PREFIX]", summary: "replay into a registry",
		about: "Pushes the images of the volumes in the directories into a registry, in one pass over\n" +
			"the media, checking while it reads. An image gets its tag only when all of it is there.\n" +
			"Blobs that the registry has are not sent again: an interrupted run is repeated and goes on.\n" +
			"Media may come one at a time, in any order: what can be completed is completed, and the\n" +
			"next run with the next medium goes on. With --span, it is asked for in the same run.",
		prepare: func(p *program, flags *pflag.FlagSet) func(context.Context, []string) error {
			f := &unpackFlags{stdin: os.Stdin}
			f.site.add(flags, "")
			flags.StringVar(&f.media, "media", "parallel", "`WAY` to read media: parallel, or sequential for discs and rotating disks")
			flags.BoolVar(&f.span, "span", false, "one drive, the one directory named: ask there for one medium after another")
			flags.BoolVar(&f.verifyFirst, "verify-first", false, "read all of the media before the first push; damage then stops it, unless --keep-going")
			flags.BoolVar(&f.keepGoing, "keep-going", false, "go on with the other images when one cannot be pushed, or needs what is not at the site")
			flags.BoolVar(&f.dryRun, "dry-run", false, "show source=destination for each image, and push nothing; does not probe the registry")
			flags.StringVar(&f.receipt, "receipt", "", "write what was done to `FILE`, as JSON, also when it was interrupted")
			f.trust.add(flags)
			f.remote.add(flags)
			f.out = p.output(flags)
			return f.run
		},
	}
}

func (f *unpackFlags) check(media []string) error {
	switch {
	case f.media != "parallel" && f.media != "sequential":
		return usagef("--media %q is neither parallel nor sequential", f.media)
	case f.span && len(media) != 1:
		return usagef("--span asks for media in one drive: name one directory, not %d", len(media))
	case f.span && f.dryRun:
		return usagef("--span means nothing with --dry-run: what is to be pushed stands on every medium")
	}
	if err := f.site.check(true); err != nil {
		return err
	}
	return f.remote.check(media)
}

func (f *unpackFlags) run(ctx context.Context, media []string) error {
	if err := f.check(media); err != nil {
		return err
	}
	b, err := f.open(media)
	if err != nil {
		return err
	}
	p := &passes{flags: f, medium: b, plan: b.Prologue.Plan(), seen: make(map[int]bool)}
	defer func() { p.medium.Close() }()
	if p.trust, err = f.trust.trust(); err != nil {
		return err
	}
	if err := f.site.prepare(p.plan); err != nil {
		return err
	}
	if f.dryRun {
		unchecked, err := transfer.CheckPayloads(ctx, b.Bundle)
		if err != nil {
			return err
		}
		sayUnchecked(f.out, unchecked)
		return f.show(p.plan, b.Missing(), false)
	}
	if f.receipt != "" {
		// Better now than when all is pushed.
		if err := tryResult(f.receipt); err != nil {
			return fmt.Errorf("receipt: %w", err)
		}
	}
	if err := p.verifyFirst(ctx); err != nil {
		return err
	}
	target, done, err := f.target()
	if err != nil {
		return err
	}
	p.target = target
	err = p.run(ctx, media)
	if err == nil {
		_, err = f.site.write(f.out, p.plan, circumstances{receipt: p.receipt, trust: f.trust, insecure: !f.remote.tlsVerify})
	}
	err = errors.Join(err, done(), f.writeReceipt(p.receipt))
	if err != nil {
		return err
	}
	return f.conclude(p.receipt, p.plan)
}

// open opens media and says what is wrong with them. The caller closes the
// bundle.
func (f *unpackFlags) open(media []string) (*openBundle, error) {
	b, err := openMedia(media)
	if err != nil {
		return nil, err
	}
	for _, d := range b.Damage {
		f.out.message("warning: %v", d)
	}
	if b.Prologue == nil {
		err := fmt.Errorf("no volume can be used: %w", b.Damage[0])
		b.Close()
		return nil, err
	}
	return b, nil
}

// show prints what would be pushed where; missing are the numbers of the volumes
// that are not there, copied says that there are no media.
func (f *unpackFlags) show(plan *bundle.Plan, missing []int, copied bool) error {
	destinations, err := transfer.Destinations(plan, f.site.names())
	if err != nil {
		return err
	}
	if _, err := f.site.write(f.out, plan, circumstances{copied: copied, trust: f.trust, insecure: !f.remote.tlsVerify}); err != nil {
		return err
	}
	if err := f.site.tryPullspecs(f.out, plan); err != nil {
		return err
	}
	type mapping struct {
		Source      string `json:"source"`
		Destination string `json:"destination"`
	}
	var mappings []mapping
	sparse := false
	for i, d := range destinations {
		for _, tag := range d.Tags {
			to := d.Repository + ":" + tag
			f.out.printf("%s=%s\n", plan.Images[i].Reference, to)
			mappings = append(mappings, mapping{plan.Images[i].Reference, to})
		}
		sparse = sparse || plan.Images[i].Sparse
	}
	if len(missing) > 0 {
		f.out.message("%s of %d not here: images that need more than what is here and what the registry has will be left out",
			volumeList(missing), plan.Volumes)
	}
	if held := bundle.HeldBundles(plan); len(held) > 0 {
		f.out.message("the bundle leans on %s, which must be at the site", strings.Join(held, " and "))
	}
	if sparse {
		f.out.message("the bundle has sparse indexes; whether the registry takes them is not probed in a dry run")
	}
	return errors.Join(f.out.json(mappings), f.site.config.refusal())
}

// writeReceipt writes what is known, if it was asked for.
func (f *unpackFlags) writeReceipt(receipt *transfer.Receipt) error {
	if f.receipt == "" || receipt == nil {
		return nil
	}
	content, err := json.MarshalIndent(receipt, "", " ")
	if err == nil {
		err = writeResult(f.receipt, append(content, '\n'))
	}
	if err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	return nil
}

// conclude prints the result and chooses the exit status.
func (f *unpackFlags) conclude(receipt *transfer.Receipt, plan *bundle.Plan) error {
	called, err := componentNames(plan)
	if err != nil {
		return err
	}
	there := 0
	for i := range receipt.Images {
		image := &receipt.Images[i]
		state := image.State
		if state == transfer.ImagePushed || state == transfer.ImagePresent {
			if there++; len(image.Lacks) == 0 {
				continue
			}
			state = "incomplete"
		}
		f.out.printf("%s: %s: %s\n", state, calledAs(called, image.Reference), why(image, plan.Volumes))
	}
	for _, m := range receipt.Missing {
		f.out.printf("missing: %s: it is not in the bundle: %s\n", calledAs(called, m.Reference), m.Reason)
	}
	c := receipt.Blobs
	f.out.printf("%d of %d images are at %s: %d blobs pushed (%s), %d were there, %d mounted, %d copied\n",
		there, len(receipt.Images)+len(receipt.Missing), f.site.to, c.Pushed, human(c.PushedBytes), c.Present, c.Mounted, c.Copied)
	if err := f.out.json(receipt); err != nil {
		return err
	}
	complete, damaged := receipt.Complete()
	sayUnchecked(f.out, receipt.Unchecked)
	f.advise(receipt)
	switch {
	case damaged:
		return &statusError{exitDamage}
	case receipt.Count(transfer.ImageFailed) > 0:
		return &statusError{exitFailed}
	case !complete:
		return &statusError{exitMissing}
	}
	return f.site.config.refusal()
}

// sayUnchecked says of which releases the names were taken on the bundle's word.
func sayUnchecked(out *output, references []string) {
	for _, reference := range references {
		out.message("warning: the release image %s is not on these media: what the bundle says of its components is checked only with the volume that has it", reference)
	}
}

// why says what an image lacks and, where a blob of it is cut over media, which
// of them it needs at one time.
func why(image *transfer.ReceiptImage, volumes int) string {
	s := image.Why(volumes)
	if together := image.Together(); len(together) > 0 {
		s += fmt.Sprintf("; a layer is cut over %s, which it needs together", volumeList(together))
	}
	return s
}

// advise says what to do about what is lacking.
func (f *unpackFlags) advise(receipt *transfer.Receipt) {
	if _, damaged := receipt.Complete(); damaged {
		f.out.message("hint: what is damaged, %s, is needed whole from another copy; satchel verify says where the damage is",
			strings.Join(receipt.DamagedVolumes, ", "))
	}
	if receipt.Count(transfer.ImageFailed) > 0 {
		f.out.message("hint: run this again when the registry takes what failed; what is there already is not sent again")
	}
	var together []int
	for i := range receipt.Images {
		together = append(together, receipt.Images[i].Together()...)
	}
	alone := slices.DeleteFunc(receipt.Absent(), func(n int) bool { return slices.Contains(together, n) })
	if len(alone) > 0 {
		f.out.message("hint: run this again with %s, which may be alone; what is there already is not sent again", volumeList(alone))
	}
	if slices.Sort(together); len(together) > 0 {
		f.out.message("hint: run this again with %s at one time, or with --span in one drive; what is there already is not sent again",
			volumeList(slices.Compact(together)))
	}
	if needed := receipt.Needed(); len(needed) > 0 {
		f.out.message("hint: what is lost or damaged is made again, alone and byte for byte, where the bundle was packed:\n"+
			"  satchel pack --plan %s --only-volumes %s -o DIR", bundle.PlanName(receipt.Name), volumeRanges(needed))
	}
	// No top-up is made where parts of releases are lacking.
	parts := slices.ContainsFunc(receipt.Missing, func(m transfer.MissingImage) bool { return m.Part != "" })
	if len(receipt.Missing) > 0 && !parts && f.receipt != "" {
		f.out.message("hint: what the bundle never had is packed alone when the source has it, by the receipt:\n"+
			"  satchel pack --top-up %s -o DIR", filepath.Base(f.receipt))
	}
}

// target opens what --to names. done closes it.
func (f *unpackFlags) target() (transfer.Target, func() error, error) {
	if dir, ok := strings.CutPrefix(f.site.to, "oci:"); ok {
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
