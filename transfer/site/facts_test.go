package site_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"satchel/fixtures"
	"satchel/oci/release"
	"satchel/transfer/site"
)

// documented is the example that oc's documentation has: one repository for
// everything, real source names.
func documented(t testing.TB) site.Bundle {
	const (
		to     = "mirror.example.com:5000/ocp/release"
		source = "quay.io/openshift-release-dev/ocp-release:4.99.1-x86_64"
	)
	component := reference(t, "quay.io/openshift-release-dev/ocp-v4.0-art-dev@"+string(digestOf("cli")))
	r := site.Release{
		Source: reference(t, source), Digest: digestOf("release"), Version: "4.99.1", Architecture: "amd64",
		Repository: to, Tag: "4.99.1-x86_64", ComponentRepository: to,
		Payload: &release.Payload{Version: "4.99.1", Components: []release.Component{{Name: "cli", Image: component}}},
	}
	return site.Bundle{
		Name: "example", To: "mirror.example.com:5000/ocp",
		Images: []site.Image{
			{Source: r.Source, Digest: r.Digest, Repository: to, Tags: []string{r.Tag}, Release: true},
			{Source: component, Digest: component.Digest, Repository: to, Tags: []string{r.Tag + "-cli"}, Release: true},
		},
		Releases: []site.Release{r},
	}
}

var hash = regexp.MustCompile(`(?m)^  name: satchel-example-[0-9a-f]{8}-0$`)

// TestAsOcPrints compares with what oc adm release mirror prints, byte for byte
// but for the name.
func TestAsOcPrints(t *testing.T) {
	const list = `- mirrors:
  - mirror.example.com:5000/ocp/release
  source: quay.io/openshift-release-dev/ocp-release
- mirrors:
  - mirror.example.com:5000/ocp/release
  source: quay.io/openshift-release-dev/ocp-v4.0-art-dev
`
	indented := "  " + strings.ReplaceAll(strings.TrimSuffix(list, "\n"), "\n", "\n  ") + "\n"
	want := map[string]string{
		"install-config-imageDigestSources.yaml":  "imageDigestSources:\n" + list,
		"install-config-imageContentSources.yaml": "imageContentSources:\n" + list,
		"imageDigestMirrorSet.yaml": "---\napiVersion: config.openshift.io/v1\nkind: ImageDigestMirrorSet\nmetadata:\n" +
			"  name: satchel-example-0\nspec:\n  imageDigestMirrors:\n" + indented,
		"imageContentSourcePolicy.yaml": "---\napiVersion: operator.openshift.io/v1alpha1\nkind: ImageContentSourcePolicy\nmetadata:\n" +
			"  name: satchel-example-0\nspec:\n  repositoryDigestMirrors:\n" + indented,
		"imageTagMirrorSet.yaml": "",
	}
	got := render(t, documented(t), site.Options{MirrorSets: site.Both})
	for name, content := range want {
		if hash.ReplaceAllString(got[name], "  name: satchel-example-0") != content {
			t.Errorf("%s:\n%s\nwant\n%s", name, got[name], content)
		}
	}
}

// TestReleaseRepositories: as with --to-release-image, both repositories stand
// under every source of the release, and the further mirrors after them.
func TestReleaseRepositories(t *testing.T) {
	b := newBundle("b")
	addRelease(t, &b, "4.99.1", "amd64", twoRepositories)
	got := decode(t, render(t, b, site.Options{AlsoMirror: []string{"other.example:8443/deep/er"}})["imageDigestMirrorSet.yaml"])
	mirrors := "mirror.example:5000/site/openshift/release mirror.example:5000/site/openshift/release-images " +
		"other.example:8443/deep/er/openshift/release other.example:8443/deep/er/openshift/release-images\n"
	want := componentSource + ": " + mirrors + releaseSource + ": " + mirrors
	if len(got) != 1 || got[0].mirrors().String() != want {
		t.Errorf("got %v, want\n%s", got, want)
	}
}

// TestConfigMap compares with what oc adm release mirror writes, byte for byte.
func TestConfigMap(t *testing.T) {
	b := newBundle("b")
	addRelease(t, &b, "4.99.1", "multi", twoRepositories)
	child, raw := digestOf("child"), []byte{0x90, 0x0d, 0xff, 0, '\n'}
	b.Releases[0].Signatures = []site.Signature{
		{Digest: child, Raw: [][]byte{raw, []byte("second"), raw}},
		{Digest: b.Releases[0].Digest, Raw: [][]byte{[]byte("of the list")}},
		{Digest: digestOf("other child")},
	}
	got := render(t, b, site.Options{})
	name := "sha256-" + child.Encoded()
	want := `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"` + name + `","namespace":"openshift-config-managed",` +
		`"creationTimestamp":null,"labels":{"release.openshift.io/verification-signatures":""}},"binaryData":{"` +
		name + `-1":"` + base64.StdEncoding.EncodeToString(raw) + `","` + name + `-2":"c2Vjb25k"}}` + "\n"
	if file := "signature-sha256-" + child.Encoded()[:16] + ".json"; got[file] != want {
		t.Errorf("%s:\n%s\nwant\n%s", file, got[file], want)
	}
	count := 0
	for file := range got {
		if strings.HasPrefix(file, "signature-") {
			count++
		}
	}
	if count != 2 {
		t.Errorf("%d signature files, want one for each of the two digests that have signatures", count)
	}

	// Two releases that share a child share its ConfigMap.
	addRelease(t, &b, "4.99.2", "amd64", twoRepositories)
	b.Releases[1].Signatures = []site.Signature{{Digest: child, Raw: [][]byte{[]byte("second"), []byte("third")}}}
	var c struct{ BinaryData map[string][]byte }
	if err := json.Unmarshal([]byte(render(t, b, site.Options{})["signature-sha256-"+child.Encoded()[:16]+".json"]), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.BinaryData) != 3 || !bytes.Equal(c.BinaryData[name+"-1"], raw) || string(c.BinaryData[name+"-3"]) != "third" {
		t.Errorf("joined signatures: %q", c.BinaryData)
	}
}

