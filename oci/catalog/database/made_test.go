package database_test

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"

	"satchel/oci/catalog"
	"satchel/oci/catalog/database"
)

// pageSize is that of the databases that made makes.
const pageSize = 1024

// page makes a page of a B-tree: its kind, its cells, and the page right of them.
func page(kind byte, right uint32, cells ...string) []byte {
	b := make([]byte, pageSize)
	b[0] = kind
	binary.BigEndian.PutUint16(b[3:], uint16(len(cells)))
	pointers := 8
	if kind < 8 {
		binary.BigEndian.PutUint32(b[8:], right)
		pointers = 12
	}
	end := len(b)
	for i, cell := range cells {
		end -= len(cell)
		copy(b[end:], cell)
		binary.BigEndian.PutUint16(b[pointers+2*i:], uint16(end))
	}
	return b
}

// varint encodes a number below 16384.
func varint(n int) string {
	if n < 128 {
		return string([]byte{byte(n)})
	}
	return string([]byte{byte(n>>7) | 0x80, byte(n & 0x7f)})
}

// cell makes one of a row that fits into its page: its types and its body.
func cell(types, body string) string {
	head := varint(len(types)+1) + types
	return varint(len(head)+len(body)) + "\x01" + head + body
}

// text makes a cell of a row of texts.
func text(values ...string) string {
	types := ""
	for _, v := range values {
		types += varint(len(v)*2 + 13)
	}
	return cell(types, strings.Join(values, ""))
}

// made makes a database of the rows of related_image, page 6, and those after it;
// all other tables have one row.
func made(pages ...[]byte) []byte {
	var schema []string
	for i, t := range []string{"operatorbundle(name,bundlepath)", "package(name,default_channel)", "channel(name,package_name)",
		"channel_entry(package_name,operatorbundle_name)", "related_image(image,operatorbundle_name)"} {
		name, _, _ := strings.Cut(t, "(")
		sql := "CREATE TABLE " + t
		types := "\x17" + varint(13+2*len(name)) + "\x00\x01" + varint(13+2*len(sql))
		schema = append(schema, cell(types, "table"+name+varint(i+2)+sql))
	}
	first := page(13, 0, schema...)
	copy(first[100:], first[:100]) // what page wrote at its beginning
	copy(first, "SQLite format 3\x00\x04\x00\x01\x01\x00\x40\x20\x20")
	clear(first[24:100])
	binary.BigEndian.PutUint32(first[56:], 1)
	all := [][]byte{first,
		page(13, 0, text("b", "bundle:1")), page(13, 0, text("p", "c")), page(13, 0, text("c", "p")), page(13, 0, text("p", "b")),
	}
	return slices.Concat(append(all, pages...)...)
}

// long makes a cell of a row of one text of that many x, most of which lie in the
// overflow pages from next on, and those.
func long(size int, next uint32) (string, [][]byte) {
	types := varint(13 + 2*size)
	payload := varint(len(types)+1) + types + strings.Repeat("x", size)
	local := 103 + (len(payload)-103)%(pageSize-4)
	if local > pageSize-35 {
		local = 103
	}
	if len(payload) <= pageSize-35 {
		return varint(len(payload)) + "\x01" + payload, nil
	}
	c := varint(len(payload)) + "\x01" + payload[:local] + number(next)
	var pages [][]byte
	for rest := payload[local:]; rest != ""; {
		b := make([]byte, pageSize)
		n := copy(b[4:], rest)
		if rest = rest[n:]; rest != "" {
			next++
			binary.BigEndian.PutUint32(b, next)
		}
		pages = append(pages, b)
	}
	return c, pages
}

func number(n uint32) string { return string(binary.BigEndian.AppendUint32(nil, n)) }

