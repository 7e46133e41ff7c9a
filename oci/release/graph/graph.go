// Package graph answers questions about the update graph of OpenShift: which
// releases there are in a channel, and over which of them a cluster gets from one
// version to another.
//
// The graph comes from Red Hat's update service, or from one at a site
// (openshift/cincinnati, docs/design/openshift.md). Start with [Fetch] and [Parse].
package graph

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
)

// Limits on what is accepted from outside. The largest real channels have some
// hundred nodes and ten thousand edges.
const (
	MaxSize  = 16 << 20 // bytes of a graph
	MaxNodes = 20_000
	MaxEdges = 200_000 // of the conditional ones as well as of the others
)

// Node is a release.
type Node struct {
	// Version is a semantic version: "4.16.3".
	Version string
	// Payload is REPOSITORY@DIGEST of the release image, by SHA-256.
	Payload string
	// Metadata may be nil. It is shared by all copies of the node; nobody changes it.
	Metadata map[string]string
}

// Risk is a reason why Red Hat recommends an update only to some clusters.
type Risk struct{ Name, Message, URL string }

// Step is one update on the way to a version.
type Step struct {
	// Node is what the cluster is updated to.
	Node Node
	// Conditional has the risks of this update; empty when it is
	// recommended to every cluster.
	Conditional []Risk
}

// Graph is a parsed update graph. It does not change and may be used concurrently.
type Graph struct {
	nodes []node // by version, the newest last
	index map[string]int
}

type node struct {
	Node
	version semver.Version
	out, in []edge
}

// edge leads to a node (or from it, in the list in), of which other is the index.
type edge struct {
	other int
	risks []Risk // not empty when conditional
}

// UnknownVersionError says that the graph does not have a version.
type UnknownVersionError struct {
	Version string
	// Near are versions that the graph has, the nearest before and after, in
	// their order; none when the graph has no version at all, as that
	// of a channel that does not exist.
	Near []string
}

func (e *UnknownVersionError) Error() string {
	if len(e.Near) == 0 {
		return fmt.Sprintf("version %.80q is not in the graph, which has no versions", e.Version)
	}
	return fmt.Sprintf("version %.80q is not in the graph; near it are %s", e.Version, strings.Join(e.Near, ", "))
}

// NoPathError says that no updates lead from a version to another.
type NoPathError struct {
	From, To string
	// Reach are the newest versions that can be reached from From, at most 5, in their order.
	Reach []string
}

func (e *NoPathError) Error() string {
	if len(e.Reach) == 0 {
		return fmt.Sprintf("no update leads from %s to %s: none leads from %s at all", e.From, e.To, e.From)
	}
	return fmt.Sprintf("no update leads from %s to %s; the newest that can be reached: %s", e.From, e.To, strings.Join(e.Reach, ", "))
}

const (
	maxNear  = 6 // half of them before, half after
	maxReach = 5
)

// Latest returns the node with the newest version; false when there is none.
func (g *Graph) Latest() (Node, bool) {
	if len(g.nodes) == 0 {
		return Node{}, false
	}
	return g.nodes[len(g.nodes)-1].Node, true
}

// Node returns the node of a version.
func (g *Graph) Node(version string) (Node, error) {
	i, err := g.find(version)
	if err != nil {
		return Node{}, err
	}
	return g.nodes[i].Node, nil
}

func (g *Graph) find(version string) (int, error) {
	if i, ok := g.index[version]; ok {
		return i, nil
	}
	return 0, &UnknownVersionError{Version: version, Near: g.near(version)}
}

// near lists versions around a version, or the newest for what is no version.
func (g *Graph) near(version string) []string {
	at := len(g.nodes)
	if v, err := semver.ParseTolerant(version); err == nil {
		at, _ = slices.BinarySearchFunc(g.nodes, v, func(n node, v semver.Version) int { return n.version.Compare(v) })
	}
	first := max(0, at-maxNear/2)
	last := min(len(g.nodes), first+maxNear)
	first = max(0, last-maxNear)
	return g.versions(first, last)
}

func (g *Graph) versions(first, last int) []string {
	list := make([]string, 0, last-first)
	for _, n := range g.nodes[first:last] {
		list = append(list, n.Version)
	}
	return list
}

// byVersion orders nodes; build metadata, which semantic versions do not order by,
// last.
func byVersion(a, b node) int {
	return cmp.Or(a.version.Compare(b.version), strings.Compare(a.Version, b.Version))
}
