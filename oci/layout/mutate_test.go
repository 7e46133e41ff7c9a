//go:build !windows

package layout_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/layout"
)

const (
	dockerConfig = "application/vnd.docker.container.image.v1+json"
	dockerLayer  = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// original is an image of two layers that nobody has, as manifest and config.
type original struct {
	manifest oci.Descriptor
	blobs    map[digest.Digest][]byte
	fetched  []digest.Digest
}

func (o *original) fetch(_ context.Context, d oci.Descriptor) ([]byte, error) {
	o.fetched = append(o.fetched, d.Digest)
	content, ok := o.blobs[d.Digest]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return content, nil
}

func (o *original) add(mediaType, content string) oci.Descriptor {
	d := describe(mediaType, []byte(content))
	o.blobs[d.Digest] = []byte(content)
	return d
}

const config = `{
	"created": "2024-02-29T12:34:56.789+02:00", "author": "somebody", "architecture": "arm64", "variant": "v8", "os": "linux",
	"os.version": "1.2", "docker_version": "20.10", "container_config": {"Cmd": ["/bin/sh", "<old>"], "Tty": false},
	"config": {"Entrypoint": ["/bin/opm"], "Cmd": ["serve", "/configs", "--cache-dir=/tmp/cache"], "Env": ["A=<&>"], "Hostname": "h",
		"Healthcheck": {"Test": ["CMD", "true"]}, "Labels": {"operators.operatorframework.io.index.configs.v1": "/configs"}},
	"history": [{"created": "2024-01-01T00:00:00Z", "created_by": "base"}, {"created_by": "CMD", "empty_layer": true}, {"created_by": "ADD"}],
	"rootfs": {"type": "layers", "diff_ids": ["sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		"sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"]}}`

// newOriginal makes an image with the given config. Its layers are named with all
// that a descriptor may have.
func newOriginal(manifestType, configType, config string) *original {
	o := &original{blobs: make(map[digest.Digest][]byte)}
	layerType := ispec.MediaTypeImageLayerGzip
	if manifestType == oci.MediaTypeDockerManifest {
		layerType = dockerLayer
	}
	d := o.add(configType, config)
	o.manifest = o.add(manifestType, fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[
		{"mediaType":%q,"digest":%q,"size":1000,"annotations":{"a":"b"}},
		{"mediaType":"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip","digest":%q,"size":2000,"urls":["https://example.com/x"]}],
		"annotations":{"org.opencontainers.image.base.name":"base"}}`,
		manifestType, configType, d.Digest, d.Size, layerType, digest.FromString("1"), digest.FromString("2")))
	o.manifest.Platform = &oci.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
	o.manifest.Annotations = map[string]string{ispec.AnnotationRefName: "name"}
	return o
}

var families = []struct{ manifest, config, layer string }{
	{oci.MediaTypeManifest, ispec.MediaTypeImageConfig, ispec.MediaTypeImageLayerGzip},
	{oci.MediaTypeDockerManifest, dockerConfig, dockerLayer},
	{oci.MediaTypeManifest, dockerConfig, ispec.MediaTypeImageLayerGzip},
}

// catalog is a layer with a whiteout and one file.
func catalog(t testing.TB, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []*tar.Header{{Name: ".wh.configs"}, {Name: "configs/p/catalog.json", Mode: 0o644, Size: int64(len(content))}} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func dropCache(c *ispec.ImageConfig) {
	c.Cmd = []string{"serve", "/configs"}
	c.Labels["new"] = "label"
	c.WorkingDir = "/"
}

func TestAddLayer(t *testing.T) {
	plain := catalog(t, "{}")
	for _, family := range families {
		o := newOriginal(family.manifest, family.config, config)
		before := string(o.blobs[o.manifest.Digest])
		m, c, l, err := layout.AddLayer(t.Context(), o.manifest, o.fetch, bytes.NewReader(plain), dropCache, "satchel")
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range []layout.Added{m, c, l} {
			if err := oci.Verify(a.Content, a.Descriptor); err != nil {
				t.Error(err)
			}
		}
		if m.Descriptor.MediaType != family.manifest || c.Descriptor.MediaType != family.config || l.Descriptor.MediaType != family.layer {
			t.Errorf("family %v: %s, %s, %s", family, m.Descriptor.MediaType, c.Descriptor.MediaType, l.Descriptor.MediaType)
		}
		if !reflect.DeepEqual(m.Descriptor.Platform, o.manifest.Platform) || m.Descriptor.Annotations != nil {
			t.Errorf("descriptor %+v", m.Descriptor)
		}
		if _, err := oci.ParseManifest(family.manifest, m.Content); err != nil {
			t.Error(err)
		}
		if string(o.blobs[o.manifest.Digest]) != before || len(o.fetched) != 2 {
			t.Errorf("the original has changed, or was fetched %d times", len(o.fetched))
		}

		// The manifest is the old one with one layer more.
		var was, is ispec.Manifest
		decode(t, []byte(before), &was)
		decode(t, m.Content, &is)
		was.Config, was.Layers = c.Descriptor, append(was.Layers, l.Descriptor)
		if !reflect.DeepEqual(is, was) || len(l.Descriptor.Annotations) != 0 {
			t.Errorf("got manifest %s", m.Content)
		}
		// And so is the config, with the fields that OCI does not have.
		var old, new map[string]any
		decode(t, []byte(config), &old)
		decode(t, c.Content, &new)
		run := old["config"].(map[string]any)
		run["Cmd"], run["WorkingDir"] = []any{"serve", "/configs"}, "/"
		run["Labels"].(map[string]any)["new"] = "label"
		rootfs := old["rootfs"].(map[string]any)
		rootfs["diff_ids"] = append(rootfs["diff_ids"].([]any), string(digest.FromBytes(plain)))
		old["history"] = append(old["history"].([]any), map[string]any{"created": old["created"], "created_by": "satchel"})
		if !reflect.DeepEqual(new, old) {
			t.Errorf("got config %s", c.Content)
		}
		z, err := gzip.NewReader(bytes.NewReader(l.Content))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, plain) || z.ModTime.Unix() > 0 || z.Name != "" {
			t.Errorf("layer of %d bytes, %v, %v", len(got), z.Header, err)
		}
	}
}

func decode(t testing.TB, content []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatal(err)
	}
}

// TestAddLayerSparse has images that say no more than they must.
func TestAddLayerSparse(t *testing.T) {
	for _, c := range []struct{ config, want string }{
		{`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[D,D]}}`,
			`{"architecture":"amd64","os":"linux","config":{"User":"1001"},"rootfs":{"type":"layers","diff_ids":[D,D,L]},"history":[{"created_by":"x"}]}`},
		{`{"config":null,"history":null,"rootfs":{"type":"layers","diff_ids":[D,D]},"created":null}`,
			`{"architecture":"","os":"","config":{"User":"1001"},"rootfs":{"type":"layers","diff_ids":[D,D,L]},"history":[{"created_by":"x"}]}`},
		{`{"config":null,"id":"a<b","rootfs":{"type":"layers","diff_ids":[D,D]}}`,
			`{"architecture":"","config":{"User":"1001"},"history":[{"created_by":"x"}],"id":"a\u003cb","os":"","rootfs":{"type":"layers","diff_ids":[D,D,L]}}`},
	} {
		fill := func(s string) string {
			s = strings.ReplaceAll(s, "D", fmt.Sprintf("%q", digest.FromString("d")))
			return strings.ReplaceAll(s, "L", fmt.Sprintf("%q", digest.FromString("tar")))
		}
		o := newOriginal(oci.MediaTypeManifest, ispec.MediaTypeImageConfig, fill(c.config))
		o.manifest.Platform = nil
		m, got, _, err := layout.AddLayer(t.Context(), o.manifest, o.fetch, strings.NewReader("tar"),
			func(c *ispec.ImageConfig) { c.User = "1001" }, "x")
		if err != nil || strings.TrimSpace(string(got.Content)) != fill(c.want) || m.Descriptor.Platform != nil {
			t.Errorf("%v, got %s", err, got.Content)
		}
		if _, _, _, err := layout.AddLayer(t.Context(), o.manifest, o.fetch, strings.NewReader("tar"), nil, ""); err != nil {
			t.Error(err)
		}
	}
	// No layers at all, as of an image from scratch with labels only.
	o := &original{blobs: make(map[digest.Digest][]byte)}
	d := o.add(ispec.MediaTypeImageConfig, `{"rootfs":{"type":"layers","diff_ids":null}}`)
	o.manifest = o.add(oci.MediaTypeManifest, fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[]}`, d.MediaType, d.Digest, d.Size))
	m, _, l, err := layout.AddLayer(t.Context(), o.manifest, o.fetch, strings.NewReader("tar"), nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err := oci.ParseManifest(oci.MediaTypeManifest, m.Content); err != nil || len(parsed.Blobs) != 2 || parsed.Blobs[1].Digest != l.Descriptor.Digest {
		t.Errorf("got %s, %v", m.Content, err)
	}
}

