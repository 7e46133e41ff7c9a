package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"satchel/transfer/nodeconf"
)

// maxExports bounds the files in a directory of what a cluster has.
const maxExports = 200

// readExisting reads a file that oc wrote, or all files *.yaml, *.yml and *.json in a
// directory, in the order of their names.
func readExisting(name string) (*nodeconf.Cluster, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		c, err := readExport(name)
		if err != nil {
			return nil, err
		}
		return &c, nil
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	var all nodeconf.Cluster
	looked, files := 0, 0
	for _, e := range entries {
		if e.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(e.Name())) {
			continue
		}
		if looked++; looked > maxExports {
			return nil, fmt.Errorf("%s has more than %d files", name, maxExports)
		}
		c, err := readExport(filepath.Join(name, e.Name()))
		if errors.Is(err, nodeconf.ErrNoneInIt) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files++
		all = all.With(c)
	}
	if files == 0 {
		return nil, usagef("%s: %w: it has no file (*.yaml, *.yml, *.json) with any", name, nodeconf.ErrNoneInIt)
	}
	return &all, nil
}

func readExport(name string) (nodeconf.Cluster, error) {
	content, err := readBounded(name)
	if err != nil {
		return nodeconf.Cluster{}, err
	}
	c, err := nodeconf.ParseExport(content)
	if err != nil {
		return c, usagef("%s: %w", name, err)
	}
	return c, nil
}
