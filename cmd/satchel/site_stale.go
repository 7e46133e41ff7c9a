package main

import (
	"io/fs"
	"os"
	"slices"
	"strings"

	"satchel/transfer/site"
)

// removeStale removes from a directory with the resources of a bundle those that an
// earlier run wrote and this one did not: oc apply -f DIR would take them all.
func removeStale(out *output, dir string, written []string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return err
	}
	var removed []string
	for _, e := range entries {
		if !e.Type().IsRegular() || !site.IsFile(e.Name()) || slices.Contains(written, e.Name()) {
			continue
		}
		if err := root.Remove(e.Name()); err != nil {
			return err
		}
		removed = append(removed, e.Name())
	}
	if len(removed) > 0 {
		out.message("removed from %s, of an earlier run: %s", dir, strings.Join(removed, ", "))
	}
	return nil
}
