package catalog

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/blang/semver/v4"
)

// span is a range of versions as oc-mirror makes it of its bounds, ">=MIN
// <=MAX", and Masterminds' semver (v3.5.0) reads it: pre-releases are in it only
// when one of the bounds is one, and bounds may lack their last numbers.
type span struct {
	min, max    *bound
	prereleases bool
	text        string
}

// bound is a version with as many numbers as were given, the others 0.
type bound struct {
	version semver.Version
	numbers int
}

// parseSpan is nil without bounds.
func parseSpan(low, high string) (*span, error) {
	if low == "" && high == "" {
		return nil, nil
	}
	s := &span{}
	var texts []string
	for _, side := range []struct {
		name, sign, text string
		to               **bound
	}{{"lowest version", ">=", low, &s.min}, {"highest version", "<=", high, &s.max}} {
		if side.text == "" {
			continue
		}
		b, err := parseBound(side.text)
		if err != nil {
			return nil, fmt.Errorf("%s %.80q: %w", side.name, side.text, err)
		}
		*side.to = b
		s.prereleases = s.prereleases || len(b.version.Pre) > 0
		texts = append(texts, side.sign+side.text)
	}
	s.text = strings.Join(texts, " ")
	if s.min != nil && s.max != nil && !s.max.above(s.min.version) {
		return nil, fmt.Errorf("versions %s: the lowest is above the highest", s.text)
	}
	return s, nil
}

func parseBound(text string) (*bound, error) {
	text = strings.TrimPrefix(text, "v")
	b := &bound{numbers: 3}
	if !strings.ContainsAny(text, "-+") {
		b.numbers = strings.Count(text, ".") + 1
	}
	full := text
	for range 3 - b.numbers {
		full += ".0"
	}
	var err error
	b.version, err = semver.Parse(full)
	return b, err
}

// above tells whether v is not above the bound: with numbers lacking, those that
// are there decide.
func (b *bound) above(v semver.Version) bool {
	switch {
	case b.numbers == 1:
		return v.Major <= b.version.Major
	case b.numbers == 2:
		return v.Major < b.version.Major || v.Major == b.version.Major && v.Minor <= b.version.Minor
	}
	return v.LTE(b.version)
}

// near tells whether a version is between the bounds, has whether it is wanted.
func (s *span) near(v semver.Version) bool {
	return (s.min == nil || v.GTE(s.min.version)) && (s.max == nil || s.max.above(v))
}

func (s *span) has(v semver.Version) bool {
	return s.near(v) && (s.prereleases || len(v.Pre) == 0)
}

// cut is what a span leaves of a channel.
type cut struct {
	keep map[string]bool
	// outside are kept although they are not in the span, to hold the graph
	// together; unreached are in the span but not on the way down from the head;
	// prereleases are left out for being pre-releases alone.
	outside, unreached, prereleases []string
}

// cut chooses entries of a channel so that it stays one graph
// (sherine-k/catalog-filter, pkg/filter/mirror-config/v1alpha1/channel.go,
// filterByVersionRange): down the chain of what replaces what, from the lowest
// entry at or below which all versions of the span are, to above the first at
// and below which there are none; with the skipped entries of these that are in
// the span. Only entries of the channel count, where catalog-filter counts
// bundles of other channels too that an entry names. The graph is acyclic.
func (g *graph) cut(s *span, versions map[string]semver.Version) cut {
	in := func(name string) bool {
		v, ok := versions[name]
		return ok && g.entries[name] != nil && s.has(v)
	}
	chain := g.chain()
	counts := make([]int, len(chain)+1) // the last is of nothing
	seen := make(map[string]bool)
	for i, e := range slices.Backward(chain) {
		counts[i] = counts[i+1]
		for _, name := range append([]string{e.Name}, e.Skips...) {
			if !seen[name] && in(name) {
				seen[name] = true
				counts[i]++
			}
		}
	}
	head, tail := 0, 0
	for i, n := range counts {
		if n == counts[0] {
			head = i
		}
		if tail = i; n == 0 {
			break
		}
	}
	c := cut{keep: make(map[string]bool)}
	for _, e := range chain[min(head, tail):tail] {
		c.keep[e.Name] = true
		if !in(e.Name) {
			c.outside = append(c.outside, e.Name)
		}
		for _, name := range e.Skips {
			if in(name) {
				c.keep[name] = true
			}
		}
	}
	for name := range g.entries {
		v, ok := versions[name]
		if !ok || !s.near(v) || c.keep[name] {
			continue
		}
		if in(name) {
			c.unreached = append(c.unreached, name)
		} else {
			c.prereleases = append(c.prereleases, name)
		}
	}
	slices.Sort(c.unreached)
	slices.Sort(c.prereleases)
	return c
}

// extent says which versions a channel has, for an error text.
func extent(c *Channel, versions map[string]semver.Version) string {
	var all []semver.Version
	for _, e := range c.Entries {
		if v, ok := versions[e.Name]; ok {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return "none"
	}
	semver.Sort(all)
	if len(all) == 1 {
		return all[0].String()
	}
	return all[0].String() + " to " + all[len(all)-1].String() + " (" + strconv.Itoa(len(all)) + ")"
}
