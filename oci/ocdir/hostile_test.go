//go:build unix

package ocdir_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/oci/ocdir"
)

// want says what an error must be.
type want struct {
	says             string
	absent, mismatch bool
}

func (w want) check(t *testing.T, what string, err error) {
	t.Helper()
	mismatch := (*oci.MismatchError)(nil)
	if err == nil || !strings.Contains(err.Error(), w.says) || errors.Is(err, fs.ErrNotExist) != w.absent || errors.As(err, &mismatch) != w.mismatch {
		t.Errorf("%s: got %v, want %+v", what, err, w)
	}
}

func TestOpen(t *testing.T) {
	whole := newMirror(t)
	whole.image(release, "a", "1")
	empty, file, pipe, out := t.TempDir(), newMirror(t), newMirror(t), newMirror(t)
	file.write("", "v2")
	if err := syscall.Mkfifo(filepath.Join(pipe.dir, "v2"), 0o600); err != nil {
		t.Fatal(err)
	}
	out.link(whole.path("v2"), "v2")
	for _, test := range []struct {
		dir string
		want
	}{
		{filepath.Join(empty, "none"), want{says: "none: no such file", absent: true}},
		{empty, want{says: "no directory v2 in it: what oc mirrors to files is in v2/REPOSITORY/manifests", absent: true}},
		{whole.path("v2"), want{says: "it is the directory v2", absent: true}},
		{file.dir, want{says: "v2 is not a directory but a regular file"}},
		{pipe.dir, want{says: "v2 is not a directory but a named pipe"}},
		{out.dir, want{says: `v2 is a link to "` + whole.dir}},
		{file.path("v2"), want{says: "not a directory"}},
	} {
		tree, err := ocdir.Open(test.dir)
		test.want.check(t, test.dir, err)
		if tree != nil {
			t.Errorf("%s: a tree with an error", test.dir)
		}
	}
}

// TestBroken damages a tree in one place.
func TestBroken(t *testing.T) {
	layer := describe("", "layer")
	config := describe("", `{"layer":"layer"}`)
	var manifest oci.Descriptor // the same in all trees
	tests := []struct {
		name   string
		damage func(m *mirror)
		want
	}{
		{"blob gone", func(m *mirror) { m.must(os.Remove(m.path("v2", release, "blobs", layer.Digest.String()))) },
			want{says: layer.Digest.String(), absent: true}},
		{"blob flipped", func(m *mirror) { m.write("loyer", "v2", release, "blobs", layer.Digest.String()) },
			want{says: "content has digest", mismatch: true}},
		{"blob cut", func(m *mirror) { m.write("lay", "v2", release, "blobs", layer.Digest.String()) },
			want{says: "blobs/" + layer.Digest.String() + ": " + layer.Digest.String() + ": got 3 bytes, want 5", mismatch: true}},
		{"blob longer", func(m *mirror) { m.write("layers", "v2", release, "blobs", layer.Digest.String()) },
			want{says: "longer than the promised 5 bytes", mismatch: true}},
		{"config empty", func(m *mirror) { m.write("", "v2", release, "blobs", config.Digest.String()) },
			want{says: "got 0 bytes", mismatch: true}},
		{"manifest gone", func(m *mirror) {
			m.must(os.Remove(m.path("v2", release, "blobs", manifest.Digest.String())))
			m.must(os.Remove(m.path("v2", release, "manifests", manifest.Digest.String())))
		}, want{says: "neither in blobs nor in manifests", absent: true}},
		{"manifest flipped", func(m *mirror) { // both: it is a hard link
			m.write(`{"schemaVersion":2}`, "v2", release, "manifests", manifest.Digest.String())
		}, want{says: "content has digest", mismatch: true}},
		{"manifest huge", func(m *mirror) {
			m.must(os.Truncate(m.path("v2", release, "manifests", manifest.Digest.String()), oci.MaxManifestSize+1))
		}, want{says: "are more than 4194304"}},
		{"tag gone", func(m *mirror) { m.must(os.Remove(m.path("v2", release, "manifests", "1"))) },
			want{says: "manifests/1: no such file", absent: true}},
		{"tag to nothing", func(m *mirror) { m.retag("1", digest.FromString("x").String()) },
			want{says: digest.FromString("x").String() + ": neither in blobs", absent: true}},
		{"tag to a layer", func(m *mirror) { m.retag("1", layer.Digest.String()) },
			want{says: "invalid character"}},
		{"tag to a tag", func(m *mirror) { m.retag("1", "2") },
			want{says: `manifests/1 is a link to "2", which is no sha256 digest`}},
		{"tag to sha512", func(m *mirror) { m.retag("1", sha512) },
			want{says: "which is no sha256 digest"}},
		{"tag to itself", func(m *mirror) { m.retag("1", "1") }, want{says: `is a link to "1"`}},
		{"tag out of the tree", func(m *mirror) { m.retag("1", "../../../../../../etc/passwd") },
			want{says: `manifests/1 is a link to "../../../../../../etc/passwd"`}},
		{"copied tag damaged", func(m *mirror) {
			m.must(os.Remove(m.path("v2", release, "manifests", "1")))
			m.write(`{"schemaVersion":2}`, "v2", release, "manifests", "1")
		}, want{says: "manifests/1: neither a link nor a copy of a manifest"}},
		{"copied tag huge", func(m *mirror) {
			m.must(os.Remove(m.path("v2", release, "manifests", "1")))
			m.write("", "v2", release, "manifests", "1")
			m.must(os.Truncate(m.path("v2", release, "manifests", "1"), 1<<40))
		}, want{says: "manifests/1: 1099511627776 bytes are more than"}},
		{"tag a directory", func(m *mirror) {
			m.must(os.Remove(m.path("v2", release, "manifests", "1")))
			m.write("", "v2", release, "manifests", "1", "x")
		}, want{says: "manifests/1: not a regular file but a directory"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMirror(t)
			manifest = describe(oci.MediaTypeDockerManifest, m.image(release, "layer", "1", "2"))
			test.damage(m)
			_, _, err := read(t.Context(), m.open().Repository(release), "1")
			test.want.check(t, test.name, err)
		})
	}
}

