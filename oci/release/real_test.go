package release_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/oci/release"
)

const (
	realImage  = "releases/ocp-release-4.12.0-x86_64.manifest-layer/"
	realLayer  = "5b2ca04f694b70c8b41f1c2a40b7e95643181a1d037b115149ecc243324c513d"
	realConfig = "18249fc55c217d5ecc543fb7cae29cdcbc8a7d94691e8a684f336abf75d01e64"
)

// realRelease has the config and the topmost layer of the real 4.12.0.
func realRelease(t testing.TB) (*blobs, *oci.Manifest) {
	t.Helper()
	b := newBlobs()
	m := b.image(string(realFile(t, realImage+"config-sha256-"+realConfig+".json")),
		realFile(t, realImage+"layer-sha256-"+realLayer+".tar.gz"))
	for i, hex := range []string{realConfig, realLayer} {
		if m.Blobs[i].Digest != digest.Digest("sha256:"+hex) {
			t.Fatalf("file %d has digest %s, its name says %s", i, m.Blobs[i].Digest, hex)
		}
	}
	return b, m
}

func TestReal412(t *testing.T) {
	b, m := realRelease(t)
	p, err := release.Read(t.Context(), b.open, m)
	if err != nil {
		t.Fatal(err)
	}
	if p.Version != "4.12.0" || len(p.Components) != 183 || len(p.Previous) != 21 || len(p.Next) != 0 {
		t.Errorf("version %q, %d components, %d previous, %d next", p.Version, len(p.Components), len(p.Previous), len(p.Next))
	}
	if p.Previous[0] != "4.11.11" || p.Previous[20] != "4.12.0-rc.8" {
		t.Errorf("previous: %q", p.Previous)
	}
	if want := []string{"quay.io/openshift-release-dev/ocp-v4.0-art-dev"}; !slices.Equal(p.Repositories(), want) {
		t.Errorf("repositories: %q", p.Repositories())
	}
	if got := p.Metadata["url"]; got != "https://access.redhat.com/errata/RHSA-2022:7399" {
		t.Errorf("errata: %q", got)
	}
	first := release.Component{Name: "agent-installer-api-server", Image: oci.Reference{
		Repository: "quay.io/openshift-release-dev/ocp-v4.0-art-dev",
		Digest:     "sha256:f30638f60452062aba36a26ee6c036feead2f03b28f2c47f2b0a991e4182331e"}}
	if p.Components[0] != first {
		t.Errorf("first component: %v", p.Components[0])
	}
	if c, ok := p.Component("cli"); !ok || !strings.HasPrefix(c.Image.String(), "quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:") {
		t.Errorf("cli: %v, %v", c, ok)
	}
	if c, ok := p.Component("nothing"); ok {
		t.Errorf("found %v", c)
	}
	if !bytes.Equal(p.Documents.References, realFile(t, "releases/4.12.0-x86_64/image-references")) ||
		!bytes.Equal(p.Documents.Metadata, realFile(t, "releases/4.12.0-x86_64/release-metadata")) {
		t.Error("documents are not those that others took from the same image")
	}
	v, err := release.ParseVerification(p.Documents.Verification)
	if err != nil {
		t.Fatal(err)
	}
	checkRedHat(t, v)
	if b.closed != len(b.opened) {
		t.Errorf("%d opened, %d closed", len(b.opened), b.closed)
	}
	c, err := release.ReadConfig(t.Context(), b.open, m)
	if err != nil {
		t.Fatal(err)
	}
	want := release.Config{Version: "4.12.0", Architecture: "amd64", OS: "linux",
		Base: "sha256:a4b00a7810910ea260de0d658c0d3d1a0b9ac8867e92c34573503f11de59017a"}
	if *c != want {
		t.Errorf("config: %+v", *c)
	}
}

// checkRedHat wants the keyring and the stores of Red Hat's releases.
func checkRedHat(t *testing.T, v *release.Verification) {
	t.Helper()
	if len(v.Keys) != 1 || v.Keys[0].Name != "redhat" ||
		!bytes.HasPrefix(v.Keys[0].Data, []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")) ||
		!bytes.HasSuffix(v.Keys[0].Data, []byte("-----END PGP PUBLIC KEY BLOCK-----\n")) {
		t.Errorf("keys: %q", v.Keys)
	}
	want := []release.Store{
		{Name: "openshift-official-release", URL: "https://storage.googleapis.com/openshift-release/official/signatures/openshift/release"},
		{Name: "openshift-official-release-mirror", URL: "https://mirror.openshift.com/pub/openshift-v4/signatures/openshift/release"},
	}
	if !slices.Equal(v.Stores, want) {
		t.Errorf("stores: %q", v.Stores)
	}
}

func TestRealVerification(t *testing.T) {
	v, err := release.ParseVerification(realFile(t, "signatures/cluster-update-keys_configmap.rhel.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	checkRedHat(t, v)
}

func TestRealManifests(t *testing.T) {
	b, m := realRelease(t)
	files, size := 0, 0
	err := release.Manifests(t.Context(), b.open, m, func(_ string, content []byte) error {
		files++
		size += len(content)
		return nil
	})
	if err != nil || files != 646 || size < 8_000_000 {
		t.Errorf("%d files of %d bytes, %v", files, size, err)
	}
}

func TestRealReferences(t *testing.T) {
	for _, real := range []struct {
		version, repository string
		components          int
	}{
		{"4.10.0-0.nightly-2021-11-14-184249", "quay.io/openshift-release-dev/ocp-v4.0-art-dev", 146},
		{"4.8.0-0.ci-2021-05-03-215023", "registry.ci.openshift.org/ocp/4.8-2021-05-03-215023", 140},
	} {
		p, err := release.Parse(release.Documents{
			References: realFile(t, "releases/"+real.version+"/image-references"),
			Metadata:   []byte(`{"kind":"cincinnati-metadata-v0","version":"` + real.version + `","previous":[]}`),
		})
		if err != nil {
			t.Errorf("%s: %v", real.version, err)
			continue
		}
		if len(p.Components) != real.components || !slices.Equal(p.Repositories(), []string{real.repository}) {
			t.Errorf("%s: %d components of %q", real.version, len(p.Components), p.Repositories())
		}
	}
}
