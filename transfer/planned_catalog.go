package transfer

import (
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// attachedCatalog is the type of what is attached to a catalog in a plan: its root,
// with the annotations below.
const attachedCatalog = "catalog"

// Annotations of attachedCatalog, beside annotationReference.
const (
	annotationOriginal = "original" // root of the image that was asked for
	annotationConfigs  = "configs"  // directory of the catalog in the image
	annotationExtract  = "extract"  // "true" if the image cannot serve its catalog itself
	annotationPackages = "packages" // names of the operators, by commas; left out when there are too many, or odd ones
)

// PlannedCatalog is an operator catalog of a plan.
type PlannedCatalog struct {
	// Reference is that of the catalog image in the plan, Digest its root.
	Reference string
	Digest    digest.Digest
	// Original is the root of what was asked for; another than Digest when the
	// catalog was filtered.
	Original digest.Digest
	// Configs is the directory of the catalog in the image.
	Configs string
	// Extract says that the image cannot serve its catalog: the cluster must bring
	// what can.
	Extract bool
	// Packages are the operators of the catalog; none when the plan does not say.
	Packages []string
}

func (c *Catalog) attach(root bundle.Content) bundle.Attached {
	a := bundle.Attached{
		Type: attachedCatalog, Subject: root.Digest, Content: root,
		Annotations: map[string]string{annotationReference: c.Image.Name.String(), annotationOriginal: string(c.Original)},
	}
	if c.configs != "" {
		a.Annotations[annotationConfigs] = c.configs
	}
	if c.Extract {
		a.Annotations[annotationExtract] = "true"
	}
	odd := slices.ContainsFunc(c.Packages, func(name string) bool { return !plainPackage.MatchString(name) })
	if packages := strings.Join(c.Packages, ","); packages != "" && len(packages) <= bundle.MaxReason && !odd {
		a.Annotations[annotationPackages] = packages
	}
	return a
}

// Catalogs returns the operator catalogs of a plan, in its order.
func Catalogs(plan *bundle.Plan) []PlannedCatalog {
	roots := make(map[string]digest.Digest)
	for _, image := range plan.Images {
		if image.Part == bundle.PartCatalog {
			roots[image.Reference] = image.Root.Digest
		}
	}
	var all []PlannedCatalog
	for _, a := range plan.Attached {
		reference := a.Annotations[annotationReference]
		original := digest.Digest(a.Annotations[annotationOriginal])
		if a.Type != attachedCatalog || roots[reference] != a.Subject || a.Subject == "" || oci.CheckDigest(original) != nil {
			continue
		}
		c := PlannedCatalog{
			Reference: reference, Digest: a.Subject, Original: original, Configs: a.Annotations[annotationConfigs],
			Extract: a.Annotations[annotationExtract] == "true",
		}
		if packages := a.Annotations[annotationPackages]; packages != "" {
			c.Packages = strings.Split(packages, ",")
		}
		all = append(all, c)
	}
	return all
}
