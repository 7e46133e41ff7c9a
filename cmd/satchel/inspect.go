package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"satchel/bundle"
	"satchel/transfer"
	"satchel/verify"
)

func inspectCommand() command {
	return command{
		name: "inspect", arguments: "MEDIA...", summary: "list what is inside",
		about: "Reads the start of the volumes in the directories and lists volumes and images, and\n" +
			"what they lack. One volume is enough. It checks no blob: that is what verify does.",
		prepare: func(p *program, flags *pflag.FlagSet) func(context.Context, []string) error {
			f := &inspectFlags{}
			flags.StringVar(&f.digest, "digest", "", "print the digest of the release of `VERSION`, and nothing else")
			flags.StringArrayVar(&f.trust.keys, "release-key", nil, "trust the OpenPGP public keys in `FILE` beside Red Hat's")
			f.out = p.output(flags)
			return f.run
		},
	}
}

// inspectFlags are the flags of satchel inspect.
type inspectFlags struct {
	out    *output
	digest string
	trust  trustFlags
}

// contents is the result of inspect.
type contents struct {
	Name       string            `json:"name"`
	Bundle     string            `json:"bundle,omitempty"`
	Plan       string            `json:"plan"`
	Request    bundle.Request    `json:"request"`
	VolumeSize int64             `json:"volumeSize"`
	Volumes    []inspectedVolume `json:"volumes"`
	// Unfinished are volumes that pack was interrupted at.
	Unfinished []unfinishedVolume `json:"unfinished,omitempty"`
	Releases   []inspectedRelease `json:"releases,omitempty"`
	Catalogs   []inspectedCatalog `json:"catalogs,omitempty"`
	// Blocked are images that were kept out by choice.
	Blocked []string         `json:"blocked,omitempty"`
	Images  []inspectedImage `json:"images"`
	// Missing is what the bundle was packed without, Leans the bundles that must
	// have been replayed at the site before.
	Missing []verify.Missing `json:"missing,omitempty"`
	Leans   []verify.Lean    `json:"leans,omitempty"`
	Damage  []string         `json:"damage,omitempty"`
}

type inspectedVolume struct {
	Number int    `json:"number"`
	Name   string `json:"name"`
	// Present says that the volume is there, in Media, Size bytes large.
	Present bool            `json:"present"`
	Media   []string        `json:"media,omitempty"`
	Size    int64           `json:"size,omitempty"`
	Copies  []inspectedCopy `json:"copies,omitempty"`
}

// inspectedCopy is one file of a volume.
type inspectedCopy struct {
	Medium string `json:"medium"`
	Size   int64  `json:"size"`
	// Mark is empty, partial (it was made without some of its blobs), cut short
	// or damaged. Contents were not read.
	Mark string `json:"mark,omitempty"`
}

type inspectedImage struct {
	Reference string   `json:"reference"`
	Digest    string   `json:"digest"`
	MediaType string   `json:"mediaType"`
	Platforms []string `json:"platforms,omitempty"`
	Sparse    bool     `json:"sparse,omitempty"`
	// Part and AttachedTo are as in the plan.
	Part       string `json:"part,omitempty"`
	AttachedTo string `json:"attachedTo,omitempty"`
	// Size is that of all blobs that the image needs, in bytes.
	Size int64 `json:"size"`
	// Volumes are the numbers of the volumes that hold them.
	Volumes []int `json:"volumes"`
	// Lacks is what of the image the bundle was packed without.
	Lacks []verify.Missing `json:"lacks,omitempty"`
	// Leans are the names of the bundles that hold the rest.
	Leans []string `json:"leans,omitempty"`
}

func (f *inspectFlags) run(ctx context.Context, media []string) error {
	out := f.out
	trust, err := f.trust.trust()
	if err != nil {
		return err
	}
	b, err := openMedia(media)
	if err != nil {
		return unfinishedStatus(out, err)
	}
	defer b.Close()
	if b.Prologue == nil {
		for _, d := range b.Damage {
			out.message("warning: %v", d)
		}
		return fmt.Errorf("no volume can be read: %w", b.Damage[0])
	}
	report := verify.Bundle(ctx, b.Bundle, verify.Options{Quick: true})
	c, err := describeContents(ctx, b, report, trust)
	if err != nil {
		return err
	}
	if f.digest != "" {
		return printDigest(out, c.Releases, f.digest)
	}
	for _, d := range c.Damage {
		out.message("warning: %s", d)
	}
	c.print(out, b, report)
	if err := out.json(c); err != nil {
		return err
	}
	if len(c.Damage) > 0 {
		return &statusError{exitDamage}
	}
	return nil
}

