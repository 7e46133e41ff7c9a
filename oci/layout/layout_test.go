//go:build !windows

package layout_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/layout"
)

const layoutFile = `{"imageLayoutVersion":"1.0.0"}`

func describe(mediaType string, content []byte) oci.Descriptor {
	return oci.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
}

func opener(content []byte) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}
}

func blobFile(dir string, d oci.Descriptor) string {
	return filepath.Join(dir, "blobs", "sha256", d.Digest.Encoded())
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// handmade writes a layout with the given index.json and blobs.
func handmade(t *testing.T, index string, blobs ...string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "oci-layout"), layoutFile)
	write(t, filepath.Join(dir, "index.json"), index)
	for _, b := range blobs {
		write(t, blobFile(dir, describe("", []byte(b))), b)
	}
	return dir
}

func open(t *testing.T, dir string) *layout.Layout {
	t.Helper()
	l, err := layout.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func entry(name, content string) string {
	d := describe("", []byte(content))
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d,"annotations":{%q:%q}}`,
		ispec.MediaTypeImageManifest, d.Digest, d.Size, ispec.AnnotationRefName, name)
}

func index(entries ...string) string {
	return `{"schemaVersion":2,"manifests":[` + strings.Join(entries, ",") + `]}`
}

func TestResolve(t *testing.T) {
	many := make([]string, 30)
	for i := range many {
		many[i] = entry(fmt.Sprintf("n%02d", i), "x")
	}
	long := strings.Repeat("y", 5000)
	tests := []struct {
		name, index, resolve string
		want                 string // content of what is found
		err                  string
		absent               bool
		maxErr               int
	}{
		{name: "by name", index: index(entry("a", "1"), entry("b", "2")), resolve: "b", want: "2"},
		{name: "only one", index: index(entry("a", "1")), want: "1"},
		{name: "outside of umoci's grammar", index: index(entry("q.io/a__b:_x", "1"), entry("c", "2")), resolve: "q.io/a__b:_x", want: "1"},
		{name: "none", index: index(entry("a", "1"), entry("", "2")), resolve: "c", err: `"a", (no name)`, absent: true},
		{name: "none at all", index: index(), err: "holds no image", absent: true},
		{name: "null", index: `{"schemaVersion":2,"manifests":null}`, resolve: "a", err: "holds no image", absent: true},
		{name: "two of a name", index: index(entry("a", "1"), entry("a", "2")), resolve: "a", err: `2 images are named "a": sha256:`},
		{name: "no name, several", index: index(entry("a", "1"), entry("b", "2")), err: `holds 2 images and no name was given, there are "a", "b"`},
		{name: "many", index: index(many...), resolve: "a", err: `"n09" and 20 more`, absent: true},
		{name: "long", index: index(entry(long, "1")), resolve: "a", err: `yyy"…`, absent: true, maxErr: 600},
		{name: "bad digest", index: `{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x","size":1}]}`, err: "digest"},
		{name: "other algorithm", index: `{"schemaVersion":2,"manifests":[{"digest":"sha512:` + strings.Repeat("a", 128) + `","size":1}]}`, err: `digest "sha512:`},
		{name: "negative size", index: `{"schemaVersion":2,"manifests":[{"digest":"` + string(digest.FromString("x")) + `","size":-1}]}`, err: "size -1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := open(t, handmade(t, test.index))
			d, err := l.Resolve(t.Context(), test.resolve)
			if test.err == "" {
				if err != nil || d.Digest != digest.FromString(test.want) {
					t.Fatalf("got %s, %v", d.Digest, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Fatalf("got error %v, want one with %q", err, test.err)
			}
			if errors.Is(err, fs.ErrNotExist) != test.absent {
				t.Errorf("errors.Is(%v, fs.ErrNotExist) is not %v", err, test.absent)
			}
			if test.maxErr > 0 && len(err.Error()) > test.maxErr {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
		})
	}
}

func TestEntries(t *testing.T) {
	l := open(t, handmade(t, index(entry("a", "1"), entry("", "2"), entry("a", "3"))))
	entries, err := l.Entries(t.Context())
	if err != nil || len(entries) != 3 {
		t.Fatalf("got %v, %v", entries, err)
	}
	if entries[0].Name != "a" || entries[1].Name != "" || entries[2].Descriptor.Digest != digest.FromString("3") {
		t.Errorf("got %v", entries)
	}
	l = open(t, handmade(t, `{"schemaVersion":2,"manifests":[{"digest":"md5:1","size":1}]}`))
	if _, err := l.Entries(t.Context()); err == nil {
		t.Error("a bad digest was taken")
	}
}

func TestOpenHostile(t *testing.T) {
	tests := []struct{ name, layout, index, err string }{
		{"no layout file", "", index(), "oci-layout"},
		{"no index", layoutFile, "", "index.json"},
		{"layout not JSON", "x", index(), "invalid character"},
		{"layout version", `{"imageLayoutVersion":"2.0.0"}`, index(), `version "2.0.0" is not supported`},
		{"layout huge", strings.Repeat(" ", 65<<10), index(), "are more than"},
		{"empty object", layoutFile, "{}", "schema version 0"},
		{"not JSON", layoutFile, "hello", "invalid character"},
		{"cut short", layoutFile, `{"schemaVersion":2,"manifests":[{"dig`, "unexpected EOF"},
		{"cut at a border", layoutFile, `{"schemaVersion":2,"manifests":[`, "unexpected EOF"},
		{"blank", layoutFile, " ", "unexpected EOF"},
		{"list", layoutFile, "[]", `"{" is not there`},
		{"manifests not a list", layoutFile, `{"schemaVersion":2,"manifests":{}}`, "not a list"},
		{"entry not an object", layoutFile, `{"schemaVersion":2,"manifests":[7]}`, "cannot unmarshal"},
		{"schema 1", layoutFile, `{"schemaVersion":1,"manifests":[]}`, "schema version 1"},
		{"mixed", layoutFile, `{"schemaVersion":2,"manifests":[],"layers":[]}`, `field "layers"`},
		{"mixed config", layoutFile, `{"schemaVersion":2,"config":{},"manifests":[]}`, `field "config"`},
		{"twice", layoutFile, `{"schemaVersion":2,"manifests":[],"manifests":[]}`, "twice"},
		{"media type", layoutFile, `{"schemaVersion":2,"mediaType":"text/html","manifests":[]}`, "text/html"},
		{"two values", layoutFile, index() + "{}", "follows the index"},
		{"too many", layoutFile, index(strings.Repeat("{},", oci.MaxBlobs) + "{}"), "more than 100000 images"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range map[string]string{"oci-layout": test.layout, "index.json": test.index} {
				if content != "" {
					write(t, filepath.Join(dir, name), content)
				}
			}
			l, err := layout.Open(dir)
			if err == nil {
				l.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Fatalf("got error %v, want one with %q", err, test.err)
			}
		})
	}
	t.Run("huge index", func(t *testing.T) {
		dir := handmade(t, index())
		if err := os.Truncate(filepath.Join(dir, "index.json"), 64<<20+1); err != nil {
			t.Fatal(err)
		}
		if _, err := layout.Open(dir); err == nil || !strings.Contains(err.Error(), "67108865 bytes are more than") {
			t.Fatalf("got error %v", err)
		}
	})
	t.Run("named pipe", func(t *testing.T) {
		dir := handmade(t, index())
		name := filepath.Join(dir, "index.json")
		os.Remove(name)
		if err := syscall.Mkfifo(name, 0o644); err != nil {
			fixtures.Lacking(t, "a file system with named pipes", err)
		}
		if _, err := layout.Open(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Fatalf("got error %v", err)
		}
	})
	t.Run("absent", func(t *testing.T) {
		if _, err := layout.Open(filepath.Join(t.TempDir(), "no")); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("got error %v", err)
		}
	})
}

