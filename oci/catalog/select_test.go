package catalog_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"satchel/oci/catalog"
)

// etcd has a channel in which versions skip others, one that ends in a version
// of another channel, and pre-releases.
var etcd = pkg("etcd",
	"stable: 1.0.0 1.1.0<1.0.0 1.2.0<1.1.0 1.3.0<1.1.0~1.2.0 1.4.0<1.3.0 2.0.0<1.4.0",
	"fast: 1.4.0<1.3.0 1.5.0-rc.1<1.4.0 2.0.0<1.5.0-rc.1 2.1.0<2.0.0")

func TestSelect(t *testing.T) {
	ranged := func(channel, low, high string) catalog.Request {
		p := catalog.PackageRequest{Name: "etcd", Min: low, Max: high}
		if channel != "" {
			p = catalog.PackageRequest{Name: "etcd", DefaultChannel: channel, Channels: []catalog.ChannelRequest{{channel, low, high}}}
		}
		return catalog.Request{Packages: []catalog.PackageRequest{p}}
	}
	named := func(full bool, channels ...string) catalog.Request {
		r := catalog.Request{Full: full, Packages: []catalog.PackageRequest{{Name: "etcd"}}}
		for _, c := range channels {
			r.Packages[0].Channels = append(r.Packages[0].Channels, catalog.ChannelRequest{Name: c})
		}
		return r
	}
	const all = "stable: 1.0.0 1.1.0 1.2.0 1.3.0 1.4.0 2.0.0"
	tests := map[string]struct {
		request        catalog.Request
		want, warnings []string
	}{
		"nothing said":         {catalog.Request{}, []string{"stable: 2.0.0", "fast: 2.1.0"}, nil},
		"heads":                {named(false), []string{"stable: 2.0.0", "fast: 2.1.0"}, nil},
		"head of a channel":    {named(false, "stable"), []string{"stable: 2.0.0"}, nil},
		"full":                 {named(true), []string{all, "fast: 1.4.0 1.5.0-rc.1 2.0.0 2.1.0"}, nil},
		"full channel":         {named(true, "stable"), []string{all}, nil},
		"a range":              {ranged("stable", "1.1.0", "1.4.0"), []string{"stable: 1.1.0 1.2.0 1.3.0 1.4.0"}, nil},
		"only skipped":         {ranged("stable", "1.2.0", "1.2.0"), []string{"stable: 1.2.0 1.3.0"}, []string{"1.3.0 stay although they are not >=1.2.0 <=1.2.0"}},
		"skipped and replaced": {ranged("stable", "1.1.0", "1.2.0"), []string{"stable: 1.1.0 1.2.0 1.3.0"}, []string{"1.3.0 stay although"}},
		"no upper bound":       {ranged("stable", "1.4.0", ""), []string{"stable: 1.4.0 2.0.0"}, nil},
		"no lower bound":       {ranged("stable", "", "1.1.0"), []string{"stable: 1.0.0 1.1.0"}, nil},
		"two numbers above":    {ranged("stable", "1.3", "1.4"), []string{"stable: 1.3.0 1.4.0"}, nil},
		"one number above":     {ranged("stable", "v1.3", "1"), []string{"stable: 1.3.0 1.4.0"}, nil},
		"no pre-releases": {ranged("fast", "1.4.0", "1.9.0"), []string{"fast: 1.4.0"},
			[]string{"leave out etcd.1.5.0-rc.1: pre-releases are selected only when a bound is one, such as 1.4.0-0 for the lowest"}},
		"a pre-release between": {ranged("fast", "1.4.0", "2.0.0"), []string{"fast: 1.4.0 1.5.0-rc.1 2.0.0"},
			[]string{"etcd.1.5.0-rc.1 stay although"}},
		"pre-releases": {ranged("fast", "1.4.1-0", "1.9.0"), []string{"fast: 1.5.0-rc.1"}, nil},
		// 1.3.0 is no entry of fast, only replaced there.
		"not of the channel":      {ranged("", "1.1.0", "1.3.0"), []string{"stable: 1.1.0 1.2.0 1.3.0"}, []string{`channel "fast": the channel is left out: none of its versions is >=1.1.0 <=1.3.0; it has 1.4.0 to 2.1.0 (4)`}},
		"a range in all channels": {ranged("", "2.0.0", "2.0.0"), []string{"stable: 2.0.0", "fast: 2.0.0"}, nil},
	}
	c := read(t, files("catalog.json", etcd))
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := choose(t, c, test.request)
			p := s.Packages[0]
			if got := entries(p); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if (len(test.warnings) > 0) != (len(s.Warnings) > 0) {
				t.Errorf("warnings %q", s.Warnings)
			}
			for _, want := range test.warnings {
				if !slices.ContainsFunc(s.Warnings, func(w catalog.Warning) bool { return strings.Contains(w.String(), want) }) {
					t.Errorf("warnings %q, want %q", s.Warnings, want)
				}
			}
			// Bundles are those of the entries, each once, and as many images
			// twice.
			kept := make(map[string]bool)
			for _, channel := range p.Channels {
				for _, e := range channel.Entries {
					kept[e.Name] = true
				}
			}
			if len(p.Bundles) != len(kept) || len(s.Images()) != 2*len(kept) {
				t.Errorf("%d bundles, %d images, want %d", len(p.Bundles), len(s.Images()), len(kept))
			}
			if s.Whole {
				t.Error("it is not whole")
			}
		})
	}
}

