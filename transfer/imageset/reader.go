package imageset

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxEntries bounds the values that are read, those behind aliases once for each
// alias. Real files have some hundred.
const maxEntries = 50_000

const maxMerges = 16 // of "<<" within "<<"

// versions is a set of API versions.
type versions uint8

const (
	v1alpha2 versions = 1 << iota
	v2alpha1
	everywhere = v1alpha2 | v2alpha1
)

func (v versions) String() string {
	if v == v1alpha2 {
		return "v1alpha2"
	}
	return "v2alpha1"
}

// reader walks a configuration, and notes what it finds.
type reader struct {
	version  versions
	config   Config
	findings []Finding
	full     bool // there were more findings than MaxFindings
	entries  int
	bounds   []bound // of the catalog that is being read
	asked    bool    // for something to pack, be it valid or not
}

func (r *reader) note(f Finding) {
	if len(r.findings) == MaxFindings {
		r.full = true
		return
	}
	r.findings = append(r.findings, f)
}

func (r *reader) problem(line int, key, format string, args ...any) {
	r.note(Finding{Line: line, Key: key, Problem: fmt.Sprintf(format, args...)})
}

func (r *reader) unsupported(line int, key, text string) {
	r.note(Finding{Line: line, Key: key, Problem: text, Unsupported: true})
}

// field is a key of a mapping. read is not called for null.
type field struct {
	name string
	in   versions
	read func(n *yaml.Node, key string)
}

// as makes a field of a way to read a value.
func as[T any](name string, in versions, to *T, read func(n *yaml.Node, key string) T) field {
	return field{name, in, func(n *yaml.Node, key string) { *to = read(n, key) }}
}

// needed is a field that must not be an empty string; that it is there at all
// is for required to see.
func needed[T any](r *reader, name string, to *T, read func(n *yaml.Node, key string) T) field {
	return field{name, everywhere, func(n *yaml.Node, key string) {
		if n.Kind == yaml.ScalarNode && n.Value == "" {
			r.problem(n.Line, key, "is empty")
			return
		}
		*to = read(n, key)
	}}
}

// lines says where the keys of a mapping stand; null counts as not there.
type lines map[string]int

// mapping reads the keys of a mapping in their order. Each must be one of the
// fields, spelt exactly, and stand once.
func (r *reader) mapping(n *yaml.Node, key string, fields ...field) lines {
	found := make(lines)
	n = r.resolve(n)
	if !r.is(n, key, yaml.MappingNode, "a mapping, KEY: VALUE") {
		return found
	}
	r.pairs(n, key, found, fields, 0)
	for name, line := range found {
		if line < 0 { // null
			delete(found, name)
		}
	}
	return found
}

func (r *reader) pairs(n *yaml.Node, key string, found lines, fields []field, depth int) {
	var merged []*yaml.Node
	own := make(map[string]int)
	for i := 0; i+1 < len(n.Content) && r.count(n); i += 2 {
		k, v := r.resolve(n.Content[i]), r.resolve(n.Content[i+1])
		if k.Kind != yaml.ScalarNode {
			r.problem(k.Line, key, "a key that is no name")
			continue
		}
		if k.Tag == "!!merge" {
			merged = append(merged, v)
			continue
		}
		name := joinKey(key, k.Value)
		if first, twice := own[k.Value]; twice {
			r.problem(k.Line, name, "stands twice; first in line %d", first)
			continue
		}
		own[k.Value] = k.Line
		if _, above := found[k.Value]; above {
			continue // what stands itself is stronger than what is merged
		}
		found[k.Value] = k.Line
		if v.Kind == yaml.ScalarNode && v.Tag == "!!null" {
			found[k.Value] = -1
		}
		r.field(k, v, name, fields)
	}
	for _, m := range merged {
		list := []*yaml.Node{m}
		if m.Kind == yaml.SequenceNode {
			list = m.Content
		}
		for _, from := range list {
			from = r.resolve(from)
			if from.Kind != yaml.MappingNode || depth == maxMerges {
				r.problem(n.Line, joinKey(key, "<<"), "merges what is no mapping, or itself")
				return
			}
			r.pairs(from, key, found, fields, depth+1)
		}
	}
}

func (r *reader) field(k, v *yaml.Node, name string, fields []field) {
	var known []string
	for _, f := range fields {
		switch {
		case f.name == k.Value && f.in&r.version == 0:
			r.problem(k.Line, name, "a key of %s only; apiVersion says %s", f.in, r.version)
			return
		case f.name == k.Value:
			if v.Kind != yaml.ScalarNode || v.Tag != "!!null" {
				f.read(v, name)
			}
			return
		case f.in&r.version != 0:
			known = append(known, f.name)
		}
	}
	f := Finding{Line: k.Line, Key: name, Problem: "unknown key", Near: nearest(k.Value, known)}
	if strings.EqualFold(f.Near, k.Value) {
		f.Problem = "unknown key: capital and small letters differ"
	}
	r.note(f)
}

// list reads the values of a list in their order.
func (r *reader) list(n *yaml.Node, key string, read func(n *yaml.Node, key string)) {
	if !r.is(n, key, yaml.SequenceNode, "a list, - VALUE") {
		return
	}
	for i, one := range n.Content {
		if !r.count(n) {
			return
		}
		read(r.resolve(one), fmt.Sprintf("%s[%d]", key, i))
	}
}

// count is false once too much has been read, or found.
func (r *reader) count(n *yaml.Node) bool {
	if r.full {
		return false
	}
	r.entries++
	if r.entries == maxEntries {
		r.problem(n.Line, "", "more than %d values, those of aliases counted each time", maxEntries)
	}
	return r.entries < maxEntries
}

// is checks the kind of a node, in whose place nothing is accepted for mappings.
func (r *reader) is(n *yaml.Node, key string, kind yaml.Kind, want string) bool {
	if n.Kind == kind {
		return true
	}
	if n.Kind != yaml.ScalarNode || n.Tag != "!!null" || kind == yaml.ScalarNode {
		r.problem(n.Line, key, "%s, not %s", kindName(n), want)
	}
	return false
}

// resolve follows an alias. An anchor may contain its own alias; since reading
// follows a schema of fixed depth, that ends.
func (r *reader) resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias // never an alias itself
	}
	return n
}

func kindName(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "is a mapping"
	case n.Kind == yaml.SequenceNode:
		return "is a list"
	case n.Tag == "!!int" || n.Tag == "!!float":
		return fmt.Sprintf("%.40s is a number", n.Value)
	case n.Tag == "!!bool":
		return fmt.Sprintf("%.40s is true or false", n.Value)
	case n.Tag == "!!null":
		return "is empty"
	}
	return fmt.Sprintf("%.40q is a string", n.Value)
}

func joinKey(key, name string) string {
	name = fmt.Sprintf("%.80s", name)
	if key == "" {
		return name
	}
	return key + "." + name
}
