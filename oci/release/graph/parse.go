package graph

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
)

// maxRisks bounds the risks of an edge, which are compared with each other; real
// ones have up to 6.
const maxRisks = 32

// A pullspec by digest; package oci checks the repository more closely.
var validPayload = regexp.MustCompile(`^[^\s@]+@sha256:[0-9a-f]{64}$`)

// Parse reads a graph in the JSON of the update service, version 1 (a missing
// version counts as 1). Keys that it does not know are passed over. What is there must be
// right: versions distinct and semantic, payloads by digest, edges between nodes.
// Only conditional edges may name versions that are no nodes; nobody can go there, and
// clusters look only at those from their own version.
// An edge that is listed as conditional and as unconditional is conditional, as
// clusters have it (openshift/cluster-version-operator,
// pkg/cincinnati/cincinnati.go); one that is listed under several lists of risks has them all.
func Parse(data []byte) (*Graph, error) {
	g, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("update graph: %w", err)
	}
	return g, nil
}

// document is a graph as it stands in JSON. It is read element by element, so that
// a few bytes of text cannot stand for very much memory.
type document struct {
	nodes       []node
	edges       [][2]int
	conditional []conditionalEdge
}

type conditionalEdge struct {
	from, to string
	risks    []Risk
}

func parse(data []byte) (*Graph, error) {
	if len(data) > MaxSize {
		return nil, fmt.Errorf("%d bytes are more than %d", len(data), MaxSize)
	}
	var doc document
	d := json.NewDecoder(bytes.NewReader(data))
	if err := doc.read(d); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("data after the end of the JSON document")
	}
	return build(&doc)
}

func (doc *document) read(d *json.Decoder) error {
	if token, err := d.Token(); err != nil {
		return noEOF(err)
	} else if token != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	seen := make(map[string]bool)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return noEOF(err)
		}
		key, _ := token.(string)
		switch key {
		case "version", "nodes", "edges", "conditionalEdges":
			if seen[key] {
				return fmt.Errorf("key %q twice", key)
			}
			seen[key] = true
		}
		switch key {
		case "version":
			var version int
			if err = d.Decode(&version); err == nil && version != 1 {
				err = fmt.Errorf("%d is not supported, only 1", version)
			}
		case "nodes":
			err = list(d, func() error { return doc.readNode(d) })
		case "edges":
			err = list(d, func() error { return doc.readEdge(d) })
		case "conditionalEdges":
			err = list(d, func() error { return doc.readConditional(d) })
		default:
			// Clusters do not mind the case of a key, so it must not be passed over.
			for _, known := range []string{"version", "nodes", "edges", "conditionalEdges"} {
				if strings.EqualFold(key, known) {
					return fmt.Errorf("key %q where %q belongs", key, known)
				}
			}
			err = d.Decode(new(json.RawMessage))
		}
		if err != nil {
			return fmt.Errorf("%.40s: %w", key, noEOF(err))
		}
	}
	if _, err := d.Token(); err != nil {
		return noEOF(err)
	}
	if !seen["nodes"] || !seen["edges"] {
		return errors.New("no list of nodes or none of edges")
	}
	return nil
}

