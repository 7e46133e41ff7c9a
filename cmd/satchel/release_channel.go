package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/oci/registry"
	"satchel/oci/release/graph"
	"satchel/transfer"
)

// wantedChannel is what is wanted of the update graph of a channel.
type wantedChannel struct {
	name, arch string
	// graph is the URL or file of the update graph.
	graph    string
	from, to string // empty: see reach
	reach    channelReach
}

// channelReach says which versions of a channel are wanted.
type channelReach int

const (
	// onPath wants the versions on the shortest way, without the first, which runs
	// at the site already; with no first version the last alone.
	onPath channelReach = iota
	// onWays wants those on any way, without the first.
	onWays
	// onPathWithFirst and allBetween are those of an ImageSetConfiguration, in
	// which the first is wanted too.
	onPathWithFirst
	allBetween
)

func (c wantedChannel) String() string { return c.name + ", " + c.arch }

// request says in a few words what is wanted.
func (c wantedChannel) request() string {
	s := c.name + " " + c.arch
	if c.from != "" {
		s += " from " + c.from
	}
	if c.to != "" {
		s += " to " + c.to
	}
	return s + [...]string{"", " all", " path", " range"}[c.reach]
}

// errGraph begins errors of update graphs.
var errGraph = errors.New("the update graph")

// find resolves versions to digests.
func (c wantedChannel) find(ctx context.Context, out *output, wanted *wantedImages) error {
	data, err := c.readGraph(ctx)
	if err != nil {
		return fmt.Errorf("%w of %s: %w", errGraph, c.name, err)
	}
	g, err := graph.Parse(data)
	if err != nil {
		return fmt.Errorf("%w of %s: %w", errGraph, c.name, err)
	}
	nodes, err := c.choose(out, g)
	if err != nil {
		return fmt.Errorf("channel %s: %w", c, err)
	}
	var versions []string
	if wanted.versions == nil {
		wanted.versions = make(map[digest.Digest]string)
	}
	for _, node := range nodes {
		ref, err := registry.ParseReference(node.Payload)
		if err != nil || ref.Digest == "" {
			return fmt.Errorf("channel %s: version %s: payload %q is no reference by digest", c.name, node.Version, node.Payload)
		}
		wanted.releases = append(wanted.releases, transfer.Wanted{Name: ref, Root: ref.Digest})
		wanted.versions[ref.Digest] = node.Version
		versions = append(versions, node.Version)
	}
	out.message("channel %s: %s", c, strings.Join(versions, ", "))
	return nil
}

func (c wantedChannel) readGraph(ctx context.Context) ([]byte, error) {
	if strings.HasPrefix(c.graph, "http://") || strings.HasPrefix(c.graph, "https://") {
		return graph.Fetch(ctx, httpClient(), c.graph, c.name, c.arch)
	}
	return readBounded(c.graph)
}

// choose returns the releases to carry.
func (c wantedChannel) choose(out *output, g *graph.Graph) ([]graph.Node, error) {
	to := c.to
	if to == "" {
		latest, ok := g.Latest()
		if !ok {
			return nil, fmt.Errorf("%w has no version", errGraph)
		}
		to = latest.Version
	}
	switch {
	case c.reach == allBetween:
		return g.Range(c.from, to)
	case c.reach == onPathWithFirst:
		return c.pathWithFirst(out, g, to)
	case c.from == "":
		node, err := g.Node(to)
		return []graph.Node{node}, err
	case c.reach == onWays:
		return c.allOnWays(out, g, to)
	}
	nodes, err := onPathTo(out, g, c.from, to)
	if err != nil {
		return nil, err
	}
	return nodes, newest(nodes, c.from)
}

// onPathTo returns the versions on the shortest way, without the first.
func onPathTo(out *output, g *graph.Graph, from, to string) (nodes []graph.Node, err error) {
	steps, err := g.Path(from, to)
	for _, step := range steps {
		nodes = append(nodes, step.Node)
		sayRisks(out, step)
	}
	return nodes, err
}

// pathWithFirst returns the versions on the shortest way; without from, it begins
// with the first of the channel.
func (c wantedChannel) pathWithFirst(out *output, g *graph.Graph, to string) ([]graph.Node, error) {
	all, err := g.Range(c.from, to)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	nodes, err := onPathTo(out, g, all[0].Version, to)
	return append(all[:1:1], nodes...), err
}

// allOnWays returns the versions on any way, without the first.
func (c wantedChannel) allOnWays(out *output, g *graph.Graph, to string) ([]graph.Node, error) {
	nodes, err := g.Between(c.from, to)
	if err != nil {
		return nil, err
	}
	nodes = slices.DeleteFunc(nodes, func(n graph.Node) bool { return n.Version == c.from })
	for _, node := range nodes {
		steps, err := g.Path(c.from, node.Version)
		if err != nil {
			return nil, err
		}
		sayRisks(out, steps[len(steps)-1])
	}
	return nodes, newest(nodes, c.from)
}

func sayRisks(out *output, step graph.Step) {
	for _, risk := range step.Conditional {
		out.message("warning: the update to %s has a known risk, %s: %s %s", step.Node.Version, oneLine(risk.Name), oneLine(risk.Message), oneLine(risk.URL))
	}
}

// errNewest says that a channel has no update.
var errNewest = errors.New("nothing is to be done")

func newest(nodes []graph.Node, from string) error {
	if len(nodes) == 0 {
		return fmt.Errorf("%s is there already: %w", from, errNewest)
	}
	return nil
}

// oneLine keeps what comes from outside from looking like several messages.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
