package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/oci/registry"
)

const plainManifest = `{"schemaVersion":2,"config":{},"layers":[]}`

func TestResolve(t *testing.T) {
	typed := `{"schemaVersion":2,"mediaType":"` + oci.MediaTypeDockerManifest + `"}`
	other := string(digest.FromString("other"))
	for _, tc := range []struct {
		name, body, contentType, stated string
		byDigest                        bool
		want, fail                      string
	}{
		{name: "exact type", body: plainManifest, contentType: oci.MediaTypeManifest, want: oci.MediaTypeManifest},
		{name: "parameters", body: plainManifest, contentType: oci.MediaTypeIndex + "; charset=utf-8", want: oci.MediaTypeIndex},
		{name: "malformed parameters", body: plainManifest, contentType: oci.MediaTypeIndex + "; ;=", want: oci.MediaTypeIndex},
		{name: "generic type, stated in body", body: typed, contentType: "application/json", want: oci.MediaTypeDockerManifest},
		{name: "served type wins", body: typed, contentType: oci.MediaTypeManifest, want: oci.MediaTypeManifest},
		{name: "generic type, not stated", body: plainManifest, contentType: "text/plain", fail: "no manifest that is known"},
		{name: "login page", body: "<html>", contentType: "text/html", fail: `"text/html"`},
		{name: "digest", body: plainManifest, contentType: oci.MediaTypeManifest, byDigest: true, want: oci.MediaTypeManifest},
		{name: "digest stated", body: plainManifest, contentType: oci.MediaTypeManifest, stated: string(digest.FromString(plainManifest)), want: oci.MediaTypeManifest},
		{name: "another digest stated", body: plainManifest, contentType: oci.MediaTypeManifest, stated: other, fail: other},
		{name: "unknown algorithm stated", body: plainManifest, contentType: oci.MediaTypeManifest, stated: "md5:12", want: oci.MediaTypeManifest},
		{name: "largest", body: strings.Repeat(" ", oci.MaxManifestSize), contentType: oci.MediaTypeManifest, want: oci.MediaTypeManifest},
		{name: "too large", body: strings.Repeat(" ", oci.MaxManifestSize+1), contentType: oci.MediaTypeManifest, fail: "larger than 4194304 bytes"},
		{name: "schema 1", body: `{"schemaVersion":1}`, contentType: "application/vnd.docker.distribution.manifest.v1+prettyjws", stated: other, want: "application/vnd.docker.distribution.manifest.v1+prettyjws"},
		{name: "untyped schema 1", body: `{"schemaVersion":1}`, contentType: "application/json", want: "application/vnd.docker.distribution.manifest.v1+prettyjws"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if accept := r.Header.Get("Accept"); !strings.Contains(accept, oci.MediaTypeDockerList) {
					t.Errorf("Accept is %q", accept)
				}
				w.Header().Set("Content-Type", tc.contentType)
				if tc.stated != "" {
					w.Header().Set("Docker-Content-Digest", tc.stated)
				}
				fmt.Fprint(w, tc.body)
			})
			ref := oci.Reference{Repository: b.repo, Tag: "v1"}
			path := "v1"
			if tc.byDigest {
				ref.Digest = digest.FromString(tc.body)
				path = string(ref.Digest)
			}
			d, content, err := b.Resolve(t.Context(), ref)
			if tc.fail != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fail) {
					t.Fatalf("got error %v, want one with %q", err, tc.fail)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d.MediaType != tc.want || string(content) != tc.body || oci.Verify(content, d) != nil {
				t.Errorf("got %+v", d)
			}
			if got := b.requests(); len(got) != 1 || got[0] != "GET /v2/org/app/manifests/"+path+" 200" {
				t.Errorf("requests: %q", got)
			}
		})
	}
}

func TestResolveRefusesOtherContent(t *testing.T) {
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", oci.MediaTypeManifest)
		fmt.Fprint(w, plainManifest)
	})
	_, _, err := b.Resolve(t.Context(), oci.Reference{Repository: b.repo, Tag: "v1", Digest: digest.FromString("x")})
	var mismatch *oci.MismatchError
	if !errors.As(err, &mismatch) {
		t.Fatalf("got %v, want a mismatch", err)
	}
	if _, _, err := b.Resolve(t.Context(), oci.Reference{Repository: b.repo, Tag: "../../x"}); err == nil {
		t.Error("a tag with a path was accepted")
	}
}

