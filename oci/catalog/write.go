package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// writeMemory bounds the documents that are in memory while a selection is
// written, in bytes, but for one document that is larger.
const writeMemory = 128 << 20

// Document is one document of a catalog. JSON is compact, without a newline,
// and valid during the visit only.
type Document struct {
	// Package is empty for documents that belong to none; that of an
	// olm.package is its name.
	Schema, Package, Name string
	JSON                  []byte
}

// Write writes the selected catalog as one file: JSON documents, each on a line
// of its own, in the order of [Selection.Documents]. The same catalog and
// request give the same bytes.
func (s *Selection) Write(ctx context.Context, w io.Writer, source Source) error {
	return s.Documents(ctx, source, func(d Document) error {
		_, err := w.Write(append(d.JSON, '\n'))
		return err
	})
}

// Documents visits the documents that stay, sorted by package (those of none
// first), then package, channels, bundles, deprecations and other schemas, then
// name. Channels have only the entries that stay, lists of deprecations too; a
// changed default channel stands in the olm.package; otherwise documents are as
// they were, as JSON. Lists of deprecations that are left empty go.
//
// source must hand out what [Read] read, and is asked for it once for every 128
// MiB of documents that stay. An error of visit is returned.
func (s *Selection) Documents(ctx context.Context, source Source, visit func(Document) error) error {
	return s.documents(ctx, source, writeMemory, visit)
}

func (s *Selection) documents(ctx context.Context, source Source, memory int, visit func(Document) error) error {
	w := s.writer()
	kept := w.kept()
	for len(kept) > 0 {
		n, size := 0, 0
		for n < len(kept) && (n == 0 || size+kept[n].size <= memory) {
			size += kept[n].size
			n++
		}
		found, err := w.fetch(ctx, source, kept[:n])
		if err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
		for i, d := range kept[:n] {
			if err := visit(Document{d.schema, d.pkg, d.name, found[i]}); err != nil {
				return err
			}
			found[i] = nil
		}
		kept = kept[n:]
	}
	return nil
}

// writer knows what of each document stays.
type writer struct {
	selection *Selection
	packages  map[string]*writerPackage
}

type writerPackage struct {
	defaultChannel string
	bundles        map[string]bool
	channels       map[string]map[string]bool // their entries
	deprecations   map[[2]string]bool
}

func (s *Selection) writer() *writer {
	w := &writer{selection: s, packages: make(map[string]*writerPackage)}
	if s.Whole {
		return w
	}
	for i := range s.Packages {
		p := &s.Packages[i]
		kept := &writerPackage{
			defaultChannel: p.DefaultChannel,
			bundles:        make(map[string]bool),
			channels:       make(map[string]map[string]bool),
			deprecations:   make(map[[2]string]bool),
		}
		for j := range p.Bundles {
			kept.bundles[p.Bundles[j].Name] = true
		}
		for j := range p.Channels {
			entries := make(map[string]bool)
			for _, e := range p.Channels[j].Entries {
				entries[e.Name] = true
			}
			kept.channels[p.Channels[j].Name] = entries
		}
		for _, d := range p.Deprecations {
			kept.deprecations[[2]string{d.Schema, d.Name}] = true
		}
		w.packages[p.Name] = kept
	}
	return w
}

// kept lists the documents that stay, in the order of writing.
func (w *writer) kept() []document {
	var kept []document
	for _, d := range w.selection.catalog.documents {
		if w.stays(d) {
			kept = append(kept, d)
		}
	}
	slices.SortFunc(kept, func(a, b document) int {
		for _, n := range []int{
			strings.Compare(a.pkg, b.pkg),
			rank(a.schema) - rank(b.schema),
			strings.Compare(a.schema, b.schema),
			strings.Compare(a.name, b.name),
			a.file - b.file,
		} {
			if n != 0 {
				return n
			}
		}
		return a.number - b.number
	})
	return kept
}

func (w *writer) stays(d document) bool {
	known := rank(d.schema) < rank("")
	if w.selection.Whole || d.pkg == "" && !known {
		return true
	}
	p := w.packages[d.pkg]
	if p == nil {
		return false
	}
	switch d.schema {
	case SchemaChannel:
		return p.channels[d.name] != nil
	case SchemaBundle:
		return p.bundles[d.name]
	case SchemaDeprecations:
		return len(p.deprecations) > 0
	}
	return true
}

