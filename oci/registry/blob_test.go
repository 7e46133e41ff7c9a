package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"satchel/oci"
	"satchel/oci/registry"
)

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// content answers ranges as it should.
func content(w http.ResponseWriter, r *http.Request, body string) {
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(body))
}

func TestBlobRanges(t *testing.T) {
	body := pattern(1000)
	d := describe("", body)
	for _, tc := range []struct {
		offset, length int64
		rang           string
	}{
		{0, 1000, ""}, {0, 999, "bytes=0-998"}, {1, 999, "bytes=1-999"}, {999, 1, "bytes=999-999"}, {10, 20, "bytes=10-29"},
	} {
		for _, ignored := range []bool{false, true} {
			var rang string
			b := serve(t, func(w http.ResponseWriter, r *http.Request) {
				rang = r.Header.Get("Range")
				if ignored {
					r.Header.Del("Range")
				}
				content(w, r, body)
			})
			rc, ranged, err := b.Blob(t.Context(), b.repo, d, tc.offset, tc.length)
			if err != nil {
				t.Fatal(err)
			}
			want := body[tc.offset : tc.offset+tc.length]
			if ignored && tc.rang != "" {
				want = body[tc.offset:]
			}
			if wantRanged := !ignored || tc.rang == ""; ranged != wantRanged || rang != tc.rang {
				t.Errorf("%+v: ranged %v, Range %q", tc, ranged, rang)
			}
			if err := iotest.TestReader(rc, []byte(want)); err != nil {
				t.Errorf("%+v: %v", tc, err)
			}
			rc.Close()
		}
	}
}

func TestBlobArguments(t *testing.T) {
	b := connect(t)
	d := describe("", "12345")
	for _, tc := range [][2]int64{{-1, 1}, {0, -1}, {0, 6}, {5, 1}, {6, 0}, {1 << 62, 1 << 62}} {
		if _, _, err := b.Blob(t.Context(), "127.0.0.1:1/a", d, tc[0], tc[1]); err == nil {
			t.Errorf("%v: accepted", tc)
		}
	}
	rc, ranged, err := b.Blob(t.Context(), "127.0.0.1:1/a", d, 5, 0)
	if err != nil || !ranged || readAll(t, rc) != "" {
		t.Errorf("nothing of a blob: %v, %v", ranged, err)
	}
}

// TestBlobResumes breaks the connection after each number of bytes.
func TestBlobResumes(t *testing.T) {
	body := pattern(40)
	d := describe("", body)
	for _, ignored := range []bool{false, true} {
		for k := range len(body) {
			var calls atomic.Int64
			b := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if ignored {
					r.Header.Del("Range")
				}
				if calls.Add(1) > 1 {
					content(w, r, body)
					return
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(body)))
				io.WriteString(w, body[:k])
				drop(w)
			})
			rc, _, err := b.Blob(t.Context(), b.repo, d, 0, d.Size)
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, rc); got != body {
				t.Errorf("broken after %d: got %q", k, got)
			}
			rc.Close()
			if len(b.requests()) != 2 || len(b.waited()) != 1 {
				t.Errorf("broken after %d: %q, %v", k, b.requests(), b.waited())
			}
		}
	}
}

func TestBlobCountsAttemptsWithoutProgress(t *testing.T) {
	body := pattern(30)
	d := describe("", body)
	oneByteEach := func(w http.ResponseWriter, r *http.Request) {
		var from int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &from)
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(body)-1, len(body)))
		w.Header().Set("Content-Length", fmt.Sprint(len(body)-from))
		if r.Header.Get("Range") != "" {
			w.WriteHeader(http.StatusPartialContent)
		}
		io.WriteString(w, body[from:from+1])
		drop(w)
	}
	b := serve(t, oneByteEach, func(o *registry.Options) { o.Retries = 1 })
	rc, _, err := b.Blob(t.Context(), b.repo, d, 0, d.Size)
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, rc); got != body {
		t.Errorf("got %q", got)
	}

	var calls atomic.Int64
	b = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			oneByteEach(w, r)
		}
		w.WriteHeader(http.StatusBadGateway)
	}, func(o *registry.Options) { o.Retries = 3 })
	rc, _, err = b.Blob(t.Context(), b.repo, d, 0, d.Size)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.ReadAll(rc)
	var status *registry.StatusError
	if !errors.As(err, &status) || status.Status != http.StatusBadGateway || !strings.Contains(err.Error(), "stopped at byte 1") {
		t.Errorf("got %v", err)
	}
	if calls.Load() != 4 {
		t.Errorf("%d requests, want 4", calls.Load())
	}
}

