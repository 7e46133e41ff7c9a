package oci_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

const (
	typeSchema1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
	typeLayer   = "application/vnd.oci.image.layer.v1.tar+gzip"
	typeConfig  = "application/vnd.oci.image.config.v1+json"
	typeEmpty   = "application/vnd.oci.empty.v1+json"
)

// named renders a descriptor of the content.
func named(mediaType, content string) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, digest.FromString(content), len(content))
}

func digests(ds []oci.Descriptor) []string {
	names := []string{}
	for _, d := range ds {
		names = append(names, d.Digest.String())
	}
	return names
}

func ids(contents ...string) []string {
	names := []string{}
	for _, c := range contents {
		names = append(names, digest.FromString(c).String())
	}
	return names
}

func TestParseManifest(t *testing.T) {
	a, b, c := named(typeLayer, "a"), named(typeLayer, "b"), named(typeConfig, "c")
	m := named(oci.MediaTypeManifest, "m")
	tests := []struct {
		name, mediaType, content string
		manifests, blobs         []string
	}{
		{"image", oci.MediaTypeManifest, `{"schemaVersion":2,"config":` + c + `,"layers":[` + a + `,` + b + `]}`, ids(), ids("c", "a", "b")},
		{"a layer twice", oci.MediaTypeManifest, `{"config":` + c + `,"layers":[` + a + `,` + b + `,` + a + `]}`, ids(), ids("c", "a", "b", "a")},
		{"no layers", oci.MediaTypeManifest, `{"config":` + c + `}`, ids(), ids("c")},
		{"docker image", oci.MediaTypeDockerManifest, `{"mediaType":"` + oci.MediaTypeDockerManifest + `","config":` + c + `,"layers":[]}`, ids(), ids("c")},
		{"artifact", oci.MediaTypeManifest, `{"artifactType":"application/x","config":` + named(typeEmpty, "{}") + `,"layers":[` + a + `]}`, ids(), ids("{}", "a")},
		{"index", oci.MediaTypeIndex, `{"manifests":[` + m + `]}`, ids("m"), ids()},
		{"docker list", oci.MediaTypeDockerList, `{"manifests":[` + named(oci.MediaTypeDockerManifest, "d") + `,` + m + `]}`, ids("d", "m"), ids()},
		{"nested", oci.MediaTypeIndex, `{"manifests":[` + named(oci.MediaTypeIndex, "i") + `,` + named(oci.MediaTypeDockerList, "l") + `]}`, ids("i", "l"), ids()},
		{"empty index", oci.MediaTypeIndex, `{"manifests":[]}`, ids(), ids()},
		{"build cache", oci.MediaTypeIndex, `{"manifests":[` + a + `,` + m + `,` + named("application/vnd.buildkit.cacheconfig.v0", "c") + `]}`, ids("m"), ids("a", "c")},
	}
	for _, test := range tests {
		got, err := oci.ParseManifest(test.mediaType, []byte(test.content))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if !slices.Equal(digests(got.Manifests), test.manifests) || !slices.Equal(digests(got.Blobs), test.blobs) || got.MediaType != test.mediaType {
			t.Errorf("%s: got %+v", test.name, got)
		}
	}
}

