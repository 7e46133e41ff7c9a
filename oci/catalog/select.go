package catalog

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/blang/semver/v4"
)

// Selection is what stays of a catalog. Nothing of it may be changed: it shares
// with the catalog. It is safe for concurrent reading, and its methods may run
// concurrently.
type Selection struct {
	// Packages are sorted by name. Their channels have the entries that stay,
	// their bundles are sorted by name.
	Packages []Package
	// Others are the documents that belong to no package; they all stay.
	Others []Other
	// Warnings say what people may not expect of the selection.
	Warnings []Warning
	// Whole says that nothing is left out: the catalog can be carried as it is.
	Whole bool

	catalog *Catalog
}

// Warning is one thing to know of a selection that holds.
type Warning struct {
	// Package and Channel say where; Channel may be empty.
	Package, Channel string
	Text             string
	// Add is what, added to the text that [ParseRequest] reads, would put it
	// right; empty when nothing would.
	Add string
}

func (w Warning) String() string {
	return Problem{w.Package, w.Channel, w.Text}.String()
}

// SelectionError says why a request cannot be fulfilled, and the way out.
type SelectionError struct {
	// Package and Channel say where; Channel may be empty.
	Package, Channel string
	Problem, Remedy  string
}

func (e *SelectionError) Error() string {
	return Problem{e.Package, e.Channel, e.Problem}.String() + ": " + e.Remedy
}

const carryWhole = "choose something else, or carry the catalog whole"

// Select chooses from a catalog as oc-mirror does (sherine-k/catalog-filter,
// pkg/filter/mirror-config/v1alpha1/mirror-filter.go): of the packages named,
// of their channels named, of each channel the versions of a range, with what
// holds its graph together, or else its head alone, or with Full everything.
// Heads keep what they say they replace. A channel that is left empty goes,
// unless it is the default channel. Nothing is added because something selected
// needs it: that is a warning.
//
// What is selected is a valid catalog, or Select fails with a [*SelectionError]
// that names package, channel and the way out: packages and channels that do not
// exist, default channels that are left out, channels with two heads or none.
// Only a request for everything takes a catalog as it is.
func (c *Catalog) Select(r Request) (*Selection, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	s := &Selection{Others: slices.Clone(c.Others), catalog: c}
	if len(c.Packages) == 0 {
		return nil, errors.New("the catalog has no packages")
	}
	if r.Full && len(r.Packages) == 0 {
		s.Packages, s.Whole = slices.Clone(c.Packages), true
		return s, nil
	}
	wanted := r.Packages
	if len(wanted) == 0 {
		for i := range c.Packages {
			wanted = append(wanted, PackageRequest{Name: c.Packages[i].Name})
		}
	}
	for _, w := range wanted {
		p, ok := c.Package(w.Name)
		if !ok {
			return nil, &SelectionError{w.Name, "", "the catalog does not have it", nearest(w.Name, c.Packages)}
		}
		chooser := chooser{from: p, request: w, full: r.Full}
		chosen, err := chooser.choose()
		if err != nil {
			return nil, err
		}
		s.Packages = append(s.Packages, *chosen)
		s.Warnings = append(s.Warnings, chooser.warnings...)
	}
	slices.SortFunc(s.Packages, func(a, b Package) int { return strings.Compare(a.Name, b.Name) })
	s.Warnings = append(s.Warnings, s.lacking()...)
	slices.SortStableFunc(s.Warnings, func(a, b Warning) int { return strings.Compare(a.Package, b.Package) })
	return s, nil
}

// chooser chooses from one package.
type chooser struct {
	from     *Package
	request  PackageRequest
	full     bool
	warnings []Warning
	versions map[string]semver.Version
}

func (c *chooser) fail(channel, remedy, format string, args ...any) error {
	return &SelectionError{c.from.Name, channel, fmt.Sprintf(format, args...), remedy}
}

func (c *chooser) warn(channel, format string, args ...any) {
	c.warnings = append(c.warnings, Warning{Package: c.from.Name, Channel: channel, Text: fmt.Sprintf(format, args...)})
}

func (c *chooser) choose() (*Package, error) {
	p := *c.from
	channels, err := c.channels()
	if err != nil {
		return nil, err
	}
	if p.DefaultChannel, err = c.defaultChannel(channels); err != nil {
		return nil, err
	}
	keep := make(map[string]bool)
	p.Channels = nil
	for _, request := range channels {
		from, _ := c.from.Channel(request.Name)
		channel, err := c.channel(from, request, request.Name == p.DefaultChannel)
		if err != nil {
			return nil, err
		}
		if channel == nil {
			continue
		}
		p.Channels = append(p.Channels, *channel)
		for _, e := range channel.Entries {
			keep[e.Name] = true
		}
	}
	p.Bundles = slices.DeleteFunc(slices.Clone(p.Bundles), func(b Bundle) bool { return !keep[b.Name] })
	slices.SortStableFunc(p.Bundles, func(a, b Bundle) int { return strings.Compare(a.Name, b.Name) })
	p.Deprecations = slices.DeleteFunc(slices.Clone(p.Deprecations), func(d Deprecation) bool {
		if d.Schema == SchemaChannel {
			_, ok := p.Channel(d.Name)
			return !ok
		}
		return d.Schema == SchemaBundle && !keep[d.Name]
	})
	if problems := p.check(); len(problems) > 0 {
		text := problems[0].Text
		if len(problems) > 1 {
			text += fmt.Sprintf(" (and %d problems more)", len(problems)-1)
		}
		return nil, c.fail(problems[0].Channel, carryWhole, "it would not be valid: %s", text)
	}
	return &p, nil
}

