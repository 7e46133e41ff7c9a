package extract

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"path"
	"slices"

	"satchel/oci/layers"
)

// want is a file that is sought in an image.
type want struct {
	path string
	// take writes the content; it is called again if what came of the first
	// was no good.
	take func(e layers.Entry, r io.Reader) (*part, error)
	// accept is called when the part is good, absent when the image does not
	// have the file.
	accept func(*part) error
	absent func()
	part   *part
	// odd: the layers say more of the path than a regular file.
	odd bool
}

func (w *want) discard() {
	if w.part != nil {
		w.part.discard()
		w.part = nil
	}
}

// gather finds all wanted files of an image in one reading of each layer that is
// needed, from the top one down. That does for files that are what they seem;
// where there are links, whiteouts or repetitions on the way, [layers.Tree] tells
// what they come to, and reads again.
func gather(ctx context.Context, img *image, wants []*want) error {
	defer func() {
		for _, w := range wants {
			w.discard()
		}
	}()
	names := namesOf(wants)
	open := slices.Clone(wants)
	var odd []*want
	all := img.layers()
	for k := len(all) - 1; k >= 0 && len(open) > 0; k-- {
		err := layers.Walk(ctx, img.open, all[k], func(e layers.Entry, r io.Reader) error {
			for _, w := range names[e.Name] {
				if err := w.see(e, r, open); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		var left []*want
		for _, w := range open {
			switch {
			case w.odd:
				odd = append(odd, w)
			case w.part != nil:
				if err := w.keep(); err != nil {
					return err
				}
			default:
				left = append(left, w)
			}
		}
		open = left
	}
	for _, w := range open {
		w.absent()
	}
	tree := layers.NewTree(img.open, all)
	for _, w := range odd {
		if err := w.find(ctx, tree); err != nil {
			return err
		}
	}
	return nil
}

// namesOf returns for each name of a layer that matters the files for which it
// does: their paths, the directories above, and the whiteouts of both.
func namesOf(wants []*want) map[string][]*want {
	names := make(map[string][]*want)
	for _, w := range wants {
		for name := w.path; name != "."; name = path.Dir(name) {
			dir := path.Dir(name)
			for _, n := range []string{name, path.Join(dir, ".wh."+path.Base(name)), path.Join(dir, ".wh..wh..opq")} {
				names[n] = append(names[n], w)
			}
		}
	}
	return names
}

// see takes notice of an entry that concerns the file, if that is still open.
func (w *want) see(e layers.Entry, r io.Reader, open []*want) error {
	if w.odd || !slices.Contains(open, w) {
		return nil
	}
	switch {
	case e.Name == w.path && e.Type == tar.TypeReg && w.part == nil:
		var err error
		w.part, err = w.take(e, r)
		return err
	case e.Name != w.path && e.Type == tar.TypeDir:
		return nil
	}
	w.discard()
	w.odd = true
	return nil
}

// keep accepts the part: its layer was verified.
func (w *want) keep() error {
	p := w.part
	w.part = nil
	if err := w.accept(p); err != nil {
		p.discard()
		return err
	}
	return nil
}

// find gets an odd file.
func (w *want) find(ctx context.Context, tree *layers.Tree) error {
	err := tree.Find(ctx, w.path, func(e layers.Entry, r io.Reader) error {
		if w.part != nil {
			return errors.New("content was given twice")
		}
		var err error
		w.part, err = w.take(e, r)
		return err
	})
	switch {
	case err == nil:
		return w.keep()
	case isAbsent(err):
		w.absent()
		return nil
	}
	return err
}
