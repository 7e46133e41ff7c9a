package extract

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/release"
)

// memory gives images out of memory, per repository, and counts.
type memory struct {
	manifests map[string]manifest // by REPOSITORY@DIGEST
	blobs     map[string][]byte   // by REPOSITORY@DIGEST
	opened    map[digest.Digest]int
	closed    int
}

type manifest struct {
	descriptor oci.Descriptor
	content    []byte
}

func newMemory(t testing.TB, registry string, images ...fixtures.Image) *memory {
	t.Helper()
	m := &memory{manifests: make(map[string]manifest), blobs: make(map[string][]byte), opened: make(map[digest.Digest]int)}
	key := func(image fixtures.Image, c fixtures.Content) string {
		return oci.Reference{Repository: registry + "/" + image.Repository, Digest: c.Descriptor.Digest}.String()
	}
	for _, image := range images {
		for _, c := range image.Manifests {
			m.manifests[key(image, c)] = manifest{c.Descriptor, contentOf(t, c)}
		}
		for _, c := range image.Blobs {
			m.blobs[key(image, c)] = contentOf(t, c)
		}
	}
	return m
}

func contentOf(t testing.TB, c fixtures.Content) []byte {
	t.Helper()
	content, err := c.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func (m *memory) Manifest(_ context.Context, ref oci.Reference) (oci.Descriptor, []byte, error) {
	found, ok := m.manifests[ref.String()]
	if !ok {
		return oci.Descriptor{}, nil, fmt.Errorf("manifest %s: %w", ref, fs.ErrNotExist)
	}
	return found.descriptor, found.content, nil
}

func (m *memory) Blob(_ context.Context, ref oci.Reference, d oci.Descriptor) (io.ReadCloser, error) {
	if _, ok := m.manifests[ref.String()]; !ok {
		return nil, fmt.Errorf("image %s: %w", ref, fs.ErrNotExist)
	}
	content, ok := m.blobs[ref.Repository+"@"+d.Digest.String()]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, fs.ErrNotExist)
	}
	m.opened[d.Digest]++
	return &opened{Reader: bytes.NewReader(content), of: m}, nil
}

type opened struct {
	io.Reader
	of *memory
}

func (o *opened) Close() error {
	o.of.closed++
	return nil
}

// most is how often any blob was opened at most; all must be closed.
func (m *memory) most(t *testing.T) int {
	t.Helper()
	most, sum := 0, 0
	for _, n := range m.opened {
		most, sum = max(most, n), sum+n
	}
	if sum != m.closed {
		t.Errorf("%d blobs were opened, %d closed", sum, m.closed)
	}
	return most
}

const registry = "quay.io"

// newRelease builds a release and the images to extract it from.
func newRelease(t testing.TB, s fixtures.ReleaseSpec) (fixtures.Release, Release, *memory) {
	t.Helper()
	made := fixtures.NewRelease(s)
	payload, err := release.Parse(release.Documents{References: made.References, Metadata: made.Metadata, Verification: made.Verification})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := oci.SplitReference(made.Reference())
	if err != nil {
		t.Fatal(err)
	}
	architecture := "amd64"
	switch {
	case len(s.Architectures) > 1:
		architecture = multi
	case len(s.Architectures) == 1:
		architecture = s.Architectures[0]
	}
	r := Release{Reference: ref, Digest: made.Image.Root.Digest, Architecture: architecture, Payload: payload}
	return made, r, newMemory(t, registry, made.Images...)
}

// newComponent makes a release of one component with the layers.
func newComponent(t testing.TB, component string, layers ...fixtures.Layer) (Release, *memory) {
	t.Helper()
	image := fixtures.NewImage(fixtures.ImageSpec{Layers: layers}).Named("ocp/content", "")
	r := Release{
		Reference: oci.Reference{Repository: registry + "/ocp/release", Tag: "4.12.0-x86_64"}, Architecture: "amd64",
		Digest: digest.FromString("release"),
		Payload: &release.Payload{Version: "4.12.0", Components: []release.Component{
			{Name: component, Image: oci.Reference{Repository: registry + "/ocp/content", Digest: image.Root.Digest}},
		}},
	}
	return r, newMemory(t, registry, image)
}

// newDir returns a directory to write to, with another one beside it.
func newDir(t testing.TB) (*os.Root, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "out")
	if err := os.Mkdir(name, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root, name
}

// list returns the names in a directory, which must be plain files.
func list(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if !e.Type().IsRegular() {
			t.Errorf("%s is no regular file", e.Name())
		}
		names = append(names, e.Name())
	}
	return names
}

// checkFiles compares the directory with the result.
func checkFiles(t testing.TB, dir string, r *Result) {
	t.Helper()
	var names []string
	for _, f := range r.Files {
		names = append(names, f.Name)
		content := read(t, dir, f.Name)
		if int64(len(content)) != f.Size || digest.FromBytes(content) != f.Digest {
			t.Errorf("%s: %d bytes of %s, the result says %d of %s", f.Name, len(content), digest.FromBytes(content), f.Size, f.Digest)
		}
	}
	slices.Sort(names)
	if there := list(t, dir); !slices.Equal(names, there) {
		t.Errorf("the directory has %q, the result says %q", there, names)
	}
}

func read(t testing.TB, dir, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// sourceOf returns the program of a component as it is in the image.
func sourceOf(t testing.TB, made fixtures.Release, component, path string) []byte {
	t.Helper()
	for _, f := range made.Component(component).Files {
		if f.Name == path {
			return f.Content
		}
	}
	t.Fatalf("component %s has no %s", component, path)
	return nil
}

// embedded is the content with the values in the places of the markers.
func embedded(content []byte, values map[markKind]string) []byte {
	content = bytes.Clone(content)
	for kind, value := range values {
		_, marker := kind.marker()
		copy(content[bytes.Index(content, marker):], value+"\x00")
	}
	return content
}

func hasText(texts []string, parts ...string) bool {
	return slices.ContainsFunc(texts, func(text string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
	})
}

func link(name, to string) fixtures.File {
	return fixtures.File{Name: name, Type: tar.TypeSymlink, Link: to}
}

func hardLink(name, to string) fixtures.File {
	return fixtures.File{Name: name, Type: tar.TypeLink, Link: to}
}
