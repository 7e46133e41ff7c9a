package database_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"satchel/oci/catalog/database"
)

// realData are files of others, for tests only.
const realData = "../../../../shared/data/catalogs/sqlite"

// realFile reads one of them; without them the test is skipped, or fails where
// nothing may be.
func realFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(realData, name))
	if errors.Is(err, fs.ErrNotExist) && os.Getenv("SATCHEL_REQUIRE_ALL") == "" {
		t.Skipf("no real catalogs: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func read(t testing.TB, data []byte) *database.Database {
	t.Helper()
	db, err := database.Read(t.Context(), bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// TestReal reads a real catalog. The figures are those of the program sqlite3
// 3.40, for instance
//
//	select count(*) from (select image from related_image where image <> ''
//	  union select bundlepath from operatorbundle where bundlepath <> '');
func TestReal(t *testing.T) {
	db := read(t, realFile(t, "grafana-operator.bundles.db"))
	if len(db.Packages) != 1 {
		t.Fatalf("packages %v", db.Packages)
	}
	p := db.Packages[0]
	if p.Name != "grafana-operator" || p.DefaultChannel != "alpha" || !slices.Equal(p.Channels, []string{"alpha"}) || len(p.Bundles) != 12 {
		t.Errorf("package %+v", p)
	}
	t.Logf("%+v", db)
}

// listed makes lines of a database as the statements of queries do.
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
		for _, b := range i.Bundles {
			all = append(all, "image|"+i.Reference+"|"+b)
		}
		for _, o := range i.Operators {
			all = append(all, "operator|"+i.Reference+"|"+o)
		}
	}
	slices.Sort(all)
	return all
}

// queries list the same of a file.
const queries = `
with image(i, b) as (
	select image, operatorbundle_name from related_image where image <> ''
	union select bundlepath, name from operatorbundle where bundlepath <> ''
)
select 'package', name, default_channel from package
union select 'channel', package_name, name from channel
union select 'bundle', package_name, operatorbundle_name from channel_entry
union select 'image', i, b from image
union select 'operator', i, package_name from image join channel_entry on operatorbundle_name = b;`

// ask runs the queries, where there is the program sqlite3.
func ask(t testing.TB, data []byte) []string {
	t.Helper()
	program, err := exec.LookPath("sqlite3")
	if err != nil {
		t.Skip("there is no sqlite3")
	}
	file := filepath.Join(t.TempDir(), "index.db")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	command := exec.CommandContext(t.Context(), program, "-batch", "-readonly", file, queries)
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	all := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	slices.Sort(all)
	return all
}

// TestRealAgain asks another program the same.
func TestRealAgain(t *testing.T) {
	data := realFile(t, "grafana-operator.bundles.db")
	if got, want := listed(read(t, data)), ask(t, data); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
