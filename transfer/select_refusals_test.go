package transfer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/registry"
	"satchel/transfer"
)

func TestSelectForeignLayers(t *testing.T) {
	const url = "https://publisher.example/layer"
	image := fixtures.NewImage(fixtures.ImageSpec{Docker: true, Layers: []fixtures.Layer{
		fixtures.ForeignLayer("windows", 1000, url), fixtures.OpaqueLayer("own", 10)}}).Named("win/app", "1")
	source := serve(t, fixtures.Options{}, image)
	_, err := choose(t, source, transfer.SelectOptions{}, image)
	foreign := fixtures.ForeignLayer("windows", 1000).Descriptor.Digest
	if !errors.Is(err, transfer.ErrForeign) || !strings.Contains(err.Error(), "win/app") || !strings.Contains(err.Error(), foreign.String()) {
		t.Errorf("refused: %v", err)
	}
	s, err := choose(t, source, transfer.SelectOptions{Foreign: true}, image)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range s.Blobs[0] {
		if b.Digest == foreign && (!slices.Equal(b.Origin.URLs, []string{url}) || b.Origin.Repository != "") {
			t.Errorf("origin %+v", b.Origin)
		}
		if b.Digest != foreign && (b.Origin.URLs != nil || b.Origin.Repository == "") {
			t.Errorf("origin %+v", b.Origin)
		}
	}
	if !s.Request.Foreign {
		t.Error("the request does not say that foreign layers are in")
	}
}

func TestSelectRefuses(t *testing.T) {
	schema1 := fixtures.NewSchema1("old/app", "1")
	source := serve(t, fixtures.Options{}, schema1)
	if _, err := choose(t, source, transfer.SelectOptions{}, schema1); !errors.Is(err, oci.ErrSchema1) ||
		!strings.Contains(err.Error(), source.Host()+"/old/app:1") || !strings.Contains(err.Error(), "push the image again") {
		t.Errorf("schema 1: %v", err)
	}
	absent := fixtures.NewImage(fixtures.ImageSpec{}).Named("no/such", "1")
	if _, err := choose(t, source, transfer.SelectOptions{}, absent); !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), "no/such:1") {
		t.Errorf("absent: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := transfer.Select(ctx, transfer.Sources{Registry: client(t)}, wanted(t, source.Host(), absent), transfer.SelectOptions{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	local := wanted(t, "site.example", absent)
	local[0].Local = "stick"
	if _, err := transfer.Select(t.Context(), transfer.Sources{}, local, transfer.SelectOptions{}); err == nil || !strings.Contains(err.Error(), "stick") {
		t.Errorf("local source that is not named: %v", err)
	}
}

func TestSelectSameReferenceTwice(t *testing.T) {
	image := platformImage(false, linux("amd64", ""), "x").Named("team/web", "1")
	source := serve(t, fixtures.Options{}, image)
	s, err := choose(t, source, transfer.SelectOptions{}, image, image, image.Named("team/web", ""))
	if err != nil || len(s.Images) != 2 || len(s.Blobs) != 2 || len(s.Blobs[0]) != 2 || len(s.Blobs[1]) != 0 || len(s.Manifests) != 1 {
		t.Errorf("got %+v, %v", s, err)
	}
	// The tag moves between the two readings.
	other := platformImage(false, linux("amd64", ""), "y").Named("team/web", "1")
	o := newOrigin(image, other)
	reads := 0
	moving := &movingTag{o, func(ref oci.Reference) oci.Reference {
		if reads++; reads == 1 {
			ref.Digest = image.Root.Digest
		}
		return ref
	}}
	_, err = transfer.Select(t.Context(), transfer.Sources{Registry: moving}, wanted(t, "source.example", image, image), transfer.SelectOptions{Jobs: 1})
	if err == nil || !strings.Contains(err.Error(), string(image.Root.Digest)) || !strings.Contains(err.Error(), string(other.Root.Digest)) {
		t.Errorf("moved tag: %v", err)
	}
}

type movingTag struct {
	*origin
	move func(oci.Reference) oci.Reference
}

func (m *movingTag) Resolve(ctx context.Context, ref oci.Reference) (oci.Descriptor, []byte, error) {
	return m.origin.Resolve(ctx, m.move(ref))
}

// An artifact may name a manifest as its layer: its bytes are packed once, among
// the manifests.
func TestSelectManifestAsBlob(t *testing.T) {
	image := platformImage(false, linux("amd64", ""), "x").Named("team/web", "1")
	root, err := image.Manifests[0].Bytes()
	if err != nil {
		t.Fatal(err)
	}
	artifact := fixtures.NewArtifact("application/vnd.example.list", nil, fixtures.NewBlob(oci.MediaTypeManifest, root)).Named("team/list", "1")
	source := serve(t, fixtures.Options{}, image, artifact)
	for _, images := range [][]fixtures.Image{{image, artifact}, {artifact, image}} {
		s, err := choose(t, source, transfer.SelectOptions{}, images...)
		if err != nil {
			t.Fatal(err)
		}
		_, blobs := named(s)
		if slices.Contains(blobs, image.Root.Digest) {
			t.Error("the manifest is a blob as well")
		}
		s.Name = "test"
		if _, _, err := bundle.NewPlan(s, 1<<20); err != nil {
			t.Error(err)
		}
	}
	// Alone, it is a blob like any other.
	s, err := choose(t, source, transfer.SelectOptions{}, artifact)
	if _, blobs := named(s); err != nil || !slices.Contains(blobs, image.Root.Digest) {
		t.Errorf("alone: %v", err)
	}
}

func TestSelectSizeConflict(t *testing.T) {
	layer := fixtures.NewBlob("application/x", []byte("content"))
	lying := layer
	lying.Descriptor.Size++
	a := fixtures.NewArtifact("application/x", nil, layer).Named("team/a", "1")
	b := fixtures.NewArtifact("application/x", nil, lying).Named("team/b", "1")
	source := serve(t, fixtures.Options{}, a, b)
	_, err := choose(t, source, transfer.SelectOptions{}, a, b)
	if err == nil || !strings.Contains(err.Error(), layer.Descriptor.Digest.String()) || !strings.Contains(err.Error(), "team/b") {
		t.Errorf("got %v", err)
	}
}
