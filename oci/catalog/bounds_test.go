package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"satchel/oci/catalog"
)

// repeated is a file of a beginning and then the same again and again.
type repeated struct {
	head string
	unit []byte
	left int // bytes after the head
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.head != "" {
		n := copy(p, r.head)
		r.head = r.head[n:]
		return n, nil
	}
	if r.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p, r.unit[r.at:])
	r.at = (r.at + n) % len(r.unit)
	r.left -= n
	return n, nil
}

func repeat(head, unit string, size int) catalog.Source {
	if n := len(unit); n < 1<<16 {
		unit = strings.Repeat(unit, 1<<16/n)
	}
	return func(_ context.Context, visit func(string, io.Reader) error) error {
		return visit("c", &repeated{head: head, unit: []byte(unit), left: size})
	}
}

// allocated is what f allocates in all, in bytes.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestHugeDocuments claims a gigabyte, and one time gets as far as may be.
func TestHugeDocuments(t *testing.T) {
	const gigabyte, small = 1 << 30, 1 << 20
	tests := map[string]struct {
		source catalog.Source
		most   int
	}{
		"the limit":      {repeat("schema: x\na: ", "a", gigabyte), catalog.MaxDocument},
		"text in JSON":   {repeat(`{"schema":"x","a":"`, "a", gigabyte), small},
		"lists in JSON":  {repeat(`{"schema":"x","a":[`, "[", gigabyte), small},
		"quotes in JSON": {repeat(`{"schema":"x","a":"`, `\"`, gigabyte), small},
		"lines of YAML":  {repeat("schema: x\na: |\n", "  line of text\n", gigabyte), small},
		"a line of YAML": {repeat("schema: x\na: ", "a", gigabyte), small},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			used := allocated(func() {
				_, err := catalog.ReadWithin(t.Context(), test.source, catalog.MaxKept, test.most, catalog.MaxCatalog)
				wantError(t, err, fmt.Sprintf(`file "c": document 1: more than %d bytes`, test.most))
				if !errors.Is(err, catalog.ErrLimit) {
					t.Errorf("error %v", err)
				}
			})
			// The buffer doubles until it holds a document.
			if used > 5*uint64(test.most) {
				t.Errorf("%d bytes allocated", used)
			}
		})
	}
}

// TestHugeCatalog counts all files together, and what aliases stand for.
func TestHugeCatalog(t *testing.T) {
	aliased := "schema: x\na: &a " + strings.Repeat("x", 1000) + "\nb: [" + strings.Repeat("*a, ", 50) + "]\n"
	tests := map[string]catalog.Source{
		"documents":    repeat("", `{"schema":"x"}`, 1<<30),
		"files":        catalog.FS(files("a", strings.Repeat(" ", 6000), "b", strings.Repeat(" ", 6000))),
		"aliases":      catalog.FS(files("a", aliased)),
		"of all files": catalog.FS(files("a", strings.Replace(aliased, "*a, *a,", "", 22), "b", strings.Replace(aliased, "*a, *a,", "", 22), "c", aliased)),
		"patterns":     catalog.FS(files(".indexignore", strings.Repeat("\n", 10001))),
	}
	for name, source := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := catalog.ReadWithin(t.Context(), source, catalog.MaxKept, catalog.MaxDocument, 10_000)
			wantError(t, err, "catalog of more than 2147483648 bytes: limit exceeded")
			if _, err := catalog.ReadWithin(t.Context(), source, catalog.MaxKept, catalog.MaxDocument, 200_000); name != "documents" && err != nil {
				t.Error(err)
			}
		})
	}
}

// TestManifestsAreNotKept reads much and keeps little of it.
func TestManifestsAreNotKept(t *testing.T) {
	const n, each = 100, 100_000
	manifest := strings.Repeat("QUFB", each/4)
	source := func(_ context.Context, visit func(string, io.Reader) error) error {
		for i := range n {
			b := bundle("etcd", fmt.Sprintf("1.0.%d", i), `{"type":"olm.bundle.object","value":{"data":"`+manifest+`"}}`)
			if err := visit(fmt.Sprintf("%d.json", i), strings.NewReader(b)); err != nil {
				return err
			}
		}
		return nil
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c, err := catalog.Read(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if kept := int64(after.HeapAlloc) - int64(before.HeapAlloc); kept > n*each/10 {
		t.Errorf("%d bytes kept of %d", kept, n*each)
	}
	if len(c.Packages[0].Bundles) != n {
		t.Errorf("%d bundles", len(c.Packages[0].Bundles))
	}
}

// TestMuchToKeep reads documents of nothing but what is kept.
func TestMuchToKeep(t *testing.T) {
	const n, bound = 20_000, 1 << 20
	list := func(element string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, element+",", i)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	tests := map[string]string{
		"documents":      strings.ReplaceAll(list(`{"schema":"x%d"}`), ",", ""),
		"entries":        `{"schema":"olm.channel","entries":[` + list(`{"name":"%d"}`) + `]}`,
		"skips":          `{"schema":"olm.channel","entries":[{"name":"x","skips":[` + list(`"%d"`) + `]}]}`,
		"related images": `{"schema":"olm.bundle","relatedImages":[` + list(`{"image":"%d"}`) + `]}`,
		"APIs":           `{"schema":"olm.bundle","properties":[` + strings.TrimSuffix(strings.Repeat(gvk("A", "")+",", n), ",") + `]}`,
		"constraints":    `{"schema":"olm.bundle","properties":[` + constraint(`{"all":{"constraints":[`+list(`{"package":{"packageName":"%d"}}`)+`]}}`) + `]}`,
		"deprecations":   `{"schema":"olm.deprecations","entries":[` + list(`{"reference":{"name":"%d"},"message":"x"}`) + `]}`,
		"other images":   `{"schema":"x","relatedImages":[` + list(`{"image":"%d"}`) + `]}`,
	}
	for name, content := range tests {
		t.Run(name, func(t *testing.T) {
			source := catalog.FS(files("c", content))
			if _, err := catalog.ReadWithin(t.Context(), source, bound, catalog.MaxDocument, catalog.MaxCatalog); !errors.Is(err, catalog.ErrLimit) {
				t.Errorf("error %v", err)
			}
			if _, err := catalog.ReadWithin(t.Context(), source, 20*bound, catalog.MaxDocument, catalog.MaxCatalog); err != nil {
				t.Error(err)
			}
		})
	}
}