// TestMade reads what is right, so that what is wrong below is so for one reason.
func TestMade(t *testing.T) {
	one, of1 := long(1100, 7)
	three, of3 := long(4000, 7)
	tests := map[string]struct {
		pages [][]byte
		want  []string
	}{
		"plain": {[][]byte{page(13, 0, text("i:1", "b"))}, []string{"i:1"}},
		"none":  {[][]byte{page(13, 0)}, nil},
		"null":  {[][]byte{page(13, 0, text("i:1"), cell("\x00\x0f", "b"), text("", ""), cell("", ""))}, []string{"i:1"}},
		"numbers": {[][]byte{page(13, 0, cell("\x08\x00", ""), cell("\x09\x00", ""), cell("\x01\x00", "\xff"), cell("\x02\x00", "\x01\x00"),
			cell("\x03\x00", "\x80\x00\x00"), cell("\x04\x00", "\x7f\xff\xff\xff"), cell("\x05\x00", "\x00\x00\x01\x00\x00\x00"),
			cell("\x06\x00", "\x80\x00\x00\x00\x00\x00\x00\x00"), cell("\x07\x00", "\x3f\xf8\x00\x00\x00\x00\x00\x00"))},
			[]string{"-1", "-8388608", "-9223372036854775808", "0", "1", "1.5", "16777216", "2147483647", "256"}},
		"blob":       {[][]byte{page(13, 0, cell("\x12\x00", "i:1"))}, []string{"i:1"}},
		"levels":     {[][]byte{page(5, 8, number(7)+"\x01"), page(13, 0, text("i:1")), page(13, 0, text("i:2"))}, []string{"i:1", "i:2"}},
		"overflow":   {append([][]byte{page(13, 0, one, text("i:1"))}, of1...), []string{"i:1", strings.Repeat("x", 1100)}},
		"overflow 3": {append([][]byte{page(13, 0, three)}, of3...), []string{strings.Repeat("x", 4000)}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			db, err := read(t, made(test.pages...))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, i := range db.Images {
				if i.Reference != "bundle:1" {
					got = append(got, i.Reference)
				}
			}
			if !slices.Equal(got, test.want) || len(db.Images) != len(got)+1 {
				t.Errorf("images %q, want %q", db.Images, test.want)
			}
		})
	}
}

// TestOverflow reads texts of all sizes around those at which more of a row lies
// elsewhere.
func TestOverflow(t *testing.T) {
	for size := 900; size < 2*pageSize+100; size++ {
		one, pages := long(size, 7)
		db, err := read(t, made(append([][]byte{page(13, 0, one)}, pages...)...))
		if err != nil {
			t.Fatal(size, err)
		}
		if len(db.Images) != 2 || db.Images[1].Reference != strings.Repeat("x", size) {
			t.Errorf("%d bytes: images %.100q", size, db.Images)
		}
	}
}

// patched is a database with one byte, or several, that are others.
func patched(b []byte, at int, s string) []byte {
	copy(b[at:], s)
	return b
}

