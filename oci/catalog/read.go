package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Read reads a catalog in one pass, a document at a time. Documents are found as
// opm finds them (operator-registry, alpha/declcfg/load.go): in every file of
// any depth that no .indexignore excludes, in JSON or YAML, several in a row.
//
// Read fails for what is no catalog: a file with something else in it, a
// document without schema, and what exceeds the limits of this package. Errors
// name file and document. What is wrong with one operator only is left to
// [Catalog.Check] and [Catalog.Select]. Calls may run concurrently.
func Read(ctx context.Context, source Source) (*Catalog, error) {
	c, err := newReader(ctx).read(source)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	return c, nil
}

func newReader(ctx context.Context) *reader {
	return &reader{
		splitter: newSplitter(ctx),
		parser:   parser{texts: make(map[string]string), left: MaxKept},
		seen:     make(map[string]bool),
	}
}

func (r *reader) read(source Source) (*Catalog, error) {
	var total *totalError
	err := source(r.ctx, func(name string, file io.Reader) error {
		err := r.file(name, file)
		if errors.As(err, &total) {
			return fmt.Errorf("file %q: %w", name, err)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return r.catalog()
}

// ignoreFile excludes files from a catalog.
const ignoreFile = ".indexignore"

// reader keeps what it reads by file, because the .indexignore that excludes a
// file may come after it.
type reader struct {
	*splitter
	parser
	seen      map[string]bool
	files     []readFile
	ignores   []ignore
	patterns  int
	documents int
}

// readFile is what one file holds, or the error that ended its reading.
type readFile struct {
	name   string
	parsed []parsed
	err    error
}

// parsed is one document; one field beside document is set at most.
type parsed struct {
	document
	pkg          *Package
	channel      *Channel
	bundle       *Bundle
	deprecations *[]Deprecation
	other        *Other
	broken       string
}

// file fails only when the whole catalog cannot be read.
func (r *reader) file(name string, content io.Reader) error {
	if !fs.ValidPath(name) || name == "." || len(name) > MaxPath {
		return &totalError{fmt.Errorf("%.80q is no path of a file: %w", name, fs.ErrInvalid)}
	}
	if r.seen[name] {
		return &totalError{fmt.Errorf("file comes twice: %w", fs.ErrInvalid)}
	}
	r.seen[name] = true
	if len(r.seen) > MaxFiles {
		return &totalError{fmt.Errorf("more than %d files: %w", MaxFiles, ErrLimit)}
	}
	if path.Base(name) == ignoreFile {
		return r.ignore(name, content)
	}
	f := readFile{name: name}
	f.err = r.split(content, func(number int, json func() ([]byte, error)) error {
		if r.documents++; r.documents > MaxDocuments {
			return &totalError{fmt.Errorf("more than %d documents: %w", MaxDocuments, ErrLimit)}
		}
		data, err := json()
		if err != nil || data == nil {
			return err
		}
		parsed, err := r.parse(data)
		if err != nil {
			return err
		}
		parsed.number, parsed.size = number, len(data)
		f.parsed = append(f.parsed, parsed)
		return r.check()
	})
	var total *totalError
	if errors.As(f.err, &total) {
		return f.err
	}
	r.files = append(r.files, f)
	return nil
}

func (r *reader) ignore(name string, content io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(counted{r.splitter, content}, MaxIgnore+1))
	if err != nil {
		return err
	}
	if len(data) > MaxIgnore {
		return &totalError{fmt.Errorf("more than %d bytes: %w", MaxIgnore, ErrLimit)}
	}
	i := parseIgnore(path.Dir(name), string(data))
	if r.patterns += len(i.patterns); r.patterns > MaxPatterns {
		return &totalError{fmt.Errorf("more than %d patterns: %w", MaxPatterns, ErrLimit)}
	}
	if len(i.patterns) > 0 {
		r.ignores = append(r.ignores, i)
	}
	return nil
}

// parse fails for what is no document of a catalog.
func (r *reader) parse(data []byte) (p parsed, err error) {
	all, err := members(data)
	if err != nil {
		return p, err
	}
	p.document, err = r.head(all)
	if err != nil {
		return p, err
	}
	switch p.schema {
	case SchemaPackage:
		pkg := Package{Name: p.name}
		if err := r.fields(all, "defaultChannel", &pkg.DefaultChannel); err != nil {
			p.broken = err.Error()
		}
		p.pkg = &pkg
	case SchemaChannel:
		c := r.channel(p.document, all)
		p.channel = &c
	case SchemaBundle:
		b := r.bundle(p.document, all)
		p.bundle = &b
	case SchemaDeprecations:
		list, err := r.deprecations(all)
		if err != nil {
			p.broken = err.Error()
		}
		p.deprecations = &list
	default:
		o := r.other(p.document, all)
		p.other = &o
	}
	return p, nil
}

// catalog puts the documents of the files that are not excluded together. Order
// is that of names, so that it does not depend on the source.
func (r *reader) catalog() (*Catalog, error) {
	slices.SortFunc(r.files, func(a, b readFile) int { return strings.Compare(a.name, b.name) })
	slices.SortFunc(r.ignores, func(a, b ignore) int { return strings.Compare(a.directory, b.directory) })
	c := &Catalog{}
	packages := make(map[string]*Package)
	excluded := &matcher{ignores: r.ignores}
	for _, f := range r.files {
		if skip, err := excluded.ignored(f.name); skip || err != nil {
			if err != nil {
				return nil, err
			}
			continue
		}
		if f.err != nil {
			return nil, fmt.Errorf("file %q: %w", f.name, f.err)
		}
		for _, p := range f.parsed {
			p.file = len(c.files)
			c.documents = append(c.documents, p.document)
			if p.other != nil && p.document.pkg == "" {
				c.Others = append(c.Others, *p.other)
				continue
			}
			pkg := packages[p.document.pkg]
			if pkg == nil {
				pkg = &Package{Name: p.document.pkg}
				packages[pkg.Name] = pkg
			}
			pkg.add(p)
		}
		c.files = append(c.files, f.name)
	}
	for _, pkg := range packages {
		c.Packages = append(c.Packages, *pkg)
	}
	slices.SortFunc(c.Packages, func(a, b Package) int { return strings.Compare(a.Name, b.Name) })
	return c, nil
}

func (p *Package) add(d parsed) {
	if d.broken != "" {
		p.broken = append(p.broken, d.schema+": "+d.broken)
	}
	switch {
	case d.pkg != nil:
		p.described++
		p.DefaultChannel = d.pkg.DefaultChannel
	case d.channel != nil:
		p.Channels = append(p.Channels, *d.channel)
	case d.bundle != nil:
		p.Bundles = append(p.Bundles, *d.bundle)
	case d.deprecations != nil:
		p.deprecationLists++
		p.Deprecations = append(p.Deprecations, *d.deprecations...)
	case d.other != nil:
		p.Others = append(p.Others, *d.other)
	}
}
