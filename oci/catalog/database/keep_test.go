package database_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"
	"testing/iotest"

	"satchel/oci/catalog"
	"satchel/oci/catalog/database"
)

// wantEmpty looks at what is left of a directory.
func wantEmpty(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("%v: left are %v", err, entries)
	}
}

func TestKeep(t *testing.T) {
	small := testFile(t, "wal")
	large := append(bytes.Clone(small), bytes.Repeat([]byte("0123456789abcdef"), 200_000)...) // more than three blocks
	for name, content := range map[string][]byte{"small": small, "large": large, "one block": large[:1<<20], "two blocks": large[:2<<20]} {
		for _, dir := range []string{"", t.TempDir()} {
			for _, few := range []int64{0, 2 << 20, 1 << 30} {
				k, err := database.KeepWithin(iotest.HalfReader(bytes.NewReader(content)), dir, few, int64(len(content)), int64(len(content)))
				if err != nil {
					t.Fatal(name, err)
				}
				if k.Size() != int64(len(content)) {
					t.Errorf("%s: %d bytes", name, k.Size())
				}
				if got, err := io.ReadAll(io.NewSectionReader(k, 0, k.Size())); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%s: %d bytes read, %v", name, len(got), err)
				}
				if n, err := k.ReadAt(make([]byte, 9), k.Size()-4); n != 4 || err != io.EOF {
					t.Errorf("%s: %d bytes at the end, %v", name, n, err)
				}
				if _, err := k.ReadAt(make([]byte, 9), -1); err == nil {
					t.Errorf("%s: read before the beginning", name)
				}
				if name == "small" {
					if err := iotest.TestReader(io.NewSectionReader(k, 0, k.Size()), content); err != nil {
						t.Error(err)
					}
					if _, err := database.Read(t.Context(), k, k.Size()); err != nil {
						t.Error(err)
					}
				}
				if err := errors.Join(k.Close(), k.Close()); err != nil {
					t.Error(err)
				}
				if dir != "" {
					wantEmpty(t, dir)
				}
			}
		}
	}
}

// TestKeepNameless kills nobody, but looks for what would be left then.
func TestKeepNameless(t *testing.T) {
	dir := t.TempDir()
	k, err := database.KeepWithin(bytes.NewReader(append(testFile(t, "wal"), make([]byte, 3<<20)...)), dir, 0, 0, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	if os.PathSeparator == '/' {
		wantEmpty(t, dir)
	}
}

func TestKeepFails(t *testing.T) {
	data := append(testFile(t, "wal"), make([]byte, 3<<20)...)
	size := int64(len(data))
	broken := errors.New("the wire is broken")
	after := func(n int) io.Reader { return io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(broken)) }
	tests := map[string]struct {
		r                 io.Reader
		few, memory, most int64
		inMemory, inFile  error
	}{
		"too much":      {bytes.NewReader(data), 0, size - 1, size - 1, catalog.ErrLimit, catalog.ErrLimit},
		"endless":       {io.MultiReader(bytes.NewReader(data), zeroReader{}), 0, size, size, catalog.ErrLimit, catalog.ErrLimit},
		"memory":        {bytes.NewReader(data), 0, size - 1, size, catalog.ErrLimit, nil},
		"broken early":  {after(100), 0, size, size, broken, broken},
		"broken later":  {after(2<<20 + 5), 0, size, size, broken, broken},
		"something":     {bytes.NewReader(make([]byte, 5000)), 0, size, size, database.ErrNoDatabase, database.ErrNoDatabase},
		"endless noise": {zeroReader{}, 0, size, size, database.ErrNoDatabase, database.ErrNoDatabase},
		"nothing":       {bytes.NewReader(nil), 0, size, size, database.ErrNoDatabase, database.ErrNoDatabase},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, dir := range []string{"", t.TempDir()} {
				want := test.inMemory
				if dir != "" {
					want = test.inFile
				}
				if r, ok := test.r.(*bytes.Reader); ok {
					r.Seek(0, io.SeekStart)
				}
				k, err := database.KeepWithin(test.r, dir, test.few, test.memory, test.most)
				if dir != "" {
					wantEmpty(t, dir)
				}
				if k != nil {
					k.Close()
				}
				// A stream that broke once is at its end the second time.
				if dir == "" && !errors.Is(err, want) || dir != "" && want == nil != (err == nil) {
					t.Errorf("dir %q: error %v, want %v", dir, err, want)
				}
			}
		})
	}
	if _, err := database.KeepWithin(bytes.NewReader(data), t.TempDir()+"/none", 0, 0, size); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }
