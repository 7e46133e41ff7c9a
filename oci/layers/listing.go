package layers

import (
	"archive/tar"
	"fmt"
	"path"
	"strings"
)

const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// listingCost is what a name costs in memory beside its own bytes, roughly.
const listingCost = 128

// listing is what one layer says of its paths.
type listing struct {
	nodes map[string]node
	// hidden are the paths that the layer removes from those below it, and
	// opaque the directories of which it removes all ("" is the root).
	hidden, opaque map[string]bool
}

type node struct {
	typ  byte
	link string
	// twice: the layer says two things of the path; unpackers would differ.
	twice bool
}

func newListing() *listing {
	return &listing{nodes: make(map[string]node), hidden: make(map[string]bool), opaque: make(map[string]bool)}
}

// add takes one entry and returns what it costs in bytes.
func (l *listing) add(e Entry) (cost int, err error) {
	dir, base := split(e.Name)
	switch {
	case base == whiteoutOpaque:
		l.opaque[dir] = true
	case strings.HasPrefix(base, whiteoutPrefix):
		hidden := base[len(whiteoutPrefix):]
		if hidden == "" || hidden == "." || hidden == ".." {
			return 0, fmt.Errorf("%q is no whiteout: %w", e.Name, ErrName)
		}
		l.hidden[path.Join(dir, hidden)] = true
	default:
		old, ok := l.nodes[e.Name]
		l.nodes[e.Name] = node{typ: e.Type, link: e.Link, twice: ok && (old.twice || old.typ != tar.TypeDir || e.Type != tar.TypeDir)}
	}
	cost = len(e.Name) + len(e.Link) + listingCost
	for dir != "" {
		parent, ok := l.nodes[dir]
		if ok && (parent.typ == tar.TypeDir || parent.twice) {
			break
		}
		l.nodes[dir] = node{typ: tar.TypeDir, twice: ok}
		cost += listingCost
		dir, _ = split(dir)
	}
	return cost, nil
}

// hides reports whether the layer removes the path, whose elements end at ends,
// from the layers below it.
func (l *listing) hides(name string) bool {
	for end := 0; end <= len(name); end++ {
		switch {
		case end == 0:
			if l.opaque[""] {
				return true
			}
		case end == len(name):
			if l.hidden[name] {
				return true
			}
		case name[end] == '/':
			if l.hidden[name[:end]] || l.opaque[name[:end]] {
				return true
			}
		}
	}
	return false
}

// split cuts a clean path before its last element.
func split(name string) (dir, base string) {
	i := strings.LastIndexByte(name, '/')
	return name[:max(i, 0)], name[i+1:]
}
