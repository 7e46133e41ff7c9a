package layers

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// maxLookups bounds the lookups of names by which one walk follows links: of an
// image of 20 layers it follows some 60,000.
const maxLookups = 5_000_000

// Walk calls visit once for every regular file below the directory prefix, a
// clean path as Entry.Name is or "." for the whole image, as the top-most layer
// shows it: without what whiteouts, opaque directories and replacements hide. No
// content is kept. A layer is read at most twice and verified to its end each
// time: for its names, unless the tree knows them, and for content, if it has
// some to give. Layers below one that hides prefix are not read.
//
// Links of both kinds are followed as [Tree.Find] follows them, within the whole
// image. A file has as many names as lead to it, and visit is called for each:
// its Entry has that name, below prefix even where prefix itself is a link, and
// otherwise what the file at the end of the links has. To give its content
// several times, that of such a file is held in memory during its visits, see
// [MaxShared]. A link to nothing or to something else than a regular file, a
// directory included, is an error that wraps fs.ErrInvalid; devices, sockets and
// named pipes are left out.
//
// Files come in the order of the layers, the bottom one first, and within a
// layer in its own order; names of one file are sorted. r is valid during visit
// only and need not be read. What visit saw is verified when Walk returns nil,
// and not before. The error is fs.ErrNotExist when the image has no such
// directory, and fs.ErrInvalid when prefix is none, is not clean, or when a layer
// says two things of a path that shows. An error of visit ends the walk and is
// wrapped.
func (t *Tree) Walk(ctx context.Context, prefix string, visit func(e Entry, r io.Reader) error) error {
	if err := t.walk(ctx, prefix, visit); err != nil {
		return fmt.Errorf("files below %q: %w", prefix, err)
	}
	return nil
}

func (t *Tree) walk(ctx context.Context, prefix string, visit func(Entry, io.Reader) error) error {
	if !fs.ValidPath(prefix) || len(prefix) > MaxName {
		return fs.ErrInvalid
	}
	c := &chaser{tree: t, left: maxLookups}
	c.list = func(k int) error {
		_, c.failed = t.list(ctx, k, "", nil)
		return c.failed
	}
	root := ""
	if prefix != "." {
		name, at, err := c.chase(prefix)
		switch {
		case err != nil:
			return err
		case at.typ != tar.TypeDir:
			return fmt.Errorf("%q is no directory: %w", name, fs.ErrInvalid)
		case c.top != len(t.layers)-1:
			return fmt.Errorf("%q is a directory with a hard link: %w", name, fs.ErrInvalid)
		}
		root = name
	}
	v := newView(root)
	for k := len(t.layers) - 1; k >= 0 && !v.covers(root); k-- {
		if t.listings[k] == nil {
			if err := c.list(k); err != nil {
				return err
			}
		}
		if bad, ok := v.add(k, t.listings[k]); !ok {
			return t.twice(k, bad)
		}
	}
	wanted, err := c.sources(v, prefix)
	if err != nil {
		return err
	}
	for k, files := range wanted {
		if len(files) == 0 {
			continue
		}
		if err := t.giveAll(ctx, k, files, visit); err != nil {
			return err
		}
	}
	return nil
}

// chaser follows links without content.
type chaser struct {
	tree   *Tree
	list   func(k int) error
	failed error // of list
	left   int   // of maxLookups
	top    int   // of the last hop: a hard link sees no layers above its own
}

// chase returns the path at the end of the links that name leads to, and where
// it stands. It fails with fs.ErrNotExist if there is none.
func (c *chaser) chase(name string) (end string, at place, err error) {
	end, err = c.tree.chase(name, func(want string, top int) (next *hop, err error) {
		if c.left -= (top + 1) * (1 + strings.Count(want, "/")); c.left < 0 {
			return nil, fmt.Errorf("links that need more than %d lookups: %w", maxLookups, ErrLimit)
		}
		c.top = top
		at, next, err = c.tree.locate(want, top, c.list)
		return next, err
	})
	return end, at, err
}

// sources returns the files to read of each layer, with the names below prefix
// that each is to be visited by.
func (c *chaser) sources(v *view, prefix string) ([]map[string][]string, error) {
	wanted := make([]map[string][]string, len(c.tree.layers))
	for _, name := range slices.Sorted(maps.Keys(v.shown)) {
		source, at := name, v.shown[name]
		if !v.below(name) {
			continue
		}
		switch at.typ {
		case tar.TypeReg:
		case tar.TypeLink, tar.TypeSymlink:
			var err error
			source, at, err = c.chase(name)
			switch {
			case c.failed != nil:
				return nil, c.failed
			case errors.Is(err, fs.ErrNotExist): // which is for the directory alone
				return nil, fmt.Errorf("%q: link to nothing: %w", name, fs.ErrInvalid)
			case err != nil:
				return nil, fmt.Errorf("%q: %w", name, err)
			case at.typ != tar.TypeReg:
				return nil, fmt.Errorf("%q: link: %w", name, noRegular(source))
			}
		default:
			continue
		}
		if v.root != "" && v.root != prefix {
			name = prefix + name[len(v.root):]
		}
		if wanted[at.layer] == nil {
			wanted[at.layer] = make(map[string][]string)
		}
		wanted[at.layer][source] = append(wanted[at.layer][source], name)
	}
	return wanted, nil
}

// giveAll reads layer k for files, which its listing has once each.
func (t *Tree) giveAll(ctx context.Context, k int, files map[string][]string, visit func(Entry, io.Reader) error) error {
	given := 0
	err := Walk(ctx, t.open, t.layers[k], func(e Entry, r io.Reader) error {
		names := files[e.Name]
		if e.Type != tar.TypeReg || len(names) == 0 {
			return nil
		}
		given++
		if len(names) == 1 {
			e.Name = names[0]
			return visit(e, r)
		}
		return share(e, r, names, visit)
	})
	if err == nil && given != len(files) {
		return errChanged
	}
	return err
}

// share visits one file by several names.
func share(e Entry, r io.Reader, names []string, visit func(Entry, io.Reader) error) error {
	if e.Size > MaxShared/int64(len(names)) {
		return fmt.Errorf("%d bytes with %d names are more than %d bytes: %w", e.Size, len(names), MaxShared, ErrLimit)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	for _, name := range names {
		e.Name = name
		if err := visit(e, bytes.NewReader(content)); err != nil {
			return fmt.Errorf("as %q: %w", name, err)
		}
	}
	return nil
}
