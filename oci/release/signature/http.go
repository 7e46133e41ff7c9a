package signature

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

type httpStore struct {
	url    string
	client *http.Client
}

// NewHTTPStore returns a store of the files below an http or https URL,
// <url>/sha256=<hex>/signature-<n>, as Red Hat publishes them; a query of the URL is
// kept. Only status 404 says that there is no signature; any other but 200 is an
// error. No error text holds user, password or query of the URL. A URL that cannot be
// used is an error of the first call. The client decides on proxies, certificates,
// redirects and time limits. The store may be used concurrently.
func NewHTTPStore(url string, client *http.Client) Store {
	return &httpStore{url: url, client: client}
}

func (s *httpStore) Signature(ctx context.Context, d digest.Digest, n int) ([]byte, error) {
	if err := oci.CheckDigest(d); err != nil {
		return nil, err
	}
	base, err := url.Parse(s.url)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		// The text of a parse error has the whole URL in it.
		return nil, errors.New("signature store: not an http or https URL")
	}
	full := base.JoinPath("sha256="+d.Encoded(), "signature-"+strconv.Itoa(n))
	shown := (&url.URL{Scheme: full.Scheme, Host: full.Host, Path: full.Path}).String()
	raw, err := s.get(ctx, full.String())
	if err != nil {
		return nil, fmt.Errorf("signature %s: %w", shown, err)
	}
	return raw, nil
}

func (s *httpStore) get(ctx context.Context, address string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("not a valid URL")
	}
	response, err := s.client.Do(request)
	if err != nil {
		var wrapped *url.Error // names the URL, with its user
		if errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return nil, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		return readBounded(response.Body)
	case http.StatusNotFound:
		return nil, fs.ErrNotExist
	}
	return nil, fmt.Errorf("status %d %s", response.StatusCode, http.StatusText(response.StatusCode))
}
