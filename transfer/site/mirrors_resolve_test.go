package site_test

import (
	"slices"
	"strings"
	"testing"

	"satchel/transfer/site"
)

// TestUnresolved: each pullspec that nodes would not find, or for which they would
// get another image, is named with the reason and with what to do; others are not.
func TestUnresolved(t *testing.T) {
	const to = "mirror.example:5000/site"
	by := func(name string) string { return name + "@" + string(digestOf("x")) }
	tagged := func(tags ...string) func(*site.Bundle) {
		return func(b *site.Bundle) { b.Images[0].Tags = tags }
	}
	releases := func(n naming) func(*site.Bundle) {
		return func(b *site.Bundle) { addRelease(t, b, "4.99.1", "amd64", n) }
	}
	for _, test := range []struct {
		name   string
		to     string
		sets   site.MirrorSets
		images []at
		edit   func(*site.Bundle)
		want   []string // PULLSPEC: PROBLEM; REMEDY
	}{
		{"all is well", to, "", []at{{by("a.io/x/y"), ""}, {"a.io/x/z:1", ""}, {"a.io/x/both:1@" + string(digestOf("x")), ""}, {by("a.io/x/w"), "elsewhere"}}, nil, nil},
		{"a release", to, site.Both, nil, releases(twoRepositories), nil},
		{"a release in one repository", to, "", nil, releases(oneRepository), nil},
		{"a component from another bundle", to, "", nil, func(b *site.Bundle) {
			releases(twoRepositories)(b)
			b.Images = slices.DeleteFunc(b.Images, func(i site.Image) bool { return strings.HasPrefix(i.Source.Repository, componentSource) })
		}, nil},
		{"no origin", to, "", []at{{"localhost/x/y:1", ""}, {by("file.invalid/z"), ""}}, nil, nil},
		{"no host name at the site", "[fd00::1]:5000", site.Both, []at{{"a.io/x:1", ""}}, nil, []string{
			"a.io/x:1: it would not be found: the API of clusters takes no mirror of such a name as [fd00::1]:5000/x; name the registry at the site by a host name",
		}},
		{"a release without a host name", "[fd00::1]:5000", "", nil, releases(naming{"[fd00::1]:5000/r", "[fd00::1]:5000/c"}), func() (want []string) {
			for _, name := range []string{"cli", "installer", "must-gather", "tools"} {
				want = append(want, componentSource+"@"+string(digestOf(name+"4.99.1-x86_64"))+": it would not be found: the API of clusters takes no mirror of such a name as [fd00::1]:5000/c; name the registry at the site by a host name")
			}
			slices.Sort(want)
			return append(want, releaseSource+"@"+string(digestOf("release 4.99.1-x86_64"))+": it would not be found: the API of clusters takes no mirror of such a name as [fd00::1]:5000/r; name the registry at the site by a host name")
		}()},
		{"no host name at the source", to, "", []at{{by("[fd00::2]/x"), ""}}, nil, []string{
			"[fd00::2]/x@" + string(digestOf("x")) + ": it would not be found: the API of clusters takes no such name in mirror sets; name mirror.example:5000/site/x:digest-" + digestOf("x").Encoded() + " in what uses it",
		}},
		{"tags in old clusters", to, site.ICSP, []at{{"a.io/x:1", ""}, {by("a.io/x"), ""}}, nil, []string{
			"a.io/x:1: it would not be found: clusters up to 4.12 have no mirrors for images by tag; ask for it by digest, or name mirror.example:5000/site/x:1 in what uses it",
		}},
		{"tags in old clusters too", to, site.Both, []at{{"a.io/x:1", ""}}, nil, []string{
			"a.io/x:1: it would not be found: clusters up to 4.12 have no mirrors for images by tag; ask for it by digest, or name mirror.example:5000/site/x:1 in what uses it",
		}},
		{"another tag", to, "", []at{{"a.io/x:1", ""}}, tagged("stable"), []string{
			"a.io/x:1: it would not be found: at the site it has another tag, mirror.example:5000/site/x:stable; name mirror.example:5000/site/x:stable in what uses it",
		}},
		{"another tag beside its own", to, "", []at{{"a.io/x:1", ""}}, tagged("stable", "1"), nil},
		{"another image first", to, "", []at{{"a.io/x:1", "one"}, {"a.io/x:2", "two"}, {"b.io/y:2", "one"}}, nil, []string{
			"a.io/x:2: it would not be found: nodes would get b.io/y:2, which is there as mirror.example:5000/site/one:2; name mirror.example:5000/site/two:2 in what uses it",
			"a.io/x: of a tag that is not in this bundle nodes would get the image that b.io/y has with that tag, since all of these lie in mirror.example:5000/site/one; keep them apart with --naming host, and join no more components than the registry demands",
			"b.io/y: of a tag that is not in this bundle nodes would get the image that a.io/x has with that tag, since all of these lie in mirror.example:5000/site/one; keep them apart with --naming host, and join no more components than the registry demands",
		}},
		{"a catalog first", to, "", []at{{"a.io/x:1", "one"}, {"a.io/x:2", "two"}}, func(b *site.Bundle) {
			b.Catalogs = []site.Catalog{{Source: reference(t, "c.io/index:2"), Digest: digestOf("c"), Repository: to + "/one", Tag: "2"}}
		}, []string{
			"a.io/x:2: it would not be found: nodes would get c.io/index:2, which is there as mirror.example:5000/site/one:2; name mirror.example:5000/site/two:2 in what uses it",
		}},
		{"two places", to, "", []at{{"a.io/x:1", "one"}, {"a.io/x:2", "two"}}, nil, nil},
		{"where it was", to, "", []at{{"mirror.example:5000/site/x:1", ""}, {by("mirror.example:5000/site/y"), ""}}, nil, nil},
		{"tags of two in one", to, "", []at{{"a.io/x:1", ""}, {"b.io/x:2", ""}, {by("c.io/x"), ""}}, nil, []string{
			"a.io/x: of a tag that is not in this bundle nodes would get the image that b.io/x has with that tag, since all of these lie in mirror.example:5000/site/x; keep them apart with --naming host, and join no more components than the registry demands",
			"b.io/x: of a tag that is not in this bundle nodes would get the image that a.io/x has with that tag, since all of these lie in mirror.example:5000/site/x; keep them apart with --naming host, and join no more components than the registry demands",
		}},
		{"digests of two in one", to, "", []at{{by("a.io/x"), ""}, {"b.io/x:2", ""}}, nil, nil},
		{"attachments and catalogs", to, site.ICSP, nil, func(b *site.Bundle) {
			b.Images = []site.Image{{Source: reference(t, "a.io/x:sha256-1.sig"), Digest: digestOf("s"), Repository: to + "/x", Tags: []string{"sha256-1.sig"}, Attachment: true}}
			b.Catalogs = []site.Catalog{{Source: reference(t, "c.io/index:2"), Digest: digestOf("c"), Repository: to + "/one", Tag: "2"}}
		}, nil},
		{"what is not there", to, "", nil, func(b *site.Bundle) {
			b.Absent = []site.Absent{{Pullspec: "a.io/x:1", Why: "needed by foo: 404"}, {Pullspec: "b.io/y:1", Blocked: true}}
		}, []string{
			"a.io/x:1: it would not be found: needed by foo: 404; bring it with another bundle, or leave out what needs it",
			"b.io/y:1: it was kept out (--block, blockedImages): what needs it will not run",
		}},
	} {
		for _, scope := range []site.Scope{site.ScopeRepository, site.ScopeNamespace, site.ScopeRegistry} {
			b := bundleOf(t, test.to, test.images...)
			if test.edit != nil {
				test.edit(&b)
			}
			files, findings, err := site.RenderChecked(b, site.Options{MirrorSets: test.sets, Scope: scope})
			if err != nil {
				t.Errorf("%s: %s: %v", test.name, scope, err)
				continue
			}
			var got []string
			for _, f := range findings {
				got = append(got, f.String())
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("%s: %s: got\n%s\nwant\n%s", test.name, scope, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
			i := slices.IndexFunc(files, func(f site.File) bool { return f.Name == "README.md" })
			for _, want := range test.want {
				if !strings.Contains(string(files[i].Content), "\n- "+want+"\n") {
					t.Errorf("%s: README.md does not have %q", test.name, want)
				}
			}
		}
	}
}
