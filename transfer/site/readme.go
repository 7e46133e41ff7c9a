package site

import (
	"bytes"
	_ "embed"
	"fmt"
	"net"
	"slices"
	"strings"
	"text/template"

	"github.com/blang/semver/v4"

	"satchel/oci"
	"satchel/transfer/nodeconf"
)

//go:embed readme.md.tmpl
var readmeTemplate string

// readmeValues are what the template asks for.
type readmeValues struct {
	Bundle, To                     string
	Host, HostName, CertificateKey string
	AlsoHosts                      []string
	Files                          []readmeFileLine
	Releases                       []readmeRelease
	Versions                       []string // of releases, each once
	MustGather, ToolImages         []readmeImage
	Tools                          string // image for oc debug

	// Lacking are the first of what is not at the site, LackingMore how many there
	// are beyond these.
	Lacking     []string
	LackingMore int
	NoMedia     bool
	// Config is what is there beside mirrors.
	Config readmeConfig
	// Old says that a release may be for clusters that know no IDMS.
	Old bool
	// Wide says that there are sources of mirror sets wider than repositories.
	Wide bool

	// What is among the files.
	SignatureFiles                  []string
	CatalogSources, ClusterCatalogs []string
	CatalogNames                    []string // of CatalogSources
	Catalogs                        []Catalog
	// Databases are catalogs without a ClusterCatalog, Remade those that are not in
	// mapping.txt.
	Databases, Remade []string
	// Unverified says that nobody knows the certificate of the registry yet.
	Unverified bool

	DigestMirrors, TagMirrors, Policy     bool
	InstallParts, ClusterMirrors, Both    bool
	HostMirrors                           bool
	MappingFile, MirrorSetFile            string
	KindsOnCluster                        string
	Excluded, TagsWithoutMirror           []string
	UnknownOrigin                         []string
	Try                                   string
	DigestMirrorsFile, TagMirrorsFile     string
	PolicyFile, RegistriesFile, OlderFile string
	DigestSourcesFile, ContentSourcesFile string
}

type readmeFileLine struct{ Name, About string }

type readmeImage struct{ Label, Name, Image string }

// readmeRelease is one release with the values for its commands.
type readmeRelease struct {
	Release
	Label      string // "4.12.0 (amd64)"
	Key        string // "4.12.0-amd64", for names of files
	Pullspec   string // at the site, by digest
	Original   string // by digest, empty when it is not known
	Extract    string // beginning of a command that reads the bundle
	FromMirror string // beginning of one that reads the registry
	Previous   []string
	NoSigstore bool
}

// readme writes README.md. Files are all the others. The procedure, its order
// and the warnings are those of openshift/openshift-docs: "Updating a cluster in
// a disconnected environment without the OpenShift Update Service", "Mirroring
// images for a disconnected installation".
func readme(b Bundle, o Options, digests, tags []entry, files []File, config *configured) ([]byte, error) {
	v := readmeValues{
		Bundle: oneLine(b.Name), To: b.To, Host: host(b.To),
		HostMirrors:       len(digests)+len(tags) != 0,
		DigestMirrorsFile: digestMirrorsFile, TagMirrorsFile: tagMirrorsFile, PolicyFile: policyFile,
		RegistriesFile: registriesFile, OlderFile: olderFile,
		DigestSourcesFile: digestSourcesFile, ContentSourcesFile: contentSourcesFile,
	}
	v.HostName = v.Host
	if name, _, err := net.SplitHostPort(v.Host); err == nil {
		v.HostName = name
	}
	// A colon is not valid in a key of a ConfigMap: openshift/api,
	// config/v1/types_image.go.
	v.CertificateKey = strings.Replace(v.Host, ":", "..", 1)
	for _, also := range o.AlsoMirror {
		if h := host(also); h != v.Host && !slices.Contains(v.AlsoHosts, h) {
			v.AlsoHosts = append(v.AlsoHosts, h)
		}
	}
	v.takeFiles(files)
	v.takeMirrors(o.MirrorSets, digests, tags)
	v.Wide = o.Scope == ScopeNamespace || o.Scope == ScopeRegistry
	v.takeReleases(b, o)
	v.takeLacking(b.Lacking)
	v.takeCatalogs(b.Catalogs)
	v.Unverified = o.Unverified && !o.Config.trusts(b.To)
	v.Config = config.readme(o)
	for _, image := range b.Images {
		if image.Attachment {
			continue
		}
		if unknownOrigin(image.Source) {
			v.UnknownOrigin = append(v.UnknownOrigin, image.Repository+"@"+string(image.Digest))
		}
	}
	v.UnknownOrigin = slices.Compact(slices.Sorted(slices.Values(v.UnknownOrigin)))
	v.Try = try(b, digests, tags)

	t, err := template.New(readmeFile).Funcs(template.FuncMap{
		"join": func(s []string) string { return strings.Join(s, ", ") },
	}).Parse(readmeTemplate + readmeConfigTemplate)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", readmeFile, err)
	}
	var text bytes.Buffer
	if err := t.Execute(&text, v); err != nil {
		return nil, fmt.Errorf("%s: %w", readmeFile, err)
	}
	return text.Bytes(), nil
}

