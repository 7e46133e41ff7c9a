package registry

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

const (
	defaultConnections = 32
	defaultUserAgent   = "satchel"
)

// Options say where configuration comes from and how hard to try. The zero value
// is what containers tools do.
type Options struct {
	// AuthFile holds credentials (--authfile). Empty: $REGISTRY_AUTH_FILE, then
	// the places that containers-auth.json(5) names.
	AuthFile string
	// CertDir holds *.crt, *.cert and *.key for all registries (--cert-dir).
	// Empty: the directory of each registry that containers-certs.d(5) names.
	CertDir string
	// Insecure (--tls-verify=false) skips the check of certificates, and speaks
	// plain HTTP with registries that speak no TLS.
	Insecure bool
	// Direct ignores the mirrors and locations that registries.conf has, as a
	// target needs it; what it says of insecure and blocked still holds.
	Direct bool
	// Connections is how many idle connections are kept per registry; 0: 32. It
	// does not bound those in use: callers do.
	Connections int
	// Retries is how many attempts follow the first where the failure may pass;
	// 0: 5, negative: none.
	Retries int
	// UserAgent; empty: "satchel".
	UserAgent string
	// RegistriesConf replaces the registries.conf of the system and of the user;
	// its drop-in directory is the path with ".d" appended, if there is one.
	RegistriesConf string
	// Log is told of every HTTP request when it is over, concurrently; nil:
	// nobody is told.
	Log func(Request)
}

// Request is one HTTP request that is over: its answer was read or given up.
// Redirects, tokens and probes are requests of their own.
type Request struct {
	Method   string
	URL      string // scheme, host and path: no query, no user
	Status   int    // 0: no answer
	Attempt  int    // from 1
	Duration time.Duration
	Bytes    int64 // of both bodies
	Err      error // nil: the answer came, whatever its status
}

// Client talks to registries. It is safe for concurrent use.
type Client struct {
	options     Options
	system      *types.SystemContext
	userAgent   string
	connections int
	retries     int
	limits      limits
	log         func(Request)
	sleep       func(context.Context, time.Duration) error
	now         func() time.Time

	mu         sync.Mutex
	hosts      map[hostKey]*host
	transports []*http.Transport
	outside    *http.Client // for foreign layers; made at the first
	creds      map[string]types.DockerAuthConfig
	worked     map[string]*endpoint // by repository: the source that answered
	// noReferrers are the repositories that have no referrers API.
	noReferrers map[string]bool
}

// New reads registries.conf, and fails for files that options name and that are
// not there. Credentials and certificates are read when a registry is first
// used. The caller closes the client.
func New(o Options) (*Client, error) {
	c := &Client{
		options: o, userAgent: o.UserAgent, connections: o.Connections, retries: o.Retries,
		limits: defaultLimits(), log: o.Log, sleep: sleep, now: time.Now,
		hosts:  make(map[hostKey]*host),
		creds:  make(map[string]types.DockerAuthConfig),
		worked: make(map[string]*endpoint), noReferrers: make(map[string]bool),
	}
	if c.userAgent == "" {
		c.userAgent = defaultUserAgent
	}
	if c.connections <= 0 {
		c.connections = defaultConnections
	}
	if c.retries == 0 {
		c.retries = defaultRetries
	}
	authFile := o.AuthFile
	if authFile == "" {
		authFile = os.Getenv("REGISTRY_AUTH_FILE")
	}
	if authFile != "" {
		if _, err := os.Stat(authFile); err != nil {
			return nil, fmt.Errorf("credentials file: %w", err)
		}
	}
	if o.CertDir != "" {
		if _, err := os.ReadDir(o.CertDir); err != nil {
			return nil, fmt.Errorf("certificate directory: %w", err)
		}
	}
	c.system = &types.SystemContext{AuthFilePath: authFile, SystemRegistriesConfPath: o.RegistriesConf}
	if o.RegistriesConf != "" {
		c.system.SystemRegistriesConfDirPath = o.RegistriesConf + ".d"
		if _, err := os.Stat(o.RegistriesConf); err != nil {
			return nil, fmt.Errorf("registries configuration: %w", err)
		}
	}
	if _, err := sysregistriesv2.FindRegistry(c.system, dockerHub); err != nil {
		return nil, fmt.Errorf("registries configuration: %w", err)
	}
	return c, nil
}

