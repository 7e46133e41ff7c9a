package exported_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"satchel/transfer/exported"
)

const limit = 8 << 20

func TestResources(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"one":         {"{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}", "v1 ConfigMap a;"},
		"documents":   {"kind: A\n---\nkind: B\nmetadata: {name: b}\n", " A ; B b;"},
		"a list":      {"{kind: List, items: [{kind: A}, {kind: B}]}", " A ; B ;"},
		"JSON":        {`{"kind":"PodList","items":[{"kind":"A","metadata":{"name":"x"}}]}`, " A x;"},
		"an empty":    {"{kind: List, items: []}", " List ;"},
		"nothing":     {"", ""},
		"items of it": {"{kind: Thing, items: [1, 2]}", " Thing ;"},
	} {
		all, err := exported.Resources([]byte(test.text), limit)
		var got strings.Builder
		for _, r := range all {
			fmt.Fprintf(&got, "%s %s %s;", r.APIVersion, r.Kind, r.Name)
		}
		if err != nil || got.String() != test.want {
			t.Errorf("%s: got %q, %v", name, got.String(), err)
		}
	}
}

func TestDecode(t *testing.T) {
	all, err := exported.Resources([]byte("{kind: List, items: [{kind: A, spec: {x: 7}}, {kind: B, spec: {x: seven}}]}"), limit)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Spec struct{ X int } }
	if err := all[0].Decode(&doc); err != nil || doc.Spec.X != 7 {
		t.Errorf("got %+v, %v", doc, err)
	}
	err = all[1].Decode(&doc)
	if !errors.Is(err, exported.ErrNotExported) || !strings.Contains(err.Error(), `B "": line 1: `) || strings.Contains(err.Error(), "int") {
		t.Errorf("got %v", err)
	}
}

func TestRefused(t *testing.T) {
	wide := "{kind: A, data: {"
	for i := range exported.MaxPairs + 1 {
		wide += fmt.Sprintf("k%d: v, ", i)
	}
	for name, text := range map[string]string{
		"a certificate":      "-----BEGIN CERTIFICATE-----\nabc\n",
		"text":               "hello",
		"many keys":          wide + "}}",
		"many values":        "{kind: A, data: [" + strings.Repeat("a,", exported.MaxNodes) + "]}",
		"a bomb":             "{kind: List, items: [&a [x,x,x,x,x,x,x,x,x], &b [*a,*a,*a,*a,*a,*a,*a,*a,*a], &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]]}",
		"an alias":           "{kind: List, items: [&a {kind: A}, *a]}",
		"a list in a list":   "{kind: List, items: [{kind: List, items: [{kind: A}, {kind: B}]}]}",
		"a kind that is one": "{kind: [A]}",
	} {
		if all, err := exported.Resources([]byte(text), limit); !errors.Is(err, exported.ErrNotExported) {
			t.Errorf("%s: %d resources, %v", name, len(all), err)
		}
	}
	if _, err := exported.Resources(make([]byte, limit+1), limit); err == nil {
		t.Error("a large file is read")
	}
}

func FuzzResources(f *testing.F) {
	f.Add([]byte("{kind: List, items: [{kind: A, metadata: {name: x}}]}"))
	f.Add([]byte("kind: A\n---\nkind: B\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := exported.Resources(data, 1<<16)
		for i := range all {
			var into map[string]any
			if err == nil {
				_ = all[i].Decode(&into) // it must not panic
			}
		}
	})
}
