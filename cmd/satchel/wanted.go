package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
	"satchel/oci/layout"
	"satchel/oci/ocdir"
	"satchel/oci/registry"
	"satchel/transfer"
	"satchel/transfer/samples"
)

// wantedImages reads what people name on the command line and in files.
type wantedImages struct {
	images   []transfer.Wanted
	releases []transfer.Wanted
	catalogs []transfer.WantedCatalog
	// outputDir is where volumes will be, and what is too large for memory until
	// then; empty when none will be written.
	outputDir string
	// block are the patterns of references to be kept out.
	block []*regexp.Regexp
	// versions are what an update graph says of releases, by digest.
	versions map[digest.Digest]string
	// components are the images of releases and catalogs that were read to be
	// compared with a plan.
	components []transfer.Wanted
	// layouts are the local sources by label, in the order of labels.
	layouts map[string]transfer.Layout
	order   []string
	labels  map[string]string // of layouts, by directory
	tree    *ocdir.Tree       // of --from-dir
	closers []io.Closer
}

func (w *wantedImages) close() {
	for _, c := range w.closers {
		c.Close() // opened for reading
	}
}

// all are the images that a plan of what is wanted has, in its order.
func (w *wantedImages) all() []transfer.Wanted { return slices.Concat(w.components, w.images) }

// addLocal adds a local source.
func (w *wantedImages) addLocal(label string, source transfer.Layout) {
	if w.layouts == nil {
		w.layouts = make(map[string]transfer.Layout)
	}
	w.layouts[label] = source
	w.order = append(w.order, label)
}

// sources returns the layouts as package transfer takes them.
func (w *wantedImages) sources(client *registry.Client) transfer.Sources {
	return transfer.Sources{Registry: client, Referrers: client, Layouts: w.layouts, Derived: transfer.NewDerivations(catalogOptions())}
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

// addSamples reads the ConfigMap of the samples operator.
func (w *wantedImages) addSamples(name string) error {
	data, err := readBounded(name)
	if err != nil {
		return fmt.Errorf("--samples: %w", err)
	}
	s, err := samples.Parse(data)
	if err != nil {
		return usagef("--samples %s: %w", name, err)
	}
	for _, ref := range s.Images() {
		w.images = append(w.images, transfer.Wanted{Name: ref})
	}
	return nil
}

// add reads REF, docker://REF or oci:DIR[:NAME][=REPOSITORY:TAG].
func (w *wantedImages) add(s string) error {
	if spec, ok := strings.CutPrefix(s, "oci:"); ok {
		return w.addLayout(spec)
	}
	if strings.HasPrefix(s, fileTransport) {
		return w.addTagged(s)
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
	if w.labels == nil {
		w.labels = make(map[string]string)
	}
	label := fmt.Sprintf("oci-layout-%d", len(w.labels)+1)
	w.addLocal(label, l)
	w.closers, w.labels[absolute] = append(w.closers, l), label
	return label, nil
}

// addSource reads oci:DIR, a place where local blobs of a plan may be.
func (w *wantedImages) addSource(s string) error {
	dir, ok := strings.CutPrefix(s, "oci:")
	if !ok || dir == "" || strings.ContainsAny(dir, ":=") {
		return usagef("%s: beside a plan only local sources are named, as oci:DIR; the plan names the images", s)
	}
	_, err := w.open(dir)
	return err
}

// sourcesForPlan returns the sources of a plan that was made elsewhere: whatever
// it has from a local source, by a label of then, is looked for by its digest in
// all layouts that are named now.
func (w *wantedImages) sourcesForPlan(client *registry.Client, plan *bundle.Plan) transfer.Sources {
	s := w.sources(client)
	s.Layouts = make(map[string]transfer.Layout)
	var layouts []transfer.Layout
	for _, label := range w.order {
		layouts = append(layouts, w.layouts[label])
	}
	add := func(o bundle.Origin) {
		if o.Local != "" {
			s.Layouts[o.Local] = &planSource{label: o.Local, layouts: layouts}
		}
	}
	for i := range plan.Manifests {
		add(plan.Manifests[i].Origin)
	}
	for i := range plan.Blobs {
		add(plan.Blobs[i].Origin)
		if d := plan.Blobs[i].Origin.Derived; d != nil {
			add(d.Origin())
		}
	}
	return s
}

// planSource is a local source of a plan: all layouts, asked in turn.
type planSource struct {
	label   string
	layouts []transfer.Layout
}

// Resolve implements [transfer.Layout]. With a plan, nothing is resolved.
func (p *planSource) Resolve(_ context.Context, name string) (oci.Descriptor, error) {
	return oci.Descriptor{}, fmt.Errorf("satchel: internal: %s of local source %s is to be resolved, although there is a plan", name, p.label)
}

// Manifest implements [transfer.Layout].
func (p *planSource) Manifest(ctx context.Context, d oci.Descriptor) (content []byte, err error) {
	err = p.first(d, func(l transfer.Layout) error {
		content, err = l.Manifest(ctx, d)
		return err
	})
	return content, err
}

// Blob implements [transfer.Layout].
func (p *planSource) Blob(ctx context.Context, d oci.Descriptor, offset, length int64) (r io.ReadCloser, ranged bool, err error) {
	err = p.first(d, func(l transfer.Layout) error {
		r, ranged, err = l.Blob(ctx, d, offset, length)
		return err
	})
	return r, ranged, err
}

// first asks the layouts until one has d. A broken copy in one of them says more
// than its absence from the others.
func (p *planSource) first(d oci.Descriptor, ask func(transfer.Layout) error) error {
	var broken error
	for _, l := range p.layouts {
		err := ask(l)
		if err == nil {
			return nil
		}
		if broken == nil && !errors.Is(err, fs.ErrNotExist) {
			broken = err
		}
	}
	if broken != nil {
		return fmt.Errorf("local source %s: %w", p.label, broken)
	}
	return fmt.Errorf("local source %s: %s is in none of the layouts that are named, %d: %w", p.label, d.Digest, len(p.layouts), fs.ErrNotExist)
}
