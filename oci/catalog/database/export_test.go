package database

import (
	"context"
	"io"
)

// ReadWithin is Read with other limits than MaxDatabase, MaxRows and
// catalog.MaxKept.
func ReadWithin(ctx context.Context, r io.ReaderAt, size, most int64, rows, kept int) (*Database, error) {
	return read(ctx, r, size, limits{size: most, rows: rows, kept: kept})
}

// KeepWithin is Keep with other limits than 64 MiB, MaxMemory and MaxDatabase.
func KeepWithin(r io.Reader, dir string, few, memory, most int64) (*Kept, error) {
	return keep(r, dir, few, memory, most)
}

// Columns are those of a statement that makes a table.
func Columns(sql string) ([]string, error) { return columns(sql) }
