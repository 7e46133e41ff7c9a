package nodeconf

import "fmt"

// access finds what policy.json and blocked registries would forbid. policy.json
// goes by the name of the image; blocked registries go by the place that is asked,
// mirrors too (containers/image, docker/docker_client.go, newDockerClient).
func (c *comparison) access() {
	blocked, allowed := newScopes(c.both.Blocked), newScopes(c.both.Allowed)
	for _, e := range c.ours.entries() {
		if scope, ok := blocked.within(e.Source); ok {
			c.find(Finding{e.Source, fmt.Sprintf("the cluster blocks %s by name: images of it are refused, whatever mirrors it has (but for the release image)", scope),
				fmt.Sprintf("take %s from the blocked registries, and set mirrorSourcePolicy: %s instead", scope, NeverContactSource), false})
		}
		if _, ok := allowed.within(e.Source); !ok && len(c.both.Allowed) != 0 {
			c.find(Finding{e.Source, "it is not among the allowed registries of the cluster: images of it are refused, whatever mirrors it has",
				"add it to allowedRegistries", false})
		}
		for _, m := range e.Mirrors {
			if m == e.Source {
				continue
			}
			if scope, ok := blocked.within(m); ok {
				c.find(Finding{m, fmt.Sprintf("the cluster blocks %s: nodes never ask this mirror", scope),
					fmt.Sprintf("take %s from the blocked registries", scope), false})
			}
			if _, ok := allowed.within(m); !ok && len(c.both.Allowed) != 0 {
				c.find(Finding{m, "it is not among the allowed registries of the cluster: it serves as a mirror, but what names it directly, as catalogs do, is refused",
					"add it to allowedRegistries", false})
			}
		}
	}
	for _, host := range c.both.Search {
		if _, ok := allowed.within(host); !ok && len(c.both.Allowed) != 0 {
			c.find(Finding{host, "it is a search registry, and not among the allowed registries: short names that it would complete are refused",
				"add it to allowedRegistries", false})
		}
	}
}

// kinds finds an ImageContentSourcePolicy beside the newer kinds. The API server
// refused to create one beside the other ("can't create ImageDigestMirrorSet when
// ImageContentSourcePolicy resources exist") until 4.13.27 and 4.14.3
// (openshift/machine-config-operator, pull requests 3037, 3995 and 4027;
// openshift-docs, pull requests 72316 and 72317).
func (c *comparison) kinds() {
	const newerKinds = digestMirrorSet + " and " + tagMirrorSet
	newer := func(o Cluster) bool { return len(o.IDMS)+len(o.ITMS) != 0 }
	problem := func(ours, theirs string) string {
		return fmt.Sprintf("the cluster has %s, ours is %s: clusters before 4.13.27, and those of 4.14 before 4.14.3, refuse to create one beside the other", theirs, ours)
	}
	if len(c.existing.ICSP) != 0 && newer(c.ours) {
		c.find(Finding{Problem: problem(newerKinds, contentSourcePolicy),
			Remedy: fmt.Sprintf("update the cluster first, or turn what it has into %s (oc adm migrate icsp), or apply ours as %s", digestMirrorSet, contentSourcePolicy)})
	}
	if newer(c.existing) && len(c.ours.ICSP) != 0 {
		c.find(Finding{Problem: problem(contentSourcePolicy, newerKinds), Remedy: fmt.Sprintf("apply ours as %s", digestMirrorSet)})
	}
}
