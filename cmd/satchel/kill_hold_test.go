package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path"
	"strings"
	"sync"
	"syscall"
	"testing"

	"satchel/fixtures"
)

// holding is a registry that stands still at a stated byte of what blobs it sends,
// or takes, in all, or at a stated request, until it is told to drop everything. At
// that place the client is alive, and waits.
type holding struct {
	*fixtures.Registry
	server *httptest.Server
	idle   *sync.Cond // that active is 0

	mu      sync.Mutex
	active  int   // requests
	bytes   int64 // hold there; negative is never
	request int   // hold before that one, counted from 1; 0 is none
	seen    int64
	asked   int
	held    bool
	reached chan struct{}
	drop    chan struct{}
}

var errDropped = errors.New("dropped by the test")

// hold starts to serve a registry, which must not have been started itself.
func hold(t testing.TB, r *fixtures.Registry) *holding {
	h := &holding{Registry: r, bytes: -1}
	h.idle = sync.NewCond(&h.mu)
	h.server = httptest.NewServer(h)
	t.Cleanup(h.server.Close)
	return h
}

// Host is where it is.
func (h *holding) Host() string { return h.server.Listener.Addr().String() }

// arm makes it stand still once, counting from now.
func (h *holding) arm(atByte int64, request int) (reached chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bytes, h.request, h.seen, h.asked, h.held = atByte, request, 0, 0, false
	h.reached, h.drop = make(chan struct{}), make(chan struct{})
	return h.reached
}

// disarm drops what is held and waits until nothing is under way.
func (h *holding) disarm() {
	h.mu.Lock()
	h.bytes, h.request = -1, 0
	close(h.drop)
	for h.active > 0 {
		h.idle.Wait()
	}
	h.held = false
	h.mu.Unlock()
}

func (h *holding) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.active--; h.active == 0 {
		h.idle.Broadcast()
	}
}

// ServeHTTP implements [http.Handler].
func (h *holding) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer h.end()
	h.mu.Lock()
	h.active++
	h.asked++
	stop := h.asked == h.request
	h.mu.Unlock()
	if stop && h.stand() != nil {
		panic(http.ErrAbortHandler)
	}
	if r.Method == http.MethodGet && strings.HasPrefix(path.Base(r.URL.Path), "sha256:") && strings.Contains(r.URL.Path, "/blobs/") {
		w = &heldWriter{w, h}
	}
	if r.ContentLength > 0 && strings.Contains(r.URL.Path, "/blobs/uploads/") {
		r.Body = &heldBody{r.Body, h}
	}
	h.Registry.ServeHTTP(w, r)
}

// stand says that the place is reached, and waits for the end.
func (h *holding) stand() error {
	h.mu.Lock()
	if !h.held {
		h.held = true
		close(h.reached)
	}
	drop := h.drop
	h.mu.Unlock()
	<-drop
	return errDropped
}

// allow says how many of n bytes may go by, and whether it stands still then.
func (h *holding) allow(n int) (allowed int, stop bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.bytes >= 0 && h.seen+int64(n) >= h.bytes {
		n, stop = int(h.bytes-h.seen), true
	}
	h.seen += int64(n)
	return n, stop
}

type heldWriter struct {
	http.ResponseWriter
	at *holding
}

func (w *heldWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *heldWriter) Write(p []byte) (int, error) {
	n, stop := w.at.allow(len(p))
	n, err := w.ResponseWriter.Write(p[:n])
	if stop && err == nil {
		if err = http.NewResponseController(w.ResponseWriter).Flush(); err == nil {
			err = w.at.stand()
		}
	}
	return n, err
}

type heldBody struct {
	io.ReadCloser
	at *holding
}

func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	allowed, stop := b.at.allow(n)
	if stop {
		if stood := b.at.stand(); err == nil || err == io.EOF {
			err = stood
		}
	}
	return allowed, err
}

// killed runs satchel and kills it with SIGKILL when the registry stands still; it
// fails the test when the program had ended by itself.
func killed(t testing.TB, what string, reached <-chan struct{}, binary string, arguments []string) bool {
	t.Helper()
	var output bytes.Buffer
	c := exec.CommandContext(t.Context(), binary, arguments...)
	c.Stdout, c.Stderr = &output, &output
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	select {
	case <-reached:
	case err := <-ended:
		t.Errorf("%s: it ended before: %v\n%s", what, err, output.Bytes())
		return false
	}
	if err := c.Process.Signal(syscall.SIGKILL); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	<-ended
	status, ok := c.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		t.Errorf("%s: it was not killed: %v\n%s", what, c.ProcessState, output.Bytes())
		return false
	}
	return true
}
