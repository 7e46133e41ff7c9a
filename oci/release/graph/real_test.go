package graph_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/blang/semver/v4"

	"satchel/fixtures"
	"satchel/oci/release/graph"
)

const realData = "../../../../shared/data/releases/cincinnati"

func realFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(filepath.FromSlash(realData), name))
	fixtures.CheckShared(t, err)
	return data
}

func TestRealGraphs(t *testing.T) {
	for _, test := range []struct {
		file, latest   string
		from, to, path string
		between        int
	}{
		{"stable-4.9_amd64.graph.json", "4.9.53", "4.8.2", "4.9.53", "4.8.54 4.9.53", 65},
		{"stable-4.9_s390x.graph.json", "4.9.53", "4.8.2", "4.9.53", "4.8.54 4.9.53", 65},
		{"amd64-stable-4.13.graph.json", "4.13.43", "4.12.0", "4.13.43", "4.12.58 4.13.43", 98},
		{"amd64-stable-4.13.graph.json", "4.13.43", "4.12.16", "4.13.4", "4.13.4!AcceleratedNetworkingRace" +
			"!MultiNetworkAttachmentsWhereaboutsVersion!PerformanceProfilesCPUQuota!SeccompFilterErrno524", 12},
	} {
		g, err := graph.Parse(realFile(t, test.file))
		if err != nil {
			t.Errorf("%s: %v", test.file, err)
			continue
		}
		latest, ok := g.Latest()
		if !ok || latest.Version != test.latest || !strings.HasPrefix(latest.Payload, "quay.io/openshift-release-dev/ocp-release@sha256:") || latest.Metadata["url"] == "" {
			t.Errorf("%s: latest is %+v", test.file, latest)
		}
		steps, err := g.Path(test.from, test.to)
		var path []string
		for _, s := range steps {
			mark := ""
			for _, r := range s.Conditional {
				mark += "!" + r.Name
			}
			path = append(path, s.Node.Version+mark)
		}
		if got := strings.Join(path, " "); err != nil || got != test.path {
			t.Errorf("%s: from %s to %s: got %q, %v, want %q", test.file, test.from, test.to, got, err, test.path)
		}
		nodes, err := g.Between(test.from, test.to)
		if err != nil || len(nodes) != test.between {
			t.Errorf("%s: %d versions from %s to %s, want %d: %v", test.file, len(nodes), test.from, test.to, test.between, err)
		}
	}
}

func TestRealGap(t *testing.T) {
	g, err := graph.Parse(realFile(t, "amd64-stable-4.13.graph.json"))
	if err != nil {
		t.Fatal(err)
	}
	var none *graph.NoPathError
	if _, err := g.Path("4.13.43", "4.12.0"); !errors.As(err, &none) || len(none.Reach) != 0 {
		t.Errorf("backwards: %v", err)
	}
	var unknown *graph.UnknownVersionError
	if _, err := g.Path("4.12.0", "4.13.7"); !errors.As(err, &unknown) || !slices.Equal(unknown.Near, []string{"4.13.4", "4.13.5", "4.13.6", "4.13.8", "4.13.9", "4.13.10"}) {
		t.Errorf("unknown: %v", err)
	}
}

// simple is a graph read again, by other code.
type simple struct {
	versions []string           // sorted
	edges    map[[2]string]bool // conditional?
}

