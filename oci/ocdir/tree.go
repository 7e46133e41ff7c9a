package ocdir

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
)

// Limits on what a tree may hold.
const (
	// maxEntries bounds what is looked at in one directory, and the directories
	// and files that a walk through all repositories looks at.
	maxEntries = 1_000_000
	// batch is how many entries of a directory are read at once.
	batch = 1024
)

// Tree is an open directory that oc wrote. Its methods may be called
// concurrently; none writes. The caller closes it.
type Tree struct {
	dir  string
	root *os.Root
}

// Open opens the directory that oc was given as --to-dir or --dir, the one that
// has v2 in it. The caller closes the tree.
func Open(dir string) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("tree %s: %w", dir, cause(err))
	}
	t := &Tree{dir: dir, root: root}
	info, err := root.Stat("v2")
	switch {
	case err == nil && info.IsDir():
		return t, nil
	case err == nil:
		err = fmt.Errorf("v2 is not a directory but %s", kind(info.Mode()))
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("there is no directory v2 in it: what oc mirrors to files is in v2/REPOSITORY/manifests and v2/REPOSITORY/blobs: %w", cause(err))
		if absolute, e := filepath.Abs(dir); e == nil && filepath.Base(absolute) == "v2" {
			err = fmt.Errorf("it is the directory v2, and not the one that has it: %w", fs.ErrNotExist)
		}
	default:
		err = t.explain("v2", err)
	}
	root.Close() // opened for reading
	return nil, fmt.Errorf("tree %s: %w", dir, err)
}

// Close releases the directory. Readers that [Repository.Blob] returned stay
// usable.
func (t *Tree) Close() error {
	return t.root.Close()
}

// openFile opens a regular file of the tree and returns its size in bytes. Its
// errors name the file.
func (t *Tree) openFile(name string) (*os.File, int64, error) {
	// Looked at before it is opened: opening a device may do something.
	info, err := t.root.Stat(name)
	if err != nil {
		return nil, 0, t.explain(name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s: not a regular file but %s", name, kind(info.Mode()))
	}
	file, err := t.root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return nil, 0, t.explain(name, err)
	}
	if info, err = file.Stat(); err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("not a regular file but %s", kind(info.Mode()))
	}
	if err != nil {
		file.Close()
		return nil, 0, fmt.Errorf("%s: %w", name, cause(err))
	}
	return file, info.Size(), nil
}

// readFile reads a regular file of at most limit bytes.
func (t *Tree) readFile(name string, limit int64) ([]byte, error) {
	file, size, err := t.openFile(name)
	if err != nil {
		return nil, err
	}
	defer file.Close() // opened for reading
	if size > limit {
		return nil, fmt.Errorf("%s: %d bytes are more than %d", name, size, limit)
	}
	content, err := io.ReadAll(io.LimitReader(file, limit))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, cause(err))
	}
	return content, nil
}

// each calls visit for the entries of a directory, in no order. Their Info must
// not be asked for: it is not bound to the tree.
func (t *Tree) each(name string, visit func(fs.DirEntry) error) error {
	info, err := t.root.Stat(name)
	if err != nil {
		return t.explain(name, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s: not a directory but %s", name, kind(info.Mode()))
	}
	dir, err := t.root.OpenFile(name, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return t.explain(name, err)
	}
	defer dir.Close() // opened for reading
	for n := 0; ; {
		entries, err := dir.ReadDir(batch)
		for _, e := range entries {
			if n++; n > maxEntries {
				return fmt.Errorf("%s: more than %d files", name, maxEntries)
			}
			if err := visit(e); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, cause(err))
		}
	}
}

// explain names, beside what could not be opened, the link that is to blame.
func (t *Tree) explain(name string, err error) error {
	err = cause(err)
	for end := 0; end < len(name); end++ {
		next := strings.IndexByte(name[end:], '/')
		if next < 0 {
			next = len(name) - end
		}
		end += next
		part := name[:end]
		info, e := t.root.Lstat(part)
		if e != nil {
			break
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			continue
		}
		if _, e := t.root.Stat(part); e != nil {
			target, _ := t.root.Readlink(part) // only for the message
			return fmt.Errorf("%s is a link to %.200q: %w", part, target, err)
		}
	}
	return fmt.Errorf("%s: %w", name, err)
}

// cause drops operation and path, which the errors of this package say better.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "a regular file"
	case m.IsDir():
		return "a directory"
	case m&fs.ModeSymlink != 0:
		return "a link"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return m.Type().String()
}

// printable returns a name from a directory so that it does no harm in a message.
func printable(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) }) {
		return strconv.QuoteToASCII(name)
	}
	return name
}

func repositoryPath(repository string, parts ...string) string {
	return path.Join("v2", repository, path.Join(parts...))
}
