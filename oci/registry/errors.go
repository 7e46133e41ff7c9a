package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

var (
	// ErrNotFound matches, by errors.Is, the answer 404: no such manifest, blob
	// or repository.
	ErrNotFound = errors.New("not found")
	// ErrUnauthorized matches, by errors.Is, the answers 401 and 403, of the
	// registry and of its token server.
	ErrUnauthorized = errors.New("unauthorized")
)

// Bounds on what an answer may put into an error.
const (
	maxErrorBody    = 8 << 10 // bytes
	maxErrorDetails = 5
	maxErrorText    = 256 // bytes of one code or message
)

// ErrorDetail is one entry of the error body that the distribution
// specification defines ("Error Codes").
type ErrorDetail struct {
	Code    string
	Message string
}

// StatusError is an answer with a status that the request does not allow.
type StatusError struct {
	Method string
	URL    string // scheme, host and path
	Status int
	// Errors are the first 5 that the body states, printable and cut at 256
	// bytes each; empty when the body states none.
	Errors []ErrorDetail

	retryAfter time.Duration // 0: not stated
}

func (e *StatusError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s: %d", e.Method, e.URL, e.Status)
	if text := http.StatusText(e.Status); text != "" {
		b.WriteString(" " + text)
	}
	for _, d := range e.Errors {
		b.WriteString(": " + d.Code)
		if d.Message != "" {
			b.WriteString(" (" + d.Message + ")")
		}
	}
	return b.String()
}

// Is makes errors.Is match [ErrNotFound] and [ErrUnauthorized].
func (e *StatusError) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Status == http.StatusNotFound
	case ErrUnauthorized:
		return e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden
	}
	return false
}

// NotFound reports whether the registry answered that what was asked for is not
// there.
func (e *StatusError) NotFound() bool { return e.Status == http.StatusNotFound }

// newStatusError reads the error body and closes it.
func newStatusError(resp *http.Response, now time.Time) *StatusError {
	e := &StatusError{Method: resp.Request.Method, URL: redact(resp.Request.URL), Status: resp.StatusCode}
	e.retryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), now)
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	resp.Body.Close()
	var doc struct {
		Errors []struct {
			Code    any    `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &doc) != nil {
		return e
	}
	for _, d := range doc.Errors[:min(len(doc.Errors), maxErrorDetails)] {
		code, _ := d.Code.(string)
		if code == "" {
			code = "UNKNOWN"
		}
		e.Errors = append(e.Errors, ErrorDetail{Code: printable(code), Message: printable(d.Message)})
	}
	return e
}

// printable keeps a hostile answer from writing control sequences to a terminal.
func printable(s string) string {
	if len(s) > maxErrorText {
		s = strings.ToValidUTF8(s[:maxErrorText], "")
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// redact keeps what may be shown of a URL: queries carry signatures and upload
// states, the user part passwords.
func redact(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// transportError is a request or an answer that broke before its end. Whether it
// is tried again depends on the cause.
type transportError struct {
	method, url string
	err         error
}

func (e *transportError) Error() string { return e.method + " " + e.url + ": " + e.err.Error() }
func (e *transportError) Unwrap() error { return e.err }

// newTransportError drops every *url.Error on the way, since these show queries.
func newTransportError(method string, u *url.URL, err error) error {
	for {
		var ue *url.Error
		if !errors.As(err, &ue) {
			break
		}
		err = ue.Err
	}
	return &transportError{method: method, url: redact(u), err: err}
}

// protocolError is an answer that no repetition will better.
type protocolError struct{ text string }

func (e *protocolError) Error() string { return e.text }

func protocolErrorf(format string, args ...any) error {
	return &protocolError{text: fmt.Sprintf(format, args...)}
}

// sourceError is a failure of the caller's own reader during a push.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// tokenError is a failure to get a token, as opposed to the registry's answer.
type tokenError struct{ err error }

func (e *tokenError) Error() string { return "fetching a token: " + e.err.Error() }
func (e *tokenError) Unwrap() error { return e.err }

// NotFound reports false, also where the token server answered 404: that says
// nothing of what the registry has.
func (e *tokenError) NotFound() bool { return false }

// Refusal reports whether the registry looked at the content and does not want
// it, rather than that it failed, is busy, or knows the client too little.
func (e *StatusError) Refusal() bool {
	switch e.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusMethodNotAllowed, http.StatusProxyAuthRequired,
		http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	}
	return e.Status >= 400 && e.Status < 500
}
