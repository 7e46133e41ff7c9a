package imageset

import (
	"path"
	"strings"

	"go.yaml.in/yaml/v3"

	"satchel/oci"
)

const layoutScheme = "oci:"

func (r *reader) operators(n *yaml.Node, key string) {
	firsts := make(map[string]int)
	r.list(n, key, func(n *yaml.Node, key string) {
		r.asked = true
		r.operator(n, key, firsts)
	})
}

func (r *reader) operator(n *yaml.Node, key string, firsts map[string]int) {
	o := Operator{Line: n.Line}
	r.bounds = nil
	var ref oci.Reference
	var targetName, unused string
	var skip bool
	found := r.mapping(n, key,
		needed(r, "catalog", &o.Catalog, func(n *yaml.Node, key string) string {
			if rest, ok := strings.CutPrefix(n.Value, layoutScheme); ok && n.Kind == yaml.ScalarNode {
				if o.Layout = strings.TrimPrefix(rest, "//"); o.Layout == "" {
					r.problem(n.Line, key, "%q names no directory", n.Value)
				}
				return ""
			}
			var s string
			s, ref = r.reference(n, key)
			return s
		}),
		as("targetCatalog", everywhere, &o.TargetCatalog, r.target),
		as("targetName", v1alpha2, &targetName, r.target),
		as("targetTag", everywhere, &o.TargetTag, r.tag),
		as("full", everywhere, &o.Full, r.boolean),
		field{"packages", everywhere, func(n *yaml.Node, key string) { o.Packages = r.packages(n, key) }},
		// These two change nothing in oc-mirror's second version, nor here.
		as("skipDependencies", everywhere, &skip, r.boolean),
		as("originalRef", v1alpha2, &unused, r.text),
		field{"targetCatalogSourceTemplate", v2alpha1, func(n *yaml.Node, key string) {
			if r.text(n, key) != "" {
				r.unsupported(n.Line, key, "the CatalogSource is written without a template")
			}
		}},
		field{"platforms", v2alpha1, r.unsupportedPlatforms},
	)
	r.required(found, n, key, "catalog")
	if o.TargetCatalog == "" && targetName != "" {
		// As Operator.GetUniqueName of v1alpha2: the name alone, in the same place.
		o.TargetCatalog = targetName
		if ref.Repository != "" {
			o.TargetCatalog = path.Join(path.Dir(ref.Path()), targetName)
		}
	}
	if o.Full {
		// openshift/oc-mirror, internal/pkg/operator/catalog_handler_test.go: "Full: true
		// cannot be mixed with versionRange".
		for _, b := range r.bounds {
			r.problem(b.line, b.key, "cannot stand beside full: true of its catalog")
		}
	}
	r.once(firsts, o.name(ref), o.Line, key, "catalog")
	r.config.Operators = append(r.config.Operators, o)
}

// name is the name of the catalog at the site, with the registry that it comes
// from (openshift/oc-mirror, internal/pkg/api/v2alpha1/type_config.go,
// getUniqueNameWithTarget).
func (o Operator) name(ref oci.Reference) string {
	tag := ref.Tag
	if o.TargetTag != "" {
		tag = o.TargetTag
	}
	name := o.TargetCatalog
	switch {
	case o.Layout != "" && name == "":
		name = layoutScheme + o.Layout
	case o.Layout != "":
	case ref.Repository == "":
		return "" // noted
	case name == "":
		name = ref.Repository
	default:
		name = ref.Host() + "/" + name
	}
	if tag != "" {
		return name + ":" + tag
	}
	if ref.Digest != "" {
		return name + "@" + string(ref.Digest)
	}
	return name
}

func (r *reader) packages(n *yaml.Node, key string) (all []Package) {
	firsts := make(map[string]int)
	r.list(n, key, func(n *yaml.Node, key string) {
		p := Package{Line: n.Line}
		found := r.mapping(n, key,
			needed(r, "name", &p.Name, r.name),
			as("defaultChannel", everywhere, &p.DefaultChannel, r.name),
			r.bound("minVersion", &p.Min),
			r.bound("maxVersion", &p.Max),
			r.minBundle(),
			field{"channels", everywhere, func(n *yaml.Node, key string) { p.Channels = r.packageChannels(n, key) }},
		)
		r.required(found, n, key, "name")
		r.ordered(found, key, p.Min, p.Max)
		r.once(firsts, p.Name, p.Line, key, "package")
		r.checkPackage(&p, found, key)
		all = append(all, p)
	})
	return all
}

// checkPackage compares a package with its channels. v1alpha2 lets both have a
// range: that of the package is for the channels without.
func (r *reader) checkPackage(p *Package, found lines, key string) {
	has := len(p.Channels) == 0 || p.DefaultChannel == ""
	both := false
	for _, c := range p.Channels {
		has = has || c.Name == p.DefaultChannel
		if !c.bounded() || p.Min == "" && p.Max == "" {
			continue
		}
		both = true
		if r.version == v2alpha1 {
			r.problem(c.Line, key, "minVersion and maxVersion stand both at the package and at its channel %s", c.Name)
		}
	}
	if !has {
		r.problem(found["defaultChannel"], joinKey(key, "defaultChannel"), "%s is none of the channels that are named: it would not be there", p.DefaultChannel)
	}
	if !both {
		return
	}
	for i := range p.Channels {
		if c := &p.Channels[i]; !c.bounded() {
			c.Min, c.Max = p.Min, p.Max
		}
	}
	p.Min, p.Max = "", ""
}

func (c PackageChannel) bounded() bool { return c.Min != "" || c.Max != "" }

func (r *reader) packageChannels(n *yaml.Node, key string) (all []PackageChannel) {
	firsts := make(map[string]int)
	r.list(n, key, func(n *yaml.Node, key string) {
		c := PackageChannel{Line: n.Line}
		found := r.mapping(n, key,
			needed(r, "name", &c.Name, r.name),
			r.bound("minVersion", &c.Min),
			r.bound("maxVersion", &c.Max),
			r.minBundle(),
		)
		r.required(found, n, key, "name")
		r.ordered(found, key, c.Min, c.Max)
		r.once(firsts, c.Name, c.Line, key, "channel")
		all = append(all, c)
	})
	return all
}

// bound is a place where minVersion or maxVersion of bundles stands.
type bound struct {
	line int
	key  string
}

func (r *reader) bound(name string, to *string) field {
	return field{name, everywhere, func(n *yaml.Node, key string) {
		if *to = r.bundle(n, key); *to != "" {
			r.bounds = append(r.bounds, bound{n.Line, key})
		}
	}}
}

func (r *reader) minBundle() field {
	return field{"minBundle", v1alpha2, func(n *yaml.Node, key string) {
		if r.text(n, key) != "" {
			r.unsupported(n.Line, key, "bundles are chosen by minVersion and maxVersion only")
		}
	}}
}

func (r *reader) unsupportedPlatforms(n *yaml.Node, key string) {
	if r.platforms(n, key) {
		r.unsupported(n.Line, key, allPlatforms)
	}
}
