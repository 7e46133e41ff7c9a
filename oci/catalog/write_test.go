package catalog_test

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"satchel/oci/catalog"
)

func replaceOnce(t testing.TB, s, old, with string) string {
	t.Helper()
	if strings.Count(s, old) != 1 {
		t.Fatalf("%q stands %d times", old, strings.Count(s, old))
	}
	return strings.Replace(s, old, with, 1)
}

const deprecations = `{"schema":"olm.deprecations","package":"etcd","entries":[` +
	`{"reference":{"schema":"olm.package"},"message":"p"},` +
	`{"reference":{"schema":"olm.channel","name":"fast"},"message":"f"},` +
	`{"reference":{"schema":"olm.channel","name":"stable"},"message":"s"},` +
	`{"reference":{"schema":"olm.bundle","name":"etcd.1.0.0"},"message":"1"},` +
	`{"message":"2","reference":{"name":"etcd.2.0.0","schema":"olm.bundle"}, "more":[1.0, "<&>\u0000"]}]}` + "\n"

const otherDocuments = `{"schema":"x.icon","package":"etcd","image":"r.example/icon:1"}
{"schema":"x.icon","package":"odf","image":"r.example/none:1"}
{"schema":"x.all","name":"z","relatedImages":[{"image":"r.example/all:1"},{"image":""},{"image":1},2]}
{"schema":"x.all","name":"a","image":{"not":"text"},"relatedImages":"none"}
{"schema":"a.first","image":"r.example/all:1"}
`

