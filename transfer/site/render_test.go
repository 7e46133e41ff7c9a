package site_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/oci/release"
	"satchel/transfer/site"
)

// TestKinds: which image is in which set, and which sets there are.
func TestKinds(t *testing.T) {
	b := newBundle("b")
	addImages(t, &b)
	const digests = `registry.example/org/both: mirror.example:5000/site/org/both
registry.example/org/by-digest: mirror.example:5000/site/org/by-digest
registry.example/org/tag-and-digest: mirror.example:5000/site/org/tag-and-digest
`
	const tags = `mirror.example:5000/site/already/there: mirror.example:5000/site/moved
registry.example/org/both: mirror.example:5000/site/org/both
registry.example/org/by-tag: mirror.example:5000/site/org/by-tag
`
	b.Images = append(b.Images, site.Image{
		Source: reference(t, "mirror.example:5000/site/already/there:v2"), Digest: digestOf("moved"),
		Repository: "mirror.example:5000/site/moved", Tags: []string{"v2"},
	})
	const idms, itms, icsp = "imageDigestMirrorSet.yaml", "imageTagMirrorSet.yaml", "imageContentSourcePolicy.yaml"
	for _, test := range []struct {
		sets site.MirrorSets
		want map[string]string
	}{
		{"", map[string]string{idms: digests, itms: tags}},
		{site.IDMS, map[string]string{idms: digests, itms: tags}},
		{site.ICSP, map[string]string{icsp: digests}},
		{site.Both, map[string]string{idms: digests, itms: tags, icsp: digests}},
	} {
		got := render(t, b, site.Options{MirrorSets: test.sets})
		for _, name := range []string{idms, itms, icsp} {
			list := ""
			for _, r := range decode(t, got[name]) {
				list += r.mirrors().String()
			}
			if list != test.want[name] {
				t.Errorf("%q: %s has\n%s\nwant\n%s", test.sets, name, list, test.want[name])
			}
		}
		for name := range got {
			if strings.HasPrefix(name, "install-config") || strings.HasPrefix(name, "signature") {
				t.Errorf("%q: %s without a release", test.sets, name)
			}
		}
	}
}

func TestNothing(t *testing.T) {
	if got := render(t, newBundle("b"), site.Options{}); len(got) != 1 || got["README.md"] == "" {
		t.Errorf("an empty bundle gives %v", got)
	}
}

// TestSplit: no document is too large, none is lost, each has its own name.
func TestSplit(t *testing.T) {
	b := newBundle("b")
	const count = 1500
	for i := range count {
		path := fmt.Sprintf("org/%s/image-%06d", strings.Repeat("long", 50), i)
		d := digestOf(path)
		b.Images = append(b.Images, site.Image{
			Source: reference(t, "registry.example/"+path+"@"+string(d)), Digest: d, Repository: b.To + "/" + path, Tags: []string{"t"},
		})
	}
	content := render(t, b, site.Options{})["imageDigestMirrorSet.yaml"]
	documents := strings.Split(content, "---\n")[1:]
	if want := len(content)/site.MaxDocument + 1; len(documents) != want || want < 3 {
		t.Errorf("%d documents for %d bytes, want %d", len(documents), len(content), want)
	}
	sources := 0
	for i, r := range decode(t, content) {
		if size := len("---\n") + len(documents[i]); size > site.MaxDocument {
			t.Errorf("document %d has %d bytes", i, size)
		}
		if want := fmt.Sprintf("%s-%d", strings.TrimSuffix(firstName(t, content), "-0"), i); r.Metadata.Name != want || r.Kind != "ImageDigestMirrorSet" {
			t.Errorf("document %d is %s %s, want %s", i, r.Kind, r.Metadata.Name, want)
		}
		sources += len(r.mirrors())
	}
	if sources != count {
		t.Errorf("%d sources in all documents, want %d", sources, count)
	}

	b.Images = b.Images[:1]
	var also []string
	for i := range 2000 {
		also = append(also, fmt.Sprintf("m%d.example", i))
	}
	if _, err := site.Render(b, site.Options{AlsoMirror: also}); err == nil || !strings.Contains(err.Error(), "is larger than 250000 bytes") {
		t.Errorf("a source with 2000 mirrors: %v", err)
	}
}

func firstName(t testing.TB, content string) string {
	t.Helper()
	return decode(t, content)[0].Metadata.Name
}

// TestResourceNamesByEntries: the same entries keep their name, and others do not take it.
func TestResourceNamesByEntries(t *testing.T) {
	b := newBundle("b")
	addImages(t, &b)
	name := func(o site.Options) string { return firstName(t, render(t, b, o)["imageDigestMirrorSet.yaml"]) }
	first := name(site.Options{})
	if name(site.Options{MirrorSets: site.Both}) != first || !regexp.MustCompile(`^satchel-b-[0-9a-f]{8}-0$`).MatchString(first) {
		t.Errorf("the name is %s, and another beside a policy", first)
	}
	if name(site.Options{NeverContactSource: true}) == first {
		t.Error("another policy has the same name")
	}
	b.Images = b.Images[2:]
	if name(site.Options{}) == first {
		t.Error("other entries have the same name")
	}
}

