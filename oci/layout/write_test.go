//go:build !windows

package layout_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/iotest"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"satchel/oci"
	"satchel/oci/layout"
)

func create(t *testing.T, dir string) *layout.Layout {
	t.Helper()
	l, err := layout.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// files lists everything below dir, directories with a slash.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		name, _ = filepath.Rel(dir, name)
		if e.IsDir() {
			name += "/"
		}
		names = append(names, filepath.ToSlash(name))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

var empty = []string{"blobs/", "blobs/sha256/", "index.json", "oci-layout"}

func TestCreate(t *testing.T) {
	parent := t.TempDir()
	for _, dir := range []string{filepath.Join(parent, "a", "b"), t.TempDir(), filepath.Join(parent, "c[", "d*")} {
		l := create(t, dir)
		if got := files(t, dir); !slices.Equal(got, empty) {
			t.Errorf("got %q", got)
		}
		if entries, err := l.Entries(t.Context()); err != nil || len(entries) != 0 {
			t.Errorf("got %v, %v", entries, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		if err := l.PutManifest(t.Context(), describe("", nil), nil); err == nil {
			t.Error("a closed layout was written to")
		}
		again := create(t, dir) // an existing layout
		if err := again.PutManifest(t.Context(), describe("", nil), nil); err != nil {
			t.Error(err)
		}
	}
	full := t.TempDir()
	write(t, filepath.Join(full, "photo.jpg"), "x")
	if _, err := layout.Create(full); err == nil {
		t.Error("a directory that is no layout was taken")
	}
	if got := files(t, full); !slices.Equal(got, []string{"photo.jpg"}) {
		t.Errorf("got %q", got)
	}
}

func TestCreateRemovesLeftovers(t *testing.T) {
	outside := t.TempDir()
	write(t, filepath.Join(outside, "keep"), "x")
	dir := handmade(t, index())
	write(t, filepath.Join(dir, ".umoci-1", "blob-1"), "partial")
	write(t, filepath.Join(dir, ".umoci-2", "blob-2"), "someone writes it now")
	write(t, filepath.Join(dir, ".umoci-file"), "not a directory")
	if err := os.Symlink(outside, filepath.Join(dir, ".umoci-3")); err != nil {
		t.Fatal(err)
	}
	busy, err := os.Open(filepath.Join(dir, ".umoci-2"))
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	if err := syscall.Flock(int(busy.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	create(t, dir)
	want := []string{".umoci-2/", ".umoci-2/blob-2", ".umoci-3", ".umoci-file", "index.json", "oci-layout"}
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	if got := files(t, outside); !slices.Equal(got, []string{"keep"}) {
		t.Errorf("outside: got %q", got)
	}
}

func TestPushBlob(t *testing.T) {
	const content = "some content"
	d := describe("", []byte(content))
	broken := errors.New("broken")
	canceled, cancel := context.WithCancel(t.Context())
	tests := []struct {
		name     string
		ctx      context.Context
		open     func(context.Context) (io.ReadCloser, error)
		mismatch bool
		err      error
	}{
		{name: "good", open: opener([]byte(content))},
		{name: "short", open: opener([]byte(content[1:])), mismatch: true},
		{name: "long", open: opener([]byte(content + "x")), mismatch: true},
		{name: "flipped", open: opener([]byte("Some content")), mismatch: true},
		{name: "not opened", open: func(context.Context) (io.ReadCloser, error) { return nil, broken }, err: broken},
		{name: "read error", open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("some"), iotest.ErrReader(broken))), nil
		}, err: broken},
		{name: "interrupted system call", open: func(context.Context) (io.ReadCloser, error) {
			return io.NopCloser(iotest.ErrReader(syscall.EINTR)), nil
		}, err: errors.ErrUnsupported},
		{name: "canceled", ctx: canceled, open: func(context.Context) (io.ReadCloser, error) {
			cancel()
			return opener([]byte(content))(nil)
		}, err: context.Canceled},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			parent := t.TempDir()
			t.Setenv("TMPDIR", filepath.Join(parent, "absent"))
			dir := filepath.Join(parent, "layout")
			l := create(t, dir)
			ctx := test.ctx
			if ctx == nil {
				ctx = t.Context()
			}
			err := l.PushBlob(ctx, d, test.open)
			want := slices.Clone(empty)
			var mismatch *oci.MismatchError
			switch {
			case errors.As(err, &mismatch) != test.mismatch:
				t.Errorf("got error %v", err)
			case test.err == nil && !test.mismatch:
				want = slices.Insert(want, 2, "blobs/sha256/"+d.Digest.Encoded())
				if err != nil {
					t.Error(err)
				}
				for range 2 { // again, and over a damaged one
					if err := l.PushBlob(ctx, d, opener([]byte(content))); err != nil {
						t.Error(err)
					}
					got, err := os.ReadFile(blobFile(dir, d))
					if err != nil || string(got) != content {
						t.Errorf("got %q, %v", got, err)
					}
					if err := os.WriteFile(blobFile(dir, d), []byte("Some content"), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			case err == nil:
				t.Error("it was taken")
			case test.err != nil && test.err != errors.ErrUnsupported && !errors.Is(err, test.err):
				t.Errorf("got error %v", err)
			}
			if got := files(t, dir); !slices.Equal(got, want) {
				t.Errorf("got files %q", got)
			}
			if got, _ := os.ReadDir(parent); len(got) != 1 {
				t.Errorf("outside of the layout: %v", got)
			}
		})
	}
}

type closer struct {
	io.Reader
	closed int
}

func (c *closer) Close() error {
	c.closed++
	return nil
}

func TestPushBlobCloses(t *testing.T) {
	l := create(t, t.TempDir())
	for _, content := range []string{"good", "bad"} {
		source := &closer{Reader: strings.NewReader(content)}
		err := l.PushBlob(t.Context(), describe("", []byte("good")), func(context.Context) (io.ReadCloser, error) {
			return source, nil
		})
		if (err == nil) != (content == "good") || source.closed != 1 {
			t.Errorf("%s: %v, closed %d times", content, err, source.closed)
		}
	}
}

func TestPushBlobStaysInside(t *testing.T) {
	for _, link := range []string{"blobs", "blobs/sha256"} {
		for _, inside := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %v", link, inside), func(t *testing.T) {
				dir := handmade(t, index())
				target := t.TempDir()
				if inside {
					target = "elsewhere"
					write(t, filepath.Join(dir, target, "file"), "x")
				}
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, link)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
					t.Fatal(err)
				}
				l := create(t, dir)
				if err := l.PushBlob(t.Context(), describe("", []byte("x")), opener([]byte("x"))); err == nil {
					t.Error("it was written through a link")
				}
				if !inside {
					if got := files(t, target); len(got) != 0 {
						t.Errorf("outside: %q", got)
					}
				}
			})
		}
	}
}

