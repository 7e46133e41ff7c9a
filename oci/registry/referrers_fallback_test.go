package registry_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// Where there is no API, it is asked once in a repository, and what stands under the
// fallback tag counts.
func TestReferrersFallback(t *testing.T) {
	for name, no := range map[string]func(http.ResponseWriter){
		"404":           func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotFound) },
		"400":           func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadRequest) },
		"405":           func(w http.ResponseWriter) { w.WriteHeader(http.StatusMethodNotAllowed) },
		"406":           func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotAcceptable) },
		"501":           func(w http.ResponseWriter) { w.WriteHeader(http.StatusNotImplemented) },
		"HTML":          func(w http.ResponseWriter) { answer(w, "text/html; charset=utf-8", "<html>welcome") },
		"HTML, as text": func(w http.ResponseWriter) { answer(w, "text/plain", "<html>welcome") },
		"other JSON":    func(w http.ResponseWriter) { answer(w, "application/json", `{"errors":[]}`) },
		"a JSON list":   func(w http.ResponseWriter) { answer(w, "application/json", `[]`) },
		"nothing":       func(http.ResponseWriter) {},
	} {
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			switch {
			case strings.Contains(r.URL.Path, "/referrers/"):
				no(w)
			case strings.HasSuffix(r.URL.Path, "/manifests/sha256-"+about.Encoded()):
				answer(w, oci.MediaTypeIndex, listOf("a", "b"))
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		})
		for range 2 {
			got, err := b.Referrers(t.Context(), b.repo, about)
			checkListed(t, name, got, err, "a", "b")
			if has, err := b.HasReferrers(t.Context(), b.repo, about); has || err != nil {
				t.Errorf("%s: there is an API: %t, %v", name, has, err)
			}
			got, err = b.Referrers(t.Context(), b.repo, digest.FromString("another subject"))
			checkListed(t, name+", of another", got, err)
		}
		asked := func() (n int) {
			for _, r := range b.requests() {
				if strings.Contains(r, "/referrers/") {
					n++
				}
			}
			return n
		}
		if n := asked(); n != 1 {
			t.Errorf("%s: the API was asked for %d times: %q", name, n, b.requests())
		}
		if _, err := b.Referrers(t.Context(), b.repo+"-other", about); err != nil || asked() != 2 {
			t.Errorf("%s: in another repository: %v, asked %d times", name, err, asked())
		}
	}
}

// What stands under the fallback tag may be somebody's own, or be broken.
func TestReferrersFallbackTag(t *testing.T) {
	image := `{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"` + string(about) + `","size":0},"layers":[]}`
	for _, test := range []struct {
		name, mediaType, body string
		labels                []string
		says                  string
	}{
		{name: "an index", mediaType: oci.MediaTypeIndex, body: listOf("a"), labels: []string{"a"}},
		{name: "an index, called JSON", mediaType: "application/json", body: listOf("a"), labels: []string{"a"}},
		{name: "an empty index", mediaType: oci.MediaTypeIndex, body: listOf()},
		{name: "an image", mediaType: oci.MediaTypeManifest, body: image},
		{name: "a list of Docker", mediaType: oci.MediaTypeDockerList, body: strings.ReplaceAll(listOf("a"), oci.MediaTypeIndex, oci.MediaTypeDockerList)},
		{name: "no manifest", mediaType: "text/html", body: "<html>", says: "no manifest"},
		{name: "broken", mediaType: oci.MediaTypeIndex, body: "{", says: "JSON"},
		{name: "both", mediaType: oci.MediaTypeIndex, body: image, says: "fields of an image"},
		{name: "too large", mediaType: oci.MediaTypeIndex, body: listOf("a") + strings.Repeat(" ", oci.MaxManifestSize), says: "larger"},
	} {
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, "/referrers/") {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			answer(w, test.mediaType, test.body)
		})
		got, err := b.Referrers(t.Context(), b.repo, about)
		if test.says == "" {
			checkListed(t, test.name, got, err, test.labels...)
		} else if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, %v", test.name, got, err)
		}
	}
}