func (m *mirror) retag(tag, target string) {
	m.t.Helper()
	m.must(os.Remove(m.path("v2", release, "manifests", tag)))
	m.link(target, "v2", release, "manifests", tag)
}

// TestManifestOfAnotherSize asks for a manifest with a size that it does not have.
func TestManifestOfAnotherSize(t *testing.T) {
	m := newMirror(t)
	d := describe(oci.MediaTypeDockerManifest, m.image(release, "a", "1"))
	r := m.open().Repository(release)
	for _, size := range []int64{0, d.Size - 1, d.Size + 1} {
		_, err := r.Manifest(t.Context(), oci.Descriptor{Digest: d.Digest, Size: size})
		want{says: d.Digest.String(), mismatch: true}.check(t, fmt.Sprint(size), err)
	}
	for _, size := range []int64{-1, oci.MaxManifestSize + 1} {
		_, err := r.Manifest(t.Context(), oci.Descriptor{Digest: d.Digest, Size: size})
		want{says: fmt.Sprint(size)}.check(t, fmt.Sprint(size), err)
	}
}

// TestOneOfTwoCopies damages one of the places of a manifest: the other counts.
func TestOneOfTwoCopies(t *testing.T) {
	for _, place := range []string{"blobs", "manifests"} {
		for _, damage := range []string{"", "x", "as long"} {
			m := newMirror(t)
			m.copies = true
			content := m.image(release, "a", "1")
			d := describe(oci.MediaTypeDockerManifest, content)
			if damage == "as long" {
				damage = strings.Repeat("x", len(content))
			}
			m.write(damage, "v2", release, place, d.Digest.String())
			r := m.open().Repository(release)
			if _, _, err := read(t.Context(), r, "1"); err != nil {
				t.Errorf("%s: %v", place, err)
			}
			if len(damage) == len(content) {
				continue // the gate of who reads the blob
			}
			if err := readBlob(t.Context(), r, d); err != nil {
				t.Errorf("%s as blob: %v", place, err)
			}
		}
	}
}

// TestLinks puts links where files and directories are expected.
func TestLinks(t *testing.T) {
	secret := describe("", "secret")
	outside := newMirror(t)
	outside.write("secret", "secret")
	outside.image("x", "a", "1")
	tests := []struct {
		name, repository string
		put              func(m *mirror)
		says             string // empty: it is read
	}{
		{"blob to the outside", release, func(m *mirror) {
			m.link(filepath.Join(outside.dir, "secret"), "v2", release, "blobs", secret.Digest.String())
		}, "blobs/" + secret.Digest.String() + ` is a link to "` + outside.dir},
		{"blob to the outside, relative", release, func(m *mirror) {
			m.link("../../../../../"+filepath.Base(outside.dir)+"/secret", "v2", release, "blobs", secret.Digest.String())
		}, `is a link to "../../../../../`},
		{"repository to the outside", "other/x", func(m *mirror) {
			m.link(outside.path("v2"), "v2", "other")
		}, `v2/other is a link to "` + outside.dir},
		{"to a file inside", release, func(m *mirror) {
			m.write("secret", "v2", "shared")
			m.link("../../../shared", "v2", release, "blobs", secret.Digest.String())
		}, ""},
		{"to a directory inside", "other", func(m *mirror) {
			m.write("secret", "v2", release, "blobs", secret.Digest.String())
			m.link(release, "v2", "other")
		}, ""},
		{"to itself", release, func(m *mirror) {
			m.link(secret.Digest.String(), "v2", release, "blobs", secret.Digest.String())
		}, "too many"},
		{"in a circle", "other/x", func(m *mirror) {
			m.link("circle", "v2", "other")
			m.link("other", "v2", "circle")
		}, "v2/other is a link to"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMirror(t)
			m.image(release, "a", "1")
			test.put(m)
			tree := m.open()
			err := readBlob(t.Context(), tree.Repository(test.repository), secret)
			if test.says == "" {
				if err != nil {
					t.Error(err)
				}
			} else {
				want{says: test.says}.check(t, test.name, err)
			}
			if test.repository != release && test.says != "" {
				_, err := tree.Expand(test.repository + ":*")
				want{says: test.says}.check(t, "Expand", err)
			}
			if there, err := tree.Repositories(); err != nil || len(there) != 1 || there[0] != release {
				t.Errorf("repositories %q, %v", there, err)
			}
		})
	}
}