func TestMalformed(t *testing.T) {
	const start = 5 * pageSize // of related_image
	row := text("i:1", "b")
	plain := func() []byte { return made(page(13, 0, row)) }
	one, of1 := long(1100, 7)
	loop, _ := long(4000, 7)
	tooLong, ofLong := long(4097, 7)
	end := pageSize - len(row)
	nested := [][]byte{}
	for i := range 25 {
		nested = append(nested, page(5, uint32(7+i)))
	}
	m, unsupported := database.ErrMalformed, database.ErrUnsupported
	tests := map[string]struct {
		data  []byte
		cause error
		text  string
	}{
		"empty":                {nil, database.ErrNoDatabase, `file that begins with ""`},
		"noise":                {[]byte("SQLite format 4\x00"), database.ErrNoDatabase, "it is no SQLite database, or an encrypted one"},
		"magic only":           {plain()[:16], m, "16 bytes, which is less than its header"},
		"header only":          {plain()[:100], m, "100 bytes of at least 1024: it is cut short"},
		"a page of no power":   {patched(plain(), 16, "\x04\x01"), m, "pages of 1025 bytes"},
		"a small page":         {patched(plain(), 16, "\x01\x00"), m, "pages of 256 bytes"},
		"all reserved":         {patched(patched(plain(), 16, "\x02\x00"), 20, "\x21"), m, "pages of 512 bytes, 33 of them reserved"},
		"a version":            {patched(plain(), 19, "\x03"), unsupported, "version 3 of the file format"},
		"fractions":            {patched(plain(), 21, "\x41"), m, "payload fractions 65, 32, 32"},
		"UTF-16":               {patched(plain(), 59, "\x03"), unsupported, "text encoding 3"},
		"huge":                 {patched(plain(), 28, "\xff\xff\xff\xff"), m, "6144 bytes of 4398046510080: it is cut short"},
		"one page too many":    {patched(plain(), 28, number(7)), m, "6144 bytes of 7168: it is cut short"},
		"fewer pages":          {patched(plain(), 28, number(5)), m, "page 6 of 5"},
		"of an index":          {made(page(10, 0, row)), m, "page 6 is of an index"},
		"above an index":       {made(page(2, 7, row)), m, "page 6 is of an index"},
		"of no kind":           {made(page(7, 0, row)), m, "page 6 is of kind 7"},
		"many cells":           {patched(plain(), start+3, "\xff\xff"), m, "page 6 has 65535 cells"},
		"a cell in the header": {patched(plain(), start+8, "\x00\x09"), m, "page 6 cell 0 is at 9"},
		"a cell at the end":    {patched(plain(), start+8, "\x03\xfd"), m, "page 6 cell 0 is at 1021"},
		"a cell without end":   {patched(plain(), start+8, "\x03\xfc"), m, "page 6 cell 0: the database is malformed: it is cut short"},
		"a long row":           {patched(plain(), start+end, "\xff\xff\xff\xff\x7f\x01"), m, "a row of 34359738367 bytes"},
		"a row past the end":   {patched(plain(), start+end, "\x20"), m, "it is cut short"},
		"an empty row":         {patched(plain(), start+end, "\x00"), m, "a row with 0 bytes of types"},
		"no types":             {patched(plain(), start+end+2, "\x00"), m, "a row with 0 bytes of types"},
		"many types":           {patched(plain(), start+end+2, "\x7f"), m, "a row that ends before its columns"},
		"endless types":        {patched(plain(), start+end+2, "\xff\xff\x7f"), m, "bytes of types"},
		"a type cut short":     {made(page(13, 0, cell("\x80", ""))), m, "a row of more than 0 columns"},
		"a type of none":       {made(page(13, 0, cell("\x0a\x00", ""))), m, "column image: the database is malformed: type 10"},
		"text past the row":    {made(page(13, 0, cell("\x0f\x11", "ab"))), m, "column operatorbundle_name: the database is malformed: a row that ends"},
		"no UTF-8":             {made(page(13, 0, text("\xff"))), m, `column image: the database is malformed: text "\xff" is not UTF-8`},
		"overlapping":          {made(patched(page(13, 0, strings.Repeat("\x03\x01\x02\x0fa", 100)), 3, "\x01\x2c\x00\x00\x00"+strings.Repeat("\x03\x01", 300))), m, "cells that overlap"},
		"page 0":               {made(page(5, 0)), m, "page 0 of 6"},
		"a page too far":       {made(page(5, 7)), m, "page 7 of 6"},
		"itself":               {made(page(5, 6)), m, "page 6 has two places"},
		"another's page":       {made(page(5, 2)), m, "page 2 has two places"},
		"nested":               {made(append(nested, page(13, 0))...), m, "page 26 is nested deeper than 20"},
		"overflow gone":        {made(page(13, 0, one)), m, "column image: overflow: the database is malformed: page 7 of 6"},
		"overflow in a circle": {made(page(13, 0, loop), append([]byte(number(7)), make([]byte, pageSize-4)...)), m, "overflow: the database is malformed: page 7 has two places"},
		"overflow of two":      {made(append([][]byte{page(13, 0, one, one)}, of1...)...), m, "page 7 has two places"},
		"a long text":          {made(append([][]byte{page(13, 0, tooLong)}, ofLong...)...), catalog.ErrLimit, "column image: limit exceeded: text of 4097 bytes, more than 4096"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := read(t, test.data)
			wantError(t, err, test.cause, test.text)
		})
	}
}