func TestWrite(t *testing.T) {
	all := files("b.json", pkg("odf", "stable: 1.0.0")+otherDocuments+deprecations, "a.json", etcd)
	c := read(t, all)
	if problems := c.Check(); len(problems) > 0 {
		t.Fatal(problems)
	}
	r, err := catalog.ParseRequest("etcd:stable:1.4.0..2.0.0")
	if err != nil {
		t.Fatal(err)
	}
	s := choose(t, c, r)
	got := write(t, s, all)
	want := `{"schema":"a.first","image":"r.example/all:1"}
{"schema":"x.all","name":"a","image":{"not":"text"},"relatedImages":"none"}
{"schema":"x.all","name":"z","relatedImages":[{"image":"r.example/all:1"},{"image":""},{"image":1},2]}
{"schema":"olm.package","name":"etcd","defaultChannel":"stable"}
{"schema":"olm.channel","package":"etcd","name":"stable","entries":[{"name":"etcd.1.4.0","replaces":"etcd.1.3.0"},{"name":"etcd.2.0.0","replaces":"etcd.1.4.0"}]}
` + bundle("etcd", "1.4.0") + bundle("etcd", "2.0.0") +
		`{"schema":"olm.deprecations","package":"etcd","entries":[{"reference":{"schema":"olm.package"},"message":"p"},` +
		`{"reference":{"schema":"olm.channel","name":"stable"},"message":"s"},` +
		`{"message":"2","reference":{"name":"etcd.2.0.0","schema":"olm.bundle"},"more":[1.0,"<&>\u0000"]}]}
{"schema":"x.icon","package":"etcd","image":"r.example/icon:1"}
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	images := []string{"r.example/all:1", "r.example/etcd-bundle:1.4.0", "r.example/etcd-bundle:2.0.0", "r.example/etcd:1.4.0", "r.example/etcd:2.0.0", "r.example/icon:1"}
	if names := imageNames(s); !slices.Equal(names, images) {
		t.Errorf("images %q", names)
	}
	if i := s.Images()[1]; !reflect.DeepEqual(i, catalog.Image{Reference: images[1], Operators: []string{"etcd"}, Bundles: []string{"etcd.1.4.0"}}) {
		t.Errorf("%+v", i)
	}
	// What was written is valid, and all of it is the same selection.
	again := read(t, files("x", got))
	if problems := again.Check(); len(problems) > 0 {
		t.Error(problems)
	}
	if got != write(t, choose(t, again, catalog.Request{Full: true}), files("x", got)) {
		t.Error("written again, it is different")
	}
}

// TestWriteOrder writes the same from files in any order and with any memory.
func TestWriteOrder(t *testing.T) {
	var documents []string
	for _, text := range []string{etcd, pkg("odf", "stable: 1.0.0 2.0.0<1.0.0", "beta: 3.0.0"), otherDocuments, deprecations} {
		documents = append(documents, strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")...)
	}
	random := rand.New(rand.NewPCG(1, 2))
	want := ""
	for i := range 20 {
		random.Shuffle(len(documents), func(i, j int) { documents[i], documents[j] = documents[j], documents[i] })
		all := make(fstest.MapFS)
		for len(documents) > 0 {
			n := 1 + random.IntN(min(len(documents), 5))
			name := string('a'+rune(random.IntN(26))) + "/" + string('a'+rune(len(all)))
			all[name] = &fstest.MapFile{Data: []byte(strings.Join(documents[:n], "\n"))}
			documents = documents[n:]
		}
		for _, f := range all {
			documents = append(documents, strings.Split(strings.ReplaceAll(string(f.Data), "\n\n", "\n"), "\n")...)
		}
		documents = slices.DeleteFunc(documents, func(s string) bool { return s == "" })
		c, err := catalog.Read(t.Context(), backwards(all))
		if err != nil {
			t.Fatal(err)
		}
		s := choose(t, c, catalog.Request{Full: i%2 == 0, Packages: []catalog.PackageRequest{{Name: "odf"}, {Name: "etcd"}}})
		var got strings.Builder
		calls := 0
		source := func(ctx context.Context, visit func(string, io.Reader) error) error {
			calls++
			return backwards(all)(ctx, visit)
		}
		memory := random.IntN(4000)
		if err := s.DocumentsIn(t.Context(), source, memory, func(d catalog.Document) error {
			got.Write(d.JSON)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = got.String()
		}
		if i%2 == 0 && got.String() != want {
			t.Errorf("got\n%s\nwant\n%s", got.String(), want)
		}
		if passes := got.Len()/max(memory, 1) + 1; memory < 1000 && calls < min(passes, 3) {
			t.Errorf("%d bytes in memory of %d bytes with %d passes", got.Len(), memory, calls)
		}
	}
}

// TestWriteDropsDeprecations leaves no empty list.
func TestWriteDropsDeprecations(t *testing.T) {
	all := files("a", pkg("etcd", "stable: 1.0.0 2.0.0<1.0.0")+
		`{"schema":"olm.deprecations","package":"etcd","entries":[{"reference":{"schema":"olm.bundle","name":"etcd.1.0.0"},"message":"1"}]}`)
	c := read(t, all)
	if got := write(t, choose(t, c, catalog.Request{}), all); strings.Contains(got, "deprecations") {
		t.Error(got)
	}
	if got := write(t, choose(t, c, catalog.Request{Full: true, Packages: []catalog.PackageRequest{{Name: "etcd"}}}), all); !strings.Contains(got, "deprecations") {
		t.Error(got)
	}
}

func TestWriteFailures(t *testing.T) {
	all := files("a.json", etcd, "b.json", pkg("odf", "stable: 1.0.0"), "c.md", "x", ".indexignore", "*.md")
	s := choose(t, read(t, all), catalog.Request{})
	full := errors.New("disk full")
	broken := errors.New("broken layer")
	changed := func(name, content string) catalog.Source {
		other := make(fstest.MapFS)
		for n, f := range all {
			other[n] = f
		}
		other[name] = &fstest.MapFile{Data: []byte(content)}
		if content == "" {
			delete(other, name)
		}
		return catalog.FS(other)
	}
	tests := map[string]struct {
		source catalog.Source
		want   string
	}{
		"nothing wrong":   {backwards(all), ""},
		"a file is gone":  {changed("b.json", ""), `file "b.json": document 1: not what was read before`},
		"a file is cut":   {changed("b.json", strings.SplitAfter(pkg("odf", "stable: 1.0.0"), "\n")[0]), `file "b.json": document 2: not what was read before`},
		"another catalog": {changed("b.json", pkg("ofd", "stable: 1.0.0")), `file "b.json": document 1: not what was read before`},
		"another version": {changed("b.json", strings.Replace(pkg("odf", "stable: 1.0.0"), "r.example/", "quay.example/", 1)), `file "b.json": document 3: not what was read before`},
		"damage":          {changed("b.json", pkg("odf", "stable: 1.0.0")[:40]), `unexpected EOF`},
		"the layer is broken": {func(ctx context.Context, visit func(string, io.Reader) error) error {
			return errors.Join(backwards(all)(ctx, visit), broken)
		}, "broken layer"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			err := s.Write(t.Context(), &b, test.source)
			wantError(t, err, test.want)
			if (test.want == "") != (b.Len() > 0) {
				t.Errorf("%d bytes were written", b.Len())
			}
		})
	}
	if err := s.Write(t.Context(), failing{full}, backwards(all)); !errors.Is(err, full) {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Write(ctx, io.Discard, backwards(all)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
