package registry_test

import (
	"slices"
	"strings"
	"testing"

	"satchel/oci/registry"
)

func TestParseChallenge(t *testing.T) {
	for _, tc := range []struct {
		in            []string
		scheme, realm string
	}{
		{[]string{`Bearer realm="https://x/y",service="s",scope="a b"`}, "bearer", "https://x/y"},
		{[]string{`bearer  Realm = "q\"uote" , error=invalid_token`}, "bearer", `q"uote`},
		{[]string{`Negotiate abc==, Basic realm="r"`}, "basic", "r"},
		{[]string{`Negotiate`, `Basic`}, "basic", ""},
		{[]string{`Bearer service="no realm"`}, "", ""},
		{[]string{`Bearer service="x", Basic realm="r"`}, "basic", "r"},
		{[]string{`Bearer realm="open`}, "bearer", "open"},
		{[]string{``, `=`, `"`, `,,,=`, `a="`, `a="\`}, "", ""},
	} {
		scheme, params := registry.ParseChallenge(tc.in...)
		if scheme != tc.scheme || params["realm"] != tc.realm {
			t.Errorf("%q: got %q %v", tc.in, scheme, params)
		}
	}
}

func FuzzParseChallenge(f *testing.F) {
	f.Add(`Bearer realm="https://x",scope="a"`)
	f.Add(`a="\`)
	f.Fuzz(func(t *testing.T, s string) { registry.ParseChallenge(s) })
}

func TestMergeScopes(t *testing.T) {
	for _, tc := range []struct{ wanted, asked, want string }{
		{pull, "", pull},
		{"", push, push},
		{push, pull, push},
		{push, "repository:org/app:push,pull", push},
		{pull, push, push},
		{pull, "aws", pull + " aws"},
		{pull, "repository:b:pull", pull + " repository:b:pull"},
		{"", "aws aws", "aws"},
	} {
		got := registry.MergeScopes(strings.Fields(tc.wanted), strings.Fields(tc.asked))
		if !slices.Equal(got, strings.Fields(tc.want)) {
			t.Errorf("%+v: got %q", tc, got)
		}
	}
}
