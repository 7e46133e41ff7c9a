package graph

import (
	"container/heap"
	"math"
	"slices"
)

// Path returns the updates from one version to another, without from itself. An
// update with risks is used only where there is no way without: of all ways it is
// that with the fewest such updates, of these one with the fewest updates, and of
// these the one that goes, step by step, to the newest version. No steps lead from a version to
// itself. The errors are [*UnknownVersionError] and [*NoPathError].
func (g *Graph) Path(from, to string) ([]Step, error) {
	start, end, err := g.ends(from, to)
	if err != nil {
		return nil, err
	}
	costs := g.costs(end)
	if costs[start] == unreachable {
		return nil, g.noPath(start, end)
	}
	var steps []Step
	for at := start; at != end; {
		next := edge{other: -1}
		for _, e := range g.nodes[at].out { // the newest comes last
			if costs[e.other] != unreachable && costs[e.other]+g.cost(e) == costs[at] {
				next = e
			}
		}
		steps = append(steps, Step{Node: g.nodes[next.other].Node, Conditional: slices.Clone(next.risks)})
		at = next.other
	}
	return steps, nil
}

// Between returns all versions that are on some way from one version to another, with
// both, the newest last. Updates with risks count like others, since the clusters, not this
// package, judge the risks. The errors are those of [Graph.Path].
func (g *Graph) Between(from, to string) ([]Node, error) {
	start, end, err := g.ends(from, to)
	if err != nil {
		return nil, err
	}
	after := g.reach(start, func(n *node) []edge { return n.out })
	if !after[end] {
		return nil, g.noPath(start, end)
	}
	before := g.reach(end, func(n *node) []edge { return n.in })
	var list []Node
	for i := range g.nodes {
		if after[i] && before[i] {
			list = append(list, g.nodes[i].Node)
		}
	}
	return list, nil
}

func (g *Graph) ends(from, to string) (start, end int, err error) {
	if start, err = g.find(from); err != nil {
		return 0, 0, err
	}
	end, err = g.find(to)
	return start, end, err
}

const unreachable = math.MaxInt64

// cost makes one update with risks dearer than all updates without together.
func (g *Graph) cost(e edge) int64 {
	if len(e.risks) > 0 {
		return int64(len(g.nodes)) + 1
	}
	return 1
}

// costs returns what the cheapest way from each node to end costs (Dijkstra's).
func (g *Graph) costs(end int) []int64 {
	costs := make([]int64, len(g.nodes))
	for i := range costs {
		costs[i] = unreachable
	}
	costs[end] = 0
	open := &queue{{0, end}}
	for open.Len() > 0 {
		at := heap.Pop(open).(entry)
		if at.cost > costs[at.node] {
			continue // reached cheaper since
		}
		for _, e := range g.nodes[at.node].in {
			if c := at.cost + g.cost(e); c < costs[e.other] {
				costs[e.other] = c
				heap.Push(open, entry{c, e.other})
			}
		}
	}
	return costs
}

type entry struct {
	cost int64
	node int
}

// queue is a heap.Interface with the cheapest first.
type queue []entry

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].cost < q[j].cost }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(entry)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// reach marks the nodes that can be reached from one, itself too.
func (g *Graph) reach(from int, edges func(n *node) []edge) []bool {
	reached := make([]bool, len(g.nodes))
	reached[from] = true
	for open := []int{from}; len(open) > 0; {
		at := open[len(open)-1]
		open = open[:len(open)-1]
		for _, e := range edges(&g.nodes[at]) {
			if !reached[e.other] {
				reached[e.other] = true
				open = append(open, e.other)
			}
		}
	}
	return reached
}

func (g *Graph) noPath(start, end int) error {
	reached := g.reach(start, func(n *node) []edge { return n.out })
	var list []string
	for i, n := range g.nodes {
		if reached[i] && i != start {
			list = append(list, n.Version)
		}
	}
	return &NoPathError{
		From:  g.nodes[start].Version,
		To:    g.nodes[end].Version,
		Reach: list[max(0, len(list)-maxReach):],
	}
}
