package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containers/image/v5/pkg/tlsclientconfig"
)

const (
	dockerHub     = "docker.io"
	dockerHubAddr = "registry-1.docker.io" // where docker.io is served
	maxRedirects  = 10
	maxHeader     = 1 << 20  // bytes of an answer's header
	bufferSize    = 64 << 10 // bytes per direction and connection
)

// host is one registry as configured: its transport, its scheme and what it
// wants for authentication. TLS settings differ between registries, and a
// transport has one of them only; hence one transport each.
type host struct {
	name     string // as in references: "docker.io", "localhost:5000"
	addr     string // where requests go
	insecure bool
	client   *http.Client
	auth     authorizer

	probing chan struct{} // holds one token; guards scheme
	scheme  string        // empty: not known yet
}

type hostKey struct {
	name     string
	insecure bool
}

// host returns the one host of that name and security, made at the first call.
func (c *Client) host(name string, insecure bool) (*host, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := hostKey{name: name, insecure: insecure}
	if h := c.hosts[key]; h != nil {
		return h, nil
	}
	h := &host{name: name, addr: name, insecure: insecure, probing: make(chan struct{}, 1)}
	if name == dockerHub {
		h.addr = dockerHubAddr
	}
	if !insecure {
		h.scheme = "https"
	}
	config := &tls.Config{InsecureSkipVerify: insecure, ClientSessionCache: tls.NewLRUClientSessionCache(0)}
	if dir := c.certDir(name); dir != "" {
		if err := tlsclientconfig.SetupCertificates(dir, config); err != nil {
			return nil, fmt.Errorf("certificates for %s in %q: %w", name, dir, err)
		}
	}
	t := c.newTransport(config)
	c.transports = append(c.transports, t)
	h.client = &http.Client{
		Transport:     &tap{base: t, limits: c.limits, log: c.log},
		CheckRedirect: h.checkRedirect,
	}
	h.auth = authorizer{client: c, host: h}
	c.hosts[key] = h
	return h, nil
}

func (c *Client) newTransport(config *tls.Config) *http.Transport {
	t := &http.Transport{
		Proxy:                  proxy,
		DialContext:            (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    15 * time.Second,
		MaxIdleConnsPerHost:    c.connections,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
		ReadBufferSize:         bufferSize,
		WriteBufferSize:        bufferSize,
		// A layer is what it is: no transparent decompression.
		DisableCompression: true,
		Protocols:          new(http.Protocols),
	}
	// HTTP/2 would put all transfers on one TCP connection, and one lost packet
	// would hold up all of them.
	t.Protocols.SetHTTP1(true)
	return t
}

// proxy hides the address of a proxy that is malformed: it may hold a password.
func proxy(req *http.Request) (*url.URL, error) {
	u, err := http.ProxyFromEnvironment(req)
	if err != nil {
		return nil, errors.New("malformed proxy address in the environment")
	}
	return u, nil
}

// certDir follows containers-certs.d(5): the first directory that exists.
func (c *Client) certDir(name string) string {
	if c.options.CertDir != "" {
		return c.options.CertDir
	}
	dirs := []string{"/etc/containers/certs.d", "/etc/docker/certs.d"}
	if home, err := os.UserHomeDir(); err == nil {
		dirs = append([]string{filepath.Join(home, ".config", "containers", "certs.d")}, dirs...)
	}
	for _, dir := range dirs {
		dir = filepath.Join(filepath.FromSlash(dir), name)
		if _, err := os.Stat(dir); err == nil {
			return dir
		}
	}
	return ""
}

// base returns the scheme that the registry speaks. Only an insecure registry is
// asked, once, before anything else: HTTPS first, then plain HTTP.
func (h *host) base(ctx context.Context) (string, error) {
	select {
	case h.probing <- struct{}{}:
		defer func() { <-h.probing }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if h.scheme != "" {
		return h.scheme, nil
	}
	_, err := h.probe(ctx, "https")
	if err == nil {
		h.scheme = "https"
		return h.scheme, nil
	}
	if ctx.Err() != nil {
		return "", err
	}
	// A port for TLS answers plain HTTP with 400, and a port that only leads to
	// TLS with a redirect: neither of them speaks plain HTTP.
	status, plainErr := h.probe(ctx, "http")
	if plainErr != nil || status == http.StatusBadRequest || status/100 == 3 || status >= 500 {
		return "", err
	}
	h.scheme = "http"
	return h.scheme, nil
}

// probe asks for the base of the API and returns the status of the answer.
func (h *host) probe(ctx context.Context, scheme string) (int, error) {
	u := &url.URL{Scheme: scheme, Host: h.addr, Path: "/v2/"}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return 0, newTransportError(http.MethodGet, u, err)
	}
	req.Header.Set("User-Agent", h.auth.client.userAgent)
	client := *h.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		return 0, newTransportError(http.MethodGet, u, err)
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

// checkRedirect drops the credentials as soon as a chain leaves the registry's
// own origin, where net/http goes by the host name alone, and refuses the way
// from HTTPS down to plain HTTP.
func (h *host) checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return protocolErrorf("more than %d redirects", maxRedirects)
	}
	last := via[len(via)-1]
	if last.URL.Scheme == "https" && req.URL.Scheme != "https" && !h.insecure {
		return protocolErrorf("redirect from https to %s", redact(req.URL))
	}
	// net/http names the previous URL in full, its query included.
	req.Header.Del("Referer")
	for _, r := range append(via[1:len(via):len(via)], req) {
		if sameOrigin(via[0].URL, r.URL) {
			continue
		}
		req.Header.Del("Authorization")
		if req.Body != nil && req.Body != http.NoBody {
			return protocolErrorf("redirect of a request with a body to another host, %s", redact(req.URL))
		}
		break
	}
	return nil
}

// sameOrigin compares scheme, host and port.
func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if u.Scheme == "http" {
		return "80"
	}
	return "443"
}

// checkWebAddress refuses what is no plain web address.
func checkWebAddress(u *url.URL) error {
	if u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return errors.New("not an http or https address")
	}
	if u.User != nil {
		return errors.New("address holds a user name")
	}
	return nil
}
