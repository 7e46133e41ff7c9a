package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"satchel/oci/catalog"
	"satchel/oci/catalog/database"
	"satchel/oci/layers"
)

// ErrDatabaseWhole is returned when operators are selected from a catalog that is
// an SQLite database.
var ErrDatabaseWhole = errors.New("it is an SQLite catalog, which can only be carried whole")

// readDatabase reads a catalog that is an SQLite database, the file of that name
// in the image.
func (r *catalogReader) readDatabase(ctx context.Context, tree *layers.Tree, file string) error {
	if len(r.wanted.Request.Packages) > 0 {
		return fmt.Errorf("%w: name it without operators, or take a file-based catalog", ErrDatabaseWhole)
	}
	var kept *database.Kept
	err := tree.Find(ctx, path.Clean(strings.Trim(file, "/")), func(_ layers.Entry, content io.Reader) (err error) {
		kept, err = database.Keep(content, r.options.TempDir)
		return err
	})
	if kept != nil {
		defer kept.Close() // which is only read
	}
	if err != nil {
		return fmt.Errorf("database %.80q: %w", file, err)
	}
	read, err := database.Read(ctx, kept, kept.Size())
	if err != nil {
		return fmt.Errorf("database %.80q: %w", file, err)
	}
	for _, p := range read.Packages {
		r.catalog.Packages = append(r.catalog.Packages, p.Name)
	}
	if !r.wanted.Request.Full {
		r.catalog.Warnings = append(r.catalog.Warnings, catalog.Warning{Text: "an SQLite catalog is carried whole, with all versions of all operators"})
	}
	r.listImages(read.Images)
	return nil
}
