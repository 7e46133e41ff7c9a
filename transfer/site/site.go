// Package site renders what a cluster and hosts at the site need to use a
// bundle that was unpacked there: signature ConfigMaps, mirror sets, catalog
// sources, changes of the image and samples configuration, authorities of
// registries, what nodes will have, parts of install-config.yaml, mapping.txt,
// registries.conf, and a README.md with the commands in their order.
//
// It is pure: values in, bytes out; no clock, no file system, no network. The
// same bundle gives the same bytes, in whatever order its images come.
package site

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/oci/release"
)

// Bundle is what lies at the site.
type Bundle struct {
	// Name is the bundle's name; names of resources are made from it.
	Name string
	// To is REGISTRY[/PREFIX].
	To       string
	Images   []Image
	Releases []Release
	// Catalogs are operator catalogs; their images are not among Images.
	Catalogs []Catalog
	// Lacking are the images, as people call them, that the bundle has or should
	// have and that are not at the site; nothing is said of that when it is empty.
	Lacking []string
	// Absent is what is named in the bundle and is not in it, Lacking excepted.
	Absent []Absent
}

// Image is one image at the site.
type Image struct {
	// Source is what was asked for. With a digest it is pulled by digest,
	// whatever its tag.
	Source oci.Reference
	// Digest is that of the root manifest.
	Digest digest.Digest
	// Repository is HOST/PATH at the site.
	Repository string
	Tags       []string
	// Attachment is set for signatures, attestations and the like, which need
	// no mirror beyond that of their subject.
	Attachment bool
	// Release is set for release images and for components of releases.
	Release bool
}

// Release is one OpenShift release at the site.
type Release struct {
	// Source is what was asked for, by tag or by digest.
	Source oci.Reference
	// Digest is that of the root: of the list, for a multi release.
	Digest digest.Digest
	// Version is that of the payload, Architecture the name of OCI ("amd64") or
	// "multi"; the latter may be empty when it is not known.
	Version, Architecture string
	// Repository is HOST/PATH of the release image at the site, Tag its tag.
	Repository, Tag string
	Payload         *release.Payload
	// ComponentRepository is HOST/PATH of the components at the site.
	ComponentRepository string
	// Signatures are the verified ones, of the list and of its children.
	Signatures []Signature
	// Unsigned is the reason why the release counts as not signed, and empty
	// when it is signed.
	Unsigned string
}

// Signature holds the signatures of one digest, each byte for byte as it was
// found in a signature store.
type Signature struct {
	Digest digest.Digest
	Raw    [][]byte
}

// MirrorSets says which resources are made for mirrors. The zero value is
// [IDMS].
type MirrorSets string

const (
	// IDMS makes an ImageDigestMirrorSet and, where images were named by tag, an
	// ImageTagMirrorSet. Clusters know both from 4.13 on.
	IDMS MirrorSets = "idms"
	// ICSP makes an ImageContentSourcePolicy, for clusters up to 4.12. They have
	// nothing for images that were named by tag.
	ICSP MirrorSets = "icsp"
	// Both makes all three.
	Both MirrorSets = "both"
)

// Options change what is rendered.
type Options struct {
	MirrorSets MirrorSets
	// Scope is that of mirror sets, of the part of install-config.yaml and of
	// registries.conf. What would be wrong of an image is narrower.
	Scope Scope
	// AlsoMirror are further REGISTRY[/PREFIX] that hold the same repositories
	// below them as Bundle.To does. Each source gets them as mirrors after its
	// own, in this order.
	AlsoMirror []string
	// NeverContactSource keeps nodes and hosts from asking the sources themselves
	// when no mirror answers. An ImageContentSourcePolicy cannot say that.
	NeverContactSource bool
	// NoMedia says that the images came from registry to registry: there is no
	// bundle to extract from.
	NoMedia bool
	// MediaFlags are what satchel extract needs to be told of media in the commands of
	// README.md.
	MediaFlags []string
	// Unverified says that the registry was asked without a check of its certificate.
	Unverified bool
	// Config is what of the cluster's configuration is made beside mirror sets.
	Config Config
}

// File is one file of the result.
type File struct {
	// Name is a plain file name, without a directory.
	Name    string
	Content []byte
}

// The names of the files; those of signature ConfigMaps are made from digests.
const (
	readmeFile         = "README.md"
	digestMirrorsFile  = "imageDigestMirrorSet.yaml"
	tagMirrorsFile     = "imageTagMirrorSet.yaml"
	policyFile         = "imageContentSourcePolicy.yaml"
	digestSourcesFile  = "install-config-imageDigestSources.yaml"
	contentSourcesFile = "install-config-imageContentSources.yaml"
	mappingFile        = "mapping.txt"
	registriesFile     = "registries.conf"
	olderFile          = "registries-digest-only.conf"
)

// Render makes all files, sorted by name. What would be empty is left out. It
// fails for names and digests that are not valid, for two images that would be
// one at the site, and for AlsoMirror when a repository is not below Bundle.To.
// Neither b nor what it holds is changed or kept.
func Render(b Bundle, o Options) ([]File, error) {
	files, _, err := RenderChecked(b, o)
	return files, err
}

func render(b Bundle, o Options, config *configured) ([]File, error) {
	if o.MirrorSets == "" {
		o.MirrorSets = IDMS
	}
	if err := check(b, o); err != nil {
		return nil, err
	}
	b = ordered(b)
	digests, tags, err := sources(b, o.AlsoMirror)
	if err != nil {
		return nil, err
	}
	files, err := configMaps(b.Releases)
	if err != nil {
		return nil, err
	}
	add := func(name string, content []byte) {
		if len(content) != 0 {
			files = append(files, File{name, content})
		}
	}
	lines, err := mapping(append(b.Images, unchanged(b.Catalogs)...)) // ordered made b.Images: nobody else has it
	if err != nil {
		return nil, err
	}
	add(mappingFile, lines)
	wideDigests, wideTags := widened(b, o.Scope, digests, tags)
	if slices.EqualFunc(slices.Concat(wideDigests, wideTags), slices.Concat(digests, tags), sameSource) {
		o.Scope = ScopeRepository // nothing is wider
	}
	hosts := hostConf{bundle: b.Name, blocked: o.NeverContactSource, insecure: o.Config.Insecure}
	add(registriesFile, hosts.registries(wideDigests, wideTags))
	add(olderFile, hosts.olderRegistries(digests, tags))
	clusters, err := clusterFiles(b, o, wideDigests, wideTags)
	if err != nil {
		return nil, err
	}
	catalogs, err := catalogFiles(b.Catalogs)
	if err != nil {
		return nil, err
	}
	if err := config.configure(b, o, clusters); err != nil {
		return nil, err
	}
	for _, f := range slices.Concat(clusters, catalogs, config.files) {
		add(f.Name, f.Content)
	}
	text, err := readme(b, o, digests, tags, files, config)
	if err != nil {
		return nil, err
	}
	add(readmeFile, text)
	slices.SortFunc(files, func(x, y File) int { return cmp.Compare(x.Name, y.Name) })
	for i := 1; i < len(files); i++ {
		if files[i].Name == files[i-1].Name {
			return nil, fmt.Errorf("two files would have the name %s", files[i].Name)
		}
	}
	return files, nil
}
