package site_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"satchel/transfer/nodeconf"
	"satchel/transfer/samples"
	"satchel/transfer/site"
)

func trust(t testing.TB, registry string) site.Trust {
	t.Helper()
	made, warnings, err := site.NewTrust(registry, certificate(t, 1, nil), now)
	if err != nil || len(warnings) != 0 {
		t.Fatal(warnings, err)
	}
	return made
}

func existing(t testing.TB, export string) *nodeconf.Cluster {
	t.Helper()
	c, err := nodeconf.ParseExport([]byte(export))
	if err != nil {
		t.Fatal(err)
	}
	return &c
}

func configMap(t testing.TB, data string) *samples.Samples {
	t.Helper()
	s, err := samples.Parse([]byte("kind: ConfigMap\nmetadata: {name: imagestreamtag-to-image}\ndata:\n" + data))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// onCluster is what a cluster may have that goes with the bundle of addImages.
const onCluster = `apiVersion: v1
kind: List
items:
- apiVersion: config.openshift.io/v1
  kind: ImageDigestMirrorSet
  metadata: {name: from-the-installer}
  spec:
    imageDigestMirrors:
    - {source: quay.io/openshift-release-dev/ocp-release, mirrors: [mirror.example:5000/ocp/release]}
    - {source: registry.example/org, mirrors: [older.example/org]}
- apiVersion: config.openshift.io/v1
  kind: Image
  metadata: {name: cluster}
  spec:
    additionalTrustedCA: {name: registry-cas}
    registrySources:
      allowedRegistries: [quay.io/openshift-release-dev, older.example]
      insecureRegistries: [older.example]
`

// samplesData are image streams of which ruby is whole in addSamples, go is not, and cli
// is the payload's.
const samplesData = `  ruby_3: registry.redhat.io/ubi8/ruby-30:latest
  ruby_2: registry.redhat.io/ubi8/ruby-27:1
  go_1: registry.redhat.io/ubi8/go:1
  go_2: registry.redhat.io/ubi8/go:2
  cli_latest: quay.io/openshift-release-dev/ocp-v4.0-art-dev:cli
`

func addSamples(t testing.TB, b *site.Bundle, place func(path string) string) {
	t.Helper()
	for _, path := range []string{"ubi8/ruby-30:latest", "ubi8/ruby-27:1", "ubi8/go:1"} {
		repository, tag, _ := strings.Cut(path, ":")
		b.Images = append(b.Images, site.Image{
			Source: reference(t, "registry.redhat.io/"+path), Digest: digestOf(path), Repository: b.To + "/" + place(repository), Tags: []string{tag},
		})
	}
}

func configCases(t testing.TB) []goldenCase {
	images := newBundle("tools")
	addImages(t, &images)

	release := newBundle("ocp-4.99")
	addRelease(t, &release, "4.99.1", "amd64", twoRepositories)

	sampled := newBundle("samples")
	addSamples(t, &sampled, func(path string) string { return path })

	return []goldenCase{
		{"config", images, site.Options{AlsoMirror: []string{"second.example/mirror"}, Config: site.Config{
			Allow: true, Allowed: []string{"quay.io/openshift-release-dev"}, Insecure: []string{"*.lab.example"},
			Search: []string{"mirror.example:5000"}, Import: []string{"*.trusted.example"},
		}}},
		{"config-existing", images, site.Options{Config: site.Config{
			Allow: true, Allowed: []string{"extra.example"}, Existing: existing(t, onCluster),
		}}},
		{"config-release", release, site.Options{Config: site.Config{Blocked: []string{"quay.example", "bad.example"}}}},
		{"config-refused", images, site.Options{Config: site.Config{
			Blocked: []string{"bad.example"}, Existing: existing(t, onCluster),
		}}},
		{"config-samples", sampled, site.Options{Config: site.Config{
			Allow: true, Allowed: []string{"quay.io/openshift-release-dev"}, Samples: configMap(t, samplesData),
		}}},
	}
}

// patch reads a merge patch as an API server would.
func patch(t *testing.T, content string) map[string]any {
	t.Helper()
	var p struct{ Spec map[string]any }
	if err := yaml.Unmarshal([]byte(content), &p); err != nil {
		t.Fatal(err)
	}
	return p.Spec
}

// TestLists: what is in the lists, and that what the cluster has stays in them.
func TestLists(t *testing.T) {
	b := newBundle("b")
	b.Images = []site.Image{
		{Source: reference(t, "registry.example/a:v1"), Digest: digestOf("a"), Repository: b.To + "/a", Tags: []string{"v1"}},
		{Source: reference(t, "registry.example/b@"+string(digestOf("b"))), Digest: digestOf("b"), Repository: b.To + "/b", Tags: []string{"x"}},
	}
	const internal = " image-registry.openshift-image-registry.svc:5000 "
	has := existing(t, onCluster)
	hasImport := existing(t, "kind: Image\napiVersion: config.openshift.io/v1\nspec: {allowedRegistriesForImport: [{domainName: i.example}, {domainName: 'mirror.example:5000'}], registrySources: {insecureRegistries: ['mirror.example:5000'], blockedRegistries: [b.example]}}\n")
	for _, test := range []struct {
		name   string
		config site.Config
		want   string
	}{
		{"nothing", site.Config{Existing: has}, "map[]"},
		{"allowed", site.Config{Allow: true},
			"map[registrySources:map[allowedRegistries:[image-registry.openshift-image-registry.svc:5000 mirror.example:5000 registry.example/a registry.example/b]]]"},
		{"allowed and insecure", site.Config{Allow: true, Allowed: []string{"z.example", "mirror.example:5000"}, Insecure: []string{"i.example", "*.j.example"}},
			"map[registrySources:map[allowedRegistries:[*.j.example i.example" + internal + "mirror.example:5000 registry.example/a registry.example/b z.example] insecureRegistries:[*.j.example i.example]]]"},
		{"allowed beside what there is", site.Config{Allow: true, Existing: has},
			"map[registrySources:map[allowedRegistries:[quay.io/openshift-release-dev older.example" + internal + "mirror.example:5000 registry.example/a registry.example/b]]]"},
		{"allowed beside mirror sets alone", site.Config{Allow: true, Existing: &nodeconf.Cluster{IDMS: has.IDMS}},
			"map[registrySources:map[allowedRegistries:[image-registry.openshift-image-registry.svc:5000 mirror.example:5000 quay.io/openshift-release-dev/ocp-release registry.example/a registry.example/b registry.example/org]]]"},
		{"insecure beside what there is", site.Config{Insecure: []string{"a.example", "older.example"}, Existing: has},
			"map[registrySources:map[insecureRegistries:[older.example a.example]]]"},
		{"blocked", site.Config{Blocked: []string{"c.example", "a.example"}, Existing: hasImport},
			"map[registrySources:map[blockedRegistries:[b.example a.example c.example]]]"},
		{"search", site.Config{Search: []string{"z.example", "a.example:5000"}},
			"map[registrySources:map[containerRuntimeSearchRegistries:[z.example a.example:5000]]]"},
		{"import", site.Config{Import: []string{"*.z.example"}, Existing: hasImport},
			"map[allowedRegistriesForImport:[map[domainName:i.example] map[domainName:mirror.example:5000 insecure:true] map[domainName:*.z.example]]]"},
		{"trust", site.Config{Trust: []site.Trust{trust(t, "mirror.example:5000")}}, "map[additionalTrustedCA:map[name:satchel-registry-ca]]"},
		{"trust beside what there is", site.Config{Trust: []site.Trust{trust(t, "mirror.example:5000")}, Existing: has}, "map[]"},
	} {
		got := render(t, b, site.Options{Config: test.config})
		if s := fmt.Sprint(patch(t, got["imageConfig-patch.yaml"])); s != test.want {
			t.Errorf("%s:\n%s, want\n%s", test.name, s, test.want)
		}
		if strings.Contains(got["README.md"], "(quay.io/openshift-release-dev/ocp-release, registry.example/org) are in this one") != (test.name == "allowed beside mirror sets alone") {
			t.Errorf("%s: of the sources that are pulled from today README.md says\n%s", test.name, got["README.md"])
		}
		if strings.Contains(got["README.md"], "imageConfig-patch.yaml") != (test.want != "map[]") {
			t.Errorf("%s: README.md says\n%s", test.name, got["README.md"])
		}
	}
}

func TestConfigRefuses(t *testing.T) {
	one := trust(t, "mirror.example:5000")
	for _, test := range []struct {
		config site.Config
		want   string
	}{
		{site.Config{Allow: true, Blocked: []string{"a.example"}}, "one of the two lists only"},
		{site.Config{Blocked: []string{"https://a.example"}}, `registry "https://a.example" is not`},
		{site.Config{Allow: true, Allowed: []string{"a.example/b:tag"}}, `registry "a.example/b:tag" is not`},
		{site.Config{Insecure: []string{"a.example\n"}}, `registry "a.example\n" is not`},
		{site.Config{Insecure: []string{"*.a.example:5000"}}, "is not HOST"},
		{site.Config{Search: []string{"a.example/b"}}, `search registry "a.example/b" is not HOST[:PORT]`},
		{site.Config{Import: []string{"a.example/b"}}, `registry for import "a.example/b" is not`},
		{site.Config{Trust: []site.Trust{one, one}}, "mirror.example:5000 has two authorities"},
		{site.Config{Existing: &nodeconf.Cluster{TrustedCA: "a;b"}}, `additionalTrustedCA of the cluster is "a;b"`},
	} {
		if _, err := site.Render(newBundle("b"), site.Options{Config: test.config}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}

// TestTrustFiles: keys of the ConfigMap, by openshift-facts.md 7.5 and 1.10.
func TestTrustFiles(t *testing.T) {
	type resource struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct{ Name, Namespace string }
		Data       map[string]string
	}
	images, release := newBundle("b"), newBundle("b")
	addRelease(t, &release, "4.99.1", "amd64", twoRepositories)
	all := []site.Trust{trust(t, "mirror.example:5000"), trust(t, "second.example")}
	for _, test := range []struct {
		name     string
		bundle   site.Bundle
		existing *nodeconf.Cluster
		file     string
		header   string
		keys     []string
	}{
		{"images", images, nil, "registryCA.yaml", "{v1 ConfigMap {satchel-registry-ca openshift-config}", []string{"mirror.example..5000", "second.example"}},
		{"release", release, nil, "registryCA.yaml", "{v1 ConfigMap {satchel-registry-ca openshift-config}", []string{"mirror.example..5000", "second.example", "updateservice-registry"}},
		{"existing", release, existing(t, onCluster), "registryCA-patch.yaml", "{  { }", []string{"mirror.example..5000", "second.example", "updateservice-registry"}},
	} {
		got := render(t, test.bundle, site.Options{Config: site.Config{Trust: all, Existing: test.existing}})
		var r resource
		if err := yaml.Unmarshal([]byte(got[test.file]), &r); err != nil {
			t.Fatal(err)
		}
		var keys []string
		for key, content := range r.Data {
			keys = append(keys, key)
			if !strings.HasPrefix(content, "-----BEGIN CERTIFICATE-----\n") || strings.Count(content, "BEGIN") != 1 {
				t.Errorf("%s: %s is %q", test.name, key, content)
			}
		}
		slices.Sort(keys)
		if !slices.Equal(keys, test.keys) || !strings.HasPrefix(fmt.Sprint(r), test.header) {
			t.Errorf("%s: %q in %v, want %q in %s", test.name, keys, r, test.keys, test.header)
		}
		if strings.Contains(got["README.md"], "configmap/registry-cas") != (test.existing != nil) {
			t.Errorf("%s: README.md says\n%s", test.name, got["README.md"])
		}
		var part map[string]string
		if err := yaml.Unmarshal([]byte(got["install-config-additionalTrustBundle.yaml"]), &part); err != nil {
			t.Fatal(err)
		}
		if bundle := part["additionalTrustBundle"]; (strings.Count(bundle, "BEGIN CERTIFICATE") != 1) != (len(test.bundle.Releases) == 0) {
			t.Errorf("%s: additionalTrustBundle %q", test.name, bundle)
		}
	}
}
