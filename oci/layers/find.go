package layers

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"satchel/oci"
)

// Find hands the content of the file at name to the function to, at most once.
// layers are those of the manifest, the bottom one first; name is a clean path
// as Entry.Name is. Layers are read from the top one down, no further than
// needed, and not twice unless a link leads back into one. Whiteouts hide what
// is below, a directory hides a link below it, and links of both kinds are
// followed within the image, at most [MaxLinks]; the Entry given to the function
// is the one at the end of the links.
//
// Content is handed out before the end of its layer is verified: the caller must
// throw it away when Find fails. The error is fs.ErrNotExist when no layer has
// the file, and fs.ErrInvalid when it is none (a directory, a device), when a
// layer says two things of it, or when name is not clean. Calls may run
// concurrently.
func Find(ctx context.Context, open Open, layers []oci.Descriptor, name string, to func(e Entry, r io.Reader) error) error {
	return NewTree(open, layers).Find(ctx, name, to)
}

// Tree finds several files of one image, or walks through them, and remembers the
// names of the layers that it has read. It is not for concurrent use.
type Tree struct {
	open     Open
	layers   []oci.Descriptor // bottom first
	listings []*listing       // of the layers that were read to their end
	left     int              // of MaxListing, in bytes
}

// NewTree returns a tree over the layers of a manifest, the bottom one first.
// Nothing is read yet.
func NewTree(open Open, layers []oci.Descriptor) *Tree {
	return &Tree{open: open, layers: slices.Clone(layers), listings: make([]*listing, len(layers)), left: MaxListing}
}

// Find is [Find] on the tree.
func (t *Tree) Find(ctx context.Context, name string, to func(e Entry, r io.Reader) error) error {
	fail := func(err error) error { return fmt.Errorf("file %q: %w", name, err) }
	if !fs.ValidPath(name) || name == "." || len(name) > MaxName {
		return fail(fs.ErrInvalid)
	}
	_, err := t.chase(name, func(want string, top int) (*hop, error) {
		return t.look(ctx, want, top, to)
	})
	if err != nil {
		return fail(err)
	}
	return nil
}

// chase calls step with name and with whatever links lead to, until there is no
// further link, and returns where that was.
func (t *Tree) chase(name string, step func(want string, top int) (*hop, error)) (string, error) {
	want, top := name, len(t.layers)-1
	for range MaxLinks + 1 {
		next, err := step(want, top)
		if next == nil || err != nil {
			return want, err
		}
		want, top = next.name, next.top
		if !fs.ValidPath(want) || want == "." || len(want) > MaxName {
			return "", fmt.Errorf("a link leads to %.80q: %w", want, fs.ErrInvalid)
		}
	}
	return "", fmt.Errorf("more than %d links: %w", MaxLinks, ErrLimit)
}

// hop is where a link leads: a name, sought from the layer top downwards.
type hop struct {
	name string
	top  int
}

// look seeks a path from the layer top downwards. It returns where a link leads,
// or nil when the content was handed out.
func (t *Tree) look(ctx context.Context, want string, top int, to func(Entry, io.Reader) error) (*hop, error) {
	given := false
	at, next, err := t.locate(want, top, func(k int) (err error) {
		given, err = t.list(ctx, k, want, to)
		return err
	})
	switch {
	case err != nil || next != nil:
		return next, err
	case at.typ != tar.TypeReg:
		return nil, noRegular(want)
	case given:
		return nil, nil
	}
	return nil, t.give(ctx, at.layer, want, to)
}

// place is where a path stands that is no link.
type place struct {
	layer int
	typ   byte
}

