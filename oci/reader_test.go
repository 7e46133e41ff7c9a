package oci_test

import (
	"bytes"
	_ "crypto/sha512" // so that such digests are well-formed
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// pattern is content in which no two places look alike.
func pattern(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%d,", i)
	}
	return b.Bytes()[:n]
}

func describe(content []byte) oci.Descriptor {
	return oci.Descriptor{MediaType: "application/octet-stream", Digest: digest.FromBytes(content), Size: int64(len(content))}
}

func gate(t testing.TB, r io.Reader, d oci.Descriptor) *oci.Reader {
	t.Helper()
	g, err := oci.NewReader(r, d)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// ways are the ways in which sources hand out their bytes.
var ways = map[string]func(io.Reader) io.Reader{
	"plain":            func(r io.Reader) io.Reader { return r },
	"one byte":         iotest.OneByteReader,
	"half":             iotest.HalfReader,
	"data with EOF":    iotest.DataErrReader,
	"byte, last + EOF": func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.OneByteReader(r)) },
	"empty reads":      func(r io.Reader) io.Reader { return &hesitant{r: r} },
}

// hesitant returns nothing and no error on every other call.
type hesitant struct {
	r     io.Reader
	calls int
}

func (h *hesitant) Read(p []byte) (int, error) {
	if h.calls++; h.calls%2 == 1 {
		return 0, nil
	}
	return h.r.Read(p)
}

func TestReaderSizes(t *testing.T) {
	for _, size := range []int{0, 1, 2, 511, 512, 513, 4095, 4096, 4097} {
		content := pattern(size)
		for _, delta := range []int{-513, -512, -2, -1, 0, 1, 2, 512, 513} {
			sent := pattern(max(size+delta, 0))
			for name, way := range ways {
				got, err := io.ReadAll(gate(t, way(bytes.NewReader(sent)), describe(content)))
				if len(got) > size || !bytes.Equal(got, content[:len(got)]) {
					t.Fatalf("%d%+d bytes, %s: it gave out %d bytes, or others", size, delta, name, len(got))
				}
				if len(sent) == size {
					if err != nil || len(got) != size {
						t.Errorf("%d bytes, %s: got %d bytes, %v", size, name, len(got), err)
					}
					continue
				}
				var mismatch *oci.MismatchError
				if !errors.As(err, &mismatch) {
					t.Errorf("%d%+d bytes, %s: got %v, want a mismatch", size, delta, name, err)
					continue
				}
				if want := int64(min(len(sent), size+1)); mismatch.GotSize != want || mismatch.Want.Digest != describe(content).Digest {
					t.Errorf("%d%+d bytes, %s: %+v, want size %d", size, delta, name, mismatch, want)
				}
				if (mismatch.GotDigest == "") != (delta > 0) {
					t.Errorf("%d%+d bytes, %s: digest %q", size, delta, name, mismatch.GotDigest)
				}
			}
		}
	}
}

func TestReaderFlippedBit(t *testing.T) {
	content := pattern(5000)
	for _, at := range []int{0, 1, 2500, 4998, 4999} {
		sent := bytes.Clone(content)
		sent[at] ^= 1
		for name, way := range ways {
			r := gate(t, way(bytes.NewReader(sent)), describe(content))
			_, err := io.ReadAll(r)
			var mismatch *oci.MismatchError
			if !errors.As(err, &mismatch) || mismatch.GotDigest != digest.FromBytes(sent) || mismatch.GotSize != 5000 {
				t.Errorf("bit at %d, %s: got %v", at, name, err)
			}
		}
	}
}

