package registry_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"satchel/oci"
	"satchel/oci/registry"
)

// tokens is a token server and the check of what it gave out.
type tokens struct {
	mu     sync.Mutex
	url    string
	given  map[string]string // token to scopes
	asked  []string
	expire int // seconds
	post   bool
	fail   int // status for requests with more scopes than one
}

func newTokens(t *testing.T) *tokens {
	s := &tokens{given: make(map[string]string), expire: 300}
	server := httptest.NewServer(http.HandlerFunc(s.handle))
	t.Cleanup(server.Close)
	s.url = server.URL + "/token?tenant=1"
	return s
}

func (s *tokens) handle(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := r.ParseForm(); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	scopes := r.Form["scope"]
	if s.fail != 0 && len(scopes) > 1 {
		w.WriteHeader(s.fail)
		return
	}
	user, password, _ := r.BasicAuth()
	if s.post {
		if r.PostForm.Get("grant_type") != "refresh_token" || r.PostForm.Get("refresh_token") != "IDENTITY" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
	} else if user != "me" || password != "SECRET" || r.Form.Get("account") != "me" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.Form.Get("service") != "registry" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	all := strings.Join(scopes, " ")
	s.asked = append(s.asked, all)
	token := fmt.Sprintf("token-%d", len(s.asked))
	s.given[token] = all
	fmt.Fprintf(w, `{"token":%q,"access_token":%q,"expires_in":%d}`, token, token, s.expire)
}

// guard lets requests pass that have a token for all of the scopes.
func (s *tokens) guard(w http.ResponseWriter, r *http.Request, needed ...string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	have := strings.Fields(s.given[token])
	for _, n := range needed {
		if !slices.Contains(have, n) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s",service="registry",scope="%s"`, s.url, strings.Join(needed, " ")))
			w.WriteHeader(http.StatusUnauthorized)
			return false
		}
	}
	return true
}

func (s *tokens) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// login puts credentials into the authentication file.
func login(t *testing.T, key, entry string) func(*registry.Options) {
	return func(o *registry.Options) {
		o.AuthFile = write(t, "login.json", fmt.Sprintf(`{"auths":{%q:{%s}}}`, key, entry))
	}
}

func password() string {
	return `"auth":"` + base64.StdEncoding.EncodeToString([]byte("me:SECRET")) + `"`
}

const (
	pull = "repository:org/app:pull"
	push = "repository:org/app:pull,push"
)

func TestTokenDance(t *testing.T) {
	auth := newTokens(t)
	to := newTarget()
	var mu sync.Mutex
	challenged := map[string]int{}
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		needed := push
		if r.Method == http.MethodGet {
			needed = pull
		}
		if !auth.guard(w, r, needed) {
			mu.Lock()
			challenged[r.Method]++
			mu.Unlock()
			return
		}
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", oci.MediaTypeManifest)
			io.WriteString(w, plainManifest)
			return
		}
		to.handle(w, r)
	}, login(t, "127.0.0.1", password()), func(o *registry.Options) {})
	// Credentials are kept for the host with its port.
	again := connect(t, func(o *registry.Options) { o.Insecure = true }, login(t, b.host, password()))
	again.host, again.repo = b.host, b.repo

	src := &source{d: describe("", "abc"), content: "abc"}
	for range 3 {
		if err := again.PushBlob(t.Context(), b.repo, src.d, src.open); err != nil {
			t.Fatal(err)
		}
		if _, _, err := again.Resolve(t.Context(), oci.Reference{Repository: b.repo, Tag: "v1"}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := auth.requests(), []string{push, pull}; !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
	// The body is sent with a token already; so is everything after the first.
	if want := map[string]int{http.MethodPost: 1}; !maps.Equal(challenged, want) {
		t.Errorf("challenged %v, want %v", challenged, want)
	}
	if _, _, err := b.Resolve(t.Context(), oci.Reference{Repository: b.repo, Tag: "v1"}); !errors.Is(err, registry.ErrUnauthorized) {
		t.Errorf("without credentials: %v", err)
	}
	for _, r := range append(b.log, again.log...) {
		if strings.ContainsAny(r.URL, "?@") || r.Err != nil {
			t.Errorf("log says %+v", r)
		}
	}
}

func TestTokensAreShared(t *testing.T) {
	auth := newTokens(t)
	b := serve(t, func(w http.ResponseWriter, r *http.Request) { auth.guard(w, r, push) })
	c := connect(t, func(o *registry.Options) { o.Insecure = true }, login(t, b.host, password()))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := c.HasBlob(t.Context(), b.repo, describe("", "x")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if got := auth.requests(); len(got) != 1 {
		t.Errorf("asked for %q", got)
	}
}

func TestTokenExpires(t *testing.T) {
	auth := newTokens(t)
	b := serve(t, func(w http.ResponseWriter, r *http.Request) { auth.guard(w, r, push) })
	c := connect(t, func(o *registry.Options) { o.Insecure = true }, login(t, b.host, password()))
	now := time.Now()
	registry.SetNow(c.Client, func() time.Time { return now })
	for _, after := range []time.Duration{0, 200 * time.Second, 100 * time.Second} {
		now = now.Add(after)
		if _, err := c.HasBlob(t.Context(), b.repo, describe("", "x")); err != nil {
			t.Fatal(err)
		}
	}
	if got := auth.requests(); len(got) != 2 {
		t.Errorf("asked %d times, want 2", len(got))
	}
}

// A token that ends while a blob is under way costs one more attempt, with a new
// reader.
func TestTokenRevokedBeforePut(t *testing.T) {
	auth := newTokens(t)
	to := newTarget()
	revoked := false
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && !revoked {
			revoked = true
			auth.mu.Lock()
			clear(auth.given)
			auth.mu.Unlock()
		}
		if auth.guard(w, r, push) {
			to.handle(w, r)
		}
	})
	c := connect(t, func(o *registry.Options) { o.Insecure = true; o.Retries = -1 }, login(t, b.host, password()))
	body := pattern(3_000_000)
	src := &source{d: describe("", body), content: body}
	if err := c.PushBlob(t.Context(), b.repo, src.d, src.open); err != nil {
		t.Fatal(err)
	}
	if src.opened.Load() != 2 || src.closed.Load() != 2 || len(to.blobs) != 1 || len(auth.requests()) != 2 {
		t.Errorf("opened %d, closed %d, tokens %q", src.opened.Load(), src.closed.Load(), auth.requests())
	}
}

