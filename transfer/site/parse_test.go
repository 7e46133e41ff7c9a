package site_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"satchel/oci"
	"satchel/transfer/site"
)

func parsed(t testing.TB, text string) site.Redirects {
	t.Helper()
	r, err := site.ParseMirrorSets([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// listed is what a file says, in one line.
func listed(r site.Redirects) string {
	var all []string
	for _, one := range r {
		all = append(all, one.Source+">"+strings.Join(one.Mirrors, ","))
	}
	return strings.Join(all, " ")
}

const (
	idms = `apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: a, labels: {x: "y"}}
spec:
  imageDigestMirrors:
  - {source: quay.example/b, mirrors: [one.example/b, two.example/b], mirrorSourcePolicy: NeverContactSource}
  - mirrors: [one.example/a]
    source: quay.example/a
status: {}
`
	itms = `{"apiVersion": "config.openshift.io/v1", "kind": "ImageTagMirrorSet", "spec": {"imageTagMirrors": [{"source": "t.example", "mirrors": ["one.example/t"]}]}}
`
	icsp = `kind: ImageContentSourcePolicy
spec:
  repositoryDigestMirrors: [{source: c.example/c, mirrors: [one.example/c]}]
`
)

func TestParseMirrorSets(t *testing.T) {
	const inIDMS = "quay.example/b>one.example/b,two.example/b quay.example/a>one.example/a"
	indented := func(s string) string { return "  " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n  ") + "\n" }
	for name, test := range map[string]struct{ text, want string }{
		"digests":       {idms, inIDMS},
		"tags, as JSON": {itms, "t.example>one.example/t"},
		"policies":      {icsp, "c.example/c>one.example/c"},
		"documents":     {"---\n" + itms + "---\n" + icsp + "...\n---\n# nothing\n---\n" + idms, "t.example>one.example/t c.example/c>one.example/c " + inIDMS},
		"list":          {"apiVersion: v1\nkind: List\nitems:\n-\n" + indented(idms) + "-\n" + indented(icsp), inIDMS + " c.example/c>one.example/c"},
		"kinds of others": {"kind: ConfigMap\nspec: {imageDigestMirrors: [{source: x.example, mirrors: [y.example]}]}\ndata: {a: b}\n---\n" + icsp,
			"c.example/c>one.example/c"},
		"other fields are nothing": {"kind: ImageTagMirrorSet\nspec: {imageTagMirrors: []}\n", ""},
		"Windows":                  {strings.ReplaceAll(icsp, "\n", "\r\n"), "c.example/c>one.example/c"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := listed(parsed(t, test.text)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	deep := strings.Repeat("[", 20_000)
	laughs := "a: &a {kind: List}\n"
	for c := 'b'; c < 'k'; c++ {
		laughs += fmt.Sprintf("%c: &%c {items: [*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c,*%c]}\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	for name, test := range map[string]struct{ text, says string }{
		"empty":          {"", "no ImageDigestMirrorSet"},
		"of others":      {"kind: ConfigMap\n", "no ImageDigestMirrorSet"},
		"no YAML":        {"kind: [", "yaml"},
		"a text":         {"a text", "yaml"},
		"broken behind":  {icsp + "---\nkind: [", "yaml"},
		"no source":      {"kind: ImageDigestMirrorSet\nspec: {imageDigestMirrors: [{mirrors: [x.example]}]}\n", "no source or no mirrors"},
		"no mirrors":     {"kind: ImageDigestMirrorSet\nspec: {imageDigestMirrors: [{source: x.example}]}\n", `"x.example" has no source or no mirrors`},
		"mirror no list": {"kind: ImageDigestMirrorSet\nspec: {imageDigestMirrors: [{source: x.example, mirrors: {a: b}}]}\n", "yaml"},
		"too large":      {icsp + "#" + strings.Repeat("x", site.MaxMirrorSets), "are more than 16777216"},
		"deep":           {"kind: " + deep, "yaml"},
		"bomb":           {"kind: ImageDigestMirrorSet\nspec:\n  imageDigestMirrors: *j\n", "yaml"},
		"laughs":         {"kind: List\n" + laughs + "items: [*j]\n", "it is not what oc get"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := site.ParseMirrorSets([]byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// TestParseOwnMirrorSets reads back what satchel writes.
func TestParseOwnMirrorSets(t *testing.T) {
	files, err := filepath.Glob("testdata/*/image*[ty].yaml") // not the patches
	if err != nil || len(files) < 4 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, r := range decode(t, string(content)) {
			for _, m := range r.mirrors() {
				want = append(want, m.Source+">"+strings.Join(m.Mirrors, ","))
			}
		}
		if got := listed(parsed(t, string(content))); got != strings.Join(want, " ") || got == "" {
			t.Errorf("%s: got %q, want %q", file, got, want)
		}
	}
}

func TestRedirectsRepositories(t *testing.T) {
	r := site.Redirects{
		{"quay.example", []string{"one.example/all"}},
		{"quay.example/org", []string{"one.example/org", "two.example/org"}},
		{"quay.example/org/app", []string{"one.example/app"}},
		{"quay.example/org", []string{"three.example/org", "one.example/org"}},
		{"*.wild.example", []string{"one.example/wild"}},
		{"a.wild.example/x", []string{"one.example/x"}},
		{"port.example:5000", []string{"port.example:5001", "port.example:5000"}},
		{"bad.example", []string{"UPPER.example/Bad", "one.example/../bad", "", "one.example/good"}},
	}
	for _, test := range []struct{ repository, want string }{
		{"quay.example/org/app", "one.example/app"},
		{"quay.example/org/app/deeper", "one.example/app/deeper"},
		{"quay.example/org/application", "one.example/org/application two.example/org/application three.example/org/application"},
		{"quay.example/org", "one.example/org two.example/org three.example/org"},
		{"quay.example/organisation/x", "one.example/all/organisation/x"},
		{"quay.example/x", "one.example/all/x"},
		{"quay.example.org/x", ""},
		{"other.example/quay.example/x", ""},
		{"a.wild.example:5000/y", ""}, // a port behind the mirror's path is no name, for nodes neither
		{"a.wild.example/y", "one.example/wild/y"},
		{"a.b.wild.example/y/z", "one.example/wild/y/z"},
		{"a.wild.example/x", "one.example/x"},
		{"a.wild.example/x/y", "one.example/x/y"},
		{"wild.example/y", ""},
		{"awild.example/y", ""},
		{"port.example:5000/x", "port.example:5001/x"},
		{"port.example:50001/x", ""},
		{"port.example/x", ""},
		{"bad.example/y", "one.example/good/y"},
	} {
		if got := strings.Join(r.Repositories(test.repository), " "); got != test.want {
			t.Errorf("%s: got %q, want %q", test.repository, got, test.want)
		}
	}
	if got := site.Redirects(nil).Repositories("quay.example/x"); len(got) > 0 {
		t.Errorf("nothing gives %q", got)
	}
}

// FuzzParseMirrorSets: whatever a file says, what comes of it are names of
// repositories, each once, and never the one that was asked for.
func FuzzParseMirrorSets(f *testing.F) {
	for _, seed := range []string{idms, itms, icsp, "---\n" + idms + "---\n" + icsp,
		"kind: ImageDigestMirrorSet\nspec: {imageDigestMirrors: [{source: '*.example', mirrors: ['', '../x', 'A', 'x.example:1/y']}]}\n",
		"kind: List\nitems:\n- kind: ImageTagMirrorSet\n  spec: {imageTagMirrors: [{source: quay.example/, mirrors: [x.example/]}]}\n",
		"kind: ImageDigestMirrorSet\nspec: {imageDigestMirrors: [{source: '*', mirrors: [x.example]}]}\n",
		"a: &a [*a]\n"} {
		f.Add([]byte(seed), "quay.example/a/b")
	}
	f.Fuzz(func(t *testing.T, data []byte, repository string) {
		if oci.CheckRepository(repository) != nil {
			repository = "quay.example/a"
		}
		r, err := site.ParseMirrorSets(data)
		if err != nil && r != nil {
			t.Fatalf("got %v with %v", r, err)
		}
		again, _ := site.ParseMirrorSets(bytes.Clone(data))
		if listed(again) != listed(r) {
			t.Fatalf("got %v and %v", r, again)
		}
		found := r.Repositories(repository)
		for i, name := range found {
			if err := oci.CheckRepository(name); err != nil || name == repository || slices.Contains(found[:i], name) {
				t.Errorf("of %s, %q gives %q: %v", repository, data, found, err)
			}
		}
	})
}
