package transfer_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"satchel/bundle"
)

var errMedium = errors.New("the stick was pulled out")

// memoryDir is an output directory in memory that can fail: its n-th operation,
// counted from 1 over everything but Free, or operations that fails chooses.
type memoryDir struct {
	free int64 // 0 is unknown
	// failAt is the number of the operation that fails, once; 0 is none.
	failAt int
	fails  func(operation, name string) bool

	mu    sync.Mutex
	calls int
	log   []string
	files map[string]*memoryFile
}

func newMemoryDir() *memoryDir { return &memoryDir{files: make(map[string]*memoryFile)} }

// operation counts, and says whether this one goes wrong.
func (d *memoryDir) operation(what, name string) error {
	d.calls++
	d.log = append(d.log, what+" "+name)
	if d.calls == d.failAt || d.fails != nil && d.fails(what, name) {
		return fmt.Errorf("%s %s: %w", what, name, errMedium)
	}
	return nil
}

// final returns the files with final names.
func (d *memoryDir) final() map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make(map[string]string)
	for name, f := range d.files {
		if bundle.IsFinalName(name) {
			all[name] = string(f.content)
		}
	}
	return all
}

func (d *memoryDir) Create(name string) (bundle.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.operation("create", name); err != nil {
		return nil, err
	}
	if d.files[name] != nil {
		return nil, fs.ErrExist
	}
	d.files[name] = &memoryFile{dir: d, name: name}
	return d.files[name], nil
}

func (d *memoryDir) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.operation("rename", from); err != nil {
		return err
	}
	if d.files[from] == nil {
		return fs.ErrNotExist
	}
	d.files[to] = d.files[from]
	delete(d.files, from)
	return nil
}

func (d *memoryDir) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.operation("remove", name); err != nil {
		return err
	}
	if d.files[name] == nil {
		return fs.ErrNotExist
	}
	delete(d.files, name)
	return nil
}

func (d *memoryDir) Names() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.files)), d.operation("list", "")
}

func (d *memoryDir) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.operation("sync", "directory")
}

func (d *memoryDir) Lock() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.operation("lock", "")
}

func (d *memoryDir) Free() (int64, error) {
	if d.free == 0 {
		return -1, nil
	}
	return d.free, nil
}

// memoryFile is written like a file of the operating system.
type memoryFile struct {
	dir     *memoryDir
	name    string
	content []byte
	at      int64
	closed  bool
}

// Write fails after half of the bytes, as a full medium does.
func (f *memoryFile) Write(p []byte) (int, error) {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if f.closed {
		return 0, fs.ErrClosed
	}
	err := f.dir.operation("write", f.name)
	if err != nil {
		p = p[:len(p)/2]
	}
	if end := f.at + int64(len(p)); end > int64(len(f.content)) {
		f.content = append(f.content, make([]byte, end-int64(len(f.content)))...)
	}
	copy(f.content[f.at:], p)
	f.at += int64(len(p))
	return len(p), err
}

func (f *memoryFile) Seek(offset int64, whence int) (int64, error) {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if err := f.dir.operation("seek", f.name); err != nil {
		return f.at, err
	}
	switch whence {
	case io.SeekCurrent:
		offset += f.at
	case io.SeekEnd:
		offset += int64(len(f.content))
	}
	f.at = offset
	return offset, nil
}

func (f *memoryFile) Truncate(size int64) error {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if err := f.dir.operation("truncate", f.name); err != nil {
		return err
	}
	f.content = f.content[:min(size, int64(len(f.content)))]
	return nil
}

func (f *memoryFile) Sync() error {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	return f.dir.operation("fsync", f.name)
}

// Close closes even when it fails.
func (f *memoryFile) Close() error {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	return f.dir.operation("close", f.name)
}
