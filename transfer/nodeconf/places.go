package nodeconf

import (
	"strings"

	"satchel/oci"
)

// Places returns the repositories that a node asks for an image, in this order:
// mirrors for digests when the image has one, else those for tags, then the source
// itself. What lies in a blocked registry is not among them. A node asks the next
// when one does not have the image, and fails when there is none left.
//
// There are none at all when one of the mirrors does not make a name of the image:
// nodes fail then, too.
func (n *Nodes) Places(image oci.Reference) []string {
	pull := tagOnly
	if image.Digest != "" {
		pull = digestOnly
	}
	var places []string
	add := func(place string) {
		if at := n.longest(place); at == nil || !at.blocked {
			places = append(places, place)
		}
	}
	if r := n.longest(image.Repository); r != nil {
		for _, m := range r.mirrors {
			if m.pull != pull {
				continue
			}
			place := m.location + below(image.Repository, r.scope)
			if oci.CheckRepository(place) != nil {
				return nil
			}
			add(place)
		}
	}
	add(image.Repository)
	return places
}

// longest returns the entry with the longest scope that a repository lies in: it
// alone counts (containers/image, pkg/sysregistriesv2, FindRegistry). Of two that
// are equally long it is the first by the alphabet, the wildcard.
func (n *Nodes) longest(repository string) *registry {
	var best *registry
	look := func(i int) {
		r := &n.registries[i]
		if !holds(r.scope, repository) {
			return
		}
		if best == nil || len(r.scope) > len(best.scope) || len(r.scope) == len(best.scope) && r.scope < best.scope {
			best = r
		}
	}
	for name := repository; ; {
		if i, ok := n.index[name]; ok {
			look(i)
		}
		end := strings.LastIndexAny(name, "/:")
		if end < 0 {
			break
		}
		name = name[:end]
	}
	for _, i := range n.wild {
		look(i)
	}
	return best
}

// holds says whether an entry counts for a repository. Other than for the cluster's
// nested, a host with a port lies in that without for containers/image, and
// not in a wildcard that ends in the middle of it.
func holds(scope, repository string) bool {
	if strings.HasPrefix(scope, wildcard) {
		host, _, _ := strings.Cut(repository, "/")
		host, _, _ = strings.Cut(host, ":")
		return strings.HasSuffix(host, strings.TrimPrefix(scope, "*"))
	}
	rest, ok := strings.CutPrefix(repository, scope)
	return ok && (rest == "" || rest[0] == '/' || rest[0] == ':')
}

// Below returns what of a repository follows a scope that holds it, as nodes have
// it; false when it does not.
func Below(repository, scope string) (rest string, ok bool) {
	if !holds(scope, repository) {
		return "", false
	}
	return below(repository, scope), true
}
