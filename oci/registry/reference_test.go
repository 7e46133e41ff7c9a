package registry_test

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/oci/registry"
)

func TestParseReference(t *testing.T) {
	hex := strings.Repeat("a", 64)
	for _, tc := range []struct {
		in   string
		want oci.Reference
	}{
		{"quay.io/org/app:v1", oci.Reference{Repository: "quay.io/org/app", Tag: "v1"}},
		{"docker://quay.io/org/app", oci.Reference{Repository: "quay.io/org/app", Tag: "latest"}},
		{"ubuntu", oci.Reference{Repository: "docker.io/library/ubuntu", Tag: "latest"}},
		{"index.docker.io/org/app", oci.Reference{Repository: "docker.io/org/app", Tag: "latest"}},
		{"localhost:5000/a/b/c", oci.Reference{Repository: "localhost:5000/a/b/c", Tag: "latest"}},
		{"quay.io/a@sha256:" + hex, oci.Reference{Repository: "quay.io/a", Digest: digest.Digest("sha256:" + hex)}},
		{"quay.io/a:t@sha256:" + hex, oci.Reference{Repository: "quay.io/a", Tag: "t", Digest: digest.Digest("sha256:" + hex)}},
	} {
		got, err := registry.ParseReference(tc.in)
		if err != nil {
			t.Errorf("%s: %v", tc.in, err)
			continue
		}
		if got != tc.want {
			t.Errorf("%s: got %+v, want %+v", tc.in, got, tc.want)
		}
	}
	for _, in := range []string{
		"", "docker://", "UPPER/x", "quay.io/a:", "quay.io/a@sha256:12", "quay.io/a@sha512:" + hex + hex,
		"quay.io/a/../b", "oci:/x", "https://quay.io/a", hex,
	} {
		if got, err := registry.ParseReference(in); err == nil {
			t.Errorf("%q: accepted as %+v", in, got)
		}
	}
}

func TestRepositoryNamesAreChecked(t *testing.T) {
	b := connect(t)
	for _, repo := range []string{"", "app", "quay.io", "quay.io/a/../b", "quay.io/a?x", "quay.io/a:tag", "docker://quay.io/a", "quay.io/a@b"} {
		if _, err := b.HasBlob(t.Context(), repo, describe("", "x")); err == nil {
			t.Errorf("%q: accepted", repo)
		}
		if _, err := b.Manifest(t.Context(), repo, describe("", "x")); err == nil {
			t.Errorf("%q: accepted for reading", repo)
		}
	}
	if n := len(b.requests()); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}
