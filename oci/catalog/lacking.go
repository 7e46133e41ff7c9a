package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
)

// lacking warns of what selected bundles need and the selection does not have.
// Each need is said once for a package.
func (s *Selection) lacking() []Warning {
	l := &lack{
		catalog: s.catalog, packages: make(map[string]*Package), apis: make(map[GVK]bool),
		ranges: make(map[string]semver.Range), providers: make(map[GVK]string),
	}
	for i := range s.Packages {
		p := &s.Packages[i]
		l.packages[p.Name] = p
		for j := range p.Bundles {
			for _, gvk := range p.Bundles[j].Provides {
				l.apis[gvk] = true
			}
		}
	}
	var all []Warning
	for i := range s.Packages {
		all = append(all, l.of(&s.Packages[i])...)
	}
	return all
}

// lack judges requirements against a selection.
type lack struct {
	catalog  *Catalog
	packages map[string]*Package
	apis     map[GVK]bool
	// What was worked out already: ranges by their text, and what to add for an
	// API.
	ranges    map[string]semver.Range
	providers map[GVK]string
}

// need is a requirement that is not fulfilled.
type need struct {
	what, add string
	bundles   []string
}

func (l *lack) of(p *Package) []Warning {
	needs := make(map[string]*need)
	for i := range p.Bundles {
		b := &p.Bundles[i]
		for _, r := range b.Requires {
			for _, n := range l.unmet(r) {
				known := needs[n.what]
				if known == nil {
					known = &n
					needs[n.what] = known
				}
				if k := len(known.bundles); k == 0 || known.bundles[k-1] != b.Name {
					known.bundles = append(known.bundles, b.Name)
				}
			}
		}
	}
	var all []Warning
	for _, n := range needs {
		text := fmt.Sprintf("%s: needs %s, which is not selected", named(n.bundles), n.what)
		if n.add == "" {
			text += " and not in this catalog"
		}
		all = append(all, Warning{Package: p.Name, Text: text, Add: n.add})
	}
	slices.SortFunc(all, func(a, b Warning) int { return strings.Compare(a.Text, b.Text) })
	return all
}

// unmet lists what of a requirement is not fulfilled.
func (l *lack) unmet(r Requirement) []need {
	switch {
	case len(r.All) > 0:
		var all []need
		for _, one := range r.All {
			all = append(all, l.unmet(one)...)
		}
		return all
	case len(r.Any) > 0:
		var whats []string
		add := ""
		for _, one := range r.Any {
			unmet := l.unmet(one)
			if len(unmet) == 0 {
				return nil
			}
			var parts []string
			for _, n := range unmet {
				parts = append(parts, n.what)
			}
			whats = append(whats, strings.Join(parts, " and "))
			if add == "" && len(unmet) == 1 {
				add = unmet[0].add
			}
		}
		return []need{{what: strings.Join(whats, " or "), add: add}}
	case r.Package != "":
		fits := func(b *Bundle) bool { return l.inRange(b, r.Range) }
		if p := l.packages[r.Package]; p != nil && slices.ContainsFunc(p.Bundles, func(b Bundle) bool { return fits(&b) }) {
			return nil
		}
		n := need{what: strings.TrimSpace("package " + r.Package + " " + r.Range)}
		if p, ok := l.catalog.Package(r.Package); ok {
			n.add, _ = addition(p, fits)
		}
		return []need{n}
	case l.apis[r.GVK]:
		return nil
	}
	return []need{{what: "the API " + r.GVK.String(), add: l.provider(r.GVK)}}
}

// provider finds who provides an API: the first package whose default channel
// has it at its head, else the first at all.
func (l *lack) provider(gvk GVK) string {
	first, known := l.providers[gvk]
	if known {
		return first
	}
	for i := range l.catalog.Packages {
		add, atHead := addition(&l.catalog.Packages[i], func(b *Bundle) bool { return slices.Contains(b.Provides, gvk) })
		if atHead {
			first = add
			break
		}
		if first == "" {
			first = add
		}
	}
	l.providers[gvk] = first
	return first
}

// inRange takes a range that cannot be read for none at all.
func (l *lack) inRange(b *Bundle, text string) bool {
	within, known := l.ranges[text]
	if !known {
		if text != "" {
			within, _ = semver.ParseRange(text)
		}
		l.ranges[text] = within
	}
	v, err := semver.Parse(b.Version)
	return within == nil || err == nil && within(v)
}

// addition is what selects a bundle that fits from a package: the head of the
// default channel, else the highest version of a channel, the default channel
// first.
func addition(p *Package, fits func(*Bundle) bool) (add string, atHead bool) {
	fitting := make(map[string]semver.Version)
	for i := range p.Bundles {
		if b := &p.Bundles[i]; fits(b) {
			if v, err := semver.Parse(b.Version); err == nil {
				fitting[b.Name] = v
			}
		}
	}
	if len(fitting) == 0 {
		return "", false
	}
	home := p.Name + ":" + p.DefaultChannel
	var channels []*Channel
	for i := range p.Channels {
		channels = append(channels, &p.Channels[i])
	}
	slices.SortFunc(channels, func(a, b *Channel) int {
		if (a.Name == p.DefaultChannel) != (b.Name == p.DefaultChannel) {
			if a.Name == p.DefaultChannel {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	for _, c := range channels {
		if g, err := newGraph(c); err == nil && c.Name == p.DefaultChannel {
			if _, ok := fitting[g.head]; ok {
				return home, true
			}
		}
		var best *semver.Version
		for _, e := range c.Entries {
			if v, ok := fitting[e.Name]; ok && (best == nil || v.GT(*best)) {
				best = &v
			}
		}
		if best == nil {
			continue
		}
		add = fmt.Sprintf("%s:%s:%s..%s", p.Name, c.Name, best, best)
		if c.Name != p.DefaultChannel {
			add = home + "," + add
		}
		return add, false
	}
	return "", false
}