// TestAddLayerAgain takes what was made for an original.
func TestAddLayerAgain(t *testing.T) {
	for _, family := range families {
		o := newOriginal(family.manifest, family.config, config)
		root, created := o.manifest, ""
		for i, name := range []string{"first", "second"} {
			m, c, _, err := layout.AddLayer(t.Context(), root, o.fetch, bytes.NewReader(catalog(t, name)), dropCache, name)
			if err != nil {
				t.Fatal(err)
			}
			var got ispec.Image
			decode(t, c.Content, &got)
			if last := got.History[len(got.History)-1]; len(got.RootFS.DiffIDs) != 3+i || last.CreatedBy != name || len(got.History) != 4+i {
				t.Errorf("got %s", c.Content)
			}
			o.blobs[m.Descriptor.Digest], o.blobs[c.Descriptor.Digest] = m.Content, c.Content
			root, created = m.Descriptor, created+got.Created.String()
		}
		if created != strings.Repeat("2024-02-29 12:34:56.789 +0200 +0200", 2) {
			t.Errorf("created %s", created)
		}
	}
}

// TestAddLayerSkopeo has skopeo read what was made.
func TestAddLayerSkopeo(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: runs skopeo")
	}
	skopeo := fixtures.Program(t, "skopeo")
	for _, family := range families[:2] { // what mixes the two is no image for skopeo
		o := newOriginal(family.manifest, family.config, config)
		m, c, l, err := layout.AddLayer(t.Context(), o.manifest, o.fetch, bytes.NewReader(catalog(t, "{}")), dropCache, "satchel")
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		write(t, filepath.Join(dir, "version"), "Directory Transport Version: 1.1\n")
		write(t, filepath.Join(dir, "manifest.json"), string(m.Content))
		write(t, filepath.Join(dir, c.Descriptor.Digest.Encoded()), string(c.Content))
		command := exec.CommandContext(t.Context(), skopeo, "inspect", "dir:"+dir)
		var stderr strings.Builder
		command.Stderr = &stderr
		output, err := command.Output()
		if err != nil {
			t.Fatalf("%s: %v: %s", command, err, stderr.String())
		}
		var got struct {
			Digest  digest.Digest
			Created string
			Labels  map[string]string
			Layers  []digest.Digest
		}
		decode(t, output, &got)
		if got.Digest != m.Descriptor.Digest || len(got.Layers) != 3 || got.Layers[2] != l.Descriptor.Digest ||
			got.Labels["new"] != "label" || !strings.HasPrefix(got.Created, "2024-02-29T12:34:56") {
			t.Errorf("%s: %s", family, output)
		}
	}
}
