package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"satchel/oci"
	"satchel/oci/layout"
	"satchel/oci/registry"
	"satchel/transfer"
)

// wantedImages reads what people name on the command line and in files.
type wantedImages struct {
	images  []transfer.Wanted
	layouts map[string]*layout.Layout
	labels  map[string]string // of layouts, by directory
}

func (w *wantedImages) close() {
	for _, l := range w.layouts {
		l.Close() // opened for reading
	}
}

// sources returns the layouts as package transfer takes them.
func (w *wantedImages) sources(client *registry.Client) transfer.Sources {
	s := transfer.Sources{Registry: client, Layouts: make(map[string]transfer.Layout)}
	for label, l := range w.layouts {
		s.Layouts[label] = l
	}
	return s
}

// addFile reads a file with one reference a line; empty lines and what follows a
// # are passed over.
func (w *wantedImages) addFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("images file: %w", err)
	}
	defer f.Close() // opened for reading
	lines := bufio.NewScanner(f)
	n := 1
	for ; lines.Scan(); n++ {
		line := lines.Text()
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff") // Windows' editors begin files with it
		}
		if i := strings.Index(line, "#"); i == 0 || i > 0 && (line[i-1] == ' ' || line[i-1] == '\t') {
			line = line[:i]
		}
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := w.add(line); err != nil {
			return usagef("%s, line %d: %w", name, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("images file %s, line %d: %w", name, n, err)
	}
	return nil
}

// add reads REF, docker://REF or oci:DIR[:NAME][=REPOSITORY:TAG].
func (w *wantedImages) add(s string) error {
	if spec, ok := strings.CutPrefix(s, "oci:"); ok {
		return w.addLayout(spec)
	}
	ref, err := registry.ParseReference(s)
	if err != nil {
		return &usageError{err}
	}
	w.images = append(w.images, transfer.Wanted{Name: ref})
	return nil
}

func (w *wantedImages) addLayout(spec string) error {
	spec, as, named := strings.Cut(spec, "=")
	dir, entry, _ := strings.Cut(spec, ":")
	if dir == "" {
		return usagef("oci:%s: it names no directory", spec)
	}
	var name oci.Reference
	var err error
	if named {
		if name, err = registry.ParseReference(as); err != nil {
			return &usageError{err}
		}
	} else if name, err = oci.SplitReference(entry); err != nil {
		return usagef("oci:%s: %q is not a full image reference: add =REPOSITORY:TAG to name it", spec, entry)
	}
	label, err := w.open(dir)
	if err != nil {
		return err
	}
	w.images = append(w.images, transfer.Wanted{Name: name, Local: label, Entry: entry})
	return nil
}

// open opens a layout once and labels it: plans hold labels, never paths.
func (w *wantedImages) open(dir string) (string, error) {
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("layout %s: %w", dir, err)
	}
	if label, ok := w.labels[absolute]; ok {
		return label, nil
	}
	l, err := layout.Open(dir)
	if err != nil {
		return "", fmt.Errorf("layout %s: %w", dir, err)
	}
	if w.layouts == nil {
		w.layouts, w.labels = make(map[string]*layout.Layout), make(map[string]string)
	}
	label := fmt.Sprintf("oci-layout-%d", len(w.layouts)+1)
	w.layouts[label], w.labels[absolute] = l, label
	return label, nil
}
