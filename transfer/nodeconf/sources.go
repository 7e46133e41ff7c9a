package nodeconf

import (
	"cmp"
	"maps"
	"slices"
)

// sourceMirrors is what one side has for a source.
type sourceMirrors struct {
	resource      string // the first that has it
	digests, tags []string
	never         bool
}

// mirrorsBySource leaves out what does not count, as mergeSources does.
func mirrorsBySource(c Cluster) map[string]sourceMirrors {
	all := make(map[string]sourceMirrors)
	for _, e := range c.entries() {
		if !slices.ContainsFunc(e.Mirrors, func(m string) bool { return m != e.Source }) {
			continue
		}
		s := all[e.Source]
		s.resource = cmp.Or(s.resource, e.resource())
		s.never = s.never || e.Policy == NeverContactSource
		if e.kind == tagMirrorSet {
			s.tags = append(s.tags, e.Mirrors...)
		} else {
			s.digests = append(s.digests, e.Mirrors...)
		}
		all[e.Source] = s
	}
	return all
}

// lacks returns the mirrors of a source around it, with rest after them, that it does
// not have for the same use.
func (s sourceMirrors) lacks(around sourceMirrors, rest string) []string {
	var lost []string
	add := func(theirs, own []string, use string) {
		for _, m := range theirs {
			if m += rest; !slices.Contains(own, m) && !slices.Contains(lost, m+use) {
				lost = append(lost, m+use)
			}
		}
	}
	add(around.digests, s.digests, " (by digest)")
	add(around.tags, s.tags, " (by tag)")
	return lost
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
