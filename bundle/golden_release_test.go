package bundle_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// releaseSource is what a bundle with OpenShift releases is packed from: a signed
// one for several architectures, whose release image has a signature attached by
// tag and whose child has one attached by subject, and an unsigned one, which share
// a component and their keys; and an image that has its names at the site already.
func releaseSource(t testing.TB) *source {
	const (
		listed   = "quay.example/openshift/release:4.18.2-multi"
		unsigned = "quay.example/openshift/release:4.18.3-x86_64"
		reason   = `keyring "verifier-public-key-example" is not satisfied: <no signature> & no store`
	)
	s := newSource("release")
	s.selection.Request = bundle.Request{
		Channel: "stable-4.18 4.18.2 to 4.18.3", Have: []digest.Digest{digest.FromString("a receipt")},
		Releases: []string{listed, unsigned}, Unsigned: true,
	}
	s.selection.Held = []bundle.HeldImage{{
		Name: "4.18.1", Part: bundle.PartComponent, Plan: digest.FromString("its plan"),
		Reference: "quay.example/openshift/payload@" + string(digest.FromString("a component of before")),
	}}
	origin := bundle.Origin{Repository: "quay.example/openshift/release"}
	release := func(arch string, group *[]bundle.Blob) bundle.Content {
		return s.putManifest(t, oci.MediaTypeManifest, map[string]any{
			"config": s.put(group, typeConfig, fmt.Appendf(nil, `{"architecture":%q,"config":{"Labels":{"io.openshift.release":"4.18"}},"os":"linux"}`, arch), origin),
			"layers": []bundle.Content{s.put(group, typeGzip, s.random(600), origin)},
		}, origin)
	}
	platform := func(c bundle.Content, arch string) map[string]any {
		return map[string]any{"mediaType": c.MediaType, "digest": c.Digest, "size": c.Size, "platform": map[string]any{"architecture": arch, "os": "linux"}}
	}

	var group []bundle.Blob
	amd64, arm64 := release("amd64", &group), release("arm64", &group)
	list := s.putManifest(t, oci.MediaTypeIndex, map[string]any{"manifests": []any{platform(amd64, "amd64"), platform(arm64, "arm64")}}, origin)
	s.putImage(bundle.Image{Part: bundle.PartRelease, Platforms: []string{"linux/amd64", "linux/arm64"}, Reference: listed, Root: list}, group)
	s.putAttached(t, listed, ":sha256-"+list.Digest.Encoded()+".sig", nil)
	s.putAttached(t, listed, "", &amd64)
	one, first := s.putComponent(t, "amd64", 45_000, 0)
	two, second := s.putComponent(t, "arm64", 300, 1)

	group = nil
	single := release("amd64", &group)
	s.putImage(bundle.Image{Part: bundle.PartRelease, Platforms: []string{"linux/amd64"}, Reference: unsigned, Root: single}, group)
	three, _ := s.putComponent(t, "amd64", 40_000, 0)

	group = nil
	tools := s.putManifest(t, oci.MediaTypeManifest, map[string]any{
		"config": first, "layers": []bundle.Content{s.put(&group, typeGzip, s.random(900), origin)},
	}, origin)
	s.putImage(bundle.Image{
		Destinations: []string{"ocp4/tools:1.0", "ocp4/tools:latest"}, Platforms: []string{"linux/amd64"},
		Reference: "quay.example/team/tools:1.0", Root: tools,
	}, group)

	keys := []byte("kind: ConfigMap\napiVersion: v1\nmetadata:\n  annotations:\n    release.openshift.io/verification-config-map: \"\"\n" +
		"data:\n  store-example: https://signatures.example/release\n  verifier-public-key-example: none\n")
	s.attach("release-image-references", listed, "application/json", list.Digest, references("4.18.2", "cli", one, "cli-artifacts", one, "installer", two), "architecture", "multi")
	s.attach("release-metadata", listed, "application/json", list.Digest, metadata("4.18.2", "4.18.1"))
	s.attach("release-verification", listed, "application/yaml", list.Digest, keys)
	s.attach("release-signature", listed, "application/octet-stream", list.Digest, s.random(200))
	s.attach("release-signature", listed, "application/octet-stream", arm64.Digest, s.random(200))
	s.attach("release-image-references", unsigned, "application/json", single.Digest, references("4.18.3", "cli", three, "installer", two),
		"architecture", "amd64", "unsigned", reason)
	s.attach("release-metadata", unsigned, "application/json", single.Digest, metadata("4.18.3", "4.18.2"))
	s.attach("release-verification", unsigned, "application/yaml", single.Digest, keys)
	// What a reader does not know, about the bundle, and not inline.
	s.selection.Attached = append(s.selection.Attached, bundle.Attached{Content: second, Type: "example"})
	return s
}

