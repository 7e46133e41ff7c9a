package main

import (
	"slices"

	"satchel/bundle"
	"satchel/transfer"
)

// plannedVolume is a volume in the result of pack --dry-run.
type plannedVolume struct {
	Number int    `json:"number"`
	Name   string `json:"name"`
	// Size is in bytes; with AtMost it is an upper bound.
	Size   int64 `json:"size"`
	AtMost bool  `json:"atMost"`
	Blobs  int   `json:"blobs"`
	// Complete are the images that can be unpacked once this volume and those
	// before it are there.
	Complete []string `json:"complete"`
}

// plannedBundle is the result of pack --dry-run.
type plannedBundle struct {
	Name   string `json:"name"`
	Plan   string `json:"plan"`
	Images int    `json:"images"`
	// Blobs counts each once, Bytes are theirs; Shared is what packing each
	// image by itself would add.
	Blobs      int             `json:"blobs"`
	Bytes      int64           `json:"bytes"`
	Shared     int64           `json:"shared"`
	Size       int64           `json:"size"`
	VolumeSize int64           `json:"volumeSize"`
	Volumes    []plannedVolume `json:"volumes"`
}

func showPlan(out *output, prologue *bundle.Prologue) error {
	p, err := describe(prologue)
	if err != nil {
		return err
	}
	out.printf("%-40s %16s %8s %16s\n", "volume", "bytes", "blobs", "images complete")
	complete := 0
	atMost := false
	for _, v := range p.Volumes {
		mark := ""
		if v.AtMost {
			mark, atMost = "at most ", true
		}
		complete += len(v.Complete)
		out.printf("%-40s %16s %8d %16d\n", v.Name, mark+decimal(v.Size), v.Blobs, complete)
	}
	out.printf("\n%d images, %d blobs of %s, each once; %s are shared between images\n",
		p.Images, p.Blobs, human(p.Bytes), human(p.Shared))
	if len(p.Volumes) == 1 {
		out.printf("1 volume, %s bytes in all\n", decimal(p.Size))
	} else {
		out.printf("%d volumes, %s bytes in all\n", len(p.Volumes), decimal(p.Size))
	}
	if atMost {
		out.printf("\"at most\": the volume holds layers that are compressed while they are written\n")
	}
	out.printf("plan ID %s\n", p.Plan)
	return out.json(p)
}

func describe(prologue *bundle.Prologue) (*plannedBundle, error) {
	plan := prologue.Plan()
	p := &plannedBundle{
		Name: plan.Name, Plan: string(prologue.PlanID()), Images: len(plan.Images),
		Blobs: len(plan.Blobs), VolumeSize: plan.VolumeSize,
	}
	sizes, atMost := prologue.VolumeSizes()
	for i, size := range sizes {
		p.Volumes = append(p.Volumes, plannedVolume{
			Number: i + 1, Name: plan.VolumeName(i + 1), Size: size, AtMost: atMost[i],
			Blobs: len(plan.Members(i + 1)), Complete: []string{},
		})
		p.Size += size
	}
	for i := range plan.Blobs {
		p.Bytes += plan.Blobs[i].Size
	}
	needs, err := transfer.Needs(prologue)
	if err != nil {
		return nil, err
	}
	for i, need := range needs {
		p.Shared += need.Bytes
		last := &p.Volumes[slices.Max(append([]int{1}, need.Volumes...))-1]
		last.Complete = append(last.Complete, plan.Images[i].Reference)
	}
	p.Shared -= p.Bytes
	return p, nil
}

// decimal groups digits: 4,294,967,295.
func decimal(n int64) string {
	s := []byte{}
	for i := 0; ; i++ {
		if i > 0 && i%3 == 0 {
			s = append(s, ',')
		}
		s = append(s, byte('0'+n%10))
		if n /= 10; n == 0 {
			break
		}
	}
	slices.Reverse(s)
	return string(s)
}
