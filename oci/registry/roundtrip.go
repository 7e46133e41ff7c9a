package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// limits of waiting. There is no limit on a whole transfer: blobs are large and
// lines are slow; only standing still is an error.
type limits struct {
	stall  time.Duration // between two pieces of a body, in either direction
	answer time.Duration // for the header of the answer, connecting included
	commit time.Duration // for the answer after a body: registries copy and hash then
}

func defaultLimits() limits {
	return limits{stall: time.Minute, answer: 2 * time.Minute, commit: 15 * time.Minute}
}

// stallError says that the other side stood still for too long.
type stallError struct{ d time.Duration }

func (e *stallError) Error() string { return fmt.Sprintf("no progress for %s", e.d) }
func (e *stallError) Timeout() bool { return true }

// watch cancels a request that makes no progress.
type watch struct {
	mu     sync.Mutex
	timer  *time.Timer
	d      time.Duration
	cancel context.CancelCauseFunc
	ended  bool
}

func (w *watch) arm(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return
	}
	w.d = d
	if w.timer == nil {
		w.timer = time.AfterFunc(d, w.fire)
	} else {
		w.timer.Reset(d)
	}
}

func (w *watch) fire() {
	w.mu.Lock()
	d := w.d
	w.mu.Unlock()
	w.cancel(&stallError{d: d})
}

func (w *watch) disarm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
	}
}

// end makes later calls of arm harmless: the transport may still hold the
// request's body when the answer is already there.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

type attemptKey struct{}

// tap stands between http.Client and the transport, so that it sees each request
// of a chain of redirects: it watches over progress and tells of the end.
type tap struct {
	base   http.RoundTripper
	limits limits
	log    func(Request) // nil: silent
}

func (t *tap) RoundTrip(req *http.Request) (*http.Response, error) {
	attempt, _ := req.Context().Value(attemptKey{}).(int)
	ctx, cancel := context.WithCancelCause(req.Context())
	x := &exchange{tap: t, ctx: ctx, cancel: cancel, start: time.Now(),
		told: Request{Method: req.Method, URL: redact(req.URL), Attempt: max(1, attempt)}}
	w := &watch{cancel: cancel}
	w.arm(t.limits.answer)
	req = req.WithContext(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		req.Body = &watchedSend{rc: req.Body, w: w, x: x}
	}
	resp, err := t.base.RoundTrip(req)
	w.end()
	if err == nil {
		err = checkLocation(resp)
	}
	if err != nil {
		err = x.cause(err)
		x.finish(err)
		return nil, err
	}
	x.told.Status = resp.StatusCode
	resp.Body = &watchedBody{rc: resp.Body, w: &watch{cancel: cancel}, x: x}
	return resp, nil
}

// checkLocation refuses what net/http would put into an error in full, the query
// with its signature included.
func checkLocation(resp *http.Response) error {
	loc := resp.Header.Get("Location")
	if _, err := url.Parse(loc); err != nil {
		resp.Body.Close()
		return protocolErrorf("answer %d has a malformed Location", resp.StatusCode)
	}
	return nil
}

// exchange is one request and its answer.
type exchange struct {
	tap    *tap
	ctx    context.Context
	cancel context.CancelCauseFunc
	start  time.Time
	told   Request
	bytes  atomic.Int64
	once   sync.Once
}

// cause replaces the cancellation that a watch brought about by its reason.
func (x *exchange) cause(err error) error {
	var stalled *stallError
	if errors.As(context.Cause(x.ctx), &stalled) {
		return stalled
	}
	return err
}

func (x *exchange) finish(err error) {
	x.once.Do(func() {
		x.cancel(nil)
		if x.tap.log == nil {
			return
		}
		x.told.Duration = time.Since(x.start)
		x.told.Bytes = x.bytes.Load()
		x.told.Err = err
		x.tap.log(x.told)
	})
}

// watchedSend is the body of a request. Time spent in the source does not count:
// a slow medium is not the registry's fault.
type watchedSend struct {
	rc io.ReadCloser
	w  *watch
	x  *exchange
}

func (b *watchedSend) Read(p []byte) (int, error) {
	b.w.disarm()
	n, err := b.rc.Read(p)
	b.x.bytes.Add(int64(n))
	if err == nil {
		b.w.arm(b.x.tap.limits.stall)
	} else {
		b.w.arm(b.x.tap.limits.commit)
	}
	return n, err
}

func (b *watchedSend) Close() error { return b.rc.Close() }

// watchedBody is the body of an answer.
type watchedBody struct {
	rc io.ReadCloser
	w  *watch
	x  *exchange
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.w.arm(b.x.tap.limits.stall)
	n, err := b.rc.Read(p)
	b.w.disarm()
	b.x.bytes.Add(int64(n))
	switch {
	case err == io.EOF:
		b.x.finish(nil)
	case err != nil:
		err = b.x.cause(err)
		b.x.finish(err)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.w.end()
	err := b.rc.Close()
	b.x.finish(nil)
	return err
}
