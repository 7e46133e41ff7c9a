package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"satchel/bundle"
	"satchel/transfer"
)

func inspectCommand() command {
	return command{
		name: "inspect", arguments: "MEDIA...", summary: "list what is inside",
		about: "Reads the start of the volumes in the directories and lists volumes and images. One\n" +
			"volume is enough. It checks no blob: that is what verify does.",
		prepare: func(p *program, flags *pflag.FlagSet) func(context.Context, []string) error {
			out := p.output(flags)
			return func(ctx context.Context, media []string) error { return runInspect(ctx, out, media) }
		},
	}
}

// contents is the result of inspect.
type contents struct {
	Name       string            `json:"name"`
	Bundle     string            `json:"bundle,omitempty"`
	Plan       string            `json:"plan"`
	Request    bundle.Request    `json:"request"`
	VolumeSize int64             `json:"volumeSize"`
	Volumes    []inspectedVolume `json:"volumes"`
	Images     []inspectedImage  `json:"images"`
	Damage     []string          `json:"damage,omitempty"`
}

type inspectedVolume struct {
	Number int    `json:"number"`
	Name   string `json:"name"`
	// Present says that the volume is there, in Media, Size bytes large.
	Present bool     `json:"present"`
	Media   []string `json:"media,omitempty"`
	Size    int64    `json:"size,omitempty"`
}

type inspectedImage struct {
	Reference string   `json:"reference"`
	Digest    string   `json:"digest"`
	MediaType string   `json:"mediaType"`
	Platforms []string `json:"platforms,omitempty"`
	Sparse    bool     `json:"sparse,omitempty"`
	// Size is that of all blobs that the image needs, in bytes.
	Size int64 `json:"size"`
	// Volumes are the numbers of the volumes that hold them.
	Volumes []int `json:"volumes"`
}

func runInspect(ctx context.Context, out *output, media []string) error {
	b, err := openMedia(media)
	if err != nil {
		return err
	}
	defer b.Close()
	for _, d := range b.Damage {
		out.message("warning: %v", d)
	}
	if b.Prologue == nil {
		return fmt.Errorf("no volume can be read: %w", b.Damage[0])
	}
	c, err := describeContents(ctx, b.Bundle)
	if err != nil {
		return err
	}
	printContents(out, c)
	if err := out.json(c); err != nil {
		return err
	}
	if len(c.Damage) > 0 {
		return &statusError{exitDamage}
	}
	return nil
}

func describeContents(ctx context.Context, b *bundle.Bundle) (*contents, error) {
	plan := b.Prologue.Plan()
	c := &contents{
		Name: plan.Name, Bundle: string(b.BundleID), Plan: string(b.PlanID), Request: plan.Request, VolumeSize: plan.VolumeSize,
	}
	for n := 1; n <= plan.Volumes; n++ {
		v := inspectedVolume{Number: n, Name: plan.VolumeName(n)}
		for _, file := range b.Volumes {
			if file.Number == n && file.Whole {
				v.Present, v.Size = true, file.Size
				v.Media = append(v.Media, file.Medium)
			}
		}
		c.Volumes = append(c.Volumes, v)
	}
	needs, err := transfer.Needs(b.Prologue)
	if err != nil {
		return nil, err
	}
	for i, image := range plan.Images {
		if len(image.Platforms) == 0 {
			// Manifests do not state the platform; the config does.
			platform, err := transfer.Platform(ctx, b, image)
			if err != nil {
				c.Damage = append(c.Damage, err.Error())
			}
			if platform != "" {
				image.Platforms = []string{platform}
			}
		}
		c.Images = append(c.Images, inspectedImage{
			Reference: image.Reference, Digest: string(image.Root.Digest), MediaType: image.Root.MediaType,
			Platforms: image.Platforms, Sparse: image.Sparse, Size: needs[i].Bytes, Volumes: needs[i].Volumes,
		})
	}
	for _, d := range b.Damage {
		c.Damage = append(c.Damage, d.Error())
	}
	return c, nil
}

func printContents(out *output, c *contents) {
	out.printf("bundle    %s\nbundle ID %s\nplan ID   %s\n\n", c.Name, idOrNone(c.Bundle), c.Plan)
	for _, v := range c.Volumes {
		if v.Present {
			out.printf("volume %d  %s  %d bytes  on %s\n", v.Number, v.Name, v.Size, strings.Join(v.Media, ", "))
		} else {
			out.printf("volume %d  %s  missing\n", v.Number, v.Name)
		}
	}
	for _, image := range c.Images {
		out.printf("\n%s\n  %s\n  %s, needs %s\n", image.Reference, image.Digest, human(image.Size), volumeList(image.Volumes))
		if len(image.Platforms) > 0 {
			out.printf("  %s\n", strings.Join(image.Platforms, ", "))
		}
		if image.Sparse {
			out.printf("  sparse: some children of the index are left out by choice\n")
		}
	}
}
