package registry_test

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"satchel/oci"
	"satchel/oci/registry"
)

// secure starts a server with a certificate, and the directory that trusts it.
func secure(t *testing.T, h http.HandlerFunc) (host, dir string) {
	t.Helper()
	s := httptest.NewTLSServer(withBase(h))
	t.Cleanup(s.Close)
	dir = t.TempDir()
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), cert, 0o600); err != nil {
		t.Fatal(err)
	}
	return s.Listener.Addr().String(), dir
}

func TestCertificates(t *testing.T) {
	var protocol atomic.Value
	host, dir := secure(t, func(w http.ResponseWriter, r *http.Request) { protocol.Store(r.Proto) })
	d := describe("", "x")
	for _, tc := range []struct {
		name string
		edit func(*registry.Options)
		ok   bool
	}{
		{"trusted", func(o *registry.Options) { o.CertDir = dir }, true},
		{"unknown", func(o *registry.Options) {}, false},
		{"unchecked", func(o *registry.Options) { o.Insecure = true }, true},
		{"unchecked by registries.conf", func(o *registry.Options) {
			o.RegistriesConf = write(t, "r.conf", "[[registry]]\nlocation = \""+host+"\"\ninsecure = true\n")
			o.Direct = true
		}, true},
	} {
		b := connect(t, tc.edit)
		_, err := b.HasBlob(t.Context(), host+"/a", d)
		if (err == nil) != tc.ok {
			t.Errorf("%s: got %v", tc.name, err)
		}
		if !tc.ok && len(b.waited()) != 0 {
			t.Errorf("%s: tried again", tc.name)
		}
	}
	if protocol.Load() != "HTTP/1.1" {
		t.Errorf("spoke %v", protocol.Load())
	}
}

func TestPlainHTTPOnlyIfInsecure(t *testing.T) {
	var probes atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			probes.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer s.Close()
	host := s.Listener.Addr().String()
	b := connect(t)
	if _, err := b.HasBlob(t.Context(), host+"/a", describe("", "x")); err == nil || probes.Load() != 0 {
		t.Errorf("got %v after %d probes", err, probes.Load())
	}
	b = connect(t, func(o *registry.Options) { o.Insecure = true })
	for range 3 {
		if _, err := b.HasBlob(t.Context(), host+"/a", describe("", "x")); err != nil {
			t.Error(err)
		}
	}
	if probes.Load() != 1 {
		t.Errorf("%d probes over plain HTTP, want 1", probes.Load())
	}
}

// An insecure registry that speaks TLS must not be spoken to in clear, although
// its port answers plain HTTP, with 400.
func TestInsecureKeepsTLS(t *testing.T) {
	host, _ := secure(t, func(w http.ResponseWriter, r *http.Request) {})
	b := connect(t, func(o *registry.Options) { o.Insecure = true })
	if _, err := b.HasBlob(t.Context(), host+"/a", describe("", "x")); err != nil {
		t.Fatal(err)
	}
	for _, r := range b.log {
		if !strings.HasPrefix(r.URL, "https://") {
			t.Errorf("request %+v", r)
		}
	}
}

// TestRedirect leads from the registry to a store on another port, and back.
func TestRedirect(t *testing.T) {
	body := pattern(100)
	d := describe("", body)
	var seen []http.Header
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Clone())
		if r.URL.Query().Get("sig") != "SECRET" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		content(w, r, body)
	}))
	defer store.Close()
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, store.URL+"/blob?sig="+r.URL.Query().Get("sig")+"SECRET", http.StatusTemporaryRedirect)
	})
	c := connect(t, func(o *registry.Options) { o.Insecure = true }, login(t, b.host, password()))
	rc, ranged, err := c.Blob(t.Context(), b.repo, d, 10, 20)
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, rc); got != body[10:30] || !ranged {
		t.Errorf("got %q, %v", got, ranged)
	}
	rc.Close()
	for _, h := range seen {
		if h.Get("Authorization") != "" || h.Get("Referer") != "" || h.Get("Cookie") != "" {
			t.Errorf("the store got %v", h)
		}
	}
	want := []string{"/v2/org/app/blobs/" + string(d.Digest) + " 401", "/v2/org/app/blobs/" + string(d.Digest) + " 307", "/blob 206"}
	for i, r := range c.requests() {
		if r != "GET "+want[i] {
			t.Errorf("requests: %q", c.requests())
		}
	}
}