func TestReadOnly(t *testing.T) {
	dir := handmade(t, index(), "x")
	before := files(t, dir)
	l := open(t, dir)
	d := describe("", []byte("x"))
	if l.PushBlob(t.Context(), d, opener([]byte("x"))) == nil || l.Tag(t.Context(), "a", d) == nil {
		t.Error("it was written to")
	}
	if got := files(t, dir); !slices.Equal(got, before) {
		t.Errorf("got %q", got)
	}
}

func TestDockerImage(t *testing.T) {
	dir := t.TempDir()
	l := create(t, dir)
	content := []byte("{\n   \"schemaVersion\": 2,\n   \"mediaType\": \"" + oci.MediaTypeDockerManifest + "\"\n}")
	d := describe(oci.MediaTypeDockerManifest, content)
	if err := l.Tag(t.Context(), "a", d); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("naming what is not there: %v", err)
	}
	if err := l.PutManifest(t.Context(), d, content); err != nil {
		t.Fatal(err)
	}
	if err := l.PutManifest(t.Context(), d, content[1:]); err == nil {
		t.Error("other bytes were taken")
	}
	d.Annotations = map[string]string{"k": "v"}
	for _, name := range []string{"quay.io/a/a__b:_x", "b", "b"} {
		if err := l.Tag(t.Context(), name, d); err != nil {
			t.Fatal(err)
		}
	}
	if len(d.Annotations) != 1 {
		t.Errorf("the caller's annotations changed: %v", d.Annotations)
	}
	for _, name := range []string{"", "a\xff"} {
		if err := l.Tag(t.Context(), name, d); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
	entries, err := open(t, dir).Entries(t.Context())
	if err != nil || len(entries) != 2 {
		t.Fatalf("got %v, %v", entries, err)
	}
	found, err := l.Resolve(t.Context(), "quay.io/a/a__b:_x")
	if err != nil || found.MediaType != oci.MediaTypeDockerManifest || found.Annotations["k"] != "v" {
		t.Errorf("got %v, %v", found, err)
	}
	got, err := l.Manifest(t.Context(), found)
	if err != nil || string(got) != string(content) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestTagKeepsOthers(t *testing.T) {
	dir := handmade(t, `{"schemaVersion":2,"annotations":{"x":"y"},"manifests":[`+
		entry("a", "1")+","+entry("a", "2")+","+entry("b", "3")+","+entry("", "4")+"]}", "1")
	l := create(t, dir)
	d := describe(ispec.MediaTypeImageManifest, []byte("1"))
	if err := l.Tag(t.Context(), "a", d); err != nil {
		t.Fatal(err)
	}
	entries, err := l.Entries(t.Context())
	if err != nil || len(entries) != 3 || entries[0].Name != "b" || entries[1].Name != "" || entries[2].Name != "a" {
		t.Errorf("got %v, %v", entries, err)
	}
	got, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil || !strings.Contains(string(got), `"annotations":{"x":"y"}`) {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestConcurrentWrites(t *testing.T) {
	dir := t.TempDir()
	l := create(t, dir)
	var group sync.WaitGroup
	const images = 20
	for i := range images {
		group.Go(func() {
			content := []byte(fmt.Sprint(i / 2)) // pairs push the same blob
			d := describe(oci.MediaTypeManifest, content)
			if err := l.PutManifest(t.Context(), d, content); err != nil {
				t.Error(err)
			}
			if err := l.Tag(t.Context(), fmt.Sprintf("n%d", i), d); err != nil {
				t.Error(err)
			}
			if has, err := l.HasBlob(t.Context(), d); !has || err != nil {
				t.Error(has, err)
			}
		})
	}
	group.Wait()
	entries, err := l.Entries(t.Context())
	if err != nil || len(entries) != images {
		t.Errorf("got %d images, %v", len(entries), err)
	}
	if got := files(t, dir); len(got) != len(empty)+images/2 {
		t.Errorf("got %q", got)
	}
}
