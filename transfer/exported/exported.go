// Package exported reads what oc get -o yaml or -o json writes of a cluster's
// resources: one, several documents, or lists.
//
// It is pure: bytes in, values out. What is read is hostile: size, nesting and the
// keys of a mapping are bounded, since the YAML parser compares each key with each.
package exported

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	// MaxPairs bounds the keys of one mapping. The largest real one, of the samples
	// operator, has some hundred.
	MaxPairs = 2_000
	// MaxNodes bounds the values of a file.
	MaxNodes = 1_000_000
)

// ErrNotExported is wrapped by the errors for files that are something else.
var ErrNotExported = errors.New("it is not what oc get -o yaml or -o json writes of resources")

// Resource is one resource of a file.
type Resource struct {
	APIVersion, Kind, Name string

	node *yaml.Node
}

// Resources reads the resources of a file of at most limit bytes, in their order:
// those of a list instead of it, unless it is empty. Whatever is not a resource is
// an error that names the line, where that is known.
func Resources(data []byte, limit int) ([]Resource, error) {
	if len(data) > limit {
		return nil, fmt.Errorf("%d bytes are more than %d", len(data), limit)
	}
	var all []Resource
	documents := yaml.NewDecoder(bytes.NewReader(data))
	for nodes := 0; ; {
		var document yaml.Node
		err := documents.Decode(&document)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, notExported(err)
		}
		if err := check(&document, &nodes); err != nil {
			return nil, err
		}
		if all, err = add(all, &document); err != nil {
			return nil, err
		}
	}
}

// Decode decodes the resource into the fields that a struct has for yaml.
func (r *Resource) Decode(into any) error {
	if err := r.node.Decode(into); err != nil {
		return fmt.Errorf("%.80s %.80q: %w", r.Kind, r.Name, notExported(err))
	}
	return nil
}

// add adds what a document has.
func add(all []Resource, document *yaml.Node) ([]Resource, error) {
	var head struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string `yaml:"kind"`
		Metadata   struct {
			Name string `yaml:"name"`
		} `yaml:"metadata"`
		List []yaml.Node `yaml:"items"`
	}
	if err := document.Decode(&head); err != nil {
		return nil, notExported(err)
	}
	if !strings.HasSuffix(head.Kind, "List") || len(head.List) == 0 {
		return append(all, Resource{head.APIVersion, head.Kind, head.Metadata.Name, document}), nil
	}
	for i := range head.List {
		one := &head.List[i]
		if one.Kind == yaml.AliasNode {
			return nil, fmt.Errorf("line %d: %w", one.Line, ErrNotExported)
		}
		before := len(all)
		var err error
		if all, err = add(all, one); err != nil {
			return nil, err
		}
		if len(all) != before+1 {
			return nil, fmt.Errorf("line %d: a list in a list: %w", one.Line, ErrNotExported)
		}
	}
	return all, nil
}

// check bounds what the decoder does not.
func check(n *yaml.Node, nodes *int) error {
	if *nodes++; *nodes > MaxNodes {
		return fmt.Errorf("more than %d values: %w", MaxNodes, ErrNotExported)
	}
	if n.Kind == yaml.MappingNode && len(n.Content) > 2*MaxPairs {
		return fmt.Errorf("line %d: %d keys side by side are more than %d: %w", n.Line, len(n.Content)/2, MaxPairs, ErrNotExported)
	}
	for _, child := range n.Content {
		if err := check(child, nodes); err != nil {
			return err
		}
	}
	return nil
}

// notExported says of an error of the decoder where it is, without the names that
// things have in here.
func notExported(err error) error {
	var mismatch *yaml.TypeError
	if !errors.As(err, &mismatch) || len(mismatch.Errors) == 0 {
		return fmt.Errorf("%w: %v", ErrNotExported, err)
	}
	if line, _, ok := strings.Cut(mismatch.Errors[0], ":"); ok { // line 7: cannot unmarshal …
		return fmt.Errorf("%s: %w", line, ErrNotExported)
	}
	return ErrNotExported
}
