// Package database reads operator catalogs that are an SQLite database: their
// packages, and the images that these need. Nothing is chosen from such a
// catalog and nothing in it is changed: it is carried whole.
//
// [Read] wants a file that it can read anywhere; [Keep] makes one of a stream.
//
// The reader of the file format (https://www.sqlite.org/fileformat2.html) is our
// own, as openshift/oc took a small one too (pkg/cli/admin/catalog/mirror.go,
// github.com/alicebob/sqlittle). Measured in November 2026:
//
//   - modernc.org/sqlite v1.61.1 adds 6.1 MB to a program of 22.5 MB, 12
//     packages of seven modules, and 48 s of CPU to each build from nothing, for
//     each system anew. It is C in Go's clothing: what a hostile file made it do
//     wrong could overwrite memory.
//   - github.com/ncruces/go-sqlite3 keeps SQLite in a sandbox. v0.36.0 has its code
//     in a module that could not be fetched; v0.30.4 adds 1.5 MB and 40 packages,
//     and compiles SQLite when it is first used: 50 MB of memory, and more than
//     two seconds on a busy machine.
//   - sqlittle v1.4.0 only reads files that it maps into memory, has panics of its
//     own, and does not compile for Windows.
//   - This package adds 42 KB and no module. There is no SQL in it, so that no
//     view, trigger, virtual table or function of a hostile file can run; what it
//     does wrong is an error, or at worst a panic, never overwritten memory; it
//     reads any [io.ReaderAt]; and it uses each page of a file once at most, so
//     that time is bounded by its size.
//
// It finds what SQLite finds: see the tests, which have files that SQLite made.
//
// Tables are read from their beginning to their end, by what sqlite_schema says
// of them. Indexes, other tables and free pages are not looked at. What a file
// beside the database holds (-wal, -journal) is not seen: in an image there is
// none, as opm closes a database before it is added.
package database

import (
	"errors"
	"fmt"

	"satchel/oci/catalog"
)

// Limits on what is accepted of a database, beside [catalog.MaxKept], which
// bounds what is kept of it in memory.
const (
	// MaxDatabase bounds the file in bytes.
	MaxDatabase = 4 << 30
	// MaxMemory bounds, in bytes, what [Keep] holds in memory when it is given
	// no directory.
	MaxMemory = 1 << 30
	// MaxRows bounds the rows of all tables that are read.
	MaxRows = 1_000_000
	// MaxText bounds one text that is kept, in bytes; MaxSchema the text of the
	// statement that made one table.
	MaxText   = 4096
	MaxSchema = 1 << 20
	// MaxColumns bounds the columns of a table, as SQLite's own default does.
	MaxColumns = 2000
	// MaxDepth bounds the nesting of the pages of a table, as SQLite does.
	MaxDepth = 20
)

var (
	// ErrNoDatabase is wrapped by the errors for files that are no SQLite
	// database, or an encrypted one: nobody can tell these from noise.
	ErrNoDatabase = errors.New("it is no SQLite database, or an encrypted one")
	// ErrNoCatalog is wrapped by the errors for databases that have not the
	// tables of an operator catalog.
	ErrNoCatalog = errors.New("the database is no operator catalog")
	// ErrMalformed is wrapped by the errors for databases that are cut short or
	// damaged.
	ErrMalformed = errors.New("the database is malformed")
	// ErrUnsupported is wrapped by the errors for what SQLite can do and no
	// operator catalog does.
	ErrUnsupported = errors.New("not supported")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

func tooMuch(format string, args ...any) error {
	return fmt.Errorf("%w: %s", catalog.ErrLimit, fmt.Sprintf(format, args...))
}
