package transfer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/transfer"
)

func linux(architecture, variant string) oci.Platform {
	return oci.Platform{OS: "linux", Architecture: architecture, Variant: variant}
}

// platformImage is an image of one layer of its own.
func platformImage(docker bool, p oci.Platform, label string) fixtures.Image {
	layer := fixtures.GzipLayer(fixtures.Files(label + oci.PlatformString(p))...)
	return fixtures.NewImage(fixtures.ImageSpec{Docker: docker, Platform: p, Layers: []fixtures.Layer{layer}})
}

// choose runs Select over images of a real registry.
func choose(t *testing.T, source *fixtures.Registry, o transfer.SelectOptions, images ...fixtures.Image) (bundle.Selection, error) {
	t.Helper()
	return transfer.Select(t.Context(), transfer.Sources{Registry: client(t)}, wanted(t, source.Host(), images...), o)
}

// named returns the digests of a selection's manifests and blobs.
func named(s bundle.Selection) (manifests, blobs []digest.Digest) {
	for _, m := range s.Manifests {
		manifests = append(manifests, m.Digest)
	}
	for _, group := range s.Blobs {
		for _, b := range group {
			blobs = append(blobs, b.Digest)
		}
	}
	return manifests, blobs
}

func TestSelectPlatforms(t *testing.T) {
	amd := platformImage(false, linux("amd64", ""), "x")
	arm64 := platformImage(false, linux("arm64", "v8"), "x")
	arm6, arm7 := platformImage(false, linux("arm", "v6"), "x"), platformImage(false, linux("arm", "v7"), "x")
	index := fixtures.NewIndex(amd, arm64, arm6, arm7, fixtures.NewAttestation(amd)).Named("team/web", "1")
	inner := fixtures.NewIndex(arm64, arm7)
	nested := fixtures.NewIndex(amd, inner).Named("team/nested", "1")
	list := fixtures.NewDockerList(platformImage(true, linux("amd64", ""), "d"), platformImage(true, linux("arm64", "v8"), "d")).Named("team/docker", "1")
	plain := platformImage(false, linux("s390x", ""), "x").Named("team/plain", "1")
	twice := fixtures.NewIndex(amd, fixtures.NewIndex(platformImage(false, linux("amd64", ""), "y"))).Named("team/twice", "1")
	labelled := fixtures.NewIndex(arm64)
	riscv := linux("riscv64", "")
	labelled.Root.Platform = &riscv
	misleading := fixtures.NewIndex(amd, labelled).Named("team/misleading", "1")
	source := serve(t, fixtures.Options{}, index, nested, list, plain, twice, misleading)
	byDigest := index.Named("team/web", "")

	tests := []struct {
		name      string
		image     fixtures.Image
		platforms []string
		sparse    bool
		root      digest.Digest // empty: an error
		manifests int
		isSparse  bool
		kept      []string // platforms
		says      []string
		is        error
	}{
		{name: "all", image: index, root: index.Root.Digest, manifests: 6, kept: []string{"linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8"}},
		{name: "all by digest", image: byDigest, root: index.Root.Digest, manifests: 6, kept: []string{"linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8"}},
		{name: "one becomes the root", image: index, platforms: []string{"linux/amd64"}, root: amd.Root.Digest, manifests: 1, kept: []string{"linux/amd64"}},
		{name: "with variant", image: index, platforms: []string{"linux/arm/v6"}, root: arm6.Root.Digest, manifests: 1, kept: []string{"linux/arm/v6"}},
		{name: "any variant", image: index, platforms: []string{"linux/arm64"}, root: arm64.Root.Digest, manifests: 1, kept: []string{"linux/arm64/v8"}},
		{name: "several variants", image: index, platforms: []string{"linux/arm"}, says: []string{"linux/arm/v6", "linux/arm/v7"}},
		{name: "several", image: index, platforms: []string{"linux/amd64", "linux/arm64"}, is: transfer.ErrSparse},
		{name: "by digest", image: byDigest, platforms: []string{"linux/amd64"}, is: transfer.ErrSparse},
		{name: "several, sparse", image: index, platforms: []string{"linux/amd64", "linux/arm64"}, sparse: true, root: index.Root.Digest, manifests: 3, isSparse: true, kept: []string{"linux/amd64", "linux/arm64/v8"}},
		{name: "one, sparse", image: index, platforms: []string{"linux/amd64"}, sparse: true, root: index.Root.Digest, manifests: 2, isSparse: true, kept: []string{"linux/amd64"}},
		{name: "by digest, sparse", image: byDigest, platforms: []string{"linux/arm"}, sparse: true, root: index.Root.Digest, manifests: 3, isSparse: true, kept: []string{"linux/arm/v6", "linux/arm/v7"}},
		{name: "none such", image: index, platforms: []string{"windows/amd64"}, says: []string{"windows/amd64", "linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8"}},
		{name: "none such, sparse", image: index, platforms: []string{"linux/amd64", "windows/amd64"}, sparse: true, says: []string{"windows/amd64", "linux/arm64/v8"}},
		{name: "other variant", image: index, platforms: []string{"linux/arm/v5"}, says: []string{"linux/arm/v5", "linux/arm/v6"}},
		{name: "nested", image: nested, platforms: []string{"linux/arm64"}, root: arm64.Root.Digest, manifests: 1, kept: []string{"linux/arm64/v8"}},
		{name: "nested, sparse", image: nested, platforms: []string{"linux/arm64"}, sparse: true, root: nested.Root.Digest, manifests: 3, isSparse: true, kept: []string{"linux/arm64/v8"}},
		{name: "nested, whole branch, sparse", image: nested, platforms: []string{"linux/amd64"}, sparse: true, root: nested.Root.Digest, manifests: 2, isSparse: true, kept: []string{"linux/amd64"}},
		{name: "nested, all, sparse", image: nested, platforms: []string{"linux/amd64", "linux/arm64", "linux/arm/v7"}, sparse: true, root: nested.Root.Digest, manifests: 5, kept: []string{"linux/amd64", "linux/arm/v7", "linux/arm64/v8"}},
		{name: "docker", image: list, platforms: []string{"linux/amd64"}, root: list.Manifests[0].Descriptor.Digest, manifests: 1, kept: []string{"linux/amd64"}},
		{name: "docker, sparse", image: list, platforms: []string{"linux/amd64"}, sparse: true, root: list.Root.Digest, manifests: 2, isSparse: true, kept: []string{"linux/amd64"}},
		{name: "no index", image: plain, platforms: []string{"linux/amd64"}, root: plain.Root.Digest, manifests: 1},
		{name: "platform of an index only", image: misleading, platforms: []string{"linux/arm64", "linux/riscv64"}, sparse: true, says: []string{"linux/riscv64", "linux/amd64", "linux/arm64/v8"}},
		{name: "twice", image: twice, platforms: []string{"linux/amd64"}, says: []string{"linux/amd64", "several"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := choose(t, source, transfer.SelectOptions{Platforms: test.platforms, Sparse: test.sparse}, test.image)
			if test.root == "" {
				if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), source.Host()+"/"+test.image.Repository) {
					t.Fatalf("got %v", err)
				}
				for _, says := range test.says {
					if !strings.Contains(err.Error(), says) {
						t.Errorf("the error does not say %s: %v", says, err)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			image := s.Images[0]
			if image.Root.Digest != test.root || len(s.Manifests) != test.manifests || image.Sparse != test.isSparse || !slices.Equal(image.Platforms, test.kept) {
				t.Errorf("got %+v, %d manifests", image, len(s.Manifests))
			}
			if image.Reference != source.Host()+"/"+test.image.Reference() {
				t.Errorf("reference %s", image.Reference)
			}
			if s.Manifests[len(s.Manifests)-1].Digest != test.root {
				t.Error("the root is not the last manifest")
			}
			s.Name = "test"
			if _, _, err := bundle.NewPlan(s, 1<<20); err != nil {
				t.Errorf("planning: %v", err)
			}
		})
	}
}

// One GET for each manifest, none for a blob, and tags are resolved once.
func TestSelectRequests(t *testing.T) {
	images := fixtures.Demo(100, 200)
	source := serve(t, fixtures.Options{}, images...)
	s, err := choose(t, source, transfer.SelectOptions{Jobs: 1}, images...)
	if err != nil {
		t.Fatal(err)
	}
	stats := source.Stats()
	seen := make(map[digest.Digest]bool)
	// A tag has to be resolved even if what it names was read already.
	want := len(images)
	for _, image := range images {
		seen[image.Root.Digest] = true
		for _, m := range image.Manifests {
			if !seen[m.Descriptor.Digest] {
				seen[m.Descriptor.Digest] = true
				want++
			}
		}
	}
	gets := make(map[string]int)
	for _, line := range stats.Log {
		gets[line]++
	}
	for line, n := range gets {
		if n > 1 && strings.Contains(line, "/manifests/") {
			t.Errorf("%s: %d times", line, n)
		}
	}
	for kind, n := range stats.Requests {
		if kind == "GET manifest" && n != want || kind != "GET manifest" && kind != "GET ping" {
			t.Errorf("%d %s, want %d GET manifest and nothing else", n, kind, want)
		}
	}
	for _, image := range s.Images {
		if s.Contents[image.Root.Digest] == nil {
			t.Errorf("image %s: no content", image.Reference)
		}
	}
}

func TestSelectSelection(t *testing.T) {
	images := fixtures.Demo(100, 200)
	source := serve(t, fixtures.Options{}, images...)
	s, err := choose(t, source, transfer.SelectOptions{}, images...)
	if err != nil {
		t.Fatal(err)
	}
	manifests, blobs := named(s)
	wantManifests, wantBlobs := make(map[digest.Digest]bool), make(map[digest.Digest]bool)
	for i, image := range images {
		if got := s.Images[i]; got.Reference != source.Host()+"/"+image.Reference() || got.Root.Digest != image.Root.Digest || got.Root.MediaType != image.Root.MediaType {
			t.Errorf("image %d: %+v", i, got)
		}
		for _, m := range image.Manifests {
			wantManifests[m.Descriptor.Digest] = true
		}
		for _, b := range image.Blobs {
			wantBlobs[b.Descriptor.Digest] = true
		}
	}
	for what, lists := range map[string]struct {
		got  []digest.Digest
		want map[digest.Digest]bool
	}{"manifests": {manifests, wantManifests}, "blobs": {blobs, wantBlobs}} {
		if len(lists.got) != len(lists.want) {
			t.Errorf("%d %s, want %d", len(lists.got), what, len(lists.want))
		}
		for _, d := range lists.got {
			if !lists.want[d] {
				t.Errorf("%s has %s, or has it twice", what, d)
			}
			delete(lists.want, d)
		}
	}
	position := make(map[digest.Digest]int)
	for i, d := range manifests {
		position[d] = i
	}
	for _, m := range s.Manifests {
		parsed, err := oci.ParseManifest(m.MediaType, s.Contents[m.Digest])
		if err != nil {
			t.Fatal(err)
		}
		for _, child := range parsed.Manifests {
			if position[child.Digest] >= position[m.Digest] {
				t.Errorf("child %s stands behind its parent", child.Digest)
			}
		}
	}
	for i, group := range s.Blobs {
		for _, b := range group {
			if b.Origin.Repository != source.Host()+"/"+images[i].Repository {
				t.Errorf("blob of image %d comes from %+v", i, b.Origin)
			}
			if b.Compress != (oci.IsUncompressed(b.MediaType) && b.Size > 0) {
				t.Errorf("%s of %d bytes: compress %t", b.MediaType, b.Size, b.Compress)
			}
		}
	}
}
