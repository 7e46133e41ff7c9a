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

// findInChannel resolves versions to digests.
func (f *releaseFlags) findInChannel(ctx context.Context, out *output, wanted *wantedImages) error {
	data, err := f.readGraph(ctx)
	if err != nil {
		return fmt.Errorf("update graph of %s: %w", f.channel, err)
	}
	g, err := graph.Parse(data)
	if err != nil {
		return fmt.Errorf("update graph of %s: %w", f.channel, err)
	}
	nodes, err := f.chooseVersions(out, g)
	if err != nil {
		return fmt.Errorf("channel %s, %s: %w", f.channel, f.arch, err)
	}
	var versions []string
	wanted.versions = make(map[digest.Digest]string)
	for _, node := range nodes {
		ref, err := registry.ParseReference(node.Payload)
		if err != nil || ref.Digest == "" {
			return fmt.Errorf("channel %s: version %s: payload %q is no reference by digest", f.channel, node.Version, node.Payload)
		}
		wanted.releases = append(wanted.releases, transfer.Wanted{Name: ref, Root: ref.Digest})
		wanted.versions[ref.Digest] = node.Version
		versions = append(versions, node.Version)
	}
	out.message("channel %s, %s: %s", f.channel, f.arch, strings.Join(versions, ", "))
	return nil
}

func (f *releaseFlags) readGraph(ctx context.Context) ([]byte, error) {
	if strings.HasPrefix(f.graph, "http://") || strings.HasPrefix(f.graph, "https://") {
		return graph.Fetch(ctx, httpClient(), f.graph, f.channel, f.arch)
	}
	return readBounded(f.graph)
}

// chooseVersions returns the releases to carry: what runs at the site is not among
// them, unless it is all that is asked for.
func (f *releaseFlags) chooseVersions(out *output, g *graph.Graph) ([]graph.Node, error) {
	to := f.to
	if to == "" {
		latest, ok := g.Latest()
		if !ok {
			return nil, errors.New("the graph has no version")
		}
		to = latest.Version
	}
	if f.from == "" {
		node, err := g.Node(to)
		return []graph.Node{node}, err
	}
	if f.allVersions {
		nodes, err := g.Between(f.from, to)
		nodes = slices.DeleteFunc(nodes, func(n graph.Node) bool { return n.Version == f.from })
		for _, node := range nodes {
			steps, err := g.Path(f.from, node.Version)
			if err != nil {
				return nil, err
			}
			sayRisks(out, steps[len(steps)-1])
		}
		return nodes, newest(nodes, f.from, err)
	}
	steps, err := g.Path(f.from, to)
	if err != nil {
		return nil, err
	}
	var nodes []graph.Node
	for _, step := range steps {
		nodes = append(nodes, step.Node)
		sayRisks(out, step)
	}
	return nodes, newest(nodes, f.from, nil)
}

func sayRisks(out *output, step graph.Step) {
	for _, risk := range step.Conditional {
		out.message("warning: the update to %s has a known risk, %s: %s %s", step.Node.Version, oneLine(risk.Name), oneLine(risk.Message), oneLine(risk.URL))
	}
}

// errNewest says that a channel has no update.
var errNewest = errors.New("nothing is to be done")

func newest(nodes []graph.Node, from string, err error) error {
	if err == nil && len(nodes) == 0 {
		return fmt.Errorf("%s is there already: %w", from, errNewest)
	}
	return err
}

// oneLine keeps what comes from outside from looking like several messages.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