// A gate that once said no says it for ever, and one that said yes too.
func TestReaderSticky(t *testing.T) {
	content := pattern(100)
	tests := map[string]struct {
		source io.Reader
		want   error // nil: a mismatch
	}{
		"right":     {bytes.NewReader(content), io.EOF},
		"short":     {bytes.NewReader(content[:99]), nil},
		"long":      {io.MultiReader(bytes.NewReader(content), strings.NewReader("x")), nil},
		"wrong":     {bytes.NewReader(make([]byte, 100)), nil},
		"ends late": {io.MultiReader(bytes.NewReader(content[:99]), iotest.ErrReader(iotest.ErrTimeout), bytes.NewReader(content[99:])), iotest.ErrTimeout},
	}
	for name, test := range tests {
		r := gate(t, test.source, describe(content))
		_, err := io.Copy(io.Discard, readerOnly{r})
		if err == nil {
			err = io.EOF
		}
		if mismatch := (*oci.MismatchError)(nil); test.want == nil && !errors.As(err, &mismatch) || test.want != nil && err != test.want {
			t.Fatalf("%s: got %v", name, err)
		}
		for range 3 {
			if n, again := r.Read(make([]byte, 10)); n != 0 || again != err {
				t.Errorf("%s: asked again: %d bytes, %v; before: %v", name, n, again, err)
			}
		}
	}
}

// readerOnly hides what io.Copy would use instead of Read.
type readerOnly struct{ io.Reader }

func TestReaderSourceErrorIsUnchanged(t *testing.T) {
	content := pattern(100)
	cause := errors.New("the cable is out")
	for _, after := range []int{0, 1, 99, 100} {
		source := io.MultiReader(bytes.NewReader(content[:after]), iotest.ErrReader(cause))
		if _, err := io.ReadAll(gate(t, source, describe(content))); err != cause {
			t.Errorf("after %d bytes: got %v, want the error itself", after, err)
		}
	}
	// Bytes that come together with an error are handed on with it.
	r := gate(t, iotest.TimeoutReader(iotest.HalfReader(bytes.NewReader(content))), describe(content))
	if got, err := io.ReadAll(r); err != iotest.ErrTimeout || !bytes.Equal(got, content[:len(got)]) || len(got) == 0 {
		t.Errorf("timeout: got %d bytes, %v", len(got), err)
	}
	r = gate(t, &together{content[:7], cause}, describe(content))
	if got, err := io.ReadAll(r); err != cause || !bytes.Equal(got, content[:7]) {
		t.Errorf("bytes with an error: got %q, %v", got, err)
	}
}

// together gives its bytes and its error in one call.
type together struct {
	content []byte
	err     error
}

func (s *together) Read(p []byte) (int, error) {
	n := copy(p, s.content)
	s.content = s.content[n:]
	return n, s.err
}