// TestMapping reads mapping.txt as oc image mirror -f does.
func TestMapping(t *testing.T) {
	b := newBundle("b")
	addRelease(t, &b, "4.99.1", "amd64", twoRepositories)
	addImages(t, &b)
	b.Images = append(b.Images, site.Image{ // another way to ask for what is there
		Source: reference(t, "registry.example/org/by-tag@"+string(digestOf("registry.example/org/by-tag:v1"))),
		Digest: digestOf("registry.example/org/by-tag:v1"), Repository: b.To + "/org/by-tag", Tags: []string{"v1"},
	}, site.Image{ // not moved at all
		Source: reference(t, b.To+"/stays:v1"), Digest: digestOf("stays"), Repository: b.To + "/stays", Tags: []string{"v1"},
	})
	text := render(t, b, site.Options{})["mapping.txt"]
	got := make(map[string]string) // by destination
	comments := 0
	for line := range strings.Lines(text) {
		line, comment, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "#")
		if comment != "" {
			comments++
		}
		if line == "" {
			continue
		}
		source, destination, ok := strings.Cut(line, "=")
		if !ok || strings.ContainsAny(line, " \t") || got[destination] != "" || source == destination {
			t.Errorf("line %q", line)
		}
		if reference(t, source); reference(t, destination).Tag == "" || strings.Contains(destination, "@") {
			t.Errorf("line %q: destination has no tag", line)
		}
		got[destination] = source
	}
	if comments != 2 {
		t.Errorf("%d comments, want one for each of two images of unknown origin", comments)
	}
	want := map[string]string{"mirror.example:5000/site/openshift/release-images:4.99.1-x86_64": releaseSource + ":4.99.1-x86_64"}
	for _, c := range b.Releases[0].Payload.Components {
		want[twoRepositories.components+":4.99.1-x86_64-"+c.Name] = c.Image.String()
	}
	sig := "sha256-" + b.Releases[0].Digest.Encoded() + ".sig"
	want[twoRepositories.release+":"+sig] = releaseSource + ":" + sig
	referrer := digestOf("referrer")
	want[b.To+"/org/by-digest:digest-"+referrer.Encoded()] = "registry.example/org/by-digest@" + string(referrer)
	want[b.To+"/org/tag-and-digest:v3"] = "registry.example/org/tag-and-digest@" + string(digestOf("v3"))
	want[b.To+"/org/by-tag:v1"] = "registry.example/org/by-tag:v1"
	for destination, source := range want {
		if got[destination] != source {
			t.Errorf("%s is %q, want %q", destination, got[destination], source)
		}
	}
	if len(got) != len(want)+4 || got[b.To+"/stays:v1"] != "" {
		t.Errorf("%d lines, want %d:\n%s", len(got), len(want)+4, text)
	}
}

// TestRealRelease takes the names and digests of a real release.
func TestRealRelease(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "data", "releases", "4.12.0-x86_64", "image-references"))
	fixtures.CheckShared(t, err)
	var stream struct {
		Spec struct {
			Tags []struct {
				Name string
				From struct{ Name string }
			}
		}
	}
	if err := json.Unmarshal(data, &stream); err != nil {
		t.Fatal(err)
	}
	b := documented(t)
	r := &b.Releases[0]
	r.Version, r.Tag = "4.12.0", "4.12.0-x86_64"
	r.Source = reference(t, "quay.io/openshift-release-dev/ocp-release:4.12.0-x86_64")
	r.Payload = &release.Payload{Version: r.Version}
	b.Images = []site.Image{{Source: r.Source, Digest: r.Digest, Repository: r.Repository, Tags: []string{r.Tag}, Release: true}}
	var want []string
	for _, tag := range stream.Spec.Tags {
		image := reference(t, tag.From.Name)
		r.Payload.Components = append(r.Payload.Components, release.Component{Name: tag.Name, Image: image})
		b.Images = append(b.Images, site.Image{Source: image, Digest: image.Digest, Repository: r.ComponentRepository, Tags: []string{r.Tag + "-" + tag.Name}, Release: true})
		want = append(want, tag.From.Name+"=mirror.example.com:5000/ocp/release:4.12.0-x86_64-"+tag.Name)
	}
	want = append(want, r.Source.String()+"=mirror.example.com:5000/ocp/release:4.12.0-x86_64")
	slices.Sort(want)
	got := render(t, b, site.Options{})
	if len(want) != 184 || got["mapping.txt"] != strings.Join(want, "\n")+"\n" {
		t.Errorf("mapping.txt is\n%s\nwant %d lines", got["mapping.txt"], len(want))
	}
	sets := decode(t, got["imageDigestMirrorSet.yaml"])
	if len(sets) != 1 || sets[0].mirrors().String() != "quay.io/openshift-release-dev/ocp-release: mirror.example.com:5000/ocp/release\n"+
		"quay.io/openshift-release-dev/ocp-v4.0-art-dev: mirror.example.com:5000/ocp/release\n" {
		t.Errorf("mirrors: %v", sets)
	}
	gather, _ := r.Payload.Component("must-gather")
	if command := "oc adm must-gather --image=mirror.example.com:5000/ocp/release@" + string(gather.Image.Digest); !strings.Contains(got["README.md"], command) {
		t.Errorf("README.md has no %q", command)
	}
}
