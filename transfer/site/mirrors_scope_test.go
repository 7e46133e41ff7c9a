package site_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"satchel/oci"
	"satchel/transfer/nodeconf"
	"satchel/transfer/site"
)

// nodes are what a cluster makes of rendered mirror sets.
func nodes(t testing.TB, files map[string]string, names ...string) *nodeconf.Nodes {
	t.Helper()
	var c nodeconf.Cluster
	for _, name := range names {
		if files[name] == "" {
			continue
		}
		one, err := nodeconf.ParseExport([]byte(files[name]))
		if err != nil {
			t.Fatal(err)
		}
		c = c.With(one)
	}
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	n, err := nodeconf.Merge(c)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// at is an image and the repository below the prefix where it lies, as the path of
// its source unless it is named.
type at struct{ source, path string }

func bundleOf(t testing.TB, to string, images ...at) site.Bundle {
	t.Helper()
	b := site.Bundle{Name: "b", To: to}
	for _, image := range images {
		ref := reference(t, image.source)
		d := ref.Digest
		if d == "" {
			d = digestOf(image.source)
		}
		tag := ref.Tag
		if tag == "" {
			tag = "digest-" + d.Encoded()
		}
		path := image.path
		if path == "" {
			path = ref.Path()
		}
		b.Images = append(b.Images, site.Image{Source: ref, Digest: d, Repository: to + "/" + path, Tags: []string{tag}})
	}
	return b
}

func TestScopes(t *testing.T) {
	d := func(name string) string { return name + "@" + string(digestOf("x")) }
	const to = "mirror.example:5000/site"
	catalog := func(b *site.Bundle) {
		b.Catalogs = []site.Catalog{{
			Source: reference(t, "a.io/org/index:v1"), Digest: digestOf("filtered"), Repository: to + "/org/index", Tag: "v1",
		}}
	}
	for _, test := range []struct {
		name   string
		to     string
		scope  site.Scope
		images []at
		edit   func(*site.Bundle)
		// each SOURCE: MIRROR..., a line for each
		digests, tags string
	}{
		{"registry", to, site.ScopeRegistry, []at{{d("a.io/org/x"), ""}, {d("a.io/y"), ""}, {d("b.io/deep/er/z"), ""}}, nil,
			"a.io: mirror.example:5000/site\nb.io: mirror.example:5000/site\n", ""},
		{"registry without a prefix", "mirror.example:5000", site.ScopeRegistry, []at{{d("a.io/org/x"), ""}}, nil, "a.io: mirror.example:5000\n", ""},
		{"namespace", to, site.ScopeNamespace, []at{{d("a.io/org/x"), ""}, {d("a.io/org/y"), ""}, {d("a.io/y"), ""}, {d("b.io/deep/er/z"), ""}}, nil,
			"a.io/org: mirror.example:5000/site/org\na.io/y: mirror.example:5000/site/y\nb.io/deep/er: mirror.example:5000/site/deep/er\n", ""},
		{"host before the path", to, site.ScopeRegistry, []at{{d("a.io/org/x"), "a.io/org/x"}, {"b.io/org/x:1", "b.io/org/x"}}, nil,
			"a.io: mirror.example:5000/site/a.io\n", "b.io: mirror.example:5000/site/b.io\n"},
		{"one elsewhere", to, site.ScopeRegistry, []at{{d("a.io/org/x"), ""}, {d("a.io/org/y"), "other"}}, nil,
			"a.io: mirror.example:5000/site\na.io/org/y: mirror.example:5000/site/other\n", ""},
		{"a name that only looks alike", to, site.ScopeNamespace, []at{{d("a.io/org/x"), "org/my-x"}, {d("a.io/org/y"), "org-y"}}, nil,
			"a.io/org/x: mirror.example:5000/site/org/my-x\na.io/org/y: mirror.example:5000/site/org-y\n", ""},
		{"below what is elsewhere", to, site.ScopeRegistry, []at{{d("a.io/org"), "other"}, {d("a.io/org/y"), ""}, {d("a.io/x"), ""}}, nil,
			// a.io/org hides a.io
			"a.io: mirror.example:5000/site\na.io/org: mirror.example:5000/site/other\na.io/org/y: mirror.example:5000/site/org/y\n", ""},
		{"most", to, site.ScopeRegistry, []at{{d("a.io/x"), "p/x"}, {d("a.io/y"), "q/y"}, {d("a.io/z"), "q/z"}}, nil,
			"a.io: mirror.example:5000/site/q\na.io/x: mirror.example:5000/site/p/x\n", ""},
		{"tags of one registry", to, site.ScopeRegistry, []at{{"a.io/org/x:1", ""}, {"a.io/y:1", ""}}, nil,
			"", "a.io: mirror.example:5000/site\n"},
		{"tags beside what came from elsewhere", to, site.ScopeRegistry, []at{{"a.io/org/x:1", ""}, {"a.io/org/y:1", ""}, {"b.io/team/z:1", ""}}, nil,
			// a.io/team/z:1 would be b.io/team/z:1
			"", "a.io/org: mirror.example:5000/site/org\nb.io/team: mirror.example:5000/site/team\n"},
		{"tags beside it in a namespace", to, site.ScopeNamespace, []at{{"a.io/org/x:1", ""}, {"b.io/org/z:1", ""}}, nil,
			"", "a.io/org/x: mirror.example:5000/site/org/x\nb.io/org/z: mirror.example:5000/site/org/z\n"},
		{"tags beside a catalog", to, site.ScopeRegistry, []at{{"a.io/org/x:1", ""}}, catalog,
			"", "a.io/org/x: mirror.example:5000/site/org/x\n"},
		{"digests beside a catalog", to, site.ScopeRegistry, []at{{d("a.io/org/x"), ""}}, catalog,
			"a.io: mirror.example:5000/site\n", ""},
		{"tags hide no digests", to, site.ScopeRegistry, []at{{d("a.io/org/x"), ""}, {d("a.io/org/y"), ""}, {d("a.io/team/z"), ""}, {"a.io/org/x:1", ""}, {d("b.io/o/o"), ""}}, nil,
			"a.io: mirror.example:5000/site\na.io/org: mirror.example:5000/site/org\nb.io: mirror.example:5000/site\n", "a.io/org: mirror.example:5000/site/org\n"},
		{"nothing that no image needs", to, site.ScopeRegistry, []at{{d("a.io/org/x"), ""}, {"a.io/org/x:1", ""}, {d("b.io/o/o"), ""}}, nil,
			"a.io/org: mirror.example:5000/site/org\nb.io: mirror.example:5000/site\n", "a.io/org: mirror.example:5000/site/org\n"},
		{"digests hide no tags", to, site.ScopeRegistry, []at{{"a.io/org/x:1", ""}, {"a.io/org/y:1", ""}, {d("a.io/org/x"), "other"}}, nil,
			"a.io/org/x: mirror.example:5000/site/other\n", "a.io/org: mirror.example:5000/site/org\na.io/org/x: mirror.example:5000/site/org/x\n"},
		{"never over the site", "a.io/site", site.ScopeRegistry, []at{{d("a.io/org/x"), ""}, {d("b.io/x"), ""}}, nil,
			"a.io/org: a.io/site/org\nb.io: a.io/site\n", ""},
		{"never over the site's port", "a.io:5000", site.ScopeRegistry, []at{{d("a.io/org/x"), ""}}, nil, "a.io/org: a.io:5000/org\n", ""},
		{"a port beside none", to, site.ScopeRegistry, []at{{d("a.io/org/x"), ""}, {d("a.io:8443/org/y"), ""}}, nil,
			"a.io: mirror.example:5000/site\na.io:8443: mirror.example:5000/site\n", ""},
		{"what is there already", to, site.ScopeRegistry, []at{{d("a.io/x"), ""}, {d("mirror.example:5000/site/y"), "y"}, {d("mirror.example:5000/z/z"), "z"}}, nil,
			"a.io: mirror.example:5000/site\nmirror.example:5000/z: mirror.example:5000/site\n", ""},
	} {
		b := bundleOf(t, test.to, test.images...)
		if test.edit != nil {
			test.edit(&b)
		}
		files := render(t, b, site.Options{Scope: test.scope, MirrorSets: site.Both})
		for name, want := range map[string]string{
			"imageDigestMirrorSet.yaml": test.digests, "imageContentSourcePolicy.yaml": test.digests, "imageTagMirrorSet.yaml": test.tags,
		} {
			got := ""
			for _, r := range decode(t, files[name]) {
				got += r.mirrors().String()
			}
			if got != want {
				t.Errorf("%s: %s has\n%swant\n%s", test.name, name, got, want)
			}
		}
	}
	if _, err := site.Render(site.Bundle{Name: "b", To: to}, site.Options{Scope: "galaxy"}); err == nil || !strings.Contains(err.Error(), `scope "galaxy"`) {
		t.Errorf("scope galaxy: %v", err)
	}
}

// TestScopesLeadAlike: whatever lies where, each image is looked for in the same
// places under each scope, by nodes and by registries.conf, and no name of an image
// that is not in the bundle leads to another one's tag where its repository alone
// would not.
func TestScopesLeadAlike(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 7))
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	path := func() string {
		parts := []string{pick("a", "b", "a-b")}
		for range random.IntN(3) {
			parts = append(parts, pick("a", "b", "c"))
		}
		return strings.Join(parts, "/")
	}
	host := func() string { return pick("q.io", "q.io:5000", "r.io", "mirror.example") }
	wide := 0
	for round := range 120 {
		var images []at
		for range 1 + random.IntN(7) {
			image := at{source: host() + "/" + path() + pick(":1", ":2", "@"+string(digestOf(fmt.Sprint(random.IntN(1e6)))))}
			image.path = reference(t, image.source).Path()
			if random.IntN(5) == 0 {
				image.path = path()
			}
			clash := slices.ContainsFunc(images, func(other at) bool {
				return other.path == image.path && reference(t, other.source).Tag == reference(t, image.source).Tag
			})
			if !clash {
				images = append(images, image)
			}
		}
		b := bundleOf(t, pick("mirror.example:5000", "mirror.example/p", "q.io/a", "q.io:5000"), images...)
		if random.IntN(3) == 0 {
			b.Catalogs = []site.Catalog{{Source: reference(t, host()+"/"+path()+":9"), Digest: digestOf("c"), Repository: b.To + "/" + path(), Tag: "9"}}
		}
		o := site.Options{}
		if random.IntN(3) == 0 {
			o.AlsoMirror = []string{"second.example/deep"}
		}
		narrow := nodes(t, render(t, b, o), "imageDigestMirrorSet.yaml", "imageTagMirrorSet.yaml")
		for _, scope := range []site.Scope{site.ScopeNamespace, site.ScopeRegistry} {
			o.Scope = scope
			files := render(t, b, o)
			n := nodes(t, files, "imageDigestMirrorSet.yaml", "imageTagMirrorSet.yaml")
			for _, image := range b.Images {
				want := narrow.Places(image.Source)
				if got := n.Places(image.Source); !slices.Equal(got, want) {
					t.Fatalf("round %d: %s: %s is looked for at %q, want %q:\n%s%s", round, scope, image.Source, got, want, files["imageDigestMirrorSet.yaml"], files["imageTagMirrorSet.yaml"])
				}
				if round%20 == 0 {
					var places []string
					for _, place := range resolve(t, files["registries.conf"], image.Source.String()) {
						places = append(places, place[:strings.LastIndexAny(strings.ReplaceAll(place, "@sha256:", "@"), ":@")])
					}
					if !slices.Equal(places, want) {
						t.Fatalf("round %d: %s: by registries.conf %s is looked for at %q, want %q:\n%s", round, scope, image.Source, places, want, files["registries.conf"])
					}
				}
			}
			for range 20 {
				other := oci.Reference{Repository: host() + "/" + path(), Tag: "1"}
				places, before := n.Places(other), narrow.Places(other)
				if len(places) > len(before) {
					wide++
				}
				for _, image := range b.Images {
					if slices.Contains(places, image.Repository) && !slices.Contains(before, image.Repository) && image.Source.Repository != other.Repository && image.Repository != other.Repository {
						t.Fatalf("round %d: %s: %s leads to %s, where %s is:\n%s", round, scope, other, image.Repository, image.Source, files["imageTagMirrorSet.yaml"])
					}
				}
			}
		}
	}
	if wide < 30 {
		t.Errorf("%d names had a wider mirror, too few to tell anything", wide)
	}
}