func TestReadBlobs(t *testing.T) {
	const content = "0123456789"
	d := describe("", []byte(content))
	dir := handmade(t, index(), content)
	l := open(t, dir)
	for _, r := range [][2]int64{{0, 10}, {0, 0}, {10, 0}, {3, 4}, {9, 1}} {
		reader, exact, err := l.Blob(t.Context(), d, r[0], r[1])
		if err != nil || !exact {
			t.Fatalf("%v: %v, %v", r, exact, err)
		}
		got, err := io.ReadAll(reader)
		if err != nil || string(got) != content[r[0]:r[0]+r[1]] {
			t.Errorf("%v: got %q, %v", r, got, err)
		}
		if err := reader.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, r := range [][2]int64{{-1, 1}, {0, -1}, {0, 11}, {11, 0}, {1, 1<<63 - 1}} {
		if _, _, err := l.Blob(t.Context(), d, r[0], r[1]); err == nil {
			t.Errorf("range %v was taken", r)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	reader, _, err := l.Blob(ctx, d, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	cancel()
	if _, err := io.ReadAll(reader); !errors.Is(err, context.Canceled) {
		t.Errorf("reading after the end of the context: %v", err)
	}
}

func TestDamagedBlobs(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, "content")
	tests := []struct {
		name     string
		make     func(file string) error
		mismatch bool // else the error that Manifest returns
		absent   bool
		has      bool
		hasErr   bool
	}{
		{name: "whole", make: func(f string) error { return os.WriteFile(f, []byte("content"), 0o644) }, has: true},
		{name: "missing", make: func(string) error { return nil }, absent: true},
		{name: "short", make: func(f string) error { return os.WriteFile(f, []byte("conten"), 0o644) }, mismatch: true},
		{name: "long", make: func(f string) error { return os.WriteFile(f, []byte("content and more"), 0o644) }, mismatch: true},
		{name: "flipped", make: func(f string) error { return os.WriteFile(f, []byte("kontent"), 0o644) }, mismatch: true, has: true},
		{name: "directory", make: func(f string) error { return os.Mkdir(f, 0o755) }, hasErr: true},
		{name: "link that leads out", make: func(f string) error { return os.Symlink(outside, f) }, hasErr: true},
		{name: "link that stays inside", make: func(f string) error {
			if err := os.WriteFile(f+"x", []byte("content"), 0o644); err != nil {
				return err
			}
			return os.Symlink(filepath.Base(f)+"x", f)
		}, has: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := handmade(t, index(), "another")
			d := describe(oci.MediaTypeManifest, []byte("content"))
			if err := test.make(blobFile(dir, d)); err != nil {
				t.Fatal(err)
			}
			l := open(t, dir)
			has, err := l.HasBlob(t.Context(), d)
			if has != test.has || (err != nil) != test.hasErr {
				t.Errorf("HasBlob: %v, %v", has, err)
			}
			content, err := l.Manifest(t.Context(), d)
			var mismatch *oci.MismatchError
			if errors.As(err, &mismatch) != test.mismatch || errors.Is(err, fs.ErrNotExist) != test.absent {
				t.Errorf("Manifest: %v", err)
			}
			if bad := test.mismatch || test.absent || test.hasErr; (err != nil) != bad || !bad && string(content) != "content" {
				t.Errorf("Manifest: %q, %v", content, err)
			}
			reader, _, err := l.Blob(t.Context(), d, 0, d.Size)
			if (err == nil) != test.has {
				t.Errorf("Blob: %v", err)
			}
			if err == nil {
				reader.Close()
			}
		})
	}
	l := open(t, handmade(t, index()))
	d := describe(oci.MediaTypeManifest, nil)
	d.Size = oci.MaxManifestSize + 1
	if _, err := l.Manifest(t.Context(), d); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a huge manifest: %v", err)
	}
}
