package bundle_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// put adds a blob to a group of those that an image adds, unless it stands
// already.
func (s *source) put(group *[]bundle.Blob, mediaType string, content []byte, origin bundle.Origin) bundle.Content {
	c := bundle.Content{Digest: digest.FromBytes(content), MediaType: mediaType, Size: int64(len(content))}
	if _, ok := s.blobs[c.Digest]; !ok {
		s.blobs[c.Digest] = content
		compress := oci.IsUncompressed(mediaType) && len(content) > 0
		*group = append(*group, bundle.Blob{Content: c, Origin: origin, Compress: compress})
	}
	return c
}

// hold adds a blob that is left out because the site has it with that image.
func (s *source) hold(group *[]bundle.Blob, held int, mediaType string, content []byte, origin bundle.Origin) bundle.Content {
	c := s.put(group, mediaType, content, origin)
	delete(s.blobs, c.Digest)
	(*group)[len(*group)-1].Held = held
	return c
}

// putManifest adds a manifest or index.
func (s *source) putManifest(t testing.TB, mediaType string, document map[string]any, origin bundle.Origin) bundle.Content {
	t.Helper()
	document["schemaVersion"], document["mediaType"] = 2, mediaType
	raw, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	c := bundle.Content{Digest: digest.FromBytes(raw), MediaType: mediaType, Size: int64(len(raw))}
	if _, ok := s.selection.Contents[c.Digest]; !ok {
		s.selection.Contents[c.Digest] = raw
		s.selection.Manifests = append(s.selection.Manifests, bundle.Manifest{Content: c, Origin: origin})
	}
	return c
}

func (s *source) putImage(image bundle.Image, group []bundle.Blob) {
	s.selection.Images = append(s.selection.Images, image)
	s.selection.Blobs = append(s.selection.Blobs, group)
}

