package site_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"go.yaml.in/yaml/v3"

	"satchel/oci"
	"satchel/oci/release"
	"satchel/transfer/site"
)

const (
	releaseSource   = "quay.example/dev/release"
	componentSource = "quay.example/dev/components"
)

func digestOf(what string) digest.Digest { return digest.FromString(what) }

func reference(t testing.TB, s string) oci.Reference {
	t.Helper()
	ref, err := oci.SplitReference(s)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// naming says where a release goes at the site.
type naming struct{ release, components string }

var (
	twoRepositories = naming{"mirror.example:5000/site/openshift/release-images", "mirror.example:5000/site/openshift/release"}
	oneRepository   = naming{"mirror.example:5000/site/ocp4/openshift4", "mirror.example:5000/site/ocp4/openshift4"}
)

// addRelease puts a release with five components, of which two are one image,
// into b: as transfer does, also as images.
func addRelease(t testing.TB, b *site.Bundle, version, architecture string, n naming) {
	t.Helper()
	suffix := map[string]string{"amd64": "x86_64"}[architecture]
	if suffix == "" {
		suffix = architecture
	}
	tag := version + "-" + suffix
	r := site.Release{
		Source: reference(t, releaseSource+":"+tag),
		Digest: digestOf("release " + tag), Version: version, Architecture: architecture,
		Repository: n.release, Tag: tag, ComponentRepository: n.components,
		Payload: &release.Payload{Version: version, Previous: []string{"4.98.7"}},
	}
	components := map[string][]string{} // tags by content
	for _, name := range []string{"alias", "cli", "installer", "must-gather", "tools"} {
		content := name
		if name == "alias" {
			content = "cli"
		}
		c := release.Component{Name: name, Image: reference(t, componentSource+"@"+string(digestOf(content+tag)))}
		r.Payload.Components = append(r.Payload.Components, c)
		components[content] = append(components[content], tag+"-"+name)
	}
	r.Signatures = []site.Signature{{Digest: r.Digest, Raw: [][]byte{[]byte("signature 1 of " + tag), []byte("signature 2 of " + tag)}}}
	b.Releases = append(b.Releases, r)
	b.Images = append(b.Images, site.Image{Source: r.Source, Digest: r.Digest, Repository: r.Repository, Tags: []string{tag}, Release: true})
	for content, tags := range components {
		d := digestOf(content + tag)
		b.Images = append(b.Images, site.Image{Source: reference(t, componentSource+"@"+string(d)), Digest: d, Repository: n.components, Tags: tags, Release: true})
	}
	sig := "sha256-" + r.Digest.Encoded() + ".sig"
	b.Images = append(b.Images, site.Image{
		Source: reference(t, releaseSource+":"+sig), Digest: digestOf(sig), Repository: r.Repository, Tags: []string{sig}, Attachment: true, Release: true,
	})
}

// addImages puts images of all kinds of origin into b.
func addImages(t testing.TB, b *site.Bundle) {
	t.Helper()
	byDigest := digestOf("by digest")
	for _, image := range []struct {
		source, path string
		tags         []string
		attachment   bool
	}{
		{"registry.example/org/by-tag:v1", "org/by-tag", []string{"v1"}, false},
		{"registry.example/org/by-digest@" + string(byDigest), "org/by-digest", []string{"digest-" + byDigest.Encoded()}, false},
		{"registry.example/org/both:v2", "org/both", []string{"v2"}, false},
		{"registry.example/org/both@" + string(digestOf("both")), "org/both", []string{"digest-" + digestOf("both").Encoded()}, false},
		{"registry.example/org/tag-and-digest:v3@" + string(digestOf("v3")), "org/tag-and-digest", []string{"v3"}, false},
		{"localhost/built:here", "built", []string{"here"}, false},
		{"file.invalid/from/tree:v1", "from/tree", []string{"v1"}, false},
		{"mirror.example:5000/site/already/there:v1", "already/there", []string{"v1"}, false},
		{"registry.example/org/by-digest:sha256-" + byDigest.Encoded() + ".sig", "org/by-digest", []string{"sha256-" + byDigest.Encoded() + ".sig"}, true},
		{"registry.example/org/by-digest@" + string(digestOf("referrer")), "org/by-digest", nil, true},
	} {
		source := reference(t, image.source)
		d := source.Digest
		if d == "" {
			d = digestOf(image.source)
		}
		b.Images = append(b.Images, site.Image{
			Source: source, Digest: d, Repository: b.To + "/" + image.path, Tags: image.tags, Attachment: image.attachment,
		})
	}
}

func newBundle(name string) site.Bundle {
	return site.Bundle{Name: name, To: "mirror.example:5000/site"}
}

func render(t testing.TB, b site.Bundle, o site.Options) map[string]string {
	t.Helper()
	files, err := site.Render(b, o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(files, func(x, y site.File) int { return strings.Compare(x.Name, y.Name) }) {
		t.Error("files are not sorted by name")
	}
	byName := make(map[string]string)
	for _, f := range files {
		if len(f.Content) == 0 || strings.ContainsAny(f.Name, "/\\:") || byName[f.Name] != "" {
			t.Errorf("file %q, %d bytes", f.Name, len(f.Content))
		}
		byName[f.Name] = string(f.Content)
	}
	return byName
}

// mirrorList is a list of sources with their mirrors, of whichever resource.
type mirrorList []struct {
	Source  string
	Mirrors []string
	Policy  string `yaml:"mirrorSourcePolicy"`
}

func (l mirrorList) String() string {
	var b strings.Builder
	for _, e := range l {
		fmt.Fprintf(&b, "%s: %s\n", e.Source, strings.Join(e.Mirrors, " "))
	}
	return b.String()
}

// resource is a mirror set as an API server reads it.
type resource struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name string }
	Spec       struct {
		ImageDigestMirrors      mirrorList `yaml:"imageDigestMirrors"`
		ImageTagMirrors         mirrorList `yaml:"imageTagMirrors"`
		RepositoryDigestMirrors mirrorList `yaml:"repositoryDigestMirrors"`
	}
}

func (r resource) mirrors() mirrorList {
	return slices.Concat(r.Spec.ImageDigestMirrors, r.Spec.ImageTagMirrors, r.Spec.RepositoryDigestMirrors)
}

// decode reads all documents of a file, and knows no other fields than those of
// resource.
func decode(t testing.TB, content string) []resource {
	t.Helper()
	d := yaml.NewDecoder(bytes.NewReader([]byte(content)))
	d.KnownFields(true)
	var all []resource
	for {
		var r resource
		err := d.Decode(&r)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
}