// TestSelectEdges has bounds that lack numbers, and an entry that skips what is
// in another channel only.
func TestSelectEdges(t *testing.T) {
	c := read(t, files("c", pkg("odf", "stable: 1.0.0 1.0.5<1.0.0 1.1.0<1.0.5 1.1.7<1.1.0 1.2.0<1.1.7 2.0.0<1.2.0", "fast: 3.0.0~1.0.0")))
	for versions, want := range map[string]string{
		"1..1.1":   "stable: 1.0.0 1.0.5 1.1.0 1.1.7",
		"1.1..1.1": "stable: 1.1.0 1.1.7",
		"..1.0":    "stable: 1.0.0 1.0.5",
		"..1.0.0":  "stable: 1.0.0",
		"1.1..1":   "stable: 1.1.0 1.1.7 1.2.0",
	} {
		r, err := catalog.ParseRequest("odf::" + versions)
		if err != nil {
			t.Fatal(err)
		}
		if got := entries(choose(t, c, r).Packages[0]); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %q, want %q", versions, got, want)
		}
	}
}

func TestSelectRefusals(t *testing.T) {
	one := func(p catalog.PackageRequest) catalog.Request {
		return catalog.Request{Packages: []catalog.PackageRequest{p}}
	}
	channel := func(name, low, high string) catalog.Request {
		return one(catalog.PackageRequest{Name: "etcd", Channels: []catalog.ChannelRequest{{name, low, high}}})
	}
	heads := one(catalog.PackageRequest{Name: "etcd"})
	tests := map[string]struct {
		catalog string
		request catalog.Request
		want    string
	}{
		"no such package":           {etcd, one(catalog.PackageRequest{Name: "etdc"}), `package "etdc": the catalog does not have it: perhaps etcd is meant`},
		"nothing like the package":  {etcd, one(catalog.PackageRequest{Name: "prometheus"}), `choose one of etcd`},
		"no such channel":           {etcd, channel("slow", "", ""), `package "etcd" channel "slow": the package does not have it: choose one of stable, fast`},
		"default channel left out":  {etcd, channel("fast", "", ""), `package "etcd" channel "stable": it is the default channel and would be left out: add etcd:stable, or give`},
		"no such default channel":   {etcd, one(catalog.PackageRequest{Name: "etcd", DefaultChannel: "slow"}), `channel "slow": it is to be the default channel, but the package does not have it: choose one of stable, fast`},
		"empty":                     {etcd, channel("stable", "3.0.0", ""), `package "etcd" channel "stable": no version of the default channel is >=3.0.0; it has 1.0.0 to 2.0.0 (6): widen the range`},
		"default emptied":           {etcd, one(catalog.PackageRequest{Name: "etcd", Min: "2.1.0"}), `channel "stable": no version of the default channel is >=2.1.0`},
		"no catalog":                {``, catalog.Request{}, "the catalog has no packages"},
		"two heads":                 {pkg("etcd", "stable: 1.0.0 1.1.0<1.0.0 1.2.0<1.0.0"), heads, `channel "stable": it has 2 heads instead of one: etcd.1.1.0, etcd.1.2.0`},
		"no head":                   {pkg("etcd", "stable: 1.0.0<1.1.0 1.1.0<1.0.0"), heads, `channel "stable": it has no head`},
		"replaces itself":           {pkg("etcd", "stable: 1.0.0<1.0.0"), heads, `it has no head`},
		"a cycle below the head":    {pkg("etcd", "stable: 1.0.0<1.1.0 1.1.0<1.0.0 1.2.0<1.1.0"), heads, `replace or skip each other in a cycle: etcd.1.0.0, etcd.1.1.0`},
		"a cycle beside":            {pkg("etcd", "stable: 1.0.0<1.1.0 1.1.0<1.0.0 1.2.0"), heads, `in a cycle: etcd.1.0.0, etcd.1.1.0`},
		"a cycle of skips":          {pkg("etcd", "stable: 1.0.0~1.1.0 1.1.0~1.0.0 1.2.0~1.0.0~1.1.0"), heads, `in a cycle: etcd.1.0.0, etcd.1.1.0`},
		"a cycle, all wanted":       {pkg("etcd", "stable: 1.0.0<1.1.0 1.1.0<1.0.0 1.2.0<1.1.0"), catalog.Request{Full: true, Packages: heads.Packages}, `it would not be valid: its entries replace each other in a cycle`},
		"stranded":                  {pkg("etcd", "stable: 1.0.0 1.1.0~1.0.0 1.2.0<1.1.0~1.0.0~1.1.0 0.9.0 1.3.0<1.2.0~0.8.0 0.8.0<0.9.0"), catalog.Request{Full: true, Packages: heads.Packages}, `does not reach etcd.0.9.0`},
		"no entries":                {pkg("etcd", "stable:"), heads, `channel "stable": it has no entries`},
		"an entry twice":            {pkg("etcd", "stable: 1.0.0 1.0.0"), heads, `entry "etcd.1.0.0" stands twice`},
		"no bundle":                 {strings.Split(etcd, `{"schema":"olm.bundle"`)[0], heads, `there is no bundle for its entries etcd.2.0.0 (and `},
		"a version that is none":    {etcd + bundle("etcd", "1.x"), channel("stable", "1.0.0", ""), `bundle "etcd.1.x" has version "1.x"`},
		"no package document":       {etcd[strings.Index(etcd, "\n"):], heads, `it has 0 documents olm.package instead of one`},
		"two package documents":     {etcd + etcd[:strings.Index(etcd, "\n")], heads, `it has 2 documents olm.package instead of one`},
		"a bundle twice":            {etcd + bundle("etcd", "2.0.0"), heads, `bundle "etcd.2.0.0" stands twice`},
		"no upgrade graph":          {pkg("etcd", "stable: 1.0.0 1.1.0<1.0.0 1.2.0<1.1.0 1.5.0~1.0.0~1.1.0~1.2.0 1.3.0<1.2.0~1.2.0 2.0.0<1.3.0~1.5.0"), channel("stable", "1.0.0", "1.3.0"), `versions >=1.0.0 <=1.3.0 alone make no upgrade graph: the way down from its head "etcd.1.3.0" does not reach etcd.1.0.0, etcd.1.1.0: widen the range, or take all versions`},
		"bad bundle":                {etcd + `{"schema":"olm.bundle","package":"etcd","name":"etcd.3.0.0"}` + pkgChannel("etcd", "new", "3.0.0"), heads, `bundle "etcd.3.0.0": 0 properties olm.package instead of one`},
		"a request that is no good": {etcd, channel("", "", ""), "channel without name"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := read(t, files("catalog.json", test.catalog)).Select(test.request)
			wantError(t, err, test.want)
			var selection *catalog.SelectionError
			if name != "no catalog" && name != "a request that is no good" && (!errors.As(err, &selection) || selection.Remedy == "") {
				t.Errorf("%v names no way out", err)
			}
		})
	}
}

