package extract

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"
)

// partSuffix marks files that are being written.
const partSuffix = ".part"

// writeError is an error of the directory, not one of what is read.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// part is a file under the name NAME.part until it is committed. Its user
// commits or discards it.
type part struct {
	root *os.Root
	file *os.File // nil when it is closed
	hash hash.Hash
	done File
}

// newPart creates NAME.part. One that is there already, whatever it is, is left
// alone: another run may be writing it.
func newPart(root *os.Root, name string, mode fs.FileMode) (*part, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	f, err := root.OpenFile(name+partSuffix, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil, &writeError{fmt.Errorf("%s is there already: another run writes it, or one was cut off and it must be removed: %w",
			name+partSuffix, fs.ErrExist)}
	}
	if err != nil {
		return nil, &writeError{err}
	}
	return &part{root: root, file: f, hash: sha256.New(), done: File{Name: name}}, nil
}

// Write implements [io.Writer].
func (p *part) Write(b []byte) (int, error) {
	n, err := p.file.Write(b)
	p.hash.Write(b[:n])
	p.done.Size += int64(n)
	return n, err
}

// close ends writing. With sync, what was written is on the disk then, and a
// file that has its final name has its content after a power cut too.
func (p *part) close(sync bool) error {
	var err error
	if sync {
		err = p.file.Sync()
	}
	if closed := p.file.Close(); err == nil {
		err = closed
	}
	p.file = nil
	p.done.Digest = digest.NewDigest(digest.SHA256, p.hash)
	if err != nil {
		return &writeError{err}
	}
	return nil
}

// commit gives a closed part its final name. What had that name is replaced, a
// link itself and not what it leads to.
func (p *part) commit() error {
	if err := p.root.Rename(p.done.Name+partSuffix, p.done.Name); err != nil {
		return &writeError{err}
	}
	return nil
}

// discard removes the part.
func (p *part) discard() {
	if p.file != nil {
		p.file.Close() // it is thrown away
	}
	p.root.Remove(p.done.Name + partSuffix) // nothing better can be done
}

// batch is several parts that get their names together.
type batch struct {
	parts []*part
	names map[string]bool
}

// discard removes all parts that were not committed.
func (b *batch) discard() {
	for _, p := range b.parts {
		p.discard()
	}
	b.parts = nil
}

// write makes a part of content that is small.
func (x *extraction) write(b *batch, name string, content []byte) error {
	if b.names[name] {
		return fmt.Errorf("%q would be written twice", name)
	}
	p, err := newPart(x.options.Dir, name, 0o644)
	if err != nil {
		return err
	}
	if b.names == nil {
		b.names = make(map[string]bool)
	}
	b.names[name] = true
	b.parts = append(b.parts, p)
	if _, err := p.Write(content); err != nil {
		return &writeError{err}
	}
	return p.close(false) // hundreds of files; they are quickly written again
}

// commit commits all parts and notes them in the result.
func (x *extraction) commit(b *batch) error {
	for len(b.parts) > 0 {
		if err := b.parts[0].commit(); err != nil {
			return err
		}
		x.note(b.parts[0].done)
		b.parts = b.parts[1:]
	}
	return nil
}

func (x *extraction) note(f File) {
	x.result.Files = append(x.result.Files, f)
	if x.options.Progress != nil {
		x.options.Progress(f.Name, f.Size)
	}
}

// maxName bounds the name of a file in bytes, so that NAME.part is one on every
// file system.
const maxName = 240

// checkName refuses what is not the plain name of a file on every system. Those
// of manifests come from the release.
func checkName(name string) error {
	bad := name == "" || len(name) > maxName || strings.HasSuffix(name, partSuffix) ||
		strings.HasPrefix(name, ".") || strings.HasPrefix(name, "-") || strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ")
	for _, c := range []byte(name) {
		bad = bad || c < ' ' || c > '~' || strings.IndexByte(`<>:"/\|?*`, c) >= 0
	}
	if bad {
		return fmt.Errorf("%.80q is no name for a file: %w", name, fs.ErrInvalid)
	}
	return nil
}