// goldenSource has one of everything that the format treats differently: an
// index of two platforms and a sparse one, Docker's types, shared, empty,
// uncompressed and foreign layers, a local source, a layer that is larger than a
// volume, blobs that the site has already, an image that the source did not have
// and one of which it lacked a child.
func goldenSource(t testing.TB) *source {
	const (
		dockerConfig = "application/vnd.docker.container.image.v1+json"
		dockerGzip   = "application/vnd.docker.image.rootfs.diff.tar.gzip"
		foreignGzip  = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	)
	s := newSource("golden")
	s.selection.Request = bundle.Request{
		Foreign: true, Have: []digest.Digest{digest.FromString("an inventory"), digest.FromString("a receipt")},
		Platforms: []string{"linux/amd64"}, Sparse: true, TopUp: digest.FromString("another receipt"),
	}
	shared := s.random(9_000)
	amd64 := map[string]any{"os": "linux", "architecture": "amd64"}
	arm64 := map[string]any{"os": "linux", "architecture": "arm64", "variant": "v8"}
	child := func(c bundle.Content, platform map[string]any) map[string]any {
		return map[string]any{"mediaType": c.MediaType, "digest": c.Digest, "size": c.Size, "platform": platform}
	}

	app := bundle.Origin{Repository: "registry.example/team/app"}
	var group []bundle.Blob
	first := s.putManifest(t, oci.MediaTypeManifest, map[string]any{
		"config": s.put(&group, typeConfig, []byte(`{"os":"linux","architecture":"amd64"}`), app),
		"layers": []bundle.Content{
			s.put(&group, typeGzip, shared, app),
			s.put(&group, typeTar, bytes.Repeat([]byte("an uncompressed layer\n"), 900), app),
		},
	}, app)
	second := s.putManifest(t, oci.MediaTypeManifest, map[string]any{
		"config": s.put(&group, typeConfig, []byte(`{"os":"linux","architecture":"arm64","variant":"v8"}`), app),
		"layers": []bundle.Content{s.put(&group, typeGzip, shared, app), s.put(&group, typeGzip, nil, app)},
	}, app)
	index := s.putManifest(t, oci.MediaTypeIndex, map[string]any{
		"manifests": []any{child(first, amd64), child(second, arm64)},
	}, app)
	s.putImage(bundle.Image{
		Reference: "registry.example/team/app:1.0", Root: index, Platforms: []string{"linux/amd64", "linux/arm64/v8"},
	}, group)

	docker := bundle.Origin{Repository: "registry.example/team/docker"}
	foreign := bundle.Origin{URLs: []string{"https://one.example/layer", "https://two.example/layer"}}
	group = nil
	image := s.putManifest(t, oci.MediaTypeDockerManifest, map[string]any{
		"config": s.put(&group, dockerConfig, []byte(`{"os":"windows","architecture":"amd64"}`), docker),
		"layers": []bundle.Content{
			s.put(&group, foreignGzip, s.random(513), foreign),
			{MediaType: dockerGzip, Digest: digest.FromBytes(shared), Size: int64(len(shared))},
			s.put(&group, dockerGzip, s.random(1_024), docker),
		},
	}, docker)
	s.putImage(bundle.Image{Reference: "registry.example/team/docker:2.0", Root: image, Platforms: []string{"windows/amd64"}}, group)

	left := bundle.Content{MediaType: oci.MediaTypeDockerManifest, Digest: digest.FromString("left out"), Size: 300}
	sparse := s.putManifest(t, oci.MediaTypeDockerList, map[string]any{
		"manifests": []any{child(image, map[string]any{"os": "windows", "architecture": "amd64"}), child(left, arm64)},
	}, docker)
	s.putImage(bundle.Image{
		Reference: "registry.example/team/docker:all", Root: sparse, Platforms: []string{"windows/amd64"}, Sparse: true,
	}, nil)

	local := bundle.Origin{Local: "layout"}
	group = nil
	large := s.putManifest(t, oci.MediaTypeManifest, map[string]any{
		"config": s.put(&group, typeConfig, []byte(`{"os":"linux","architecture":"s390x"}`), local),
		"layers": []bundle.Content{s.put(&group, typeGzip, s.random(60_000), local)},
	}, local)
	s.putImage(bundle.Image{Reference: "registry.example/team/large@" + string(large.Digest), Root: large}, group)

	s.selection.Held = []bundle.HeldImage{
		{
			Bundle: digest.FromString("a bundle"), Name: "base-1.0", Plan: digest.FromString("its plan"),
			Reference: "registry.example/team/base:1.0", Repository: "quay.site.example:8443/mirror/team/base",
		},
		{Name: "other", Plan: digest.FromString("another plan"), Reference: "registry.example/team/other:1.0"},
	}
	group = nil
	update := s.putManifest(t, oci.MediaTypeManifest, map[string]any{
		"config": s.put(&group, typeConfig, []byte(`{"os":"linux","architecture":"ppc64le"}`), app),
		"layers": []bundle.Content{
			s.hold(&group, 1, typeGzip, s.random(5_000), app),
			s.hold(&group, 2, typeTar, s.random(700), app),
			s.put(&group, typeGzip, s.random(300), app),
		},
	}, app)
	s.putImage(bundle.Image{Reference: "registry.example/team/app:1.1", Root: update}, group)

	gone := bundle.Content{MediaType: oci.MediaTypeManifest, Digest: digest.FromString("gone"), Size: 400}
	holes := s.putManifest(t, oci.MediaTypeIndex, map[string]any{
		"manifests": []any{child(gone, amd64), child(second, arm64)},
	}, app)
	s.putImage(bundle.Image{
		Reference: "registry.example/team/app:holes", Root: holes, Platforms: []string{"linux/arm64/v8"}, Sparse: true,
	}, nil)
	s.selection.Missing = []bundle.Missing{
		{Image: "registry.example/team/gone:1.0", Reason: "the registry does not know the tag"},
		{Digest: gone.Digest, Image: "registry.example/team/app:holes", Reason: "the registry says 404"},
	}
	return s
}

// goldenLacks are the blobs that the partial golden bundle is packed without: a
// whole one, a compressed one and one that is larger than a volume.
func goldenLacks(s *source) []digest.Digest {
	var lacks []digest.Digest
	for _, group := range s.selection.Blobs {
		for _, b := range group {
			if bytes.HasPrefix(s.blobs[b.Digest], []byte("lacking ")) {
				lacks = append(lacks, b.Digest)
			}
		}
	}
	return lacks
}

// partialSource is what a bundle is packed from that could not have everything:
// each image but one needs something of goldenLacks.
func partialSource(t testing.TB) *source {
	lacking := func(b []byte) []byte { return append([]byte("lacking "), b...) }
	s := newSource("partial")
	shared := layer{typeGzip, lacking(s.random(600))}
	s.add(t, "registry.example/whole:1", layer{typeGzip, s.random(22_000)}, layer{typeTar, bytes.Repeat([]byte("an uncompressed layer\n"), 50)})
	s.add(t, "registry.example/first:1", shared, layer{typeGzip, s.random(400)}, layer{typeTar, lacking(bytes.Repeat([]byte("layer"), 100))})
	s.add(t, "registry.example/second:1", shared, layer{typeGzip, s.random(12_000)})
	s.add(t, "registry.example/large:1", layer{typeGzip, lacking(s.random(40_000))}, layer{typeGzip, s.random(19_000)})
	return s
}
