package transfer

import (
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// Repositories of releases below the prefix, as oc-mirror names them
// (openshift/oc-mirror, internal/pkg/release/const.go): release images have one
// of their own, since an update service reads every tag of it.
const (
	releaseImages     = "openshift/release-images"
	releaseComponents = "openshift/release"
)

// check refuses a prefix that leaves no component to the images, as oc-mirror does
// (internal/pkg/image/image.go, ValidateMaxNestedPaths). oc adm catalog mirror joins
// the prefix too, and whoever wants its names gets them.
func (n Names) check() error {
	if n.MaxComponents < 0 {
		return fmt.Errorf("%w: at most %d components of a path", ErrNaming, n.MaxComponents)
	}
	_, prefix, _ := strings.Cut(n.To, "/")
	if has := len(components(prefix)); n.MaxComponents > 0 && has >= n.MaxComponents && n.Naming != NamingOC {
		return fmt.Errorf("%w: %s has %d components, and a repository below it may have no more than %d", ErrNaming, n.To, has, n.MaxComponents)
	}
	return nil
}

// place names an image without what its release says of its tags: of a part of a
// release, the repository alone.
func (n Names) place(image bundle.Image, ref oci.Reference) Destination {
	d := Destination{Repository: ref.Repository}
	if ref.Tag != "" {
		d.Tags = []string{ref.Tag}
	}
	switch {
	case n.To == "":
	case len(image.Destinations) > 0:
		d.Tags = nil
		for _, name := range image.Destinations {
			path, tag, _ := strings.Cut(name, ":")
			d.Repository = n.To + "/" + path
			d.Tags = append(d.Tags, tag)
		}
	case image.Part == bundle.PartRelease || image.Part == bundle.PartComponent:
		d = Destination{Repository: n.repository(n.releaseRepository(image.Part))}
	case n.Naming == NamingHost:
		d.Repository = n.repository(hostComponent(ref.Host()) + "/" + ref.Path())
	default:
		d.Repository = n.repository(ref.Path())
	}
	return d
}

func (n Names) releaseRepository(part string) string {
	switch {
	case n.ReleaseRepository != "":
		return n.ReleaseRepository
	case part == bundle.PartRelease:
		return releaseImages
	}
	return releaseComponents
}

// repository returns the repository for a path below the prefix. What is too many
// components is joined as oc adm catalog mirror (openshift/oc,
// pkg/cli/admin/catalog/mirrorer.go, mount) and oc-mirror (internal/pkg/image/image.go,
// WithMaxNestedPaths) both do it.
func (n Names) repository(path string) string {
	host, prefix, _ := strings.Cut(n.To, "/")
	all := append(components(prefix), components(path)...)
	if last := n.MaxComponents - 1; last >= 0 && len(all) > n.MaxComponents {
		all = append(all[:last:last], strings.Join(all[last:], "-"))
	}
	return host + "/" + strings.Join(all, "/")
}

func components(path string) []string {
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// digestTag is the tag of an image that was asked for by digest alone. Listed says
// that something which names its subject goes into the repository: where a registry
// has no referrers API, the tag sha256-<hex> is the list of what is attached to that
// digest, and no image may have it. Neither oc nor oc-mirror carry attachments, so
// that these have no names of theirs.
func (n Names) digestTag(image bundle.Image, listed bool) string {
	switch {
	case n.To == "" || image.AttachedTo != "":
	case n.Naming == NamingOC:
		// oc hashes the name as the catalog spells it, here it is as people mean it:
		// docker.io/library/x for x and index.docker.io/x.
		hash := fnv.New32a()
		hash.Write([]byte(image.Reference))
		return fmt.Sprintf("%x", hash.Sum32()) // not padded
	case n.Naming == NamingOCMirror && !listed:
		return "sha256-" + image.Root.Digest.Encoded()
	}
	return DigestTag(image.Root.Digest)
}

// hostComponent makes a registry's host and port one component of a path.
func hostComponent(host string) string {
	return strings.ToLower(strings.NewReplacer(":", "-", "[", "", "]", "").Replace(host))
}

// DigestTag is the tag at the site of what was named by digest alone, unless the
// naming says otherwise: registries collect what has no tag.
func DigestTag(d digest.Digest) string { return "digest-" + d.Encoded() }
