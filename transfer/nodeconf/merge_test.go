package nodeconf_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"satchel/transfer/nodeconf"
)

// one makes an entry of "SOURCE: MIRROR MIRROR", with a "!" at its end when the source is
// never to be contacted.
func one(s string) nodeconf.Entry {
	s, never := strings.CutSuffix(s, "!")
	source, mirrors, _ := strings.Cut(s, ":: ")
	e := nodeconf.Entry{Source: source, Mirrors: strings.Fields(mirrors)}
	if never {
		e.Policy = nodeconf.NeverContactSource
	}
	return e
}

func entries(all ...string) []nodeconf.Entry {
	var list []nodeconf.Entry
	for _, s := range all {
		list = append(list, one(s))
	}
	return list
}

// brief makes one line of each registry: SCOPE[ flags] > MIRROR …, with d or t for what a
// mirror serves and i for an insecure one.
func brief(conf []byte) string {
	var b strings.Builder
	inMirror := false
	for line := range strings.Lines(string(conf)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		value = strings.Trim(value, `"`)
		switch {
		case key == "[[registry]]":
			b.WriteString("\n")
			inMirror = false
		case key == "[[registry.mirror]]":
			b.WriteString(" >")
			inMirror = true
		case key == "prefix" && value == "":
		case key == "prefix" || key == "location" && !inMirror:
			b.WriteString(value)
		case key == "location" || key == "blocked":
			b.WriteString(" " + strings.Replace(value, "true", "blocked", 1))
		case key == "insecure":
			b.WriteString(" insecure")
		case key == "pull-from-mirror":
			b.WriteString(" " + value[:1])
		}
	}
	return strings.TrimPrefix(b.String(), "\n")
}

func TestMerge(t *testing.T) {
	tests := []struct {
		name string
		o    nodeconf.Cluster
		want string
	}{
		{"as the documentation has it", nodeconf.Cluster{IDMS: entries("s.io:: a.io b.io c.io", "s.io:: c.io d.io e.io")}, "s.io > a.io d > b.io d > c.io d > d.io d > e.io d"},
		{"two after one", nodeconf.Cluster{IDMS: entries("s.io:: a.io c.io", "s.io:: a.io b.io")}, "s.io > a.io d > b.io d > c.io d"},
		{"all kinds of one source", nodeconf.Cluster{IDMS: entries("s.io:: b.io"), ICSP: entries("s.io:: a.io b.io"), ITMS: entries("s.io:: c.io")}, "s.io > a.io d > b.io d > c.io t"},
		{"a circle", nodeconf.Cluster{IDMS: entries("s.io:: a.io b.io c.io", "s.io:: c.io a.io")}, "s.io > a.io d > b.io d > c.io d"},
		{"another circle", nodeconf.Cluster{IDMS: entries("s.io:: b.io c.io", "s.io:: c.io a.io", "s.io:: a.io b.io")}, "s.io > a.io d > b.io d > c.io d"},
		{"a mirror twice", nodeconf.Cluster{IDMS: entries("s.io:: b.io b.io a.io")}, "s.io > a.io d > s.io d > b.io d"},
		{"the source as last mirror", nodeconf.Cluster{IDMS: entries("s.io:: a.io s.io")}, "s.io > a.io d"},
		{"the source as first mirror", nodeconf.Cluster{IDMS: entries("s.io:: s.io a.io")}, "s.io > s.io d > a.io d"},
		{"nothing but the source", nodeconf.Cluster{IDMS: entries("s.io:: s.io!", "z.io:: a.io")}, "z.io > a.io d"},
		{"no mirror", nodeconf.Cluster{ITMS: entries("s.io:: !")}, ""},
		{"never the source", nodeconf.Cluster{ITMS: entries("s.io:: a.io!")}, "s.io blocked > a.io t"},
		{"a policy has none of this", nodeconf.Cluster{ICSP: entries("s.io:: a.io!")}, "s.io > a.io d"},
		{"a wildcard", nodeconf.Cluster{IDMS: entries("*.s.io:: a.io/x")}, "*.s.io > a.io/x d"},
		{"widest of two around", nodeconf.Cluster{IDMS: entries("s.io:: a.io", "s.io/x:: b.io"), Blocked: []string{"s.io/x/y"}}, "s.io > a.io d\ns.io/x > b.io d\ns.io/x/y blocked > a.io/x/y d"},
		{"mirrors for tags alone are inherited too", nodeconf.Cluster{ITMS: entries("s.io:: a.io"), Insecure: []string{"s.io/x", "a.io"}}, "s.io > a.io insecure t\ns.io/x insecure > a.io/x insecure t\na.io insecure"},
		{"a path that ends like a domain", nodeconf.Cluster{Blocked: []string{"h.net/a.s.io:1", "h.net/b.s.io"}, Insecure: []string{"*.s.io"}}, "h.net/a.s.io:1 blocked\nh.net/b.s.io blocked\n*.s.io insecure"},
		{"a blocked port in an insecure domain", nodeconf.Cluster{Blocked: []string{"x.s.io:5000", "x.t.io/a:b"}, Insecure: []string{"*.s.io", "*.t.io"}}, "x.s.io:5000 insecure blocked\nx.t.io/a:b blocked\n*.s.io insecure\n*.t.io insecure"},
	}
	for _, test := range tests {
		conf, err := nodeconf.Registries(test.o)
		if got := brief(conf); err != nil || got != test.want {
			t.Errorf("%s: %v\n%s\nwant\n%s", test.name, err, got, test.want)
		}
	}
}

