package transfer_test

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/catalog"
	"satchel/oci/registry"
	"satchel/transfer"
)

// indexOf serves an index of manifests in the repository of the catalog.
func indexOf(t testing.TB, up *fixtures.Registry, tag string, children []oci.Descriptor) oci.Descriptor {
	t.Helper()
	content, err := json.Marshal(ispec.Index{MediaType: oci.MediaTypeIndex, Manifests: children})
	if err != nil {
		t.Fatal(err)
	}
	content = append([]byte(`{"schemaVersion":2,`), content[1:]...)
	content = []byte(strings.Replace(string(content), `"schemaVersion":0,`, "", 1))
	blob := fixtures.NewBlob(oci.MediaTypeIndex, content)
	if err := client(t).PushManifest(t.Context(), up.Host()+"/org/index", tag, blob.Descriptor, content); err != nil {
		t.Fatal(err)
	}
	return blob.Descriptor
}

// TestCatalogIndexes has indexes that name an image often, too many images, and
// indexes: each image is made once, or nothing is.
func TestCatalogIndexes(t *testing.T) {
	up, c := operators(t)
	child := c.Image.Manifests[0].Descriptor
	child.Platform = &oci.Platform{OS: "linux", Architecture: "amd64"}
	read := func(tag string) (*transfer.Catalog, int, error) {
		made := 0
		request, err := catalog.ParseRequest("alpha")
		if err != nil {
			t.Fatal(err)
		}
		ref := oci.Reference{Repository: up.Host() + "/org/index", Tag: tag}
		all, err := transfer.ReadCatalogs(t.Context(), transfer.Sources{Registry: client(t)},
			[]transfer.WantedCatalog{{Wanted: transfer.Wanted{Name: ref}, Request: request}},
			transfer.CatalogOptions{
				Parse: registry.ParseReference,
				AddLayer: func(ctx context.Context, d oci.Descriptor, fetch func(context.Context, oci.Descriptor) ([]byte, error), tar io.Reader, edit func(*ispec.ImageConfig)) (transfer.MadeImage, error) {
					made++
					return addLayer(ctx, d, fetch, tar, edit)
				},
			})
		if err != nil {
			return nil, made, err
		}
		return all[0], made, nil
	}
	repeated := func(n int) (all []oci.Descriptor) {
		for range n {
			all = append(all, child)
		}
		return all
	}
	indexOf(t, up, "repeated", repeated(60))
	if _, made, err := read("repeated"); err != nil || made != 1 {
		t.Errorf("an image that is named 60 times is made %d times, %v", made, err)
	}
	indexOf(t, up, "many", repeated(65))
	if _, made, err := read("many"); err == nil || made != 0 || !strings.Contains(err.Error(), "65 images, more than 64") {
		t.Errorf("65 images: %d made, %v", made, err)
	}
	inner := indexOf(t, up, "inner", []oci.Descriptor{child})
	inner.Platform = &oci.Platform{OS: "linux", Architecture: "arm64"}
	indexOf(t, up, "nested", []oci.Descriptor{child, inner})
	if _, _, err := read("nested"); err == nil || !strings.Contains(err.Error(), "an index within the catalog's index") {
		t.Errorf("an index in an index: %v", err)
	}
}

// TestCatalogLabels has directories that cannot be those of a catalog.
func TestCatalogLabels(t *testing.T) {
	up, c := operators(t)
	for label, good := range map[string]bool{
		"/configs": true, "/configs/": true, "configs": true, "//configs//": true,
		"/": false, "/a/../b": false, "..": false, "/con figs": false, "/conf\"igs$(id)": false, "/co\nnfigs": false, "/größe": false,
		"/" + strings.Repeat("x", 1200): false,
	} {
		image := fixtures.NewImage(fixtures.ImageSpec{
			Layers: []fixtures.Layer{fixtures.GzipLayer(fixtures.File{Name: "configs/catalog.json", Content: c.Configs[0].Content})},
			Labels: map[string]string{"operators.operatorframework.io.index.configs.v1": label},
		}).Named("org/labelled", "v1")
		if err := up.Add(image); err != nil {
			t.Fatal(err)
		}
		_, err := readCatalog(t, up, "org/labelled:v1", "", false)
		if (err == nil) != good || err != nil && !strings.Contains(err.Error(), "which is no directory that can be used") {
			t.Errorf("label %.60q: %v", label, err)
		}
	}
}
