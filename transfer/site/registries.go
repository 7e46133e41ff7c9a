package site

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"satchel/transfer/nodeconf"
)

// registry is one source in a registries.conf.
type registry struct {
	source        string
	digests, tags []string
}

func registries(digests, tags []entry) []registry {
	bySource := make(map[string]registry)
	for _, e := range digests {
		bySource[e.Source] = registry{e.Source, e.Mirrors, nil}
	}
	for _, e := range tags {
		r := bySource[e.Source]
		bySource[e.Source] = registry{e.Source, r.digests, e.Mirrors}
	}
	var sorted []registry
	for _, source := range slices.Sorted(maps.Keys(bySource)) {
		sorted = append(sorted, bySource[source])
	}
	return sorted
}

// hostConf is what all sources have in common in a registries.conf.
type hostConf struct {
	bundle string
	// blocked says that no source is asked itself.
	blocked bool
	// insecure are scopes whose certificates are not checked.
	insecure []string
}

func (c hostConf) begin(b *strings.Builder, r registry) {
	fmt.Fprintf(b, "\n[[registry]]\nprefix = %q\nlocation = %q\n", r.source, r.source)
	c.insecurity(b, r.source)
	if c.blocked {
		b.WriteString("blocked = true\n")
	}
}

func (c hostConf) insecurity(b *strings.Builder, place string) {
	if nodeconf.InScopes(place, c.insecure) {
		b.WriteString("insecure = true\n")
	}
}

func (c hostConf) mirrors(b *strings.Builder, mirrors []string, use string) {
	for _, mirror := range mirrors {
		fmt.Fprintf(b, "\n[[registry.mirror]]\nlocation = %q\n", mirror)
		c.insecurity(b, mirror)
		if use != "" {
			fmt.Fprintf(b, "pull-from-mirror = %q\n", use)
		}
	}
}

// registries is for containers/image from 5.22 on (podman 4.2, skopeo 1.9):
// the mirrors that the cluster's nodes get from the mirror sets, in the same
// order (openshift/runtime-utils, pkg/registries/registries.go). It holds nothing
// else, so that it serves as a file in registries.conf.d too.
func (c hostConf) registries(digests, tags []entry) []byte {
	all := registries(digests, tags)
	if len(all) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Mirrors of the bundle %q for hosts outside a cluster: containers-registries.conf(5), version 2.\n", c.bundle)
	for _, r := range all {
		c.begin(&b, r)
		c.mirrors(&b, r.digests, "digest-only")
		c.mirrors(&b, r.tags, "tag-only")
	}
	return []byte(b.String())
}

// olderRegistries is the form that all versions understand. It has one
// switch for all mirrors of a source, so that a source that has images by digest
// has no mirrors for tags. Its sources are repositories, whatever the scope: a wider
// one would lose more tags.
func (c hostConf) olderRegistries(digests, tags []entry) []byte {
	all := registries(digests, tags)
	if len(all) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Mirrors of the bundle %q for hosts outside a cluster: containers-registries.conf(5), version 2,\n"+
		"# without pull-from-mirror, for podman before 4.2 and skopeo before 1.9. Use it instead of registries.conf.\n", c.bundle)
	for _, r := range all {
		if len(r.digests) == 0 {
			b.WriteString("\n# No image of this source was asked for by digest: its mirrors serve tags (and digests).")
			c.begin(&b, r)
			c.mirrors(&b, r.tags, "")
			continue
		}
		if len(r.tags) != 0 {
			b.WriteString("\n# Images of this source were asked for by tag, too. This form cannot say that: by tag there is no mirror.")
		}
		c.begin(&b, r)
		b.WriteString("mirror-by-digest-only = true\n")
		c.mirrors(&b, r.digests, "")
	}
	return []byte(b.String())
}
