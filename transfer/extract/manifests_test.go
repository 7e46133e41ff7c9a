package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/release"
)

// newManifests makes a release image of the files, and one below with the same
// directory.
func newManifests(t testing.TB, files ...fixtures.File) (Release, *memory) {
	t.Helper()
	const directory = "release-manifests/"
	all := []fixtures.File{
		{Name: directory + "image-references", Content: []byte(`{"kind":"ImageStream"}`)},
		{Name: directory + "release-metadata", Content: []byte(`{"version":"4.12.0"}`)},
	}
	for _, f := range files {
		f.Name = directory + f.Name
		all = append(all, f)
	}
	image := fixtures.NewImage(fixtures.ImageSpec{Docker: true, Layers: []fixtures.Layer{
		fixtures.GzipLayer(fixtures.File{Name: directory + "old.yaml", Content: []byte("old")}), fixtures.GzipLayer(all...),
	}}).Named("ocp/release", "4.12.0-x86_64")
	return Release{
		Reference: oci.Reference{Repository: registry + "/ocp/release", Tag: "4.12.0-x86_64"}, Digest: image.Root.Digest,
		Architecture: "amd64", Payload: &release.Payload{Version: "4.12.0"},
	}, newMemory(t, registry, image)
}

func TestManifests(t *testing.T) {
	files := []fixtures.File{
		{Name: "0000_10_a.yaml", Content: []byte("a: 1\n---\n# comment\nb: 2\n"), Mode: 0o444},
		{Name: "0000_20_b.json", Content: []byte("{ \"a\" :1}")},
		{Name: "0000_30_script.sh", Content: []byte("#!/bin/sh\n"), Mode: 0o755},
		{Name: "0000_40_empty.yaml"},
	}
	r, images := newManifests(t, files...)
	root, dir := newDir(t)
	got, err := Manifests(t.Context(), images, r, Options{Dir: root})
	if err != nil {
		t.Fatal(err)
	}
	checkFiles(t, dir, got)
	if len(got.Files) != len(files)+2 || len(got.Warnings) > 0 {
		t.Errorf("%v", got)
	}
	for _, f := range files {
		if !bytes.Equal(read(t, dir, f.Name), f.Content) {
			t.Errorf("%s differs", f.Name)
		}
	}
	if images.most(t) != 1 || len(images.opened) != 1 {
		t.Errorf("read %v", images.opened)
	}
}

func TestManifestsOfIndex(t *testing.T) {
	_, r, images := newRelease(t, fixtures.ReleaseSpec{Version: "4.14.1", Architectures: []string{"amd64", "arm64"}})
	root, dir := newDir(t)
	got, err := Manifests(t.Context(), images, r, Options{Dir: root})
	if err != nil {
		t.Fatal(err)
	}
	checkFiles(t, dir, got)
	if !bytes.Equal(read(t, dir, "image-references"), r.Payload.Documents.References) {
		t.Error("image-references differs")
	}
}

func TestHostileManifests(t *testing.T) {
	for name, f := range map[string]fixtures.File{
		"directory":   {Name: "sub/a.yaml"},
		"climbing":    {Name: "../../a.yaml"},
		"hidden":      {Name: ".bashrc"},
		"option":      {Name: "-rf"},
		"part":        {Name: "image-references.part"},
		"backslash":   {Name: `..\a.yaml`},
		"colon":       {Name: "a:b.yaml"},
		"newline":     {Name: "a\nb.yaml"},
		"twice":       {Name: "image-references"},
		"link":        link("a.yaml", "/etc/passwd"),
		"ending dot":  {Name: "a."},
		"ending with": {Name: "a.yaml "},
	} {
		t.Run(name, func(t *testing.T) {
			r, images := newManifests(t, fixtures.File{Name: "0000_10_a.yaml"}, f)
			root, dir := newDir(t)
			if _, err := Manifests(t.Context(), images, r, Options{Dir: root}); err == nil {
				t.Error("no error")
			}
			if there := list(t, dir); len(there) > 0 {
				t.Errorf("the directory has %q", there)
			}
			if beside := entries(t, filepath.Dir(dir)); len(beside) != 1 {
				t.Errorf("beside the directory is %q", beside)
			}
		})
	}
}

