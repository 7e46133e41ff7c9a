package catalog

import (
	"slices"
	"strings"
)

// Image is one image that a selection needs, beside the catalog itself.
type Image struct {
	// Reference is as it stands in the catalog: nobody has parsed it.
	Reference string
	// Operators are the packages that need it, Bundles their bundles, sorted;
	// both are empty when only documents of no package do.
	Operators, Bundles []string
}

// Images lists the bundle images and all related images of what is selected, of
// documents of any schema, as openshift/oc does in
// pkg/cli/admin/catalog/mirror.go: each once, sorted. Nothing is added, the
// catalog neither. The caller owns the list.
func (s *Selection) Images() []Image {
	all := make(map[string]*Image)
	add := func(reference, operator, bundle string) {
		if reference == "" {
			return
		}
		image := all[reference]
		if image == nil {
			image = &Image{Reference: reference}
			all[reference] = image
		}
		if operator != "" {
			image.Operators = append(image.Operators, operator)
		}
		if bundle != "" {
			image.Bundles = append(image.Bundles, bundle)
		}
	}
	for i := range s.Packages {
		p := &s.Packages[i]
		for j := range p.Bundles {
			b := &p.Bundles[j]
			add(b.Image, p.Name, b.Name)
			for _, reference := range b.Related {
				add(reference, p.Name, b.Name)
			}
		}
		for j := range p.Others {
			for _, reference := range p.Others[j].Related {
				add(reference, p.Name, "")
			}
		}
	}
	for i := range s.Others {
		for _, reference := range s.Others[i].Related {
			add(reference, "", "")
		}
	}
	list := make([]Image, 0, len(all))
	for _, image := range all {
		slices.Sort(image.Operators)
		image.Operators = slices.Compact(image.Operators)
		slices.Sort(image.Bundles)
		image.Bundles = slices.Compact(image.Bundles)
		list = append(list, *image)
	}
	slices.SortFunc(list, func(a, b Image) int { return strings.Compare(a.Reference, b.Reference) })
	return list
}
