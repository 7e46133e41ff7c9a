package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxNamed bounds the names that an error text lists.
const maxNamed = 5

// named lists names for an error text.
func named(names []string) string {
	if n := len(names) - maxNamed; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), n)
	}
	return strings.Join(names, ", ")
}

// graph is a channel whose entries can be found by their names.
type graph struct {
	entries map[string]*Entry
	skipped map[string]bool
	head    string
}

// newGraph finds the one head of a channel: the entry that no other, nor itself,
// replaces or skips; a range in skipRange is no such edge (operator-registry,
// alpha/model/model.go, Head).
func newGraph(c *Channel) (*graph, error) {
	if c.broken != "" {
		return nil, errors.New(c.broken)
	}
	if len(c.Entries) == 0 {
		return nil, errors.New("it has no entries")
	}
	g := &graph{entries: make(map[string]*Entry), skipped: make(map[string]bool)}
	replaced := make(map[string]bool)
	for i := range c.Entries {
		e := &c.Entries[i]
		if e.Name == "" || slices.Contains(e.Skips, "") {
			return nil, fmt.Errorf("entry %d, %q, has or skips an empty name", i+1, e.Name)
		}
		if g.entries[e.Name] != nil {
			return nil, fmt.Errorf("entry %q stands twice", e.Name)
		}
		g.entries[e.Name] = e
		replaced[e.Replaces] = true
		for _, name := range e.Skips {
			g.skipped[name] = true
		}
	}
	var heads []string
	for i := range c.Entries {
		if name := c.Entries[i].Name; !replaced[name] && !g.skipped[name] {
			heads = append(heads, name)
		}
	}
	slices.Sort(heads)
	switch len(heads) {
	case 0:
		return nil, errors.New("it has no head: its entries replace or skip each other in a cycle")
	case 1:
		g.head = heads[0]
		return g, nil
	}
	return nil, fmt.Errorf("it has %d heads instead of one: %s", len(heads), named(heads))
}

// check follows the channel down as opm does (operator-registry,
// alpha/model/model.go, validateReplacesChain): what is replaced, but skipped
// too, ends the chain, and all entries are on the chain or skipped.
func (g *graph) check() error {
	chain := map[string]bool{g.head: true}
	for e := g.entries[g.head]; e != nil && e.Replaces != "" && !g.skipped[e.Replaces]; e = g.entries[e.Replaces] {
		if chain[e.Replaces] {
			return fmt.Errorf("its entries replace each other in a cycle, through %q", e.Replaces)
		}
		chain[e.Replaces] = true
	}
	var stranded []string
	for name := range g.entries {
		if !chain[name] && !g.skipped[name] {
			stranded = append(stranded, name)
		}
	}
	if len(stranded) > 0 {
		slices.Sort(stranded)
		return fmt.Errorf("the way down from its head %q does not reach %s", g.head, named(stranded))
	}
	return nil
}

// acyclic refuses channels in which anything replaces or skips itself by way of
// others, also where opm does not look: a selection follows all edges
// (sherine-k/catalog-filter, pkg/filter/mirror-config/v1alpha1/channel.go,
// newChannel).
func (g *graph) acyclic() error {
	incoming := make(map[string]int)
	edges := func(e *Entry, visit func(string)) {
		if e.Replaces != "" {
			visit(e.Replaces)
		}
		for _, name := range e.Skips {
			visit(name)
		}
	}
	for _, e := range g.entries {
		edges(e, func(name string) { incoming[name]++ })
	}
	queue, reached := []string{g.head}, 0
	for len(queue) > 0 {
		e := g.entries[queue[0]]
		queue = queue[1:]
		if e == nil {
			continue
		}
		reached++
		edges(e, func(name string) {
			if incoming[name]--; incoming[name] == 0 {
				queue = append(queue, name)
			}
		})
	}
	if reached == len(g.entries) {
		return nil
	}
	var cycle []string
	for name := range g.entries {
		if incoming[name] > 0 {
			cycle = append(cycle, name)
		}
	}
	slices.Sort(cycle)
	return fmt.Errorf("its entries replace or skip each other in a cycle: %s", named(cycle))
}

// chain lists the entries that replace each other, from the head down. The graph
// is acyclic.
func (g *graph) chain() []*Entry {
	var all []*Entry
	for e := g.entries[g.head]; e != nil; e = g.entries[e.Replaces] {
		all = append(all, e)
	}
	return all
}
