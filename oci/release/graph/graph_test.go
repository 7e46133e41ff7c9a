package graph_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"satchel/oci/release/graph"
)

// text writes a graph: "a b" are versions, "a>b" an edge, "a>b!x,y" a conditional
// one with the risks x and y.
func text(description string) string {
	type conditional struct {
		Edges []map[string]string `json:"edges"`
		Risks []map[string]any    `json:"risks"`
	}
	var doc struct {
		Version     int              `json:"version"`
		Nodes       []map[string]any `json:"nodes"`
		Edges       [][2]int         `json:"edges"`
		Conditional []conditional    `json:"conditionalEdges"`
	}
	doc.Version, doc.Edges = 1, [][2]int{}
	place := make(map[string]int)
	for _, field := range strings.Fields(description) {
		from, rest, isEdge := strings.Cut(field, ">")
		if !isEdge {
			place[field] = len(doc.Nodes)
			doc.Nodes = append(doc.Nodes, map[string]any{"version": field, "payload": payload(field)})
			continue
		}
		to, risks, isConditional := strings.Cut(rest, "!")
		if !isConditional {
			doc.Edges = append(doc.Edges, [2]int{place[from], place[to]})
			continue
		}
		c := conditional{Edges: []map[string]string{{"from": from, "to": to}}}
		for _, name := range strings.Split(risks, ",") {
			c.Risks = append(c.Risks, map[string]any{"name": name, "message": "because of " + name, "url": "https://example.com/" + name,
				"matchingRules": []any{map[string]string{"type": "Always"}}})
		}
		doc.Conditional = append(doc.Conditional, c)
	}
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func payload(version string) string {
	return fmt.Sprintf("quay.io/openshift-release-dev/ocp-release@sha256:%064x", version)
}

func parse(t testing.TB, data string) *graph.Graph {
	t.Helper()
	g, err := graph.Parse([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// show writes steps as "b c!x,y", or the error.
func show(steps []graph.Step, err error) string {
	var unknown *graph.UnknownVersionError
	var none *graph.NoPathError
	switch {
	case errors.As(err, &unknown):
		return fmt.Sprintf("unknown %s, near %s", unknown.Version, strings.Join(unknown.Near, " "))
	case errors.As(err, &none):
		return fmt.Sprintf("none from %s to %s, but %s", none.From, none.To, strings.Join(none.Reach, " "))
	case err != nil:
		return err.Error()
	}
	var list []string
	for _, s := range steps {
		var risks []string
		for _, r := range s.Conditional {
			risks = append(risks, r.Name)
		}
		version := s.Node.Version
		if s.Node.Payload != payload(version) {
			version += " with another payload"
		}
		if len(risks) > 0 {
			version += "!" + strings.Join(risks, ",")
		}
		list = append(list, version)
	}
	return strings.Join(list, " ")
}

func TestPath(t *testing.T) {
	const line = "4.9.0 4.10.0 4.11.0 4.12.0 "
	for _, test := range []struct {
		name, graph, from, to, want string
	}{
		{"itself", "4.9.0", "4.9.0", "4.9.0", ""},
		{"one", line + "4.9.0>4.10.0", "4.9.0", "4.10.0", "4.10.0"},
		{"shortest", line + "4.9.0>4.10.0 4.10.0>4.11.0 4.11.0>4.12.0 4.9.0>4.11.0", "4.9.0", "4.12.0", "4.11.0 4.12.0"},
		{"newest, 10 is more than 9", "4.8.0 4.9.0 4.10.0 4.11.0 4.8.0>4.9.0 4.8.0>4.10.0 4.9.0>4.11.0 4.10.0>4.11.0", "4.8.0", "4.11.0", "4.10.0 4.11.0"},
		{"a release is newer than its candidate", "4.8.0 4.9.0 4.9.0-rc.1 4.11.0 4.8.0>4.9.0 4.8.0>4.9.0-rc.1 4.9.0>4.11.0 4.9.0-rc.1>4.11.0", "4.8.0", "4.11.0", "4.9.0 4.11.0"},
		{"short before new", "4.8.0 4.9.0 4.10.0 4.11.0 4.8.0>4.9.0 4.9.0>4.11.0 4.8.0>4.10.0 4.10.0>4.9.0", "4.8.0", "4.11.0", "4.9.0 4.11.0"},
		{"long before conditional", line + "4.9.0>4.12.0!a 4.9.0>4.10.0 4.10.0>4.11.0 4.11.0>4.12.0", "4.9.0", "4.12.0", "4.10.0 4.11.0 4.12.0"},
		{"only conditional", line + "4.9.0>4.12.0!a,b 4.9.0>4.10.0", "4.9.0", "4.12.0", "4.12.0!a,b"},
		{"one conditional before two", line + "4.9.0>4.11.0!a 4.11.0>4.12.0!b 4.9.0>4.10.0 4.10.0>4.11.0", "4.9.0", "4.12.0", "4.10.0 4.11.0 4.12.0!b"},
		{"both kinds: conditional", line + "4.9.0>4.10.0 4.9.0>4.10.0!a", "4.9.0", "4.10.0", "4.10.0!a"},
		{"two lists of risks", line + "4.9.0>4.10.0!a,b 4.9.0>4.10.0!b,c 4.10.0>4.11.0!a,b", "4.9.0", "4.11.0", "4.10.0!a,b,c 4.11.0!a,b"},
		{"edges to elsewhere", line + "4.9.0>4.10.0 4.10.0>4.13.0!a 4.8.0>4.9.0!a", "4.9.0", "4.10.0", "4.10.0"},
		{"a circle", line + "4.9.0>4.10.0 4.10.0>4.9.0 4.10.0>4.10.0 4.10.0>4.11.0", "4.9.0", "4.11.0", "4.10.0 4.11.0"},
		{"a gap", line + "4.9.0>4.10.0 4.11.0>4.12.0", "4.9.0", "4.12.0", "none from 4.9.0 to 4.12.0, but 4.10.0"},
		{"the end", line + "4.9.0>4.10.0", "4.10.0", "4.9.0", "none from 4.10.0 to 4.9.0, but "},
		{"much can be reached", "4.8.0 4.8.1 4.8.2 4.8.3 4.8.4 4.8.5 4.8.6 4.9.0 4.8.0>4.8.1 4.8.0>4.8.2 4.8.0>4.8.3!a 4.8.0>4.8.4 4.8.0>4.8.5 4.8.5>4.8.6",
			"4.8.0", "4.9.0", "none from 4.8.0 to 4.9.0, but 4.8.2 4.8.3 4.8.4 4.8.5 4.8.6"},
		{"unknown from", line, "4.10.1", "4.12.0", "unknown 4.10.1, near 4.9.0 4.10.0 4.11.0 4.12.0"},
		{"unknown to", line, "4.9.0", "4.13.0", "unknown 4.13.0, near 4.9.0 4.10.0 4.11.0 4.12.0"},
		{"six are near", "1.0.1 1.0.2 1.0.3 1.0.4 1.0.6 1.0.7 1.0.8 1.0.9", "1.0.5", "1.0.1", "unknown 1.0.5, near 1.0.2 1.0.3 1.0.4 1.0.6 1.0.7 1.0.8"},
		{"near the first", "1.0.1 1.0.2 1.0.3 1.0.4 1.0.6 1.0.7 1.0.8 1.0.9", "1.0.0", "1.0.1", "unknown 1.0.0, near 1.0.1 1.0.2 1.0.3 1.0.4 1.0.6 1.0.7"},
		{"no version", "1.0.1 1.0.2", "latest", "1.0.1", "unknown latest, near 1.0.1 1.0.2"},
		{"empty graph", "", "1.0.1", "1.0.2", "unknown 1.0.1, near "},
	} {
		if got := show(parse(t, text(test.graph)).Path(test.from, test.to)); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestPathRisks(t *testing.T) {
	steps, err := parse(t, text("4.9.0 4.10.0 4.9.0>4.10.0!a")).Path("4.9.0", "4.10.0")
	if err != nil {
		t.Fatal(err)
	}
	want := graph.Risk{Name: "a", Message: "because of a", URL: "https://example.com/a"}
	if len(steps) != 1 || !slices.Equal(steps[0].Conditional, []graph.Risk{want}) {
		t.Errorf("got %+v", steps)
	}
}

// TestPathRisksApart has two edges that share a list of risks and get one more each.
func TestPathRisksApart(t *testing.T) {
	data := text("4.8.0 4.9.0 4.10.0 4.8.0>4.9.0!a,b,c 4.8.0>4.9.0!d 4.9.0>4.10.0!e")
	shared := `"to":"4.9.0"},{"from":"4.9.0","to":"4.10.0"}]`
	data = strings.Replace(data, `"to":"4.9.0"}]`, shared, 1)
	if got := show(parse(t, data).Path("4.8.0", "4.10.0")); got != "4.9.0!a,b,c,d 4.10.0!a,b,c,e" {
		t.Errorf("got %s", got)
	}
}

func TestBetween(t *testing.T) {
	const all = "4.9.0 4.9.1 4.10.0 4.11.0 4.12.0 4.9.0>4.10.0 4.9.0>4.12.0 4.10.0>4.11.0!a 4.11.0>4.12.0 4.9.1>4.12.0 4.9.0>4.9.1"
	for _, test := range []struct{ graph, from, to, want string }{
		{all, "4.9.0", "4.12.0", "4.9.0 4.9.1 4.10.0 4.11.0 4.12.0"},
		{all, "4.9.0", "4.11.0", "4.9.0 4.10.0 4.11.0"},
		{all, "4.9.1", "4.12.0", "4.9.1 4.12.0"},
		{all, "4.9.1", "4.9.1", "4.9.1"},
		{all, "4.9.1", "4.11.0", "none from 4.9.1 to 4.11.0, but 4.12.0"},
		{all, "4.9.1", "4.11.1", "unknown 4.11.1, near 4.9.0 4.9.1 4.10.0 4.11.0 4.12.0"},
		{all, "4.9.2", "4.11.0", "unknown 4.9.2, near 4.9.0 4.9.1 4.10.0 4.11.0 4.12.0"},
	} {
		nodes, err := parse(t, text(test.graph)).Between(test.from, test.to)
		var steps []graph.Step
		for _, n := range nodes {
			steps = append(steps, graph.Step{Node: n})
		}
		if got := show(steps, err); got != test.want {
			t.Errorf("from %s to %s: got %q, want %q", test.from, test.to, got, test.want)
		}
	}
}

func TestLatest(t *testing.T) {
	for graph, want := range map[string]string{
		"":                            "",
		"4.9.0 4.10.0":                "4.10.0",
		"4.10.0 4.10.0-rc.9 4.9.9":    "4.10.0",
		"4.10.0-rc.9 4.10.0-rc.10":    "4.10.0-rc.10",
		"4.10.0-ec.9 4.10.0-fc.0":     "4.10.0-fc.0",
		"4.10.2 4.10.10 4.10.1":       "4.10.10",
		"4.10.0+a 4.10.0+b 4.10.0-rc": "4.10.0+b",
	} {
		n, ok := parse(t, text(graph)).Latest()
		if n.Version != want || ok != (want != "") || ok && n.Payload != payload(want) {
			t.Errorf("%q: got %+v, %t, want %s", graph, n, ok, want)
		}
	}
}

func TestNode(t *testing.T) {
	g := parse(t, text("4.9.0 4.10.0"))
	if n, err := g.Node("4.9.0"); err != nil || n.Payload != payload("4.9.0") {
		t.Errorf("got %+v, %v", n, err)
	}
	var unknown *graph.UnknownVersionError
	if _, err := g.Node("4.9.1"); !errors.As(err, &unknown) || !strings.Contains(err.Error(), "4.10.0") {
		t.Errorf("got %v", err)
	}
}

func TestParseRefuses(t *testing.T) {
	node := func(version string) string {
		return fmt.Sprintf(`{"version":%q,"payload":%q}`, version, payload(version))
	}
	two := `"nodes":[` + node("4.9.0") + "," + node("4.10.0") + "]"
	for _, test := range []struct{ data, want string }{
		{"", "unexpected EOF"},
		{"null", "not a JSON object"},
		{"[]", "not a JSON object"},
		{"{", "unexpected EOF"},
		{"{}", "no list of nodes"},
		{"{" + two + "}", "none of edges"},
		{"{" + two + `,"edges":[]}{}`, "data after the end"},
		{"{" + two + `,"edges":[]} x`, "data after the end"},
		{"{" + two + `,"edges":[]`, "unexpected EOF"},
		{"{" + two + `,"edges":[`, "unexpected EOF"},
		{"{" + two + `,"edges"`, "EOF"},
		{"{" + two + `,"edges":[],"edges":[]}`, `key "edges" twice`},
		{"{" + two + `,"edges":{}}`, "edges: not a list"},
		{`{"version":2,` + two + `,"edges":[]}`, "version: 2 is not supported"},
		{`{"version":"1",` + two + `,"edges":[]}`, "version: json"},
		{"{" + two + `,"edges":[[0]]}`, "edge with 1 ends"},
		{"{" + two + `,"edges":[[0,1,1]]}`, "edge with 3 ends"},
		{"{" + two + `,"edges":[[0,2]]}`, "edge [0,2] is not between"},
		{"{" + two + `,"edges":[[-1,0]]}`, "edge [-1,0] is not between"},
		{"{" + two + `,"edges":[["0",1]]}`, "cannot unmarshal"},
		{`{"nodes":[` + node("4.9.0") + "," + node("4.9.0") + `],"edges":[]}`, "version 4.9.0 twice"},
		{`{"nodes":[` + node("4.9") + `],"edges":[]}`, `version "4.9"`},
		{`{"nodes":[` + node("v4.9.0") + `],"edges":[]}`, `version "v4.9.0"`},
		{`{"nodes":[{"version":"4.9.0","payload":"quay.io/x/y:4.9.0"}],"edges":[]}`, "is not REPOSITORY@DIGEST"},
		{`{"nodes":[{"version":"4.9.0"}],"edges":[]}`, "is not REPOSITORY@DIGEST"},
		{`{"nodes":[{"version":"4.9.0","payload":"` + payload("") + `0"}],"edges":[]}`, "is not REPOSITORY@DIGEST"},
		{`{"nodes":[7],"edges":[]}`, "nodes: json"},
		{"{" + two + `,"edges":[],"conditionalEdges":[{"edges":[{"from":"4.9.0","to":"4.10.0"}],"risks":[]}]}`, "edges without a risk"},
		{text("4.9.0 4.10.0 4.9.0>4.10.0!" + strings.Repeat("x,", 40)), "more than 32 risks"},
		{text("4.9.0 4.10.0 " + manyRisks(40)), "more than 32 risks"},
		{strings.Repeat(" ", graph.MaxSize+1), "are more than"},
		{`{"nodes":[],"edges":[` + strings.Repeat("[0,0],", graph.MaxEdges) + "[0,0]]}", "edges: more than 200000"},
		{"{" + two + `,"edges":[],"Edges":[]}`, `key "Edges" where "edges" belongs`},
		{`{"nodes":[` + strings.Repeat(node("4.9.0")+",", graph.MaxNodes) + node("4.9.0") + `],"edges":[]}`, "nodes: more than 20000"},
	} {
		g, err := graph.Parse([]byte(test.data))
		if err == nil || g != nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), "update graph: ") {
			t.Errorf("%.200s: got %v, want %q", test.data, err, test.want)
		}
	}
}

// manyRisks lists one edge under many lists of one risk each.
func manyRisks(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "4.9.0>4.10.0!risk%d ", i)
	}
	return b.String()
}

func TestParseTolerates(t *testing.T) {
	for _, data := range []string{
		`{"nodes":[],"edges":[]}`,
		`{"nodes":null,"edges":null,"conditionalEdges":null}`,
		`{"version":1,"nodes":[],"edges":[],"new":{"a":[1,{}]},"new":2}`,
		`{"nodes":[{"version":"4.9.0","payload":"` + payload("") + `","metadata":null,"new":1}],"edges":[]}` + "\n",
	} {
		if _, err := graph.Parse([]byte(data)); err != nil {
			t.Errorf("%s: %v", data, err)
		}
	}
}
