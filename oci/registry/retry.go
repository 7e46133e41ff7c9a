package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

const (
	defaultRetries = 5
	firstDelay     = 500 * time.Millisecond
	maxDelay       = 30 * time.Second
	// maxRetryAfter bounds how long a registry may make a client wait.
	maxRetryAfter = 2 * time.Minute
	manyTries     = 1 << 30
)

// retry calls op until it succeeds, until it fails for good, or until limit
// attempts after the first are used up. Attempts are counted from 1.
func (c *Client) retry(ctx context.Context, limit int, op func(attempt int) error) error {
	for attempt := 1; ; attempt++ {
		err := op(attempt)
		if err == nil || ctx.Err() != nil {
			return err
		}
		if attempt > min(limit, allowance(err)) {
			if attempt > 1 {
				return fmt.Errorf("%w (tried %d times)", err, attempt)
			}
			return err
		}
		if e := c.sleep(ctx, delay(attempt, err)); e != nil {
			return fmt.Errorf("%w while waiting after: %w", e, err)
		}
	}
}

// allowance is how many further attempts a failure is worth: none for what will
// fail again (no such host, refused certificates, most statuses, broken
// promises), one where a service may just be restarting (connection refused),
// and any number for the rest of what happens to connections and busy servers.
func allowance(err error) int {
	var source *sourceError
	var protocol *protocolError
	if errors.As(err, &source) || errors.As(err, &protocol) {
		return 0
	}
	var status *StatusError
	if errors.As(err, &status) {
		return allowanceOfStatus(status.Status)
	}
	var transport *transportError
	if !errors.As(err, &transport) {
		return 0
	}
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return 0
	}
	if isTLSRefusal(err) {
		return 0
	}
	if isRefused(err) {
		return 1
	}
	return manyTries
}

func allowanceOfStatus(status int) int {
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusTooManyRequests:
		return manyTries
	case status == http.StatusNotImplemented, status == http.StatusHTTPVersionNotSupported:
		return 0
	case status >= 500:
		return manyTries
	}
	return 0
}

func isTLSRefusal(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		record       tls.RecordHeaderError
		alert        tls.AlertError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	return errors.As(err, &verification) || errors.As(err, &record) || errors.As(err, &alert) ||
		errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &invalid) ||
		errors.Is(err, http.ErrSchemeMismatch)
}

func isRefused(err error) bool {
	const wsaeConnRefused = syscall.Errno(10061) // what Windows really returns
	return errors.Is(err, syscall.ECONNREFUSED) ||
		runtime.GOOS == "windows" && errors.Is(err, wsaeConnRefused)
}

// delay grows from 0.5 s to 30 s, the last half of it by chance, so that many
// connections do not come back at once. A stated Retry-After wins.
func delay(attempt int, err error) time.Duration {
	var status *StatusError
	if errors.As(err, &status) && status.retryAfter > 0 {
		return status.retryAfter
	}
	d := maxDelay
	if attempt < 7 {
		d = min(maxDelay, firstDelay<<(attempt-1))
	}
	return d/2 + rand.N(d/2)
}

// parseRetryAfter reads seconds or a date (RFC 9110, 10.2.3); 0 for neither.
func parseRetryAfter(s string, now time.Time) time.Duration {
	var d time.Duration
	if seconds, err := strconv.ParseInt(s, 10, 64); err == nil {
		d = time.Duration(min(seconds, int64(maxRetryAfter/time.Second))) * time.Second
	} else if t, err := http.ParseTime(s); err == nil {
		d = t.Sub(now)
	}
	return max(0, min(d, maxRetryAfter))
}

// sleep waits for d or for the end of the context.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
