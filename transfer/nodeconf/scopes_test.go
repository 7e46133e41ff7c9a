package nodeconf

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestScopes compares the look-ups with looking at each.
func TestScopes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	parts := []string{"a.io", "b.a.io", "a.io:5000", "*.a.io", "*.io", "x", "y", "x-y"}
	place := func() string {
		s := parts[random.IntN(5)]
		for range random.IntN(4) {
			s += "/" + parts[5+random.IntN(3)]
		}
		return s
	}
	for range 3000 {
		var all []string
		for range random.IntN(8) {
			all = append(all, place())
		}
		name, s := place(), newScopes(all)
		first, widest := "", ""
		for _, scope := range all {
			if !nested(name, scope) {
				continue
			}
			if first == "" {
				first = scope
			}
			if scope != name && (len(scope) > len(widest) || len(scope) == len(widest) && scope < widest) {
				widest = scope
			}
		}
		if got, ok := s.within(name); got != first || ok != (first != "") {
			t.Fatalf("%s within %q: %q, want %q", name, all, got, first)
		}
		if got, ok := s.widest(name); got != widest || ok != (widest != "") {
			t.Fatalf("widest around %s of %q: %q, want %q", name, all, got, widest)
		}

		n := &Nodes{index: make(map[string]int)}
		for _, scope := range slices.Compact(slices.Sorted(slices.Values(all))) {
			n.index[scope] = len(n.registries)
			if strings.HasPrefix(scope, wildcard) {
				n.wild = append(n.wild, len(n.registries))
			}
			n.registries = append(n.registries, registry{scope: scope})
		}
		var want *registry
		for i := range n.registries {
			if r := &n.registries[i]; holds(r.scope, name) && (want == nil || len(r.scope) > len(want.scope) || len(r.scope) == len(want.scope) && r.scope < want.scope) {
				want = r
			}
		}
		if got := n.longest(name); got != want {
			t.Fatalf("longest for %s of %q: %v, want %v", name, all, got, want)
		}
	}
}

// TestSizes: a file that would be compared for hours is refused.
func TestSizes(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: many sources, and nothing concurrent")
	}
	const head = "kind: ImageDigestMirrorSet\nspec:\n  imageDigestMirrors:\n"
	var sources, wild strings.Builder
	for i := range maxEntries + 1 {
		fmt.Fprintf(&sources, "  - {source: s.io/%d, mirrors: [m.io]}\n", i)
	}
	for i := range maxRegistries + 1 {
		fmt.Fprintf(&wild, "  - {source: '*.s%d.io', mirrors: [m.io]}\n", i)
	}
	for _, list := range []string{sources.String(), wild.String()} {
		if _, err := ParseExport([]byte(head + list)); err == nil || !strings.Contains(err.Error(), "are more than 100000 and 5000") {
			t.Errorf("%.60q…: %v", list, err)
		}
	}
}