func TestManifest(t *testing.T) {
	for _, tc := range []struct {
		name, contentType, served string
		ok                        bool
	}{
		{"as described", oci.MediaTypeManifest, plainManifest, true},
		{"generic type", "application/json", plainManifest, true},
		{"another type", oci.MediaTypeDockerManifest, plainManifest, false},
		{"another content", oci.MediaTypeManifest, strings.Replace(plainManifest, "2", "3", 1), false},
		{"longer", oci.MediaTypeManifest, plainManifest + " ", false},
		{"shorter", oci.MediaTypeManifest, plainManifest[1:], false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tc.contentType)
				fmt.Fprint(w, tc.served)
			})
			content, err := b.Manifest(t.Context(), b.repo, describe(oci.MediaTypeManifest, plainManifest))
			if (err == nil) != tc.ok {
				t.Fatalf("got %v", err)
			}
			if tc.ok && string(content) != plainManifest {
				t.Errorf("got %q", content)
			}
			if n := len(b.requests()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
	t.Run("a stated type that differs under a generic one", func(t *testing.T) {
		body := `{"mediaType":"` + oci.MediaTypeIndex + `"}`
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, body)
		})
		if _, err := b.Manifest(t.Context(), b.repo, describe(oci.MediaTypeManifest, body)); err == nil {
			t.Error("accepted")
		}
	})
}

func TestNotFound(t *testing.T) {
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"no \u001b[31mred"}]}`)
	})
	_, _, err := b.Resolve(t.Context(), oci.Reference{Repository: b.repo, Tag: "v1"})
	var status *registry.StatusError
	if !errors.Is(err, registry.ErrNotFound) || !errors.As(err, &status) || errors.Is(err, registry.ErrUnauthorized) {
		t.Fatalf("got %v", err)
	}
	if len(status.Errors) != 1 || status.Errors[0] != (registry.ErrorDetail{Code: "MANIFEST_UNKNOWN", Message: "no  [31mred"}) {
		t.Errorf("details are %+v", status.Errors)
	}
	if len(b.requests()) != 1 {
		t.Errorf("requests: %q", b.requests())
	}
}

func TestPushManifest(t *testing.T) {
	d := describe(oci.MediaTypeDockerManifest, plainManifest)
	for _, tag := range []string{"v1", ""} {
		var got, contentType, body string
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			got, contentType, body = r.Method+" "+r.URL.Path, r.Header.Get("Content-Type"), readAll(t, r.Body)
			w.Header().Set("Docker-Content-Digest", string(d.Digest))
			w.WriteHeader(http.StatusCreated)
		})
		if err := b.PushManifest(t.Context(), b.repo, tag, d, []byte(plainManifest)); err != nil {
			t.Fatal(err)
		}
		name := tag
		if name == "" {
			name = string(d.Digest)
		}
		if got != "PUT /v2/org/app/manifests/"+name || contentType != oci.MediaTypeDockerManifest || body != plainManifest {
			t.Errorf("%s, %s, %q", got, contentType, body)
		}
		if err := b.PushManifest(t.Context(), b.repo, tag, d, []byte("x")); err == nil {
			t.Error("content that disagrees was pushed")
		}
	}
}

func TestPushManifestRefused(t *testing.T) {
	d := describe(oci.MediaTypeManifest, plainManifest)
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}`, strings.Repeat(" ", 100))
	})
	err := b.PushManifest(t.Context(), b.repo, "v1", d, []byte(plainManifest))
	if err == nil || !strings.Contains(err.Error(), "MANIFEST_BLOB_UNKNOWN (blob unknown)") {
		t.Errorf("got %v", err)
	}
	b = serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Content-Digest", string(digest.FromString("rewritten")))
		w.WriteHeader(http.StatusCreated)
	})
	if err := b.PushManifest(t.Context(), b.repo, "v1", d, []byte(plainManifest)); err == nil {
		t.Error("a manifest that the registry changed was taken for pushed")
	}
}

func TestDeleteManifest(t *testing.T) {
	b := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted) })
	d := digest.FromString("x")
	if err := b.DeleteManifest(t.Context(), b.repo, d); err != nil {
		t.Fatal(err)
	}
	if got := b.requests(); len(got) != 1 || got[0] != "DELETE /v2/org/app/manifests/"+string(d)+" 202" {
		t.Errorf("requests: %q", got)
	}
}
