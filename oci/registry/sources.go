package registry

import (
	"context"
	"fmt"
	"strings"

	"github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/opencontainers/go-digest"
)

// mirrorRetries keeps a mirror that is down from delaying every image.
const mirrorRetries = 1

// target returns the named registry itself, for writing.
func (c *Client) target(repository string) (*endpoint, error) {
	named, err := parseRepository(repository)
	if err != nil {
		return nil, err
	}
	return c.endpoint(named, false)
}

// endpoint refuses what registries.conf blocks.
func (c *Client) endpoint(named reference.Named, insecure bool) (*endpoint, error) {
	registry, err := sysregistriesv2.FindRegistry(c.system, named.Name())
	if err != nil {
		return nil, fmt.Errorf("registries configuration: %w", err)
	}
	if registry != nil {
		if registry.Blocked {
			return nil, fmt.Errorf("%s: registry %s is blocked by %s", named.Name(), registry.Prefix,
				sysregistriesv2.ConfigurationSourceDescription(c.system))
		}
		insecure = insecure || registry.Insecure
	}
	h, err := c.host(reference.Domain(named), insecure || c.options.Insecure)
	if err != nil {
		return nil, err
	}
	return &endpoint{host: h, name: reference.TrimNamed(named)}, nil
}

// sources returns where the repository can be read, in the order of
// registries.conf: mirrors, then the registry itself. What is blocked is left
// out as long as something remains.
func (c *Client) sources(repository, tag string, d digest.Digest) ([]*endpoint, error) {
	named, err := parseRepository(repository)
	if err != nil {
		return nil, err
	}
	if c.options.Direct {
		e, err := c.endpoint(named, false)
		return []*endpoint{e}, err
	}
	registry, err := sysregistriesv2.FindRegistry(c.system, named.Name())
	if err != nil {
		return nil, fmt.Errorf("registries configuration: %w", err)
	}
	if registry == nil {
		e, err := c.endpoint(named, false)
		return []*endpoint{e}, err
	}
	// Mirrors may be for digests only, or for tags only.
	ref := named
	if d != "" {
		ref, err = reference.WithDigest(named, d)
	} else {
		ref, err = reference.WithTag(named, tag)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", named.Name(), err)
	}
	pulls, err := registry.PullSourcesFromReference(ref)
	if err != nil {
		return nil, fmt.Errorf("%s: registries configuration: %w", named.Name(), err)
	}
	var all []*endpoint
	var blocked error
	for _, pull := range pulls {
		e, err := c.endpoint(reference.TrimNamed(pull.Reference), pull.Endpoint.Insecure)
		if err != nil {
			blocked = err
			continue
		}
		all = append(all, e)
	}
	if len(all) == 0 {
		return nil, blocked
	}
	return c.bestFirst(named.Name(), all, d != ""), nil
}

// bestFirst moves the source that answered before to the front. Content of an
// image may come from the mirror that had its tag, even if registries.conf has
// that mirror for tags only; the other way round would be a mistake.
func (c *Client) bestFirst(repository string, all []*endpoint, byDigest bool) []*endpoint {
	c.mu.Lock()
	best := c.worked[repository]
	c.mu.Unlock()
	if best == nil {
		return all
	}
	ordered := []*endpoint{best}
	listed := false
	for _, e := range all {
		if e.host == best.host && e.name.Name() == best.name.Name() {
			listed = true
			continue
		}
		ordered = append(ordered, e)
	}
	if !listed && !byDigest {
		return all
	}
	return ordered
}

// read tries f with the sources in turn until one succeeds, and remembers it.
// The error is that of the last source, the registry itself as a rule, with the
// others in its text only.
func (c *Client) read(ctx context.Context, repository, tag string, d digest.Digest, f func(e *endpoint, retries int) error) error {
	all, err := c.sources(repository, tag, d)
	if err != nil {
		return err
	}
	var before []string
	for i, e := range all {
		retries := c.retries
		if i < len(all)-1 {
			retries = min(retries, mirrorRetries)
		}
		if err = f(e, retries); err == nil {
			if len(all) > 1 {
				c.mu.Lock()
				c.worked[repository] = e
				c.mu.Unlock()
			}
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		if i < len(all)-1 {
			before = append(before, err.Error())
		}
	}
	if len(before) > 0 {
		return fmt.Errorf("%w; before that: %s", err, strings.Join(before, "; "))
	}
	return err
}
