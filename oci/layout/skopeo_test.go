//go:build !windows

package layout_test

import (
	"bytes"
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"testing"

	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/layout"
)

// TestSkopeo has skopeo copy an image out of a layout made here, and reads the
// layout that skopeo makes.
func TestSkopeo(t *testing.T) {
	skopeo := fixtures.Program(t, "skopeo")
	image := fixtures.NewImage(fixtures.ImageSpec{
		Layers: []fixtures.Layer{fixtures.GzipLayer(fixtures.Files("skopeo")...)},
	})
	ours, theirs := filepath.Join(t.TempDir(), "ours"), filepath.Join(t.TempDir(), "theirs")
	l := create(t, ours)
	push(t, l, image)
	if err := l.Tag(t.Context(), "name", image.Root); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), skopeo, "copy", "--insecure-policy", "--preserve-digests",
		"oci:"+ours+":name", "oci:"+theirs+":other")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, output)
	}
	l = open(t, theirs)
	root, err := l.Resolve(t.Context(), "other")
	if err != nil || root.Digest != image.Root.Digest {
		t.Fatalf("got %s, %v, want %s", root.Digest, err, image.Root.Digest)
	}
	if _, err := l.Manifest(t.Context(), root); err != nil {
		t.Error(err)
	}
	for _, blob := range image.Blobs {
		reader, exact, err := l.Blob(t.Context(), blob.Descriptor, 0, blob.Descriptor.Size)
		if err != nil || !exact {
			t.Fatal(exact, err)
		}
		gate, err := oci.NewReader(reader, blob.Descriptor)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(gate)
		reader.Close()
		want, _ := blob.Bytes()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v", blob.Descriptor.Digest, err)
		}
	}
}

func push(t *testing.T, l *layout.Layout, image fixtures.Image) {
	t.Helper()
	for _, blob := range image.Blobs {
		err := l.PushBlob(t.Context(), blob.Descriptor, func(context.Context) (io.ReadCloser, error) {
			return blob.Open(), nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, manifest := range image.Manifests {
		content, err := manifest.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if err := l.PutManifest(t.Context(), manifest.Descriptor, content); err != nil {
			t.Fatal(err)
		}
	}
}
