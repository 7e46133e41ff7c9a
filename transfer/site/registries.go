package site

import (
	"fmt"
	"maps"
	"slices"
	"strings"
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

// begin writes the source; a blocked one is not asked itself.
func (r registry) begin(b *strings.Builder, blocked bool) {
	fmt.Fprintf(b, "\n[[registry]]\nprefix = %q\nlocation = %q\n", r.source, r.source)
	if blocked {
		b.WriteString("blocked = true\n")
	}
}

func writeMirrors(b *strings.Builder, mirrors []string, use string) {
	for _, mirror := range mirrors {
		fmt.Fprintf(b, "\n[[registry.mirror]]\nlocation = %q\n", mirror)
		if use != "" {
			fmt.Fprintf(b, "pull-from-mirror = %q\n", use)
		}
	}
}

// registriesConf is for containers/image from 5.22 on (podman 4.2, skopeo 1.9):
// the mirrors that the cluster's nodes get from the mirror sets, in the same
// order (openshift/runtime-utils, pkg/registries/registries.go). It holds nothing
// else, so that it serves as a file in registries.conf.d too.
func registriesConf(bundle string, blocked bool, digests, tags []entry) []byte {
	all := registries(digests, tags)
	if len(all) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Mirrors of the bundle %q for hosts outside a cluster: containers-registries.conf(5), version 2.\n", bundle)
	for _, r := range all {
		r.begin(&b, blocked)
		writeMirrors(&b, r.digests, "digest-only")
		writeMirrors(&b, r.tags, "tag-only")
	}
	return []byte(b.String())
}

// olderRegistriesConf is the form that all versions understand. It has one
// switch for all mirrors of a source, so that a source that has images by digest
// has no mirrors for tags. Its sources are repositories, whatever the scope: a wider
// one would lose more tags.
func olderRegistriesConf(bundle string, blocked bool, digests, tags []entry) []byte {
	all := registries(digests, tags)
	if len(all) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Mirrors of the bundle %q for hosts outside a cluster: containers-registries.conf(5), version 2,\n"+
		"# without pull-from-mirror, for podman before 4.2 and skopeo before 1.9. Use it instead of registries.conf.\n", bundle)
	for _, r := range all {
		if len(r.digests) == 0 {
			b.WriteString("\n# No image of this source was asked for by digest: its mirrors serve tags (and digests).")
			r.begin(&b, blocked)
			writeMirrors(&b, r.tags, "")
			continue
		}
		if len(r.tags) != 0 {
			b.WriteString("\n# Images of this source were asked for by tag, too. This form cannot say that: by tag there is no mirror.")
		}
		r.begin(&b, blocked)
		b.WriteString("mirror-by-digest-only = true\n")
		writeMirrors(&b, r.digests, "")
	}
	return []byte(b.String())
}