func TestBlobShortRanges(t *testing.T) {
	body := pattern(1000)
	d := describe("", body)
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		var from, to int
		fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &from, &to)
		r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, min(to, from+99)))
		content(w, r, body)
	})
	rc, _, err := b.Blob(t.Context(), b.repo, d, 100, 900)
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, rc); got != body[100:] {
		t.Errorf("got %q", got)
	}
	if len(b.requests()) != 9 || len(b.waited()) != 0 {
		t.Errorf("%d requests, waited %v", len(b.requests()), b.waited())
	}
}

func TestBlobRangesRefused(t *testing.T) {
	body := pattern(100)
	d := describe("", body)
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		}
		content(w, r, body)
	})
	rc, ranged, err := b.Blob(t.Context(), b.repo, d, 10, 5)
	if err != nil || ranged {
		t.Fatalf("%v, %v", ranged, err)
	}
	if got := readAll(t, rc); got != body[10:] {
		t.Errorf("got %q", got)
	}
}

func TestBlobLies(t *testing.T) {
	body := pattern(100)
	d := describe("", body)
	for _, stated := range []string{
		"", "bytes 0-9/100", "bytes 11-20/100", "bytes 10-9/100", "bytes 10-100/100", "bytes 10-19/99",
		"bytes 10-19", "bytes */100", "chars 10-19/100", "bytes -1-19/100", "bytes 10-99999999999999999999/*",
	} {
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", stated)
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, body[10:20])
		})
		if _, _, err := b.Blob(t.Context(), b.repo, d, 10, 10); err == nil {
			t.Errorf("%q: accepted", stated)
		}
		if n := len(b.requests()); n != 1 {
			t.Errorf("%q: %d requests", stated, n)
		}
	}
	t.Run("more than asked for", func(t *testing.T) {
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 10-19/*")
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, body[10:])
		})
		rc, _, err := b.Blob(t.Context(), b.repo, d, 10, 10)
		if err != nil {
			t.Fatal(err)
		}
		defer rc.Close()
		if got := readAll(t, rc); got != body[10:20] {
			t.Errorf("got %q", got)
		}
	})
	t.Run("another size", func(t *testing.T) {
		for _, served := range []string{body[1:], body + "x"} {
			b := serve(t, func(w http.ResponseWriter, r *http.Request) { content(w, r, served) })
			_, _, err := b.Blob(t.Context(), b.repo, d, 0, d.Size)
			var mismatch *oci.MismatchError
			if !errors.As(err, &mismatch) {
				t.Errorf("got %v", err)
			}
		}
	})
	t.Run("partial when all was asked for", func(t *testing.T) {
		b := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-99/100")
			w.WriteHeader(http.StatusPartialContent)
		})
		if _, _, err := b.Blob(t.Context(), b.repo, d, 0, d.Size); err == nil {
			t.Error("accepted")
		}
	})
}

func TestBlobStalls(t *testing.T) {
	body := pattern(100)
	d := describe("", body)
	var calls atomic.Int64
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) > 1 {
			content(w, r, body)
			return
		}
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, body[:30])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	registry.SetStall(b.Client, 50*time.Millisecond)
	rc, _, err := b.Blob(t.Context(), b.repo, d, 0, d.Size)
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, rc); got != body {
		t.Errorf("got %q", got)
	}
	if b.log[0].Err == nil || !strings.Contains(b.log[0].Err.Error(), "no progress for 50ms") || b.log[0].Bytes != 30 {
		t.Errorf("log says %+v", b.log[0])
	}
}

func TestBlobCancelled(t *testing.T) {
	d := describe("", pattern(100))
	ctx, cancel := context.WithCancel(t.Context())
	b := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	rc, _, err := b.Blob(ctx, b.repo, d, 0, d.Size)
	if err == nil {
		_, err = io.ReadAll(rc)
		rc.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if n := len(b.waited()); n != 0 {
		t.Errorf("waited %d times", n)
	}
}
