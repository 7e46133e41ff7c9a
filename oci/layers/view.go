package layers

import (
	"archive/tar"
	"slices"
	"strings"
)

// view is what a stack of layers, of which the upper ones are added first, shows
// at a directory, below it and on the way to it.
type view struct {
	root  string // a path without links; "" is the root of the image
	shown map[string]place
	// removed are the paths, and emptied the directories, that a layer added so
	// far hides of those below it. Both hide whatever is deeper.
	removed, emptied map[string]bool
}

func newView(root string) *view {
	return &view{root: root, shown: make(map[string]place), removed: make(map[string]bool), emptied: make(map[string]bool)}
}

// below reports whether the path is one of those that the view is for.
func (v *view) below(name string) bool {
	return v.root == "" || len(name) > len(v.root) && name[len(v.root)] == '/' && strings.HasPrefix(name, v.root)
}

// concerns reports whether the path is the root of the view, below it or above.
func (v *view) concerns(name string) bool {
	return v.below(name) || name == v.root || name == "" || strings.HasPrefix(v.root, name+"/")
}

// covers reports whether the layers below those added show nothing in the
// directory.
func (v *view) covers(dir string) bool {
	return v.coversBelow(dir, make(map[string]bool))
}

// coversBelow remembers in known what it was asked, so that deep directories cost
// no more than their names.
func (v *view) coversBelow(dir string, known map[string]bool) bool {
	if dir == "" {
		return v.emptied[""]
	}
	covered, ok := known[dir]
	if !ok {
		parent, _ := split(dir)
		covered = v.removed[dir] || v.emptied[dir] || v.coversBelow(parent, known)
		known[dir] = covered
	}
	return covered
}

// add takes the names of layer k, which is the next below those added. It returns
// false, and the path, when the layer says two things of one that shows.
func (v *view) add(k int, l *listing) (bad string, ok bool) {
	var names []string
	for name := range l.nodes {
		if v.concerns(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	known := make(map[string]bool)
	var blocking []string // no directories: they hide those of the layers below
	for _, name := range names {
		dir, _ := split(name)
		if v.removed[name] || v.coversBelow(dir, known) {
			continue
		}
		above, has := v.shown[name]
		if has && above.typ != tar.TypeDir {
			continue
		}
		n := l.nodes[name]
		if n.twice {
			return name, false
		}
		if n.typ != tar.TypeDir {
			blocking = append(blocking, name)
		}
		if !has {
			v.shown[name] = place{k, n.typ}
		}
	}
	// What a layer hides, it hides of those below it and not of itself.
	for _, name := range blocking {
		v.emptied[name] = true
	}
	for name := range l.hidden {
		if v.concerns(name) {
			v.removed[name] = true
		}
	}
	for name := range l.opaque {
		if v.concerns(name) {
			v.emptied[name] = true
		}
	}
	return "", true
}