func describeContents(ctx context.Context, b *openBundle, report *verify.Report, trust transfer.Trust) (*contents, error) {
	plan := b.Prologue.Plan()
	c := &contents{
		Name: plan.Name, Bundle: string(b.BundleID), Plan: string(b.PlanID), Request: plan.Request, VolumeSize: plan.VolumeSize,
		Unfinished: b.unfinished, Missing: report.Missing, Leans: report.Leans,
	}
	for n := 1; n <= plan.Volumes; n++ {
		c.Volumes = append(c.Volumes, inspectedVolume{Number: n, Name: plan.VolumeName(n)})
	}
	for _, copied := range report.Volumes {
		if copied.State == verify.StateMissing {
			continue
		}
		v := &c.Volumes[copied.Number-1]
		v.Copies = append(v.Copies, inspectedCopy{copied.Medium, copied.Size, b.mark(copied)})
		if file := b.file(copied); file != nil && file.Whole {
			v.Present, v.Size = true, copied.Size
			v.Media = append(v.Media, copied.Medium)
		}
	}
	needs, err := transfer.Needs(b.Prologue)
	if err != nil {
		return nil, err
	}
	c.Catalogs, c.Blocked = describeCatalogs(b.Prologue.Plan()), b.Prologue.Plan().Blocked
	if c.Releases, err = describeReleases(ctx, b.Bundle, needs, trust); err != nil {
		return nil, err
	}
	for _, f := range report.Findings {
		c.Damage = append(c.Damage, (&bundle.DamageError{File: f.Volume, Medium: f.Medium, Offset: f.Offset, Err: errors.New(f.Problem)}).Error())
	}
	for i, image := range plan.Images {
		if len(image.Platforms) == 0 {
			// Manifests do not state the platform; the config does.
			platform, err := transfer.Platform(ctx, b.Bundle, image)
			if lacking := (*bundle.MissingBlobError)(nil); err != nil && !errors.As(err, &lacking) {
				c.Damage = append(c.Damage, err.Error())
			}
			if platform != "" {
				image.Platforms = []string{platform}
			}
		}
		inspected := inspectedImage{
			Reference: image.Reference, Digest: string(image.Root.Digest), MediaType: image.Root.MediaType,
			Platforms: image.Platforms, Sparse: image.Sparse, Size: needs[i].Bytes, Volumes: needs[i].Volumes,
			Leans: leansOf(b.Prologue, image), Part: image.Part, AttachedTo: image.AttachedTo,
		}
		if i < len(report.Images) {
			inspected.Lacks = report.Images[i].Lacks
		}
		c.Images = append(c.Images, inspected)
	}
	return c, nil
}

// file returns the volume file of a report.
func (b *openBundle) file(v verify.VolumeReport) *bundle.VolumeFile {
	i := slices.IndexFunc(b.Volumes, func(f *bundle.VolumeFile) bool { return f.Name == v.Name && f.Medium == v.Medium })
	if i < 0 {
		return nil
	}
	return b.Volumes[i]
}

// mark says what is the matter with a volume, as far as its start and its size
// tell.
func (b *openBundle) mark(v verify.VolumeReport) string {
	file := b.file(v)
	switch {
	case v.State == verify.StateDamaged && file != nil && file.Whole:
		if located, err := b.Locate(file); err == nil && file.Size < b.Prologue.End(located) {
			return "cut short"
		}
		return "damaged"
	case v.State == verify.StateDamaged:
		return "damaged"
	case v.Lacks > 0:
		return "partial"
	}
	return ""
}

// leansOf names the bundles that hold what an image needs and this bundle leaves
// out.
func leansOf(prologue *bundle.Prologue, image bundle.Image) []string {
	graph, err := prologue.Graph(image)
	if err != nil {
		return nil // which is told as damage
	}
	var names []string
	for _, blob := range graph.Blobs {
		if blob.Held == 0 {
			continue
		}
		if name := prologue.Plan().Held[blob.Held-1].Name; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (c *contents) print(out *output, b *openBundle, report *verify.Report) {
	out.printf("bundle    %s\nbundle ID %s\nplan ID   %s\n", c.Name, b.idText(c.Bundle), c.Plan)
	for _, l := range c.Leans {
		out.printf("%s\n", leanText(l))
	}
	for i, m := range c.Missing {
		if i == maxLines {
			out.printf("missing: and %d more, which --json lists\n", len(c.Missing)-i)
			break
		}
		out.printf("missing: %s\n", missingText(m))
	}
	out.printf("\n")
	var rows [][]string
	for _, row := range b.volumeRows(report.Volumes, b.mark) {
		present := row.present
		if row.state != "" && row.state != "-" {
			present = strings.TrimPrefix(present+", ", "-, ") + row.state
		}
		rows = append(rows, []string{row.volume, present, row.medium})
	}
	printTable(out, []string{"volume", "present", "medium"}, rows)
	for _, u := range c.Unfinished {
		out.printf("unfinished: %s\n", unfinishedText(u))
	}
	for i := range c.Catalogs {
		c.Catalogs[i].print(out)
	}
	for _, reference := range c.Blocked {
		out.printf("kept out by choice: %s\n", reference)
	}
	for i := range c.Releases {
		c.Releases[i].print(out)
	}
	parts := 0
	for i := range c.Images {
		if image := &c.Images[i]; image.Part == bundle.PartComponent || image.AttachedTo != "" {
			parts++
			continue
		}
		c.Images[i].print(out)
	}
	if parts > 0 {
		out.printf("\nand %s that are components of releases, or attached: --json lists them\n", count(parts, "image"))
	}
}

func (i *inspectedImage) print(out *output) {
	out.printf("\n%s\n  %s\n  %s, needs %s\n", i.Reference, i.Digest, human(i.Size), volumeList(i.Volumes))
	if len(i.Platforms) > 0 {
		out.printf("  %s\n", strings.Join(i.Platforms, ", "))
	}
	if i.Sparse && len(i.Lacks) == 0 {
		out.printf("  sparse: some children of the index are left out by choice\n")
	}
	if len(i.Lacks) > 0 {
		out.printf("  incomplete: it lacks %s: %s\n", lacksText(i.Lacks), i.Lacks[0].Reason)
	}
	if len(i.Leans) > 0 {
		out.printf("  leans on %s, which must be at the site\n", strings.Join(i.Leans, ", "))
	}
}
