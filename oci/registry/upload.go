package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/containers/image/v5/docker/reference"

	"satchel/oci"
)

// cancelTimeout bounds the best effort to clean up after a failed upload.
const cancelTimeout = 5 * time.Second

// HasBlob asks whether the repository has the blob. A registry that states
// another size has not.
func (c *Client) HasBlob(ctx context.Context, repository string, d oci.Descriptor) (bool, error) {
	if err := oci.CheckDescriptor(d); err != nil {
		return false, err
	}
	e, err := c.target(repository)
	if err != nil {
		return false, err
	}
	has := false
	err = c.retry(ctx, c.retries, func(attempt int) error {
		resp, err := c.send(ctx, e, call{
			method: http.MethodHead, path: "blobs/" + string(d.Digest), attempt: attempt,
			scopes: []string{e.scope("pull,push")},
		})
		if err != nil {
			return err
		}
		err = c.expect(resp, http.StatusOK)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		resp.Body.Close()
		// Some registries state 0 for all.
		has = resp.ContentLength <= 0 || resp.ContentLength == d.Size
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("looking for blob %s in %s: %w", d.Digest, repository, err)
	}
	return has, nil
}

// PushBlob writes a blob of a known size in one piece. open is called for each
// attempt; every reader is closed before PushBlob returns or open is called
// again. An error of open, or of its reader, [*oci.MismatchError] among them, ends
// the push at once and is found by errors.As. The last bytes are held back until
// the reader has said io.EOF, so that what a gate refuses is never complete at
// the registry.
func (c *Client) PushBlob(ctx context.Context, repository string, d oci.Descriptor, open func(ctx context.Context) (io.ReadCloser, error)) error {
	if err := oci.CheckDescriptor(d); err != nil {
		return err
	}
	e, err := c.target(repository)
	if err != nil {
		return err
	}
	refused := false
	err = c.retry(ctx, c.retries, func(attempt int) error {
		err := c.push(ctx, e, d, open, attempt)
		// A token may have ended between the request that opened the session and
		// this one, or be good for other paths only: the next one is fresh.
		var status *StatusError
		if errors.As(err, &status) && status.Status == http.StatusUnauthorized && status.Method == http.MethodPut && !refused {
			refused = true
			err = c.push(ctx, e, d, open, attempt)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("pushing blob %s to %s: %w", d.Digest, repository, err)
	}
	return nil
}

func (c *Client) push(ctx context.Context, e *endpoint, d oci.Descriptor, open func(ctx context.Context) (io.ReadCloser, error), attempt int) error {
	// POST has no body, so it is the one that meets the challenge.
	resp, err := c.send(ctx, e, call{
		method: http.MethodPost, path: "blobs/uploads/", attempt: attempt,
		scopes: []string{e.scope("pull,push")},
	})
	if err != nil {
		return err
	}
	if err := c.expect(resp, http.StatusAccepted); err != nil {
		return err
	}
	session, err := e.session(ctx, resp)
	drain(resp)
	if err != nil {
		return err
	}
	err = c.put(ctx, e, d, open, session, attempt)
	if err != nil {
		c.abandon(ctx, e, session)
	}
	return err
}

// put sends the content. The reader's context ends with the request.
func (c *Client) put(ctx context.Context, e *endpoint, d oci.Descriptor, open func(ctx context.Context) (io.ReadCloser, error), session *url.URL, attempt int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	src, err := open(ctx)
	if err != nil {
		return &sourceError{err: err}
	}
	body := &pushBody{src: src, want: d}
	// Close waits for a read that is under way, which the end of the context
	// brings to its end: deferred calls run in reverse.
	defer body.Close()
	defer cancel()
	u := *session
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "digest=" + url.QueryEscape(string(d.Digest))
	k := call{
		method: http.MethodPut, url: &u, attempt: attempt, stream: body, size: d.Size,
		header: http.Header{"Content-Type": {"application/octet-stream"}},
		scopes: []string{e.scope("pull,push")},
	}
	if d.Size == 0 {
		if err := body.readEmpty(); err != nil {
			return err
		}
		k.stream, k.body = nil, []byte{}
	}
	resp, err := c.send(ctx, e, k)
	if failure := body.failure.Load(); failure != nil {
		if err == nil {
			resp.Body.Close()
		}
		return failure
	}
	if err != nil {
		return err
	}
	if err := c.expect(resp, http.StatusCreated, http.StatusOK, http.StatusNoContent); err != nil {
		return err
	}
	drain(resp)
	if !body.verified.Load() {
		return protocolErrorf("blob %s: registry accepted it before it had all of it", d.Digest)
	}
	return checkServed(resp, d.Digest)
}

// session returns where an upload goes on: the Location of the answer, relative
// or absolute, with its query.
func (e *endpoint) session(ctx context.Context, resp *http.Response) (*url.URL, error) {
	location := resp.Header.Get("Location")
	if location == "" {
		return nil, protocolErrorf("%s: answer %d has no Location", redact(resp.Request.URL), resp.StatusCode)
	}
	u, err := resp.Request.URL.Parse(location)
	if err != nil {
		return nil, protocolErrorf("%s: answer %d has a malformed Location", redact(resp.Request.URL), resp.StatusCode)
	}
	if err := checkWebAddress(u); err != nil {
		return nil, protocolErrorf("%s: Location %s: %v", redact(resp.Request.URL), redact(u), err)
	}
	scheme, err := e.host.base(ctx)
	if err != nil {
		return nil, err
	}
	if scheme == "https" && u.Scheme == "http" {
		// Registries behind a proxy that ends TLS often do not know of it.
		switch {
		case strings.EqualFold(u.Host, resp.Request.URL.Host):
			u.Scheme = "https"
		case !e.host.insecure:
			return nil, protocolErrorf("%s: Location leads from https to %s", redact(resp.Request.URL), redact(u))
		}
	}
	u.Fragment = ""
	return u, nil
}

// abandon tells the registry that nothing more comes. It may not care.
func (c *Client) abandon(ctx context.Context, e *endpoint, session *url.URL) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTimeout)
	defer cancel()
	resp, err := c.send(ctx, e, call{
		method: http.MethodDelete, url: session, attempt: 1, scopes: []string{e.scope("pull,push")},
	})
	if err == nil {
		drain(resp)
	}
}

// Mount asks the registry to take the blob over from another of its
// repositories, named in full. false means that it did not, for whatever reason
// of its own: it has no such blob there, it does not let the client read there,
// or it does not do this at all. Then the blob is to be pushed, and a push tells
// what is wrong if the client may not write either.
func (c *Client) Mount(ctx context.Context, repository, from string, d oci.Descriptor) (bool, error) {
	if err := oci.CheckDescriptor(d); err != nil {
		return false, err
	}
	source, err := parseRepository(from)
	if err != nil {
		return false, err
	}
	e, err := c.target(repository)
	if err != nil {
		return false, err
	}
	if reference.Domain(source) != reference.Domain(e.name) {
		return false, fmt.Errorf("mounting from %s into %s: not the same registry", from, repository)
	}
	query := url.Values{"mount": {string(d.Digest)}, "from": {reference.Path(source)}}
	scopes := []string{e.scope("pull,push")}
	if source.Name() != e.name.Name() {
		scopes = append(scopes, (&endpoint{name: source}).scope("pull"))
	}
	mounted := false
	err = c.retry(ctx, c.retries, func(attempt int) error {
		resp, err := c.send(ctx, e, call{
			method: http.MethodPost, path: "blobs/uploads/", query: query.Encode(), attempt: attempt, scopes: scopes,
		})
		if err == nil {
			err = c.expect(resp, http.StatusCreated, http.StatusAccepted)
		}
		if err != nil {
			if isNoMount(err) {
				return nil
			}
			return err
		}
		defer drain(resp)
		if resp.StatusCode == http.StatusCreated {
			mounted = true
			return checkServed(resp, d.Digest)
		}
		if session, err := e.session(ctx, resp); err == nil {
			c.abandon(ctx, e, session)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("mounting blob %s from %s into %s: %w", d.Digest, from, repository, err)
	}
	return mounted, nil
}

// isNoMount tells refusals of mounting from failures. Some token servers refuse
// tokens for two repositories.
func isNoMount(err error) bool {
	var status *StatusError
	if !errors.As(err, &status) {
		return false
	}
	switch status.Status {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return true
	}
	return false
}
