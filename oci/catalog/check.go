package catalog

import (
	"fmt"
	"regexp"

	"github.com/blang/semver/v4"
)

// Problem is one thing for which opm and clusters refuse a catalog.
type Problem struct {
	// Package and Channel say where; Channel is empty when it is not in one,
	// Package when documents name none.
	Package, Channel string
	Text             string
}

func (p Problem) String() string {
	if p.Channel != "" {
		return fmt.Sprintf("package %q channel %q: %s", p.Package, p.Channel, p.Text)
	}
	return fmt.Sprintf("package %q: %s", p.Package, p.Text)
}

// validPackage is a label of DNS (RFC 1123).
var validPackage = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// Check lists what opm would refuse in the catalog (operator-registry,
// alpha/declcfg/declcfg_to_model.go and alpha/model/model.go), by package; the
// references of images are not looked at. A catalog with problems can be carried
// as it is, and other packages can be chosen from it.
func (c *Catalog) Check() []Problem {
	var all []Problem
	for i := range c.Packages {
		all = append(all, c.Packages[i].check()...)
	}
	return all
}

func (p *Package) check() []Problem {
	var all []Problem
	report := func(channel, format string, args ...any) {
		all = append(all, Problem{p.Name, channel, fmt.Sprintf(format, args...)})
	}
	if p.described != 1 {
		report("", "it has %d documents %s instead of one", p.described, SchemaPackage)
	}
	if !validPackage.MatchString(p.Name) {
		report("", "its name is no label of DNS")
	}
	for _, text := range p.broken {
		report("", "%s", text)
	}
	if len(p.Channels) == 0 {
		report("", "it has no channels")
	}
	if p.DefaultChannel == "" {
		report("", "it has no default channel")
	} else if _, ok := p.Channel(p.DefaultChannel); !ok && len(p.Channels) > 0 {
		report("", "its default channel %q does not exist", p.DefaultChannel)
	}
	bundles := make(map[string]bool)
	for i := range p.Bundles {
		bundles[p.Bundles[i].Name] = true
	}
	inChannels := make(map[string]bool)
	channels := make(map[string]bool)
	for i := range p.Channels {
		c := &p.Channels[i]
		if c.Name == "" || channels[c.Name] {
			report(c.Name, "its name is empty or stands twice")
		}
		channels[c.Name] = true
		var lacking []string
		for _, e := range c.Entries {
			inChannels[e.Name] = true
			if !bundles[e.Name] {
				lacking = append(lacking, e.Name)
			}
		}
		if len(lacking) > 0 {
			report(c.Name, "there is no bundle for its entries %s", named(lacking))
		}
		g, err := newGraph(c)
		if err == nil {
			err = g.check()
		}
		if err != nil {
			report(c.Name, "%v", err)
		}
	}
	p.checkBundles(inChannels, report)
	p.checkDeprecations(bundles, channels, report)
	return all
}

func (p *Package) checkBundles(inChannels map[string]bool, report func(channel, format string, args ...any)) {
	names := make(map[string]bool)
	versions := make(map[[2]string]string)
	for i := range p.Bundles {
		b := &p.Bundles[i]
		switch _, err := semver.Parse(b.Version); {
		case b.Name == "":
			report("", "bundle without name")
		case names[b.Name]:
			report("", "bundle %q stands twice", b.Name)
		case b.broken != "":
			report("", "bundle %q: %s", b.Name, b.broken)
		case err != nil:
			report("", "bundle %q: version %q: %v", b.Name, b.Version, err)
		case b.Image == "" && !b.inlined:
			report("", "bundle %q has no image", b.Name)
		case !inChannels[b.Name]:
			report("", "bundle %q is in no channel", b.Name)
		}
		names[b.Name] = true
		version := [2]string{b.Version, b.Release}
		if other, ok := versions[version]; ok && other != b.Name && b.Version != "" {
			report("", "bundles %q and %q have the same version %s", other, b.Name, b.Version)
		}
		versions[version] = b.Name
	}
}

func (p *Package) checkDeprecations(bundles, channels map[string]bool, report func(channel, format string, args ...any)) {
	if p.deprecationLists > 1 {
		report("", "it has %d documents %s instead of one", p.deprecationLists, SchemaDeprecations)
	}
	seen := make(map[[2]string]bool)
	for _, d := range p.Deprecations {
		known := false
		switch d.Schema {
		case SchemaPackage:
			known = d.Name == ""
		case SchemaChannel:
			known = channels[d.Name]
		case SchemaBundle:
			known = bundles[d.Name]
		}
		key := [2]string{d.Schema, d.Name}
		switch {
		case !known:
			report("", "it deprecates %s %q, which it does not have", d.Schema, d.Name)
		case seen[key]:
			report("", "it deprecates %s %q twice", d.Schema, d.Name)
		case d.silent:
			report("", "it deprecates %s %q without a message", d.Schema, d.Name)
		}
		seen[key] = true
	}
}
