package registry_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/oci/registry"
)

// about is a subject.
const about = digest.Digest("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")

// referrer is one that is listed, with a digest of its own.
func referrer(label string) oci.Descriptor {
	return oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: digest.FromString(label), Size: int64(len(label)), ArtifactType: "application/spdx+json"}
}

// listOf is an index of referrers.
func listOf(labels ...string) string {
	all := []oci.Descriptor{}
	for _, label := range labels {
		all = append(all, referrer(label))
	}
	content, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": oci.MediaTypeIndex, "manifests": all})
	if err != nil {
		panic(err) // only our own types get here
	}
	return string(content)
}

func answer(w http.ResponseWriter, mediaType, body string) {
	w.Header().Set("Content-Type", mediaType)
	fmt.Fprint(w, body)
}

// checkListed compares what is listed.
func checkListed(t *testing.T, what string, got []oci.Descriptor, err error, labels ...string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	same := func(d oci.Descriptor, label string) bool {
		want := referrer(label)
		return d.Digest == want.Digest && d.MediaType == want.MediaType && d.ArtifactType == want.ArtifactType && d.Size == want.Size
	}
	if !slices.EqualFunc(got, labels, same) {
		t.Errorf("%s: got %v, want %v", what, got, labels)
	}
}

// A list comes in pages, whose Link may be written in several ways. Only its query
// is used: another host that it names is never asked.
func TestReferrersPages(t *testing.T) {
	var elsewhere []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere = append(elsewhere, r.Header.Get("Authorization")+r.URL.Path)
		answer(w, oci.MediaTypeIndex, listOf("evil"))
	}))
	t.Cleanup(other.Close)
	path := "/v2/org/app/referrers/" + string(about)
	for _, link := range []string{
		`<%s?last=%s>; rel="next"`, `<%s?last=%s>; rel=next`, `<%s?last=%s>;rel="next"`,
		`<http://registry.example%s?last=%s>; rel="next"`, `<` + other.URL + `%s?last=%s>; rel="next"`, `<//evil.example%s?last=%s>; rel="next"`,
	} {
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != path {
				t.Errorf("asked for %s", r.URL.Path)
			}
			page := map[string][2]string{"": {"a", "b&x=1"}, "b&x=1": {"c", "z"}, "z": {"d", ""}}[r.URL.Query().Get("last")]
			if page[1] != "" {
				w.Header().Set("Link", fmt.Sprintf(link, path, strings.ReplaceAll(page[1], "&x=", "%26x%3D")))
			}
			answer(w, oci.MediaTypeIndex, listOf(page[0]))
		})
		got, err := b.Referrers(t.Context(), b.repo, about)
		checkListed(t, link, got, err, "a", "c", "d")
		if n := len(b.requests()); n != 3 {
			t.Errorf("%s: %d requests: %q", link, n, b.requests())
		}
	}
	if len(elsewhere) > 0 {
		t.Errorf("another host was asked: %q", elsewhere)
	}
	// What is no next page is none.
	for _, link := range []string{"", "<x?y=z>", `<x?last=b>; rel="prev"`, `x?last=b; rel="next"`} {
		b := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", link)
			answer(w, oci.MediaTypeIndex, listOf("a"))
		})
		got, err := b.Referrers(t.Context(), b.repo, about)
		checkListed(t, "Link "+link, got, err, "a")
	}
}

// A list that is not had whole is an error: what is not listed would be left out in
// silence.
func TestReferrersBroken(t *testing.T) {
	endless := func(w http.ResponseWriter, r *http.Request, page string) {
		w.Header().Set("Link", `<x?n=`+r.URL.Query().Get("n")+`1>; rel="next"`)
		answer(w, oci.MediaTypeIndex, page)
	}
	second := func(next func(http.ResponseWriter)) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Has("n") {
				next(w)
				return
			}
			endless(w, r, listOf("a"))
		}
	}
	hundreds := func(page string) string {
		var labels []string
		for i := range 600 {
			labels = append(labels, fmt.Sprint(page, "-", i))
		}
		return listOf(labels...)
	}
	for _, test := range []struct {
		name  string
		serve http.HandlerFunc
		says  string
	}{
		{"endless pages", func(w http.ResponseWriter, r *http.Request) { endless(w, r, listOf("a")) }, "more than 100 pages"},
		{"endless pages of many", func(w http.ResponseWriter, r *http.Request) { endless(w, r, hundreds(r.URL.RawQuery)) }, "more than 10000"},
		{"the second page is gone", second(func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) }), "breaks off"},
		{"the second page is HTML", second(func(w http.ResponseWriter) { answer(w, "text/html", "<html>") }), "breaks off"},
		{"the second page is no list", second(func(w http.ResponseWriter) { answer(w, oci.MediaTypeIndex, "{") }), "JSON"},
		{"a next page without a query", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", `</v2/org/app/referrers/2>; rel="next"`)
			answer(w, oci.MediaTypeIndex, listOf("a"))
		}, "Link"},
		{"too large", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, oci.MediaTypeIndex, listOf("a")+strings.Repeat(" ", oci.MaxManifestSize))
		}, "larger"},
		{"too large, called JSON", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, "application/json", listOf("a")+strings.Repeat(" ", oci.MaxManifestSize))
		}, "larger"},
		{"cut", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, oci.MediaTypeIndex, listOf("a")[:100])
		}, "JSON"},
		{"no digest", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, oci.MediaTypeIndex, strings.ReplaceAll(listOf("a"), "sha256:", "md5:"))
		}, "digest"},
		{"an image", func(w http.ResponseWriter, _ *http.Request) {
			answer(w, oci.MediaTypeIndex, `{"schemaVersion":2,"config":{},"layers":[]}`)
		}, "fields of an image"},
		{"forbidden", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "403"},
		{"broken down", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }, "500"},
	} {
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/referrers/") {
				test.serve(w, r)
				return
			}
			t.Errorf("%s: %s was asked for", test.name, r.URL.Path)
		}, func(o *registry.Options) { o.Retries = -1 })
		got, err := b.Referrers(t.Context(), b.repo, about)
		if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), string(about)) || got != nil {
			t.Errorf("%s: got %v, %v", test.name, got, err)
		}
		if has, err := b.HasReferrers(t.Context(), b.repo, about); err == nil || has {
			t.Errorf("%s: there is an API: %t, %v", test.name, has, err)
		}
	}
	b := serve(t, func(w http.ResponseWriter, r *http.Request) { t.Errorf("%s was asked for", r.URL.Path) })
	for _, d := range []digest.Digest{"", "sha256:x", "../../manifests/latest", "sha512:" + digest.Digest(strings.Repeat("0", 128))} {
		if _, err := b.Referrers(t.Context(), b.repo, d); err == nil {
			t.Errorf("subject %q is taken", d)
		}
	}
}

