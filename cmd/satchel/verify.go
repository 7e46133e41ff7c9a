package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"satchel/bundle"
	"satchel/verify"
)

func verifyCommand() command {
	return command{
		name: "verify", arguments: "MEDIA...", summary: "check media",
		about: "Reads every byte of the volumes in the directories, in any order, and says what is\n" +
			"damaged, what is missing, and which images that hits. It needs no network and writes\n" +
			"nothing.",
		prepare: func(p *program, flags *pflag.FlagSet) func(context.Context, []string) error {
			out := p.output(flags)
			var o verify.Options
			flags.BoolVar(&o.Quick, "quick", false, "check only structure and sizes; that never says ok")
			return func(ctx context.Context, media []string) error { return runVerify(ctx, out, media, o) }
		},
	}
}

// openBundle is a bundle with the directories that it lies in.
type openBundle struct {
	*bundle.Bundle
	roots []*os.Root
}

func (b *openBundle) Close() {
	if b.Bundle != nil {
		b.Bundle.Close() // nothing was written
	}
	for _, root := range b.roots {
		root.Close()
	}
}

// openMedia opens the bundle in the directories. No link on a medium leads out
// of it. The caller closes the bundle.
func openMedia(directories []string) (_ *openBundle, err error) {
	if len(directories) == 0 {
		return nil, usagef("no media named: give the directories that hold the volumes")
	}
	b := &openBundle{}
	defer func() {
		if err != nil {
			b.Close()
		}
	}()
	var media []bundle.Medium
	var seen []os.FileInfo
	for _, dir := range directories {
		info, err := os.Stat(dir)
		if err != nil {
			return nil, fmt.Errorf("medium %s: %w", dir, errors.Unwrap(err))
		}
		if !info.IsDir() {
			return nil, usagef("medium %s is not a directory: name the directory that holds the volumes", dir)
		}
		if slices.ContainsFunc(seen, func(other os.FileInfo) bool { return os.SameFile(info, other) }) {
			continue // named twice
		}
		seen = append(seen, info)
		root, err := os.OpenRoot(dir)
		if err != nil {
			return nil, fmt.Errorf("medium %s: %w", dir, err)
		}
		b.roots = append(b.roots, root)
		media = append(media, bundle.Medium{Name: dir, FS: root.FS()})
	}
	b.Bundle, err = bundle.Open(media...)
	return b, err
}

func runVerify(ctx context.Context, out *output, media []string, o verify.Options) error {
	b, err := openMedia(media)
	if err != nil {
		return err
	}
	defer b.Close()
	var total int64
	for _, v := range b.Volumes {
		total += v.Size
	}
	out.start("verifying", total)
	o.Progress = out.add
	done := 0
	o.Volume = func(v verify.VolumeReport) {
		done++
		if !o.Quick {
			out.message("%s: %s, %d of %d, %s", v.Name, v.State, done, len(b.Volumes), out.rate())
		}
	}
	report := verify.Bundle(ctx, b.Bundle, o)
	rate := out.rate()
	out.stop()
	if err := out.json(report); err != nil {
		return err
	}
	printReport(out, report, rate)
	err = report.Err()
	switch {
	case err == nil, errors.Is(err, verify.ErrQuick):
		return nil
	case errors.Is(err, verify.ErrDamage):
		out.message("hint: bring another copy of what is damaged, or unpack what is whole: unpack leaves out the images that are hit")
		return &statusError{exitDamage}
	case errors.Is(err, verify.ErrMissing):
		out.message("hint: name the directories of the other media too")
		return &statusError{exitMissing}
	}
	return err
}

func printReport(out *output, r *verify.Report, rate string) {
	for _, v := range r.Volumes {
		where := ""
		if v.Medium != "" {
			where = " on " + v.Medium
		}
		out.printf("%-9s  %s%s\n", v.State, v.Name, where)
	}
	for _, f := range r.Findings {
		where := f.Volume
		if f.Medium != "" {
			where += " on " + f.Medium
		}
		if f.Offset >= 0 {
			where += fmt.Sprintf(" at byte %d", f.Offset)
		}
		out.printf("damage: %s: %s\n", where, f.Problem)
	}
	for _, m := range r.Missing {
		out.printf("missing: blob %s: %s\n", m.Digest, m.Reason)
	}
	hit := 0
	for _, image := range r.Images {
		if image.State == verify.StateDamaged || image.State == verify.StateMissing {
			hit++
			out.printf("image %s is %s: it needs %s\n", image.Reference, incomplete(image.State), neededVolumes(image.Volumes))
		}
	}
	switch {
	case r.Stopped != nil:
	case r.OK:
		out.printf("ok: %s, %s, %s, %s, %s in %s, read at %s\n",
			r.Name, count(len(r.Images), "image"), count(r.Manifests, "manifest"), count(r.Blobs, "blob"),
			human(r.Bytes), count(len(r.Volumes), "volume"), rate)
	case r.Err() == verify.ErrQuick:
		out.printf("quick check of %s: structure and sizes agree; contents were not read, so damage is still possible\n", r.Name)
	case len(r.Findings) > 0 && hit == 0 && len(r.Images) > 0 && !r.Quick:
		out.printf("DAMAGED: %s: but no image is hit; all of them can be unpacked from these media\n", nameOr(r.Name))
	case len(r.Findings) > 0:
		out.printf("DAMAGED: %s: %d of %d images cannot be unpacked\n", nameOr(r.Name), hit, len(r.Images))
	case r.Quick:
		out.printf("INCOMPLETE: %s: %d of %d images need what is missing; contents were not read\n", nameOr(r.Name), hit, len(r.Images))
	default:
		out.printf("INCOMPLETE: %s: what is here is whole; %d of %d images need what is missing\n", nameOr(r.Name), hit, len(r.Images))
	}
	if r.Stopped == nil {
		out.printf("bundle ID %s\n", idOrNone(string(r.Bundle)))
	}
}

func incomplete(state string) string {
	if state == verify.StateMissing {
		return "incomplete"
	}
	return state
}

func nameOr(name string) string {
	if name == "" {
		return "the bundle"
	}
	return name
}

func idOrNone(id string) string {
	if id == "" {
		return "unknown: inventory.json is not here; it lies on the other media of the bundle"
	}
	return id
}

func neededVolumes(numbers []int) string {
	if len(numbers) == 0 {
		return "what is damaged"
	}
	return volumeList(numbers)
}

// volumeList renders volume numbers for people: "volumes 1, 3".
func volumeList(numbers []int) string {
	if len(numbers) == 0 {
		return "its manifests only"
	}
	s := make([]string, len(numbers))
	for i, n := range numbers {
		s[i] = fmt.Sprint(n)
	}
	if len(numbers) == 1 {
		return "volume " + s[0]
	}
	return "volumes " + strings.Join(s, ", ")
}
