//go:build unix

package ocdir_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/oci/ocdir"
)

// source is what transfer needs of a repository.
type source interface {
	Resolve(ctx context.Context, name string) (oci.Descriptor, error)
	Manifest(ctx context.Context, d oci.Descriptor) ([]byte, error)
	Blob(ctx context.Context, d oci.Descriptor, offset, length int64) (r io.ReadCloser, ranged bool, err error)
}

var _ source = (*ocdir.Repository)(nil)

// mirror writes a tree as oc does, but for what its fields say.
type mirror struct {
	t   *testing.T
	dir string
	// separator of digests in the names of files.
	separator string
	// copies are written where oc makes links.
	copies bool
	// tag writes a tag, if it is not to be a link with the name of the file.
	tag func(file string, d digest.Digest, content string)
	// places are where manifests are; none means both.
	places []string
}

func newMirror(t *testing.T) *mirror {
	return &mirror{t: t, dir: t.TempDir(), separator: ":"}
}

func (m *mirror) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *mirror) path(parts ...string) string {
	m.t.Helper()
	name := filepath.Join(m.dir, filepath.Join(parts...))
	m.must(os.MkdirAll(filepath.Dir(name), 0o755))
	return name
}

func (m *mirror) write(content string, parts ...string) {
	m.t.Helper()
	m.must(os.WriteFile(m.path(parts...), []byte(content), 0o600))
}

func (m *mirror) link(target string, parts ...string) {
	m.t.Helper()
	m.must(os.Symlink(target, m.path(parts...)))
}

func (m *mirror) file(d digest.Digest) string {
	return strings.Replace(d.String(), ":", m.separator, 1)
}

func describe(mediaType, content string) oci.Descriptor {
	return oci.Descriptor{MediaType: mediaType, Digest: digest.FromString(content), Size: int64(len(content))}
}

// blob writes a blob and returns how a manifest names it.
func (m *mirror) blob(repository, mediaType, content string) string {
	m.t.Helper()
	d := describe(mediaType, content)
	m.write(content, "v2", repository, "blobs", m.file(d.Digest))
	return named(d)
}

func named(d oci.Descriptor) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, d.MediaType, d.Digest, d.Size)
}

// manifest writes a manifest under its tags.
func (m *mirror) manifest(repository, content string, tags ...string) digest.Digest {
	m.t.Helper()
	d := digest.FromString(content)
	places := m.places
	if places == nil {
		places = []string{"blobs", "manifests"}
	}
	for i, place := range places {
		if i == 0 || m.copies {
			m.write(content, "v2", repository, place, m.file(d))
			continue
		}
		name := m.path("v2", repository, place, m.file(d))
		m.must(os.RemoveAll(name)) // the image is there twice
		m.must(os.Link(m.path("v2", repository, places[0], m.file(d)), name))
	}
	for _, tag := range tags {
		name := m.path("v2", repository, "manifests", tag)
		switch {
		case m.tag != nil:
			m.tag(name, d, content)
		case m.copies:
			m.must(os.WriteFile(name, []byte(content), 0o600))
		default:
			m.must(os.Symlink(m.file(d), name))
		}
	}
	return d
}

// image writes an image with one layer and returns its manifest.
func (m *mirror) image(repository, layer string, tags ...string) (content string) {
	m.t.Helper()
	config := m.blob(repository, "application/vnd.docker.container.image.v1+json", `{"layer":"`+layer+`"}`)
	content = `{"schemaVersion":2,"mediaType":"` + oci.MediaTypeDockerManifest + `","config":` + config +
		`,"layers":[` + m.blob(repository, "application/vnd.docker.image.rootfs.diff.tar.gzip", layer) + `]}`
	m.manifest(repository, content, tags...)
	return content
}

// signature writes an OCI image as cosign attaches it, without stating its type.
func (m *mirror) signature(repository, of string) (tag string, content string) {
	m.t.Helper()
	tag = "sha256-" + digest.FromString(of).Encoded() + ".sig"
	content = `{"schemaVersion":2,"config":` + m.blob(repository, "application/vnd.oci.image.config.v1+json", "{}") +
		`,"layers":[` + m.blob(repository, "application/vnd.dev.cosign.simplesigning.v1+json", "payload "+of) + `]}`
	m.manifest(repository, content, tag)
	return tag, content
}

// list writes a list of the manifests.
func (m *mirror) list(repository string, children []string, tags ...string) (content string) {
	m.t.Helper()
	var names []string
	for _, c := range children {
		names = append(names, named(describe(oci.MediaTypeDockerManifest, c)))
	}
	content = `{"schemaVersion":2,"mediaType":"` + oci.MediaTypeDockerList + `","manifests":[` + strings.Join(names, ",") + `]}`
	m.manifest(repository, content, tags...)
	return content
}

func (m *mirror) open() *ocdir.Tree {
	m.t.Helper()
	tree, err := ocdir.Open(m.dir)
	m.must(err)
	m.t.Cleanup(func() { tree.Close() })
	return tree
}

// read reads an image with all its manifests and blobs and returns their digests.
func read(ctx context.Context, s source, name string) (oci.Descriptor, map[digest.Digest]bool, error) {
	root, err := s.Resolve(ctx, name)
	if err != nil {
		return root, nil, err
	}
	seen := make(map[digest.Digest]bool)
	err = oci.Walk(ctx, root, s.Manifest, nil, func(d oci.Descriptor, _ []byte, m *oci.Manifest) error {
		seen[d.Digest] = true
		for _, b := range m.Blobs {
			seen[b.Digest] = true
			if err := readBlob(ctx, s, b); err != nil {
				return err
			}
		}
		return nil
	})
	return root, seen, err
}

func readBlob(ctx context.Context, s source, d oci.Descriptor) error {
	r, _, err := s.Blob(ctx, d, 0, d.Size)
	if err != nil {
		return err
	}
	defer r.Close()
	gate, err := oci.NewReader(r, d)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, gate)
	return err
}

// copyAll closes the reader.
func copyAll(w io.Writer, r io.ReadCloser) (int64, error) {
	defer r.Close()
	return io.Copy(w, r)
}
