package catalog_test

import (
	"slices"
	"strings"
	"testing"

	"satchel/oci/catalog"
)

func TestCheck(t *testing.T) {
	deprecate := func(entries string) string {
		return etcd + `{"schema":"olm.deprecations","package":"etcd","entries":[` + entries + `]}`
	}
	const dep = `{"reference":{"schema":"olm.bundle","name":"etcd.1.0.0"},"message":"1"}`
	tests := map[string]struct {
		content string
		want    []string
	}{
		"valid":                 {etcd + deprecations, nil},
		"no channels":           {pkg("etcd", "stable:")[:strings.Index(pkg("etcd", "stable:"), "\n")], []string{`package "etcd": it has no channels`}},
		"no default channel":    {strings.Replace(etcd, `"defaultChannel":"stable"`, `"defaultChannel":null`, 1), []string{`package "etcd": it has no default channel`}},
		"another default":       {strings.Replace(etcd, `"defaultChannel":"stable"`, `"defaultChannel":"slow"`, 1), []string{`package "etcd": its default channel "slow" does not exist`}},
		"an odd default":        {strings.Replace(etcd, `"defaultChannel":"stable"`, `"defaultChannel":1`, 1), []string{`package "etcd": olm.package: defaultChannel: "1" is no text`, `package "etcd": it has no default channel`}},
		"no label of DNS":       {pkg("Etcd", "stable: 1.0.0"), []string{`package "Etcd": its name is no label of DNS`}},
		"a long name":           {pkg(strings.Repeat("a", 64), "stable: 1.0.0"), []string{`its name is no label of DNS`}},
		"of no package":         {pkgChannel("", "stable", "1.0.0"), []string{`it has 0 documents olm.package`, `its name is no label`, `no default channel`, `there is no bundle`}},
		"two heads":             {pkg("etcd", "stable: 1.0.0 2.0.0"), []string{`package "etcd" channel "stable": it has 2 heads instead of one: etcd.1.0.0, etcd.2.0.0`}},
		"many heads":            {pkg("etcd", "stable: 1.0.0 2.0.0 3.0.0 4.0.0 5.0.0 6.0.0"), []string{`it has 6 heads instead of one: etcd.1.0.0, etcd.2.0.0, etcd.3.0.0, etcd.4.0.0, etcd.5.0.0 and 1 more`}},
		"a cycle":               {pkg("etcd", "stable: 1.0.0<1.1.0 1.1.0<1.0.0 1.2.0<1.1.0"), []string{`its entries replace each other in a cycle, through "etcd.1.1.0"`}},
		"a cycle of skipped":    {pkg("etcd", "stable: 1.0.0<1.1.0 1.1.0<1.0.0 1.2.0<1.1.0~1.1.0~1.0.0"), nil},
		"stranded":              {pkg("etcd", "stable: 1.0.0<1.1.0 1.1.0<1.0.0 1.2.0"), []string{`the way down from its head "etcd.1.2.0" does not reach etcd.1.0.0, etcd.1.1.0`}},
		"a tail that is gone":   {pkg("etcd", "stable: 1.1.0<1.0.0", "old: 1.0.0"), nil},
		"skips nothing":         {strings.Replace(etcd, `["etcd.1.2.0"]`, `[""]`, 1), []string{`entry 4, "etcd.1.3.0", has or skips an empty name`}},
		"skips what is no name": {strings.Replace(etcd, `["etcd.1.2.0"]`, `[1]`, 1), []string{`entry 4: skips: "1" is no text`, `bundle "etcd.1.3.0" is in no channel`}},
		"no list":               {strings.Replace(etcd, `"entries":[`, `"entries":1,"x":[`, 1), []string{`channel "stable": "1" is no list`, "in no channel", "in no channel", "in no channel", "in no channel"}},
		"a channel twice":       {etcd + pkgChannel("etcd", "fast", "1.4.0"), []string{`channel "fast": its name is empty or stands twice`}},
		"no bundle":             {etcd + pkgChannel("etcd", "new", "9.0.0"), []string{`channel "new": there is no bundle for its entries etcd.9.0.0`}},
		"in no channel":         {etcd + bundle("etcd", "9.0.0"), []string{`bundle "etcd.9.0.0" is in no channel`}},
		"the same version":      {etcd + pkgChannel("etcd", "new", "9") + strings.Replace(bundle("etcd", "1.0.0"), `"name":"etcd.1.0.0"`, `"name":"etcd.9"`, 1), []string{`bundles "etcd.1.0.0" and "etcd.9" have the same version 1.0.0`}},
		"another release":       {etcd + pkgChannel("etcd", "new", "9") + strings.NewReplacer(`"name":"etcd.1.0.0"`, `"name":"etcd.9"`, `"version"`, `"release":"2","version"`).Replace(bundle("etcd", "1.0.0")), nil},
		"no version":            {etcd + pkgChannel("etcd", "new", "v9") + bundle("etcd", "v9"), []string{`bundle "etcd.v9": version "v9": `}},
		"another's property":    {etcd + pkgChannel("etcd", "new", "9.0.0") + strings.Replace(bundle("etcd", "9.0.0"), `"packageName":"etcd"`, `"packageName":"odf"`, 1), []string{`bundle "etcd.9.0.0": property 1, "olm.package": package "odf" is not that of the bundle, "etcd"`}},
		"no image":              {strings.Replace(etcd, `"image":"r.example/etcd-bundle:1.0.0",`, ``, 1), []string{`bundle "etcd.1.0.0" has no image`}},
		"manifests instead":     {strings.Replace(etcd+pkgChannel("etcd", "new", "9.0.0")+bundle("etcd", "9.0.0", `{"type":"olm.bundle.object","value":{"data":""}}`), `"image":"r.example/etcd-bundle:9.0.0",`, ``, 1), nil},
		"a bundle without name": {strings.Replace(etcd, `"olm.bundle","package":"etcd","name":"etcd.1.0.0"`, `"olm.bundle","package":"etcd"`, 1), []string{`there is no bundle for its entries etcd.1.0.0`, `bundle without name`}},
		"deep constraints":      {strings.Replace(etcd, bundle("etcd", "1.0.0"), bundle("etcd", "1.0.0", constraint(strings.Repeat(`{"all":{"constraints":[`, 20)+strings.Repeat(`]}}`, 20))), 1), []string{`bundle "etcd.1.0.0": property 2, "olm.constraint": constraints nested deeper than 16`}},
		"related images":        {strings.Replace(etcd, `"relatedImages":[`, `"relatedImages":[1,`, 1), []string{`bundle "etcd.1.0.0": relatedImages: "1" is no mapping`}},
		"deprecates nothing":    {deprecate(`{"reference":{"schema":"olm.bundle","name":"etcd.9"},"message":"1"},{"reference":{"schema":"x"},"message":"1"},{"reference":{"schema":"olm.package","name":"etcd"},"message":"x"}`), []string{`it deprecates olm.bundle "etcd.9", which it does not have`, `deprecates x ""`, `deprecates olm.package "etcd"`}},
		"deprecates twice":      {deprecate(dep + "," + dep), []string{`it deprecates olm.bundle "etcd.1.0.0" twice`}},
		"deprecates in silence": {deprecate(strings.Replace(dep, `"1"`, `""`, 1)), []string{`it deprecates olm.bundle "etcd.1.0.0" without a message`}},
		"two deprecations":      {deprecate(dep) + deprecations, []string{`it has 2 documents olm.deprecations`, `olm.bundle "etcd.1.0.0" twice`}},
		"odd deprecations":      {deprecate("1"), []string{`olm.deprecations: "1" is no mapping`, `deprecates  ""`}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			problems := read(t, files("c", test.content)).Check()
			if len(problems) != len(test.want) {
				t.Errorf("%d problems, want %d: %q", len(problems), len(test.want), problems)
			}
			for _, want := range test.want {
				if !slices.ContainsFunc(problems, func(p catalog.Problem) bool { return strings.Contains(p.String(), want) }) {
					t.Errorf("problems %q, want %q", problems, want)
				}
			}
		})
	}
}
