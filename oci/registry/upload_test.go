package registry_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/oci/registry"
)

// source opens a gate over content, and counts what is open.
type source struct {
	d       oci.Descriptor
	content string
	opened  atomic.Int64
	closed  atomic.Int64
}

type closer struct {
	io.Reader
	n *atomic.Int64
}

func (c closer) Close() error { c.n.Add(1); return nil }

func (s *source) open(context.Context) (io.ReadCloser, error) {
	if s.opened.Load() != s.closed.Load() {
		return nil, errors.New("opened before the last one was closed")
	}
	s.opened.Add(1)
	gate, err := oci.NewReader(strings.NewReader(s.content), s.d)
	return closer{gate, &s.closed}, err
}

// target is the upload side of a registry.
type target struct {
	mu        sync.Mutex
	location  string // of the session
	blobs     map[string]string
	sessions  int
	cancelled int
}

func (s *target) handle(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch r.Method {
	case http.MethodPost:
		s.sessions++
		w.Header().Set("Location", s.location)
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		want := r.URL.Query().Get("digest")
		if digest.FromBytes(body).String() != want || r.URL.Query().Get("_state") != "a+b=" || r.ContentLength != int64(len(body)) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		s.blobs[want] = string(body)
		w.Header().Set("Docker-Content-Digest", want)
		w.WriteHeader(http.StatusCreated)
	case http.MethodDelete:
		s.cancelled++
		w.WriteHeader(http.StatusNoContent)
	}
}

func newTarget() *target {
	return &target{location: "/v2/org/app/blobs/uploads/1?_state=a%2Bb%3D", blobs: make(map[string]string)}
}

func TestPushBlob(t *testing.T) {
	for _, size := range []int{0, 1, 1000, 300_000} {
		for _, absolute := range []bool{false, true} {
			body := pattern(size)
			to := newTarget()
			b := serve(t, to.handle)
			if absolute {
				to.location = "http://" + b.host + to.location
			}
			src := &source{d: describe("", body), content: body}
			if err := b.PushBlob(t.Context(), b.repo, src.d, src.open); err != nil {
				t.Fatal(err)
			}
			if got, ok := to.blobs[string(src.d.Digest)]; !ok || got != body {
				t.Errorf("%d bytes: not there", size)
			}
			if src.opened.Load() != 1 || src.closed.Load() != 1 || to.cancelled != 0 {
				t.Errorf("opened %d, closed %d, cancelled %d", src.opened.Load(), src.closed.Load(), to.cancelled)
			}
			if last := b.log[len(b.log)-1]; last.Bytes != int64(size) {
				t.Errorf("log says %+v", last)
			}
		}
	}
}

// TestPushBlobGate holds the gate's verdict against each way of being wrong. What
// is refused must never be complete at the registry, and never be tried again.
func TestPushBlobGate(t *testing.T) {
	promised := pattern(100_000)
	for name, served := range map[string]string{
		"longer": promised + "x", "shorter": promised[1:], "changed": "x" + promised[1:], "empty": "",
	} {
		to := newTarget()
		b := serve(t, to.handle)
		src := &source{d: describe("", promised), content: served}
		err := b.PushBlob(t.Context(), b.repo, src.d, src.open)
		var mismatch *oci.MismatchError
		if !errors.As(err, &mismatch) || mismatch.Want.Digest != src.d.Digest {
			t.Errorf("%s: got %v", name, err)
		}
		to.mu.Lock()
		if len(to.blobs) != 0 || to.sessions != 1 || to.cancelled != 1 {
			t.Errorf("%s: %d blobs, %d sessions, %d cancelled", name, len(to.blobs), to.sessions, to.cancelled)
		}
		to.mu.Unlock()
		if src.opened.Load() != 1 || src.closed.Load() != 1 {
			t.Errorf("%s: opened %d, closed %d", name, src.opened.Load(), src.closed.Load())
		}
	}
	t.Run("empty blob with content", func(t *testing.T) {
		to := newTarget()
		b := serve(t, to.handle)
		src := &source{d: describe("", ""), content: "x"}
		var mismatch *oci.MismatchError
		if err := b.PushBlob(t.Context(), b.repo, src.d, src.open); !errors.As(err, &mismatch) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("reader without a gate", func(t *testing.T) {
		for _, served := range []string{promised + "x", promised[1:]} {
			to := newTarget()
			b := serve(t, to.handle)
			err := b.PushBlob(t.Context(), b.repo, describe("", promised), func(context.Context) (io.ReadCloser, error) {
				return io.NopCloser(iotest.DataErrReader(strings.NewReader(served))), nil
			})
			if err == nil || len(to.blobs) != 0 {
				t.Errorf("%d bytes: got %v", len(served), err)
			}
		}
	})
	t.Run("open", func(t *testing.T) {
		to := newTarget()
		b := serve(t, to.handle)
		cause := errors.New("medium is gone")
		err := b.PushBlob(t.Context(), b.repo, describe("", promised), func(context.Context) (io.ReadCloser, error) { return nil, cause })
		if !errors.Is(err, cause) || to.sessions != 1 {
			t.Errorf("got %v after %d sessions", err, to.sessions)
		}
	})
}

func TestPushBlobRetries(t *testing.T) {
	body := pattern(2_000_000)
	for _, tc := range []struct {
		name string
		fail func(w http.ResponseWriter, r *http.Request)
	}{
		{"broken in the middle", func(w http.ResponseWriter, r *http.Request) {
			io.CopyN(io.Discard, r.Body, 10_000)
			panic(http.ErrAbortHandler)
		}},
		{"refused before the body", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }},
		{"refused after the body", func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(http.StatusInternalServerError)
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			to := newTarget()
			var puts atomic.Int64
			b := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPut && puts.Add(1) <= 2 {
					tc.fail(w, r)
					return
				}
				to.handle(w, r)
			})
			src := &source{d: describe("", body), content: body}
			if err := b.PushBlob(t.Context(), b.repo, src.d, src.open); err != nil {
				t.Fatal(err)
			}
			if src.opened.Load() != 3 || src.closed.Load() != 3 || to.sessions != 3 || to.cancelled != 2 || len(b.waited()) != 2 {
				t.Errorf("opened %d, closed %d, sessions %d, cancelled %d, waits %v", src.opened.Load(), src.closed.Load(), to.sessions, to.cancelled, b.waited())
			}
		})
	}
}