func readSimple(t testing.TB, data []byte) *simple {
	t.Helper()
	var doc struct {
		Nodes            []struct{ Version string }
		Edges            [][]int
		ConditionalEdges []struct{ Edges []struct{ From, To string } }
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	s := &simple{edges: make(map[[2]string]bool)}
	for _, n := range doc.Nodes {
		s.versions = append(s.versions, n.Version)
	}
	slices.SortFunc(s.versions, compare)
	for _, e := range doc.Edges {
		s.edges[[2]string{doc.Nodes[e[0]].Version, doc.Nodes[e[1]].Version}] = false
	}
	for _, c := range doc.ConditionalEdges {
		for _, e := range c.Edges {
			if !slices.Contains(s.versions, e.From) || !slices.Contains(s.versions, e.To) {
				continue
			}
			s.edges[[2]string{e.From, e.To}] = true
		}
	}
	return s
}

type distance struct{ conditional, steps int }

func (d distance) less(e distance) bool {
	return d.conditional < e.conditional || d.conditional == e.conditional && d.steps < e.steps
}

// distances relaxes all edges until nothing changes (Bellman and Ford's way), from
// the start forwards; package graph works from the end backwards.
func (s *simple) distances(from string) map[string]distance {
	found := map[string]distance{from: {}}
	for changed := true; changed; {
		changed = false
		for ends, conditional := range s.edges {
			d, ok := found[ends[0]]
			if !ok {
				continue
			}
			d.steps++
			if conditional {
				d.conditional++
			}
			if old, ok := found[ends[1]]; !ok || d.less(old) {
				found[ends[1]], changed = d, true
			}
		}
	}
	return found
}

// checkPaths compares Path and Between with the other code, from one of every so many
// versions to each.
func checkPaths(t *testing.T, data []byte, every int) (pairs, conditional int) {
	t.Helper()
	g, err := graph.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	s := readSimple(t, data)
	all := make(map[string]map[string]distance)
	for _, v := range s.versions {
		all[v] = s.distances(v)
	}
	for i, from := range s.versions {
		if i%every != 0 {
			continue
		}
		for _, to := range s.versions {
			want, ok := all[from][to]
			steps, err := g.Path(from, to)
			var none *graph.NoPathError
			if ok != (err == nil) || !ok && !errors.As(err, &none) {
				t.Errorf("from %s to %s: %v, %v", from, to, err, want)
				continue
			}
			nodes, err := g.Between(from, to)
			if ok != (err == nil) {
				t.Errorf("between %s and %s: %v", from, to, err)
			}
			if !ok {
				continue
			}
			pairs++
			if want.conditional > 0 {
				conditional++
			}
			s.checkSteps(t, all, from, to, steps)
			var some []string
			for _, v := range s.versions {
				_, after := all[from][v]
				if _, before := all[v][to]; before && after {
					some = append(some, v)
				}
			}
			if !slices.EqualFunc(nodes, some, func(n graph.Node, v string) bool { return n.Version == v }) {
				t.Errorf("between %s and %s: got %d versions, want %q", from, to, len(nodes), some)
			}
		}
	}
	return pairs, conditional
}

func compare(a, b string) int {
	if c := semver.MustParse(a).Compare(semver.MustParse(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

// checkSteps checks that steps are edges, cost what the cheapest way costs, and that at no step
// a newer version would have done as well.
func (s *simple) checkSteps(t *testing.T, all map[string]map[string]distance, from, to string, steps []graph.Step) {
	t.Helper()
	at, sum := from, distance{}
	for _, step := range steps {
		next := step.Node.Version
		conditional, ok := s.edges[[2]string{at, next}]
		if !ok || conditional != (len(step.Conditional) > 0) {
			t.Errorf("from %s to %s: no such step as %+v from %s", from, to, step, at)
		}
		left := all[at][to]
		for _, v := range s.versions {
			c, isEdge := s.edges[[2]string{at, v}]
			rest, leads := all[v][to]
			rest.steps++
			if c {
				rest.conditional++
			}
			if isEdge && leads && rest == left && compare(v, next) > 0 {
				t.Errorf("from %s to %s: at %s it goes to %s, not to %s", from, to, at, next, v)
			}
		}
		sum.steps++
		if conditional {
			sum.conditional++
		}
		at = next
	}
	if at != to || sum != all[from][to] {
		t.Errorf("from %s to %s: ends at %s after %+v, want %+v", from, to, at, sum, all[from][to])
	}
}

func TestRealPaths(t *testing.T) {
	for file, want := range map[string][2]int{"stable-4.9_amd64.graph.json": {726, 0}, "amd64-stable-4.13.graph.json": {1069, 763}} {
		pairs, conditional := checkPaths(t, realFile(t, file), 4)
		if pairs != want[0] || conditional != want[1] {
			t.Errorf("%s: %d pairs with a way, %d of them only with risks, want %v", file, pairs, conditional, want)
		}
	}
}
