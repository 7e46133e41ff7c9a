package registry_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/oci/registry"
)

// bench is a client with its log, its waits, and one server.
type bench struct {
	*registry.Client
	host string
	repo string

	mu    sync.Mutex
	log   []registry.Request
	waits []time.Duration
}

func (b *bench) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, r := range b.log {
		_, path, _ := strings.Cut(strings.TrimPrefix(r.URL, "http://"), "/")
		all = append(all, fmt.Sprintf("%s /%s %d", r.Method, path, r.Status))
	}
	return all
}

func (b *bench) waited() []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]time.Duration(nil), b.waits...)
}

// serve starts a server that speaks plain HTTP, and a client for it.
func serve(t *testing.T, h http.HandlerFunc, edit ...func(*registry.Options)) *bench {
	t.Helper()
	s := httptest.NewServer(withBase(h))
	t.Cleanup(s.Close)
	b := connect(t, append([]func(*registry.Options){func(o *registry.Options) { o.Insecure = true }}, edit...)...)
	b.host = s.Listener.Addr().String()
	b.repo = b.host + "/org/app"
	return b
}

func withBase(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			h(w, r)
		}
	})
}

// connect makes a client that reads no file of the machine.
func connect(t *testing.T, edit ...func(*registry.Options)) *bench {
	t.Helper()
	b := &bench{}
	o := registry.Options{
		AuthFile:       write(t, "auth.json", "{}"),
		RegistriesConf: write(t, "registries.conf", ""),
		Log: func(r registry.Request) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if !strings.HasSuffix(r.URL, "/v2/") {
				b.log = append(b.log, r)
			}
		},
	}
	for _, f := range edit {
		f(&o)
	}
	c, err := registry.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	registry.SetSleep(c, func(ctx context.Context, d time.Duration) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.waits = append(b.waits, d)
		return ctx.Err()
	})
	b.Client = c
	return b
}

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func describe(mediaType, content string) oci.Descriptor {
	return oci.Descriptor{MediaType: mediaType, Digest: digest.FromString(content), Size: int64(len(content))}
}

// drop breaks the connection under an answer.
func drop(w http.ResponseWriter) {
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

// pattern is content in which no two places look alike.
func pattern(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d,", i)
	}
	return b.String()[:n]
}
