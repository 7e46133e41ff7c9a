package imageset

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const allPlatforms = "satchel does not choose platforms image by image: all are carried"

func (r *reader) platform(n *yaml.Node, key string) {
	p := &r.config.Platform
	kubeVirt, some := false, false
	found := r.mapping(n, key,
		as("graph", everywhere, &p.Graph, r.boolean),
		field{"channels", everywhere, r.channels},
		field{"architectures", everywhere, r.architectures},
		field{"platforms", v2alpha1, func(n *yaml.Node, key string) {
			if some = r.platforms(n, key); some {
				r.unsupported(n.Line, key, allPlatforms+", from the multi payload")
			}
		}},
		field{"release", v2alpha1, func(n *yaml.Node, key string) {
			r.asked = true
			p.Release, _ = r.reference(n, key)
		}},
		as("kubeVirtContainer", v2alpha1, &kubeVirt, r.boolean),
	)
	if p.Graph {
		r.unsupported(found["graph"], joinKey(key, "graph"), "the graph data image of an update service is not built")
	}
	if kubeVirt {
		r.unsupported(found["kubeVirtContainer"], joinKey(key, "kubeVirtContainer"), "the disk image for KubeVirt is not taken out of the release")
	}
	if some && len(p.Architectures) > 0 {
		r.problem(found["platforms"], joinKey(key, "platforms"), "cannot stand beside architectures")
	}
	if p.Release != "" {
		p.Line = found["release"]
		if len(p.Channels) > 0 {
			r.unsupported(found["channels"], joinKey(key, "channels"), "beside a release the channels are passed over, as oc-mirror does it")
			p.Channels = nil
		}
	}
	if len(p.Channels) == 0 {
		return
	}
	p.Line = p.Channels[0].Line
	switch {
	case some:
		p.Architectures = []string{"multi"}
	case len(p.Architectures) == 0:
		p.Architectures = []string{"amd64"}
	}
}

// architecturesKnown are the names in the update service's queries.
func architecturesKnown() []string { return []string{"amd64", "arm64", "ppc64le", "s390x", "multi"} }

func (r *reader) architectures(n *yaml.Node, key string) {
	all := &r.config.Platform.Architectures
	r.list(n, key, func(n *yaml.Node, key string) {
		name := r.text(n, key)
		known := architecturesKnown()
		switch {
		case name == "" && n.Value != "": // noted
		case slices.Contains(*all, name):
			r.problem(n.Line, key, "%s stands twice", name)
		case !slices.Contains(known, name):
			near := map[string]string{"x86_64": "amd64", "aarch64": "arm64", "ppc64el": "ppc64le"}[name]
			if near == "" {
				near = nearest(name, known)
			}
			r.note(Finding{Line: n.Line, Key: key, Problem: fmt.Sprintf("%.80q is none of %s", name, strings.Join(known, ", ")), Near: near})
		default:
			*all = append(*all, name)
		}
	})
}

func (r *reader) channels(n *yaml.Node, key string) {
	firsts := make(map[string]int)
	r.list(n, key, func(n *yaml.Node, key string) {
		r.asked = true
		c := Channel{Type: "ocp", Line: n.Line}
		found := r.mapping(n, key,
			needed(r, "name", &c.Name, r.name),
			as("type", everywhere, &c.Type, r.channelType),
			as("minVersion", everywhere, &c.Min, r.release),
			as("maxVersion", everywhere, &c.Max, r.release),
			as("shortestPath", everywhere, &c.ShortestPath, r.boolean),
			as("full", everywhere, &c.Full, r.boolean),
		)
		r.required(found, n, key, "name")
		r.ordered(found, key, c.Min, c.Max)
		r.once(firsts, c.Name, c.Line, key, "channel")
		r.config.Platform.Channels = append(r.config.Platform.Channels, c)
	})
}

// ordered notes a range in which nothing can be.
func (r *reader) ordered(found lines, key, lowest, highest string) {
	if above(lowest, highest) {
		r.problem(found["minVersion"], joinKey(key, "minVersion"), "%s is above maxVersion %s", lowest, highest)
	}
}

// once notes a name that stands in an earlier line.
func (r *reader) once(firsts map[string]int, name string, line int, key, what string) {
	if name == "" {
		return
	}
	if first := firsts[name]; first != 0 {
		r.problem(line, key, "%s %s stands twice; first in line %d", what, name, first)
		return
	}
	firsts[name] = line
}

// channelType reads "ocp" or "okd". oc-mirror takes every other word for ocp.
func (r *reader) channelType(n *yaml.Node, key string) string {
	name := r.text(n, key)
	known := []string{"ocp", "okd"}
	if name != "" && !slices.Contains(known, name) {
		r.note(Finding{Line: n.Line, Key: key, Problem: fmt.Sprintf("%.80q is neither ocp nor okd", name), Near: nearest(name, known)})
	}
	if name != "okd" {
		return "ocp"
	}
	return name
}

// platforms checks a list of operating systems with architectures, and says whether
// it has any.
func (r *reader) platforms(n *yaml.Node, key string) bool {
	some := false
	r.list(n, key, func(n *yaml.Node, key string) {
		some = true
		var system, architecture string
		found := r.mapping(n, key, needed(r, "os", &system, r.text), needed(r, "architecture", &architecture, r.text))
		r.required(found, n, key, "os")
		r.required(found, n, key, "architecture")
	})
	return some
}
