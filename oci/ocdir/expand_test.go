//go:build unix

package ocdir_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/oci/ocdir"
)

func TestExpand(t *testing.T) {
	m := newMirror(t)
	image := m.image(release, "a", "4.12.0-x86_64", "4.12.0-x86_64-cli", "4.12.10-x86_64", "4.13.0-x86_64", "4x12", "V1", "_x", "a.b.c", "aXbXc")
	sigTag, sig := m.signature(release, image)
	fallback := "sha256-" + digest.FromString(image).Encoded()
	m.link(digest.FromString(image).String(), "v2", release, "manifests", fallback)
	m.image("local/index/redhat/redhat-operator-index", "b", "v4.12")
	m.image("top", "c", "1")
	m.image("a/library/x", "d", "1")
	m.image("quay.io/literal", "e", "1")
	m.image("literal", "f", "1")
	// What is not a tag.
	m.link(digest.FromString(image).String(), "v2", release, "manifests", "4.12.0-x86_64-late.download")
	m.link(digest.FromString(image).String(), "v2", release, "manifests", ".tmp-4.12")
	m.link(digest.FromString(image).String(), "v2", release, "manifests", "4.12 with space")
	m.link(digest.FromString(image).String(), "v2", release, "manifests", "4.12\nline")
	m.link(digest.FromString(image).String(), "v2", release, "manifests", "4.12\xff")
	m.link(digest.FromString(image).String(), "v2", release, "manifests", "-4.12")
	m.link(digest.FromString(image).String(), "v2", release, "manifests", strings.Repeat("4", 129))
	m.write("", "v2", release, "manifests", "4.12-dir", "file")
	all := []string{"4.12.0-x86_64", "4.12.0-x86_64-cli", "4.12.10-x86_64", "4.13.0-x86_64", "4x12", "V1", "_x", "a.b.c", "aXbXc", fallback, sigTag}
	d := digest.FromString(image).String()
	tests := []struct {
		pattern string
		tags    []string // of the repository that is read from the pattern, or given
		in      string
	}{
		{"file://openshift/release:4.12*", all[:3], ""},
		{"file:///openshift/release:4.12*", all[:3], ""},
		{"openshift/release:4.12*", all[:3], ""},
		{"file://openshift/release:4.12.0-x86_64*", all[:2], ""},
		{"file://openshift/release:4.12.0-x86_64", all[:1], ""},
		{"file://openshift/release:*-cli", all[1:2], ""},
		{"file://openshift/release:4*0*64", []string{all[0], all[2], all[3]}, ""},
		{"file://openshift/release:4*12", all[4:5], ""}, // the dot of others is no wildcard
		{"file://openshift/release:a.b*", all[7:8], ""},
		{"file://openshift/release:*", all, ""},
		{"file://openshift/release:***", all, ""},
		{"file://openshift/release", all, ""},
		{"file://openshift/release:v*", nil, ""}, // the case counts
		{"file://openshift/release:4.12.0-x86_64*cli*cli", nil, ""},
		{"file://openshift/release:*-x86_64-*-x86_64", nil, ""},
		{"file://openshift/release:" + sigTag, all[10:], ""},
		{"file://openshift/release:sha256-*", all[9:], ""},
		{"file://openshift/release:" + fallback, all[9:10], ""},
		{"file://openshift/release@" + d, []string{""}, ""},
		{"file://openshift/release:any@" + d, []string{"any"}, ""},
		{"file://top:1", []string{"1"}, "top"},
		{"file://a/library/x", []string{"1"}, "a/library/x"},
		{"file://local/index/redhat/redhat-operator-index:v4.12", []string{"v4.12"}, "local/index/redhat/redhat-operator-index"},
		{"file://quay.io/openshift/release:V*", []string{"V1"}, ""},
		{"file://localhost:5000/openshift/release:V1", []string{"V1"}, ""},
		{"file://localhost/top", []string{"1"}, "top"},
		{"file://quay.io/literal:1", []string{"1"}, "quay.io/literal"},
	}
	tree := m.open()
	for _, test := range tests {
		tagged, err := tree.Expand(test.pattern)
		if test.tags == nil {
			want{says: "has no tag", absent: true}.check(t, test.pattern, err)
			continue
		}
		var tags []string
		for _, image := range tagged {
			tags = append(tags, image.Tag)
			if in := test.in; image.Repository != in && (in != "" || image.Repository != release) {
				t.Errorf("%s: in %s", test.pattern, image.Repository)
			}
			if want := digest.FromString(image.Tag); test.in == "" && image.Digest != digest.Digest(d) && image.Digest != digest.FromString(sig) {
				t.Errorf("%s: %s is %s, not %s", test.pattern, image.Tag, image.Digest, want)
			}
		}
		if err != nil || !slices.Equal(tags, test.tags) {
			t.Errorf("%s: got %q, %v", test.pattern, tags, err)
		}
	}
}

