package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"satchel/oci/catalog"
)

// fields of one bundle with all that is kept of one.
const fields = `
schema: olm.bundle
package: etcd
name: etcd.1.0.0
image: r.example/etcd-bundle@sha256:aa
relatedImages:
- {name: a, image: "r.example/etcd:1"}
- {name: b, image: "r.example/etcd:1"}
- {name: c, image: ""}
- {name: d, image: r.example/other:1}
properties:
- {type: olm.package, value: {packageName: etcd, version: 1.0.0, release: "7"}}
- {type: olm.gvk, value: {group: etcd.example, version: v1, kind: Etcd}}
- {type: olm.gvk.required, value: {group: x.example, version: v2, kind: X}}
- {type: olm.package.required, value: {packageName: odf, versionRange: ">=4.1.0"}}
- type: olm.constraint
  value:
    failureMessage: both
    all: {constraints: [{package: {packageName: p, versionRange: "<2.0.0"}}, {cel: {rule: "true"}}, {not: {constraints: []}}]}
- type: olm.constraint
  value: {any: {constraints: [{gvk: {group: "", version: v1, kind: Why}}, {package: {packageName: q}}]}}
- type: olm.constraint
  value: {any: {constraints: [{gvk: {group: "", version: v1, kind: Zed}}, {cel: {rule: "true"}}]}}
- {type: olm.constraint, value: {cel: {rule: "true"}}}
- {type: olm.bundle.object, value: {data: AAAA}}
- {type: something.else, value: [1, 2]}
`

