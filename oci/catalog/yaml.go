package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"go.yaml.in/yaml/v3"
)

// yamlToJSON makes compact JSON of the document in s.raw. Mappings keep their
// order. It is nil for an empty document.
func (s *splitter) yamlToJSON() ([]byte, error) {
	data := s.raw.Bytes()
	if trimmed := bytes.TrimSpace(data); isJSON(trimmed) && json.Valid(trimmed) {
		return s.compactJSON()
	}
	if n := marks(data); n > MaxMarks {
		return nil, fmt.Errorf("YAML with more than %d values: %w", MaxMarks, ErrLimit)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	if err := decoder.Decode(&root); err == io.EOF {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); err == nil {
		return nil, errors.New("two documents without a line that separates them")
	} else if err != io.EOF {
		return nil, err
	}
	s.compact.Reset()
	c := converter{out: &s.compact, most: s.most, aliased: &s.aliased}
	if err := c.write(root.Content[0], 0); err != nil {
		return nil, err
	}
	if s.compact.Len() > s.most {
		return nil, errSize(s.most)
	}
	// Aliases can make much of little.
	if s.left -= int64(max(s.compact.Len()-len(data), 0)); s.left < 0 {
		return nil, errTotal()
	}
	if bytes.Equal(s.compact.Bytes(), []byte("null")) {
		return nil, nil
	}
	return s.compact.Bytes(), nil
}

// marks counts what can begin a value, so that there are at most twice as many
// values and one: the parser allocates for each of them.
func marks(data []byte) int {
	n := 0
	for i, c := range data {
		switch c {
		case ',', ':', '[', '{':
			n++
		case '-', '?':
			if i+1 == len(data) || data[i+1] == ' ' || data[i+1] == '\t' || data[i+1] == '\n' || data[i+1] == '\r' {
				n++
			}
		}
	}
	return n
}

// converter writes YAML as JSON, with what opm makes of it (YAML 1.1, through
// sigs.k8s.io/yaml). Aliases are written out.
type converter struct {
	out  *bytes.Buffer
	most int // bytes of it
	// aliased counts the values that were written for aliases, within is above
	// 0 while they are.
	aliased *int
	within  int
}

// count bounds what aliases stand for, which has no other bound: a kilobyte can
// stand for a week.
func (c *converter) count(values int) error {
	if c.out.Len() > c.most {
		return errSize(c.most)
	}
	if c.within == 0 {
		return nil
	}
	if *c.aliased += values; *c.aliased > MaxAliased {
		return &totalError{fmt.Errorf("aliases that stand for more than %d values: %w", MaxAliased, ErrLimit)}
	}
	return nil
}

func (c *converter) write(n *yaml.Node, depth int) error {
	if depth > MaxDepth {
		return fmt.Errorf("nested deeper than %d: %w", MaxDepth, ErrLimit)
	}
	if err := c.count(1); err != nil {
		return err
	}
	switch n.Kind {
	case yaml.AliasNode:
		c.within++
		defer func() { c.within-- }()
		return c.write(n.Alias, depth+1)
	case yaml.ScalarNode:
		value, err := scalar(n)
		c.out.Write(value)
		return err
	case yaml.SequenceNode:
		c.out.WriteByte('[')
		for i, element := range n.Content {
			if i > 0 {
				c.out.WriteByte(',')
			}
			if err := c.write(element, depth+1); err != nil {
				return err
			}
		}
		c.out.WriteByte(']')
		return nil
	case yaml.MappingNode:
		return c.writeMapping(n, depth)
	}
	return fmt.Errorf("line %d: unknown kind of YAML", n.Line)
}

func (c *converter) writeMapping(n *yaml.Node, depth int) error {
	c.out.WriteByte('{')
	seen := make(map[string]bool)
	if err := c.writeMembers(n, depth, seen); err != nil {
		return err
	}
	c.out.WriteByte('}')
	return nil
}

// writeMembers writes the members that are not in seen: those of the mapping
// itself first, then those that it merges.
func (c *converter) writeMembers(n *yaml.Node, depth int, seen map[string]bool) error {
	if depth > MaxDepth {
		return fmt.Errorf("nested deeper than %d: %w", MaxDepth, ErrLimit)
	}
	own := make(map[string]bool)
	var merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.ScalarNode && key.ShortTag() == "!!merge" {
			merged = append(merged, value)
			continue
		}
		name, err := keyOf(key)
		if err != nil {
			return err
		}
		if own[string(name)] {
			return fmt.Errorf("line %d: key %.80s stands twice", key.Line, name)
		}
		own[string(name)] = true
		if seen[string(name)] {
			continue
		}
		if len(seen) > 0 {
			c.out.WriteByte(',')
		}
		seen[string(name)] = true
		c.out.Write(name)
		c.out.WriteByte(':')
		if err := c.write(value, depth+1); err != nil {
			return err
		}
	}
	c.within++
	defer func() { c.within-- }()
	for _, m := range merged {
		if err := c.merge(m, depth+1, seen); err != nil {
			return err
		}
	}
	return nil
}

func (c *converter) merge(n *yaml.Node, depth int, seen map[string]bool) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if err := c.count(1 + len(n.Content)); err != nil {
		return err
	}
	switch n.Kind {
	case yaml.MappingNode:
		return c.writeMembers(n, depth, seen)
	case yaml.SequenceNode:
		if depth > MaxDepth {
			return fmt.Errorf("nested deeper than %d: %w", MaxDepth, ErrLimit)
		}
		for _, element := range n.Content {
			if err := c.merge(element, depth+1, seen); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("line %d: only mappings can be merged", n.Line)
}

// keyOf is a key as JSON: text always.
func keyOf(n *yaml.Node) ([]byte, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		return nil, fmt.Errorf("line %d: a key is no text", n.Line)
	}
	key, err := scalar(n)
	if err == nil && key[0] != '"' {
		key, err = plain(string(key))
	}
	return key, err
}

// scalar is a scalar as JSON.
func scalar(n *yaml.Node) ([]byte, error) {
	tag := n.ShortTag()
	if n.Style == 0 && n.Tag == "!!str" {
		// Truth in YAML 1.1, which opm reads, and text in the parser here.
		if slices.Contains([]string{"y", "Y", "yes", "Yes", "YES", "on", "On", "ON"}, n.Value) {
			return []byte("true"), nil
		}
		if slices.Contains([]string{"n", "N", "no", "No", "NO", "off", "Off", "OFF"}, n.Value) {
			return []byte("false"), nil
		}
	}
	switch tag {
	case "!!null":
		return []byte("null"), nil
	case "!!bool", "!!int", "!!float":
		var v any
		if err := n.Decode(&v); err != nil {
			return nil, err
		}
		if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			return nil, fmt.Errorf("line %d: number %q", n.Line, n.Value)
		}
		return json.Marshal(v)
	case "!!binary":
		var decoded string
		if err := n.Decode(&decoded); err != nil {
			return nil, err
		}
		return plain(decoded)
	}
	return plain(n.Value)
}