func TestExpandRefuses(t *testing.T) {
	m := newMirror(t)
	for n := range 12 {
		m.image(release, "a", fmt.Sprintf("t%02d", n))
	}
	m.image("other", "a", "1")
	m.write("stray", "v2", release, "manifests", "stray")
	absent := digest.FromString("absent").String()
	tree := m.open()
	for _, test := range []struct {
		pattern string
		want
	}{
		{"", want{says: "is not the name of a repository"}},
		{"file://", want{says: "is not the name of a repository"}},
		{"file:////openshift/release", want{says: "is not the name of a repository"}},
		{"/openshift/release", want{says: "is not the name of a repository"}},
		{"docker://openshift/release:1", want{says: "is not the name of a repository"}},
		{"file://../openshift/release", want{says: "is not the name of a repository"}},
		{"file://openshift/../x:1", want{says: "is not the name of a repository"}},
		{"file://quay.io/../x:1", want{says: "is not the name of a repository"}},
		{"file://openshift/Release:1", want{says: "is not the name of a repository"}},
		{"file://openshift/rel*", want{says: "* is possible in tags only"}},
		{"file://openshift/*:1", want{says: "* is possible in tags only"}},
		{"file://openshift/release:", want{says: `"" is not a tag`}},
		{"file://openshift/release:a/b", want{says: "is not the name of a repository"}},
		{"file://openshift/release:-*", want{says: "no tag -*", absent: true}},
		{"file://openshift/release:[ab]*", want{says: "is not a pattern of tags"}},
		{"file://openshift/release:a?*", want{says: "is not a pattern of tags"}},
		{"file://openshift/release:\x00*", want{says: "is not a pattern of tags"}},
		{"file://openshift/release:a?", want{says: `"a?" is not a tag`}},
		{"file://openshift/release:" + strings.Repeat("*", 257), want{says: "is not a pattern of tags"}},
		{"file://openshift/release:sha256:" + strings.Repeat("a", 64), want{says: "is not the name of a repository"}},
		{"file://openshift/release@sha256:abc", want{says: `digest "sha256:abc"`}},
		{"file://openshift/release@" + sha512, want{says: `digest "sha512:`}},
		{"file://openshift/release:t*@" + absent, want{says: "exclude each other"}},
		{"file://openshift/release:a@b@" + absent, want{says: "digest"}},
		{"file://openshift/release@" + absent, want{says: "repository openshift/release has no " + absent, absent: true}},
		{"file://openshift/release:4.1*", want{says: "has no tag 4.1*, it has stray, t00, t01, t02, t03, t04, t05, t06, t07, t08 and 3 more", absent: true}},
		{"file://openshift/release:none", want{says: "manifests/none: no such file", absent: true}},
		{"file://openshift/release:x.download", want{says: "left by an interrupted download"}},
		{"file://openshift/release:s*", want{says: "manifests/stray: neither a link nor a copy"}},
		{"file://openshift/release", want{says: "manifests/stray: neither a link nor a copy"}},
		{"file://openshift", want{says: "there is no repository openshift, there is openshift/release, other: file does not exist", absent: true}},
		{"file://quay.io/none:1", want{says: "there is no repository none", absent: true}},
	} {
		_, err := tree.Expand(test.pattern)
		test.want.check(t, test.pattern, err)
	}
}

