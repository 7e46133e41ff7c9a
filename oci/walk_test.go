package oci_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// store is manifests by digest.
type store map[digest.Digest][]byte

func (s store) put(t testing.TB, mediaType string, doc any) oci.Descriptor {
	t.Helper()
	content, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	d := oci.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
	s[d.Digest] = content
	return d
}

func (s store) image(t testing.TB, name string) oci.Descriptor {
	config := describe([]byte(name))
	return s.put(t, oci.MediaTypeManifest, map[string]any{
		"schemaVersion": 2, "config": config, "layers": []oci.Descriptor{describe([]byte("layer of " + name))},
	})
}

func (s store) index(t testing.TB, children ...oci.Descriptor) oci.Descriptor {
	return s.put(t, oci.MediaTypeIndex, map[string]any{"schemaVersion": 2, "manifests": children})
}

func (s store) fetch(_ context.Context, d oci.Descriptor) ([]byte, error) {
	content, ok := s[d.Digest]
	if !ok {
		return nil, errAbsent
	}
	return content, oci.Verify(content, d)
}

var errAbsent = errors.New("absent")

func visited(t testing.TB, s store, root oci.Descriptor, keep func(oci.Descriptor) bool) ([]digest.Digest, error) {
	t.Helper()
	var order []digest.Digest
	err := oci.Walk(t.Context(), root, s.fetch, keep, func(d oci.Descriptor, content []byte, m *oci.Manifest) error {
		if m.MediaType != d.MediaType || digest.FromBytes(content) != d.Digest {
			t.Errorf("visited %s with other content or type %s", d.Digest, m.MediaType)
		}
		order = append(order, d.Digest)
		return nil
	})
	return order, err
}

func TestWalkOrder(t *testing.T) {
	s := store{}
	a, b, c := s.image(t, "a"), s.image(t, "b"), s.image(t, "c")
	inner := s.index(t, b, a, c)
	root := s.index(t, a, inner, c, inner, a)
	got, err := visited(t, s, root, nil)
	want := []digest.Digest{a.Digest, b.Digest, c.Digest, inner.Digest, root.Digest}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v\nwant %v", got, err, want)
	}
	if got, err := visited(t, s, a, nil); err != nil || !slices.Equal(got, []digest.Digest{a.Digest}) {
		t.Errorf("plain image: %v, %v", got, err)
	}
}

func TestWalkKeep(t *testing.T) {
	s := store{}
	a, b := s.image(t, "a"), s.image(t, "b")
	delete(s, b.Digest)
	root := s.index(t, a, b)
	var asked []digest.Digest
	got, err := visited(t, s, root, func(d oci.Descriptor) bool {
		asked = append(asked, d.Digest)
		return d.Digest != b.Digest
	})
	if err != nil || !slices.Equal(got, []digest.Digest{a.Digest, root.Digest}) {
		t.Errorf("got %v, %v", got, err)
	}
	if !slices.Equal(asked, []digest.Digest{a.Digest, b.Digest}) {
		t.Errorf("asked about %v: only children, each once", asked)
	}
	_, err = visited(t, s, root, nil)
	if !errors.Is(err, errAbsent) || !strings.Contains(err.Error(), string(b.Digest)) {
		t.Errorf("absent child: %v", err)
	}
}

func TestWalkDepth(t *testing.T) {
	for depth := 1; depth <= oci.MaxDepth+1; depth++ {
		s := store{}
		root := s.image(t, "leaf")
		for range depth - 1 {
			root = s.index(t, root)
		}
		got, err := visited(t, s, root, nil)
		if depth <= oci.MaxDepth && (err != nil || len(got) != depth) {
			t.Errorf("depth %d: visited %d, %v", depth, len(got), err)
		}
		if depth > oci.MaxDepth && (err == nil || len(got) > 0) {
			t.Errorf("depth %d: visited %d, no error", depth, len(got))
		}
	}
}

// Indexes that all name each other's children grow fast; the walk does not.
func TestWalkSharedChildren(t *testing.T) {
	s := store{}
	children := []oci.Descriptor{s.image(t, "a"), s.image(t, "b")}
	for range oci.MaxDepth - 1 {
		x := s.index(t, children...)
		y := s.index(t, slices.Concat(children, children[:1])...)
		children = []oci.Descriptor{x, y}
	}
	calls := 0
	fetch := func(ctx context.Context, d oci.Descriptor) ([]byte, error) {
		calls++
		return s.fetch(ctx, d)
	}
	err := oci.Walk(t.Context(), children[0], fetch, nil, func(oci.Descriptor, []byte, *oci.Manifest) error { return nil })
	if err != nil || calls > 2*oci.MaxDepth {
		t.Errorf("%d fetches, %v", calls, err)
	}
}

func TestWalkCount(t *testing.T) {
	t.Parallel()
	image := []byte(fmt.Sprintf(`{"config":{"digest":%q,"size":1}}`, digest.FromString("x")))
	// Small on purpose: a child of an index of 4 MiB is at least this.
	descriptor := func(n int) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":"sha256:%064x","size":%d}`, oci.MediaTypeManifest, n, len(image))
	}
	indexes := make(map[digest.Digest][]byte)
	var list []string
	const each = 20_000
	root := []string{}
	for n := range oci.MaxBlobs {
		list = append(list, descriptor(n))
		if len(list) == each {
			content := []byte(`{"manifests":[` + strings.Join(list, ",") + `]}`)
			d := digest.FromBytes(content)
			indexes[d] = content
			root = append(root, fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, oci.MediaTypeIndex, d, len(content)))
			list = nil
		}
	}
	content := []byte(`{"manifests":[` + strings.Join(root, ",") + `]}`)
	top := oci.Descriptor{MediaType: oci.MediaTypeIndex, Digest: digest.FromBytes(content), Size: int64(len(content))}
	indexes[top.Digest] = content
	visits := 0
	err := oci.Walk(t.Context(), top, func(_ context.Context, d oci.Descriptor) ([]byte, error) {
		if content, ok := indexes[d.Digest]; ok {
			return content, nil
		}
		return image, nil
	}, nil, func(oci.Descriptor, []byte, *oci.Manifest) error { visits++; return nil })
	if err == nil || visits > oci.MaxBlobs || visits < oci.MaxBlobs*9/10 {
		t.Errorf("%d manifests visited, %v", visits, err)
	}
}

func TestWalkStops(t *testing.T) {
	s := store{}
	a, b := s.image(t, "a"), s.image(t, "b")
	root := s.index(t, a, b)
	cause := errors.New("enough")
	visits := 0
	err := oci.Walk(t.Context(), root, s.fetch, nil, func(oci.Descriptor, []byte, *oci.Manifest) error { visits++; return cause })
	if !errors.Is(err, cause) || visits != 1 {
		t.Errorf("visit fails: %v after %d", err, visits)
	}
	s[b.Digest] = []byte(`{"schemaVersion":1}`)
	lying := func(_ context.Context, d oci.Descriptor) ([]byte, error) { return s[d.Digest], nil }
	err = oci.Walk(t.Context(), root, lying, nil, func(oci.Descriptor, []byte, *oci.Manifest) error { return nil })
	if !errors.Is(err, oci.ErrSchema1) || !strings.Contains(err.Error(), string(b.Digest)) {
		t.Errorf("schema 1 below an index: %v", err)
	}
}