// locate seeks a path from the layer top downwards and has layers listed whose
// names are not known yet. It returns where the path stands, or where a link
// leads.
func (t *Tree) locate(want string, top int, list func(k int) error) (place, *hop, error) {
	// directories are those before want that a layer above has: what is no
	// directory below them is hidden, and hides what is still deeper.
	directories := make(map[string]bool)
	for k := top; k >= 0; k-- {
		if t.listings[k] == nil {
			if err := list(k); err != nil {
				return place{}, nil, err
			}
		}
		l := t.listings[k]
		for end := range len(want) {
			if want[end] != '/' {
				continue
			}
			dir := want[:end]
			n, ok := l.nodes[dir]
			if !ok {
				break
			}
			switch {
			case n.twice:
				return place{}, nil, t.twice(k, dir)
			case n.typ == tar.TypeDir:
				directories[dir] = true
			case n.typ == tar.TypeSymlink && !directories[dir]:
				name, err := follow(dir, n.link)
				return place{}, &hop{path.Join(name, want[end+1:]), len(t.layers) - 1}, err
			case n.typ == tar.TypeLink && !directories[dir]:
				return place{}, &hop{path.Join(n.link, want[end+1:]), k}, nil
			default:
				return place{}, nil, fs.ErrNotExist
			}
		}
		if n, ok := l.nodes[want]; ok {
			switch {
			case n.twice:
				return place{}, nil, t.twice(k, want)
			case n.typ == tar.TypeLink:
				return place{}, &hop{n.link, k}, nil
			case n.typ == tar.TypeSymlink:
				name, err := follow(want, n.link)
				return place{}, &hop{name, len(t.layers) - 1}, err
			}
			return place{k, n.typ}, nil, nil
		}
		if l.hides(want) {
			return place{}, nil, fs.ErrNotExist
		}
	}
	return place{}, nil, fs.ErrNotExist
}

func noRegular(name string) error {
	return fmt.Errorf("%q is no regular file: %w", name, fs.ErrInvalid)
}

func (t *Tree) twice(k int, name string) error {
	return fmt.Errorf("layer %s says two things of %q: %w", t.layers[k].Digest, name, fs.ErrInvalid)
}

// list reads layer k for its names and hands out want on the way, so that most
// files need one reading. It reports whether it did.
func (t *Tree) list(ctx context.Context, k int, want string, to func(Entry, io.Reader) error) (given bool, err error) {
	l, left := newListing(), t.left
	err = Walk(ctx, t.open, t.layers[k], func(e Entry, r io.Reader) error {
		cost, err := l.add(e)
		if err != nil {
			return err
		}
		if left -= cost; left < 0 {
			return fmt.Errorf("names of more than %d bytes: %w", MaxListing, ErrLimit)
		}
		if e.Name != want || e.Type != tar.TypeReg || given {
			return nil
		}
		given = true
		return to(e, r)
	})
	if err != nil {
		return false, err
	}
	t.listings[k], t.left = l, left
	return given, nil
}

// give reads layer k again for a file that its listing has once.
func (t *Tree) give(ctx context.Context, k int, want string, to func(Entry, io.Reader) error) error {
	given := false
	err := Walk(ctx, t.open, t.layers[k], func(e Entry, r io.Reader) error {
		if e.Name != want || e.Type != tar.TypeReg || given {
			return nil
		}
		given = true
		return to(e, r)
	})
	if err == nil && !given {
		return errChanged
	}
	return err
}

// errChanged is for what SHA-256 forbids.
var errChanged = errors.New("layer has changed since it was read")

// follow returns where a symbolic link at name leads, within the image: ".."
// ends at its root. The directories of name are no links, but those in the link
// may be; a ".." after them cannot be told from its text and is refused.
func follow(name, link string) (string, error) {
	dir, _ := split(name)
	climb := true
	for element := range strings.SplitSeq(link, "/") {
		switch element {
		case "", ".":
		case "..":
			if !climb {
				return "", fmt.Errorf("%q: link to %.80q is not followed: %w", name, link, fs.ErrInvalid)
			}
		default:
			climb = false
		}
	}
	if path.IsAbs(link) {
		return strings.TrimPrefix(path.Clean(link), "/"), nil
	}
	return strings.TrimPrefix(path.Join("/", dir, link), "/"), nil
}
