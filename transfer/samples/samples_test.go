package samples_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"satchel/oci"
	"satchel/transfer/samples"
)

const digest = "sha256:b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"

// exported is what oc get configmap -o yaml writes.
const exported = `apiVersion: v1
data:
  cli_latest: quay.io/openshift-release-dev/ocp-v4.0-art-dev@` + digest + `
  dotnet_6.0: registry.access.redhat.com/ubi9/dotnet-60
  java_openjdk_17: registry.redhat.io/ubi8/openjdk-17:1.18
  java_latest: registry.redhat.io/ubi8/openjdk-17:1.18
  must-gather_latest: quay.io/openshift-release-dev/ocp-v4.0-art-dev@` + digest + `
  old_1: centos/ruby:2
  ruby_3.0-ubi8: "registry.redhat.io/ubi8/ruby-30@` + digest + `"
kind: ConfigMap
metadata:
  annotations:
    samples.operator.openshift.io/version: 4.18.3
  name: imagestreamtag-to-image
  namespace: openshift-cluster-samples-operator
`

const parsed = `dotnet 6.0 registry.access.redhat.com/ubi9/dotnet-60 registry.access.redhat.com/ubi9/dotnet-60:latest
java latest registry.redhat.io/ubi8/openjdk-17:1.18 registry.redhat.io/ubi8/openjdk-17:1.18
java openjdk_17 registry.redhat.io/ubi8/openjdk-17:1.18 registry.redhat.io/ubi8/openjdk-17:1.18
old 1 centos/ruby:2 docker.io/centos/ruby:2
ruby 3.0-ubi8 registry.redhat.io/ubi8/ruby-30@` + digest + ` registry.redhat.io/ubi8/ruby-30@` + digest + `
`

func text(s *samples.Samples) string {
	var b strings.Builder
	for _, stream := range s.Streams {
		for _, tag := range stream.Tags {
			fmt.Fprintf(&b, "%s %s %s %s\n", stream.Name, tag.Name, tag.Pullspec, tag.Image)
		}
	}
	return b.String()
}

// TestParse: keys are split at the first underscore, streams of the payload are not
// among them, and the form of the export does not matter.
func TestParse(t *testing.T) {
	const asJSON = `{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "imagestreamtag-to-image"},
    "data": {"ruby_a_b": "quay.io/o/r:1"}}`
	indented := strings.ReplaceAll(strings.TrimSuffix(exported, "\n"), "\n", "\n  ")
	for _, test := range []struct{ name, data, want string }{
		{"yaml", exported, parsed},
		{"among others", "kind: Secret\n---\n" + exported + "---\nkind: ConfigMap\nmetadata: {name: other}\ndata: {x: y}\n", parsed},
		{"list", "apiVersion: v1\nkind: List\nitems:\n- " + indented + "\n", parsed},
		{"json", asJSON, "ruby a_b quay.io/o/r:1 quay.io/o/r:1\n"},
	} {
		s, err := samples.Parse([]byte(test.data))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if got := text(s); got != test.want {
			t.Errorf("%s: parsed\n%swant\n%s", test.name, got, test.want)
		}
	}
	s, err := samples.Parse([]byte(exported))
	if err != nil {
		t.Fatal(err)
	}
	var images []string
	for _, image := range s.Images() {
		images = append(images, image.String())
	}
	if want := []string{
		"docker.io/centos/ruby:2", "registry.access.redhat.com/ubi9/dotnet-60:latest",
		"registry.redhat.io/ubi8/openjdk-17:1.18", "registry.redhat.io/ubi8/ruby-30@" + digest,
	}; !slices.Equal(images, want) {
		t.Errorf("images %q, want %q", images, want)
	}
}

