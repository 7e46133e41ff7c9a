package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"satchel/oci"
)

// Blob reads the bytes [offset, offset+length) of a blob. ranged is false when
// the registry ignored the range: then rc delivers everything from offset to the
// end of the blob. rc never delivers more than that. It survives broken
// connections: it goes on where it stopped, after up to Options.Retries attempts
// without progress, and fails with the last cause. The bytes are NOT checked
// against the digest. The context covers reading; the caller closes rc, which is
// not for concurrent use.
func (c *Client) Blob(ctx context.Context, repository string, d oci.Descriptor, offset, length int64) (rc io.ReadCloser, ranged bool, err error) {
	if err := oci.CheckDescriptor(d); err != nil {
		return nil, false, err
	}
	if offset < 0 || length < 0 || length > d.Size-offset {
		return nil, false, fmt.Errorf("blob %s: %d bytes from %d are outside of its %d bytes", d.Digest, length, offset, d.Size)
	}
	if length == 0 {
		if _, err := parseRepository(repository); err != nil {
			return nil, false, err
		}
		return http.NoBody, true, nil
	}
	var r *blobReader
	err = c.read(ctx, repository, "", d.Digest, func(e *endpoint, retries int) error {
		r = &blobReader{client: c, ctx: ctx, want: d, pos: offset, end: offset + length}
		r.get = func(rang string, attempt int) (*http.Response, error) {
			k := call{
				method: http.MethodGet, path: "blobs/" + string(d.Digest), attempt: attempt,
				header: make(http.Header), scopes: []string{e.scope("pull")},
			}
			if rang != "" {
				k.header.Set("Range", rang)
			}
			return c.send(ctx, e, k)
		}
		return c.retry(ctx, retries, r.connect)
	})
	if err != nil {
		return nil, false, fmt.Errorf("blob %s of %s: %w", d.Digest, repository, err)
	}
	if r.whole {
		r.end = d.Size
	}
	return r, !r.whole, nil
}

// ForeignBlob reads a blob from the first of the addresses that answers, without
// credentials, with certificates checked by the system's roots, whatever the
// options say. It goes on after broken connections like [Client.Blob], and the
// bytes are not checked against the digest either. The addresses come from
// manifests: whether to go there at all is the caller's decision.
func (c *Client) ForeignBlob(ctx context.Context, urls []string, d oci.Descriptor) (io.ReadCloser, error) {
	if err := oci.CheckDescriptor(d); err != nil {
		return nil, err
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("foreign blob %s: no address", d.Digest)
	}
	var all []error
	for _, s := range urls {
		r, err := c.foreign(ctx, s, d)
		if err == nil {
			return r, nil
		}
		all = append(all, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("foreign blob %s: %w", d.Digest, errors.Join(all...))
}

func (c *Client) foreign(ctx context.Context, address string, d oci.Descriptor) (*blobReader, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, errors.New("malformed address")
	}
	if err := checkWebAddress(u); err != nil {
		return nil, fmt.Errorf("%s: %w", redact(u), err)
	}
	client := c.outsideClient()
	r := &blobReader{client: c, ctx: ctx, want: d, end: d.Size}
	r.get = func(rang string, attempt int) (*http.Response, error) {
		ctx := context.WithValue(ctx, attemptKey{}, attempt)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return nil, newTransportError(http.MethodGet, u, err)
		}
		req.Header.Set("User-Agent", c.userAgent)
		if rang != "" {
			req.Header.Set("Range", rang)
		}
		resp, err := client.Do(req)
		if err != nil {
			return nil, newTransportError(http.MethodGet, u, err)
		}
		return resp, nil
	}
	return r, c.retry(ctx, c.retries, r.connect)
}

// outsideClient is no registry's: it has neither credentials nor certificates.
func (c *Client) outsideClient() *http.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outside == nil {
		t := c.newTransport(nil)
		c.transports = append(c.transports, t)
		c.outside = &http.Client{
			Transport:     &tap{base: t, limits: c.limits, log: c.log},
			CheckRedirect: (&host{}).checkRedirect,
		}
	}
	return c.outside
}

// blobReader reads a blob over as many requests as it takes.
type blobReader struct {
	client *Client
	ctx    context.Context
	want   oci.Descriptor
	get    func(rang string, attempt int) (*http.Response, error)

	pos, end int64 // what is still to be delivered
	whole    bool  // ranges were ignored or refused: ask for everything and skip
	body     io.ReadCloser
	answer   *http.Response
	promised int64 // where the answer says that it ends
	failures int   // without progress, in a row
	last     error // cause of the last failure
	err      error // sticky
}

