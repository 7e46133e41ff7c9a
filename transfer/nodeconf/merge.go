package nodeconf

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// What a mirror serves.
const (
	digestOnly = "digest-only"
	tagOnly    = "tag-only"
)

// Nodes is what the nodes of a cluster have. It does not change and may be used
// concurrently.
type Nodes struct {
	registries []registry
	index      map[string]int // of registries, by scope
	wild       []int          // those of wildcards
}

// registry is one [[registry]] of registries.conf.
type registry struct {
	// scope is the prefix of names; a wildcard is written as prefix, others as
	// location.
	scope             string
	insecure, blocked bool
	mirrors           []mirror
}

type mirror struct {
	location string
	insecure bool
	pull     string // digestOnly or tagOnly
}

// Merge makes one configuration of all mirror sets, as EditRegistriesConfig of
// openshift/runtime-utils does. It fails for names that the cluster refuses, and for
// a scope without mirrors of its own inside a wildcard with mirrors, where the
// cluster fails as well. What the cluster refuses beside that is for [Cluster.Check]
// to say.
func Merge(o Cluster) (*Nodes, error) {
	if err := o.checkNames(); err != nil {
		return nil, err
	}
	m := merger{index: make(map[string]int)}
	digests, tags := mergeSources(join(o.IDMS, withoutPolicy(o.ICSP))), mergeSources(o.ITMS)
	m.addMirrors(digests, digestOnly)
	m.addMirrors(tags, tagOnly)
	for _, scope := range o.Blocked { // so that insecure scopes find them
		m.at(scope)
	}
	for _, scope := range o.Insecure {
		m.registries[m.at(scope)].insecure = true
		for i := range m.registries {
			r := &m.registries[i]
			r.insecure = r.insecure || nested(r.scope, scope)
			for j := range r.mirrors {
				r.mirrors[j].insecure = r.mirrors[j].insecure || nested(r.mirrors[j].location, scope)
			}
		}
	}
	for _, scope := range o.Blocked {
		for i := range m.registries {
			r := &m.registries[i]
			r.blocked = r.blocked || nested(r.scope, scope)
		}
	}
	if err := m.inherit(join(digests, tags)); err != nil {
		return nil, err
	}
	n := &Nodes{registries: m.registries, index: m.index}
	for i, r := range m.registries {
		if strings.HasPrefix(r.scope, wildcard) {
			n.wild = append(n.wild, i)
		}
	}
	return n, nil
}

func withoutPolicy(entries []Entry) []Entry {
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].Policy = ""
	}
	return entries
}

// source has all mirrors of one source.
type source struct {
	name    string
	mirrors []string
	never   bool // NeverContactSource
}

// mergeSources joins the mirrors of each source, in an order that agrees with that
// of every entry if there is one. Sources come sorted. An entry that has no mirror
// but its source does not count, nor does its policy.
func mergeSources(entries []Entry) []source {
	orders := make(map[string]order)
	never := make(map[string]bool)
	for _, e := range entries {
		if !slices.ContainsFunc(e.Mirrors, func(m string) bool { return m != e.Source }) {
			continue
		}
		o := orders[e.Source]
		if o == nil {
			o = make(order)
			orders[e.Source] = o
		}
		for i := 1; i < len(e.Mirrors); i++ {
			o.add(e.Mirrors[i-1], e.Mirrors[i])
		}
		if !slices.Contains(e.Mirrors, e.Source) {
			o.add(e.Mirrors[len(e.Mirrors)-1], e.Source)
		}
		if e.Policy == NeverContactSource {
			never[e.Source] = true
		}
	}
	var all []source
	for _, name := range slices.Sorted(maps.Keys(orders)) {
		mirrors := orders[name].sorted()
		if last := len(mirrors) - 1; mirrors[last] == name {
			mirrors = mirrors[:last] // it is tried last anyway
		}
		all = append(all, source{name, mirrors, never[name]})
	}
	return all
}

type merger struct {
	registries []registry
	index      map[string]int // by scope
}

func (m *merger) at(scope string) int {
	i, ok := m.index[scope]
	if !ok {
		i = len(m.registries)
		m.index[scope] = i
		m.registries = append(m.registries, registry{scope: scope})
	}
	return i
}

func (m *merger) addMirrors(sources []source, pull string) {
	for _, s := range sources {
		r := &m.registries[m.at(s.name)]
		r.blocked = r.blocked || s.never
		for _, location := range s.mirrors {
			r.mirrors = append(r.mirrors, mirror{location: location, pull: pull})
		}
	}
}

// inherit gives scopes without mirrors those of a source around them: of the first
// one by the alphabet, which is the widest, since nodes do not look further than the
// longest scope.
func (m *merger) inherit(sources []source) error {
	var bare []int
	for i, r := range m.registries {
		if len(r.mirrors) == 0 {
			bare = append(bare, i)
		}
	}
	for _, s := range sources {
		from := m.registries[m.index[s.name]]
		for _, i := range bare {
			r := &m.registries[i]
			if r.scope == s.name || len(r.mirrors) != 0 || !nested(r.scope, s.name) {
				continue
			}
			if strings.HasPrefix(s.name, wildcard) {
				return fmt.Errorf("registry %s lies in the source %s, which has mirrors: no cluster can do both", r.scope, s.name)
			}
			r.mirrors = slices.Clone(from.mirrors)
			for j := range r.mirrors {
				r.mirrors[j].location += below(r.scope, s.name)
			}
		}
	}
	return nil
}

// checkNames refuses what the API server or the operator refuses as names.
func (c Cluster) checkNames() error {
	for _, e := range slices.Concat(c.IDMS, c.ICSP, c.ITMS) {
		if !validSource.MatchString(e.Source) {
			return fmt.Errorf("source %.200q is not HOST[:PORT][/PATH] or *.HOST", e.Source)
		}
		for _, m := range e.Mirrors {
			if !validMirror.MatchString(m) {
				return fmt.Errorf("source %s: mirror %.200q is not HOST[:PORT][/PATH]", e.Source, m)
			}
		}
		switch e.Policy {
		case "", AllowContactingSource, NeverContactSource:
		default:
			return fmt.Errorf("source %s: mirrorSourcePolicy %.80q is neither %s nor %s", e.Source, e.Policy, AllowContactingSource, NeverContactSource)
		}
	}
	for _, list := range []struct {
		what   string
		scopes []string
	}{{"insecure registry", c.Insecure}, {"blocked registry", c.Blocked}, {"allowed registry", c.Allowed}, {"search registry", c.Search}} {
		for _, scope := range list.scopes {
			if err := checkScope(list.what, scope); err != nil {
				return err
			}
		}
	}
	return nil
}