func TestResourceNames(t *testing.T) {
	subdomain := regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	hashed := regexp.MustCompile(`-[0-9a-f]{8}-0$`)
	long := strings.Repeat("x", 300)
	for name, want := range map[string]string{
		"ocp-4.99.1-x86_64": "satchel-ocp-4.99.1-x86-64", "Über Mut": "satchel-ber-mut", "..-.": "satchel", "": "satchel",
		"a.-b-.c": "satchel-a.b.c", long: "", long + "y": "",
	} {
		b := newBundle(name)
		addImages(t, &b)
		got := firstName(t, render(t, b, site.Options{})["imageDigestMirrorSet.yaml"])
		if want != "" && hashed.ReplaceAllString(got, "") != want || len(got) > 253 || !subdomain.MatchString(got) {
			t.Errorf("bundle %q: name %q, want %q", name, got, want)
		}
	}
	names := make(map[string]bool)
	for _, name := range []string{long, long + "y"} {
		b := newBundle(name)
		addImages(t, &b)
		names[decode(t, render(t, b, site.Options{})["imageDigestMirrorSet.yaml"])[0].Metadata.Name] = true
	}
	if len(names) != 2 {
		t.Errorf("two long names give %v", names)
	}
}

// TestNotInClusters: what the API server would refuse is not in the files for
// it, but in those for hosts; README.md names it.
func TestNotInClusters(t *testing.T) {
	b := newBundle("b")
	addRelease(t, &b, "4.99.1", "amd64", twoRepositories)
	got := render(t, b, site.Options{AlsoMirror: []string{"[fd00::1]:5000"}})
	for name, content := range got {
		inHosts := name == "registries.conf" || name == "registries-digest-only.conf" || name == "README.md"
		if strings.Contains(content, "[fd00::1]:5000/openshift/release") != inHosts {
			t.Errorf("%s:\n%s", name, content)
		}
	}
	if list := decode(t, got["imageDigestMirrorSet.yaml"]); len(list) != 1 || len(list[0].mirrors()[0].Mirrors) != 2 {
		t.Errorf("mirrors %v", list)
	}

	b = site.Bundle{Name: "b", To: "[fd00::1]:5000"}
	addRelease(t, &b, "4.99.1", "amd64", naming{"[fd00::1]:5000/r", "[fd00::1]:5000/c"})
	got = render(t, b, site.Options{MirrorSets: site.Both})
	for _, name := range []string{"imageDigestMirrorSet.yaml", "imageContentSourcePolicy.yaml", "install-config-imageDigestSources.yaml"} {
		if got[name] != "" {
			t.Errorf("%s:\n%s", name, got[name])
		}
	}
}

// TestRefusals breaks one thing at a time.
func TestRefusals(t *testing.T) {
	for _, test := range []struct {
		want string
		edit func(*site.Bundle, *site.Options)
	}{
		{`mirror sets "all"`, func(b *site.Bundle, o *site.Options) { o.MirrorSets = "all" }},
		{`registry "Mirror.example/UPPER"`, func(b *site.Bundle, o *site.Options) { b.To = "Mirror.example/UPPER" }},
		{`registry "https://x"`, func(b *site.Bundle, o *site.Options) { o.AlsoMirror = []string{"https://x"} }},
		{`is not below other.example: its place at third.example is not known`, func(b *site.Bundle, o *site.Options) {
			b.To, o.AlsoMirror = "other.example", []string{"third.example"}
		}},
		{`tag "no tag"`, func(b *site.Bundle, o *site.Options) { b.Images[0].Tags = []string{"no tag"} }},
		{`digest`, func(b *site.Bundle, o *site.Options) { b.Images[0].Digest = "sha256:1" }},
		{`repository "x\n/y"`, func(b *site.Bundle, o *site.Options) { b.Images[0].Repository = "x\n/y" }},
		{`neither tag nor digest`, func(b *site.Bundle, o *site.Options) {
			b.Images[0].Source = oci.Reference{Repository: "registry.example/a"}
		}},
		{`would be both it and`, func(b *site.Bundle, o *site.Options) {
			b.Images[1].Repository, b.Images[1].Tags = b.Images[0].Repository, b.Images[0].Tags
		}},
		{`has no payload`, func(b *site.Bundle, o *site.Options) { b.Releases[0].Payload = nil }},
		{`version "$(reboot)"`, func(b *site.Bundle, o *site.Options) { b.Releases[0].Version = "$(reboot)" }},
		{`architecture "a b"`, func(b *site.Bundle, o *site.Options) { b.Releases[0].Architecture = "a b" }},
		{`tag ""`, func(b *site.Bundle, o *site.Options) { b.Releases[0].Tag = "" }},
		{`previous version "x"`, func(b *site.Bundle, o *site.Options) {
			b.Releases[0].Payload = &release.Payload{Previous: []string{"x"}}
		}},
		{`component "c"`, func(b *site.Bundle, o *site.Options) {
			b.Releases[0].Payload = &release.Payload{Components: []release.Component{{Name: "c"}}}
		}},
		{`repository "components"`, func(b *site.Bundle, o *site.Options) { b.Releases[0].ComponentRepository = "components" }},
		{`signature: `, func(b *site.Bundle, o *site.Options) { b.Releases[0].Signatures = []site.Signature{{Digest: "x"}} }},
		{`would have the name signature-sha256-`, func(b *site.Bundle, o *site.Options) {
			r := &b.Releases[0]
			other := string(r.Digest[:len(r.Digest)-4]) + "0000" // the same beginning
			r.Signatures = append(r.Signatures, site.Signature{Digest: digest.Digest(other), Raw: [][]byte{{1}}})
		}},
	} {
		b := newBundle("b")
		addImages(t, &b)
		addRelease(t, &b, "4.99.1", "amd64", twoRepositories)
		var o site.Options
		test.edit(&b, &o)
		files, err := site.Render(b, o)
		if err == nil || !strings.Contains(err.Error(), test.want) || files != nil {
			t.Errorf("got %d files and error %v, want %q", len(files), err, test.want)
		}
	}
}
