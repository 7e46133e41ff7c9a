package main

import (
	"cmp"
	"slices"
	"strings"

	"satchel/bundle"
	"satchel/oci/release"
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
	// Releases are those among them, with their components.
	Releases []plannedRelease   `json:"releases,omitempty"`
	Catalogs []inspectedCatalog `json:"catalogs,omitempty"`
	// Blocked are images that are kept out by choice.
	Blocked []string `json:"blocked,omitempty"`
	// Blobs are those in the volumes, each once, and Bytes are theirs; Shared is
	// what packing each image by itself would add.
	Blobs  int   `json:"blobs"`
	Bytes  int64 `json:"bytes"`
	Shared int64 `json:"shared"`
	// Size is that of all volumes in bytes.
	Size       int64           `json:"size"`
	VolumeSize int64           `json:"volumeSize"`
	Volumes    []plannedVolume `json:"volumes"`
	// Held is what is left out because the site has it; absent when nothing is.
	Held *heldBlobs `json:"held,omitempty"`
	// Missing is what the source does not have and the bundle will lack.
	Missing []bundle.Missing `json:"missing,omitempty"`
}

// plannedRelease is a release in the result of pack --dry-run.
type plannedRelease struct {
	Version    string `json:"version"`
	Tag        string `json:"tag"`
	Reference  string `json:"reference"`
	Digest     string `json:"digest"`
	Components int    `json:"components"`
	// Images are fewer where components share one, and more with attachments.
	Images int `json:"images"`
	// Bytes are those of its blobs, Shared of those that another release of the
	// bundle needs too.
	Bytes    int64  `json:"bytes"`
	Shared   int64  `json:"shared"`
	Unsigned string `json:"unsigned,omitempty"`
}

// heldBlobs is what a bundle leaves out because the site has it.
type heldBlobs struct {
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
	// Bundles are those that must have been unpacked at the site before.
	Bundles []heldBundle `json:"bundles"`
}

// heldBundle is a bundle that another leans on.
type heldBundle struct {
	Name string `json:"name"`
	// Bundle is the bundle ID, empty where it is not known; Plan the plan ID.
	Bundle string `json:"bundle,omitempty"`
	Plan   string `json:"plan"`
}

func showPlan(out *output, prologue *bundle.Prologue) error {
	p, err := describe(prologue)
	if err != nil {
		return err
	}
	complete := 0
	atMost := false
	for _, r := range p.Releases {
		out.printf("release %s: %s in %s, %s, of which other releases share %s\n",
			r.Tag, count(r.Components, "component"), count(r.Images, "image"), human(r.Bytes), human(r.Shared))
	}
	for _, c := range p.Catalogs {
		out.printf("operator catalog %s: %s\n", c.Reference, cmp.Or(strings.Join(c.Operators, ", "), "many operators"))
	}
	out.printf("%-40s %16s %8s %16s\n", "volume", "bytes", "blobs", "images complete")
	for _, v := range p.Volumes {
		mark := ""
		if v.AtMost {
			mark, atMost = "at most ", true
		}
		complete += len(v.Complete)
		out.printf("%-40s %16s %8d %16d\n", v.Name, mark+decimal(v.Size), v.Blobs, complete)
	}
	out.printf("\n%s, %s of %s, each once; %s are shared between images\n",
		count(p.Images, "image"), count(p.Blobs, "blob"), human(p.Bytes), human(p.Shared))
	out.printf("%s, %s bytes in all\n", count(len(p.Volumes), "volume"), decimal(p.Size))
	if atMost {
		out.printf("\"at most\": the volume holds layers that are compressed while they are written\n")
	}
	if p.Held != nil {
		out.printf("left out: %s of %s that the site has; it must have unpacked before:\n", count(p.Held.Blobs, "blob"), human(p.Held.Bytes))
		for _, b := range p.Held.Bundles {
			if b.Bundle != "" {
				out.printf("  %s, bundle ID %s\n", b.Name, b.Bundle)
			} else {
				out.printf("  %s, plan ID %s\n", b.Name, b.Plan)
			}
		}
	}
	for _, m := range p.Missing {
		what := m.Image
		if m.Digest != "" {
			what += ", " + string(m.Digest)
		}
		out.printf("missing: %s: %s\n", what, m.Reason)
	}
	out.printf("plan ID %s\n", p.Plan)
	return out.json(p)
}

func describe(prologue *bundle.Prologue) (*plannedBundle, error) {
	plan := prologue.Plan()
	p := &plannedBundle{
		Name: plan.Name, Plan: string(prologue.PlanID()), Images: len(plan.Images), VolumeSize: plan.VolumeSize, Missing: plan.Missing,
		Catalogs: describeCatalogs(plan), Blocked: plan.Blocked,
	}
	sizes, atMost := prologue.VolumeSizes()
	for i, size := range sizes {
		p.Volumes = append(p.Volumes, plannedVolume{
			Number: i + 1, Name: plan.VolumeName(i + 1), Size: size, AtMost: atMost[i],
			Blobs: len(plan.Members(i + 1)), Complete: []string{},
		})
		p.Size += size
	}
	held := heldBlobs{Bundles: []heldBundle{}}
	for i := range plan.Blobs {
		if b := &plan.Blobs[i]; b.Held != 0 {
			held.Blobs++
			held.Bytes += b.Size
		} else {
			p.Blobs++
			p.Bytes += b.Size
		}
	}
	for _, h := range plan.Held {
		b := heldBundle{Name: h.Name, Bundle: string(h.Bundle), Plan: string(h.Plan)}
		if !slices.Contains(held.Bundles, b) {
			held.Bundles = append(held.Bundles, b)
		}
	}
	if held.Blobs > 0 {
		p.Held = &held
	}
	if err := p.addReleases(prologue); err != nil {
		return nil, err
	}
	needs, err := transfer.Needs(prologue)
	if err != nil {
		return nil, err
	}
	incomplete := prologue.Incomplete(plan.Missing)
	for i, need := range needs {
		p.Shared += need.Bytes
		if incomplete[i] {
			continue
		}
		last := &p.Volumes[slices.Max(append([]int{1}, need.Volumes...))-1]
		last.Complete = append(last.Complete, plan.Images[i].Reference)
	}
	p.Shared -= p.Bytes + held.Bytes
	return p, nil
}

func (p *plannedBundle) addReleases(prologue *bundle.Prologue) error {
	needs, err := transfer.ReleaseNeeds(prologue)
	for _, n := range needs {
		p.Releases = append(p.Releases, plannedRelease{
			Version: n.Payload.Version, Tag: release.Tag(n.Payload.Version, n.Architecture), Reference: n.Reference, Digest: string(n.Digest),
			Components: len(n.Payload.Components), Images: n.Images, Bytes: n.Bytes, Shared: n.Shared, Unsigned: n.Unsigned,
		})
	}
	return err
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