// TestSourceOrder: the order of entries does not matter where the merging fixes one.
func TestSourceOrder(t *testing.T) {
	o := nodeconf.Cluster{IDMS: entries("s.io:: a.io b.io", "s.io:: b.io c.io", "r.io:: x.io y.io", "s.io:: c.io d.io", "q.io/a:: z.io")}
	want, err := nodeconf.Registries(o)
	if err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		random.Shuffle(len(o.IDMS), func(i, j int) { o.IDMS[i], o.IDMS[j] = o.IDMS[j], o.IDMS[i] })
		if got, err := nodeconf.Registries(o); err != nil || string(got) != string(want) {
			t.Fatalf("%v\n%s\nwant\n%s", err, got, want)
		}
	}
}

func TestRefusedNames(t *testing.T) {
	tests := []struct {
		o    nodeconf.Cluster
		want string
	}{
		{nodeconf.Cluster{IDMS: entries("S.io/X:: a.io")}, `source "S.io/X" is not`},
		{nodeconf.Cluster{IDMS: entries("s.io/x@sha256:12:: a.io")}, `source "s.io/x@sha256:12" is not`},
		{nodeconf.Cluster{ITMS: entries("s.io:: a.io/x:tag")}, `source s.io: mirror "a.io/x:tag" is not`},
		{nodeconf.Cluster{ICSP: entries("s.io:: *.a.io")}, `source s.io: mirror "*.a.io" is not`},
		{nodeconf.Cluster{IDMS: []nodeconf.Entry{{Source: "s.io", Mirrors: []string{"a.io"}, Policy: "Never"}}}, `source s.io: mirrorSourcePolicy "Never" is neither`},
		{nodeconf.Cluster{Blocked: []string{"a.*.io"}}, `blocked registry "a.*.io" is not`},
		{nodeconf.Cluster{Insecure: []string{"*.io/x"}}, `insecure registry "*.io/x" is not`},
		{nodeconf.Cluster{Insecure: []string{""}}, `insecure registry "" is not`},
		{nodeconf.Cluster{Allowed: []string{"a.io\"\n"}}, `allowed registry "a.io\"\n" is not`},
		{nodeconf.Cluster{Search: []string{"a io"}}, `search registry "a io" is not`},
		{nodeconf.Cluster{IDMS: entries("*.s.io:: a.io"), Blocked: []string{"x.s.io/y"}}, "registry x.s.io/y lies in the source *.s.io"},
	}
	for _, test := range tests {
		if got, err := nodeconf.Registries(test.o); err == nil || !strings.HasPrefix(err.Error(), test.want) || got != nil {
			t.Errorf("%+v: %v, want %s", test.o, err, test.want)
		}
	}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		o    nodeconf.Cluster
		want string
	}{
		{nodeconf.Cluster{IDMS: entries("s.io:: a.io!"), ITMS: entries("s.io:: a.io!"), ICSP: entries("t.io:: a.io")}, ""},
		{nodeconf.Cluster{IDMS: entries("s.io:: a.io!"), ICSP: entries("s.io:: a.io!")}, "source s.io has mirrorSourcePolicy NeverContactSource in an ImageDigestMirrorSet and AllowContactingSource in an ImageContentSourcePolicy"},
		{nodeconf.Cluster{IDMS: []nodeconf.Entry{{Source: "s.io", Mirrors: []string{"a.io", "s.io"}, Policy: nodeconf.NeverContactSource, Name: "n"}}}, "ImageDigestMirrorSet n: source s.io is one of its own mirrors, and is never to be contacted"},
		{nodeconf.Cluster{Allowed: []string{"a.io"}, Blocked: []string{"b.io"}}, "allowed and blocked registries at once: the cluster accepts one of the two lists only"},
		{nodeconf.Cluster{Allowed: []string{"a.*"}}, "allowed registry \"a.*\" is not HOST[:PORT][/PATH] or *.HOST"},
	}
	for _, test := range tests {
		got := ""
		if err := test.o.Check(); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%+v: %q, want %q", test.o, got, test.want)
		}
	}
}

func TestSearchRegistries(t *testing.T) {
	got, err := nodeconf.SearchRegistries([]string{"a.io:5000", "docker.io"})
	if want := "unqualified-search-registries = [\"a.io:5000\", \"docker.io\"]\nshort-name-mode = \"\"\n"; err != nil || string(got) != want {
		t.Errorf("%v %q, want %q", err, got, want)
	}
	if got, err := nodeconf.SearchRegistries(nil); err != nil || got != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := nodeconf.SearchRegistries([]string{"a\"b"}); err == nil {
		t.Error("a quotation mark is accepted")
	}
}
