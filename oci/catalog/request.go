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
	Packages []PackageRequest `json:"packages,omitempty"`
	// Full wants all versions of what is named. It excludes ranges.
	Full bool `json:"full,omitempty"`
}

// PackageRequest names a package.
type PackageRequest struct {
	Name string `json:"name"`
	// DefaultChannel becomes that of the package when it is not empty.
	DefaultChannel string `json:"defaultChannel,omitempty"`
	// Channels are those wanted; all when it is empty.
	Channels []ChannelRequest `json:"channels,omitempty"`
	// Min and Max bound the versions wanted in every channel, both included and
	// each empty for none: "1.2.3", or "1.2" for all of 1.2. They exclude those
	// of channels. Pre-releases are wanted only when a bound is one.
	Min string `json:"min,omitempty"`
	Max string `json:"max,omitempty"`
}

// ChannelRequest names a channel, with bounds as those of [PackageRequest].
type ChannelRequest struct {
	Name string `json:"name"`
	Min  string `json:"min,omitempty"`
	Max  string `json:"max,omitempty"`
}

// maxRequest bounds the text of a request in bytes.
const maxRequest = 1 << 20

// allHeads is the text of the zero Request.
const allHeads = "*"

// String renders what [ParseRequest] reads, with "full" and default channels, which
// it does not read, in words behind that. Requests that differ have texts that
// differ.
func (r Request) String() string {
	var elements, defaults []string
	for _, p := range r.Packages {
		span := func(low, high string) string {
			if low == "" && high == "" {
				return ""
			}
			if high == "" {
				return ":" + low
			}
			return ":" + low + ".." + high
		}
		text := p.Name
		if len(p.Channels) == 0 {
			if s := span(p.Min, p.Max); s != "" {
				text += ":" + s
			}
			elements = append(elements, text)
		}
		for _, c := range p.Channels {
			low, high := c.Min, c.Max
			if p.Min != "" || p.Max != "" {
				low, high = p.Min, p.Max
			}
			elements = append(elements, text+":"+c.Name+span(low, high))
		}
		if p.DefaultChannel != "" {
			defaults = append(defaults, " "+p.Name+"="+p.DefaultChannel)
		}
	}
	text := strings.Join(elements, ",")
	switch {
	case len(r.Packages) == 0 && !r.Full:
		text = allHeads
	case len(r.Packages) > 0 && r.Full:
		text += " full"
	}
	if len(defaults) > 0 {
		text += " default" + strings.Join(defaults, "")
	}
	return text
}

// ParseRequest reads PKG[:CHANNEL[:MIN[..MAX]]],…: the text that follows the
// name of a catalog. A package is named again for each further channel; CHANNEL
// may be empty for a range in all channels, MIN for an upper bound alone.
// Nothing at all wants the whole catalog, and "*" the head of each channel of each
// package.
func ParseRequest(s string) (Request, error) {
	switch s {
	case "":
		return Request{Full: true}, nil
	case allHeads:
		return Request{}, nil
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
		if !printable(p.Name) {
			return fmt.Errorf("package without name, or with one that is not printable ASCII: %.80q", p.Name)
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

// printable keeps requests fit for plans; names are words of Kubernetes.
func printable(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
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
		if !printable(c.Name) {
			return fmt.Errorf("channel without name, or with one that is not printable ASCII: %.80q", c.Name)
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
