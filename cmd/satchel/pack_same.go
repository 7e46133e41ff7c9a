package main

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/transfer"
)

// A plan that lies on a medium is gone on with only as far as it says what the
// command at hand would have said: whoever had the medium must not decide what is
// packed, nor from where. What a registry had under a tag then, it may say; that is
// told where it is another now.

// otherImage says how the images of a plan are not those that are wanted now;
// empty when they are.
func otherImage(plan *bundle.Plan, wanted *wantedImages) string {
	skipped := make(map[string]bool)
	for _, m := range plan.Missing {
		skipped[m.Image] = true
	}
	there := make([]string, 0, len(plan.Images))
	planned := make(map[string]*bundle.Image)
	for i := range plan.Images {
		if image := &plan.Images[i]; image.AttachedTo == "" {
			there = append(there, image.Reference)
			planned[image.Reference] = image
			delete(skipped, image.Reference)
		}
	}
	var here []string
	named := make(map[string]*transfer.Wanted)
	for _, w := range wanted.all() {
		name := w.Name.String()
		if w.AttachedTo != "" || skipped[name] || slices.ContainsFunc(wanted.block, func(p *regexp.Regexp) bool { return p.MatchString(name) }) {
			continue
		}
		if named[name] != nil {
			named[name].Join(w)
			continue
		}
		w.Destinations = slices.Clone(w.Destinations)
		named[name] = &w
		here = append(here, name)
	}
	for _, name := range here {
		if image := planned[name]; image != nil {
			if other := otherThan(image, named[name]); other != "" {
				return other
			}
		}
	}
	for i := range max(len(here), len(there)) {
		switch {
		case i >= len(here):
			return "it has image " + there[i] + " too"
		case i >= len(there):
			return "it does not have image " + here[i]
		case here[i] != there[i]:
			return fmt.Sprintf("it has image %s where %s is named now", there[i], here[i])
		}
	}
	return ""
}

// otherThan says how an image of a plan is not what is wanted under its name.
func otherThan(image *bundle.Image, w *transfer.Wanted) string {
	switch {
	case w.Made != nil && image.Root.Digest != w.Made.Root.Digest:
		return fmt.Sprintf("it has image %s as %s, and what was selected makes %s", image.Reference, image.Root.Digest, w.Made.Root.Digest)
	case image.Part != w.Part:
		return fmt.Sprintf("it has image %s as part %q, and not %q", image.Reference, image.Part, w.Part)
	case !slices.Equal(image.Destinations, w.Destinations):
		return fmt.Sprintf("it has image %s for %q at the site, and not for %q", image.Reference, image.Destinations, w.Destinations)
	}
	return ""
}

// otherOrigin names something that the plan has from where no image is that is
// wanted now, or that stands in the plan although nothing here made it.
func otherOrigin(plan *bundle.Plan, wanted *wantedImages) string {
	o := &origins{named: make(map[string]bool), made: make(map[digest.Digest]bool)}
	for _, w := range wanted.all() {
		o.named[w.Name.Repository] = true
		if w.Made != nil {
			for d := range w.Made.Contents {
				o.made[d] = true
			}
		}
	}
	for label := range wanted.layouts {
		o.named[label] = true // which no repository is called
	}
	for _, m := range plan.Manifests {
		if m.Origin.Inline != nil && !o.made[m.Digest] {
			return "it has manifest " + string(m.Digest) + " in itself, which nothing that is named now makes"
		}
		if other := o.other(m.Digest, m.Origin); other != "" {
			return other
		}
	}
	// The bytes of blobs may stand in it: the manifests say which they are.
	for i := range plan.Blobs {
		if other := o.other(plan.Blobs[i].Digest, plan.Blobs[i].Origin); other != "" {
			return other
		}
	}
	return ""
}

// origins are where content may come from.
type origins struct {
	named map[string]bool // repositories, and labels of local sources
	made  map[digest.Digest]bool
}

// other says what is wrong with an origin; empty when nothing is. Foreign layers
// are asked for by a flag, which is compared.
func (o *origins) other(d digest.Digest, origin bundle.Origin) string {
	switch {
	case origin.Repository != "" && !o.named[origin.Repository]:
		return "it fetches from " + origin.Repository
	case origin.Local != "" && !o.named[origin.Local]:
		return "it reads from " + origin.Local
	case origin.Derived != nil && !o.made[d]:
		return "it makes " + string(d) + ", which nothing that is named now makes"
	}
	return ""
}