func TestReaderConforms(t *testing.T) {
	for _, size := range []int{0, 1, 1000} {
		content := pattern(size)
		if err := iotest.TestReader(gate(t, bytes.NewReader(content), describe(content)), content); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// A source that neither ends nor delivers cannot hold the verdict back for ever.
func TestReaderEndlessSource(t *testing.T) {
	content := pattern(10)
	source := io.MultiReader(bytes.NewReader(content), silent{})
	if _, err := io.ReadAll(gate(t, source, describe(content))); err != io.ErrNoProgress {
		t.Errorf("silent source: got %v", err)
	}
	var mismatch *oci.MismatchError
	source = io.MultiReader(bytes.NewReader(content), endless{})
	if got, err := io.ReadAll(gate(t, source, describe(content))); !errors.As(err, &mismatch) || len(got) != 10 {
		t.Errorf("endless source: got %d bytes, %v", len(got), err)
	}
}

type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestReaderEmptyBuffer(t *testing.T) {
	r := gate(t, bytes.NewReader([]byte("x")), describe([]byte("x")))
	if n, err := r.Read(nil); n != 0 || err != nil {
		t.Errorf("empty buffer: %d, %v", n, err)
	}
	if got, err := io.ReadAll(r); string(got) != "x" || err != nil {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

var badDescriptors = map[string]oci.Descriptor{
	"no digest":         {Size: 1},
	"no algorithm":      {Digest: digest.Digest(strings.Repeat("a", 64)), Size: 1},
	"short":             {Digest: "sha256:abc", Size: 1},
	"upper case":        {Digest: digest.Digest("sha256:" + strings.Repeat("A", 64)), Size: 1},
	"other algorithm":   {Digest: digest.SHA512.FromString("x"), Size: 1},
	"unknown algorithm": {Digest: "md5:d41d8cd98f00b204e9800998ecf8427e", Size: 1},
	"newline":           {Digest: digest.FromString("x") + "\n", Size: 1},
	"path":              {Digest: "sha256:../../../../../../../../../../../../../../../../../../../etc/passwd", Size: 1},
	"negative size":     {Digest: digest.FromString("x"), Size: -1},
	"huge size":         {Digest: digest.FromString("x"), Size: oci.MaxBlobSize + 1},
}

func TestBadDescriptorsAreRefused(t *testing.T) {
	for name, d := range badDescriptors {
		if _, err := oci.NewReader(strings.NewReader("x"), d); err == nil {
			t.Errorf("NewReader: %s is taken", name)
		}
		if err := oci.Verify([]byte("x"), d); err == nil {
			t.Errorf("Verify: %s is taken", name)
		}
	}
	d := oci.Descriptor{Digest: digest.FromString("x"), Size: oci.MaxBlobSize}
	if err := oci.CheckDescriptor(d); err != nil {
		t.Errorf("largest size: %v", err)
	}
}

func TestVerify(t *testing.T) {
	content := pattern(100)
	if err := oci.Verify(content, describe(content)); err != nil {
		t.Error(err)
	}
	if err := oci.Verify(nil, describe(nil)); err != nil {
		t.Error(err)
	}
	for _, wrong := range [][]byte{nil, content[:99], append(bytes.Clone(content), 0), make([]byte, 100)} {
		var mismatch *oci.MismatchError
		if err := oci.Verify(wrong, describe(content)); !errors.As(err, &mismatch) || mismatch.GotSize != int64(min(len(wrong), 101)) {
			t.Errorf("%d bytes: got %v", len(wrong), err)
		}
	}
}

// FuzzReader splits a stream in any way: the verdict is always that of the
// bytes, and what is handed out is always their beginning.
func FuzzReader(f *testing.F) {
	f.Add([]byte("content"), 0, []byte{1, 2, 3})
	f.Add([]byte("content"), -1, []byte{0, 255})
	f.Add([]byte("content"), 1, []byte{7})
	f.Add([]byte{}, 0, []byte{})
	f.Fuzz(func(t *testing.T, sent []byte, delta int, cuts []byte) {
		want := describe(sent)
		want.Size += int64(delta)
		if oci.CheckDescriptor(want) != nil || len(sent) > 4096 {
			return
		}
		r := gate(t, &cutting{content: sent, cuts: cuts}, want)
		var got []byte
		var err error
		for i := 0; err == nil; i++ {
			p := make([]byte, 1+i%5)
			if len(cuts) > 0 {
				p = make([]byte, int(cuts[i%len(cuts)]))
			}
			if len(p) == 0 {
				p = make([]byte, 1)
			}
			var n int
			n, err = r.Read(p)
			got = append(got, p[:n]...)
		}
		whole := oci.Verify(sent, want)
		if (err == io.EOF) != (whole == nil) {
			t.Fatalf("%d%+d bytes: read %v, verified whole %v", len(sent), delta, err, whole)
		}
		if mismatch := (*oci.MismatchError)(nil); whole != nil && !errors.As(err, &mismatch) {
			t.Fatalf("%d%+d bytes: got %v, want a mismatch", len(sent), delta, err)
		}
		if int64(len(got)) > want.Size || !bytes.HasPrefix(sent, got) {
			t.Fatalf("%d%+d bytes: handed out %d bytes, or others", len(sent), delta, len(got))
		}
	})
}

// cutting hands out pieces of the lengths in cuts, over and over, every third
// of them with the end where that is the end.
type cutting struct {
	content []byte
	cuts    []byte
	calls   int
}

func (c *cutting) Read(p []byte) (int, error) {
	size := len(p)
	if len(c.cuts) > 0 {
		size = int(c.cuts[c.calls%len(c.cuts)])
	}
	if c.calls++; c.calls%7 == 0 {
		return 0, nil
	}
	n := copy(p[:min(max(size, 1), len(p))], c.content)
	c.content = c.content[n:]
	if len(c.content) == 0 && (n == 0 || c.calls%3 == 0) {
		return n, io.EOF
	}
	return n, nil
}
