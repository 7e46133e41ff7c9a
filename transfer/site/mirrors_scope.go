package site

import (
	"maps"
	"slices"
	"strings"
)

// Scope says how wide the sources of mirror sets are. The zero value is
// [ScopeRepository].
type Scope string

const (
	// ScopeRepository has an entry for each repository that images came from.
	ScopeRepository Scope = "repository"
	// ScopeNamespace has entries for what is before the last component of such
	// repositories' names; a repository without a namespace keeps its own.
	ScopeNamespace Scope = "namespace"
	// ScopeRegistry has entries for their registries.
	ScopeRegistry Scope = "registry"
)

// levels are the scopes wider than a repository that may be used, widest first.
func (s Scope) levels() []Scope {
	switch s {
	case ScopeRegistry:
		return []Scope{ScopeRegistry, ScopeNamespace}
	case ScopeNamespace:
		return []Scope{ScopeNamespace}
	}
	return nil
}

// of returns the source that holds a repository at a level; empty when there is none
// that is wider.
func (s Scope) of(repository string) string {
	first, last := strings.IndexByte(repository, '/'), strings.LastIndexByte(repository, '/')
	switch {
	case s == ScopeRegistry:
		return repository[:first]
	case s == ScopeNamespace && last > first:
		return repository[:last]
	}
	return ""
}

// Kinds of pulls, each with mirrors of its own.
const (
	pullDigests = iota
	pullTags
	pulls
)

// widening puts wider sources in the place of repositories. Nodes look at the
// longest source alone, whichever way they pull: one of mirrors for tags hides a
// wider one of mirrors for digests.
type widening struct {
	levels []Scope
	// want are the mirrors of each repository, candidates those of wider sources
	// that may be used, have those that are.
	want, candidates, have [pulls]map[string][]string
}

// widened returns entries with sources as wide as the scope says, where that leads
// each repository to the same mirrors as its own entry does, in the same order.
// A repository for which it does not keeps its own. No source is widened over a
// place at the site, nor for tags to where the mirror has anything that came from
// elsewhere: by digest nobody can get the wrong image.
func widened(b Bundle, scope Scope, digests, tags []entry) (wideDigests, wideTags []entry) {
	w := &widening{levels: scope.levels()}
	if len(w.levels) == 0 {
		return digests, tags
	}
	for pull, entries := range [pulls][]entry{digests, tags} {
		w.want[pull], w.candidates[pull], w.have[pull] = make(map[string][]string), make(map[string][]string), make(map[string][]string)
		for _, e := range entries {
			w.want[pull][e.Source] = e.Mirrors
		}
	}
	for pull := range pulls {
		for _, level := range w.levels {
			w.propose(pull, level)
		}
	}
	w.sparePlaces(b)
	w.spareOthers(b)
	w.choose()
	return w.entries(pullDigests), w.entries(pullTags)
}

func sameSource(x, y entry) bool { return x.Source == y.Source }

// propose makes candidates of one level: for each source the mirrors that are right
// for most of its repositories.
func (w *widening) propose(pull int, level Scope) {
	type proposal struct {
		mirrors []string
		count   int
	}
	bySource := make(map[string]map[string]*proposal)
	for repository, mirrors := range w.want[pull] {
		source := level.of(repository)
		if source == "" {
			continue
		}
		shorter, ok := withoutSuffix(mirrors, repository[len(source):])
		if !ok {
			continue
		}
		key := strings.Join(shorter, " ")
		if bySource[source] == nil {
			bySource[source] = make(map[string]*proposal)
		}
		if bySource[source][key] == nil {
			bySource[source][key] = &proposal{mirrors: shorter}
		}
		bySource[source][key].count++
	}
	for source, proposals := range bySource {
		var best *proposal
		for _, key := range slices.Sorted(maps.Keys(proposals)) {
			if p := proposals[key]; best == nil || p.count > best.count {
				best = p
			}
		}
		if own, ok := w.want[pull][source]; !ok || slices.Equal(own, best.mirrors) { // it may be a repository too
			w.candidates[pull][source] = best.mirrors
		}
	}
}

func withoutSuffix(mirrors []string, suffix string) (shorter []string, ok bool) {
	for _, m := range mirrors {
		s, ok := strings.CutSuffix(m, suffix)
		if !ok || s == "" {
			return nil, false
		}
		shorter = append(shorter, s)
	}
	return shorter, true
}

