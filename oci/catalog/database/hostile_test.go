package database_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"satchel/fixtures"
	"satchel/oci/catalog"
	"satchel/oci/catalog/database"
)

// testFile is a database of testdata.
func testFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".db"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// allocated is what f allocates in all, in bytes.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// wantCause reads anything: what is wrong with it has one of the names that there
// are for that.
func wantCause(t testing.TB, data []byte) error {
	t.Helper()
	_, err := read(t, data)
	for _, cause := range []error{nil, database.ErrNoDatabase, database.ErrNoCatalog, database.ErrMalformed, database.ErrUnsupported, catalog.ErrLimit} {
		if errors.Is(err, cause) {
			return err
		}
	}
	t.Errorf("error %v", err)
	return err
}

// TestTruncated cuts a database short everywhere, one that says how many pages it
// has and one that does not.
func TestTruncated(t *testing.T) {
	demo := fixtures.NewCatalogDatabase(fixtures.NewCatalog(fixtures.CatalogSpec{Packages: fixtures.DemoOperators()}).Packages)
	for name, data := range map[string][]byte{"demo": demo, "oldest": testFile(t, "oldest")} {
		t.Run(name, func(t *testing.T) {
			silent := bytes.Clone(data)
			clear(silent[28:32])
			if wantCause(t, silent) != nil {
				t.Error("refused without a number of pages")
			}
			for n := 0; n < len(data); n += 211 {
				for _, n := range []int{n, n &^ 511} {
					if wantCause(t, data[:n]) == nil {
						t.Errorf("read from %d of %d bytes", n, len(data))
					}
					wantCause(t, silent[:n])
				}
			}
		})
	}
}

// TestFlipped changes one byte after the other.
func TestFlipped(t *testing.T) {
	step := 31
	if testing.Short() {
		step = 301
	}
	data := testFile(t, "oldest")
	whole := allocated(func() { wantCause(t, data) })
	reads, refused := uint64(0), 0
	used := allocated(func() {
		for i := 0; i < len(data); i++ {
			if i > 200 && i%512 > 12 && i%step > 0 {
				continue // most of a page is text
			}
			flip := byte(1) << (i % 8)
			data[i] ^= flip
			if reads++; wantCause(t, data) != nil {
				refused++
			}
			data[i] ^= flip
		}
	})
	if used > reads*whole*3/2 {
		t.Errorf("%d bytes allocated for each of %d reads; %d for what is right", used/reads, reads, whole)
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
	t.Logf("%d of %d refused", refused, reads)
}

// zeros are a file of which only the beginning is not zero.
type zeros struct{ head []byte }

func (z zeros) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(z.head)) {
		copy(p, z.head[off:])
	}
	return len(p), nil
}

// TestHuge reads databases of as many pages as there may be.
func TestHuge(t *testing.T) {
	data := testFile(t, "wal") // of pages of 512 bytes
	tests := map[string]struct {
		size    int64
		pages   uint32
		allowed uint64
		cause   error
	}{
		"as large as may be": {database.MaxDatabase, database.MaxDatabase / 512, 2 << 20, nil},
		"too large":          {database.MaxDatabase + 1, 0, 1 << 16, catalog.ErrLimit},
		"far too large":      {1 << 62, 0, 1 << 16, catalog.ErrLimit},
		"no size":            {-1, 0, 1 << 16, database.ErrNoDatabase},
		"claimed":            {int64(len(data)), 1<<32 - 1, 1 << 16, database.ErrMalformed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			head := bytes.Clone(data)
			binary.BigEndian.PutUint32(head[28:], test.pages)
			used := allocated(func() {
				if _, err := database.Read(t.Context(), zeros{head}, test.size); !errors.Is(err, test.cause) {
					t.Errorf("error %v, want %v", err, test.cause)
				}
			})
			if used > test.allowed {
				t.Errorf("%d bytes allocated", used)
			}
		})
	}
}

// TestLimits reads what is too much, and a little less of it.
func TestLimits(t *testing.T) {
	var packages []fixtures.CatalogPackage
	for i := range 50 {
		p := fixtures.CatalogChain(fmt.Sprintf("p%d", i), "1.0.0")
		p.Channels[0].Entries[0].Name, p.Bundles = "shared", nil
		packages = append(packages, p)
	}
	packages[0].Bundles = []fixtures.CatalogBundle{{Name: "shared", Version: "1.0.0", Image: "i:0"}}
	for i := range 50 {
		packages[0].Bundles[0].Related = append(packages[0].Bundles[0].Related, fixtures.CatalogImage{Image: fmt.Sprintf("i:%d", i)})
	}
	pairs := fixtures.NewCatalogDatabase(packages)
	const all = 1 << 30
	oldest := testFile(t, "oldest")
	tests := map[string]struct {
		data       []byte
		size       int64
		rows, kept int
		text       string
	}{
		"size":       {oldest, int64(len(oldest)), all, all, ""},
		"more size":  {oldest, int64(len(oldest)) - 1, all, all, "database of 77824 bytes, more than 77823"},
		"rows":       {oldest, all, 410, all, ""},
		"more rows":  {oldest, all, 200, all, "more rows than 200"},
		"kept":       {oldest, all, all, 60_000, ""},
		"more kept":  {oldest, all, all, 40_000, "more than 40000 bytes to keep"},
		"pairs":      {pairs, all, all, 300_000, ""},
		"more pairs": {pairs, all, all, 200_000, `bundle "shared": limit exceeded: more than 200000 bytes to keep`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := database.ReadWithin(t.Context(), bytes.NewReader(test.data), int64(len(test.data)), test.size, test.rows, test.kept)
			if test.text != "" {
				wantError(t, err, catalog.ErrLimit, test.text)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// readerAt counts what is read, and then does something else.
type readerAt struct {
	io.ReaderAt
	left int
	then func() (int, error)
}

func (r *readerAt) ReadAt(p []byte, off int64) (int, error) {
	if r.left--; r.left < 0 {
		if n, err := r.then(); err != nil {
			return n, err
		}
	}
	return r.ReaderAt.ReadAt(p, off)
}

func TestInterrupted(t *testing.T) {
	data := testFile(t, "oldest")
	broken := errors.New("the disk is broken")
	for _, left := range []int{0, 1, 2, 20, 40} {
		ctx, cancel := context.WithCancel(t.Context())
		tests := map[string]struct {
			then  func() (int, error)
			cause error
		}{
			"disk":      {func() (int, error) { return 0, broken }, broken},
			"cut short": {func() (int, error) { return 3, io.EOF }, nil},
			"ctx":       {func() (int, error) { cancel(); return 0, nil }, context.Canceled},
		}
		for _, name := range []string{"disk", "cut short", "ctx"} {
			test := tests[name]
			r := &readerAt{bytes.NewReader(data), left, test.then}
			_, err := database.Read(ctx, r, int64(len(data)))
			if err == nil || test.cause != nil && !errors.Is(err, test.cause) {
				t.Errorf("%s after %d: %v", name, left, err)
			}
			if name == "ctx" && r.left < -2 {
				t.Errorf("ctx ended after %d, and %d more pages were read", left, -r.left)
			}
		}
	}
}
