package main

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"satchel/bundle"
	"satchel/fixtures"
)

// largeCatalog has an operator whose documents do not shrink below what a plan
// holds, and a small one.
func largeCatalog(host string) fixtures.Catalog {
	noise := make([]byte, bundle.MaxInline)
	random := rand.NewChaCha8([32]byte{7})
	random.Read(noise) // never fails
	large := fixtures.CatalogChain("large", "1.0.0")
	large.Bundles[0].Properties = []fixtures.CatalogProperty{{Type: "olm.bundle.object", Value: map[string]string{"data": base64.StdEncoding.EncodeToString(noise)}}}
	return fixtures.NewCatalog(fixtures.CatalogSpec{
		Registry: host, Architectures: []string{"amd64", "arm64"}, Packages: []fixtures.CatalogPackage{large, fixtures.CatalogChain("small", "1.0.0")},
	})
}

// TestDerivedCatalog packs a selected catalog whose layer is too large for a plan,
// and makes the volumes again from the plan alone, when the tag has moved upstream.
func TestDerivedCatalog(t *testing.T) {
	upstream := startRegistry(t, fixtures.Options{})
	c := largeCatalog(upstream.Host())
	if err := upstream.Add(c.Images...); err != nil {
		t.Fatal(err)
	}
	first, again := t.TempDir(), t.TempDir()
	mustSatchel(t, "pack", "--tls-verify=false", "-o", first, "--name", "large", "--volume-size", "8MiB", "--catalog", c.Reference()+"=large")
	planFile := filepath.Join(first, "large.plan.json")
	data, err := os.ReadFile(planFile)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := bundle.ParsePlan(data)
	if err != nil {
		t.Fatal(err)
	}
	derived := 0
	for i := range plan.Blobs {
		if d := plan.Blobs[i].Origin.Derived; d != nil {
			derived++
			if d.From.Digest != c.Image.Root.Digest || d.Repository != upstream.Host()+"/olm/operator-index" || !strings.Contains(d.Recipe, `"large"`) {
				t.Errorf("derived as %+v", d)
			}
		}
	}
	if derived != 1 {
		t.Fatalf("%d blobs are derived", derived)
	}
	moved := fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{fixtures.GzipLayer(fixtures.Files("moved")...)}})
	if err := upstream.Add(moved.Named(c.Image.Repository, c.Image.Tag)); err != nil {
		t.Fatal(err)
	}
	mustSatchel(t, "pack", "--tls-verify=false", "-o", again, "--plan", planFile)
	sameFiles(t, first, again)

	other := filepath.Join(t.TempDir(), "other.plan.json")
	if err := os.WriteFile(other, bytes.Replace(data, []byte("umoci v0."), []byte("umoci v9."), 1), 0o644); err != nil {
		t.Fatal(err)
	}
	status, _, stderr := satchel(t, "pack", "--tls-verify=false", "-o", t.TempDir(), "--plan", other)
	if status != exitFailed || !strings.Contains(stderr, "another version of satchel made it") || !strings.Contains(stderr, "umoci v9.") {
		t.Errorf("made by another: status %d, %s", status, stderr)
	}
	forged := filepath.Join(t.TempDir(), "forged.plan.json")
	if err := os.WriteFile(forged, bytes.ReplaceAll(data, []byte(`\"large\"`), []byte(`\"small\"`)), 0o644); err != nil {
		t.Fatal(err)
	}
	status, _, stderr = satchel(t, "pack", "--tls-verify=false", "-o", t.TempDir(), "--plan", forged)
	if status != exitFailed || !strings.Contains(stderr, "made of "+string(c.Image.Root.Digest)) {
		t.Errorf("with another recipe: status %d, %s", status, stderr)
	}
}
