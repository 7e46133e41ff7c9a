package registry

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/docker/config"
	"github.com/containers/image/v5/types"
)

const (
	clientID      = "satchel"
	maxTokenBody  = 128 << 10 // bytes
	minTokenLife  = time.Minute
	maxTokenLife  = 24 * time.Hour
	maxTokenSlack = 30 * time.Second
)

// authorizer does the dance of one host: it remembers what the host asked for,
// so that later requests, bodies that cannot be sent twice among them, go out
// with a token that is good for them.
type authorizer struct {
	client *Client
	host   *host

	mu      sync.Mutex
	asked   challenge           // the last one; zero: none yet
	learned map[string][]string // by name and scopes: the scopes that were really needed
	tokens  map[string]token
	flights map[string]chan struct{} // closed when the fetch of that token is over
}

type token struct {
	value   string
	expires time.Time
}

// header returns the Authorization for a request before it is sent; empty when
// the host has not asked for any, or when the scopes are not known.
func (a *authorizer) header(ctx context.Context, name reference.Named, scopes []string) (string, error) {
	a.mu.Lock()
	asked := a.asked
	if more := a.learned[tokenKey(name, scopes)]; more != nil {
		scopes = more
	}
	a.mu.Unlock()
	switch {
	case asked.scheme == "basic":
		return a.basic(name)
	case asked.scheme == "bearer" && len(scopes) > 0:
		return a.bearer(ctx, asked, name, scopes, "")
	}
	return "", nil
}

// answer reacts to a 401. It returns the Authorization to try again with, or an
// empty one when there is nothing better than what was used.
func (a *authorizer) answer(ctx context.Context, resp *http.Response, name reference.Named, scopes []string, used string) (string, error) {
	asked := parseChallenge(resp.Header.Values("Www-Authenticate"))
	if asked.scheme == "" {
		return "", nil
	}
	needed := mergeScopes(scopes, strings.Fields(asked.params["scope"]))
	a.mu.Lock()
	a.asked = asked
	if len(scopes) > 0 && !slices.Equal(needed, scopes) {
		if a.learned == nil {
			a.learned = make(map[string][]string)
		}
		a.learned[tokenKey(name, scopes)] = needed
	}
	a.mu.Unlock()
	var got string
	var err error
	if asked.scheme == "basic" {
		got, err = a.basic(name)
	} else {
		got, err = a.bearer(ctx, asked, name, needed, used)
	}
	if got == used {
		got = ""
	}
	return got, err
}

func (a *authorizer) basic(name reference.Named) (string, error) {
	cred, err := a.client.credentials(name)
	if err != nil || cred.Username == "" && cred.Password == "" {
		return "", err
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(cred.Username+":"+cred.Password)), nil
}

