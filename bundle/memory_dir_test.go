package bundle_test

import (
	"bytes"
	"io/fs"
	"testing"

	"satchel/bundle"
)

// memoryDir is an output directory in memory. What making volumes does not need,
// it has not. It is not for concurrent use.
type memoryDir struct {
	bundle.Dir
	files medium
}

// newDir returns a directory that holds these files, which are not changed.
func newDir(files medium) *memoryDir { return &memoryDir{files: files.without()} }

func (d *memoryDir) FS() fs.FS            { return d.files.fs() }
func (d *memoryDir) Sync() error          { return nil }
func (d *memoryDir) Uncache(string) error { return nil }

func (d *memoryDir) Create(name string) (bundle.File, error) {
	if _, ok := d.files[name]; ok {
		return nil, fs.ErrExist
	}
	d.files[name] = []byte{}
	return &memoryFile{dir: d, name: name}, nil
}

func (d *memoryDir) Reopen(name string) (bundle.File, error) {
	content, ok := d.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	d.files[name] = bytes.Clone(content)
	return &memoryFile{dir: d, name: name}, nil
}

func (d *memoryDir) Rename(from, to string) error {
	d.files[to] = d.files[from]
	delete(d.files, from)
	return nil
}

func (d *memoryDir) Remove(name string) error {
	if _, ok := d.files[name]; !ok {
		return fs.ErrNotExist
	}
	delete(d.files, name)
	return nil
}

// memoryFile is a file being written, by its name.
type memoryFile struct {
	dir  *memoryDir
	name string
	at   int64
}

func (f *memoryFile) Write(p []byte) (int, error) {
	content := f.dir.files[f.name]
	content = append(content[:min(f.at, int64(len(content)))], p...)
	f.dir.files[f.name], f.at = content, int64(len(content))
	return len(p), nil
}

func (f *memoryFile) Seek(offset int64, _ int) (int64, error) {
	f.at = offset
	return offset, nil
}

func (f *memoryFile) Truncate(size int64) error {
	f.dir.files[f.name] = f.dir.files[f.name][:size]
	return nil
}
func (f *memoryFile) Sync() error  { return nil }
func (f *memoryFile) Close() error { return nil }

// unfinished gives a volume its unfinished name.
func (m medium) unfinished(name string) medium {
	return m.renamed(map[string]string{name: name + ".part"})
}

// sameVolumes fails the test unless the volumes are the wanted ones.
func sameVolumes(t testing.TB, what string, got, want medium) {
	t.Helper()
	for _, name := range want.volumes() {
		if !bytes.Equal(got[name], want[name]) {
			t.Errorf("%s: %s has other bytes, %d instead of %d", what, name, len(got[name]), len(want[name]))
		}
	}
}