// putComponent adds an image that a release names by digest, of a layer that is
// large in the plan alone, and one that the site has already, if held is not 0. It
// returns the name and the config.
func (s *source) putComponent(t testing.TB, arch string, size, held int) (string, bundle.Content) {
	t.Helper()
	origin := bundle.Origin{Repository: "quay.example/openshift/payload"}
	var group []bundle.Blob
	config := s.put(&group, typeConfig, fmt.Appendf(nil, `{"architecture":%q,"os":"linux"}`, arch), origin)
	layers := []bundle.Content{s.put(&group, typeTar, bytes.Repeat([]byte(arch), size/len(arch)), origin)}
	if held > 0 {
		layers = append(layers, s.hold(&group, held, typeGzip, s.random(2_000), origin))
	}
	root := s.putManifest(t, oci.MediaTypeManifest, map[string]any{"config": config, "layers": layers}, origin)
	name := origin.Repository + "@" + string(root.Digest)
	s.putImage(bundle.Image{Part: bundle.PartComponent, Platforms: []string{"linux/" + arch}, Reference: name, Root: root}, group)
	return name, config
}

// putAttached adds an image that is attached to another: by that tag, or with
// that subject and by digest alone.
func (s *source) putAttached(t testing.TB, to, tag string, subject *bundle.Content) {
	t.Helper()
	repository, _, _ := strings.Cut(to, ":")
	origin := bundle.Origin{Repository: repository}
	var group []bundle.Blob
	document := map[string]any{
		"config": s.put(&group, "application/vnd.oci.empty.v1+json", []byte("{}"), origin),
		"layers": []bundle.Content{s.put(&group, "application/vnd.dev.cosign.simplesigning.v1+json", fmt.Appendf(nil, `{"critical":{"identity":{"docker-reference":%q}}}`, to+tag), origin)},
	}
	if subject != nil {
		document["subject"], document["artifactType"] = *subject, "application/vnd.example.signature"
	}
	root := s.putManifest(t, oci.MediaTypeManifest, document, origin)
	if tag == "" {
		tag = "@" + string(root.Digest)
	}
	s.putImage(bundle.Image{AttachedTo: to, Reference: repository + tag, Root: root}, group)
}

// attach attaches content whose bytes stand in the plan. annotations are keys and
// values.
func (s *source) attach(kind, reference, mediaType string, subject digest.Digest, content []byte, annotations ...string) {
	about := map[string]string{"reference": reference}
	for i := 0; i < len(annotations); i += 2 {
		about[annotations[i]] = annotations[i+1]
	}
	var group []bundle.Blob
	c := s.put(&group, mediaType, content, bundle.Origin{Inline: content})
	s.selection.Attached = append(s.selection.Attached, bundle.Attached{Annotations: about, Content: c, Subject: subject, Type: kind})
	s.selection.Blobs = append(s.selection.Blobs, group)
}

// references is a payload's image-references. components are names, each with
// the reference of its image.
func references(version string, components ...string) []byte {
	var tags []any
	for i := 0; i < len(components); i += 2 {
		tags = append(tags, map[string]any{"name": components[i], "from": map[string]string{"kind": "DockerImage", "name": components[i+1]}})
	}
	return document(map[string]any{
		"kind": "ImageStream", "apiVersion": "image.openshift.io/v1",
		"metadata": map[string]string{"name": version}, "spec": map[string]any{"tags": tags},
	})
}

// metadata is a payload's release-metadata.
func metadata(version, previous string) []byte {
	return document(map[string]any{
		"kind": "cincinnati-metadata-v0", "version": version, "previous": []string{previous},
		"metadata": map[string]string{"url": "https://errata.example/" + version},
	})
}

// document is JSON as Go's own tools write it into release images.
func document(v map[string]any) []byte {
	content, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // strings alone cannot fail
	}
	return append(content, '\n')
}