// bearer returns a token from memory unless it is stale, the one that was just
// refused; else it fetches one. Concurrent calls for one token fetch it once.
func (a *authorizer) bearer(ctx context.Context, asked challenge, name reference.Named, scopes []string, stale string) (string, error) {
	key := tokenKey(name, scopes) + "\n" + asked.params["realm"] + "\n" + asked.params["service"]
	for {
		a.mu.Lock()
		if t, ok := a.tokens[key]; ok && t.value != stale && a.client.now().Before(t.expires) {
			a.mu.Unlock()
			return t.value, nil
		}
		flight, flying := a.flights[key]
		if !flying {
			if a.flights == nil {
				a.flights = make(map[string]chan struct{})
				a.tokens = make(map[string]token)
			}
			flight = make(chan struct{})
			a.flights[key] = flight
		}
		a.mu.Unlock()
		if flying {
			select {
			case <-flight:
				continue
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
		t, err := a.fetch(ctx, asked, name, scopes)
		a.mu.Lock()
		if err == nil {
			a.tokens[key] = t
		}
		delete(a.flights, key)
		a.mu.Unlock()
		close(flight)
		if err != nil {
			return "", &tokenError{err: err}
		}
		return t.value, nil
	}
}

// fetch asks the token server as the distribution project documents it ("Token
// Authentication"), or its OAuth 2 form where there is an identity token.
func (a *authorizer) fetch(ctx context.Context, asked challenge, name reference.Named, scopes []string) (token, error) {
	realm, err := a.realm(ctx, asked.params["realm"])
	if err != nil {
		return token{}, err
	}
	cred, err := a.client.credentials(name)
	if err != nil {
		return token{}, err
	}
	req, err := tokenRequest(ctx, realm, asked.params["service"], scopes, cred)
	if err != nil {
		return token{}, newTransportError(http.MethodGet, realm, err)
	}
	req.Header.Set("User-Agent", a.client.userAgent)
	resp, err := a.host.client.Do(req)
	if err != nil {
		return token{}, newTransportError(req.Method, realm, err)
	}
	if resp.StatusCode != http.StatusOK {
		return token{}, newStatusError(resp, a.client.now())
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTokenBody))
	if err != nil {
		return token{}, newTransportError(req.Method, realm, err)
	}
	return a.parseToken(body, realm)
}

func tokenRequest(ctx context.Context, realm *url.URL, service string, scopes []string, cred types.DockerAuthConfig) (*http.Request, error) {
	if cred.IdentityToken != "" {
		form := url.Values{
			"grant_type":    {"refresh_token"},
			"refresh_token": {cred.IdentityToken},
			"client_id":     {clientID},
			"service":       {service},
			"scope":         {strings.Join(scopes, " ")},
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, realm.String(), strings.NewReader(form.Encode()))
		if err == nil {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		return req, err
	}
	u := *realm
	query := u.Query()
	if service != "" {
		query.Set("service", service)
	}
	for _, scope := range scopes {
		query.Add("scope", scope)
	}
	if cred.Username != "" {
		query.Set("account", cred.Username)
	}
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err == nil && (cred.Username != "" || cred.Password != "") {
		req.SetBasicAuth(cred.Username, cred.Password)
	}
	return req, err
}

// realm accepts any host: token servers beside the registry, with private
// addresses, are the rule at a site. It must not be worse protected, though.
func (a *authorizer) realm(ctx context.Context, s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, protocolErrorf("challenge of %s has a malformed realm", a.host.name)
	}
	if err := checkWebAddress(u); err != nil {
		return nil, protocolErrorf("challenge of %s: realm %q: %v", a.host.name, redact(u), err)
	}
	scheme, err := a.host.base(ctx)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "http" && scheme == "https" && !a.host.insecure {
		return nil, protocolErrorf("challenge of %s: realm %q would get credentials in clear", a.host.name, redact(u))
	}
	return u, nil
}

func (a *authorizer) parseToken(body []byte, realm *url.URL) (token, error) {
	var doc struct {
		Token       string  `json:"token"`
		AccessToken string  `json:"access_token"`
		ExpiresIn   float64 `json:"expires_in"` // seconds
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return token{}, protocolErrorf("answer of %s is no token", redact(realm))
	}
	value := doc.Token
	if value == "" {
		value = doc.AccessToken
	}
	if value == "" {
		return token{}, protocolErrorf("answer of %s has an empty token", redact(realm))
	}
	// Counted from now, not from issued_at: clocks behind air gaps differ.
	life := min(maxTokenLife.Seconds(), max(minTokenLife.Seconds(), doc.ExpiresIn))
	d := time.Duration(life * float64(time.Second))
	return token{value: "Bearer " + value, expires: a.client.now().Add(d - min(maxTokenSlack, d/4))}, nil
}

// credentials looks in the places that containers-auth.json(5) names, once per
// repository, since helpers are programs that are run.
func (c *Client) credentials(name reference.Named) (types.DockerAuthConfig, error) {
	c.mu.Lock()
	cred, ok := c.creds[name.Name()]
	c.mu.Unlock()
	if ok {
		return cred, nil
	}
	cred, err := config.GetCredentialsForRef(c.system, name)
	if err != nil {
		return types.DockerAuthConfig{}, fmt.Errorf("credentials for %s: %w", name.Name(), err)
	}
	c.mu.Lock()
	c.creds[name.Name()] = cred
	c.mu.Unlock()
	return cred, nil
}

func tokenKey(name reference.Named, scopes []string) string {
	return name.Name() + "\n" + strings.Join(scopes, "\n")
}

// errNoScope marks scopes that are not of the form TYPE:NAME:ACTIONS.
var errNoScope = errors.New("no scope")

// splitScope cuts TYPE:NAME from ACTIONS; names may hold a port.
func splitScope(s string) (resource string, actions []string, err error) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", nil, errNoScope
	}
	return s[:i], strings.Split(s[i+1:], ","), nil
}

// mergeScopes adds what is asked for to what is wanted, without repetition, the
// wanted ones first and as they are when they suffice.
func mergeScopes(wanted, asked []string) []string {
	merged := slices.Clone(wanted)
	for _, s := range asked {
		resource, actions, err := splitScope(s)
		i := slices.IndexFunc(merged, func(m string) bool {
			r, _, e := splitScope(m)
			return e == nil && err == nil && r == resource
		})
		if i < 0 {
			if !slices.Contains(merged, s) {
				merged = append(merged, s)
			}
			continue
		}
		_, have, _ := splitScope(merged[i])
		for _, action := range actions {
			if !slices.Contains(have, action) {
				have = append(have, action)
			}
		}
		merged[i] = resource + ":" + strings.Join(have, ",")
	}
	return merged
}