func host(repository string) string {
	return oci.Reference{Repository: repository}.Host()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// sigstoreFrom is the version from which clusters demand a sigstore signature of
// the release image: openshift/cluster-update-keys,
// manifests.rhel/0000_90_openshift-cluster-image-policy.yaml.
var sigstoreFrom = semver.MustParse("4.21.0-0")

// maxLacking is how many lacking images README.md names.
const maxLacking = 20

func (v *readmeValues) takeLacking(lacking []string) {
	for _, name := range lacking[:min(len(lacking), maxLacking)] {
		v.Lacking = append(v.Lacking, oneLine(name))
	}
	v.LackingMore = len(lacking) - len(v.Lacking)
}

// idmsFrom is the version from which clusters know mirror sets other than
// ImageContentSourcePolicy (openshift/api, config/v1/types_image_digest_mirror_set.go).
var idmsFrom = semver.MustParse("4.13.0-0")

// isOld reports whether the release is, or updates from, one that knows no IDMS.
func isOld(r Release) bool {
	return slices.ContainsFunc(append([]string{r.Version}, r.Payload.Previous...), func(version string) bool {
		v, err := semver.Parse(version)
		return err == nil && v.LT(idmsFrom)
	})
}

func (v *readmeValues) takeReleases(b Bundle, o Options) {
	v.NoMedia = o.NoMedia
	flags := func(all []string) string { return strings.Join(append([]string{""}, all...), " ") }
	count := make(map[string]int)
	for _, r := range b.Releases {
		count[r.Version]++
	}
	for _, r := range b.Releases {
		e := readmeRelease{
			Release: r, Label: r.Version, Key: r.Version,
			Pullspec: r.Repository + "@" + string(r.Digest),
			Previous: r.Payload.Previous,
			Extract:  "satchel extract MEDIA --release " + r.Version + flags(o.MediaFlags),
		}
		e.FromMirror = "satchel extract docker://" + e.Pullspec
		if v.MirrorSetFile != "" {
			e.FromMirror += " --mirror-set-file " + v.MirrorSetFile
		}
		if o.Unverified || nodeconf.InScopes(r.Repository, o.Config.Insecure) {
			e.FromMirror += " --tls-verify=false"
		}
		v.Old = v.Old || isOld(r)
		if r.Architecture != "" {
			e.Label += " (" + r.Architecture + ")"
			e.Key += "-" + r.Architecture
		}
		if count[r.Version] > 1 || o.NoMedia { // the version alone does not say which
			e.Extract = e.FromMirror
		}
		if !unknownOrigin(r.Source) {
			e.Original = r.Source.Repository + "@" + string(r.Digest)
		}
		if e.Unsigned = oneLine(e.Unsigned); e.Unsigned == "" && !signed(r) {
			e.Unsigned = "no signature of its digest is in the bundle"
		}
		e.NoSigstore = semver.MustParse(r.Version).GTE(sigstoreFrom) && !hasSigstore(b.Images, r)
		v.Releases = append(v.Releases, e)
		if !slices.Contains(v.Versions, r.Version) {
			v.Versions = append(v.Versions, r.Version)
		}
		for _, name := range []string{"must-gather", "tools", "cli"} {
			c, ok := r.Payload.Component(name)
			if !ok {
				continue
			}
			image := readmeImage{e.Label, name, b.repositoryOf(r, c.Image) + "@" + string(c.Image.Digest)}
			if name == "must-gather" {
				v.MustGather = append(v.MustGather, image)
				continue
			}
			v.ToolImages = append(v.ToolImages, image)
			if name == "tools" {
				v.Tools = image.Image
			}
		}
	}
}

// repositoryOf returns where a component is at the site: with the others, unless
// it was given another name.
func (b Bundle) repositoryOf(r Release, source oci.Reference) string {
	for _, image := range b.Images {
		if image.Release && image.Source == source {
			return image.Repository
		}
	}
	return r.ComponentRepository
}

func signed(r Release) bool {
	return slices.ContainsFunc(r.Signatures, func(s Signature) bool { return s.Digest == r.Digest && len(s.Raw) != 0 })
}

// hasSigstore looks for the tag sha256-<hex>.sig of a release image. For a list,
// whose children are not known here, that of any image will do.
func hasSigstore(images []Image, r Release) bool {
	want := "sha256-" + r.Digest.Encoded() + ".sig"
	return slices.ContainsFunc(images, func(image Image) bool {
		return image.Attachment && image.Repository == r.Repository && slices.ContainsFunc(image.Tags, func(tag string) bool {
			return tag == want || r.Architecture == "multi" && strings.HasSuffix(tag, ".sig")
		})
	})
}

// try is a command that shows whether the mirrors work.
func try(b Bundle, digests, tags []entry) string {
	mirrored := func(entries []entry, source oci.Reference) bool {
		return slices.ContainsFunc(entries, func(e entry) bool { return e.Source == source.Repository })
	}
	for _, r := range b.Releases {
		if mirrored(digests, r.Source) {
			return "skopeo inspect --raw docker://" + r.Source.Repository + "@" + string(r.Digest)
		}
	}
	for _, image := range b.Images {
		if !image.Attachment && image.Source.Digest != "" && mirrored(digests, image.Source) {
			return "skopeo inspect --raw docker://" + image.Source.Repository + "@" + string(image.Source.Digest)
		}
	}
	for _, image := range b.Images {
		if !image.Attachment && image.Source.Digest == "" && mirrored(tags, image.Source) {
			return "skopeo inspect --raw docker://" + image.Source.String()
		}
	}
	return ""
}