func TestReadBundle(t *testing.T) {
	c := read(t, files("x.yaml", fields))
	want := catalog.Bundle{
		Name: "etcd.1.0.0", Version: "1.0.0", Release: "7", Image: "r.example/etcd-bundle@sha256:aa",
		Related:  []string{"r.example/etcd:1", "r.example/other:1"},
		Provides: []catalog.GVK{{"etcd.example", "v1", "Etcd"}},
		Requires: []catalog.Requirement{
			{GVK: catalog.GVK{"x.example", "v2", "X"}},
			{Package: "odf", Range: ">=4.1.0"},
			{All: []catalog.Requirement{{Package: "p", Range: "<2.0.0"}}},
			{Any: []catalog.Requirement{{GVK: catalog.GVK{"", "v1", "Why"}}, {Package: "q"}}},
		},
	}
	got := c.Packages[0].Bundles[0]
	if catalog.Inlined(&got); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestReadForms reads one catalog in many forms.
func TestReadForms(t *testing.T) {
	const pkgYAML, channelYAML = "schema: olm.package\nname: etcd\ndefaultChannel: stable\n", "schema: olm.channel\npackage: etcd\nname: stable\nentries:\n- name: etcd.1.0.0\n"
	const pkgJSON = `{"schema":"olm.package","name":"etcd","defaultChannel":"stable"}`
	const channelJSON = `{"schema":"olm.channel","package":"etcd","name":"stable","entries":[{"name":"etcd.1.0.0"}]}`
	bundleJSON := strings.TrimSpace(bundle("etcd", "1.0.0"))
	join := strings.Join
	forms := map[string]fstest.MapFS{
		"lines of JSON":           files("c.json", join([]string{pkgJSON, channelJSON, bundleJSON}, "\n")),
		"JSON without space":      files("c.yaml", pkgJSON+channelJSON+bundleJSON),
		"JSON in lines":           files("c", strings.ReplaceAll(pkgJSON+channelJSON+bundleJSON, ",", "\n,\r\n  ")),
		"JSON, YAML's separators": files("c.json", "\n\n"+join([]string{pkgJSON, channelJSON, bundleJSON}, "\n--- \n---\n")+"\n---\n"),
		"YAML":                    files("c.yaml", join([]string{"", pkgYAML, channelYAML, bundleJSON + "\n"}, "---\n")),
		"YAML, dressed up":        files("c.yaml", "\ufeff"+join([]string{"# a comment\n\n", pkgYAML, "", "# none\n", channelYAML, " \n", bundleJSON}, "--- # next\r\n")),
		"YAML, JSON in it":        files("c.yaml", join([]string{"# x\n", pkgJSON, channelJSON, bundleJSON}, "\n---\n")),
		"YAML, no end of line":    files("c.yaml", pkgYAML+"---\n"+bundleJSON+"\n---\n"+strings.TrimSpace(channelYAML)),
		"YAML in braces":          files("c.yaml", "{schema: olm.package, name: 'etcd', defaultChannel: stable}\n---\n"+channelYAML+"---\n"+bundleJSON),
		"three files":             files("a/package.json", pkgJSON, "a/b/channels.yaml", channelYAML, "bundles", bundleJSON),
		"keys in another case":    files("c.json", strings.NewReplacer(`"schema"`, `"Schema"`, `"name"`, `"NAME"`, `"relatedImages"`, `"relatedimages"`, `"entries"`, `"Entries"`).Replace(pkgJSON+channelJSON+bundleJSON)),
		"escapes":                 files("c.json", strings.ReplaceAll(pkgJSON+channelJSON+bundleJSON, "etcd", `etc\u0064`)),
		"brackets in text":        files("c.json", strings.ReplaceAll(pkgJSON+channelJSON+bundleJSON, `{"schema"`, `{"x":["}","\"}","\\","\\\"{"],"\"":"","schema"`)),
		"aliases":                 files("c.yaml", "schema: &s olm.channel\npackage: &e etcd\nname: &n stable\nentries: &x [{name: etcd.1.0.0}]\n---\n"+pkgYAML+"---\n"+bundleJSON),
		"merged":                  files("c.yaml", "<<: &m {name: stable, schema: no}\n<<: [*m, {package: etcd}]\nschema: olm.channel\nentries: [{name: etcd.1.0.0}]\n---\n"+pkgYAML+"---\n"+bundleJSON),
		"ignored files":           files(".indexignore", "*.md\n", "x/README.md", "# {", "a.json", pkgJSON+channelJSON+bundleJSON, "x/.indexignore", "b.json", "x/b.json", "["),
		"an empty file":           files("c.json", pkgJSON+channelJSON+bundleJSON, "empty", "", "spaces", " \n", "comment", "# x\n---\n"),
	}
	want := read(t, forms["lines of JSON"])
	if len(want.Check()) > 0 || len(want.Packages[0].Bundles) != 1 {
		t.Fatal(want.Check())
	}
	for name, all := range forms {
		t.Run(name, func(t *testing.T) {
			c := read(t, all)
			if !reflect.DeepEqual(c.Packages, want.Packages) {
				t.Errorf("got  %+v\nwant %+v", c.Packages, want.Packages)
			}
			again, err := catalog.Read(t.Context(), backwards(all))
			if err != nil || !reflect.DeepEqual(again, c) {
				t.Errorf("backwards: %+v, %v", again, err)
			}
		})
	}
}

func TestReadRefusals(t *testing.T) {
	deep := strings.Repeat("[", catalog.MaxDepth+2) + strings.Repeat("]", catalog.MaxDepth+2)
	tests := map[string]struct{ content, want string }{
		"no schema":            {`{"name":"etcd"}`, `catalog: file "c": document 1: it has no schema`},
		"no schema in YAML":    {"schema: olm.package\nname: etcd\n---\nname: etcd\n", `document 2: it has no schema`},
		"schema that is none":  {`{"schema":1}`, `schema: "1" is no text`},
		"name that is none":    {`{"schema":"x","name":{}}`, `name: "{}" is no text`},
		"key twice":            {`{"schema":"x","Schema":"y"}`, `key "Schema" stands twice`},
		"key twice in YAML":    {"schema: x\nschema: y\n", `key "schema" stands twice`},
		"cut off":              {`{"schema":"olm.package","name":"etc`, `document 1: unexpected EOF`},
		"cut off later":        {`{"schema":"olm.package","name":"etcd"}{`, `document 2: unexpected EOF`},
		"a list":               {`[{"schema":"x"}]`, `is no mapping`},
		"text":                 {"just a README", `is no mapping`},
		"bytes":                {"\x7fELF\x00\x01", `document 1: yaml: control characters`},
		"bad JSON":             {`{"schema":"x",}`, `invalid character`},
		"between":              {`{"schema":"x"} x {"schema":"x"}`, `document 2: 'x' where a mapping should begin`},
		"between, too":         {"{\"schema\":\"x\"}\n--\n{\"schema\":\"x\"}", `where a mapping should begin`},
		"dashes, too":          {"{\"schema\":\"x\"}\n-{\"schema\":\"x\"}", `document 2: '{' where a mapping should begin`},
		"no separator":         {"schema: x\n--- a: b\nc: d\n", `"a: b" on the line that separates documents`},
		"another document":     {"schema: x\n...\nschema: y\n", `did not find expected <document start>`},
		"bad YAML":             {"schema: x\n\tname: y\n", `yaml: `},
		"no such alias":        {"schema: *x\n", `unknown anchor`},
		"a key that is a list": {"schema: x\n? [a]\n: b\n", `a key is no text`},
		"merging text":         {"schema: x\n<<: a\n", `only mappings can be merged`},
		"no number":            {"schema: x\na: .nan\n", `number ".nan"`},
		"deep":                 {"schema: x\na: " + deep, `nested deeper than 200`},
		"deep JSON":            {`{"schema":"x","a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + "}", `exceeded max depth`},
		"in itself":            {"schema: x\na: &a [*a]\n", `nested deeper than 200`},
		"merged into itself":   {"schema: x\na: &a\n  <<: *a\n", `nested deeper than 200`},
		"many values":          {"schema: x\na: [" + strings.Repeat(",", catalog.MaxMarks) + "]", `YAML with more than 500000 values`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			all := files("c", test.content)
			_, err := catalog.Read(t.Context(), catalog.FS(all))
			wantError(t, err, test.want)
			wantError(t, err, `catalog: file "c": document`)
			// Where it is ignored, it does no harm.
			all[".indexignore"] = &fstest.MapFile{Data: []byte("/c")}
			if _, err := catalog.Read(t.Context(), catalog.FS(all)); err != nil {
				t.Errorf("ignored: %v", err)
			}
		})
	}
}

func TestReadSources(t *testing.T) {
	broken := errors.New("broken layer")
	of := func(names ...string) catalog.Source {
		return func(_ context.Context, visit func(string, io.Reader) error) error {
			for _, name := range names {
				if err := visit(name, strings.NewReader("")); err != nil {
					return err
				}
			}
			return nil
		}
	}
	tests := map[string]struct {
		source catalog.Source
		want   error
	}{
		"fails":      {func(context.Context, func(string, io.Reader) error) error { return broken }, broken},
		"breaks off": {func(_ context.Context, visit func(string, io.Reader) error) error { return visit("a", broke{broken}) }, broken},
		"breaks off in patterns": {func(_ context.Context, visit func(string, io.Reader) error) error {
			return visit(".indexignore", broke{broken})
		}, broken},
		"twice":         {of("a", "a"), fs.ErrInvalid},
		"climbs":        {of("../a"), fs.ErrInvalid},
		"absolute":      {of("/a"), fs.ErrInvalid},
		"the root":      {of("."), fs.ErrInvalid},
		"a long name":   {of(strings.Repeat("a", catalog.MaxPath+1)), fs.ErrInvalid},
		"long patterns": {catalog.FS(files(".indexignore", strings.Repeat("a", catalog.MaxIgnore+1))), catalog.ErrLimit},
		"many files": {func(_ context.Context, visit func(string, io.Reader) error) (err error) {
			for i := 0; i <= catalog.MaxFiles && err == nil; i++ {
				err = visit(strconv.Itoa(i), strings.NewReader(""))
			}
			return err
		}, catalog.ErrLimit},
		"many documents":  {catalog.FS(files("c", strings.Repeat(`{"schema":"x"}`, catalog.MaxDocuments+1))), catalog.ErrLimit},
		"costly patterns": {catalog.FS(files(strings.Repeat("d/", 900)+"a.json", "{}", ".indexignore", strings.Repeat("/"+strings.Repeat("**/", 300)+"zz\n", catalog.MaxPatterns))), catalog.ErrLimit},
		"many patterns":   {catalog.FS(files("a/.indexignore", strings.Repeat("a\n", catalog.MaxPatterns), "b/.indexignore", "b")), catalog.ErrLimit},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := catalog.Read(t.Context(), test.source); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := catalog.Read(ctx, backwards(files("a", "schema: x"))); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestReadBombs reads a kilobyte that stands for millions of values. Ignoring
// the file does not help: it was read before that is known.
func TestReadBombs(t *testing.T) {
	bombs := map[string]string{"of lists": "schema: x\na: &a [x]\n", "of merges": "schema: x\na: &a {x: y}\n"}
	for c := 'b'; c < 'z'; c++ {
		ten := strings.Repeat(fmt.Sprintf("*%c,", c-1), 10)
		bombs["of lists"] += fmt.Sprintf("%c: &%c [%s]\n", c, c, ten)
		bombs["of merges"] += fmt.Sprintf("%c: &%c {<<: [%s]}\n", c, c, ten)
	}
	for name, bomb := range bombs {
		t.Run(name, func(t *testing.T) {
			_, err := catalog.Read(t.Context(), catalog.FS(files("c", bomb)))
			wantError(t, err, `catalog: file "c": document 1: aliases that stand for more than 200000 values: limit exceeded`)
		})
	}
}

// broke is a file that ends with an error after some bytes.
type broke struct{ err error }

func (b broke) Read(p []byte) (int, error) {
	return copy(p, "schema: x\n"), b.err
}

func TestFS(t *testing.T) {
	all := fstest.MapFS{"a/b": {Mode: fs.ModeNamedPipe}}
	_, err := catalog.Read(t.Context(), catalog.FS(all))
	wantError(t, err, `file "a/b" is no regular file`)
	if _, err := catalog.Read(t.Context(), catalog.FS(fstest.MapFS{"a/b": {Mode: fs.ModeDir}})); err != nil {
		t.Error(err)
	}
}
