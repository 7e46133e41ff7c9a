package site_test

import (
	"fmt"
	"strings"
	"testing"

	"satchel/oci"
	"satchel/transfer/nodeconf"
	"satchel/transfer/site"
)

// TestExisting: what is found beside what a cluster has.
func TestExisting(t *testing.T) {
	b := newBundle("b")
	b.Images = []site.Image{
		{Source: reference(t, "registry.example/a:v1"), Digest: digestOf("a"), Repository: b.To + "/a", Tags: []string{"v1"}},
		{Source: reference(t, "registry.example/b@"+string(digestOf("b"))), Digest: digestOf("b"), Repository: b.To + "/b", Tags: []string{"x"}},
	}
	set := func(kind, name, list, entries string) string {
		return fmt.Sprintf("kind: %s\nmetadata: {name: %s}\nspec: {%s: [%s]}\n---\n", kind, name, list, entries)
	}
	own := firstName(t, render(t, b, site.Options{})["imageDigestMirrorSet.yaml"])
	digests := func(name, entries string) string {
		return set("ImageDigestMirrorSet", name, "imageDigestMirrors", entries)
	}
	for _, test := range []struct {
		name, export string
		sets         site.MirrorSets
		want         []string
	}{
		{"ours of an earlier run", digests(own, "{source: registry.example/b, mirrors: ['mirror.example:5000/site/b']}"), "", nil},
		{"ours is replaced", digests(own, "{source: registry.example/b, mirrors: ['mirror.example:5000/site/b', old.example/b]}, {source: registry.example/c, mirrors: [old.example/c]}"), "",
			[]string{"ImageDigestMirrorSet " + own + ": the cluster has one of this name, which ours replaces: mirrors that were added to it are gone then, of registry.example/b, registry.example/c; "}},
		{"what is replaced contradicts nothing", digests(own, "{source: registry.example/b, mirrors: ['mirror.example:5000/site/b'], mirrorSourcePolicy: NeverContactSource}"), "", nil},
		{"ours with another policy", digests("satchel-b-0123abcd-0", "{source: registry.example/b, mirrors: ['mirror.example:5000/site/b'], mirrorSourcePolicy: NeverContactSource}"), "",
			[]string{"!registry.example/b: source registry.example/b has mirrorSourcePolicy NeverContactSource in ImageDigestMirrorSet satchel-b-0123abcd-0 and AllowContactingSource in ImageDigestMirrorSet " + own + ": "}},
		{"the name of another kind does not replace", set("ImageTagMirrorSet", own, "imageTagMirrors", "{source: registry.example/a, mirrors: [old.example/a], mirrorSourcePolicy: NeverContactSource}"), "",
			[]string{"!registry.example/a: source registry.example/a has mirrorSourcePolicy NeverContactSource in ImageTagMirrorSet " + own + " and AllowContactingSource in ImageTagMirrorSet " + firstName(t, render(t, b, site.Options{})["imageTagMirrorSet.yaml"]) + ": "}},
		{"masked", digests("x", "{source: registry.example, mirrors: [old.example]}"), "", []string{
			"registry.example/a: old.example/a (by digest) of the cluster would no longer be asked for it",
			"registry.example/b: old.example/b (by digest) of the cluster would no longer be asked for it"}},
		{"an older kind", set("ImageContentSourcePolicy", "x", "repositoryDigestMirrors", "{source: other.example, mirrors: [old.example]}"), "",
			[]string{"the cluster has ImageContentSourcePolicy, ours is ImageDigestMirrorSet and ImageTagMirrorSet: clusters before 4.13.27"}},
		{"a newer kind", digests("x", "{source: other.example, mirrors: [old.example]}"), site.ICSP,
			[]string{"the cluster has ImageDigestMirrorSet and ImageTagMirrorSet, ours is ImageContentSourcePolicy: clusters before 4.13.27"}},
		{"not allowed", "kind: Image\napiVersion: config.openshift.io/v1\nspec: {registrySources: {allowedRegistries: [quay.io, registry.example/a, 'mirror.example:5000']}}\n", "",
			[]string{"registry.example/b: it is not among the allowed registries of the cluster"}},
		{"blocked", "kind: Image\napiVersion: config.openshift.io/v1\nspec: {registrySources: {blockedRegistries: ['mirror.example:5000']}}\n", "",
			[]string{"mirror.example:5000/site/b: the cluster blocks mirror.example:5000: nodes never ask this mirror", "mirror.example:5000/site/a: the cluster blocks mirror.example:5000"}},
	} {
		o := site.Options{MirrorSets: test.sets, Config: site.Config{Existing: existing(t, test.export)}}
		got := findings(t, b, o)
		if strings.Count(got, "\n") != len(test.want) {
			t.Errorf("%s: found\n%s", test.name, got)
		}
		files := render(t, b, o)
		for _, want := range test.want {
			if !strings.Contains(got, want) || !strings.Contains(files["README.md"], strings.TrimPrefix(want, "!")) {
				t.Errorf("%s: found\n%swant\n%s\nREADME.md:\n%s", test.name, got, want, files["README.md"])
			}
		}
		refused := strings.HasPrefix(got, "!")
		if (files["node-registries.conf"] == "") != refused || strings.HasPrefix(files["README.md"], "# b at mirror.example:5000/site\n\n> **DO NOT APPLY") != refused {
			t.Errorf("%s: refused %v, and the files are otherwise:\n%s", test.name, refused, files["README.md"])
		}
	}
}

