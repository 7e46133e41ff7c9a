package registry_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"satchel/oci"
	"satchel/oci/registry"
)

func TestRetryByStatus(t *testing.T) {
	for status, want := range map[int]int64{
		400: 1, 401: 1, 403: 1, 404: 1, 405: 1, 413: 1, 501: 1, 505: 1,
		408: 4, 429: 4, 500: 4, 502: 4, 503: 4, 504: 4,
	} {
		var calls atomic.Int64
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			calls.Add(1)
			w.WriteHeader(status)
		}, func(o *registry.Options) { o.Retries = 3 })
		_, _, err := b.Resolve(t.Context(), oci.Reference{Repository: b.repo, Tag: "v1"})
		var e *registry.StatusError
		if !errors.As(err, &e) || e.Status != status || e.Method != http.MethodGet {
			t.Errorf("%d: got %v", status, err)
		}
		if calls.Load() != want {
			t.Errorf("%d: %d requests, want %d", status, calls.Load(), want)
		}
		for i, r := range b.log {
			if r.Attempt != i+1 || r.Status != status {
				t.Errorf("%d: log says %+v", status, r)
			}
		}
	}
}

func TestRetryWaits(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tc := range []struct {
		after    string
		min, max time.Duration
	}{
		{"7", 7 * time.Second, 7 * time.Second},
		{"100000", 2 * time.Minute, 2 * time.Minute},
		{"9223372036854775807", 2 * time.Minute, 2 * time.Minute},
		{now.Add(90 * time.Second).Format(http.TimeFormat), 90 * time.Second, 90 * time.Second},
		{now.Add(-time.Hour).Format(http.TimeFormat), 250 * time.Millisecond, 500 * time.Millisecond},
		{"-5", 250 * time.Millisecond, 500 * time.Millisecond},
		{"soon", 250 * time.Millisecond, 500 * time.Millisecond},
		{"", 250 * time.Millisecond, 500 * time.Millisecond},
	} {
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if tc.after != "" {
				w.Header().Set("Retry-After", tc.after)
			}
			w.WriteHeader(http.StatusTooManyRequests)
		}, func(o *registry.Options) { o.Retries = 1 })
		registry.SetNow(b.Client, func() time.Time { return now })
		if _, err := b.HasBlob(t.Context(), b.repo, describe("", "x")); err == nil {
			t.Error("no error")
		}
		if w := b.waited(); len(w) != 1 || w[0] < tc.min || w[0] > tc.max {
			t.Errorf("%q: waited %v", tc.after, w)
		}
	}
}

func TestRetryBackOff(t *testing.T) {
	b := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		func(o *registry.Options) { o.Retries = 70 })
	if _, err := b.HasBlob(t.Context(), b.repo, describe("", "x")); err == nil || !strings.Contains(err.Error(), "tried 71 times") {
		t.Errorf("got %v", err)
	}
	for i, w := range b.waited() {
		want := 30 * time.Second
		if i < 6 {
			want = min(want, 500*time.Millisecond<<i)
		}
		if w < want/2 || w > want {
			t.Errorf("wait %d was %v, want up to %v", i, w, want)
		}
	}
}

func TestRetryOfConnections(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := listener.Addr().String()
	listener.Close()
	b := connect(t)
	if _, err := b.HasBlob(t.Context(), host+"/a", describe("", "x")); err == nil || len(b.waited()) != 1 {
		t.Errorf("refused: %v, waited %v", err, b.waited())
	}

	var calls atomic.Int64
	b = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) <= 3 {
			panic(http.ErrAbortHandler)
		}
	})
	if ok, err := b.HasBlob(t.Context(), b.repo, describe("", "x")); !ok || err != nil {
		t.Errorf("reset: %v", err)
	}
	if len(b.waited()) == 0 {
		t.Error("not repeated")
	}
}

func TestRetryEndsWithContext(t *testing.T) {
	b := serve(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	ctx, cancel := context.WithCancel(t.Context())
	registry.SetSleep(b.Client, func(ctx context.Context, _ time.Duration) error {
		cancel()
		return ctx.Err()
	})
	_, err := b.HasBlob(ctx, b.repo, describe("", "x"))
	var status *registry.StatusError
	if !errors.Is(err, context.Canceled) || !errors.As(err, &status) {
		t.Errorf("got %v", err)
	}
}

func TestNoSecretsInErrors(t *testing.T) {
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/SECRET" {
			http.Redirect(w, r, "http://127.0.0.1:1/x?sig=SECRET", http.StatusTemporaryRedirect)
		}
	})
	_, _, err := b.Blob(t.Context(), b.repo, describe("", "x"), 0, 1)
	if err == nil || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("got %v", err)
	}
	for _, r := range b.log {
		if strings.Contains(r.URL, "SECRET") || r.Err != nil && strings.Contains(r.Err.Error(), "SECRET") {
			t.Errorf("log says %+v", r)
		}
	}
}