// TestExpandWindows looks at files that are named like tags.
func TestExpandWindows(t *testing.T) {
	for _, separator := range []string{"-", "_"} {
		m := newMirror(t)
		m.separator, m.copies = separator, true
		image := m.image(release, "a", "1")
		child := m.image(release, "b")
		// A fallback tag for the child's referrers, where oc has no other name for the child.
		m.must(writeOver(m.path("v2", release, "manifests", m.file(digest.FromString(child))), image))
		tree := m.open()
		tagged, err := tree.Expand(release)
		want := []ocdir.Tagged{{Repository: release, Tag: "1", Digest: digest.FromString(image)},
			{Repository: release, Tag: m.file(digest.FromString(child)), Digest: digest.FromString(image)}}
		if err != nil || !slices.Equal(tagged, want) {
			t.Errorf("got %v, %v", tagged, err)
		}
		if _, _, err := read(t.Context(), tree.Repository(release), digest.FromString(child).String()); err != nil {
			t.Error(err)
		}
		_, err = tree.Expand(release + ":" + m.file(digest.FromString(image)))
		if err == nil || !strings.Contains(err.Error(), "not a tag but a manifest by its digest") {
			t.Errorf("got %v", err)
		}
	}
}

func TestLeftovers(t *testing.T) {
	m := newMirror(t)
	image := m.image(release, "a", "1")
	d := digest.FromString(image).String()
	m.link(d, "v2", release, "manifests", "2.download")
	m.write("", "v2", release, "manifests", d+".download")
	m.write("", "v2", release, "blobs", digest.FromString("x").String()+".download")
	m.write("", "v2", release, "blobs", ".tmp-123")
	m.write("", "v2", release, "blobs", "Thumbs.db")
	m.write("", "v2", release, "blobs", sha512)
	m.link(d, "v2", release, "manifests", "with\x1b[31m")
	m.write("", "v2", release, "manifests", "dir", "x")
	m.write("", "v2", "README")
	m.write("", "v2", "System Volume Information", "x")
	m.write("", "v2", "half", "blobs", ".tmp-1")
	m.link("openshift", "v2", "linked")
	tree := m.open()
	left, err := tree.Leftovers()
	m.must(err)
	var got []string
	for _, l := range left {
		got = append(got, l.String())
	}
	want := []string{
		`"v2/openshift/release/manifests/with\x1b[31m": named by neither a tag nor a digest`,
		"v2/README: not a directory but a regular file",
		"v2/System Volume Information: not the name of a repository",
		"v2/half/blobs/.tmp-1: left by an interrupted download",
		"v2/linked: not a directory but a link",
		"v2/openshift/release/blobs/.tmp-123: left by an interrupted download",
		"v2/openshift/release/blobs/Thumbs.db: not named by a digest",
		"v2/openshift/release/blobs/" + digest.FromString("x").String() + ".download: left by an interrupted download",
		"v2/openshift/release/blobs/" + sha512 + ": only sha256 is supported",
		"v2/openshift/release/manifests/2.download: left by an interrupted download",
		"v2/openshift/release/manifests/dir: not a file but a directory",
		"v2/openshift/release/manifests/" + d + ".download: left by an interrupted download",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	// They are in nobody's way.
	if tagged, err := tree.Expand(release); err != nil || len(tagged) != 1 {
		t.Errorf("got %v, %v", tagged, err)
	}
	if there, err := tree.Repositories(); err != nil || !slices.Equal(there, []string{"half", release}) {
		t.Errorf("got %q, %v", there, err)
	}
}

func TestLeftoversBounded(t *testing.T) {
	m := newMirror(t)
	for n := range 1_001 {
		m.write("", "v2", release, "blobs", fmt.Sprintf(".tmp-%d", n))
	}
	left, err := m.open().Leftovers()
	if len(left) != 1_000 || err == nil || !strings.Contains(err.Error(), "more than 1000 files") {
		t.Errorf("got %d, %v", len(left), err)
	}
}