// TestPayloadBlocked: the release's own registry is blocked only beside a mirror, and
// allowed lists that leave it out are found.
func TestPayloadBlocked(t *testing.T) {
	release := newBundle("b")
	addRelease(t, &release, "4.99.1", "amd64", twoRepositories)
	images := newBundle("b")
	addImages(t, &images)
	for _, test := range []struct {
		name   string
		bundle site.Bundle
		config site.Config
		want   string
	}{
		{"with a mirror", release, site.Config{Blocked: []string{"quay.example/dev/release", "bad.example"}},
			"quay.example/dev/release: the cluster blocks quay.example/dev/release by name: "},
		{"its mirror, too", release, site.Config{Blocked: []string{"quay.example/dev/release", "mirror.example:5000"}},
			"!blocked registry quay.example/dev/release has the release image quay.example/dev/release, which has no mirror that is not blocked: the cluster would not block it; "},
		{"it alone", release, site.Config{Blocked: []string{"quay.example/dev/release"}}, "!blocked registry quay.example/dev/release is the release image's own, and the only one"},
		{"allowed, with a release", release, site.Config{Allow: true}, ""},
		{"allowed, without a release", images, site.Config{Allow: true}, "the bundle has no release, and the allowed registries have no quay.io/openshift-release-dev: "},
		{"allowed, without a release, but named", images, site.Config{Allow: true, Allowed: []string{"quay.io/openshift-release-dev/ocp-release"}}, ""},
		{"search that is not allowed", release, site.Config{Allow: true, Search: []string{"docker.io"}}, "docker.io: it is a search registry, and not among the allowed registries"},
	} {
		got := findings(t, test.bundle, site.Options{Config: test.config})
		if !strings.Contains(got, test.want) || test.want == "" && got != "" {
			t.Errorf("%s: found\n%swant\n%s", test.name, got, test.want)
		}
	}
	got := render(t, release, site.Options{Config: site.Config{Blocked: []string{"quay.example/dev/release", "bad.example"}}})
	policy, err := nodeconf.Policy([]string{"quay.example/dev/release"}, []string{"bad.example"}, "quay.example/dev/release")
	if err != nil || got["node-policy.json"] != string(policy) {
		t.Errorf("%v, node-policy.json is\n%s\nwant\n%s", err, got["node-policy.json"], policy)
	}
}

// TestNodes: what stands in node-registries.conf is what the mirror sets say, of all of
// their documents, and leads where the images are.
func TestNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: many sources, and nothing concurrent")
	}
	b := newBundle("b")
	const count = 1500
	for i := range count {
		path := fmt.Sprintf("org/%s/image-%06d", strings.Repeat("long", 50), i)
		d := digestOf(path)
		b.Images = append(b.Images, site.Image{Source: reference(t, "registry.example/"+path+"@"+string(d)), Digest: d, Repository: b.To + "/" + path, Tags: []string{"t"}})
	}
	got := render(t, b, site.Options{})
	if n := strings.Count(got["node-registries.conf"], "[[registry]]"); n != count {
		t.Errorf("%d sources, want %d", n, count)
	}
	// The same from the export of a cluster that has the resources: nothing is lost by
	// reading what was written.
	written, err := nodeconf.ParseExport([]byte(got["imageDigestMirrorSet.yaml"]))
	if err != nil {
		t.Fatal(err)
	}
	conf, err := nodeconf.Registries(written)
	if err != nil || string(conf) != got["node-registries.conf"] {
		t.Errorf("another file from the export, %v", err)
	}
	nodes, err := nodeconf.Merge(written)
	if err != nil {
		t.Fatal(err)
	}
	for _, image := range b.Images[:10] {
		if places := nodes.Places(oci.Reference{Repository: image.Source.Repository, Digest: image.Digest}); len(places) == 0 || places[0] != image.Repository {
			t.Errorf("%s is asked for at %q", image.Source, places)
		}
	}
}

// TestNodesExisting: a list that ours replaces is not there twice, and one that it leaves
// alone is there.
func TestNodesExisting(t *testing.T) {
	has := existing(t, "kind: Image\napiVersion: config.openshift.io/v1\nspec: {registrySources: {containerRuntimeSearchRegistries: [a.example], insecureRegistries: [i.example]}}\n")
	got := render(t, newBundle("b"), site.Options{Config: site.Config{Search: []string{"b.example"}, Existing: has}})
	if want := "unqualified-search-registries = [\"a.example\", \"b.example\"]\nshort-name-mode = \"\"\n"; got["node-01-image-searchRegistries.conf"] != want {
		t.Errorf("search:\n%s, want\n%s", got["node-01-image-searchRegistries.conf"], want)
	}
	if conf := got["node-registries.conf"]; !strings.Contains(conf, "location = \"i.example\"\n  insecure = true\n") {
		t.Errorf("what the cluster has is not in\n%s", conf)
	}
}
