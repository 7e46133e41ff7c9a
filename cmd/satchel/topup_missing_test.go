package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"satchel/fixtures"
	"satchel/transfer"
)

// What a catalog's operators need and the source did not have is told by the receipt
// of unpack and of copy, and by --json of both, and comes later by --top-up: whole,
// whatever platform was chosen, and under the names that it should have had.
func TestTopUpOfCatalogMissing(t *testing.T) {
	source, c := operatorCatalog(t, fixtures.CatalogSpec{Architectures: []string{"amd64", "arm64"}})
	var lost []fixtures.Image
	for _, image := range c.Images {
		if reference := source.Host() + "/" + image.Repository; image.Root.Digest != c.Image.Root.Digest && strings.Contains(reference, "/alpha/") {
			lost = append(lost, image)
			source.Remove(image.Repository, image.Root.Digest.String())
		}
	}
	bundleDir, receiptFile := t.TempDir(), filepath.Join(t.TempDir(), "receipt.json")
	selection := []string{"--tls-verify=false", "--skip-missing", "--platform", "linux/arm64", "--catalog", c.Reference() + "=alpha,gamma"}
	fails(t, exitMissing, nil, append([]string{"pack", "-o", bundleDir}, selection...)...)
	planned := readInventory(t, bundleDir).Missing
	if len(planned) < 3 {
		t.Fatalf("the inventory misses %+v", planned)
	}
	for what, command := range map[string][]string{
		"unpack": {"unpack", bundleDir, "--tls-verify=false"}, "copy": append([]string{"copy"}, selection...),
	} {
		t.Run(what, func(t *testing.T) {
			site := startRegistry(t, fixtures.Options{})
			command = append(slices.Clone(command), "--to", site.Host()+"/m", "--naming", "host", "--receipt", receiptFile)
			fails(t, exitMissing, []string{"hint: ", "satchel pack --top-up receipt.json -o DIR"}, command...)
			status, stdout, stderr := satchel(t, append(command, "--json")...)
			if status != exitMissing {
				t.Fatalf("status %d\n%s", status, stderr)
			}
			written, err := os.ReadFile(receiptFile)
			if err != nil {
				t.Fatal(err)
			}
			for from, content := range map[string][]byte{"--json": []byte(stdout), "--receipt": written} {
				var receipt transfer.Receipt
				if err := json.Unmarshal(content, &receipt); err != nil {
					t.Fatal(err)
				}
				if len(receipt.Missing) != len(planned) {
					t.Fatalf("%s: %+v, want %+v", from, receipt.Missing, planned)
				}
				for i, m := range receipt.Missing {
					if m.Reference != planned[i].Image || m.Reason != planned[i].Reason || !strings.Contains(m.Reason, "alpha") {
						t.Errorf("%s: %+v, want %+v", from, m, planned[i])
					}
				}
			}

			topUp := []string{"pack", "--tls-verify=false", "-o", t.TempDir(), "--top-up", receiptFile}
			fails(t, exitFailed, []string{"the source does not have"}, topUp...)
			if err := source.Add(lost...); err != nil {
				t.Fatal(err)
			}
			mustSatchel(t, topUp...)
			mustSatchel(t, "unpack", topUp[3], "--tls-verify=false", "--to", site.Host()+"/m", "--naming", "host")
			below := "m/" + strings.ReplaceAll(source.Host(), ":", "-") + "/"
			for _, m := range planned {
				image := c.ImageOf(m.Image)
				if got := site.Digests()[below+image.Repository]; got["digest-"+image.Root.Digest.Encoded()] != image.Root.Digest {
					t.Errorf("%s is not there under its name: %v", m.Image, got)
				}
				for _, b := range image.Blobs {
					if !slices.Contains(site.Blobs(below+image.Repository), b.Descriptor.Digest) {
						t.Errorf("%s lacks %s", m.Image, b.Descriptor.Digest)
					}
				}
			}
			again := append([]string{"pack", "-o", t.TempDir(), "--top-up", filepath.Join(filepath.Dir(receiptFile), "again.json")}, "--tls-verify=false")
			mustSatchel(t, "unpack", topUp[3], "--tls-verify=false", "--to", site.Host()+"/m", "--naming", "host", "--receipt", again[4])
			fails(t, exitFailed, []string{"nothing is lacking"}, again...)
			for _, image := range lost { // for the other way
				source.Remove(image.Repository, image.Root.Digest.String())
			}
		})
	}
}

// TestTopUpByInventoryOfRelease has an inventory whose release lacks a component:
// like its receipt, it is no matter for a top-up.
func TestTopUpByInventoryOfRelease(t *testing.T) {
	upstream := startRegistry(t, fixtures.Options{})
	source := newReleaseSource(t, upstream.Host())
	r := source.release(fixtures.ReleaseSpec{Version: "4.12.0", Components: []string{"cli", "etcd"}})
	component := r.Images[0]
	if err := upstream.Add(r.Images[1:]...); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	status, _, stderr := satchel(t, source.command("pack", "-o", dir, "--skip-missing", "--release", r.Reference())...)
	if status != exitMissing {
		t.Fatalf("status %d, %s", status, stderr)
	}
	if err := upstream.Add(component); err != nil {
		t.Fatal(err)
	}
	status, _, stderr = satchel(t, source.command("pack", "-o", t.TempDir(), "--top-up", filepath.Join(dir, "inventory.json"))...)
	if status != exitFailed || !strings.Contains(stderr, "it is part of a release") {
		t.Errorf("status %d, %s", status, stderr)
	}
}