// channels are those named, or all, with the range of the package if it has one.
func (c *chooser) channels() ([]ChannelRequest, error) {
	var all []ChannelRequest
	for i := range c.from.Channels {
		all = append(all, ChannelRequest{Name: c.from.Channels[i].Name})
	}
	for _, named := range c.request.Channels {
		if _, ok := c.from.Channel(named.Name); !ok {
			return nil, c.fail(named.Name, "choose one of "+c.names(), "the package does not have it")
		}
	}
	if len(c.request.Channels) > 0 {
		all = slices.Clone(c.request.Channels)
	}
	if c.request.Min != "" || c.request.Max != "" {
		for i := range all {
			all[i].Min, all[i].Max = c.request.Min, c.request.Max
		}
	}
	return all, nil
}

func (c *chooser) names() string {
	var names []string
	for i := range c.from.Channels {
		names = append(names, c.from.Channels[i].Name)
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// defaultChannel is the one wanted, or the original one, which must stay.
func (c *chooser) defaultChannel(channels []ChannelRequest) (string, error) {
	stays := func(name string) bool {
		return slices.ContainsFunc(channels, func(r ChannelRequest) bool { return r.Name == name })
	}
	if name := c.request.DefaultChannel; name != "" {
		if !stays(name) {
			return "", c.fail(name, "choose one of "+c.names(), "it is to be the default channel, but the package does not have it")
		}
		return name, nil
	}
	name := c.from.DefaultChannel
	if name != "" && !stays(name) {
		return "", c.fail(name, fmt.Sprintf("add %s:%s, or give the package another default channel (defaultChannel of an ImageSetConfiguration)", c.from.Name, name),
			"it is the default channel and would be left out")
	}
	return name, nil
}

// channel is what stays of a channel; nil when it goes.
func (c *chooser) channel(from *Channel, request ChannelRequest, isDefault bool) (*Channel, error) {
	if c.full {
		return from, nil
	}
	s, err := parseSpan(request.Min, request.Max)
	if err != nil {
		return nil, err
	}
	g, err := newGraph(from)
	if err == nil {
		err = g.acyclic()
	}
	if err != nil {
		return nil, c.fail(from.Name, carryWhole, "%v", err)
	}
	if s == nil {
		return c.keep(from, map[string]bool{g.head: true})
	}
	if err := c.parseVersions(); err != nil {
		return nil, err
	}
	cut := g.cut(s, c.versions)
	if n := len(cut.prereleases); n > 0 {
		lowest := "0.0.0"
		if s.min != nil {
			lowest = s.min.version.FinalizeVersion()
		}
		c.warn(from.Name, "versions %s leave out %s: pre-releases are selected only when a bound is one, such as %s-0 for the lowest",
			s.text, named(cut.prereleases), lowest)
	}
	if len(cut.keep) == 0 {
		have := extent(from, c.versions)
		if isDefault {
			return nil, c.fail(from.Name, "widen the range, or give the package another default channel (defaultChannel of an ImageSetConfiguration)",
				"no version of the default channel is %s; it has %s", s.text, have)
		}
		c.warn(from.Name, "the channel is left out: none of its versions is %s; it has %s", s.text, have)
		return nil, nil
	}
	if len(cut.outside) > 0 {
		c.warn(from.Name, "%s stay although they are not %s: the way between the others leads through them", named(cut.outside), s.text)
	}
	if len(cut.unreached) > 0 {
		c.warn(from.Name, "%s are %s but left out: the way down from the head does not lead there", named(cut.unreached), s.text)
	}
	channel, err := c.keep(from, cut.keep)
	if err == nil {
		// opm ends the way down where something replaced is skipped too, and
		// what skipped the rest may be gone.
		if g, err = newGraph(channel); err == nil {
			err = g.check()
		}
		if err != nil {
			err = c.fail(from.Name, "widen the range, or take all versions", "versions %s alone make no upgrade graph: %v", s.text, err)
		}
	}
	return channel, err
}

func (c *chooser) keep(from *Channel, names map[string]bool) (*Channel, error) {
	channel := &Channel{Name: from.Name}
	for _, e := range from.Entries {
		if names[e.Name] {
			channel.Entries = append(channel.Entries, e)
		}
	}
	return channel, nil
}

// parseVersions refuses what no range can judge.
func (c *chooser) parseVersions() error {
	if c.versions != nil {
		return nil
	}
	c.versions = make(map[string]semver.Version)
	for i := range c.from.Bundles {
		b := &c.from.Bundles[i]
		v, err := semver.Parse(b.Version)
		if err != nil {
			return c.fail("", "select the package without a range", "bundle %q has version %q: %v", b.Name, b.Version, err)
		}
		c.versions[b.Name] = v
	}
	return nil
}