// Close drops idle connections. Bodies that are still open stay usable.
func (c *Client) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
	return nil
}

// endpoint is a repository at one registry: the one that was asked for, or the
// place where registries.conf has it.
type endpoint struct {
	host *host
	name reference.Named
}

func (e *endpoint) scope(actions string) string {
	return "repository:" + reference.Path(e.name) + ":" + actions
}

// call is one request to a registry.
type call struct {
	method string
	path   string   // below the repository: "blobs/sha256:…"
	query  string   // raw
	url    *url.URL // instead of path and query
	header http.Header
	body   []byte
	// stream is sent instead of body, and once only.
	stream io.ReadCloser
	size   int64
	// scopes are those of the token that is fetched beforehand; none: as the
	// registry's challenge says.
	scopes  []string
	attempt int
}

// send makes the request, with a second one after a challenge unless the body
// was a stream, and returns the answer whatever its status. The caller closes
// its body.
func (c *Client) send(ctx context.Context, e *endpoint, k call) (*http.Response, error) {
	scheme, err := e.host.base(ctx)
	if err != nil {
		return nil, err
	}
	u := k.url
	base := &url.URL{Scheme: scheme, Host: e.host.addr, Path: "/v2/" + reference.Path(e.name) + "/" + k.path, RawQuery: k.query}
	if u == nil {
		u = base
	}
	ctx = context.WithValue(ctx, attemptKey{}, k.attempt)
	var authorization string
	home := sameOrigin(base, u)
	if home {
		if authorization, err = e.host.auth.header(ctx, e.name, k.scopes); err != nil {
			return nil, err
		}
	}
	resp, err := c.sendOnce(ctx, e, k, u, authorization)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || !home || !sameOrigin(u, resp.Request.URL) {
		return resp, err
	}
	scopes := k.scopes
	if k.method == http.MethodDelete {
		// What deleting needs is not to be learned for the requests that follow.
		scopes = nil
	}
	again, err := e.host.auth.answer(ctx, resp, e.name, scopes, authorization)
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	if again == "" || k.stream != nil {
		return resp, nil
	}
	drain(resp)
	return c.sendOnce(ctx, e, k, u, again)
}

func (c *Client) sendOnce(ctx context.Context, e *endpoint, k call, u *url.URL, authorization string) (*http.Response, error) {
	var body io.Reader
	switch {
	case k.stream != nil:
		body = k.stream
	case k.body != nil:
		body = bytes.NewReader(k.body)
	}
	req, err := http.NewRequestWithContext(ctx, k.method, u.String(), body)
	if err != nil {
		return nil, newTransportError(k.method, u, err)
	}
	if k.stream != nil {
		req.ContentLength = k.size
	}
	for name, values := range k.header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", c.userAgent)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := e.host.client.Do(req)
	if err != nil {
		return nil, newTransportError(k.method, u, err)
	}
	return resp, nil
}

// drain reads a short rest, so that the connection can be used again.
func drain(resp *http.Response) {
	io.CopyN(io.Discard, resp.Body, maxErrorBody)
	resp.Body.Close()
}

// expect closes the body and returns a [*StatusError] unless the status is one
// of those wanted.
func (c *Client) expect(resp *http.Response, wanted ...int) error {
	for _, status := range wanted {
		if resp.StatusCode == status {
			return nil
		}
	}
	return newStatusError(resp, c.now())
}

// checkServed compares the digest that an answer states, if it is a SHA-256, with
// the one of the content.
func checkServed(resp *http.Response, want digest.Digest) error {
	stated := digest.Digest(resp.Header.Get("Docker-Content-Digest"))
	if oci.CheckDigest(stated) == nil && stated != want {
		return protocolErrorf("%s: registry states digest %s", want, stated)
	}
	return nil
}
