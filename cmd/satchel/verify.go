package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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
			"damaged, what is missing, which images that hits, and with which command it is made\n" +
			"again where the bundle was packed. It needs no network and writes nothing. Media may be\n" +
			"checked one at a time: what is not here is said, and ends in status 4.",
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
	mediaList
}

// unfinishedVolume is a volume that pack was interrupted at. It is neither
// damage nor there.
type unfinishedVolume struct {
	Number int `json:"number"`
	// Name is the one that the volume will have.
	Name   string `json:"name"`
	Medium string `json:"medium"`
	// Size is in bytes so far.
	Size int64 `json:"size"`
}

// unfinishedError says that media hold nothing but unfinished volumes.
type unfinishedError struct{ unfinished []unfinishedVolume }

func (e *unfinishedError) Error() string {
	return "nothing is finished: " + unfinishedText(e.unfinished[0])
}

func unfinishedText(u unfinishedVolume) string {
	return fmt.Sprintf("%s on %s: pack was interrupted; the same pack command goes on with it", u.Name, u.Medium)
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
		b.roots, b.media = append(b.roots, root), append(b.media, dir)
		media = append(media, bundle.Medium{Name: dir, FS: root.FS()})
	}
	b.Bundle, err = bundle.Open(media...)
	for _, medium := range media {
		b.findUnfinished(medium)
	}
	if errors.Is(err, bundle.ErrNoBundle) && len(b.unfinished) > 0 {
		return nil, &unfinishedError{b.unfinished}
	}
	return b, err
}

// findUnfinished looks for volumes of the bundle, or of any where there is none,
// that have no final name yet.
func (b *openBundle) findUnfinished(medium bundle.Medium) {
	entries, err := fs.ReadDir(medium.FS, ".")
	if err != nil {
		return // which opening the bundle has said
	}
	for _, e := range entries {
		name, unfinished := strings.CutSuffix(e.Name(), ".part")
		number, ok := bundle.VolumeNumber(name)
		info, err := e.Info()
		if !unfinished || !ok || err != nil || !info.Mode().IsRegular() || !b.mayOwn(medium, e.Name()) {
			continue
		}
		b.unfinished = append(b.unfinished, unfinishedVolume{number, name, medium.Name, info.Size()})
	}
}

// mayOwn reports whether an unfinished volume is one of the bundle, as far as
// what stands of it can tell.
func (b *openBundle) mayOwn(medium bundle.Medium, name string) bool {
	if b.Bundle == nil {
		return true
	}
	if plan, err := bundle.PlanOf(medium, name); err == nil && plan != "" {
		return plan == b.PlanID
	}
	return b.Prologue == nil || strings.HasPrefix(name, b.Prologue.Plan().Name+"-")
}

// verified is the result of verify: the report, and what only the command line
// knows.
type verified struct {
	*verify.Report
	// Media are the directories that were looked at.
	Media      []string           `json:"media"`
	Unfinished []unfinishedVolume `json:"unfinished,omitempty"`
	// PackAgain is the command that makes the damaged and incomplete volumes
	// again, PackAbsent the one for those that are not here, should they be lost.
	PackAgain  string `json:"packAgain,omitempty"`
	PackAbsent string `json:"packAbsent,omitempty"`

	list mediaList
	rate string // of reading, for people
}

func runVerify(ctx context.Context, out *output, media []string, o verify.Options) error {
	b, err := openMedia(media)
	if err != nil {
		return unfinishedStatus(out, err)
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
	r := newVerified(report, b.mediaList, out.rate())
	out.stop()
	if err := out.json(r); err != nil {
		return err
	}
	r.print(out)
	return r.status(out)
}

// unfinishedStatus turns the error of media that hold only unfinished volumes
// into a message and a status: there is no bundle yet.
func unfinishedStatus(out *output, err error) error {
	var unfinished *unfinishedError
	if !errors.As(err, &unfinished) {
		return err
	}
	for _, u := range unfinished.unfinished {
		out.printf("unfinished: %s\n", unfinishedText(u))
	}
	if err := out.json(struct {
		OK         bool               `json:"ok"`
		Unfinished []unfinishedVolume `json:"unfinished"`
	}{false, unfinished.unfinished}); err != nil {
		return err
	}
	return &statusError{exitMissing}
}

func newVerified(report *verify.Report, list mediaList, rate string) *verified {
	r := &verified{Report: report, Media: list.media, Unfinished: list.unfinished, list: list, rate: rate}
	if report.Name == "" {
		return r
	}
	var absent []int
	for _, n := range report.MissingVolumes {
		if !list.isUnfinished(n) && !slices.Contains(report.Again, n) {
			absent = append(absent, n)
		}
	}
	r.PackAgain = packCommandFor(report.Name, report.Again)
	// Before pack has come to its end, nothing can be lost.
	if len(list.unfinished) == 0 || report.Bundle != "" {
		r.PackAbsent = packCommandFor(report.Name, absent)
	}
	return r
}

// packCommandFor is what makes volumes again on the packing side, short enough
// to be read over a phone; empty for none.
func packCommandFor(name string, volumes []int) string {
	if len(volumes) == 0 {
		return ""
	}
	return fmt.Sprintf("satchel pack --plan %s --only-volumes %s -o DIR", bundle.PlanName(name), volumeRanges(volumes))
}

// status chooses the exit status and says what to do next.
func (r *verified) status(out *output) error {
	switch err := r.Err(); {
	case err == nil, errors.Is(err, verify.ErrQuick):
		return nil
	case errors.Is(err, verify.ErrDamage):
		switch {
		case len(r.Again) > 0:
			out.message("hint: bring another copy of what is damaged, or unpack what is whole: unpack leaves out the images that are hit")
		case r.hit() == 0 && len(r.Images) > 0:
			out.message("hint: the volumes can be used as they are; take small files that are damaged from another medium of the bundle")
		}
		r.hintMissing(out)
		return &statusError{exitDamage}
	case errors.Is(err, verify.ErrMissing):
		r.hintMissing(out)
		return &statusError{exitMissing}
	default:
		return err
	}
}

func (r *verified) hintMissing(out *output) {
	if len(r.MissingVolumes) > 0 {
		out.message("hint: name the directories of the other media too, or check them one at a time")
	}
	if slices.ContainsFunc(r.Missing, func(m verify.Missing) bool { return len(m.Volumes) == 0 }) {
		out.message("hint: what the source did not have is not in the plan; pack --top-up with inventory.json makes a small bundle of it later")
	}
}

// hit counts the images that are damaged or lack something.
func (r *verified) hit() int {
	hit := 0
	for _, image := range r.Images {
		if image.State == verify.StateDamaged || image.State == verify.StateMissing {
			hit++
		}
	}
	return hit
}
