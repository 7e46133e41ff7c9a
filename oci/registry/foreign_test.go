package registry_test

import (
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestForeignBlob(t *testing.T) {
	body := pattern(100)
	d := describe("", body)
	var mu sync.Mutex
	var authorizations []string
	var calls atomic.Int64
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		authorizations = append(authorizations, r.Header.Get("Authorization"))
		mu.Unlock()
		switch {
		case strings.HasPrefix(r.URL.Path, "/gone"):
			w.WriteHeader(http.StatusNotFound)
		case strings.HasPrefix(r.URL.Path, "/private"):
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
		case calls.Add(1) == 1:
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, body[:30])
			drop(w)
		default:
			content(w, r, body)
		}
	})
	at := func(path string) string { return "http://" + b.host + path }
	rc, err := b.ForeignBlob(t.Context(), []string{at("/gone"), at("/private"), at("/here?sig=SECRET")}, d)
	if err != nil {
		t.Fatal(err)
	}
	defer rc.Close()
	if got := readAll(t, rc); got != body {
		t.Errorf("got %q", got)
	}
	for _, a := range authorizations {
		if a != "" {
			t.Errorf("Authorization %q was sent", a)
		}
	}
	for _, urls := range [][]string{nil, {at("/gone?sig=SECRET")}, {"file:///etc/passwd"}, {"http://user:SECRET@" + b.host + "/here"}, {"%zz?SECRET"}, {"//x"}} {
		if _, err := b.ForeignBlob(t.Context(), urls, d); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: got %v", urls, err)
		}
	}
}
