package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"satchel/oci/registry"
)

func TestHasBlob(t *testing.T) {
	d := describe("", "12345")
	for _, tc := range []struct {
		status int
		length string
		want   bool
		fail   error
	}{
		{status: 200, length: "5", want: true},
		{status: 200, length: "", want: true},
		{status: 200, length: "0", want: true},
		{status: 200, length: "4", want: false},
		{status: 404, want: false},
		{status: 401, fail: registry.ErrUnauthorized},
		{status: 403, fail: registry.ErrUnauthorized},
	} {
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if tc.length != "" {
				w.Header().Set("Content-Length", tc.length)
			}
			w.WriteHeader(tc.status)
		})
		got, err := b.HasBlob(t.Context(), b.repo, d)
		if got != tc.want || !errors.Is(err, tc.fail) {
			t.Errorf("%+v: got %v, %v", tc, got, err)
		}
		if want := fmt.Sprintf("HEAD /v2/org/app/blobs/%s %d", d.Digest, tc.status); b.requests()[0] != want {
			t.Errorf("requests: %q", b.requests())
		}
	}
}

func TestMount(t *testing.T) {
	d := describe("", "12345")
	for _, tc := range []struct {
		status          int
		want            bool
		fail, cancelled bool
	}{
		{status: 201, want: true}, {status: 202, cancelled: true}, {status: 400}, {status: 401}, {status: 403},
		{status: 404}, {status: 405}, {status: 501}, {status: 413, fail: true}, {status: 500, fail: true},
	} {
		var query string
		cancelled := false
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodDelete {
				cancelled = r.URL.Path == "/session/1"
				return
			}
			query = r.URL.RawQuery
			w.Header().Set("Location", "/session/1")
			w.WriteHeader(tc.status)
		}, func(o *registry.Options) { o.Retries = -1 })
		got, err := b.Mount(t.Context(), b.repo, b.host+"/other/app", d)
		if got != tc.want || (err != nil) != tc.fail || cancelled != tc.cancelled {
			t.Errorf("%d: got %v, %v, cancelled %v", tc.status, got, err, cancelled)
		}
		if want := "from=other%2Fapp&mount=" + strings.Replace(string(d.Digest), ":", "%3A", 1); query != want {
			t.Errorf("query is %q", query)
		}
	}
	b := connect(t)
	if _, err := b.Mount(t.Context(), "quay.io/a/b", "docker.io/a/b", d); err == nil {
		t.Error("mounting between registries was accepted")
	}
}
