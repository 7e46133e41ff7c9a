package site

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"satchel/transfer/nodeconf"
)

// writtenMirrors reads what the mirror sets say that are written: that is what a
// cluster gets, with the names of the resources. Of two forms it is the newer.
func writtenMirrors(clusters []File) (nodeconf.Cluster, error) {
	var ours nodeconf.Cluster
	newer := slices.ContainsFunc(clusters, func(f File) bool {
		return (f.Name == digestMirrorsFile || f.Name == tagMirrorsFile) && len(f.Content) != 0
	})
	for _, f := range clusters {
		if f.Name != digestMirrorsFile && f.Name != tagMirrorsFile && (f.Name != policyFile || newer) || len(f.Content) == 0 {
			continue
		}
		// One after the other: all together may be more than a file may have.
		for document := range bytes.SplitSeq(bytes.TrimPrefix(f.Content, []byte("---\n")), []byte("\n---\n")) {
			one, err := nodeconf.ParseExport(document)
			if err != nil {
				return ours, fmt.Errorf("%s: %w", f.Name, err)
			}
			ours = ours.With(one)
		}
	}
	return ours, nil
}

// withoutReplaced takes the mirror sets away whose names are those of ours: oc apply
// replaces them. They were ours with the same entries (resourceName); what somebody
// added to them since is found.
func (c *configured) withoutReplaced(existing, ours nodeconf.Cluster) nodeconf.Cluster {
	replace := func(kind mirrorKind, existing, ours []nodeconf.Entry) []nodeconf.Entry {
		names, mirrors := make(map[string]bool), make(map[string][]string)
		for _, e := range ours {
			names[e.Name] = true
			mirrors[e.Source] = append(mirrors[e.Source], e.Mirrors...)
		}
		var kept []nodeconf.Entry
		lost := make(map[string][]string) // sources by name
		for _, e := range existing {
			if !names[e.Name] {
				kept = append(kept, e)
				continue
			}
			if slices.ContainsFunc(e.Mirrors, func(m string) bool { return m != e.Source && !slices.Contains(mirrors[e.Source], m) }) {
				lost[e.Name] = append(lost[e.Name], e.Source)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(lost)) {
			c.find(nodeconf.Finding{
				Scope:   kind.kind + " " + name,
				Problem: "the cluster has one of this name, which ours replaces: mirrors that were added to it are gone then, of " + list(lost[name]),
				Remedy:  "put what was added into a mirror set of its own",
			})
		}
		return kept
	}
	existing.IDMS = replace(digestMirrorSet, existing.IDMS, ours.IDMS)
	existing.ITMS = replace(tagMirrorSet, existing.ITMS, ours.ITMS)
	existing.ICSP = replace(contentSourcePolicy, existing.ICSP, ours.ICSP)
	return existing
}

// maxListed is how many names a finding has.
const maxListed = 5

// list joins the first names and says how many more there are.
func list(names []string) string {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	if n := len(names) - maxListed; n > 1 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxListed], ", "), n)
	}
	return strings.Join(names, ", ")
}

// withoutLists leaves away the lists that ours replaces.
func withoutLists(existing, ours nodeconf.Cluster) nodeconf.Cluster {
	for _, l := range []struct {
		there *[]string
		here  []string
	}{
		{&existing.Allowed, ours.Allowed}, {&existing.Blocked, ours.Blocked},
		{&existing.Insecure, ours.Insecure}, {&existing.Search, ours.Search},
	} {
		if len(l.here) != 0 {
			*l.there = nil
		}
	}
	if len(ours.Import) != 0 {
		existing.Import = nil
	}
	return existing
}

// payloads are the repositories of release images, as the cluster names them.
func payloads(b Bundle) []string {
	var all []string
	for _, r := range b.Releases {
		if !unknownOrigin(r.Source) {
			all = append(all, r.Source.Repository)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}

// payloadSource is where clusters have their release from when nothing else is known:
// openshift/openshift-docs, modules/installation-mirror-repository.adoc.
const payloadSource = "quay.io/openshift-release-dev"

// checkPayload finds registries that hold the cluster's own release and are blocked or
// not allowed.
func (c *configured) checkPayload(b Bundle, nodes nodeconf.Cluster) {
	repositories := payloads(b)
	for _, payload := range repositories {
		if _, _, _, err := nodeconf.BlockPayload(nodes, payload); err != nil {
			c.find(nodeconf.Finding{Problem: err.Error(), Remedy: "take it from the blocked registries, or let a mirror that is not blocked have the release", Refused: true})
		}
	}
	covered := slices.ContainsFunc(nodes.Allowed, func(scope string) bool {
		return scope == "quay.io" || scope == payloadSource || strings.HasPrefix(scope, payloadSource+"/")
	})
	if len(nodes.Allowed) != 0 && len(repositories) == 0 && !covered {
		c.find(nodeconf.Finding{
			Problem: "the bundle has no release, and the allowed registries have no " + payloadSource + ": nodes may refuse the images of the cluster's own release",
			Remedy:  "add the repositories that oc adm release info names, such as " + payloadSource + " (--allow-registry)",
		})
	}
}

// nodeFiles writes what nodes will have. There is none of it when the cluster refuses
// what they would be made of: nodes keep what they have.
func (c *configured) nodeFiles(b Bundle, nodes nodeconf.Cluster) error {
	if c.refused() || len(nodes.IDMS)+len(nodes.ITMS)+len(nodes.ICSP)+len(nodes.Insecure)+len(nodes.Blocked)+len(nodes.Allowed)+len(nodes.Search) == 0 {
		return nil
	}
	allowed, blocked, released := nodes.Allowed, nodes.Blocked, ""
	for _, payload := range payloads(b) {
		registries, allow, block, err := nodeconf.BlockPayload(nodes, payload)
		if err != nil {
			return err
		}
		if len(allow) > len(nodes.Allowed) { // it lies in one that is blocked
			nodes.Blocked, allowed, blocked, released = registries, allow, block, payload
			break
		}
	}
	content, err := nodeconf.Registries(nodes)
	if err != nil {
		return err
	}
	c.files = append(c.files, File{nodeRegistriesFile, content})
	if len(allowed)+len(blocked) != 0 {
		if content, err = nodeconf.Policy(allowed, blocked, released); err != nil {
			return err
		}
		c.files = append(c.files, File{nodePolicyFile, content})
	}
	content, err = nodeconf.SearchRegistries(nodes.Search)
	if err == nil && len(content) != 0 {
		c.files = append(c.files, File{nodeSearchFile, content})
	}
	return err
}