func TestNames(t *testing.T) {
	for _, name := range []string{
		"a", "oc.exe", "0000_50_cluster-storage-operator_03_credentials_request_aws.yaml", "a b", "a~1+x@y=z,%.yaml", strings.Repeat("a", maxName),
	} {
		if err := checkName(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{
		"", ".", "..", "a/b", "/a", "ä.yaml", "a\x00b", "a\x7f", "a*", "a|b", `a"`, "<a>", "?", strings.Repeat("a", maxName+1), "oc.part",
	} {
		if err := checkName(name); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestDamagedManifests(t *testing.T) {
	r, images := newManifests(t, fixtures.File{Name: "0000_10_a.yaml", Content: make([]byte, 1<<20)})
	for key, content := range images.blobs {
		if len(content) > 1<<20 {
			content = bytes.Clone(content)
			content[len(content)-1] ^= 1
			images.blobs[key] = content
		}
	}
	root, dir := newDir(t)
	if err := root.WriteFile("image-references", []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Manifests(t.Context(), images, r, Options{Dir: root}); !isMismatch(err) {
		t.Errorf("error %v", err)
	}
	if there := list(t, dir); len(there) != 1 || string(read(t, dir, "image-references")) != "old" {
		t.Errorf("the directory has %q", there)
	}
}

func request(name, provider string) string {
	return fmt.Sprintf("apiVersion: cloudcredential.openshift.io/v1\nkind: CredentialsRequest\nmetadata:\n  name: %s\nspec:\n  providerSpec:\n    kind: %s\n", name, provider)
}

func TestCredentialsRequests(t *testing.T) {
	aws, azure, gcp := request("aws", "AWSProviderSpec"), request("azure", "AzureProviderSpec"), request("gcp", "GCPProviderSpec")
	other := "apiVersion: v1\nkind: ConfigMap\ndata:\n  text: |\n    ---\n    kind: CredentialsRequest\n"
	files := []fixtures.File{
		{Name: "01_one.yaml", Content: []byte("# license\n" + aws)},
		{Name: "02_two.yml", Content: []byte("---\n" + aws + "--- # comment\n" + other + "---\n" + azure + "---\n" + strings.Replace(aws, "\n", "\r\n", -1))},
		{Name: "03_json.json", Content: []byte(`{"apiVersion": "cloudcredential.openshift.io/v1", "kind": "CredentialsRequest", "spec": {"providerSpec": {"kind": "GCPProviderSpec"}}}`)},
		{Name: "04_version.yaml", Content: []byte(strings.Replace(aws, "io/v1", "io/v2", 1))},
		{Name: "05_other.yaml", Content: []byte(other)},
		{Name: "06_broken.yaml", Content: []byte("kind: CredentialsRequest\n\t: {\n---\n" + gcp)},
		{Name: "07_keys_twice.yaml", Content: []byte(strings.Replace(gcp, "kind: Cred", "kind: x\nkind: Cred", 1))},
		{Name: "08_no_manifest.txt", Content: []byte(aws)},
		{Name: "09_alias.yaml", Content: []byte("x: &p {kind: AWSProviderSpec}\napiVersion: cloudcredential.openshift.io/v1\nkind: CredentialsRequest\nspec: {providerSpec: *p}\n")},
	}
	r, images := newManifests(t, files...)
	for cloud, want := range map[string]map[string]string{
		"aws": {
			"01_one.yaml": "# license\n" + aws, "02_two-1.yml": "---\n" + aws,
			"02_two-2.yml": "---\n" + strings.Replace(aws, "\n", "\r\n", -1), "09_alias.yaml": string(files[8].Content),
		},
		"azure":   {"02_two.yml": "---\n" + azure},
		"gcp":     {"03_json.json": string(files[2].Content), "06_broken.yaml": "---\n" + gcp, "07_keys_twice.yaml": string(files[6].Content)},
		"nutanix": {},
		"": {
			"01_one.yaml": "", "02_two-1.yml": "", "02_two-2.yml": "", "02_two-3.yml": "", "03_json.json": "", "06_broken.yaml": "",
			"07_keys_twice.yaml": "", "09_alias.yaml": "",
		},
	} {
		root, dir := newDir(t)
		got, err := CredentialsRequests(t.Context(), images, r, cloud, Options{Dir: root})
		if err != nil {
			t.Fatal(err)
		}
		checkFiles(t, dir, got)
		if len(got.Files) != len(want) {
			t.Errorf("%q: %v", cloud, got.Files)
		}
		for name, content := range want {
			if text := string(read(t, dir, name)); cloud != "" && text != content {
				t.Errorf("%q: %s is %q", cloud, name, text)
			}
		}
		if !hasText(got.Warnings, "06_broken.yaml") || (len(want) == 0) != hasText(got.Warnings, "nutanix") {
			t.Errorf("%q: warnings %q", cloud, got.Warnings)
		}
	}
	root, _ := newDir(t)
	if _, err := CredentialsRequests(t.Context(), images, r, "baremetal", Options{Dir: root}); err == nil || !strings.Contains(err.Error(), strings.Join(Clouds(), ", ")) {
		t.Errorf("an unknown cloud: %v", err)
	}
	// A number must not take the name of another manifest.
	r, images = newManifests(t, files[1], fixtures.File{Name: "02_two-1.yml", Content: []byte(aws)})
	root, dir := newDir(t)
	if _, err := CredentialsRequests(t.Context(), images, r, "aws", Options{Dir: root}); err == nil || !strings.Contains(err.Error(), "twice") || len(list(t, dir)) > 0 {
		t.Errorf("%v, %q", err, list(t, dir))
	}
}

// real gives the layer of the real 4.12.0 with its manifests.
type real struct {
	manifest, layer []byte
	opened          int
}

func (r *real) Manifest(context.Context, oci.Reference) (oci.Descriptor, []byte, error) {
	return oci.Descriptor{MediaType: oci.MediaTypeDockerManifest}, r.manifest, nil
}

func (r *real) Blob(context.Context, oci.Reference, oci.Descriptor) (io.ReadCloser, error) {
	r.opened++
	return io.NopCloser(bytes.NewReader(r.layer)), nil
}

// TestReal counts the requests of the real 4.12.0 by another way.
func TestReal(t *testing.T) {
	name := filepath.Join("..", "..", "..", "shared", "data", "releases", "ocp-release-4.12.0-x86_64.manifest-layer",
		"layer-sha256-5b2ca04f694b70c8b41f1c2a40b7e95643181a1d037b115149ecc243324c513d.tar.gz")
	layer, err := os.ReadFile(name)
	fixtures.CheckShared(t, err)
	images := &real{layer: layer, manifest: fmt.Appendf(nil,
		`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		oci.MediaTypeDockerManifest, fixtures.MediaTypeDockerConfig, digest.FromString("{}"), fixtures.MediaTypeDockerLayerGzip,
		digest.FromBytes(layer), len(layer))}
	r := Release{
		Reference: oci.Reference{Repository: "quay.io/openshift-release-dev/ocp-release", Tag: "4.12.0-x86_64"},
		Digest:    digest.FromBytes(images.manifest), Architecture: "amd64", Payload: &release.Payload{Version: "4.12.0"},
	}
	root, dir := newDir(t)
	got, err := Manifests(t.Context(), images, r, Options{Dir: root})
	if err != nil {
		t.Fatal(err)
	}
	checkFiles(t, dir, got)
	if len(got.Files) != 646 || images.opened != 1 {
		t.Errorf("%d files, %d layers were read", len(got.Files), images.opened)
	}
	var manifests []byte
	for _, f := range got.Files {
		manifests = append(manifests, read(t, dir, f.Name)...)
	}
	for _, cloud := range []string{"aws", "nutanix"} {
		want := bytes.Count(manifests, []byte("\n    kind: "+providers()[cloud]+"\n"))
		root, dir := newDir(t)
		got, err := CredentialsRequests(t.Context(), images, r, cloud, Options{Dir: root})
		if err != nil {
			t.Fatal(err)
		}
		checkFiles(t, dir, got)
		if len(got.Files) != want || want == 0 || len(got.Warnings) > 0 {
			t.Errorf("%s: %d requests, want %d, warnings %q", cloud, len(got.Files), want, got.Warnings)
		}
		for _, f := range got.Files {
			if !bytes.Contains(manifests, read(t, dir, f.Name)) {
				t.Errorf("%s is not as it was", f.Name)
			}
		}
	}
	if !slices.IsSorted(Clouds()) || len(Clouds()) != 10 {
		t.Errorf("clouds %q", Clouds())
	}
}
