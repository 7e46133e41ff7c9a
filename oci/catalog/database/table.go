package database

import (
	"encoding/binary"
	"math"
)

// Kinds of pages of a B-tree (fileformat2, 1.6).
const (
	indexInterior = 2
	tableInterior = 5
	indexLeaf     = 10
	tableLeaf     = 13
)

// rows hands all rows of the table with that root page to visit. A row is valid
// during the visit only.
func (f *file) rows(root uint32, visit func(*payload) error) error {
	return f.walk(root, 0, visit)
}

func (f *file) walk(n uint32, depth int, visit func(*payload) error) error {
	if depth == MaxDepth {
		return malformed("page %d is nested deeper than %d", n, MaxDepth)
	}
	b, err := f.read(n, depth)
	if err != nil {
		return err
	}
	start := 0
	if n == 1 {
		start = headerSize
	}
	kind, cells := b[start], int(binary.BigEndian.Uint16(b[start+3:]))
	first := start + 8
	if kind == tableInterior {
		first += 4 // the page right of all cells
	}
	end := first + 2*cells
	switch {
	case kind == indexInterior || kind == indexLeaf:
		return malformed("page %d is of an index, not of a table with rowids", n)
	case kind != tableInterior && kind != tableLeaf:
		return malformed("page %d is of kind %d, not of a table", n, kind)
	case end > len(b):
		return malformed("page %d has %d cells", n, cells)
	}
	sum := 0
	for i := range cells {
		at := int(binary.BigEndian.Uint16(b[first+2*i:]))
		if at < end || at > len(b)-4 { // the smallest cell
			return malformed("page %d cell %d is at %d", n, i, at)
		}
		if kind == tableInterior {
			if err := f.walk(binary.BigEndian.Uint32(b[at:]), depth+1, visit); err != nil {
				return err
			}
			continue
		}
		row, size, err := f.cell(b[at:])
		// Cells that overlap would make much of little.
		if sum += size; err == nil && sum > len(b) {
			err = malformed("cells that overlap")
		}
		if f.rowsLeft--; err == nil && f.rowsLeft < 0 {
			err = tooMuch("more rows than %d", f.limits.rows)
		}
		if err == nil {
			err = visit(row)
		}
		if err != nil {
			return in(err, "page %d cell %d", n, i)
		}
	}
	if kind == tableInterior {
		return f.walk(binary.BigEndian.Uint32(b[start+8:]), depth+1, visit)
	}
	return nil
}

// payload is one row of a table: what lies in its page, then what lies in a chain
// of overflow pages. It is read once, forward.
type payload struct {
	file  *file
	local []byte // of the page that is being read
	left  uint64 // bytes, local included
	next  uint32 // the overflow page after local
}

// cell reads the beginning of a cell of a leaf: a row and the bytes that it takes
// of its page.
func (f *file) cell(b []byte) (*payload, int, error) {
	total, n := varint(b)
	_, m := varint(b[n:]) // the rowid
	if n == 0 || m == 0 {
		return nil, 0, malformed("it is cut short")
	}
	if total > min(math.MaxInt32, uint64(f.pages)*uint64(f.page)) {
		return nil, 0, malformed("a row of %d bytes", total)
	}
	head := n + m
	row := &payload{file: f, left: total}
	most, least := f.usable-35, (f.usable-12)*32/255-23
	size := int(total)
	if size > most {
		size = least + (int(total)-least)%(f.usable-4)
		if size > most {
			size = least
		}
		if len(b) < head+size+4 {
			return nil, 0, malformed("it is cut short")
		}
		row.next = binary.BigEndian.Uint32(b[head+size:])
		row.local = b[head : head+size]
		return row, head + size + 4, nil
	}
	if len(b) < head+size {
		return nil, 0, malformed("it is cut short")
	}
	row.local = b[head : head+size]
	return row, head + size, nil
}

// pass passes over n bytes of the row and hands them to keep, unless that is nil.
func (p *payload) pass(n uint64, keep func([]byte)) error {
	if n > p.left {
		return malformed("a row that ends before its columns")
	}
	for n > 0 {
		if len(p.local) == 0 {
			b, err := p.file.read(p.next, MaxDepth)
			if err != nil {
				return in(err, "overflow")
			}
			p.next, p.local = binary.BigEndian.Uint32(b), b[4:]
			p.local = p.local[:min(uint64(len(p.local)), p.left)]
		}
		part := p.local[:min(uint64(len(p.local)), n)]
		if keep != nil {
			keep(part)
		}
		p.local = p.local[len(part):]
		n -= uint64(len(part))
		p.left -= uint64(len(part))
	}
	return nil
}

// varint decodes a number of one to nine bytes (fileformat2, 1.6); the length is
// 0 when b ends before it.
func varint(b []byte) (uint64, int) {
	var v uint64
	for i := range min(len(b), 9) {
		if i == 8 {
			return v<<8 | uint64(b[i]), 9
		}
		v = v<<7 | uint64(b[i]&0x7f)
		if b[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}