func TestParseRefuses(t *testing.T) {
	with := func(data string) string {
		return "kind: ConfigMap\nmetadata:\n  name: imagestreamtag-to-image\ndata:\n" + data
	}
	// Each level names the one before ten times.
	bomb := "a: &a [x, x]\n"
	for c := 'b'; c < 'k'; c++ {
		bomb += fmt.Sprintf("%c: &%[1]c [%s]\n", c, strings.TrimSuffix(strings.Repeat("*"+string(c-1)+", ", 10), ", "))
	}
	for _, test := range []struct{ name, data, want string }{
		{"nothing", "", "no ConfigMap imagestreamtag-to-image is in it"},
		{"another", "kind: ConfigMap\nmetadata: {name: other}\ndata: {a_b: quay.io/o/r:1}\n", "no ConfigMap imagestreamtag-to-image"},
		{"two", exported + "---\n" + exported, "2 ConfigMaps"},
		{"empty", with(""), "has no data"},
		{"only the payload", with("  cli_latest: quay.io/o/r:1\n"), "only images of the release"},
		{"no underscore", with("  ruby: quay.io/o/r:1\n"), `key "ruby" is not IMAGESTREAM_TAG`},
		{"no tag", with("  ruby_: quay.io/o/r:1\n"), `key "ruby_"`},
		{"a stream that is none", with("  Ruby_1: quay.io/o/r:1\n"), `key "Ruby_1"`},
		{"no image", with("  ruby_1: \"quay.io/O/R; rm:1\"\n"), `ruby_1: pullspec "quay.io/O/R; rm:1"`},
		{"empty image", with("  ruby_1: \"\"\n"), `ruby_1: pullspec ""`},
		{"data that is no map", "kind: ConfigMap\nmetadata: {name: imagestreamtag-to-image}\ndata: [a]\n", "it is not what oc get"},
		{"not YAML", "\t{", "yaml"},
		{"too large", strings.Repeat("#", samples.MaxConfigMap+1), "more than"},
		{"a bomb", bomb + "kind: ConfigMap\ndata: *j\n", ""},
	} {
		if _, err := samples.Parse([]byte(test.data)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

// TestRewrite: imagestreams.go 216-276 of openshift/cluster-samples-operator.
func TestRewrite(t *testing.T) {
	for _, test := range []struct{ pullspec, registry, want string }{
		{"registry.redhat.io/ubi8/ruby-30:latest", "mirror:5000", "mirror:5000/ubi8/ruby-30:latest"},
		{"registry.redhat.io/ubi8/ruby-30:latest", "foo.io/bar", "foo.io/bar/ubi8/ruby-30:latest"},
		{"docker.io/a/b:1", "m.io", "m.io/a/b:1"},
		{"registry.access.redhat.com/a/b:1", "m.io", "m.io/a/b:1"},
		{"quay.io/a/b@" + digest, "m.io/p", "m.io/p/a/b@" + digest},
		{"registry.svc.ci.openshift.org/a/b:1", "m.io", "m.io/a/b:1"},
		{"other.example:5000/a/b:1", "m.io", "m.io/a/b:1"},
		{"quay.io/b:1", "m.io", "m.io/quay.io/b:1"},
		{"centos/ruby:1", "m.io", "m.io/centos/ruby:1"},
		{"quay.io/a/b/c:1", "m.io", "m.io/quay.io/a/b/c:1"},
		{"quay.iot.example/a/b:1", "m.io", "m.iot.example/a/b:1"}, // by text
		{"m.io/a/b:1", "m.io", "m.io/a/b:1"},
		{"m.io2/a/b:1", "m.io", "m.io2/a/b:1"}, // by text
		{"quay.io/a/b:1", "", "quay.io/a/b:1"},
	} {
		if got := samples.Rewrite(test.pullspec, test.registry); got != test.want {
			t.Errorf("%s with %q: %s, want %s", test.pullspec, test.registry, got, test.want)
		}
	}
}

// FuzzParse: what is read is sorted, valid and without streams of the payload.
func FuzzParse(f *testing.F) {
	f.Add([]byte(exported))
	f.Add([]byte(`{"kind":"List","items":[{"kind":"ConfigMap","metadata":{"name":"imagestreamtag-to-image"},"data":{"a_b":"c/d"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := samples.Parse(data)
		if err != nil {
			return
		}
		if len(s.Streams) == 0 {
			t.Error("no streams and no error")
		}
		last := ""
		for _, stream := range s.Streams {
			if stream.Name <= last || samples.InPayload(stream.Name) || strings.Contains(stream.Name, "_") || len(stream.Tags) == 0 {
				t.Errorf("stream %q with %d tags after %q", stream.Name, len(stream.Tags), last)
			}
			last = stream.Name
			for _, tag := range stream.Tags {
				if ref, err := oci.SplitReference(tag.Image.String()); err != nil || ref != tag.Image {
					t.Errorf("image %q of %q: %v", tag.Image, tag.Pullspec, err)
				}
			}
		}
	})
}
