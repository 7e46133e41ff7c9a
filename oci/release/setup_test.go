package release_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
	"satchel/oci"
)

// realData are files of others, for tests only.
const realData = "../../../shared/data"

// realFile reads one of them; without them the test is skipped, or fails where
// nothing may be.
func realFile(t testing.TB, name string) []byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(realData, filepath.FromSlash(name)))
	fixtures.CheckShared(t, err)
	return content
}

// blobs is a registry in memory. It is for one goroutine.
type blobs struct {
	content map[digest.Digest][]byte
	opened  []digest.Digest
	closed  int
}

func newBlobs() *blobs { return &blobs{content: make(map[digest.Digest][]byte)} }

func (b *blobs) add(mediaType string, content []byte) oci.Descriptor {
	d := oci.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}
	b.content[d.Digest] = content
	return d
}

func (b *blobs) open(_ context.Context, d oci.Descriptor) (io.ReadCloser, error) {
	content, ok := b.content[d.Digest]
	if !ok {
		return nil, fs.ErrNotExist
	}
	b.opened = append(b.opened, d.Digest)
	return &blob{Reader: bytes.NewReader(content), of: b}, nil
}

type blob struct {
	io.Reader
	of *blobs
}

func (b *blob) Close() error {
	b.of.closed++
	return nil
}

// image makes a manifest of a config and these layers, the bottom one first.
func (b *blobs) image(config string, layers ...[]byte) *oci.Manifest {
	m := &oci.Manifest{MediaType: oci.MediaTypeManifest}
	m.Blobs = append(m.Blobs, b.add("application/vnd.oci.image.config.v1+json", []byte(config)))
	for _, layer := range layers {
		m.Blobs = append(m.Blobs, b.add("application/vnd.oci.image.layer.v1.tar+gzip", layer))
	}
	return m
}

// file is one entry of a layer; a directory when its name ends with "/".
type file struct{ name, content string }

// layer makes a gzip tar.
func layer(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(plain(t, files...)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// plain makes a tar.
func plain(t testing.TB, files ...file) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: 0o444, Size: int64(len(f.content)), Typeflag: tar.TypeReg}
		if f.name[len(f.name)-1] == '/' {
			h.Typeflag, h.Mode = tar.TypeDir, 0o777
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
