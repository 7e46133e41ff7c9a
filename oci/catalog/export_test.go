package catalog

import (
	"context"
)

// Inlined takes the mark of a bundle that has manifests of its own.
func Inlined(b *Bundle) (was bool) {
	was, b.inlined = b.inlined, false
	return was
}

// DocumentsIn is Documents with another bound of memory, in bytes.
func (s *Selection) DocumentsIn(ctx context.Context, source Source, memory int, visit func(Document) error) error {
	return s.documents(ctx, source, memory, visit)
}

// Ignored tells whether patterns in a directory exclude a file.
func Ignored(directory, patterns, name string) bool {
	m := &matcher{ignores: []ignore{parseIgnore(directory, patterns)}}
	excluded, err := m.ignored(name)
	return excluded && err == nil
}

// ReadWithin is Read with other bounds: of what is kept, of a document and of the
// catalog, in bytes.
func ReadWithin(ctx context.Context, source Source, kept, document, catalog int) (*Catalog, error) {
	r := newReader(ctx)
	r.parser.left, r.most, r.splitter.left = kept, document, int64(catalog)
	return r.read(source)
}
