package layers_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/oci/layers"
)

// blobs is a registry in memory. It is for one goroutine.
type blobs struct {
	content map[digest.Digest][]byte
	opened  map[digest.Digest]int
	open    int // opened and not yet closed
}

func newBlobs() *blobs {
	return &blobs{content: make(map[digest.Digest][]byte), opened: make(map[digest.Digest]int)}
}

func describe(content []byte) oci.Descriptor {
	return oci.Descriptor{Digest: digest.FromBytes(content), Size: int64(len(content))}
}

func (b *blobs) add(content []byte) oci.Descriptor {
	d := describe(content)
	b.content[d.Digest] = content
	return d
}

func (b *blobs) Open(_ context.Context, d oci.Descriptor) (io.ReadCloser, error) {
	content, ok := b.content[d.Digest]
	if !ok {
		return nil, fs.ErrNotExist
	}
	b.opened[d.Digest]++
	b.open++
	return &blob{Reader: bytes.NewReader(content), of: b}, nil
}

type blob struct {
	io.Reader
	of *blobs
}

func (b *blob) Close() error {
	b.of.open--
	return nil
}

// serve opens these bytes whatever is asked for.
func serve(content []byte) layers.Open {
	return func(context.Context, oci.Descriptor) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}
}

// file is a regular file, link a symbolic and hard a hard one, dir a directory.
func file(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))}, content}
}

func link(name, to string) entry {
	return entry{tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}, ""}
}

func hard(name, to string) entry {
	return entry{tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to, Mode: 0o644}, ""}
}

func dir(name string) entry {
	return entry{tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755}, ""}
}

type entry struct {
	header  tar.Header
	content string
}

// tarOf writes entries as they are told, with no regard to what they lead to.
func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := w.WriteHeader(&e.header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(t testing.TB, parts ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, part := range parts {
		w := gzip.NewWriter(&b)
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func zstdOf(t testing.TB, parts ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, part := range parts {
		w, err := zstd.NewWriter(&b, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(part); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// noise is text that does not compress to nothing.
func noise(n int) string {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = 'a' + byte(r.IntN(26))
	}
	return string(b)
}

// seen renders what a walk of these bytes visits, with the content of files.
func seen(t testing.TB, content []byte) (lines []string, err error) {
	t.Helper()
	err = layers.Walk(t.Context(), serve(content), describe(content), func(e layers.Entry, r io.Reader) error {
		body, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		lines = append(lines, fmt.Sprintf("%c %s %v %d %q %.20s", e.Type, e.Name, e.Mode, e.Size, e.Link, body))
		if int64(len(body)) != e.Size {
			t.Errorf("%s: %d bytes of %d", e.Name, len(body), e.Size)
		}
		return nil
	})
	return lines, err
}
