package database_test

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"satchel/fixtures"
	"satchel/oci/catalog"
	"satchel/oci/catalog/database"
)

var update = flag.Bool("update", false, "write the databases in testdata anew, with sqlite3")

// realData are files of others, for tests only.
const realData = "../../../../shared/data/catalogs/sqlite/grafana-operator.bundles.db"

// realFile reads it; without it the test is skipped, or fails where nothing may
// be.
func realFile(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile(realData)
	fixtures.CheckShared(t, err)
	return data
}

func read(t testing.TB, data []byte) (*database.Database, error) {
	t.Helper()
	return database.Read(t.Context(), bytes.NewReader(data), int64(len(data)))
}

// listed makes of a database the lines that queries asks for.
func listed(db *database.Database) []string {
	var all []string
	for _, p := range db.Packages {
		all = append(all, "package|"+p.Name+"|"+p.DefaultChannel)
		for _, c := range p.Channels {
			all = append(all, "channel|"+p.Name+"|"+c)
		}
		for _, b := range p.Bundles {
			all = append(all, "bundle|"+p.Name+"|"+b)
		}
	}
	for _, i := range db.Images {
		all = append(all, "image|"+i.Reference+"|")
		for _, b := range i.Bundles {
			all = append(all, "bundle of|"+i.Reference+"|"+b)
		}
		for _, o := range i.Operators {
			all = append(all, "operator|"+i.Reference+"|"+o)
		}
	}
	slices.Sort(all)
	return all
}

// queries list what a database has; BUNDLEPATH is its column or NULL.
const queries = `
with image(i, b) as (
	select image, operatorbundle_name from related_image where image <> ''
	union select bundlepath, name from operatorbundle where bundlepath <> ''
)
select 'package', name, default_channel from package
union select 'channel', package_name, name from channel where name is not null
union select 'bundle', package_name, operatorbundle_name from channel_entry where operatorbundle_name is not null
union select 'image', i, '' from image
union select 'bundle of', i, b from image where b is not null
union select 'operator', i, package_name from image join channel_entry on operatorbundle_name = b;`

// sqlite3 runs that program, which not every machine has.
func sqlite3(t testing.TB, file, statements string) string {
	t.Helper()
	program := fixtures.Program(t, "sqlite3")
	var stderr strings.Builder
	command := exec.CommandContext(t.Context(), program, "-batch", file)
	command.Stdin, command.Stderr = strings.NewReader(statements), &stderr
	out, err := command.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return string(out)
}

// sortedLines are lines of the program, as listed has them.
func sortedLines(text string) []string {
	all := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	slices.Sort(all)
	return all
}

func wantLines(t testing.TB, got, want []string) {
	t.Helper()
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("%.300q is lacking", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("%.300q is too much", line)
		}
	}
}

// TestReal reads a real catalog. The figures are those of sqlite3 3.40, for
// instance the last: select count(*) from (select image from related_image
// union select bundlepath from operatorbundle).
func TestReal(t *testing.T) {
	data := realFile(t)
	db, err := read(t, data)
	if err != nil {
		t.Fatal(err)
	}
	if len(db.Packages) != 1 {
		t.Fatalf("packages %v", db.Packages)
	}
	p := db.Packages[0]
	if p.Name != "grafana-operator" || p.DefaultChannel != "alpha" || !slices.Equal(p.Channels, []string{"alpha"}) || len(p.Bundles) != 12 {
		t.Errorf("package %+v", p)
	}
	if len(db.Images) != realImages {
		t.Errorf("%d images", len(db.Images))
	}
	first := catalog.Image{Reference: "quay.io/integreatly/grafana-operator:v3.0.2", Operators: []string{"grafana-operator"}, Bundles: []string{"grafana-operator.v3.0.2"}}
	if got := db.Images[0]; got.Reference != first.Reference || !slices.Equal(got.Operators, first.Operators) || !slices.Equal(got.Bundles, first.Bundles) {
		t.Errorf("first image %+v", got)
	}
	t.Run("sqlite3", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "index.db")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		wantLines(t, listed(db), sortedLines(sqlite3(t, file, queries)))
	})
}

const realImages = 24

// TestDatabases reads databases that SQLite made of the statements in testdata,
// and finds in them what SQLite found.
func TestDatabases(t *testing.T) {
	tests := map[string]struct {
		cause error
		text  string
	}{
		"oldest": {}, "triggers": {}, "wal": {},
		"view":          {database.ErrNoCatalog, "sqlite_schema: page 9 cell 2: the database is no operator catalog: related_image is no ordinary table: \"CREATE VIEW related_image as with"},
		"virtual":       {database.ErrNoCatalog, `related_image is no ordinary table: "CREATE VIRTUAL TABLE`},
		"lacking":       {database.ErrNoCatalog, "the database is no operator catalog: it has no table related_image"},
		"without-rowid": {database.ErrUnsupported, "table related_image: it has no rowids: not supported"},
		"computed":      {database.ErrUnsupported, "table related_image: a column that is computed: not supported"},
		"utf16":         {database.ErrUnsupported, "text encoding 2: only UTF-8, which is 1: not supported"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join("testdata", name)
			if *update {
				remake(t, file, test.cause == nil)
			}
			data, err := os.ReadFile(file + ".db")
			if err != nil {
				t.Fatal(err)
			}
			db, err := read(t, data)
			if test.cause != nil {
				wantError(t, err, test.cause, test.text)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(file + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			wantLines(t, listed(db), sortedLines(string(want)))
		})
	}
}

func remake(t testing.TB, file string, valid bool) {
	t.Helper()
	statements, err := os.ReadFile(file + ".sql")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(file + ".db"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	sqlite3(t, file+".db", string(statements))
	if !valid {
		return
	}
	if err := os.WriteFile(file+".txt", []byte(sqlite3(t, file+".db", queries)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err, cause error, text string) {
	t.Helper()
	if !errors.Is(err, cause) || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want %q", err, text)
	}
}

// TestFixture reads the database that fixtures makes of the packages of a catalog.
func TestFixture(t *testing.T) {
	c := fixtures.NewCatalog(fixtures.CatalogSpec{Packages: fixtures.DemoOperators()})
	db, err := read(t, fixtures.NewCatalogDatabase(c.Packages))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, p := range c.Packages {
		want = append(want, "package|"+p.Name+"|"+p.DefaultChannel)
		for _, channel := range p.Channels {
			want = append(want, "channel|"+p.Name+"|"+channel.Name)
		}
		for _, b := range p.Bundles {
			want = append(want, "bundle|"+p.Name+"|"+b.Name)
			for _, reference := range c.References(b.Name) {
				want = append(want, "image|"+reference+"|", "bundle of|"+reference+"|"+b.Name, "operator|"+reference+"|"+p.Name)
			}
		}
	}
	slices.Sort(want)
	wantLines(t, listed(db), slices.Compact(want))
}