// An API that lists nothing is one. A busy one is asked again.
func TestHasReferrers(t *testing.T) {
	busy := 2
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if busy--; busy >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if accept := r.Header.Get("Accept"); accept != oci.MediaTypeIndex {
			t.Errorf("accepted is %q", accept)
		}
		answer(w, oci.MediaTypeIndex+"; charset=utf-8", listOf())
	})
	if has, err := b.HasReferrers(t.Context(), b.repo, about); !has || err != nil {
		t.Errorf("got %t, %v", has, err)
	}
	if n := len(b.requests()); n != 3 {
		t.Errorf("%d requests: %q", n, b.requests())
	}
	got, err := b.Referrers(t.Context(), b.repo, about)
	checkListed(t, "empty", got, err)
}

// Credentials go to the registry that they are for, wherever it sends the client.
func TestReferrersCredentials(t *testing.T) {
	var mu sync.Mutex
	var leaked []string
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if a := r.Header.Get("Authorization"); a != "" {
			leaked = append(leaked, a)
		}
		w.Header().Set("Link", `<x?n=1>; rel="next"`)
		answer(w, oci.MediaTypeIndex, listOf("elsewhere"))
	}))
	t.Cleanup(other.Close)
	authorized := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "user" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		authorized++
		switch {
		case strings.Contains(r.URL.Path, "/redirected/"):
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
		case r.URL.Query().Has("n"):
			answer(w, oci.MediaTypeIndex, listOf("b"))
		case strings.Contains(r.URL.Path, "/referrers/"):
			w.Header().Set("Link", `<`+other.URL+`/x?n=1>; rel="next"`)
			answer(w, oci.MediaTypeIndex, listOf("a"))
		}
	}))
	t.Cleanup(s.Close)
	host := s.Listener.Addr().String()
	b := connect(t, func(o *registry.Options) {
		o.Insecure = true
		o.AuthFile = write(t, "auth.json", `{"auths":{"`+host+`":{"auth":"dXNlcjpzZWNyZXQ="}}}`)
	})
	got, err := b.Referrers(t.Context(), host+"/org/app", about)
	checkListed(t, "with a password", got, err, "a", "b")
	_, _ = b.Referrers(t.Context(), host+"/org/redirected/app", about) // whatever comes of it
	if authorized < 3 || len(leaked) > 0 {
		t.Errorf("authorized %d times; another host got %q", authorized, leaked)
	}
}

// A mirror that has the images alone does not hide what the registry lists, and one
// that does not answer neither.
func TestReferrersMirror(t *testing.T) {
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.Path, "/referrers/") {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		answer(w, oci.MediaTypeIndex, listOf("a"))
	})
	for name, status := range map[string]int{"empty": http.StatusOK, "no API": http.StatusNotFound, "down": http.StatusBadGateway} {
		asked := 0
		mirror := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.Header().Set("Content-Type", oci.MediaTypeIndex)
			w.WriteHeader(status)
			fmt.Fprint(w, listOf())
		})
		c := connect(t, func(o *registry.Options) {
			o.Insecure = true
			o.RegistriesConf = write(t, "registries.conf",
				fmt.Sprintf("[[registry]]\nprefix = %q\nlocation = %q\n[[registry.mirror]]\nlocation = %q\n", b.host, b.host, mirror.host))
		})
		got, err := c.Referrers(t.Context(), b.repo, about)
		checkListed(t, name, got, err, "a")
		if asked == 0 {
			t.Errorf("%s: the mirror was not asked", name)
		}
	}
	// Nothing anywhere is no error.
	none := serve(t, func(w http.ResponseWriter, _ *http.Request) { answer(w, oci.MediaTypeIndex, listOf()) })
	got, err := none.Referrers(t.Context(), none.repo, about)
	checkListed(t, "nothing anywhere", got, err)
	var status *registry.StatusError
	gone := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	if _, err := gone.Referrers(t.Context(), gone.repo, about); !errors.As(err, &status) || status.Status != http.StatusForbidden {
		t.Errorf("got %v", err)
	}
}
