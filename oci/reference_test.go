package oci_test

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

func TestSplitReference(t *testing.T) {
	d := digest.FromString("x")
	long := strings.Repeat("a", oci.MaxRepository-len("h/"))
	tests := []struct {
		s    string
		want oci.Reference
	}{
		{"quay.io/org/app:1.0", oci.Reference{Repository: "quay.io/org/app", Tag: "1.0"}},
		{"quay.io/app@" + d.String(), oci.Reference{Repository: "quay.io/app", Digest: d}},
		{"quay.io/a/b/c:t@" + d.String(), oci.Reference{Repository: "quay.io/a/b/c", Tag: "t", Digest: d}},
		{"localhost:5000/app:1", oci.Reference{Repository: "localhost:5000/app", Tag: "1"}},
		{"[::1]:5000/app:1", oci.Reference{Repository: "[::1]:5000/app", Tag: "1"}},
		{"HOST.example/app:Tag_1.2-3", oci.Reference{Repository: "HOST.example/app", Tag: "Tag_1.2-3"}},
		{"h/a__b/c---d/e.f/g_h:_x", oci.Reference{Repository: "h/a__b/c---d/e.f/g_h", Tag: "_x"}},
		{"h/a:" + strings.Repeat("t", 128), oci.Reference{Repository: "h/a", Tag: strings.Repeat("t", 128)}},
		{"h/" + long + ":1", oci.Reference{Repository: "h/" + long, Tag: "1"}},
	}
	for _, test := range tests {
		got, err := oci.SplitReference(test.s)
		if err != nil || got != test.want || got.String() != test.s {
			t.Errorf("%s: got %+v, %v", test.s, got, err)
		}
		if got.Host()+"/"+got.Path() != got.Repository {
			t.Errorf("%s: host %q, path %q", test.s, got.Host(), got.Path())
		}
	}
	for _, s := range []string{
		"", "app", "app:1", "quay.io/app", "quay.io/app:", "quay.io/app@", "quay.io/:1", "/app:1", "quay.io//app:1",
		"quay.io/App:1", "quay.io/app/:1", "quay.io/../etc:1", "quay.io/.a:1", "quay.io/a.:1", "quay.io/a..b:1", "quay.io/a___b:1",
		"quay.io/app:.1", "quay.io/app:-1", "quay.io/app:a b", "quay.io/app:1\n", "quay.io/app\n:1", "quay.io/app:1:2",
		"quay.io/app:" + strings.Repeat("t", 129), "h/a" + long + ":1", "docker://quay.io/app:1", "user:pw@quay.io/app:1",
		"quay.io/app@sha256:abc", "quay.io/app@" + d.String() + "@" + d.String(), "quay.io/app@" + d.String() + ":1",
		"quay.io/app@" + digest.SHA512.FromString("x").String(), "quay.io/app:1@", "quay.io/ä:1", "quay.io/app:1?x=y", "quay.io/a%2fb:1",
	} {
		if got, err := oci.SplitReference(s); err == nil {
			t.Errorf("%q is taken as %+v", s, got)
		} else if s != "" && !strings.Contains(err.Error(), strings.Trim(strings.ReplaceAll(s, "\n", `\n`), `"`)) && s != "quay.io/ä:1" {
			t.Errorf("%q: the error does not name it: %v", s, err)
		}
	}
}

func FuzzSplitReference(f *testing.F) {
	f.Add("quay.io/org/app:1.0")
	f.Add("localhost:5000/app@" + digest.FromString("x").String())
	f.Add("[::1]:5000/a__b:t@" + digest.FromString("x").String())
	f.Add("a:b/c")
	f.Add("@")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := oci.SplitReference(s)
		if err != nil {
			return
		}
		if r.String() != s {
			t.Fatalf("%q comes back as %q", s, r)
		}
		if r.Tag == "" && r.Digest == "" || oci.CheckRepository(r.Repository) != nil || r.Host() == "" || r.Path() == "" {
			t.Fatalf("%q: %+v", s, r)
		}
	})
}
