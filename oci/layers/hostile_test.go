package layers_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"satchel/oci"
	"satchel/oci/layers"
)

func discard(_ layers.Entry, r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

func TestHostileNames(t *testing.T) {
	long := strings.Repeat("a/", layers.MaxName/2) + "b"
	for name, c := range map[string]struct {
		entry entry
		want  error
	}{
		"parent":               {file("../x", ""), layers.ErrName},
		"absolute parent":      {file("/../x", ""), layers.ErrName},
		"parent within":        {file("a/../b", ""), layers.ErrName},
		"parent at the end":    {dir("a/.."), layers.ErrName},
		"parent in PAX":        {file(strings.Repeat("x/", 100)+"../y", ""), layers.ErrName},
		"root as a file":       {file("./.", ""), layers.ErrName},
		"root as a link":       {link("/", "etc"), layers.ErrName},
		"long":                 {file(long, ""), layers.ErrLimit},
		"hard link out":        {hard("x", "../y"), layers.ErrName},
		"hard link to root":    {hard("x", "./"), layers.ErrName},
		"hard link to nothing": {hard("x", ""), layers.ErrName},
		"long hard link":       {hard("x", long), layers.ErrLimit},
		"long link":            {link("x", long), layers.ErrLimit},
		"dots in names":        {file("..a/b../...", ""), nil},
		"link anywhere":        {link("x", "../../../../etc"), nil},
		"longest":              {file(long[2:], ""), nil},
	} {
		got, err := seen(t, tarOf(t, c.entry))
		if !errors.Is(err, c.want) || (c.want == nil) != (len(got) == 1) {
			t.Errorf("%s: %v, saw %d", name, err, len(got))
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("%s: error of %d bytes", name, len(err.Error()))
		}
	}
}

// header is a raw USTAR header that claims a size, which may be in base 256.
func header(name string, typeflag byte, size uint64) []byte {
	h := make([]byte, 512)
	copy(h, name)
	copy(h[157:], "target")
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	if size < 1<<33 {
		copy(h[124:], fmt.Sprintf("%011o\x00", size))
	} else {
		h[124] = 0x80
		binary.BigEndian.PutUint64(h[128:], size)
	}
	copy(h[136:], "00000000000\x00        ")
	h[156] = typeflag
	copy(h[257:], "ustar\x0000")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}

func TestHostileSizes(t *testing.T) {
	for _, size := range []uint64{1, 513, 1 << 33, 1 << 40, 1<<63 - 1, 1 << 63, 1<<64 - 1} {
		content := header("x", '0', size)
		for form, content := range map[string][]byte{"plain": content, "gzip": gzipOf(t, content), "zstd": zstdOf(t, content)} {
			for name, visit := range map[string]func(layers.Entry, io.Reader) error{
				"read":      discard,
				"swallow":   func(e layers.Entry, r io.Reader) error { _ = discard(e, r); return nil },
				"pass over": func(layers.Entry, io.Reader) error { return nil },
			} {
				if err := layers.Walk(t.Context(), serve(content), describe(content), visit); err == nil {
					t.Errorf("%s, %s: size %d without content was taken", form, name, size)
				}
			}
		}
	}
	// Types without content must not be given one.
	for _, typeflag := range []byte{tar.TypeLink, tar.TypeSymlink, tar.TypeDir, tar.TypeFifo} {
		content := append(header("x", typeflag, 1<<40), make([]byte, 1024)...)
		if got, err := seen(t, content); err != nil || len(got) != 1 {
			t.Errorf("type %c: %v, saw %q", typeflag, err, got)
		}
	}
}

// sparse is a file that is one hole, as an entry of a tar.
func sparse(name string, hole int64) []byte {
	var records bytes.Buffer
	for _, kv := range []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=" + name, fmt.Sprintf("GNU.sparse.realsize=%d", hole)} {
		fmt.Fprintf(&records, "%d %s\n", len(kv)+4, kv) // two digits, space, newline
	}
	var b bytes.Buffer
	b.Write(header("PaxHeaders/hole", 'x', uint64(records.Len())))
	b.Write(append(records.Bytes(), make([]byte, 512-records.Len())...))
	b.Write(header("GNUSparseFile/hole", '0', 512))
	b.Write(append([]byte(fmt.Sprintf("1\n%d\n0\n", hole)), make([]byte, 512)...)[:512])
	return b.Bytes()
}

