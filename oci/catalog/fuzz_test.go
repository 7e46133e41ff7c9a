package catalog_test

import (
	"bytes"
	"io"
	"testing"

	"satchel/oci/catalog"
)

// FuzzRead reads anything, selects from it, and reads what it wrote.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		etcd + deprecations + otherDocuments, fields, "---\n---\nschema: x\n--- # c\n{\"schema\":\"y\"}\n", `{"schema":"x"}{`,
		"a: &a [b]\nschema: x\nb: *a\n<<: {c: d}\n", "schema: yes\n", "\ufeff{\"schema\":\"\\u0041\"}\n---\n{}",
		pkg("etcd", "stable: 1.0.0<1.1.0 1.1.0<1.0.0 1.2.0"),
	} {
		f.Add([]byte(seed), "*.md\n!a/**/b\n", "etcd:stable:1.0.0..2")
	}
	f.Fuzz(func(t *testing.T, content []byte, patterns, request string) {
		all := files(".indexignore", patterns, "d/c.json", string(content))
		c, err := catalog.Read(t.Context(), catalog.FS(all))
		if err != nil {
			return
		}
		c.Check()
		r, err := catalog.ParseRequest(request)
		if err != nil {
			r = catalog.Request{}
		}
		for _, r := range []catalog.Request{r, {}, {Full: true}} {
			s, err := c.Select(r)
			if err != nil {
				continue
			}
			s.Images()
			var out bytes.Buffer
			if err := s.Write(t.Context(), &out, catalog.FS(all)); err != nil {
				t.Fatal(err)
			}
			again := files("c.json", out.String())
			back, err := catalog.Read(t.Context(), catalog.FS(again))
			if err != nil {
				t.Fatalf("%v\n%s", err, out.Bytes())
			}
			if problems := back.Check(); !s.Whole && len(problems) > 0 {
				t.Fatalf("%q\n%s", problems, out.Bytes())
			}
			whole, err := back.Select(catalog.Request{Full: true})
			if err != nil {
				continue // there was nothing in it
			}
			var second bytes.Buffer
			if err := whole.Write(t.Context(), io.MultiWriter(&second), catalog.FS(again)); err != nil || !bytes.Equal(out.Bytes(), second.Bytes()) {
				t.Fatalf("%v: written twice, it differs:\n%s\n%s", err, out.Bytes(), second.Bytes())
			}
		}
	})
}
