package imageset

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxConfig bounds a configuration in bytes.
const MaxConfig = 1 << 20

const (
	apiGroup   = "mirror.openshift.io/"
	kind       = "ImageSetConfiguration"
	deleteKind = "DeleteImageSetConfiguration"
)

// Parse reads a configuration. file is its name in the error; the findings come by
// line. When one of them is not Unsupported the error is a [*RefusedError], the
// Config nil, and the findings are still all. Otherwise the Config is what is left
// without what the findings name.
func Parse(data []byte, file string) (*Config, []Finding, error) {
	r := &reader{version: v2alpha1}
	if root := r.document(data); root != nil {
		r.root(root)
	}
	slices.SortStableFunc(r.findings, func(x, y Finding) int { return cmp.Compare(x.Line, y.Line) })
	if r.full {
		last := r.findings[len(r.findings)-1].Line
		r.findings = append(r.findings, Finding{Line: last, Problem: fmt.Sprintf("more than %d findings: the rest was not read", MaxFindings)})
	}
	var problems []Finding
	for _, f := range r.findings {
		if !f.Unsupported {
			problems = append(problems, f)
		}
	}
	if len(problems) != 0 {
		return nil, r.findings, &RefusedError{file, problems}
	}
	return &r.config, r.findings, nil
}

var (
	yamlLine = regexp.MustCompile(`line ([0-9]+)`)
	// Of Go's text/template: such a file is no configuration yet.
	template = regexp.MustCompile(`\{\{[^\n]*\}\}`)
)

// document reads the one document of a file.
func (r *reader) document(data []byte) *yaml.Node {
	if len(data) > MaxConfig {
		r.problem(1, "", "%d bytes are more than %d", len(data), MaxConfig)
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var first, next yaml.Node
	if err := decoder.Decode(&first); errors.Is(err, io.EOF) {
		r.problem(1, "", "the file is empty")
		return nil
	} else if err != nil {
		r.notYAML(data, err)
		return nil
	}
	if err := decoder.Decode(&next); err == nil && !isNull(next.Content[0]) {
		r.problem(next.Content[0].Line, "", "a second document: one configuration is read from one file")
		return nil
	} else if err != nil && !errors.Is(err, io.EOF) {
		r.notYAML(data, err)
		return nil
	}
	return first.Content[0]
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

func (r *reader) notYAML(data []byte, err error) {
	if at := template.FindIndex(data); at != nil {
		r.problem(1+bytes.Count(data[:at[0]], []byte("\n")), "", "%.40q: a template, of which a configuration has to be made first", data[at[0]:at[1]])
		return
	}
	line, what := 1, strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(what); m != nil {
		line, _ = strconv.Atoi(m[1])
		what = strings.TrimPrefix(strings.TrimPrefix(what, m[0]), ": ")
	}
	r.problem(line, "", "yaml: %s", what)
}

// root reads the whole. The kind decides whether it is read at all, the version
// what is known in it.
func (r *reader) root(n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.problem(max(n.Line, 1), "", "no configuration: %s, not a mapping, KEY: VALUE", kindName(n))
		return
	}
	if !r.isConfiguration(n) {
		return
	}
	ignore := func(*yaml.Node, string) {}
	found := r.mapping(n, "",
		field{"kind", everywhere, ignore},
		field{"apiVersion", everywhere, ignore},
		field{"mirror", everywhere, r.mirror},
		field{"archiveSize", everywhere, r.archiveSize},
		field{"storageConfig", v1alpha2, r.storage},
	)
	r.required(found, n, "", "apiVersion")
	r.required(found, n, "", "mirror")
	if found["mirror"] != 0 && !r.asked {
		r.problem(found["mirror"], "mirror", "names nothing that can be packed")
	}
}

func (r *reader) isConfiguration(n *yaml.Node) bool {
	seen := false
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], r.resolve(n.Content[i+1])
		switch {
		case k.Value == "kind" && v.Value == kind:
			seen = true
		case k.Value == "kind" && v.Value == deleteKind:
			r.problem(k.Line, "kind", "%s: satchel deletes nothing from registries", deleteKind)
			return false
		case k.Value == "kind":
			r.note(Finding{Line: k.Line, Key: "kind", Problem: fmt.Sprintf("%.80q is not %s", v.Value, kind), Near: nearest(v.Value, []string{kind})})
			return false
		case k.Value == "apiVersion":
			if !r.setVersion(k.Line, v.Value) {
				return false
			}
		}
	}
	if !seen {
		f := Finding{Line: n.Line, Key: "kind", Problem: "is missing: " + kind}
		for i := 0; i < len(n.Content); i += 2 {
			if k := n.Content[i]; strings.EqualFold(k.Value, "kind") {
				f = Finding{Line: k.Line, Key: k.Value, Problem: "unknown key: capital and small letters differ", Near: "kind"}
			}
		}
		r.note(f)
	}
	return seen
}

func (r *reader) setVersion(line int, value string) bool {
	switch value {
	case apiGroup + "v2alpha1":
		r.version = v2alpha1
	case apiGroup + "v1alpha2":
		r.version = v1alpha2
	default:
		known := []string{apiGroup + "v2alpha1", apiGroup + "v1alpha2"}
		r.note(Finding{Line: line, Key: "apiVersion", Problem: fmt.Sprintf("%.80q is neither %s nor %s", value, known[0], known[1]), Near: nearest(value, known)})
		return false
	}
	r.config.Version = r.version.String()
	return true
}

const gib = 1 << 30

func (r *reader) archiveSize(n *yaml.Node, key string) {
	var size int64
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || n.Decode(&size) != nil {
		r.problem(n.Line, key, "%s, not a whole number of GiB", kindName(n))
		return
	}
	if size < 0 || size > math.MaxInt64/gib {
		r.problem(n.Line, key, "%d is no size in GiB", size)
		return
	}
	r.config.ArchiveSize = size * gib
}

func (r *reader) storage(n *yaml.Node, key string) {
	var image, path string
	var skip bool
	found := r.mapping(n, key,
		field{"registry", everywhere, func(n *yaml.Node, key string) {
			r.mapping(n, key, as("imageURL", everywhere, &image, r.text), as("skipTLS", everywhere, &skip, r.boolean))
		}},
		field{"local", everywhere, func(n *yaml.Node, key string) {
			r.mapping(n, key, as("path", everywhere, &path, r.text))
		}},
	)
	for _, name := range []string{"registry", "local"} {
		if found[name] != 0 {
			r.unsupported(found[name], joinKey(key, name), "satchel keeps no history beside its bundles: a later bundle is packed against an earlier one")
		}
	}
}

func (r *reader) mirror(n *yaml.Node, key string) {
	r.mapping(n, key,
		field{"platform", everywhere, r.platform},
		field{"operators", everywhere, r.operators},
		field{"additionalImages", everywhere, r.additionalImages},
		field{"blockedImages", everywhere, r.blockedImages},
		field{"helm", everywhere, r.helm},
		field{"samples", everywhere, r.samples},
	)
}
