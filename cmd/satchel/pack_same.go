package main

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
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
	roots := make(map[string]digest.Digest)
	for _, image := range plan.Images {
		if image.AttachedTo == "" {
			there = append(there, image.Reference)
			roots[image.Reference] = image.Root.Digest
			delete(skipped, image.Reference)
		}
	}
	var here []string
	seen := make(map[string]bool)
	for _, w := range wanted.all() {
		name := w.Name.String()
		if w.AttachedTo != "" || seen[name] || skipped[name] || slices.ContainsFunc(wanted.block, func(p *regexp.Regexp) bool { return p.MatchString(name) }) {
			continue
		}
		seen[name] = true
		here = append(here, name)
		if w.Made != nil && roots[name] != "" && roots[name] != w.Made.Root.Digest {
			return fmt.Sprintf("it has image %s as %s, and what was selected makes %s", name, roots[name], w.Made.Root.Digest)
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
