package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"runtime/debug"

	"github.com/spf13/pflag"

	"satchel/bundle"
	"satchel/transfer"
)

// packFlags are the flags of satchel pack.
type packFlags struct {
	remote     remoteFlags
	out        *output
	dir, name  string
	imagesFile []string
	platforms  []string
	sparse     bool
	foreign    bool
	dryRun     bool
	volumeSize byteSize
	buffer     byteSize
}

func packCommand() command {
	return command{
		name: "pack", arguments: "REF...", summary: "build a bundle",
		about: "REF is an image in a registry, REPOSITORY:TAG, REPOSITORY@DIGEST or both, with or\n" +
			"without docker:// before it; or one in an OCI image layout, oci:DIR:NAME, with\n" +
			"=REPOSITORY:TAG behind it unless NAME is a full reference. All platforms are packed\n" +
			"unless --platform chooses.",
		prepare: func(p *program, flags *pflag.FlagSet) func(context.Context, []string) error {
			f := &packFlags{
				volumeSize: byteSize{media: true, bytes: mediaSizes()[0].size, name: mediaSizes()[0].name},
				buffer:     byteSize{bytes: transfer.DefaultBuffer, name: "256MiB"},
			}
			flags.StringVarP(&f.dir, "output", "o", ".", "`DIR` for the volumes, which must exist")
			flags.Var(&f.volumeSize, "volume-size", mediaHelp())
			flags.BoolVar(&f.dryRun, "dry-run", false, "show the volumes that would be written, and move no blob")
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

func (f *packFlags) check(references []string) error {
	if len(references) == 0 && len(f.imagesFile) == 0 {
		return usagef("no image named")
	}
	for _, p := range f.platforms {
		if !platformPattern.MatchString(p) {
			return usagef("--platform %q is not OS/ARCH[/VARIANT]", p)
		}
	}
	if f.sparse && len(f.platforms) == 0 {
		return usagef("--sparse means nothing without --platform")
	}
	if f.name != "" {
		if err := bundle.CheckName(f.name); err != nil {
			return usagef("--name: %w", err)
		}
	}
	if f.buffer.bytes < 1<<20 {
		return usagef("--buffer %d is less than 1 MiB", f.buffer.bytes)
	}
	return f.remote.check(references)
}

func (f *packFlags) run(ctx context.Context, references []string) error {
	if err := f.check(references); err != nil {
		return err
	}
	wanted := &wantedImages{}
	defer wanted.close()
	for _, s := range references {
		if err := wanted.add(s); err != nil {
			return err
		}
	}
	for _, name := range f.imagesFile {
		if err := wanted.addFile(name); err != nil {
			return err
		}
	}
	if len(wanted.images) == 0 {
		return usagef("no image named: %s names none", f.imagesFile[0])
	}
	var dir *bundle.OSDir
	if !f.dryRun {
		var err error
		if dir, err = bundle.OpenDir(f.dir); err != nil {
			return fmt.Errorf("output directory: %w", err)
		}
		defer dir.Close() // what was written is synced and closed by then
		if err := transfer.CheckVacant(dir); err != nil {
			return err
		}
	}
	client, err := f.remote.client(f.out, false)
	if err != nil {
		return err
	}
	defer client.Close()
	sources := wanted.sources(client)
	prologue, err := f.plan(ctx, sources, wanted.images)
	if err != nil {
		return err
	}
	if f.dryRun {
		return showPlan(f.out, prologue)
	}
	return f.write(ctx, dir, sources, prologue)
}

// plan reads the manifests and places everything.
func (f *packFlags) plan(ctx context.Context, sources transfer.Sources, images []transfer.Wanted) (*bundle.Prologue, error) {
	f.out.message("reading the manifests of %s", count(len(images), "image"))
	selection, err := transfer.Select(ctx, sources, images, transfer.SelectOptions{
		Platforms: f.platforms, Sparse: f.sparse, Foreign: f.foreign,
	})
	if err != nil {
		return nil, err
	}
	for _, image := range selection.Images {
		if len(f.platforms) > 0 && len(image.Platforms) == 0 {
			f.out.message("warning: %s is no index, and is packed whatever its platform is", image.Reference)
		}
	}
	if selection.Name = f.name; f.name == "" {
		selection.Name = bundle.NameFrom(selection.Images[0].Reference)
	}
	_, prologue, err := bundle.NewPlan(selection, f.volumeSize.bytes)
	return prologue, err
}

func (f *packFlags) write(ctx context.Context, dir bundle.Dir, sources transfer.Sources, prologue *bundle.Prologue) error {
	plan := prologue.Plan()
	var total int64
	for i := range plan.Blobs {
		total += plan.Blobs[i].Size
	}
	sizes, _ := prologue.VolumeSizes()
	var written int64
	for _, size := range sizes {
		written += size
	}
	if need := bundle.SmallFilesSize(prologue); need > discReserve && f.volumeSize.name != "" && f.volumeSize.name != "fat32" {
		f.out.message("warning: the small files beside the volumes may take %s, more than the %s that %s leaves for them",
			human(need), human(discReserve), f.volumeSize.name)
	}
	f.out.message("packing %s, %s, into %s of at most %d bytes",
		count(len(plan.Images), "image"), human(written), count(plan.Volumes, "volume"), plan.VolumeSize)
	limitMemory(f.buffer.bytes, prologue)
	f.out.start("packing", total)
	number := 0
	inventory, id, err := transfer.Pack(ctx, dir, prologue, sources, transfer.PackOptions{
		Buffer: f.buffer.bytes, Jobs: f.remote.jobs, Progress: func(e transfer.Event) {
			switch e.Kind {
			case transfer.BytesMoved:
				f.out.add(e.Bytes)
			case transfer.VolumeWritten:
				number++
				f.out.message("%s is written: volume %d of %d, %d bytes, %s", e.Volume, number, plan.Volumes, e.Bytes, f.out.rate())
			case transfer.BlobRefetched:
				f.out.message("fetching blob %s again: %v", e.Digest, e.Err)
			}
		},
	})
	f.out.stop()
	if err != nil {
		return err
	}
	f.out.printf("bundle %s: %s in %s\n", inventory.Name, count(len(inventory.Images), "image"), count(len(inventory.Volumes), "volume"))
	for _, v := range inventory.Volumes {
		f.out.printf("  %s  %d bytes  %s\n", v.Name, v.Size, v.Digest)
	}
	f.out.printf("bundle ID %s\n", id)
	return f.out.json(struct {
		Bundle  string          `json:"bundle"`
		Plan    string          `json:"plan"`
		Name    string          `json:"name"`
		Images  []bundle.Image  `json:"images"`
		Volumes []volumeSummary `json:"volumes"`
	}{string(id), string(prologue.PlanID()), inventory.Name, inventory.Images, summarize(inventory.Volumes)})
}

type volumeSummary struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	Digest string `json:"digest"`
}

func summarize(volumes []bundle.Volume) []volumeSummary {
	var s []volumeSummary
	for _, v := range volumes {
		s = append(s, volumeSummary{v.Name, v.Size, string(v.Digest)})
	}
	return s
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
