package registry

import (
	"context"
	"time"
)

// SetSleep replaces waiting between attempts.
func SetSleep(c *Client, f func(ctx context.Context, d time.Duration) error) { c.sleep = f }

// SetNow replaces the clock.
func SetNow(c *Client, f func() time.Time) { c.now = f }

// SetStall replaces how long a body may stand still. It holds for registries that
// were not used yet.
func SetStall(c *Client, d time.Duration) { c.limits.stall = d }

// ParseChallenge returns scheme and parameters of the first challenge.
func ParseChallenge(fields ...string) (string, map[string]string) {
	c := parseChallenge(fields)
	return c.scheme, c.params
}

// MergeScopes exposes mergeScopes.
func MergeScopes(wanted, asked []string) []string { return mergeScopes(wanted, asked) }