func TestRedirectRefused(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Error("the plain server was asked")
	}))
	defer plain.Close()
	host, dir := secure(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", plain.URL+"/x?SECRET")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	b := connect(t, func(o *registry.Options) { o.CertDir = dir })
	_, _, err := b.Resolve(t.Context(), oci.Reference{Repository: host + "/a", Tag: "v1"})
	if err == nil || strings.Contains(err.Error(), "SECRET") || len(b.requests()) != 1 {
		t.Errorf("got %v after %q", err, b.requests())
	}

	for _, location := range []string{"http://[::1/?SECRET", "/v2/org/app/manifests/v1?SECRET"} {
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusTemporaryRedirect)
		})
		_, _, err := b.Resolve(t.Context(), oci.Reference{Repository: b.repo, Tag: "v1"})
		if err == nil || strings.Contains(err.Error(), "SECRET") || len(b.waited()) != 0 {
			t.Errorf("%q: got %v", location, err)
		}
	}
}

// A challenge of a store is not for the registry's credentials.
func TestChallengeAfterRedirect(t *testing.T) {
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the store got credentials")
		}
		w.Header().Set("WWW-Authenticate", "Basic")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer store.Close()
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, store.URL, http.StatusTemporaryRedirect)
	})
	c := connect(t, func(o *registry.Options) { o.Insecure = true }, login(t, b.host, password()))
	if _, _, err := c.Blob(t.Context(), b.repo, describe("", "x"), 0, 1); err == nil {
		t.Error("no error")
	}
}

// A session on another host gets the blob, but no credentials.
func TestUploadElsewhere(t *testing.T) {
	to := newTarget()
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the store got credentials")
		}
		to.handle(w, r)
	}))
	defer store.Close()
	to.location = store.URL + "/upload?_state=a%2Bb%3D"
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		to.handle(w, r)
	})
	c := connect(t, func(o *registry.Options) { o.Insecure = true }, login(t, b.host, password()))
	src := &source{d: describe("", "abc"), content: "abc"}
	if err := c.PushBlob(t.Context(), b.repo, src.d, src.open); err != nil {
		t.Fatal(err)
	}
	if len(to.blobs) != 1 {
		t.Error("not there")
	}
}

// A proxy that ends TLS makes the registry give plain locations.
func TestPlainLocationBehindTLS(t *testing.T) {
	to := newTarget()
	host, dir := secure(t, to.handle)
	b := connect(t, func(o *registry.Options) { o.CertDir = dir })
	src := &source{d: describe("", "abc"), content: "abc"}
	to.location = "http://" + host + to.location
	if err := b.PushBlob(t.Context(), host+"/a", src.d, src.open); err != nil {
		t.Error(err)
	}
	to.location = "http://127.0.0.1:1/x"
	if err := b.PushBlob(t.Context(), host+"/a", src.d, src.open); err == nil {
		t.Error("went from https to plain HTTP")
	}
}

// Idle connections are used again, after each kind of request.
func TestConnectionsAreReused(t *testing.T) {
	body := pattern(100_000)
	to := newTarget()
	var connections atomic.Int64
	s := httptest.NewUnstartedServer(withBase(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			content(w, r, body)
			return
		}
		to.handle(w, r)
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	b := connect(t, func(o *registry.Options) { o.Insecure = true })
	repo := s.Listener.Addr().String() + "/org/app"
	src := &source{d: describe("", body), content: body}
	for range 10 {
		if _, err := b.HasBlob(t.Context(), repo, src.d); err != nil {
			t.Fatal(err)
		}
		if err := b.PushBlob(t.Context(), repo, src.d, src.open); err != nil {
			t.Fatal(err)
		}
		rc, _, err := b.Blob(t.Context(), repo, src.d, 10, 5000)
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, rc)
		rc.Close()
	}
	// One more is the attempt at TLS.
	if n := connections.Load(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

func TestNewRefusesMissingFiles(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "gone")
	for _, o := range []registry.Options{
		{AuthFile: gone}, {CertDir: gone}, {RegistriesConf: gone},
		{RegistriesConf: write(t, "x.conf", "[[registry]")},
	} {
		if _, err := registry.New(o); err == nil {
			t.Errorf("%+v: accepted", o)
		}
	}
}

func TestErrorBodyIsBounded(t *testing.T) {
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		for range 100 {
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<16)); err != nil {
				return
			}
		}
	})
	_, _, err := b.Resolve(t.Context(), oci.Reference{Repository: b.repo, Tag: "v1"})
	if err == nil || len(err.Error()) > 500 || b.log[0].Bytes > 10<<10 {
		t.Errorf("got %v after %d bytes", err, b.log[0].Bytes)
	}
}
