//go:build unix

package ocdir_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

const release = "openshift/release"

// TestImport reads whole trees as oc writes them, and as they arrive.
func TestImport(t *testing.T) {
	tests := []struct {
		name string
		with func(*mirror)
	}{
		{"as oc writes it", func(*mirror) {}},
		{"on Windows", func(m *mirror) { m.separator = "-" }},
		{"unpacked on Windows", func(m *mirror) { m.separator, m.copies = "_", true }},
		{"copied without links", func(m *mirror) { m.copies = true }},
		{"copied without links on Windows", func(m *mirror) { m.separator, m.copies = "-", true }},
		{"absolute links of old oc", func(m *mirror) {
			m.tag = func(file string, d digest.Digest, _ string) {
				m.must(os.Symlink("/of/old/v2/"+release+"/manifests/"+d.String(), file))
			}
		}},
		{"links with directories", func(m *mirror) {
			m.tag = func(file string, d digest.Digest, _ string) {
				m.must(os.Symlink("../manifests/"+d.String(), file))
			}
		}},
		{"links of Windows with directories", func(m *mirror) {
			m.separator = "-"
			m.tag = func(file string, d digest.Digest, _ string) {
				m.must(os.Symlink(`C:\mirror\v2\openshift\release\manifests\`+m.file(d), file))
			}
		}},
		{"the texts of links", func(m *mirror) {
			m.copies = true
			m.tag = func(file string, d digest.Digest, _ string) {
				m.must(os.WriteFile(file, []byte(d), 0o600))
			}
		}},
		{"manifests only under blobs", func(m *mirror) { m.places = []string{"blobs"} }},
		{"manifests only under manifests", func(m *mirror) { m.places = []string{"manifests"} }},
		{"copies, manifests only under blobs", func(m *mirror) { m.places, m.copies = []string{"blobs"}, true }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMirror(t)
			test.with(m)
			amd, arm := m.image(release, "amd64", "4.12.0-x86_64"), m.image(release, "arm64")
			cli := m.image(release, "cli", "4.12.0-x86_64-cli", "4.12.0-x86_64-alias")
			list := m.list(release, []string{amd, arm}, "4.12.0-multi")
			sigTag, sig := m.signature(release, amd)
			want := map[string]struct {
				content, mediaType string
				reaches            int
			}{
				"4.12.0-x86_64":       {amd, oci.MediaTypeDockerManifest, 3},
				"4.12.0-x86_64-cli":   {cli, oci.MediaTypeDockerManifest, 3},
				"4.12.0-x86_64-alias": {cli, oci.MediaTypeDockerManifest, 3},
				"4.12.0-multi":        {list, oci.MediaTypeDockerList, 7},
				sigTag:                {sig, oci.MediaTypeManifest, 3},
			}
			tree := m.open()
			tagged, err := tree.Expand("file://" + release)
			if err != nil || len(tagged) != len(want) {
				t.Fatalf("got %v, %v", tagged, err)
			}
			var wait sync.WaitGroup
			for _, tag := range tagged {
				wait.Go(func() {
					w := want[tag.Tag]
					for _, name := range []string{tag.Tag, tag.Digest.String()} {
						root, seen, err := read(t.Context(), tree.Repository(tag.Repository), name)
						if err != nil || root.Digest != digest.FromString(w.content) || root.Digest != tag.Digest ||
							root.MediaType != w.mediaType || root.Size != int64(len(w.content)) || len(seen) != w.reaches {
							t.Errorf("%s: got %+v, %d reached, %v", name, root, len(seen), err)
						}
					}
				})
			}
			wait.Wait()
			if left, err := tree.Leftovers(); err != nil || len(left) != 0 {
				t.Errorf("left over: %v, %v", left, err)
			}
		})
	}
}

// TestImportCopied dereferences a tree as cp -rL does, byte for byte.
func TestImportCopied(t *testing.T) {
	m := newMirror(t)
	m.image(release, "a", "1", "2")
	copied := &mirror{t: t, dir: t.TempDir()}
	m.must(filepath.WalkDir(m.dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(m.dir, name)
		copied.write(string(content), relative)
		return err
	}))
	tagged, err := copied.open().Expand(release + ":*")
	if err != nil || len(tagged) != 2 || tagged[0].Tag != "1" || tagged[1].Tag != "2" || tagged[0].Digest != tagged[1].Digest {
		t.Errorf("got %v, %v", tagged, err)
	}
}

func TestBlobRanges(t *testing.T) {
	m := newMirror(t)
	m.blob(release, "t", "0123456789")
	d := describe("t", "0123456789")
	r := m.open().Repository(release)
	for _, test := range []struct {
		offset, length int64
		want           string
	}{{0, 10, "0123456789"}, {3, 4, "3456"}, {10, 0, ""}, {9, 1, "9"}} {
		reader, ranged, err := r.Blob(t.Context(), d, test.offset, test.length)
		if err != nil || !ranged {
			t.Fatalf("%+v: %t, %v", test, ranged, err)
		}
		var b strings.Builder
		if _, err := copyAll(&b, reader); err != nil || b.String() != test.want {
			t.Errorf("%+v: got %q, %v", test, b.String(), err)
		}
	}
	for _, test := range [][2]int64{{-1, 1}, {0, -1}, {0, 11}, {11, 0}, {5, 1 << 62}} {
		if _, _, err := r.Blob(t.Context(), d, test[0], test[1]); err == nil || !strings.Contains(err.Error(), "outside") {
			t.Errorf("%v: %v", test, err)
		}
	}
}

func TestContextEnds(t *testing.T) {
	m := newMirror(t)
	m.image(release, "a", "1")
	r := m.open().Repository(release)
	ctx, cancel := context.WithCancel(t.Context())
	d := describe("t", "a")
	reader, _, err := r.Blob(ctx, d, 0, 1)
	m.must(err)
	defer reader.Close()
	cancel()
	if _, err := reader.Read(make([]byte, 1)); err != context.Canceled {
		t.Errorf("reading: %v", err)
	}
	if _, err := r.Resolve(ctx, "1"); err == nil {
		t.Error("resolved")
	}
	if _, _, err := r.Blob(ctx, d, 0, 1); err == nil {
		t.Error("opened")
	}
}

func TestReadersOutliveTree(t *testing.T) {
	m := newMirror(t)
	m.blob(release, "t", "a")
	tree := m.open()
	reader, _, err := tree.Repository(release).Blob(t.Context(), describe("t", "a"), 0, 1)
	m.must(err)
	m.must(tree.Close())
	var b strings.Builder
	if _, err := copyAll(&b, reader); err != nil || b.String() != "a" {
		t.Errorf("got %q, %v", b.String(), err)
	}
}
