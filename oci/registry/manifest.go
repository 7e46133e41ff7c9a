package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// served is a manifest as a registry answered with it.
type served struct {
	content   []byte
	mediaType string // without parameters, in lower case; may be empty
	resp      *http.Response
}

// Resolve fetches the manifest that the reference names, by its digest if it has
// one, with one GET. The descriptor holds the media type it was served with, its
// size and the digest of its bytes, which agrees with the reference and with
// what the registry states. Docker schema 1 is returned as it is, unchecked,
// since its digest does not cover its bytes: [oci.ParseManifest] refuses it. The
// caller owns the bytes.
func (c *Client) Resolve(ctx context.Context, ref oci.Reference) (oci.Descriptor, []byte, error) {
	name := string(ref.Digest)
	if ref.Digest != "" {
		if err := oci.CheckDigest(ref.Digest); err != nil {
			return oci.Descriptor{}, nil, err
		}
	} else {
		name = ref.Tag
		if err := checkTag(name); err != nil {
			return oci.Descriptor{}, nil, err
		}
	}
	var d oci.Descriptor
	var content []byte
	err := c.read(ctx, ref.Repository, ref.Tag, ref.Digest, func(e *endpoint, retries int) error {
		m, err := c.getManifest(ctx, e, name, oci.MaxManifestSize, retries)
		if err != nil {
			return err
		}
		d, err = m.descriptor(ref.Digest)
		content = m.content
		return err
	})
	if err != nil {
		return oci.Descriptor{}, nil, fmt.Errorf("resolving %s: %w", ref, err)
	}
	return d, content, nil
}