// pkgChannel is a channel of one entry.
func pkgChannel(name, channel, version string) string {
	return `{"schema":"olm.channel","package":"` + name + `","name":"` + channel + `","entries":[{"name":"` + name + "." + version + `"}]}`
}

// TestSelectOthers keeps a broken operator from spoiling the rest.
func TestSelectOthers(t *testing.T) {
	c := read(t, files("a.json", etcd, "b.json", pkg("broken", "x: 1.0.0 2.0.0")+
		`{"schema":"olm.bundle","package":"broken","name":"b","properties":[{"type":"olm.package","value":1}],"relatedImages":{}}`+
		`{"schema":"olm.channel","package":"broken","name":"y","entries":[{"name":1}]}{"schema":"olm.package","name":"broken","defaultChannel":[]}`+
		`{"schema":"olm.deprecations","package":"broken","entries":{}}`))
	choose(t, c, catalog.Request{Packages: []catalog.PackageRequest{{Name: "etcd"}}})
	_, err := c.Select(catalog.Request{})
	wantError(t, err, `package "broken"`)
	if whole := choose(t, c, catalog.Request{Full: true}); !whole.Whole {
		t.Error("it is whole")
	}
}

func TestDefaultChannel(t *testing.T) {
	all := files("catalog.json", etcd)
	c := read(t, all)
	s := choose(t, c, catalog.Request{Packages: []catalog.PackageRequest{{
		Name: "etcd", DefaultChannel: "fast", Channels: []catalog.ChannelRequest{{Name: "fast"}},
	}}})
	again := read(t, files("x.json", write(t, s, all)))
	if p := again.Packages[0]; p.DefaultChannel != "fast" || len(p.Channels) != 1 || len(again.Check()) > 0 {
		t.Errorf("default channel %q, %q", p.DefaultChannel, entries(p))
	}
	if c.Packages[0].DefaultChannel != "stable" || len(c.Packages[0].Channels) != 2 {
		t.Error("the catalog itself was changed")
	}
	// One that is wanted must hold, whatever the original one does.
	p := catalog.PackageRequest{Name: "etcd", DefaultChannel: "fast", Min: "1.0.0", Max: "1.1.0"}
	_, err := c.Select(catalog.Request{Packages: []catalog.PackageRequest{p}})
	wantError(t, err, `channel "fast": no version of the default channel`)
	p.Min, p.Max = "2.1.0", ""
	if got := entries(choose(t, c, catalog.Request{Packages: []catalog.PackageRequest{p}}).Packages[0]); !slices.Equal(got, []string{"fast: 2.1.0"}) {
		t.Errorf("got %q", got)
	}
}
