package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Request says what is wanted of a catalog. The zero Request wants the head of
// each channel of each package, as oc-mirror does when nothing is said.
type Request struct {
	// Packages are those wanted; all when it is empty.
	Packages []PackageRequest
	// Full wants all versions of what is named. It excludes ranges.
	Full bool
}

// PackageRequest names a package.
type PackageRequest struct {
	Name string
	// DefaultChannel becomes that of the package when it is not empty.
	DefaultChannel string
	// Channels are those wanted; all when it is empty.
	Channels []ChannelRequest
	// Min and Max bound the versions wanted in every channel, both included and
	// each empty for none: "1.2.3", or "1.2" for all of 1.2. They exclude those
	// of channels. Pre-releases are wanted only when a bound is one.
	Min, Max string
}

// ChannelRequest names a channel, with bounds as those of [PackageRequest].
type ChannelRequest struct {
	Name     string
	Min, Max string
}

// maxRequest bounds the text of a request in bytes.
const maxRequest = 1 << 20

// ParseRequest reads PKG[:CHANNEL[:MIN[..MAX]]],…: the text that follows the
// name of a catalog. A package is named again for each further channel; CHANNEL
// may be empty for a range in all channels, MIN for an upper bound alone.
// Nothing at all wants the whole catalog.
func ParseRequest(s string) (Request, error) {
	if s == "" {
		return Request{Full: true}, nil
	}
	r, err := parseRequest(s)
	if err == nil {
		err = r.Check()
	}
	if err != nil {
		return Request{}, fmt.Errorf("operators %.200q: %w", s, err)
	}
	return r, nil
}

func parseRequest(s string) (r Request, err error) {
	if len(s) > maxRequest {
		return r, fmt.Errorf("%d characters are more than %d", len(s), maxRequest)
	}
	places := make(map[string]int)
	whole := make(map[string]bool)
	for element := range strings.SplitSeq(s, ",") {
		parts := strings.Split(element, ":")
		if parts[0] == "" || len(parts) > 3 || len(parts) == 2 && parts[1] == "" || len(parts) == 3 && parts[2] == "" {
			return r, fmt.Errorf("%q is not PKG[:CHANNEL[:MIN[..MAX]]]", element)
		}
		for len(parts) < 3 {
			parts = append(parts, "")
		}
		name, channel := parts[0], parts[1]
		low, high, _ := strings.Cut(parts[2], "..")
		if parts[2] == ".." {
			return r, fmt.Errorf("%q has a range without bounds", element)
		}
		place, known := places[name]
		if !known {
			place = len(r.Packages)
			places[name] = place
			r.Packages = append(r.Packages, PackageRequest{Name: name})
		}
		if known && (channel == "" || whole[name]) {
			return r, fmt.Errorf("package %q is named twice", name)
		}
		p := &r.Packages[place]
		if channel == "" {
			whole[name] = true
			p.Min, p.Max = low, high
		} else {
			p.Channels = append(p.Channels, ChannelRequest{channel, low, high})
		}
	}
	return r, nil
}

// Check refuses requests that contradict themselves (openshift/oc-mirror,
// internal/pkg/config/validate.go): names that are empty or stand twice, ranges
// for a package and its channels at once, ranges with Full, a default channel
// that is not among the channels, bounds that are no versions or the wrong way
// round.
func (r *Request) Check() error {
	seen := make(map[string]bool)
	for i := range r.Packages {
		p := &r.Packages[i]
		if p.Name == "" {
			return errors.New("package without name")
		}
		if seen[p.Name] {
			return fmt.Errorf("package %q is named twice", p.Name)
		}
		seen[p.Name] = true
		if err := p.check(r.Full); err != nil {
			return fmt.Errorf("package %q: %w", p.Name, err)
		}
	}
	return nil
}

func (p *PackageRequest) check(full bool) error {
	own, err := parseSpan(p.Min, p.Max)
	if err != nil {
		return err
	}
	if full && own != nil {
		return errors.New("all versions are wanted, and a range of versions: leave one of them out")
	}
	seen := make(map[string]bool)
	for _, c := range p.Channels {
		if c.Name == "" {
			return errors.New("channel without name")
		}
		if seen[c.Name] {
			return fmt.Errorf("channel %q is named twice", c.Name)
		}
		seen[c.Name] = true
		s, err := parseSpan(c.Min, c.Max)
		switch {
		case err != nil:
			return fmt.Errorf("channel %q: %w", c.Name, err)
		case s != nil && full:
			return fmt.Errorf("channel %q: all versions are wanted, and a range of versions: leave one of them out", c.Name)
		case s != nil && own != nil:
			return fmt.Errorf("channel %q: a range of versions is given for the package and for the channel: leave one of them out", c.Name)
		}
	}
	if p.DefaultChannel != "" && len(p.Channels) > 0 &&
		!slices.ContainsFunc(p.Channels, func(c ChannelRequest) bool { return c.Name == p.DefaultChannel }) {
		return fmt.Errorf("default channel %q is not among the channels that are wanted: add it to them", p.DefaultChannel)
	}
	return nil
}
