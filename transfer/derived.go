package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
	"satchel/oci/catalog"
)

// Derivations makes the content that plans say how to make, and keeps what was
// made once. It is safe for concurrent use. A nil one makes nothing.
type Derivations struct {
	options CatalogOptions

	mu       sync.Mutex
	contents map[digest.Digest][]byte
}

// NewDerivations returns one that makes catalogs. Of the options, Platforms has no
// meaning here.
func NewDerivations(o CatalogOptions) *Derivations {
	o.Platforms = nil
	return &Derivations{options: o, contents: make(map[digest.Digest][]byte)}
}

// ErrOtherMaker is returned for content that another version of satchel made: this
// one would make other bytes.
var ErrOtherMaker = errors.New("another version of satchel made it, and only that makes the same bytes")

// errNotDerivable is returned where nobody makes content.
var errNotDerivable = errors.New("nothing here makes content anew")

// keep keeps content that was made while a plan was.
func (v *Derivations) keep(d digest.Digest, content []byte) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.contents[d] = content
}

// content returns the content of a derived blob, and makes it if need be. Whoever
// asks while it is made waits.
func (v *Derivations) content(ctx context.Context, sources Sources, b *bundle.Blob) ([]byte, error) {
	if v == nil {
		return nil, errNotDerivable
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if content, ok := v.contents[b.Digest]; ok {
		return content, nil
	}
	d := b.Origin.Derived
	if d.By != v.options.maker() {
		return nil, fmt.Errorf("%w: it is %q, and this one is %q", ErrOtherMaker, d.By, v.options.maker())
	}
	content, err := v.make(ctx, sources, d)
	if err == nil {
		err = oci.Verify(content, b.Descriptor())
	}
	if err != nil {
		return nil, fmt.Errorf("made of %s in %s: %w", d.From.Digest, originName(d.Origin()), err)
	}
	v.contents[b.Digest] = content
	return content, nil
}

// make makes the layer of a catalog again.
func (v *Derivations) make(ctx context.Context, sources Sources, d *bundle.Derived) ([]byte, error) {
	var request catalog.Request
	recipe := json.NewDecoder(strings.NewReader(d.Recipe))
	recipe.DisallowUnknownFields()
	if err := recipe.Decode(&request); err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	if err := request.Check(); err != nil {
		return nil, fmt.Errorf("recipe: %w", err)
	}
	sources.Derived = nil // this one is locked
	original := Wanted{Name: oci.Reference{Repository: d.Repository, Digest: d.From.Digest}, Root: d.From.Digest, Local: d.Local}
	r := newCatalogReader(sources, WantedCatalog{Wanted: original, Request: request}, v.options)
	r.img.root = d.From.Descriptor() // which a plan pinned
	if err := r.readFrom(ctx); err != nil {
		return nil, err
	}
	made := r.catalog.Image.Made
	if made == nil {
		return nil, errors.New("nothing is left out of it")
	}
	for layer := range made.Derived {
		return made.Contents[layer], nil
	}
	return nil, errors.New("it is smaller than what is derived")
}
