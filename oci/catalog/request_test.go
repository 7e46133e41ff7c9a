package catalog_test

import (
	"reflect"
	"testing"

	"satchel/oci/catalog"
)

func TestParseRequest(t *testing.T) {
	type p = catalog.PackageRequest
	type c = catalog.ChannelRequest
	tests := map[string]struct {
		want []p
		err  string
	}{
		"etcd":                               {[]p{{Name: "etcd"}}, ""},
		"etcd,odf":                           {[]p{{Name: "etcd"}, {Name: "odf"}}, ""},
		"etcd:stable":                        {[]p{{Name: "etcd", Channels: []c{{Name: "stable"}}}}, ""},
		"etcd:stable:1.0.0":                  {[]p{{Name: "etcd", Channels: []c{{"stable", "1.0.0", ""}}}}, ""},
		"etcd:stable:1.0.0..2.0.0-rc.1":      {[]p{{Name: "etcd", Channels: []c{{"stable", "1.0.0", "2.0.0-rc.1"}}}}, ""},
		"etcd:stable:..2":                    {[]p{{Name: "etcd", Channels: []c{{"stable", "", "2"}}}}, ""},
		"etcd:stable:1.2..":                  {[]p{{Name: "etcd", Channels: []c{{"stable", "1.2", ""}}}}, ""},
		"etcd::1.0.0..2.0.0":                 {[]p{{Name: "etcd", Min: "1.0.0", Max: "2.0.0"}}, ""},
		"etcd:a:1.0.0,odf,etcd:b":            {[]p{{Name: "etcd", Channels: []c{{"a", "1.0.0", ""}, {Name: "b"}}}, {Name: "odf"}}, ""},
		"etcd,":                              {nil, `"" is not PKG[:CHANNEL[:MIN[..MAX]]]`},
		":stable":                            {nil, "is not PKG"},
		"etcd:":                              {nil, "is not PKG"},
		"etcd:stable:":                       {nil, "is not PKG"},
		"etcd:stable:1:2":                    {nil, "is not PKG"},
		"etcd:stable:..":                     {nil, "a range without bounds"},
		"etcd,etcd":                          {nil, `package "etcd" is named twice`},
		"etcd,etcd:stable":                   {nil, `package "etcd" is named twice`},
		"etcd:stable,etcd":                   {nil, `package "etcd" is named twice`},
		"etcd:stable,etcd:stable:1.0.0":      {nil, `package "etcd": channel "stable" is named twice`},
		"etcd:stable:2.0.0..1.0.0":           {nil, `channel "stable": versions >=2.0.0 <=1.0.0: the lowest is above the highest`},
		"etcd:stable:2.0.0..1":               {nil, "the lowest is above the highest"},
		"etcd:stable:1.x":                    {nil, `lowest version "1.x": `},
		"etcd:stable:1.0.0..latest":          {nil, `highest version "latest": `},
		"etcd:stable:1.0.0.0":                {nil, "lowest version"},
		"etcd:stable:1.0-rc":                 {nil, "lowest version"},
		"etcd:stable:1.0.0...2.0.0":          {nil, "highest version"},
		"etcd:stable:99999999999999999999.0": {nil, "lowest version"},
	}
	for text, test := range tests {
		got, err := catalog.ParseRequest(text)
		wantError(t, err, test.err)
		if !reflect.DeepEqual(got.Packages, test.want) || got.Full {
			t.Errorf("%q: got %+v, want %+v", text, got, test.want)
		}
	}
	if r, err := catalog.ParseRequest(""); err != nil || !r.Full || r.Packages != nil {
		t.Errorf("nothing: %+v, %v", r, err)
	}
}

func TestCheckRequest(t *testing.T) {
	type p = catalog.PackageRequest
	channels := []catalog.ChannelRequest{{Name: "stable"}}
	ranged := []catalog.ChannelRequest{{Name: "stable", Min: "1.0.0"}}
	tests := map[string]struct {
		request catalog.Request
		want    string
	}{
		"good":                    {catalog.Request{Packages: []p{{Name: "etcd", DefaultChannel: "stable", Channels: ranged}}}, ""},
		"full":                    {catalog.Request{Full: true, Packages: []p{{Name: "etcd", Channels: channels}}}, ""},
		"no name":                 {catalog.Request{Packages: []p{{}}}, "package without name"},
		"full and a range":        {catalog.Request{Full: true, Packages: []p{{Name: "etcd", Max: "1.0.0"}}}, `package "etcd": all versions are wanted, and a range`},
		"full and a channel's":    {catalog.Request{Full: true, Packages: []p{{Name: "etcd", Channels: ranged}}}, `package "etcd": channel "stable": all versions are wanted, and a range`},
		"two ranges":              {catalog.Request{Packages: []p{{Name: "etcd", Min: "1.0.0", Channels: ranged}}}, "for the package and for the channel"},
		"default not selected":    {catalog.Request{Packages: []p{{Name: "etcd", DefaultChannel: "fast", Channels: channels}}}, `default channel "fast" is not among the channels`},
		"package twice":           {catalog.Request{Packages: []p{{Name: "etcd"}, {Name: "etcd"}}}, `package "etcd" is named twice`},
		"channel twice":           {catalog.Request{Packages: []p{{Name: "etcd", Channels: append(channels, channels...)}}}, `channel "stable" is named twice`},
		"range of the package":    {catalog.Request{Packages: []p{{Name: "etcd", Min: "1.0.0", Channels: channels}}}, ""},
		"bounds that are no good": {catalog.Request{Packages: []p{{Name: "etcd", Min: ">=1"}}}, `package "etcd": lowest version ">=1"`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { wantError(t, test.request.Check(), test.want) })
	}
}

// TestRequestString reads what a request is rendered as.
func TestRequestString(t *testing.T) {
	for _, s := range []string{"", "*", "a", "a,b", "a:stable", "a:stable:1.0.0", "a:stable:1.0.0..2.0.0", "a::..2.0.0", "a::1.0.0,b:x:..3.0.0,b:y"} {
		r, err := catalog.ParseRequest(s)
		if err != nil {
			t.Errorf("%q: %v", s, err)
			continue
		}
		if got := r.String(); got != s {
			t.Errorf("%q is rendered as %q", s, got)
		}
	}
	r := catalog.Request{Full: true, Packages: []catalog.PackageRequest{{Name: "a", DefaultChannel: "x"}, {Name: "b"}}}
	if got := r.String(); got != "a,b full default a=x" {
		t.Errorf("got %q", got)
	}
	for _, name := range []string{"größe", "a b", "a\x1b"} {
		for _, r := range []catalog.Request{
			{Packages: []catalog.PackageRequest{{Name: name}}},
			{Packages: []catalog.PackageRequest{{Name: "a", Channels: []catalog.ChannelRequest{{Name: name}}}}},
		} {
			if err := r.Check(); err == nil {
				t.Errorf("%q is accepted", name)
			}
		}
	}
}
