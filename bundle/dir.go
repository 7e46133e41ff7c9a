package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Dir is an output directory: the few file operations that making a bundle
// needs. Names are plain file names. It is a seam for tests; [OpenDir] gives the
// real thing.
type Dir interface {
	// FS reads what the directory holds. Its files implement [io.ReaderAt].
	FS() fs.FS
	// Create makes a file for writing and fails when the name is taken.
	Create(name string) (File, error)
	// Reopen opens a file that is there for writing, at its start.
	Reopen(name string) (File, error)
	// Rename gives the file its final name, replacing what has it.
	Rename(from, to string) error
	Remove(name string) error
	// Sync makes creations and renames durable. It returns [ErrGone] when these
	// are no longer to be found at the directory's path.
	Sync() error
	// Free is the space in bytes left for files; negative where unknown.
	Free() (int64, error)
	// Lock keeps other processes from making a bundle here until the directory
	// is closed, and refuses a directory that cannot be written to. It returns [ErrLocked] when one does. A second call does
	// nothing.
	Lock() error
	// Uncache makes the system forget what it keeps of a file in memory, so that
	// the file is next read from the medium. It returns
	// [errors.ErrUnsupported] where the system cannot do that.
	Uncache(name string) error
}

// ErrGone says that a directory is no longer what was opened at its path: the
// medium was unmounted, or another one was mounted there.
var ErrGone = errors.New("the medium is gone: it was unmounted while it was written")

// ErrLocked says that another process is making a bundle in the directory.
var ErrLocked = errors.New("another satchel is writing here")

// File is a file being written.
type File interface {
	io.Writer
	io.Seeker
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// OpenDir opens an existing directory for output. The caller closes it.
func OpenDir(path string) (*OSDir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &OSDir{root: root, path: path}, nil
}

// OSDir is a directory of the operating system.
type OSDir struct {
	root *os.Root
	path string
	lock *os.File
}

// Close releases the directory and its lock.
func (d *OSDir) Close() error {
	var err error
	if d.lock != nil {
		err = d.lock.Close()
	}
	return errors.Join(err, d.root.Close())
}

// Lock implements [Dir]; what is locked stays so. It locks the directory itself, so that nothing is left
// behind on the medium. Where a file system or an operating system has no such
// locks (Windows), it does nothing.
func (d *OSDir) Lock() error {
	if d.lock != nil {
		return nil
	}
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	if err := errors.Join(writable(f), lockFile(f)); err != nil {
		return errors.Join(err, f.Close())
	}
	d.lock = f
	return nil
}

// Create implements [Dir].
func (d *OSDir) Create(name string) (File, error) {
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Rename implements [Dir].
func (d *OSDir) Rename(from, to string) error { return d.root.Rename(from, to) }

// Remove implements [Dir].
func (d *OSDir) Remove(name string) error { return d.root.Remove(name) }

// FS implements [Dir].
func (d *OSDir) FS() fs.FS { return d.root.FS() }

// Reopen implements [Dir].
func (d *OSDir) Reopen(name string) (File, error) {
	// Never through a link: what it leads to is not ours.
	info, err := d.root.Lstat(name)
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("not a regular file")}
	}
	if err != nil {
		return nil, err
	}
	f, err := d.root.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Uncache implements [Dir].
func (d *OSDir) Uncache(name string) error {
	f, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(uncache(f), f.Close())
}

// Sync implements [Dir]. File systems and operating systems that cannot sync a
// directory are tolerated: exFAT and FAT drivers, and Windows.
func (d *OSDir) Sync() error {
	f, err := d.root.Open(".")
	if err != nil {
		return err
	}
	err = f.Sync()
	if cannotSync(err) {
		err = nil
	}
	return errors.Join(err, f.Close(), d.there())
}

// there reports whether the directory is still at its path. A medium that was
// unmounted by force takes writes as before until the last file on it is closed.
func (d *OSDir) there() error {
	opened, err := d.root.Stat(".")
	if err != nil {
		return err
	}
	if now, err := os.Stat(d.path); err != nil || !os.SameFile(opened, now) {
		return ErrGone
	}
	return nil
}

// Free implements [Dir].
func (d *OSDir) Free() (int64, error) {
	if err := d.there(); err != nil {
		return -1, err
	}
	return freeSpace(d.path)
}

type osFile struct{ *os.File }

// Sync makes the file's bytes durable; "not supported" is no error.
func (f osFile) Sync() error {
	if err := f.File.Sync(); err != nil && !cannotSync(err) {
		return err
	}
	return nil
}

func cannotSync(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) || syncUnsupported(err)
}

// partialSuffix ends the name of a file that is not finished.
const partialSuffix = ".part"

// writeFile writes a small file durably: under an unfinished name, synced, and
// only then renamed.
func writeFile(dir Dir, name string, content []byte) (err error) {
	partial := name + partialSuffix
	if err := dir.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", partial, err)
	}
	f, err := dir.Create(partial)
	if err != nil {
		return fmt.Errorf("creating %s: %w", partial, err)
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("writing %s: %w", partial, err), dir.Remove(partial))
	}
	return commitName(dir, partial, name)
}

func commitName(dir Dir, partial, name string) error {
	if err := dir.Rename(partial, name); err != nil {
		return fmt.Errorf("naming %s: %w", name, err)
	}
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("syncing the directory of %s: %w", name, err)
	}
	return nil
}
