package catalog_test

import (
	"fmt"
	"slices"
	"testing"

	"satchel/oci/catalog"
)

func gvk(kind, property string) string {
	return fmt.Sprintf(`{"type":"olm.gvk%s","value":{"group":"x.example","version":"v1","kind":%q}}`, property, kind)
}

func needs(name, versions string) string {
	return fmt.Sprintf(`{"type":"olm.package.required","value":{"packageName":%q,"versionRange":%q}}`, name, versions)
}

func constraint(value string) string {
	return `{"type":"olm.constraint","value":` + value + `}`
}

func TestLacking(t *testing.T) {
	const (
		apiA = `{"gvk":{"group":"x.example","version":"v1","kind":"A"}}`
		apiB = `{"gvk":{"group":"x.example","version":"v1","kind":"B"}}`
		none = `{"package":{"packageName":"nowhere","versionRange":"1.0.0"}}`
	)
	// app needs what the other packages have: a has API A at its head, b has B
	// only in an older version, c only in another channel.
	others := pkg("a", "stable: 1.0.0 2.0.0<1.0.0")[:len(pkg("a", "stable: 1.0.0 2.0.0<1.0.0"))-len(bundle("a", "2.0.0"))] + bundle("a", "2.0.0", gvk("A", "")) +
		pkg("b", "stable: 1.0.0 2.0.0<1.0.0 3.0.0<2.0.0") + pkg("c", "stable: 1.0.0", "fast: 2.0.0") +
		pkg("e", "stable: 1.0.0 3.0.0<1.0.0", "alpha: 1.0.0 2.0.0<1.0.0")
	others = replaceOnce(t, others, bundle("b", "2.0.0"), bundle("b", "2.0.0", gvk("B", "")))
	others = replaceOnce(t, others, bundle("c", "2.0.0"), bundle("c", "2.0.0", gvk("C", "")))
	others = replaceOnce(t, others, bundle("e", "1.0.0"), bundle("e", "1.0.0", gvk("E", "")))
	others = replaceOnce(t, others, bundle("e", "2.0.0"), bundle("e", "2.0.0", gvk("E", "")))
	tests := map[string]struct {
		property, with string
		text, add      string
	}{
		"an API":                    {gvk("A", ".required"), "", "app.1.0.0: needs the API x.example/v1 A, which is not selected", "a:stable"},
		"an API of its own":         {gvk("Own", ".required"), "", "", ""},
		"an API that is selected":   {gvk("A", ".required"), "a", "", ""},
		"an API not at the head":    {gvk("B", ".required"), "", "app.1.0.0: needs the API x.example/v1 B, which is not selected", "b:stable:2.0.0..2.0.0"},
		"only the head is selected": {gvk("B", ".required"), "b", "app.1.0.0: needs the API x.example/v1 B, which is not selected", "b:stable:2.0.0..2.0.0"},
		"an API of another channel": {gvk("C", ".required"), "", "app.1.0.0: needs the API x.example/v1 C, which is not selected", "c:stable,c:fast:2.0.0..2.0.0"},
		"an API of two channels":    {gvk("E", ".required"), "", "app.1.0.0: needs the API x.example/v1 E, which is not selected", "e:stable:1.0.0..1.0.0"},
		"an API of nobody":          {gvk("D", ".required"), "", "app.1.0.0: needs the API x.example/v1 D, which is not selected and not in this catalog", ""},
		"a package":                 {needs("a", ">=1.0.0"), "", "app.1.0.0: needs package a >=1.0.0, which is not selected", "a:stable"},
		"a package, any version":    {needs("a", ""), "", "app.1.0.0: needs package a, which is not selected", "a:stable"},
		"a package, odd range":      {needs("a", "newest"), "", "app.1.0.0: needs package a newest, which is not selected", "a:stable"},
		"a package that is there":   {needs("a", ">=1.0.0"), "a", "", ""},
		"another version of it":     {needs("a", "<2.0.0"), "a", "app.1.0.0: needs package a <2.0.0, which is not selected", "a:stable:1.0.0..1.0.0"},
		"no such version":           {needs("a", ">2.0.0"), "a", "app.1.0.0: needs package a >2.0.0, which is not selected and not in this catalog", ""},
		"no such package":           {needs("nowhere", ""), "", "app.1.0.0: needs package nowhere, which is not selected and not in this catalog", ""},
		"all":                       {constraint(`{"all":{"constraints":[` + apiA + `,` + apiB + `]}}`), "a", "app.1.0.0: needs the API x.example/v1 B, which is not selected", "b:stable:2.0.0..2.0.0"},
		"any, one there":            {constraint(`{"any":{"constraints":[` + none + `,` + apiA + `]}}`), "a", "", ""},
		"any, none there":           {constraint(`{"any":{"constraints":[` + none + `,` + apiA + `]}}`), "", "app.1.0.0: needs package nowhere 1.0.0 or the API x.example/v1 A, which is not selected", "a:stable"},
		"any, but CEL":              {constraint(`{"any":{"constraints":[` + none + `,{"cel":{"rule":"true"}}]}}`), "", "", ""},
		"not":                       {constraint(`{"not":{"constraints":[` + none + `]}}`), "", "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			app := replaceOnce(t, pkg("app", "stable: 1.0.0"), bundle("app", "1.0.0"), bundle("app", "1.0.0", gvk("Own", ""), test.property))
			r := catalog.Request{Packages: []catalog.PackageRequest{{Name: "app"}}}
			if test.with != "" {
				r.Packages = append(r.Packages, catalog.PackageRequest{Name: test.with})
			}
			c := read(t, files("c.json", app+others))
			if problems := c.Check(); len(problems) > 0 {
				t.Fatal(problems)
			}
			s := choose(t, c, r)
			var want []catalog.Warning
			if test.text != "" {
				want = []catalog.Warning{{Package: "app", Text: test.text, Add: test.add}}
			}
			if !slices.Equal(s.Warnings, want) {
				t.Errorf("got  %q\nwant %q", s.Warnings, want)
			}
			// What is to be added puts it right.
			if test.add != "" && test.with == "" {
				more, err := catalog.ParseRequest("app," + test.add)
				if err != nil {
					t.Fatal(err)
				}
				if s := choose(t, c, more); len(s.Warnings) > 0 {
					t.Errorf("with %s: %q", test.add, s.Warnings)
				}
			}
		})
	}
}

// TestLackingOnce names all bundles that need the same in one warning.
func TestLackingOnce(t *testing.T) {
	all := pkg("app", "stable: 1.0.0 1.1.0<1.0.0")
	for _, v := range []string{"1.0.0", "1.1.0"} {
		all = replaceOnce(t, all, bundle("app", v), bundle("app", v, needs("odf", ""), needs("odf", "")))
	}
	s := choose(t, read(t, files("c", all)), catalog.Request{Full: true, Packages: []catalog.PackageRequest{{Name: "app"}}})
	if len(s.Warnings) != 1 || s.Warnings[0].Text != "app.1.0.0, app.1.1.0: needs package odf, which is not selected and not in this catalog" {
		t.Errorf("%q", s.Warnings)
	}
}
