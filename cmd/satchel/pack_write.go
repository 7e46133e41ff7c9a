package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"satchel/bundle"
	"satchel/transfer"
)

// write packs, and says what happens.
func (f *packFlags) write(ctx context.Context, media *outputMedia, planned *planned) error {
	prologue := planned.prologue
	plan := prologue.Plan()
	if err := f.checkVolumes(plan); err != nil {
		return err
	}
	sizes, _ := prologue.VolumeSizes()
	var size int64
	for _, s := range sizes {
		size += s
	}
	if need := bundle.SmallFilesSize(prologue); need > discReserve && f.volumeSize.name != "" && f.volumeSize.name != "fat32" {
		f.out.message("warning: the small files beside the volumes may take %s, more than the %s that %s leaves for them",
			human(need), human(discReserve), f.volumeSize.name)
	}
	f.out.message("packing %s, %s, into %s of at most %d bytes",
		count(len(plan.Images), "image"), human(size), count(plan.Volumes, "volume"), plan.VolumeSize)
	if f.readBack {
		f.out.message("each volume is read back before it counts: that is %s more to read from the media", human(size))
	}
	limitMemory(f.buffer.bytes, prologue)
	o := transfer.PackOptions{
		Buffer: f.buffer.bytes, Jobs: f.remote.jobs, Only: f.only, KeepGoing: f.keepGoing, SkipMissing: f.skip,
		ReadBack: f.readBack, Progress: (&packProgress{out: f.out, plan: plan}).event,
	}
	if f.span {
		media.drive = newDrive(f.out, os.Stdin, f.dirs[0])
		o.Next = func(ctx context.Context, why transfer.Change) (transfer.Output, error) {
			return media.next(ctx, plan, why)
		}
	}
	packed, err := transfer.Pack(ctx, media.media, prologue, planned.sources, o)
	f.out.stop()
	if err != nil {
		return err
	}
	return f.conclude(prologue, packed)
}

func (f *packFlags) checkVolumes(plan *bundle.Plan) error {
	for _, n := range f.only {
		if n > plan.Volumes {
			return usagef("--only-volumes %d: %s has %s", n, plan.Name, count(plan.Volumes, "volume"))
		}
	}
	return nil
}

// packProgress turns events into messages.
type packProgress struct {
	out  *output
	plan *bundle.Plan
	// checking says that what is read of media is what the bar shows.
	checking bool
	began    time.Time // of writing
	written  int64     // bytes of volumes
}

// event is called from several goroutines only for the kinds that count bytes.
func (p *packProgress) event(e transfer.Event) {
	switch e.Kind {
	case transfer.BytesMoved:
		p.out.add(e.Bytes)
	case transfer.BytesChecked:
		if p.checking {
			p.out.add(e.Bytes)
		}
	case transfer.Checking:
		p.out.stop()
		p.out.message("reading what is there already: %s", human(e.Bytes))
		p.out.start("checking", e.Bytes)
		p.checking = true
	case transfer.Writing:
		p.out.stop()
		p.checking, p.began = false, time.Now()
		p.out.start("packing", e.Bytes)
	case transfer.VolumeKept:
		p.out.message("%s on %s is whole", e.Volume, e.Where)
	case transfer.VolumeContinued:
		p.out.message("going on with %s on %s behind byte %d", e.Volume, e.Where, e.Bytes)
	case transfer.VolumeDamaged:
		p.out.message("%s on %s is damaged, and is made again: %v", e.Volume, e.Where, e.Err)
	case transfer.VolumeWritten:
		p.written += e.Bytes
		number, _ := bundle.VolumeNumber(e.Volume)
		p.out.message("%s is written: volume %d of %d, %d bytes, %s", e.Volume, number, p.plan.Volumes, e.Bytes, p.out.rate())
	case transfer.ReadingBack:
		p.out.message("reading %s back: %s%s", e.Volume, human(e.Bytes), p.estimate(e.Bytes))
	case transfer.MediumLeft:
		p.out.message("%s is given up: %v", e.Where, e.Err)
	case transfer.BlobRefetched:
		p.out.message("fetching blob %s again: %v", e.Digest, e.Err)
	case transfer.BlobLeftOut:
		p.out.message("left out: %v", e.Err)
	}
}

// estimate says how long reading so many bytes takes, at the rate of writing so
// far.
func (p *packProgress) estimate(bytes int64) string {
	moved := p.out.soFar()
	if elapsed := time.Since(p.began); moved > 0 && elapsed > 0 {
		return fmt.Sprintf(", about %s at the rate of writing", (time.Duration(float64(elapsed) * float64(bytes) / float64(moved))).Round(time.Second))
	}
	return ""
}

