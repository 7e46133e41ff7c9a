package database

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"satchel/oci/catalog"
)

// Database is what is kept of an SQLite catalog. It is not changed after [Read].
type Database struct {
	// Packages are sorted by name. One that only a channel or a bundle in a
	// channel belongs to is here too.
	Packages []Package
	// Images are the bundle images and the related images of all bundles, as
	// openshift/oc lists them (pkg/cli/admin/catalog/mirrorer.go): each once,
	// sorted; not the catalog itself. A bundle in no channel has no operator.
	Images []catalog.Image
}

// Package is one operator.
type Package struct {
	Name, DefaultChannel string
	// Channels and Bundles are names, sorted, each once; Bundles are those in
	// channels.
	Channels, Bundles []string
}

// The tables that are read and their columns (operator-framework/operator-registry
// v1.73.0, pkg/sqlite/migrations). The order of columns differs by migration.
// Without related_image (before migration 1, of 2019) the images stand in
// manifests alone, which opm would read then: such a catalog is refused, as it
// would be carried without most of its images.
var columnsOf = map[string][]string{
	"operatorbundle": {"name", "bundlepath"},
	"package":        {"name", "default_channel"},
	"channel":        {"name", "package_name"},
	"channel_entry":  {"package_name", "operatorbundle_name"},
	"related_image":  {"image", "operatorbundle_name"},
}

// mayLack is the one column that a catalog may be without: bundles had no images
// before migration 2.
const mayLack = "bundlepath"

// Read reads the SQLite catalog of size bytes in r. Everything in it is hostile
// until checked: memory is bounded by [catalog.MaxKept], time by size, and Read
// ends with ctx. Errors wrap [ErrNoDatabase], [ErrNoCatalog], [ErrMalformed],
// [ErrUnsupported], [catalog.ErrLimit], the cause that ctx has, or what r returned.
// r stays the caller's and is not read after Read has returned.
func Read(ctx context.Context, r io.ReaderAt, size int64) (*Database, error) {
	return read(ctx, r, size, limits{size: MaxDatabase, rows: MaxRows, kept: catalog.MaxKept})
}

func read(ctx context.Context, r io.ReaderAt, size int64, most limits) (*Database, error) {
	f, err := newFile(ctx, r, size, most)
	if err != nil {
		return nil, err
	}
	tables, err := f.schema(slices.Sorted(maps.Keys(columnsOf)))
	if err != nil {
		return nil, err
	}
	c := &collection{left: int64(most.kept), most: int64(most.kept), packages: make(map[string]*Package), bundles: make(map[string]*bundle)}
	for _, name := range slices.Sorted(maps.Keys(columnsOf)) {
		t, ok := tables[name]
		if !ok {
			return nil, fmt.Errorf("%w: it has no table %s", ErrNoCatalog, name)
		}
		for _, column := range columnsOf[name] {
			if column != mayLack && !slices.Contains(t.columns, column) {
				return nil, fmt.Errorf("%w: table %s has no column %s", ErrNoCatalog, name, column)
			}
		}
		err := t.read(f, columnsOf[name], func(values []string) error {
			return c.add(name, values[0], values[1])
		})
		if err != nil {
			return nil, err
		}
	}
	return c.database()
}

// bundle is what the tables say of one bundle.
type bundle struct {
	images, packages []string
}

// collection is what was read of all tables.
type collection struct {
	left, most int64 // bytes that may still be kept, and that might at first
	packages   map[string]*Package
	bundles    map[string]*bundle
}

// rowCost is about what a row costs in memory beside its text, in bytes.
const rowCost = 100

// keep counts what is kept.
func (c *collection) keep(n int64) error {
	if c.left -= n; c.left < 0 {
		return tooMuch("more than %d bytes to keep", c.most)
	}
	return nil
}

// add takes a row in: the values of its columns in columnsOf. A row that names
// nothing says nothing.
func (c *collection) add(table, a, b string) error {
	if err := c.keep(int64(rowCost + len(a) + len(b))); err != nil {
		return err
	}
	switch table {
	case "operatorbundle":
		if b != "" {
			held := c.bundle(a)
			held.images = append(held.images, b)
		}
	case "package":
		if p := c.pkg(a); p != nil {
			p.DefaultChannel = b
		}
	case "channel":
		if p := c.pkg(b); p != nil && a != "" {
			p.Channels = append(p.Channels, a)
		}
	case "channel_entry":
		if p := c.pkg(a); p != nil && b != "" {
			p.Bundles = append(p.Bundles, b)
			held := c.bundle(b)
			held.packages = append(held.packages, a)
		}
	case "related_image":
		if a != "" {
			held := c.bundle(b)
			held.images = append(held.images, a)
		}
	}
	return nil
}

func (c *collection) bundle(name string) *bundle {
	if c.bundles[name] == nil {
		c.bundles[name] = &bundle{}
	}
	return c.bundles[name]
}

// pkg is nil for no name.
func (c *collection) pkg(name string) *Package {
	if c.packages[name] == nil && name != "" {
		c.packages[name] = &Package{Name: name}
	}
	return c.packages[name]
}

func unique(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

func (c *collection) database() (*Database, error) {
	var db Database
	var whole catalog.Selection // whose images are those of the database
	operators := make(map[string][]catalog.Bundle)
	for _, name := range slices.Sorted(maps.Keys(c.bundles)) {
		b := c.bundles[name]
		b.images, b.packages = unique(b.images), unique(b.packages)
		if len(b.packages) == 0 {
			b.packages = []string{""}
		}
		// A bundle in many packages with many images makes many pairs.
		if err := c.keep(int64(len(b.packages)) * int64(1+len(b.images)) * rowCost); err != nil {
			return nil, in(err, "bundle %.100q", name)
		}
		for _, operator := range b.packages {
			operators[operator] = append(operators[operator], catalog.Bundle{Name: name, Related: b.images})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(operators)) {
		whole.Packages = append(whole.Packages, catalog.Package{Name: name, Bundles: operators[name]})
	}
	for _, name := range slices.Sorted(maps.Keys(c.packages)) {
		p := c.packages[name]
		p.Channels, p.Bundles = unique(p.Channels), unique(p.Bundles)
		db.Packages = append(db.Packages, *p)
	}
	db.Images = whole.Images()
	return &db, nil
}
