package site

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"

	"github.com/blang/semver/v4"

	"satchel/oci"
)

var validArchitecture = regexp.MustCompile(`^[a-z0-9_]*$`)

// check refuses what would not be valid in the files: all values that get into
// YAML, TOML and shell commands pass here, so that no file needs to escape them.
func check(b Bundle, o Options) error {
	switch o.MirrorSets {
	case IDMS, ICSP, Both:
	default:
		return fmt.Errorf("mirror sets %q are neither %s, %s nor %s", string(o.MirrorSets), IDMS, ICSP, Both)
	}
	switch o.Scope {
	case "", ScopeRepository, ScopeNamespace, ScopeRegistry:
	default:
		return fmt.Errorf("scope %q is neither %s, %s nor %s", string(o.Scope), ScopeRepository, ScopeNamespace, ScopeRegistry)
	}
	for _, to := range append([]string{b.To}, o.AlsoMirror...) {
		if err := oci.CheckRepository(to + "/x"); err != nil {
			return fmt.Errorf("registry %q is not HOST[:PORT][/PREFIX]: %w", to, err)
		}
	}
	for _, image := range b.Images {
		if err := checkImage(image); err != nil {
			return fmt.Errorf("image %s: %w", image.Source, err)
		}
	}
	for _, c := range b.Catalogs {
		if err := checkCatalog(c); err != nil {
			return fmt.Errorf("catalog %s: %w", c.Source, err)
		}
	}
	for _, r := range b.Releases {
		if err := checkRelease(r); err != nil {
			return fmt.Errorf("release %s: %w", r.Source, err)
		}
	}
	return nil
}

var (
	validConfigs = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)+$`)
	validPackage = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
)

func checkCatalog(c Catalog) error {
	if err := checkImage(Image{Source: c.Source, Digest: c.Digest, Repository: c.Repository, Tags: []string{c.Tag}}); err != nil {
		return err
	}
	if c.Extract && (!validConfigs.MatchString(c.Configs) || path.Clean(c.Configs) != c.Configs) {
		return fmt.Errorf("directory %.80q of the catalog", c.Configs)
	}
	for _, name := range c.Packages {
		if !validPackage.MatchString(name) {
			return fmt.Errorf("package %.80q", name)
		}
	}
	return nil
}

func checkImage(image Image) error {
	if _, err := oci.SplitReference(image.Source.String()); err != nil {
		return err
	}
	if err := oci.CheckDigest(image.Digest); err != nil {
		return err
	}
	if err := oci.CheckRepository(image.Repository); err != nil {
		return err
	}
	for _, tag := range image.Tags {
		if _, err := oci.SplitReference(image.Repository + ":" + tag); err != nil {
			return err
		}
	}
	return nil
}

func checkRelease(r Release) error {
	if r.Payload == nil {
		return fmt.Errorf("version %q has no payload", r.Version)
	}
	if _, err := semver.Parse(r.Version); err != nil {
		return fmt.Errorf("version %q: %w", r.Version, err)
	}
	if !validArchitecture.MatchString(r.Architecture) {
		return fmt.Errorf("architecture %q", r.Architecture)
	}
	image := Image{Source: r.Source, Digest: r.Digest, Repository: r.Repository, Tags: []string{r.Tag}}
	if err := checkImage(image); err != nil {
		return err
	}
	if err := oci.CheckRepository(r.ComponentRepository); err != nil {
		return err
	}
	for _, c := range r.Payload.Components {
		if _, err := oci.SplitReference(c.Image.String()); err != nil {
			return fmt.Errorf("component %q: %w", c.Name, err)
		}
	}
	for _, version := range r.Payload.Previous {
		if _, err := semver.Parse(version); err != nil {
			return fmt.Errorf("previous version %q: %w", version, err)
		}
	}
	for _, s := range r.Signatures {
		if err := oci.CheckDigest(s.Digest); err != nil {
			return fmt.Errorf("signature: %w", err)
		}
	}
	return nil
}

// ordered returns b with images and releases in an order of their own: images
// by name, releases by version, then architecture.
func ordered(b Bundle) Bundle {
	b.Images = slices.SortedFunc(slices.Values(b.Images), func(x, y Image) int {
		return cmp.Or(
			cmp.Compare(x.Source.String(), y.Source.String()),
			cmp.Compare(x.Repository, y.Repository),
			cmp.Compare(x.Digest, y.Digest),
			slices.Compare(slices.Sorted(slices.Values(x.Tags)), slices.Sorted(slices.Values(y.Tags))),
		)
	})
	b.Releases = slices.SortedFunc(slices.Values(b.Releases), func(x, y Release) int {
		return cmp.Or(
			semver.MustParse(x.Version).Compare(semver.MustParse(y.Version)),
			cmp.Compare(x.Architecture, y.Architecture),
			cmp.Compare(x.Digest, y.Digest),
			cmp.Compare(x.Source.String(), y.Source.String()),
			cmp.Compare(x.Repository, y.Repository),
			cmp.Compare(x.Tag, y.Tag),
		)
	})
	return b
}