// sparePlaces drops candidates that hold a place at the site: what is asked for
// there by its own name must not be looked for elsewhere.
func (w *widening) sparePlaces(b Bundle) {
	drop := func(place string) {
		for source := range enclosing(place) {
			for pull := range pulls {
				delete(w.candidates[pull], source)
			}
		}
	}
	for repository := range b.origins() {
		drop(repository)
	}
	for pull := range pulls {
		for _, mirrors := range w.want[pull] {
			for _, m := range mirrors {
				drop(m)
			}
		}
	}
}

// spareOthers drops candidates for tags by which nodes would find, under the name of
// a repository that is not in the bundle, an image of another.
func (w *widening) spareOthers(b Bundle) {
	byMirror := make(map[string]map[string]bool) // the sources of each mirror
	for source, mirrors := range w.candidates[pullTags] {
		for _, m := range mirrors {
			if byMirror[m] == nil {
				byMirror[m] = make(map[string]bool)
			}
			byMirror[m][source] = true
		}
	}
	for place, origins := range b.origins() {
		for mirror := range enclosing(place) {
			for source := range byMirror[mirror] {
				if len(origins) != 1 || !origins[source+place[len(mirror):]] {
					delete(w.candidates[pullTags], source)
					delete(byMirror[mirror], source)
				}
			}
		}
	}
}

// origins returns, for each repository at the site, the repositories from which it
// has images.
func (b Bundle) origins() map[string]map[string]bool {
	all := make(map[string]map[string]bool)
	add := func(place, source string) {
		if all[place] == nil {
			all[place] = make(map[string]bool)
		}
		all[place][source] = true
	}
	for _, image := range b.Images {
		add(image.Repository, image.Source.Repository)
	}
	for _, c := range b.Catalogs {
		add(c.Repository, "") // another one than what has the original name, if it was filtered
	}
	for _, r := range b.Releases {
		add(r.Repository, r.Source.Repository)
		for _, c := range r.Payload.Components {
			add(r.ComponentRepository, c.Image.Repository)
		}
	}
	return all
}

// enclosing yields the sources that hold a repository, shortest first, itself
// included. As for nodes, a host holds itself with any port.
func enclosing(repository string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range len(repository) {
			if (repository[i] == '/' || repository[i] == ':') && !yield(repository[:i]) {
				return
			}
		}
		yield(repository)
	}
}

// choose uses the widest candidates that are right, until every repository has its
// mirrors.
func (w *widening) choose() {
	for again := true; again; {
		again = false
		for pull := range pulls {
			for _, repository := range slices.Sorted(maps.Keys(w.want[pull])) {
				longest := w.longest(repository)
				if w.leads(w.have[pull][longest], longest, pull, repository) {
					continue
				}
				source, mirrors := w.next(longest, pull, repository)
				w.have[pull][source] = mirrors
				again = true
			}
		}
	}
}

// longest is what nodes look at; empty when there is nothing.
func (w *widening) longest(repository string) (longest string) {
	for source := range enclosing(repository) {
		if w.have[pullDigests][source] != nil || w.have[pullTags][source] != nil {
			longest = source
		}
	}
	return longest
}

// leads says whether mirrors of a source are right for a repository in it.
func (w *widening) leads(mirrors []string, source string, pull int, repository string) bool {
	return slices.EqualFunc(mirrors, w.want[pull][repository], func(m, want string) bool { return m+repository[len(source):] == want })
}

// next is the widest source for a repository that no other hides.
func (w *widening) next(longest string, pull int, repository string) (source string, mirrors []string) {
	for _, level := range w.levels {
		source := level.of(repository)
		mirrors := w.candidates[pull][source]
		if mirrors != nil && len(source) >= len(longest) && w.leads(mirrors, source, pull, repository) {
			return source, mirrors
		}
	}
	return repository, w.want[pull][repository]
}

// entries leaves out what no repository needs any more, since longer ones came after
// it.
func (w *widening) entries(pull int) []entry {
	needed := make(map[string]bool)
	for repository := range w.want[pull] {
		needed[w.longest(repository)] = true
	}
	var entries []entry
	for _, source := range slices.Sorted(maps.Keys(w.have[pull])) {
		if needed[source] {
			entries = append(entries, entry{Source: source, Mirrors: w.have[pull][source]})
		}
	}
	return entries
}