// fetch reads the catalog again for some documents. Nothing is handed on before
// the source has come to its end, because only then it stands behind what it
// handed out.
func (w *writer) fetch(ctx context.Context, source Source, wanted []document) ([][]byte, error) {
	files := w.selection.catalog.files
	places := make(map[string]map[int]int) // by file and number, among wanted
	for i, d := range wanted {
		if places[files[d.file]] == nil {
			places[files[d.file]] = make(map[int]int)
		}
		places[files[d.file]][d.number] = i
	}
	found := make([][]byte, len(wanted))
	splitter := newSplitter(ctx)
	err := source(ctx, func(name string, file io.Reader) error {
		in := places[name]
		delete(places, name)
		if len(in) == 0 {
			return ctx.Err()
		}
		err := splitter.split(file, func(number int, json func() ([]byte, error)) error {
			i, ok := in[number]
			if !ok {
				return nil
			}
			data, err := json()
			if err == nil {
				found[i], err = w.reduce(data, wanted[i])
			}
			if delete(in, number); err == nil && len(in) == 0 {
				return errEnough
			}
			return err
		})
		if err == nil || errors.Is(err, errEnough) {
			return nil
		}
		return fmt.Errorf("file %q: %w", name, err)
	})
	if err != nil {
		return nil, err
	}
	for i, d := range wanted {
		if found[i] == nil {
			return nil, fmt.Errorf("file %q: document %d: %w", files[d.file], d.number, errChanged)
		}
	}
	return found, nil
}

var (
	errEnough  = errors.New("no more is wanted of this file")
	errChanged = errors.New("not what was read before")
)

// reduce returns what stays of a document, in bytes of its own.
func (w *writer) reduce(data []byte, d document) ([]byte, error) {
	all, err := members(data)
	if err != nil {
		return nil, errChanged
	}
	now, err := (&parser{texts: make(map[string]string)}).head(all)
	if err != nil || now.schema != d.schema || now.pkg != d.pkg || now.name != d.name || len(data) != d.size {
		return nil, errChanged
	}
	p := w.packages[d.pkg]
	changed := false
	switch {
	case p == nil:
	case d.schema == SchemaPackage:
		changed, err = setDefault(&all, p.defaultChannel)
	case d.schema == SchemaChannel:
		changed, err = reduceEntries(all, func(entry []member) (bool, error) {
			name, err := textOf(entry, "name")
			return p.channels[d.name][name], err
		})
	case d.schema == SchemaDeprecations:
		changed, err = reduceEntries(all, func(entry []member) (bool, error) {
			d, err := deprecated(entry)
			return p.deprecations[d], err
		})
	}
	if err != nil {
		return nil, err
	}
	if changed {
		return join(all)
	}
	// With room for a newline.
	return append(make([]byte, 0, len(data)+1), data...), nil
}

// deprecated is schema and name of what an entry refers to.
func deprecated(entry []member) (key [2]string, err error) {
	reference := value(entry, "reference")
	if reference == nil {
		return key, nil
	}
	fields, err := members(reference)
	if err != nil {
		return key, err
	}
	if key[0], err = textOf(fields, "schema"); err != nil {
		return key, err
	}
	key[1], err = textOf(fields, "name")
	return key, err
}

// setDefault changes the default channel of an olm.package where it is another.
func setDefault(all *[]member, name string) (changed bool, err error) {
	now, err := textOf(*all, "defaultChannel")
	if err != nil || now == name {
		return false, err
	}
	encoded, err := plain(name)
	if err != nil {
		return false, err
	}
	for i, m := range *all {
		if strings.EqualFold(m.key, "defaultChannel") {
			(*all)[i].value = encoded
			return true, nil
		}
	}
	*all = append(*all, member{"defaultChannel", encoded})
	return true, nil
}

// reduceEntries leaves only some of the entries of a document, each as it stands.
func reduceEntries(all []member, stays func([]member) (bool, error)) (changed bool, err error) {
	out := []byte{'['}
	err = elements(value(all, "entries"), func(raw []byte) error {
		entry, err := members(raw)
		if err != nil {
			return err
		}
		ok, err := stays(entry)
		if !ok || err != nil {
			changed = true
			return err
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, raw...)
		return nil
	})
	if err != nil || !changed {
		return false, err
	}
	for i, m := range all {
		if strings.EqualFold(m.key, "entries") {
			all[i].value = append(out, ']')
		}
	}
	return true, nil
}