// A registry that says 201 without having had everything is not believed.
func TestPushBlobAcceptedTooEarly(t *testing.T) {
	body := strings.Repeat("x", 20_000_000)
	to := newTarget()
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusCreated)
			return
		}
		to.handle(w, r)
	}, func(o *registry.Options) { o.Retries = -1 })
	src := &source{d: describe("", body), content: body}
	if err := b.PushBlob(t.Context(), b.repo, src.d, src.open); err == nil {
		t.Error("believed")
	}
}

func TestPushBlobOtherDigestStated(t *testing.T) {
	to := newTarget()
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Docker-Content-Digest", string(digest.FromString("other")))
			w.WriteHeader(http.StatusCreated)
			return
		}
		to.handle(w, r)
	})
	src := &source{d: describe("", "abc"), content: "abc"}
	if err := b.PushBlob(t.Context(), b.repo, src.d, src.open); err == nil || src.opened.Load() != 1 {
		t.Errorf("got %v, opened %d", err, src.opened.Load())
	}
}

func TestPushBlobBadLocation(t *testing.T) {
	for _, location := range []string{"", "ftp://x/y", "http://u:SECRET@x/y", "http://[::1/?SECRET"} {
		to := newTarget()
		to.location = location
		b := serve(t, to.handle)
		src := &source{d: describe("", "abc"), content: "abc"}
		err := b.PushBlob(t.Context(), b.repo, src.d, src.open)
		if err == nil || strings.Contains(err.Error(), "SECRET") || len(to.blobs) != 0 || to.sessions != 1 {
			t.Errorf("%q: got %v after %d sessions", location, err, to.sessions)
		}
	}
}

// A cancelled push must not wait for the registry, and must close its source.
func TestPushBlobCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	to := newTarget()
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			io.CopyN(io.Discard, r.Body, 1)
			cancel()
			io.Copy(io.Discard, r.Body) // until the client is gone
			return
		}
		to.handle(w, r)
	})
	body := bytes.Repeat([]byte("x"), 20_000_000)
	var closed atomic.Int64
	err := b.PushBlob(ctx, b.repo, describe("", string(body)), func(context.Context) (io.ReadCloser, error) {
		return closer{bytes.NewReader(body), &closed}, nil
	})
	if !errors.Is(err, context.Canceled) || closed.Load() != 1 || to.cancelled != 1 {
		t.Errorf("got %v, closed %d, cancelled %d", err, closed.Load(), to.cancelled)
	}
}

// A registry that stops reading is given up, and tried again.
func TestPushBlobStalls(t *testing.T) {
	body := strings.Repeat("x", 20_000_000)
	to := newTarget()
	var puts atomic.Int64
	again := make(chan struct{})
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			if puts.Add(1) == 1 {
				<-again
				return
			}
			close(again)
		}
		to.handle(w, r)
	})
	registry.SetStall(b.Client, time.Second)
	src := &source{d: describe("", body), content: body}
	if err := b.PushBlob(t.Context(), b.repo, src.d, src.open); err != nil {
		t.Fatal(err)
	}
	if src.opened.Load() != 2 || len(to.blobs) != 1 {
		t.Errorf("opened %d, %d blobs", src.opened.Load(), len(to.blobs))
	}
}
