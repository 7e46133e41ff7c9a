package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"sync"

	"github.com/opencontainers/go-digest"
)

// VolumeFile is a volume on a medium.
type VolumeFile struct {
	// Name is the file's name, Medium where it lies.
	Name, Medium string
	// Number is that of the volume header or, when that is damaged, of the
	// name.
	Number int
	// Size is the file's size in bytes.
	Size int64
	// Whole says that the volume header is whole and of this bundle. Where it is
	// not, nothing else in the file is worth replaying, but it can be checked.
	Whole bool

	fs fs.FS

	locate    sync.Once
	located   []Located
	index     map[digest.Digest]int // of the blob's first member in located
	locateErr error
}

func (b *Bundle) openVolume(medium Medium, name string, match []string) (*found, error) {
	number, err := strconv.Atoi(match[2])
	if err != nil {
		return nil, err
	}
	v := &found{VolumeFile: &VolumeFile{Name: name, Medium: medium.Name, Number: number, fs: medium.FS}, prefix: match[1]}
	v.header, v.err = b.readVolumeHeader(v.VolumeFile)
	if version := (*VersionError)(nil); errors.As(v.err, &version) {
		return nil, fmt.Errorf("%s on %s: %w", name, medium.Name, v.err)
	}
	return v, nil
}

func (b *Bundle) readVolumeHeader(v *VolumeFile) (volumeHeader, error) {
	f, size, err := openRegular(v.fs, v.Name)
	if err != nil {
		return volumeHeader{}, v.damage(-1, err)
	}
	defer f.Close() // it was only read
	v.Size = size
	t := b.reader(f, 0, size)
	defer b.readers.Put(t)
	header, err := t.readHeader()
	if err != nil {
		return header, v.damage(0, err)
	}
	return header, nil
}

// volumeFile is an open volume.
type volumeFile interface {
	io.ReaderAt
	io.Closer
}

// openRegular opens a regular file, and nothing that would block or never end.
func openRegular(fsys fs.FS, name string) (volumeFile, int64, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, errors.New("not a regular file")
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, 0, err
	}
	file, ok := f.(volumeFile)
	if !ok {
		return nil, 0, errors.Join(errors.New("not a file that can be read at an offset"), f.Close())
	}
	return file, info.Size(), nil
}

// open opens the volume again. Volumes are open only while they are read: there
// may be more of them than a process may have open files.
func (v *VolumeFile) open() (volumeFile, error) {
	f, _, err := openRegular(v.fs, v.Name)
	if err != nil {
		return nil, v.damage(-1, err)
	}
	return f, nil
}

// readFirstPrologue takes the prologue of the first volume that has a whole one.
func (b *Bundle) readFirstPrologue() {
	for _, v := range b.Volumes {
		if !v.Whole {
			continue
		}
		prologue, err := b.readPrologueOf(v)
		if err == nil {
			b.Prologue = prologue
			break
		}
		var damage *DamageError
		if errors.As(err, &damage) {
			b.Damage = append(b.Damage, damage)
		}
	}
	b.dropStrays()
	b.settleInventory()
}

func (b *Bundle) readPrologueOf(v *VolumeFile) (*Prologue, error) {
	f, err := v.open()
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	t := b.reader(f, 0, v.Size)
	defer b.readers.Put(t)
	header, err := t.readHeader()
	if err != nil {
		return nil, v.damage(t.frame, err)
	}
	prologue, err := t.readPrologue(header)
	if err != nil {
		return nil, v.damage(t.frame, fmt.Errorf("prologue: %w", err))
	}
	return prologue, nil
}
