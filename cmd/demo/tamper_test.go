package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
)

// tampering changes a file, which comes back afterwards. change gets the content
// and returns another one, or nil to remove the file.
type tampering struct {
	name, file string
	change     func([]byte) []byte
	want       string // in the error
}

func (tt tampering) run(t *testing.T, check func() error) {
	t.Run(tt.name, func(t *testing.T) {
		content, err := os.ReadFile(tt.file)
		if err != nil {
			t.Fatal(err)
		}
		if changed := tt.change(bytes.Clone(content)); changed == nil {
			err = os.Remove(tt.file)
		} else {
			err = os.WriteFile(tt.file, changed, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := check(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want an error with %q", err, tt.want)
		}
		if err := os.WriteFile(tt.file, content, 0o644); err != nil {
			t.Fatal(err)
		}
	})
}

func remove([]byte) []byte     { return nil }
func grow(b []byte) []byte     { return append(b, ' ') }
func shorten(b []byte) []byte  { return b[:len(b)-1] }
func invert(b []byte) []byte   { b[len(b)/2] ^= 1; return b }
func empty([]byte) []byte      { return []byte{} }
func doubled(b []byte) []byte  { return append(b, b...) }
func tooLarge(b []byte) []byte { return append(b, make([]byte, small.volume)...) }

func checkVolumesFails(t *testing.T, j *journey) {
	on := func(name string) string { return j.path(filepath.Join(stick, name)) }
	last := on(j.planned[len(j.planned)-1].name)
	for _, tt := range []tampering{
		{"volume gone", last, remove, "volumes"},
		{"volume longer", last, grow, "were planned"},
		{"volume shorter", last, shorten, "were planned"},
		{"volume too large", last, tooLarge, "more than"},
		{"volume changed", last, invert, "SHA256SUMS"},
		{"plan changed", on("demo.plan.json"), invert, "plan ID"},
		{"inventory gone", on("inventory.json"), remove, "inventory.json is not there"},
		{"sums gone", on("SHA256SUMS"), remove, "SHA256SUMS is not there"},
		{"sums empty", on("SHA256SUMS"), empty, "SHA256SUMS"},
	} {
		tt.run(t, func() error {
			if _, err := j.checkVolumes(); err != nil {
				return err
			}
			_, err := j.checkSums()
			return err
		})
	}
}

func compareFails(t *testing.T, j *journey) {
	const registry = "storage/docker/registry/v2"
	data := func(d digest.Digest) string {
		return j.path(filepath.Join("site", registry, "blobs", "sha256", d.Encoded()[:2], d.Encoded(), "data"))
	}
	in := func(image fixtures.Image, parts ...string) string {
		repository, _ := destination(image)
		return j.path(filepath.Join(append([]string{"site", registry, "repositories", repository}, parts...)...))
	}
	var index, untagged, huge fixtures.Image
	for _, image := range j.images {
		switch {
		case image.Repository == "platform/catalog":
			index = image
		case image.Tag == "":
			untagged = image
		case image.Tag == "huge":
			huge = image
		}
	}
	child := index.Manifests[0].Descriptor.Digest
	blob := huge.Blobs[len(huge.Blobs)-1].Descriptor.Digest
	shared := untagged.Blobs[len(untagged.Blobs)-1].Descriptor.Digest
	_, tag := destination(untagged)
	other := func([]byte) []byte { return []byte(child) }
	for _, tt := range []tampering{
		{"manifest of a child changed", data(child), grow, child.String()},
		{"child not in the repository", in(index, "_manifests", "revisions", "sha256", child.Encoded(), "link"), remove, "404"},
		{"tag gone", in(untagged, "_manifests", "tags", tag, "current", "link"), remove, tag},
		{"tag names another", in(index, "_manifests", "tags", "stable", "current", "link"), other, "stable"},
		{"blob cut short", data(blob), shorten, blob.String()},
		{"blob longer", data(blob), doubled, blob.String()},
		{"shared blob not in the repository", in(huge, "_layers", "sha256", shared.Encoded(), "link"), remove, shared.String()},
	} {
		tt.run(t, func() error { return j.compare(t.Context()) })
	}
	t.Run("one tag more", func(t *testing.T) {
		extra := huge.Named(prefix+"/"+huge.Repository, "extra")
		if err := fixtures.Push(t.Context(), j.site.URL(), extra); err != nil {
			t.Fatal(err)
		}
		err := j.compare(t.Context())
		if err == nil || !strings.Contains(err.Error(), `"extra"`) {
			t.Errorf("got %v", err)
		}
		if err := os.RemoveAll(in(huge, "_manifests", "tags", "extra")); err != nil {
			t.Fatal(err)
		}
	})
	if err := j.compare(t.Context()); err != nil {
		t.Errorf("all was put back: %v", err)
	}
}

func TestPen(t *testing.T) {
	var b bytes.Buffer
	p := &pen{w: &b}
	p.title("One")
	p.say("%s", strings.Repeat("word ", 20))
	p.command("satchel", "pack", "--volume-size", "16MiB", "--output", strings.Repeat("d", 40), "--quiet")
	d := &display{pen: p, most: 2}
	for _, part := range []string{"a", "b\nc", "\n\nd\n", "e"} {
		fmt.Fprint(d, part)
	}
	d.end()
	want := "1. One\n------\n\n" +
		strings.TrimSpace(strings.Repeat("word ", 15)) + "\n" + strings.TrimSpace(strings.Repeat("word ", 5)) + "\n\n" +
		"$ satchel pack --volume-size 16MiB \\\n    --output " + strings.Repeat("d", 40) + " --quiet\n" +
		"    ab\n    c\n    ...\n"
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if got := d.all.String(); got != "ab\nc\n\nd\ne" {
		t.Errorf("kept %q", got)
	}
	failing := &pen{w: broken{io.ErrShortWrite}}
	failing.say("x")
	failing.w = &b
	if failing.say("y"); failing.err == nil || strings.HasSuffix(b.String(), "y\n\n") {
		t.Errorf("it wrote on after an error, which is now %v", failing.err)
	}
}
