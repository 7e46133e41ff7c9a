package database

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	magic      = "SQLite format 3\x00"
	headerSize = 100
	// minUsable is the least that a page has beside its reserved bytes.
	minUsable = 480
)

// limits are MaxDatabase and MaxRows, and catalog.MaxKept.
type limits struct {
	size int64
	rows int
	kept int
}

// file is a database, read page by page.
type file struct {
	ctx    context.Context
	source io.ReaderAt
	page   int    // bytes of a page
	usable int    // bytes of a page without those reserved at its end
	pages  uint32 // pages are numbered from 1
	used   []uint64
	limits
	rowsLeft int
	// buffers are those of the pages that are being read: one for each depth of
	// a table, and the last for a row that does not fit into its page.
	buffers [MaxDepth + 1][]byte
}

// newFile reads the header of a database (fileformat2, 1.3).
func newFile(ctx context.Context, source io.ReaderAt, size int64, most limits) (*file, error) {
	if size > most.size {
		return nil, tooMuch("database of %d bytes, more than %d", size, most.size)
	}
	var h [headerSize]byte
	n, err := source.ReadAt(h[:min(max(size, 0), headerSize)], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := checkMagic(h[:n]); err != nil {
		return nil, err
	}
	if n < headerSize {
		return nil, malformed("%d bytes, which is less than its header", n)
	}
	f := &file{ctx: ctx, source: source, page: int(binary.BigEndian.Uint16(h[16:])), limits: most, rowsLeft: most.rows}
	if f.page == 1 {
		f.page = 65536
	}
	f.usable = f.page - int(h[20])
	if f.page < 512 || f.page&(f.page-1) != 0 || f.usable < minUsable {
		return nil, malformed("pages of %d bytes, %d of them reserved", f.page, h[20])
	}
	if h[19] > 2 {
		return nil, fmt.Errorf("version %d of the file format: %w", h[19], ErrUnsupported)
	}
	if h[21] != 64 || h[22] != 32 || h[23] != 32 {
		return nil, malformed("payload fractions %d, %d, %d", h[21], h[22], h[23])
	}
	if encoding := binary.BigEndian.Uint32(h[56:]); encoding != 1 && encoding != 0 { // 0 in an empty database
		return nil, fmt.Errorf("text encoding %d: only UTF-8, which is 1: %w", encoding, ErrUnsupported)
	}
	f.pages = uint32(size / int64(f.page))
	// The number of pages counts only when those who wrote last knew of it.
	if said := binary.BigEndian.Uint32(h[28:]); said != 0 && string(h[24:28]) == string(h[92:96]) {
		if said > f.pages {
			return nil, malformed("%d bytes of %d: it is cut short", size, int64(said)*int64(f.page))
		}
		f.pages = said
	}
	if f.pages == 0 {
		return nil, malformed("%d bytes of at least %d: it is cut short", size, f.page)
	}
	f.used = make([]uint64, (f.pages+64)/64)
	return f, nil
}

func checkMagic(head []byte) error {
	if len(head) < len(magic) || string(head[:len(magic)]) != magic {
		return fmt.Errorf("file that begins with %.16q: %w", head, ErrNoDatabase)
	}
	return nil
}

// read reads page n into the buffer of a depth. No page has two places in a
// database, so each is read once: tables that go in circles come to an end.
func (f *file) read(n uint32, depth int) ([]byte, error) {
	if err := f.ctx.Err(); err != nil {
		return nil, err
	}
	if n == 0 || n > f.pages {
		return nil, malformed("page %d of %d", n, f.pages)
	}
	if f.used[n/64]&(1<<(n%64)) != 0 {
		return nil, malformed("page %d has two places", n)
	}
	f.used[n/64] |= 1 << (n % 64)
	if f.buffers[depth] == nil {
		f.buffers[depth] = make([]byte, f.page)
	}
	b := f.buffers[depth]
	if got, err := f.source.ReadAt(b, int64(n-1)*int64(f.page)); got < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			return nil, malformed("page %d is cut short", n)
		}
		return nil, fmt.Errorf("page %d: %w", n, err)
	}
	return b[:f.usable], nil
}