// TestHostileSparse has a file of 1 TiB that is one hole: whoever reads it is
// stopped, whoever does not is not.
func TestHostileSparse(t *testing.T) {
	const hole = 1 << 40
	content := append(sparse("hole", hole), make([]byte, 1024)...)
	var size int64
	err := layers.Walk(t.Context(), serve(content), describe(content), func(e layers.Entry, _ io.Reader) error {
		size = e.Size
		return nil
	})
	if err != nil || size != hole {
		t.Fatalf("size %d, %v", size, err)
	}
	err = layers.WalkLimited(t.Context(), serve(content), describe(content), 10, 1<<20, discard)
	if !errors.Is(err, layers.ErrLimit) {
		t.Errorf("reading it: %v", err)
	}
	err = layers.WalkLimited(t.Context(), serve(content), describe(content), 10, 1<<20, func(e layers.Entry, r io.Reader) error {
		_ = discard(e, r)
		return nil
	})
	if !errors.Is(err, layers.ErrLimit) {
		t.Errorf("reading it with no regard to errors: %v", err)
	}
}

// endless is a gzip that expands to a file of so many zeros.
func endless(t testing.TB, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "zeros", Size: size}); err != nil {
		t.Fatal(err)
	}
	for zeros := make([]byte, 1<<20); size > 0; size -= int64(len(zeros)) {
		if _, err := w.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestHostileBomb(t *testing.T) {
	const size = 12 << 20
	content := endless(t, size)
	if len(content) > size/900 {
		t.Fatalf("bomb of %d bytes", len(content))
	}
	for name, visit := range map[string]func(layers.Entry, io.Reader) error{
		"read":      discard,
		"pass over": func(layers.Entry, io.Reader) error { return nil },
	} {
		err := layers.WalkLimited(t.Context(), serve(content), describe(content), 10, 1<<20, visit)
		if !errors.Is(err, layers.ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := layers.Walk(t.Context(), serve(content), describe(content), visit); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 4<<20 {
			t.Errorf("%s: %d bytes were allocated", name, used)
		}
	}
	members := bytes.Repeat(gzipOf(t, nil), 10_000)
	if got, err := seen(t, members); err != nil || len(got) != 0 {
		t.Errorf("members of nothing: %v, saw %q", err, got)
	}
}

// TestHostileWindow has a zstd frame that asks for more memory than is given.
func TestHostileWindow(t *testing.T) {
	// magic; no content size, no checksum; window descriptor of 2^(10+exponent);
	// a last block of zero raw bytes.
	frame := func(exponent byte) []byte {
		return []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, exponent << 3, 0x01, 0x00, 0x00}
	}
	if got, err := seen(t, frame(17)); err != nil || len(got) != 0 {
		t.Errorf("window of 128 MiB: %v", err)
	}
	for exponent := byte(18); exponent < 32; exponent++ {
		if _, err := seen(t, frame(exponent)); !errors.Is(err, layers.ErrLimit) {
			t.Errorf("window of 2^%d bytes: %v", 10+exponent, err)
		}
	}
}

func TestHostileEntries(t *testing.T) {
	content := gzipOf(t, bytes.Repeat(header("x", '5', 0), 20))
	for limit, want := range map[int]error{20: nil, 19: layers.ErrLimit} {
		if err := layers.WalkLimited(t.Context(), serve(content), describe(content), limit, 1<<30, discard); !errors.Is(err, want) {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
}

// TestHostileNamesInMemory keeps the names of entries that each come with a
// large PAX header: what is kept must not hold on to it.
func TestHostileNamesInMemory(t *testing.T) {
	var kept []layers.Entry
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	comment := map[string]string{"comment": strings.Repeat("x", 400_000)}
	for i := range 25 {
		h := &tar.Header{Typeflag: tar.TypeSymlink, Name: fmt.Sprintf("%d-%s", i, noise(150)), Linkname: noise(150), PAXRecords: comment}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	content := gzipOf(t, b.Bytes())
	b = bytes.Buffer{}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	err := layers.Walk(t.Context(), serve(content), describe(content), func(e layers.Entry, _ io.Reader) error {
		kept = append(kept, e)
		return nil
	})
	runtime.GC()
	runtime.ReadMemStats(&after)
	if err != nil || len(kept) != 25 {
		t.Fatalf("%d entries, %v", len(kept), err)
	}
	if held := int64(after.HeapAlloc) - int64(before.HeapAlloc); held > 2<<20 {
		t.Errorf("25 entries hold %d bytes", held)
	}
	runtime.KeepAlive(kept)
	runtime.KeepAlive(content)
}

// TestDamage cuts and changes layers: in each case the error says that the bytes
// are not those of the descriptor, whatever the decoders made of them first.
func TestDamage(t *testing.T) {
	plain := tarOf(t, dir("usr"), file("usr/text", noise(3000)), link("usr/link", "text"), file("last", "end"))
	for form, content := range forms(t, plain) {
		want := describe(content)
		check := func(what string, at int, sent []byte) {
			t.Helper()
			// Errors that visit makes of its own are not asked for here.
			err := layers.Walk(t.Context(), serve(sent), want, func(_ layers.Entry, r io.Reader) error {
				_, _ = io.Copy(io.Discard, r)
				return nil
			})
			var mismatch *oci.MismatchError
			if !errors.As(err, &mismatch) {
				t.Errorf("%s, %s at %d: %v", form, what, at, err)
			}
		}
		for at := 0; at < len(content); at += 1 + len(content)/97 {
			check("cut", at, content[:at])
			changed := bytes.Clone(content)
			changed[at] ^= 0x10
			check("changed", at, changed)
		}
		check("cut", len(content)-1, content[:len(content)-1])
		check("longer", len(content), append(bytes.Clone(content), 0))
	}
}

// TestDamageAtTheEnd changes the last byte only, behind all that a decoder looks
// at: every entry is seen, and still nothing may be believed.
func TestDamageAtTheEnd(t *testing.T) {
	content := append(usual(t), "after the end"...)
	sent := append(bytes.Clone(content[:len(content)-1]), 'D')
	visits := 0
	err := layers.Walk(t.Context(), serve(sent), describe(content), func(e layers.Entry, r io.Reader) error {
		visits++
		return discard(e, r)
	})
	var mismatch *oci.MismatchError
	if !errors.As(err, &mismatch) || visits != len(usualSeen) {
		t.Errorf("%v after %d visits", err, visits)
	}
	given := ""
	err = layers.Find(t.Context(), serve(sent), []oci.Descriptor{describe(content)}, "usr/text", func(_ layers.Entry, r io.Reader) error {
		b, err := io.ReadAll(r)
		given = string(b)
		return err
	})
	if !errors.As(err, &mismatch) || given != "hello" {
		t.Errorf("find: %v, gave %q", err, given)
	}
}

// TestEndlessSource has a source that never ends: no more is taken of it than
// the descriptor promises.
func TestEndlessSource(t *testing.T) {
	d := describe(make([]byte, 10_000))
	source := &zeros{}
	err := layers.Walk(t.Context(), func(context.Context, oci.Descriptor) (io.ReadCloser, error) {
		return io.NopCloser(source), nil
	}, d, discard)
	var mismatch *oci.MismatchError
	if !errors.As(err, &mismatch) || source.n > 10_001 {
		t.Errorf("%v after %d bytes", err, source.n)
	}
}

type zeros struct{ n int }

func (z *zeros) Read(p []byte) (int, error) {
	clear(p)
	z.n += len(p)
	return len(p), nil
}
