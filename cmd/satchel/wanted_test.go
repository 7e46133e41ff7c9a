package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/layout"
)

// layoutWith makes a layout with contents, in a directory that it returns.
func layoutWith(t *testing.T, contents ...fixtures.Content) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "layout")
	l, err := layout.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range contents {
		err := l.PushBlob(t.Context(), c.Descriptor, func(context.Context) (io.ReadCloser, error) { return c.Open(), nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// The layouts of a plan are named again, in any order and by other labels: what
// counts is who has a digest.
func TestSourcesForPlan(t *testing.T) {
	image := fixtures.NewImage(fixtures.ImageSpec{})
	manifest := image.Manifests[0]
	first := fixtures.NewBlob("application/x", []byte("first"))
	second := fixtures.NewBlob("application/x", []byte("second"))
	none := fixtures.NewBlob("application/x", []byte("none"))
	a, b := layoutWith(t, first), layoutWith(t, second, manifest)
	plan := &bundle.Plan{
		Manifests: []bundle.Manifest{{Content: bundle.ContentOf(manifest.Descriptor), Origin: bundle.Origin{Local: "oci-layout-2"}}},
		Blobs: []bundle.Blob{
			{Content: bundle.ContentOf(first.Descriptor), Origin: bundle.Origin{Local: "oci-layout-7"}},
			{Content: bundle.ContentOf(second.Descriptor), Origin: bundle.Origin{Local: "oci-layout-2"}},
			{Content: bundle.ContentOf(second.Descriptor), Origin: bundle.Origin{Repository: "quay.io/org/app"}},
		},
	}
	for _, dirs := range [][]string{{a, b}, {b, a}, {a, a, b}} {
		w := &wantedImages{}
		defer w.close()
		for _, dir := range dirs {
			if err := w.addSource("oci:" + dir); err != nil {
				t.Fatal(err)
			}
		}
		s := w.sourcesForPlan(nil, plan)
		if len(s.Layouts) != 2 || len(w.images) != 0 {
			t.Fatalf("sources %v, images %v", s.Layouts, w.images)
		}
		for label, source := range s.Layouts {
			for _, c := range []fixtures.Content{first, second} {
				want, err := c.Bytes()
				if err != nil {
					t.Fatal(err)
				}
				r, ranged, err := source.Blob(t.Context(), c.Descriptor, 1, c.Descriptor.Size-1)
				if err != nil || !ranged {
					t.Fatalf("%s: %t, %v", label, ranged, err)
				}
				got, err := io.ReadAll(r)
				if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, want[1:]) {
					t.Errorf("%s: got %q, %v", label, got, err)
				}
			}
			content, err := source.Manifest(t.Context(), manifest.Descriptor)
			if err := errors.Join(err, oci.Verify(content, manifest.Descriptor)); err != nil {
				t.Errorf("%s: %v", label, err)
			}
			_, _, err = source.Blob(t.Context(), none.Descriptor, 0, 4)
			if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), label) || !strings.Contains(err.Error(), string(none.Descriptor.Digest)) {
				t.Errorf("%s: nowhere: %v", label, err)
			}
			if _, err := source.Resolve(t.Context(), "app"); err == nil {
				t.Errorf("%s resolves", label)
			}
		}
	}
}

// A copy that is broken is told of only when no layout has a whole one.
func TestSourcesForPlanBroken(t *testing.T) {
	manifest := fixtures.NewImage(fixtures.ImageSpec{}).Manifests[0]
	broken, whole, none := layoutWith(t, manifest), layoutWith(t, manifest), layoutWith(t)
	file := filepath.Join(broken, "blobs", "sha256", manifest.Descriptor.Digest.Encoded())
	if err := os.Chmod(file, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	plan := &bundle.Plan{Manifests: []bundle.Manifest{{Origin: bundle.Origin{Local: "oci-layout-1"}}}}
	for _, test := range []struct {
		dirs []string
		ok   bool
	}{{[]string{broken, whole}, true}, {[]string{broken, none}, false}, {[]string{none, broken}, false}} {
		w := &wantedImages{}
		defer w.close()
		for _, dir := range test.dirs {
			if err := w.addSource("oci:" + dir); err != nil {
				t.Fatal(err)
			}
		}
		_, err := w.sourcesForPlan(nil, plan).Layouts["oci-layout-1"].Manifest(t.Context(), manifest.Descriptor)
		if mismatch := (*oci.MismatchError)(nil); (err == nil) != test.ok || !test.ok && !errors.As(err, &mismatch) {
			t.Errorf("%v: %v", test.dirs, err)
		}
	}
}

func TestAddSourceRefuses(t *testing.T) {
	dir := layoutWith(t)
	w := &wantedImages{}
	defer w.close()
	for _, s := range []string{"", "quay.io/org/app:1", "oci:", "oci:" + dir + ":app", "oci:" + dir + "=quay.io/org/app:1", dir} {
		err := w.addSource(s)
		if usage := (*usageError)(nil); !errors.As(err, &usage) || !strings.Contains(err.Error(), s) {
			t.Errorf("%q: %v", s, err)
		}
	}
	if err := w.addSource("oci:" + dir + "/none"); err == nil {
		t.Error("a layout that is not there is taken")
	}
}
