package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"satchel/fixtures"
)

// sizedCatalog has a catalog of some megabytes: forty operators with 25 versions.
func sizedCatalog(host string, megabytes int) fixtures.Catalog {
	random := rand.New(rand.NewPCG(1, 2))
	var words []string
	for range 4096 {
		words = append(words, strconv.FormatUint(random.Uint64(), 36))
	}
	text := func(size int) string {
		var b strings.Builder
		for b.Len() < size {
			b.WriteString(words[random.IntN(len(words))])
			b.WriteByte(' ')
		}
		return b.String()
	}
	var packages []fixtures.CatalogPackage
	for i := range 40 {
		var versions []string
		for v := range 25 {
			versions = append(versions, fmt.Sprintf("1.%d.0", v))
		}
		p := fixtures.CatalogChain(fmt.Sprintf("operator-%02d", i), versions...)
		for k := range p.Bundles {
			p.Bundles[k].Related = []fixtures.CatalogImage{{Name: "one", Repository: "shared/one", Tag: "v1"}}
			p.Bundles[k].Image = host + "/shared/one:v1"
			p.Bundles[k].Properties = []fixtures.CatalogProperty{{Type: "olm.bundle.object", Value: map[string]string{"data": text(megabytes << 20 / 1000)}}}
		}
		packages = append(packages, p)
	}
	return fixtures.NewCatalog(fixtures.CatalogSpec{Registry: host, Packages: packages})
}

// TestCatalogMemory selects from a large catalog: memory is not a matter of its
// size. SATCHEL_CATALOG is another size in megabytes; Red Hat's have up to 500.
func TestCatalogMemory(t *testing.T) {
	if testing.Short() || runtime.GOOS != "linux" || raceDetector {
		t.Skip("-short, not Linux, or under the race detector: it measures a program as Linux counts")
	}
	megabytes, err := strconv.Atoi(os.Getenv("SATCHEL_CATALOG"))
	if err != nil {
		megabytes = 24
	}
	program := binary(t)
	source := startRegistry(t, fixtures.Options{})
	c := sizedCatalog(source.Host(), megabytes)
	if err := source.Add(c.Images...); err != nil {
		t.Fatal(err)
	}
	const limit = 128 << 20
	for _, selected := range []string{"=operator-00,operator-39:stable:1.20.0..1.24.0", "=*", ""} {
		got := peak(t, program, "pack", "--quiet", "--tls-verify=false", "--dry-run", "--catalog", c.Reference()+selected)
		t.Logf("%d MB, %q: %d MiB at most", megabytes, selected, got>>20)
		if got > limit {
			t.Errorf("%d MB, %q: %d bytes, more than %d", megabytes, selected, got, limit)
		}
	}
}
