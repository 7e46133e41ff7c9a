package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"satchel/fixtures"
)

// catalogJudge returns the program with operator-registry's own code, built once
// from its pinned module.
func catalogJudge(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: builds operator-registry")
	}
	dir := filepath.Join("..", "..", "bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := fixtures.BuildCatalogJudge(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// selected is what a catalog is to hold: package → channel → bundles.
type selected map[string]map[string][]string

// bundles are the names of all bundles, each once.
func (s selected) bundles() []string {
	var all []string
	for _, channels := range s {
		for _, names := range channels {
			all = append(all, names...)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// judge wants exactly the selection in a catalog's directory, with the images that
// the bundles have in the catalog that it was made of.
func judge(t *testing.T, program, dir string, original fixtures.Catalog, want selected) *fixtures.JudgedCatalog {
	t.Helper()
	read, err := fixtures.JudgeCatalog(t.Context(), program, dir)
	if err != nil {
		t.Fatal(err)
	}
	got := make(selected)
	var bundles []string
	for _, p := range read.Packages {
		got[p.Name] = make(map[string][]string)
		for _, c := range p.Channels {
			for _, e := range c.Entries {
				got[p.Name][c.Name] = append(got[p.Name][c.Name], e.Name)
			}
		}
		for _, b := range p.Bundles {
			bundles = append(bundles, b.Name)
			images := []string{b.Image}
			for _, r := range b.Related {
				images = append(images, r.Image)
			}
			slices.Sort(images)
			if references := original.References(b.Name); !slices.Equal(slices.Compact(images), references) || b.Version != original.Bundle(b.Name).Version {
				t.Errorf("%s: %s with %q, want %s with %q", b.Name, b.Version, images, original.Bundle(b.Name).Version, references)
			}
		}
	}
	slices.Sort(bundles)
	if !maps.EqualFunc(got, want, func(x, y map[string][]string) bool { return maps.EqualFunc(x, y, slices.Equal[[]string]) }) ||
		!slices.Equal(bundles, want.bundles()) {
		t.Errorf("the catalog holds %v with bundles %q, want %v", got, bundles, want)
	}
	return read
}

// pulledImage is an image that skopeo pulled, for one architecture.
type pulledImage struct {
	dir, root string // as skopeo wrote it, and its files
	config    ispec.Image
}

// pullFiles pulls an image with skopeo and applies its layers one after another, as
// the image specification says (layer.md, Whiteouts).
func pullFiles(t *testing.T, name, architecture string) pulledImage {
	t.Helper()
	p := pulledImage{dir: t.TempDir(), root: t.TempDir()}
	execute(t, "", need(t, "skopeo"), "--override-arch", architecture, "copy", "--src-tls-verify=false", "docker://"+name, "dir:"+p.dir)
	var m ispec.Manifest
	p.decode(t, "manifest.json", &m)
	p.decode(t, m.Config.Digest.Encoded(), &p.config)
	if p.config.Architecture != architecture {
		t.Fatalf("%s: the image is for %s, want %s", name, p.config.Architecture, architecture)
	}
	root, err := os.OpenRoot(p.root)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for i, layer := range m.Layers {
		content, err := os.ReadFile(filepath.Join(p.dir, layer.Digest.Encoded()))
		if err != nil {
			t.Fatal(err)
		}
		if content, err = gunzip(content); err != nil {
			t.Fatal(err)
		}
		if got := digest.FromBytes(content); got != p.config.RootFS.DiffIDs[i] {
			t.Errorf("%s: layer %d is %s, its config says %s", name, i, got, p.config.RootFS.DiffIDs[i])
		}
		if err := apply(root, content); err != nil {
			t.Fatalf("%s: layer %d: %v", name, i, err)
		}
	}
	return p
}

func (p pulledImage) decode(t *testing.T, name string, v any) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(p.dir, name))
	if err == nil {
		err = json.Unmarshal(content, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func gunzip(content []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// apply lays a layer over what is in root. The files of the layer itself are laid
// after what it hides, wherever in it the whiteouts stand.
func apply(root *os.Root, layer []byte) error {
	for _, hiding := range []bool{true, false} {
		r := tar.NewReader(bytes.NewReader(layer))
		for {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			dir, base := path.Split(path.Clean(h.Name))
			hidden, whiteout := strings.CutPrefix(base, ".wh.")
			switch {
			case whiteout != hiding:
			case base == ".wh..wh..opq":
				err = errors.Join(root.RemoveAll(path.Clean(dir)), root.MkdirAll(path.Clean(dir), 0o755))
			case whiteout:
				err = root.RemoveAll(dir + hidden)
			case h.Typeflag == tar.TypeDir:
				err = root.MkdirAll(path.Clean(h.Name), 0o755)
			case h.Typeflag == tar.TypeReg:
				if err = root.MkdirAll(path.Clean("./"+dir), 0o755); err == nil {
					var content []byte
					if content, err = io.ReadAll(r); err == nil {
						err = root.WriteFile(path.Clean(h.Name), content, 0o644)
					}
				}
			default:
				err = fmt.Errorf("%s: type %q", h.Name, h.Typeflag)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// plainHTTP copies the registries.conf of a directory and says of one registry, and
// of no other, that it has no TLS. Nothing else is changed.
func plainHTTP(t *testing.T, name, host string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var changed []byte
	for line := range bytes.Lines(content) {
		changed = append(changed, line...)
		if bytes.HasPrefix(bytes.TrimSpace(line), fmt.Appendf(nil, "location = \"%s/", host)) {
			changed = append(changed, "insecure = true\n"...)
		}
	}
	if bytes.Equal(changed, content) {
		t.Fatalf("%s does not name %s:\n%s", name, host, content)
	}
	to := filepath.Join(t.TempDir(), filepath.Base(name))
	writeConf(t, to, changed)
	return to
}

// served asks a registry for all that it has: repository → tags.
func served(ctx context.Context, t *testing.T, url string) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	var repositories struct{ Repositories []string }
	getJSON(ctx, t, url+"/v2/_catalog?n=1000", &repositories)
	for _, name := range repositories.Repositories {
		var tags struct{ Tags []string }
		getJSON(ctx, t, url+"/v2/"+name+"/tags/list", &tags)
		all[name] = tags.Tags
	}
	return all
}