func TestParseManifestKeeps(t *testing.T) {
	content := `{"artifactType":"application/x","config":` + named(typeEmpty, "{}") + `,"subject":` + named(oci.MediaTypeManifest, "s") + `}`
	m, err := oci.ParseManifest(oci.MediaTypeManifest, []byte(content))
	if err != nil || m.ArtifactType != "application/x" || m.Subject == nil || m.Subject.Digest != digest.FromString("s") {
		t.Errorf("got %+v, %v", m, err)
	}
	foreign := `{"config":` + named(typeConfig, "c") + `,"layers":[{"mediaType":"` + typeLayer + `","digest":"` + ids("l")[0] +
		`","size":1,"urls":["https://publisher.example/l"],"annotations":{"k":"v"}}]}`
	m, err = oci.ParseManifest(oci.MediaTypeManifest, []byte(foreign))
	if err != nil || !slices.Equal(m.Blobs[1].URLs, []string{"https://publisher.example/l"}) || m.Blobs[1].Annotations["k"] != "v" {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestParseManifestRefuses(t *testing.T) {
	c, a, m := named(typeConfig, "c"), named(typeLayer, "a"), named(oci.MediaTypeManifest, "m")
	sized := func(mediaType string, size int64) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, mediaType, digest.FromString("x"), size)
	}
	sha512 := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1}`, typeLayer, digest.SHA512.FromString("x"))
	tests := []struct{ name, mediaType, content, says string }{
		{"index with layers", oci.MediaTypeIndex, `{"manifests":[` + m + `],"layers":[` + a + `]}`, "fields of an image"},
		{"index with empty layers", oci.MediaTypeIndex, `{"manifests":[` + m + `],"layers":[]}`, "fields of an image"},
		{"index with config", oci.MediaTypeIndex, `{"manifests":[` + m + `],"config":` + c + `}`, "fields of an image"},
		{"image with manifests", oci.MediaTypeManifest, `{"config":` + c + `,"layers":[],"manifests":[` + m + `]}`, "fields of an index"},
		{"image with empty manifests", oci.MediaTypeManifest, `{"config":` + c + `,"manifests":[]}`, "fields of an index"},
		{"docker image with manifests", oci.MediaTypeDockerManifest, `{"config":` + c + `,"manifests":[` + m + `]}`, "fields of an index"},
		{"no config", oci.MediaTypeManifest, `{"layers":[` + a + `]}`, "no config"},
		{"empty config", oci.MediaTypeManifest, `{"config":{},"layers":[]}`, "digest"},
		{"other type than served", oci.MediaTypeManifest, `{"mediaType":"` + oci.MediaTypeIndex + `","config":` + c + `}`, "served as"},
		{"docker served as OCI", oci.MediaTypeManifest, `{"mediaType":"` + oci.MediaTypeDockerManifest + `","config":` + c + `}`, "served as"},
		{"no manifest's type", typeConfig, `{}`, typeConfig},
		{"type with parameters", oci.MediaTypeManifest + "; charset=utf-8", `{"config":` + c + `}`, "not that of a manifest"},
		{"empty type", "", `{"config":` + c + `}`, "not that of a manifest"},
		{"sha512 layer", oci.MediaTypeManifest, `{"config":` + c + `,"layers":[` + sha512 + `]}`, "sha256"},
		{"sha512 config", oci.MediaTypeManifest, `{"config":` + sha512 + `}`, "sha256"},
		{"path as digest", oci.MediaTypeManifest, `{"config":` + c + `,"layers":[{"digest":"sha256:../../etc/passwd","size":1}]}`, "digest"},
		{"negative size", oci.MediaTypeManifest, `{"config":` + c + `,"layers":[` + sized(typeLayer, -1) + `]}`, "size -1"},
		{"huge layer", oci.MediaTypeManifest, `{"config":` + c + `,"layers":[` + sized(typeLayer, oci.MaxBlobSize+1) + `]}`, "outside"},
		{"size beyond int64", oci.MediaTypeManifest, `{"config":` + c + `,"layers":[{"digest":"` + ids("x")[0] + `","size":1e30}]}`, "manifest"},
		{"huge child", oci.MediaTypeIndex, `{"manifests":[` + sized(oci.MediaTypeManifest, oci.MaxManifestSize+1) + `]}`, "larger"},
		{"bad digest of a child", oci.MediaTypeIndex, `{"manifests":[{"mediaType":"` + oci.MediaTypeManifest + `","digest":"x","size":1}]}`, "digest"},
		{"no JSON", oci.MediaTypeManifest, `<html>`, "manifest"},
		{"empty", oci.MediaTypeManifest, ``, "manifest"},
		{"more than one value", oci.MediaTypeManifest, `{"config":` + c + `}{}`, "manifest"},
		{"an array", oci.MediaTypeIndex, `[]`, "manifest"},
	}
	for _, test := range tests {
		got, err := oci.ParseManifest(test.mediaType, []byte(test.content))
		if err == nil || got != nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %+v, %v, want an error with %q", test.name, got, err, test.says)
		}
	}
}

func TestParseManifestSchema1(t *testing.T) {
	for name, test := range map[string]struct{ mediaType, content string }{
		"signed":             {typeSchema1, `{"schemaVersion":1}`},
		"unsigned":           {"application/vnd.docker.distribution.manifest.v1+json", `not looked at`},
		"disguised":          {oci.MediaTypeDockerManifest, `{"schemaVersion":1,"fsLayers":[]}`},
		"disguised, fields":  {oci.MediaTypeManifest, `{"schemaVersion":2,"fsLayers":[]}`},
		"child of a list":    {oci.MediaTypeDockerList, `{"manifests":[` + named(typeSchema1, "x") + `]}`},
		"child of a list, 2": {oci.MediaTypeDockerList, `{"manifests":[` + named(oci.MediaTypeManifest, "y") + `,` + named(typeSchema1, "x") + `]}`},
	} {
		if _, err := oci.ParseManifest(test.mediaType, []byte(test.content)); !errors.Is(err, oci.ErrSchema1) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestParseManifestSize(t *testing.T) {
	content := `{"config":` + named(typeConfig, "c") + `}`
	whole := append([]byte(content), bytes.Repeat([]byte{' '}, oci.MaxManifestSize-len(content))...)
	if _, err := oci.ParseManifest(oci.MediaTypeManifest, whole); err != nil {
		t.Errorf("largest: %v", err)
	}
	if _, err := oci.ParseManifest(oci.MediaTypeManifest, append(whole, ' ')); err == nil {
		t.Error("one byte more is taken")
	}
}

func FuzzParseManifest(f *testing.F) {
	c, a, m := named(typeConfig, "c"), named(typeLayer, "a"), named(oci.MediaTypeManifest, "m")
	f.Add(oci.MediaTypeManifest, []byte(`{"schemaVersion":2,"config":`+c+`,"layers":[`+a+`]}`))
	f.Add(oci.MediaTypeIndex, []byte(`{"schemaVersion":2,"manifests":[`+m+`,`+a+`]}`))
	f.Add(oci.MediaTypeDockerList, []byte(`{"manifests":[`+m+`],"Manifests":[{}]}`))
	f.Add(oci.MediaTypeIndex, []byte(`{"manifests":[`+m+`],"manifests":[{"size":-1}]}`))
	f.Add(oci.MediaTypeManifest, []byte(`{"config":`+c+`,"subject":`+m+`,"layers":null}`))
	f.Fuzz(func(t *testing.T, mediaType string, content []byte) {
		m, err := oci.ParseManifest(mediaType, content)
		if err != nil {
			if m != nil {
				t.Fatal("a manifest beside an error")
			}
			return
		}
		if !oci.IsManifest(mediaType) || m.MediaType != mediaType || len(content) > oci.MaxManifestSize {
			t.Fatalf("taken: %q of %d bytes", mediaType, len(content))
		}
		for _, d := range m.Manifests {
			if err := oci.CheckDescriptor(d); err != nil || !oci.IsManifest(d.MediaType) || d.Size > oci.MaxManifestSize || !oci.IsIndex(mediaType) {
				t.Fatalf("child %+v: %v", d, err)
			}
		}
		for _, d := range m.Blobs {
			if err := oci.CheckDescriptor(d); err != nil || oci.IsIndex(mediaType) && (oci.IsManifest(d.MediaType) || oci.IsSchema1(d.MediaType)) {
				t.Fatalf("blob %+v: %v", d, err)
			}
		}
		if !oci.IsIndex(mediaType) && len(m.Blobs) == 0 {
			t.Fatal("an image without a config")
		}
	})
}