// connect makes one attempt to have a body that stands at pos.
func (r *blobReader) connect(attempt int) error {
	resp, err := r.get(r.rang(), attempt)
	if err != nil {
		return err
	}
	if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable && r.rang() != "" {
		drain(resp)
		r.whole = true
		if resp, err = r.get("", attempt); err != nil {
			return err
		}
	}
	switch resp.StatusCode {
	case http.StatusPartialContent:
		if err := r.checkRange(resp); err != nil {
			resp.Body.Close()
			return err
		}
		r.body, r.answer = resp.Body, resp
		return nil
	case http.StatusOK:
		return r.skip(resp)
	}
	return newStatusError(resp, r.client.now())
}

// rang is the value of the Range field; empty when the whole blob is wanted.
func (r *blobReader) rang() string {
	if r.whole || r.pos == 0 && r.end == r.want.Size {
		return ""
	}
	return fmt.Sprintf("bytes=%d-%d", r.pos, r.end-1)
}

func (r *blobReader) skip(resp *http.Response) error {
	if n := resp.ContentLength; n >= 0 && n != r.want.Size {
		resp.Body.Close()
		return &oci.MismatchError{Want: r.want, GotSize: min(n, r.want.Size+1)}
	}
	if r.rang() != "" {
		r.whole = true
	}
	if _, err := io.CopyN(io.Discard, resp.Body, r.pos); err != nil {
		resp.Body.Close()
		return newTransportError(http.MethodGet, resp.Request.URL, unexpected(err))
	}
	r.body, r.answer, r.promised = resp.Body, resp, r.want.Size
	return nil
}

// checkRange holds the answer to "bytes FIRST-LAST/SIZE" (RFC 9110, 14.4). It may
// be shorter than asked for, but starts where it should.
func (r *blobReader) checkRange(resp *http.Response) error {
	stated := resp.Header.Get("Content-Range")
	lie := func() error {
		return protocolErrorf("%s: asked for %q, answered with range %q", redact(resp.Request.URL), r.rang(), printable(stated))
	}
	if r.rang() == "" {
		return lie()
	}
	unit, rest, _ := strings.Cut(stated, " ")
	span, size, ok := strings.Cut(rest, "/")
	first, last, ok2 := strings.Cut(span, "-")
	if !strings.EqualFold(unit, "bytes") || !ok || !ok2 {
		return lie()
	}
	a, errA := strconv.ParseInt(first, 10, 64)
	b, errB := strconv.ParseInt(last, 10, 64)
	if errA != nil || errB != nil || a != r.pos || b < a || b >= r.want.Size {
		return lie()
	}
	if size != "*" {
		if n, err := strconv.ParseInt(size, 10, 64); err != nil || n != r.want.Size {
			return lie()
		}
	}
	r.promised = b + 1
	return nil
}

// Read delivers the next bytes, and connects again as long as it is worth it.
func (r *blobReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	for empty := 0; ; {
		if r.pos == r.end {
			r.drop()
			return 0, io.EOF
		}
		if len(p) == 0 {
			return 0, nil
		}
		if r.body == nil {
			if r.err = r.reconnect(); r.err != nil {
				return 0, r.err
			}
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.end-r.pos)])
		r.pos += int64(n)
		if n > 0 {
			r.failures = 0
		}
		if err != nil {
			r.broken(err)
		}
		if n > 0 {
			return n, nil
		}
		if err == nil {
			if empty++; empty == 100 {
				r.err = io.ErrNoProgress
				return 0, r.err
			}
		}
	}
}

// broken ends an answer. One that came in full, if shorter than asked for, is no
// failure.
func (r *blobReader) broken(err error) {
	complete := err == io.EOF && r.pos == r.promised && r.failures == 0
	u := r.answer.Request.URL
	r.drop()
	if r.pos < r.end && !complete {
		r.failures++
		r.last = newTransportError(http.MethodGet, u, unexpected(err))
	}
}

// reconnect counts what connect cannot: attempts since the last byte.
func (r *blobReader) reconnect() error {
	for {
		if r.failures > 0 {
			if r.ctx.Err() != nil || r.failures > min(r.client.retries, allowance(r.last)) {
				return fmt.Errorf("blob %s: stopped at byte %d: %w", r.want.Digest, r.pos, r.last)
			}
			if err := r.client.sleep(r.ctx, delay(r.failures, r.last)); err != nil {
				return fmt.Errorf("blob %s: stopped at byte %d: %w while waiting after: %w", r.want.Digest, r.pos, err, r.last)
			}
		}
		err := r.connect(r.failures + 1)
		if err == nil {
			return nil
		}
		r.failures++
		r.last = err
	}
}

func (r *blobReader) drop() {
	if r.body != nil {
		r.body.Close()
		r.body, r.answer = nil, nil
	}
}

// Close ends reading; it returns nil.
func (r *blobReader) Close() error {
	r.drop()
	if r.err == nil {
		r.err = errors.New("reading a closed blob")
	}
	return nil
}

// unexpected makes an early end an error.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
