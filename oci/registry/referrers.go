package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// Bounds on what is attached to one manifest.
const (
	maxReferrers     = 10_000
	maxReferrerPages = 100
)

// Referrers lists the manifests of the repository whose subject is d, by the
// registry's API or, where there is none, by the index under the fallback tag
// (distribution specification, "Listing Referrers"). What is listed is believed
// by the registry's word alone: nobody else knows what belongs to a digest.
func (c *Client) Referrers(ctx context.Context, repository string, d digest.Digest) ([]oci.Descriptor, error) {
	if err := oci.CheckDigest(d); err != nil {
		return nil, err
	}
	var all []oci.Descriptor
	err := c.read(ctx, repository, "", d, func(e *endpoint, retries int) error {
		has, listed, err := c.listReferrers(ctx, e, d, retries)
		if err == nil && !has {
			listed, err = c.fallbackReferrers(ctx, e, d, retries)
		}
		if all = listed; err == nil && len(all) == 0 {
			err = errNoneListed
		}
		return err
	})
	if err != nil && !errors.Is(err, errNoneListed) {
		return nil, fmt.Errorf("referrers of %s in %s: %w", d, repository, err)
	}
	return all, nil
}

// errNoneListed makes the next source be asked: a mirror may have the images alone.
var errNoneListed = errors.New("none are listed")

// HasReferrers reports whether the repository has the referrers API. Without it,
// whoever writes a manifest with a subject keeps the list.
func (c *Client) HasReferrers(ctx context.Context, repository string, d digest.Digest) (bool, error) {
	e, err := c.target(repository)
	if err != nil {
		return false, err
	}
	has, _, err := c.listReferrers(ctx, e, d, c.retries)
	if err != nil {
		return false, fmt.Errorf("referrers of %s in %s: %w", d, repository, err)
	}
	return has, nil
}

// listReferrers asks the API, in a repository that has it; one that has not is
// asked once.
func (c *Client) listReferrers(ctx context.Context, e *endpoint, d digest.Digest, retries int) (has bool, all []oci.Descriptor, err error) {
	name := e.name.Name()
	c.mu.Lock()
	has = !c.noReferrers[name]
	c.mu.Unlock()
	if !has {
		return false, nil, nil
	}
	if all, err = c.referrers(ctx, e, d, retries); isNoAPI(err) {
		c.mu.Lock()
		c.noReferrers[name] = true
		c.mu.Unlock()
		return false, nil, nil
	}
	return true, all, err
}

// isNoAPI reports whether an answer says that there is no referrers API: the
// specification says 404, and what knows no such path has other ways to say it.
func isNoAPI(err error) bool {
	var status *StatusError
	if !errors.As(err, &status) {
		return errors.Is(err, errNoIndex)
	}
	switch status.Status {
	case http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
		return true
	}
	return false
}

// errNoIndex says that something else than a list was served.
var errNoIndex = errors.New("it served no index of referrers")

func (c *Client) referrers(ctx context.Context, e *endpoint, d digest.Digest, retries int) ([]oci.Descriptor, error) {
	var all []oci.Descriptor
	listed := make(map[digest.Digest]bool)
	query := ""
	for range maxReferrerPages {
		var page []oci.Descriptor
		var next string
		err := c.retry(ctx, retries, func(attempt int) error {
			ctx, cancel := context.WithTimeoutCause(ctx, manifestTimeout, errSlowManifest)
			defer cancel()
			resp, err := c.send(ctx, e, call{
				method: http.MethodGet, path: "referrers/" + string(d), query: query, attempt: attempt,
				header: http.Header{"Accept": {oci.MediaTypeIndex}}, scopes: []string{e.scope("pull")},
			})
			if err != nil {
				return err
			}
			if err := c.expect(resp, http.StatusOK); err != nil {
				return err
			}
			defer resp.Body.Close()
			content, err := io.ReadAll(io.LimitReader(resp.Body, oci.MaxManifestSize+1))
			if err != nil {
				return newTransportError(http.MethodGet, resp.Request.URL, err)
			}
			mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
			mediaType = strings.TrimSpace(mediaType)
			if page, err = parseReferrers(mediaType, content); err != nil {
				return err
			}
			next, err = nextPage(resp.Header.Get("Link"))
			return err
		})
		if query != "" && isNoAPI(err) {
			return nil, protocolErrorf("referrers of %s: the list breaks off: %v", d, err)
		}
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			if !listed[r.Digest] {
				listed[r.Digest] = true
				all = append(all, r)
			}
		}
		if len(all) > maxReferrers {
			return nil, protocolErrorf("referrers of %s: more than %d", d, maxReferrers)
		}
		if next == "" {
			return all, nil
		}
		query = next
	}
	return nil, protocolErrorf("referrers of %s: more than %d pages", d, maxReferrerPages)
}

// parseReferrers reads a page. What is served as something else than an index, and
// is none, is the answer of what knows no referrers.
func parseReferrers(mediaType string, content []byte) ([]oci.Descriptor, error) {
	if len(content) > oci.MaxManifestSize {
		return nil, protocolErrorf("a list of referrers is larger than %d bytes", int64(oci.MaxManifestSize))
	}
	if mediaType != oci.MediaTypeIndex {
		var doc struct {
			Manifests json.RawMessage `json:"manifests"`
		}
		if !isGeneric(mediaType) || json.Unmarshal(content, &doc) != nil || doc.Manifests == nil {
			return nil, errNoIndex
		}
	}
	m, err := oci.ParseManifest(oci.MediaTypeIndex, content)
	if err != nil {
		return nil, err
	}
	return m.Manifests, nil
}

// nextPage returns the query of the next page, which has the same path: whatever
// else a Link names is not followed. A list that cannot be followed is an error,
// since its beginning would be taken for the whole.
func nextPage(link string) (string, error) {
	target, rest, ok := strings.Cut(strings.TrimPrefix(link, "<"), ">")
	if !ok || !strings.Contains(strings.ReplaceAll(rest, `"`, ""), "rel=next") {
		return "", nil
	}
	u, err := url.Parse(target)
	if err != nil || u.Query().Encode() == "" {
		return "", protocolErrorf("the next page of a list has a Link without a query")
	}
	return u.Query().Encode(), nil
}

func (c *Client) fallbackReferrers(ctx context.Context, e *endpoint, d digest.Digest, retries int) ([]oci.Descriptor, error) {
	m, err := c.getManifest(ctx, e, "sha256-"+d.Encoded(), oci.MaxManifestSize, retries)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := m.descriptor("")
	if err != nil {
		return nil, err
	}
	if list.MediaType != oci.MediaTypeIndex {
		return nil, nil // the tag is somebody's own
	}
	parsed, err := oci.ParseManifest(list.MediaType, m.content)
	if err != nil {
		return nil, err
	}
	return parsed.Manifests, nil
}