// Manifest fetches a manifest by digest. Its bytes agree with the descriptor
// (else the error is a [*oci.MismatchError]), and so does the media type it was
// served with, unless that was a generic one. The caller owns the bytes.
func (c *Client) Manifest(ctx context.Context, repository string, d oci.Descriptor) ([]byte, error) {
	if err := oci.CheckDescriptor(d); err != nil {
		return nil, err
	}
	if d.Size > oci.MaxManifestSize {
		return nil, fmt.Errorf("manifest %s: %d bytes are more than %d", d.Digest, d.Size, int64(oci.MaxManifestSize))
	}
	var content []byte
	err := c.read(ctx, repository, "", d.Digest, func(e *endpoint, retries int) error {
		m, err := c.getManifest(ctx, e, string(d.Digest), d.Size, retries)
		if err != nil {
			return err
		}
		if err := oci.Verify(m.content, d); err != nil {
			return err
		}
		got := m.mediaType
		if isGeneric(got) {
			got = statedMediaType(m.content)
		}
		if got != "" && got != d.MediaType {
			return protocolErrorf("manifest %s: served as %q, want %q", d.Digest, got, d.MediaType)
		}
		content = m.content
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("manifest %s of %s: %w", d.Digest, repository, err)
	}
	return content, nil
}

// manifestTimeout bounds what a registry may take to send one manifest: a few
// bytes now and then are no progress.
const manifestTimeout = 5 * time.Minute

var errSlowManifest = fmt.Errorf("manifest did not arrive within %s", manifestTimeout)

// getManifest reads at most limit+1 bytes, for the caller to see that there are
// too many.
func (c *Client) getManifest(ctx context.Context, e *endpoint, name string, limit int64, retries int) (*served, error) {
	var m *served
	err := c.retry(ctx, retries, func(attempt int) error {
		ctx, cancel := context.WithTimeoutCause(ctx, manifestTimeout, errSlowManifest)
		defer cancel()
		resp, err := c.send(ctx, e, call{
			method: http.MethodGet, path: "manifests/" + name, attempt: attempt,
			header: http.Header{"Accept": {strings.Join(oci.ManifestMediaTypes(), ", ")}},
			scopes: []string{e.scope("pull")},
		})
		if err != nil {
			return err
		}
		if err := c.expect(resp, http.StatusOK); err != nil {
			return err
		}
		defer resp.Body.Close()
		content, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
		if err != nil {
			return newTransportError(http.MethodGet, resp.Request.URL, err)
		}
		// Parameters are dropped even where they are malformed.
		mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
		if parsed, _, err := mime.ParseMediaType(mediaType); err == nil {
			mediaType = parsed
		}
		m = &served{content: content, mediaType: strings.TrimSpace(mediaType), resp: resp}
		return nil
	})
	return m, err
}

// descriptor checks what was served for a reference; want is empty for a tag.
func (m *served) descriptor(want digest.Digest) (oci.Descriptor, error) {
	d := oci.Descriptor{MediaType: m.mediaType, Digest: digest.FromBytes(m.content), Size: int64(len(m.content))}
	if d.Size > oci.MaxManifestSize {
		return d, protocolErrorf("manifest is larger than %d bytes", int64(oci.MaxManifestSize))
	}
	if isGeneric(d.MediaType) {
		d.MediaType = statedMediaType(m.content)
	}
	if oci.IsSchema1(d.MediaType) {
		return d, nil
	}
	if !oci.IsManifest(d.MediaType) {
		return d, protocolErrorf("served as %q, which is no manifest that is known", printable(m.mediaType))
	}
	if want != "" && d.Digest != want {
		return d, &oci.MismatchError{
			Want:      oci.Descriptor{MediaType: d.MediaType, Digest: want, Size: d.Size},
			GotDigest: d.Digest, GotSize: d.Size,
		}
	}
	return d, checkServed(m.resp, d.Digest)
}

// isGeneric reports whether a media type says nothing of what is inside.
func isGeneric(mediaType string) bool {
	switch mediaType {
	case "", "application/json", "application/octet-stream", "text/plain", "binary/octet-stream":
		return true
	}
	return false
}

// statedMediaType returns the one that a manifest states of itself, if it is one
// that is known, and that of schema 1 for what can be nothing else.
func statedMediaType(content []byte) string {
	var doc struct {
		SchemaVersion int    `json:"schemaVersion"`
		MediaType     string `json:"mediaType"`
	}
	if json.Unmarshal(content, &doc) != nil {
		return ""
	}
	known := oci.ManifestMediaTypes()
	if slices.Contains(known, doc.MediaType) {
		return doc.MediaType
	}
	if doc.SchemaVersion == 1 {
		return known[slices.IndexFunc(known, oci.IsSchema1)]
	}
	return ""
}

// PushManifest writes a manifest under the tag, or by digest alone when the tag
// is empty, with the media type of the descriptor. The content is checked against
// the descriptor first. What it names must be there already.
func (c *Client) PushManifest(ctx context.Context, repository, tag string, d oci.Descriptor, content []byte) error {
	if err := oci.Verify(content, d); err != nil {
		return err
	}
	name := string(d.Digest)
	if tag != "" {
		if err := checkTag(tag); err != nil {
			return err
		}
		name = tag
	}
	e, err := c.target(repository)
	if err != nil {
		return err
	}
	err = c.retry(ctx, c.retries, func(attempt int) error {
		resp, err := c.send(ctx, e, call{
			method: http.MethodPut, path: "manifests/" + name, attempt: attempt,
			header: http.Header{"Content-Type": {d.MediaType}},
			body:   content, scopes: []string{e.scope("pull,push")},
		})
		if err != nil {
			return err
		}
		if err := c.expect(resp, http.StatusCreated, http.StatusOK, http.StatusAccepted); err != nil {
			return err
		}
		drain(resp)
		return checkServed(resp, d.Digest)
	})
	if err != nil {
		return fmt.Errorf("pushing manifest %s to %s: %w", name, repository, err)
	}
	return nil
}

// DeleteManifest removes a manifest, and with it the tags that lead to it. Many
// registries do not allow it.
func (c *Client) DeleteManifest(ctx context.Context, repository string, dgst digest.Digest) error {
	if err := oci.CheckDigest(dgst); err != nil {
		return err
	}
	e, err := c.target(repository)
	if err != nil {
		return err
	}
	err = c.retry(ctx, c.retries, func(attempt int) error {
		// No scopes: some token servers know no "delete" and refuse the word.
		resp, err := c.send(ctx, e, call{method: http.MethodDelete, path: "manifests/" + string(dgst), attempt: attempt})
		if err != nil {
			return err
		}
		if err := c.expect(resp, http.StatusAccepted, http.StatusOK, http.StatusNoContent); err != nil {
			return err
		}
		drain(resp)
		return nil
	})
	if err != nil {
		return fmt.Errorf("deleting manifest %s of %s: %w", dgst, repository, err)
	}
	return nil
}
