package extract

import (
	"fmt"
	"io"
	"io/fs"

	"satchel/oci/layers"
)

// program is a target that is being written.
type program struct {
	target
	// name is that of the file; packed says that it is a pack.
	name   string
	packed bool
	marks  []mark
	// missing are the marks that the program has no place for.
	missing []mark
}

// programs prepares targets. All values are known to fit then.
func (x *extraction) programs(chosen []target, pullspec string, packed bool) ([]*program, error) {
	values := map[markKind]string{
		markLocation: pullspec, markVersion: x.release.Payload.Version, markArchitecture: x.platforms(),
	}
	var all []*program
	for _, t := range chosen {
		p := &program{target: t, name: t.fileName(), packed: packed}
		if packed {
			p.name = fmt.Sprintf(t.pack, x.release.Payload.Version)
		}
		if err := checkName(p.name); err != nil {
			return nil, err
		}
		for _, kind := range t.marks {
			m, err := newMark(kind, values[kind])
			if err != nil {
				return nil, err
			}
			p.marks = append(p.marks, m)
		}
		all = append(all, p)
	}
	return all, nil
}

// take writes the program, or the pack with it, to a part.
func (x *extraction) take(p *program, e layers.Entry, r io.Reader) (*part, error) {
	if e.Size > MaxProgram {
		return nil, fmt.Errorf("%d bytes are more than %d: %w", e.Size, int64(MaxProgram), layers.ErrLimit)
	}
	mode := fs.FileMode(0o755)
	if p.packed {
		mode = 0o644
	}
	out, err := newPart(x.options.Dir, p.name, mode)
	if err != nil {
		return nil, err
	}
	if err = x.fill(out, p, e.Size, r); err == nil {
		err = out.close(true)
	}
	if err != nil {
		out.discard()
		return nil, err
	}
	return out, nil
}

// fill writes a program of size bytes.
func (x *extraction) fill(out io.Writer, p *program, size int64, r io.Reader) error {
	content := func(w io.Writer) error {
		counted := &counter{r: r}
		missing, err := copyMarked(w, counted, p.marks, x.buffer)
		if err == nil && counted.n != size {
			err = fmt.Errorf("got %d of %d bytes", counted.n, size)
		}
		p.missing = missing
		return err
	}
	switch {
	case !p.packed:
		return content(out)
	case p.os == "windows":
		return packZip(out, p.target, content)
	}
	return packTar(out, p.target, size, content)
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// accept gives the program its name, and says what is to be said of it.
func (x *extraction) accept(p *program, out *part) error {
	if err := out.commit(); err != nil {
		return err
	}
	x.note(out.done)
	for _, m := range p.missing {
		x.result.Warnings = append(x.result.Warnings, fmt.Sprintf(
			"%s: there is no place for the %s in it: it is as it was built", p.name, m.what))
	}
	if p.signed() && len(p.missing) < len(p.marks) {
		x.result.Warnings = append(x.result.Warnings, fmt.Sprintf(
			"%s: its code signature is broken by what was embedded: sign %s again on the Mac (codesign --force --sign -), which does not start it otherwise",
			p.name, p.as))
	}
	return nil
}