// list reads a JSON list, or null for an empty one; read reads an element.
func list(d *json.Decoder, read func() error) error {
	token, err := d.Token()
	if err != nil || token == nil {
		return err
	}
	if token != json.Delim('[') {
		return errors.New("not a list")
	}
	for d.More() {
		if err := read(); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// noEOF makes sure that the end of the text is not taken for that of a loop.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (doc *document) readNode(d *json.Decoder) error {
	if len(doc.nodes) == MaxNodes {
		return fmt.Errorf("more than %d", MaxNodes)
	}
	var n struct {
		Version, Payload string
		Metadata         map[string]string
	}
	if err := d.Decode(&n); err != nil {
		return err
	}
	version, err := semver.Parse(n.Version)
	if err != nil {
		return fmt.Errorf("version %.80q: %w", n.Version, err)
	}
	if !validPayload.MatchString(n.Payload) {
		return fmt.Errorf("version %s: payload %.120q is not REPOSITORY@DIGEST", n.Version, n.Payload)
	}
	doc.nodes = append(doc.nodes, node{Node: Node{n.Version, n.Payload, n.Metadata}, version: version})
	return nil
}

func (doc *document) readEdge(d *json.Decoder) error {
	if len(doc.edges) == MaxEdges {
		return fmt.Errorf("more than %d", MaxEdges)
	}
	var ends []int // not an array: that would be filled up, or cut, in silence
	if err := d.Decode(&ends); err != nil {
		return err
	}
	if len(ends) != 2 {
		return fmt.Errorf("edge with %d ends", len(ends))
	}
	doc.edges = append(doc.edges, [2]int(ends))
	return nil
}

func (doc *document) readConditional(d *json.Decoder) error {
	var group struct {
		Edges []struct{ From, To string }
		Risks []Risk
	}
	if err := d.Decode(&group); err != nil {
		return err
	}
	if len(group.Edges) > MaxEdges-len(doc.conditional) {
		return fmt.Errorf("more than %d edges", MaxEdges)
	}
	if len(group.Risks) == 0 {
		return errors.New("edges without a risk: nothing says to which clusters they are recommended")
	}
	if len(group.Risks) > maxRisks {
		return fmt.Errorf("more than %d risks", maxRisks)
	}
	for _, e := range group.Edges {
		doc.conditional = append(doc.conditional, conditionalEdge{e.From, e.To, group.Risks})
	}
	return nil
}

// build checks the document as a whole. It takes the nodes over.
func build(doc *document) (*Graph, error) {
	// Edges name nodes by their place in the document; here they are sorted.
	order := make([]int, len(doc.nodes))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return byVersion(doc.nodes[a], doc.nodes[b]) })
	g := &Graph{nodes: make([]node, len(order)), index: make(map[string]int, len(order))}
	place := make([]int, len(order))
	for i, o := range order {
		g.nodes[i], place[o] = doc.nodes[o], i
		if _, twice := g.index[doc.nodes[o].Version]; twice {
			return nil, fmt.Errorf("version %s twice", doc.nodes[o].Version)
		}
		g.index[doc.nodes[o].Version] = i
	}

	risks := make(map[[2]int][]Risk, len(doc.edges))
	for _, e := range doc.edges {
		if e[0] < 0 || e[0] >= len(place) || e[1] < 0 || e[1] >= len(place) {
			return nil, fmt.Errorf("edge [%d,%d] is not between two of %d nodes", e[0], e[1], len(place))
		}
		risks[[2]int{place[e[0]], place[e[1]]}] = nil
	}
	for _, e := range doc.conditional {
		from, ok := g.index[e.from]
		to, okTo := g.index[e.to]
		if !ok || !okTo {
			continue
		}
		ends := [2]int{from, to}
		if risks[ends] = join(risks[ends], e.risks); len(risks[ends]) > maxRisks {
			return nil, fmt.Errorf("edge from %s to %s has more than %d risks", e.from, e.to, maxRisks)
		}
	}
	for _, ends := range slices.SortedFunc(maps.Keys(risks), func(a, b [2]int) int { return slices.Compare(a[:], b[:]) }) {
		from, to := ends[0], ends[1]
		g.nodes[from].out = append(g.nodes[from].out, edge{to, risks[ends]})
		g.nodes[to].in = append(g.nodes[to].in, edge{from, risks[ends]})
	}
	return g, nil
}

// join adds the risks that are not there yet.
func join(risks, more []Risk) []Risk {
	if len(risks) == 0 {
		return more
	}
	risks = slices.Clip(risks) // other edges share it
	for _, r := range more {
		if !slices.Contains(risks, r) {
			risks = append(risks, r)
		}
	}
	return risks
}