func TestIdentityToken(t *testing.T) {
	auth := newTokens(t)
	auth.post = true
	b := serve(t, func(w http.ResponseWriter, r *http.Request) { auth.guard(w, r, push) })
	c := connect(t, func(o *registry.Options) { o.Insecure = true },
		login(t, b.host, `"auth":"`+base64.StdEncoding.EncodeToString([]byte("me:x"))+`","identitytoken":"IDENTITY"`))
	if _, err := c.HasBlob(t.Context(), b.repo, describe("", "x")); err != nil {
		t.Fatal(err)
	}
}

func TestNamespacedCredentials(t *testing.T) {
	auth := newTokens(t)
	b := serve(t, func(w http.ResponseWriter, r *http.Request) { auth.guard(w, r, push) })
	c := connect(t, func(o *registry.Options) { o.Insecure = true }, login(t, b.host+"/org", password()))
	if _, err := c.HasBlob(t.Context(), b.repo, describe("", "x")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.HasBlob(t.Context(), b.host+"/other/app", describe("", "x")); !errors.Is(err, registry.ErrUnauthorized) {
		t.Errorf("another namespace: %v", err)
	}
}

func TestMountScopes(t *testing.T) {
	auth := newTokens(t)
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if auth.guard(w, r, push, "repository:other/app:pull") {
			w.WriteHeader(http.StatusCreated)
		}
	})
	d := describe("", "x")
	c := connect(t, func(o *registry.Options) { o.Insecure = true }, login(t, b.host, password()))
	if ok, err := c.Mount(t.Context(), b.repo, b.host+"/other/app", d); !ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
	if got, want := auth.requests(), []string{push + " repository:other/app:pull"}; !slices.Equal(got, want) {
		t.Errorf("asked for %q, want %q", got, want)
	}
	// A token server that knows one scope only means: no mounting.
	auth.fail = http.StatusBadRequest
	if ok, err := c.Mount(t.Context(), b.repo, b.host+"/third/app", d); ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
}

func TestBasic(t *testing.T) {
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if user, pass, _ := r.BasicAuth(); user != "me" || pass != "SECRET" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	c := connect(t, func(o *registry.Options) { o.Insecure = true }, login(t, b.host, password()))
	for range 2 {
		if ok, err := c.HasBlob(t.Context(), b.repo, describe("", "x")); !ok || err != nil {
			t.Fatal(err)
		}
	}
	if n := len(c.requests()); n != 3 {
		t.Errorf("%d requests, want 3", n)
	}
	c = connect(t, func(o *registry.Options) { o.Insecure = true }, login(t, b.host, `"auth":"`+base64.StdEncoding.EncodeToString([]byte("me:wrong"))+`"`))
	_, err := c.HasBlob(t.Context(), b.repo, describe("", "x"))
	if !errors.Is(err, registry.ErrUnauthorized) || len(c.requests()) != 2 {
		t.Errorf("got %v after %q", err, c.requests())
	}
}

func TestBadTokenServers(t *testing.T) {
	for _, tc := range []struct {
		name, realm string
		answer      string
	}{
		{name: "malformed", realm: "http://[::1?SECRET"},
		{name: "no web address", realm: "file:///x?SECRET"},
		{name: "user in it", realm: "http://me:SECRET@127.0.0.1/"},
		{name: "no JSON", answer: "<html>SECRET"},
		{name: "empty", answer: "{}"},
		{name: "not for a header", answer: `{"token":"SECRET\r\nX: y"}`},
		{name: "endless", answer: `{"token":"` + strings.Repeat("SECRET", 1<<20) + `"}`},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, tc.answer) }))
		realm := tc.realm
		if realm == "" {
			realm = server.URL
		}
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="`+realm+`"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
		_, err := b.HasBlob(t.Context(), b.repo, describe("", "x"))
		if err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: got %v", tc.name, err)
		}
		server.Close()
	}
}
