package graph

// Range returns the versions of the channel from one to another, with both, the
// newest last, whatever ways lead between them. Empty bounds are none. A bound that
// the graph does not have is an [*UnknownVersionError].
func (g *Graph) Range(from, to string) ([]Node, error) {
	first, last := 0, len(g.nodes)-1
	var err error
	if from != "" {
		if first, err = g.find(from); err != nil {
			return nil, err
		}
	}
	if to != "" {
		if last, err = g.find(to); err != nil {
			return nil, err
		}
	}
	var nodes []Node
	for i := first; i <= last; i++ {
		nodes = append(nodes, g.nodes[i].Node)
	}
	return nodes, nil
}