// TestSpecialFiles puts named pipes, which would wait for a writer, in all places.
func TestSpecialFiles(t *testing.T) {
	m := newMirror(t)
	content := m.image(release, "a", "1")
	pipe := func(parts ...string) {
		t.Helper()
		if err := syscall.Mkfifo(m.path(parts...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, b := describe("", "blob"), describe("", "manifest")
	pipe("v2", release, "blobs", a.Digest.String())
	pipe("v2", release, "manifests", b.Digest.String())
	pipe("v2", release, "manifests", "p")
	pipe("v2", "piped", "manifests")
	pipe("config", "signature-1.json")
	m.link("pipe", "v2", release, "manifests", describe("", "linked").Digest.String())
	pipe("v2", release, "manifests", "pipe")
	tree := m.open()
	r := tree.Repository(release)
	says := want{says: "not a regular file but a named pipe"}
	_, _, err := r.Blob(t.Context(), a, 0, a.Size)
	says.check(t, "blob", err)
	_, err = r.Manifest(t.Context(), b)
	says.check(t, "manifest", err)
	_, err = r.Resolve(t.Context(), describe("", "linked").Digest.String())
	says.check(t, "link", err)
	_, err = r.Resolve(t.Context(), "p")
	says.check(t, "tag", err)
	for _, pattern := range []string{":p", ":p*", ":*", "", "@" + b.Digest.String()} {
		_, err = tree.Expand(release + pattern)
		says.check(t, "expand "+pattern, err)
	}
	_, err = tree.Expand("piped")
	want{says: "there is no repository piped, there is " + release, absent: true}.check(t, "repository", err)
	_, errs := tree.Signatures()
	if len(errs) != 1 {
		t.Fatalf("signatures: %v", errs)
	}
	says.check(t, "signatures", errs[0])
	if _, err := r.Manifest(t.Context(), describe("", content)); err != nil {
		t.Error(err)
	}
}

// TestNames hands in names that must not become paths.
func TestNames(t *testing.T) {
	m := newMirror(t)
	m.image(release, "a", "1")
	tree := m.open()
	for _, name := range []string{"", "..", "../v2/" + release, "/" + release, release + "/", "openshift//release", "OpenShift/release",
		"openshift/./release", "openshift\\release", release + "\x00", "localhost:5000/" + release} {
		if _, err := tree.Repository(name).Resolve(t.Context(), "1"); err == nil || !strings.Contains(err.Error(), "is not the name of a repository") {
			t.Errorf("repository %q: %v", name, err)
		}
		if _, _, err := tree.Repository(name).Blob(t.Context(), describe("", "a"), 0, 1); err == nil {
			t.Errorf("repository %q: blob", name)
		}
	}
	for _, tag := range []string{"", ".", "..", "../manifests/1", "1/", "a b", "-a", "1\x00", "sha256:../x", strings.Repeat("a", 129), sha512} {
		if _, err := tree.Repository(release).Resolve(t.Context(), tag); err == nil || !strings.Contains(err.Error(), "neither a tag nor") {
			t.Errorf("tag %q: %v", tag, err)
		}
	}
	for _, d := range []digest.Digest{"", "sha256:../../x", "sha256:" + digest.Digest(strings.Repeat("A", 64)), digest.Digest(sha512)} {
		bad := oci.Descriptor{Digest: d, Size: 1}
		if _, _, err := tree.Repository(release).Blob(t.Context(), bad, 0, 1); err == nil {
			t.Errorf("blob %q", d)
		}
		if _, err := tree.Repository(release).Manifest(t.Context(), bad); err == nil {
			t.Errorf("manifest %q", d)
		}
	}
}

var sha512 = "sha512:" + strings.Repeat("a", 128)
