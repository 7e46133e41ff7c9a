package nodeconf_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/types"

	"satchel/oci"
	"satchel/transfer/nodeconf"
)

const someDigest = "sha256:61b8f5e1a3b5dbd9e2c35fd448dc5106337d7a299873dd3a6f0cd8d4891ecc27"

// asNodes asks the library that nodes have, with the file that was written.
func asNodes(t *testing.T, file string, image oci.Reference) []string {
	t.Helper()
	system := &types.SystemContext{SystemRegistriesConfPath: file, SystemRegistriesConfDirPath: filepath.Join(filepath.Dir(file), "none")}
	named, err := reference.ParseNamed(image.String())
	if err != nil {
		t.Fatal(err)
	}
	at, err := sysregistriesv2.FindRegistry(system, named.Name())
	if err != nil {
		t.Fatal(err)
	}
	all := []reference.Named{named}
	if at != nil {
		sources, err := at.PullSourcesFromReference(named)
		if err != nil {
			return nil // the pull fails
		}
		all = nil
		for _, s := range sources {
			all = append(all, s.Reference)
		}
	}
	var places []string
	for _, place := range all {
		blocked, err := sysregistriesv2.FindRegistry(system, place.Name()) // as docker_client.go does
		if err != nil {
			t.Fatal(err)
		}
		if blocked == nil || !blocked.Blocked {
			places = append(places, place.Name())
		}
	}
	return places
}

// TestPlaces compares with containers/image for many configurations.
func TestPlaces(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	scopes := []string{"s.io", "s.io/x", "s.io/x/y", "s.io:5000/x", "a.s.io/x", "t.io", "m.io", "m.io/q", "*.s.io", "*.io"}
	mirrors := []string{"m.io", "m.io/q", "m.io/q/r", "n.io:8443/z", "s.io", "a.s.io"}
	images := []string{"s.io/x/y/z", "s.io/xy", "s.io/x/y", "s.io:5000/x/y", "a.s.io/x/y", "a.s.io:1/x", "t.io/a", "u.net/a", "m.io/q/r"}
	pick := func(from []string, most int) []string {
		var some []string
		for range random.IntN(most + 1) {
			if s := from[random.IntN(len(from))]; !slices.Contains(some, s) {
				some = append(some, s)
			}
		}
		return some
	}
	directory, asked, mirrored := t.TempDir(), 0, 0
	for n := range 100 {
		var o nodeconf.Cluster
		for _, list := range []*[]nodeconf.Entry{&o.IDMS, &o.ITMS, &o.ICSP} {
			for _, source := range pick(scopes, 4) {
				e := nodeconf.Entry{Source: source, Mirrors: pick(mirrors, 3)}
				if random.IntN(4) == 0 {
					e.Policy = nodeconf.NeverContactSource
				}
				*list = append(*list, e)
			}
		}
		o.Blocked, o.Insecure = pick(scopes, 2), pick(scopes, 2)
		nodes, err := nodeconf.Merge(o)
		if err != nil {
			continue // a scope inside a wildcard
		}
		conf, err := nodeconf.Registries(o)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(directory, fmt.Sprint(n))
		if err := os.WriteFile(file, conf, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, name := range images {
			for _, image := range []oci.Reference{{Repository: name, Tag: "v1"}, {Repository: name, Digest: someDigest}, {Repository: name, Tag: "v1", Digest: someDigest}} {
				got, want := nodes.Places(image), asNodes(t, file, image)
				if !slices.Equal(got, want) {
					t.Fatalf("%s: %q, want %q with\n%s", image, got, want, conf)
				}
				asked++
				if len(want) > 1 {
					mirrored++
				}
			}
		}
	}
	if asked < 2000 || mirrored < 300 {
		t.Errorf("%d images were asked for, %d of them with mirrors", asked, mirrored)
	}
}

func TestNoPlace(t *testing.T) {
	nodes, err := nodeconf.Merge(nodeconf.Cluster{IDMS: entries("s.io/x:: m.io!"), Blocked: []string{"m.io"}})
	if err != nil {
		t.Fatal(err)
	}
	if got := nodes.Places(oci.Reference{Repository: "s.io/x/y", Digest: someDigest}); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestExport(t *testing.T) {
	const file = `
apiVersion: v1
kind: List
items:
- apiVersion: config.openshift.io/v1
  kind: ImageDigestMirrorSet
  metadata: {name: d, uid: x}
  spec:
    imageDigestMirrors:
    - {source: s.io, mirrors: [a.io, b.io], mirrorSourcePolicy: NeverContactSource}
  status: {}
- apiVersion: operator.openshift.io/v1alpha1
  kind: ImageContentSourcePolicy
  metadata: {name: p}
  spec: {repositoryDigestMirrors: [{source: t.io, mirrors: [c.io]}]}
- apiVersion: image.openshift.io/v1
  kind: Image
  spec: 12
---
apiVersion: config.openshift.io/v1
kind: Image
metadata: {name: cluster}
spec:
  registrySources: {allowedRegistries: [a.io], insecureRegistries: [b.io], containerRuntimeSearchRegistries: [a.io]}
---
{"apiVersion": "config.openshift.io/v1", "kind": "ImageTagMirrorSet", "metadata": {"name": "t"}, "spec": {"imageTagMirrors": [{"source": "s.io", "mirrors": ["d.io"]}]}}
---
kind: ImageTagMirrorSet
`
	got, err := nodeconf.ParseExport([]byte(file))
	want := "{[{s.io [a.io b.io] NeverContactSource d}] [{s.io [d.io]  t}] [{t.io [c.io]  p}] [b.io] [] [a.io] [a.io] [] }"
	if err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v\nwant %s", got, err, want)
	}
	for file, want := range map[string]string{
		"":          "no ImageDigestMirrorSet,",
		"kind: Pod": "no ImageDigestMirrorSet,",
		"kind: [":   "it is not what oc get -o yaml or -o json writes of resources: yaml:",
		"kind: Image\napiVersion: config.openshift.io/v1\nspec: {registrySources: [a]}":             "Image \"\": line 3: it is not",
		"kind: ImageTagMirrorSet\nmetadata: {name: x}\nspec: {imageTagMirrors: [{source: {a: b}}]}": "ImageTagMirrorSet \"x\": line 3: it is not",
		strings.Repeat("#", nodeconf.MaxExport+1):                                                   "8388609 bytes are more than",
	} {
		if _, err := nodeconf.ParseExport([]byte(file)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%.100q: %v, want %s", file, err, want)
		}
	}
}
