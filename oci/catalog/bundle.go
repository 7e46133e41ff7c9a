package catalog

import (
	"errors"
	"fmt"
)

// Types of properties (operator-registry, alpha/property/property.go).
const (
	typePackage         = "olm.package"
	typePackageRequired = "olm.package.required"
	typeGVK             = "olm.gvk"
	typeGVKRequired     = "olm.gvk.required"
	typeConstraint      = "olm.constraint"
	typeManifest        = "olm.bundle.object"
)

// bundle reads an olm.bundle. What is wrong with it stands in it: one bad bundle
// must not keep people from the other operators of a catalog.
func (p *parser) bundle(d document, all []member) Bundle {
	b := Bundle{Name: d.name}
	err := p.properties(&b, d.pkg, value(all, "properties"))
	var imagesErr error
	b.Image, b.Related, imagesErr = p.images(all)
	if err := errors.Join(err, imagesErr); err != nil {
		b.broken = err.Error()
	}
	return b
}

func (p *parser) properties(b *Bundle, pkg string, list []byte) error {
	packages, number := 0, 0
	err := elements(list, func(raw []byte) error {
		number++
		all, err := members(raw)
		if err != nil {
			return fmt.Errorf("property %d: %w", number, err)
		}
		kind, err := textOf(all, "type")
		if err == nil {
			err = p.property(b, pkg, kind, value(all, "value"), &packages)
		}
		if err != nil {
			return fmt.Errorf("property %d, %.80q: %w", number, kind, err)
		}
		return p.check()
	})
	if err == nil && packages != 1 {
		err = fmt.Errorf("%d properties %s instead of one", packages, typePackage)
	}
	return err
}

func (p *parser) property(b *Bundle, pkg, kind string, raw []byte, packages *int) error {
	switch kind {
	case typeManifest:
		b.inlined = true
	case typePackage:
		*packages++
		all, err := members(raw)
		if err != nil {
			return err
		}
		var name string
		if err := p.fields(all, "packageName", &name, "version", &b.Version, "release", &b.Release); err != nil {
			return err
		}
		if name != pkg {
			return fmt.Errorf("package %q is not that of the bundle, %q", name, pkg)
		}
	case typeGVK:
		gvk, err := p.gvk(raw)
		if err != nil {
			return err
		}
		b.Provides = append(b.Provides, gvk)
	case typeGVKRequired:
		gvk, err := p.gvk(raw)
		if err != nil {
			return err
		}
		b.Requires = append(b.Requires, Requirement{GVK: gvk})
	case typePackageRequired:
		r, err := p.required(raw)
		if err != nil {
			return err
		}
		b.Requires = append(b.Requires, r)
	case typeConstraint:
		r, ok, err := p.constraint(raw, 0)
		if err != nil {
			return err
		}
		if ok {
			b.Requires = append(b.Requires, r)
		}
	}
	return nil
}

func (p *parser) gvk(raw []byte) (g GVK, err error) {
	all, err := members(raw)
	if err != nil {
		return g, err
	}
	err = p.fields(all, "group", &g.Group, "version", &g.Version, "kind", &g.Kind)
	return g, err
}

func (p *parser) required(raw []byte) (r Requirement, err error) {
	all, err := members(raw)
	if err != nil {
		return r, err
	}
	err = p.fields(all, "packageName", &r.Package, "versionRange", &r.Range)
	if err == nil && r.Package == "" {
		err = errors.New("it names no package")
	}
	return r, err
}

// maxConstraint bounds how deep constraints may be nested.
const maxConstraint = 16

// constraint reads an olm.constraint (operator-framework/api,
// pkg/constraints/constraint.go). It is false for what is not kept.
func (p *parser) constraint(raw []byte, depth int) (r Requirement, ok bool, err error) {
	if depth > maxConstraint {
		return r, false, fmt.Errorf("constraints nested deeper than %d: %w", maxConstraint, ErrLimit)
	}
	all, err := members(raw)
	if err != nil {
		return r, false, err
	}
	if raw := value(all, "gvk"); raw != nil {
		r.GVK, err = p.gvk(raw)
		return r, true, err
	}
	if raw := value(all, "package"); raw != nil {
		r, err = p.required(raw)
		return r, true, err
	}
	if raw := value(all, "all"); raw != nil {
		r.All, _, err = p.constraints(raw, depth)
		return r, len(r.All) > 0, err
	}
	if raw := value(all, "any"); raw != nil {
		var whole bool
		r.Any, whole, err = p.constraints(raw, depth)
		return r, len(r.Any) > 0 && whole, err
	}
	return r, false, nil
}

// constraints reads a list of them; whole is false when one is not kept.
func (p *parser) constraints(raw []byte, depth int) (list []Requirement, whole bool, err error) {
	all, err := members(raw)
	if err != nil {
		return nil, false, err
	}
	whole = true
	err = elements(value(all, "constraints"), func(raw []byte) error {
		r, ok, err := p.constraint(raw, depth+1)
		if err != nil {
			return err
		}
		if whole = whole && ok; ok {
			p.left -= cost
			list = append(list, r)
		}
		return p.check()
	})
	return list, whole, err
}
