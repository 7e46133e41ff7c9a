package database

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

// in says where an error is.
func in(err error, format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), err)
}

// column is one column that is wanted of each row.
type column struct {
	name string
	at   int // in the row; below 0 when the table has no such column
	most int // bytes
}

// record reads the wanted columns of a row, which are in the order of the row
// (fileformat2, 2.1). What is NULL, or not there because the row is older than the
// column, is empty.
func (p *payload) record(wanted []column) ([]string, error) {
	types, err := p.types()
	if err != nil {
		return nil, err
	}
	values := make([]string, len(wanted))
	at := 0
	for i, c := range wanted {
		if c.at < 0 || c.at >= len(types) {
			continue
		}
		for ; at < c.at; at++ {
			size, err := typeSize(types[at])
			if err == nil {
				err = p.pass(size, nil)
			}
			if err != nil {
				return nil, in(err, "column %d", at+1)
			}
		}
		values[i], err = p.value(types[at], c.most)
		if err != nil {
			return nil, in(err, "column %s", c.name)
		}
		at++
	}
	return values, nil
}

// types reads the header of a row: the type of each column.
func (p *payload) types() ([]uint64, error) {
	var head [9]byte
	n := min(len(p.local), len(head)) // all of a row, or more than its first number
	size, m := varint(p.local[:n])
	if m == 0 || size < uint64(m) || size > 9*(MaxColumns+1) {
		return nil, malformed("a row with %d bytes of types", size)
	}
	if err := p.pass(uint64(m), nil); err != nil {
		return nil, err
	}
	raw := make([]byte, 0, size-uint64(m))
	if err := p.pass(size-uint64(m), func(b []byte) { raw = append(raw, b...) }); err != nil {
		return nil, err
	}
	var types []uint64
	for len(raw) > 0 {
		t, n := varint(raw)
		if n == 0 || len(types) == MaxColumns {
			return nil, malformed("a row of more than %d columns", len(types))
		}
		types, raw = append(types, t), raw[n:]
	}
	return types, nil
}

// typeSize is the number of bytes of a column of a type.
func typeSize(t uint64) (uint64, error) {
	switch {
	case t >= 12:
		return (t - 12) / 2, nil
	case t >= 10:
		return 0, malformed("type %d", t)
	}
	return [...]uint64{0, 1, 2, 3, 4, 6, 8, 8, 0, 0}[t], nil
}

// value reads a column as text. Numbers are texts that look like one: the first
// databases declared their columns as "string", which for SQLite is a number
// where it can be.
func (p *payload) value(t uint64, most int) (string, error) {
	size, err := typeSize(t)
	if err != nil {
		return "", err
	}
	if size > uint64(most) {
		return "", tooMuch("text of %d bytes, more than %d", size, most)
	}
	raw := make([]byte, 0, size)
	if err := p.pass(size, func(b []byte) { raw = append(raw, b...) }); err != nil {
		return "", err
	}
	switch {
	case t >= 12:
		if !utf8.Valid(raw) {
			return "", malformed("text %.40q is not UTF-8", raw)
		}
		return string(raw), nil
	case t == 0:
		return "", nil
	case t == 8 || t == 9:
		return strconv.FormatUint(t-8, 10), nil
	case t == 7:
		return strconv.FormatFloat(math.Float64frombits(binary.BigEndian.Uint64(raw)), 'g', 15, 64), nil
	}
	number := int64(int8(raw[0]))
	for _, b := range raw[1:] {
		number = number<<8 | int64(b)
	}
	return strconv.FormatInt(number, 10), nil
}