// packResult is the result of pack as JSON.
type packResult struct {
	// Bundle is the bundle ID; empty while volumes are absent.
	Bundle string         `json:"bundle,omitempty"`
	Plan   string         `json:"plan"`
	Name   string         `json:"name"`
	Images []bundle.Image `json:"images"`
	// Volumes are those on the media that were seen.
	Volumes []volumeSummary `json:"volumes"`
	// Made are the numbers of the volumes that were written now.
	Made []int `json:"made,omitempty"`
	// Absent are the numbers of the volumes that are on no medium that was
	// seen.
	Absent []int `json:"absent,omitempty"`
	// Missing is what the bundle lacks, Incomplete the images that need it.
	Missing    []bundle.Missing `json:"missing,omitempty"`
	Incomplete []string         `json:"incomplete,omitempty"`
}

type volumeSummary struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	Digest string `json:"digest"`
}

// conclude prints the result and chooses the exit status.
func (f *packFlags) conclude(prologue *bundle.Prologue, packed *transfer.Packed) error {
	plan := prologue.Plan()
	r := packResult{
		Bundle: string(packed.Bundle), Plan: string(prologue.PlanID()), Name: plan.Name, Images: plan.Images,
		Made: packed.Made, Absent: packed.Absent, Missing: packed.Missing, Incomplete: packed.Incomplete,
	}
	f.out.printf("bundle %s: %s in %s\n", plan.Name, count(len(plan.Images), "image"), count(plan.Volumes, "volume"))
	for _, v := range packed.Volumes {
		r.Volumes = append(r.Volumes, volumeSummary{v.Name, v.Size, string(v.Digest)})
		f.out.printf("  %s  %d bytes  %s\n", v.Name, v.Size, v.Digest)
	}
	for _, m := range packed.Missing {
		f.out.printf("missing: %s %s: %s\n", m.Image, m.Digest, m.Reason)
	}
	for _, image := range packed.Incomplete {
		f.out.printf("incomplete: %s\n", image)
	}
	if packed.Bundle != "" {
		f.out.printf("bundle ID %s\n", packed.Bundle)
	}
	if len(packed.Absent) > 0 {
		f.out.printf("%s not here\n", volumeList(packed.Absent))
	}
	if err := f.out.json(r); err != nil {
		return err
	}
	return f.status(plan, packed)
}

// status says how to go on with what is not complete.
func (f *packFlags) status(plan *bundle.Plan, packed *transfer.Packed) error {
	name := bundle.PlanName(plan.Name)
	if lacking := lackingVolumes(plan, packed.Missing); len(lacking) > 0 {
		f.out.message("hint: when the source has what is missing: satchel pack --plan %s --only-volumes %s -o DIR", name, volumeRanges(lacking))
	}
	if len(packed.Absent) > 0 && packed.Bundle == "" {
		f.out.message("hint: bring what was made to the other volumes; if they have no inventory.json yet, this writes it, with all media plugged in:\n"+
			"  satchel pack --plan %s -o DIR1 -o DIR2", name)
	}
	if len(packed.Missing) > 0 || len(packed.Absent) > 0 && packed.Bundle == "" && len(f.only) == 0 {
		return &statusError{exitMissing}
	}
	return nil
}

// lackingVolumes are the numbers of the volumes that should hold what is
// missing.
func lackingVolumes(plan *bundle.Plan, missing []bundle.Missing) []int {
	lacks := make(map[string]bool)
	for _, m := range missing {
		lacks[string(m.Digest)] = true
	}
	var numbers volumeNumbers
	for i := range plan.Blobs {
		if b := &plan.Blobs[i]; lacks[string(b.Digest)] {
			numbers = append(numbers, b.VolumesOf()...)
		}
	}
	return numbers.sorted()
}

// limitMemory makes the garbage collector keep to what the documentation
// promises: the buffer and 100 MiB, 4 KiB for each blob and twice the manifests.
// A limit that the environment sets stays.
func limitMemory(buffer int64, prologue *bundle.Prologue) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	plan := prologue.Plan()
	limit := buffer + 64<<20 + 4096*int64(len(plan.Blobs))
	for i := range plan.Manifests {
		limit += 2 * plan.Manifests[i].Size
	}
	debug.SetMemoryLimit(limit)
}
