package database

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Kept is a database that [Keep] took out of a stream. It may be read
// concurrently until it is closed.
type Kept struct {
	size   int64
	blocks [][]byte // of blockSize bytes, but for the last
	file   *os.File // instead of blocks; nil when there are some
	name   string   // of the file when it must still be removed
}

const (
	blockSize = 1 << 20
	// fewBytes are kept in memory though there is a directory.
	fewBytes = 64 << 20
)

// Keep reads r to its end and keeps what it had: up to 64 MiB in memory, more in
// a file in dir, of [MaxDatabase] bytes at most. Without a dir all is in memory,
// [MaxMemory] bytes at most. A stream that does not begin as an SQLite database
// does is refused with [ErrNoDatabase] before more of it is read.
//
// Nothing of dir is left when Keep fails. Otherwise the caller must call
// [Kept.Close]. Where the system can, the file has no name from the start, so
// that nothing is left of it even when the program is killed; on Windows Close
// removes it.
func Keep(r io.Reader, dir string) (*Kept, error) {
	return keep(r, dir, fewBytes, MaxMemory, MaxDatabase)
}

func keep(r io.Reader, dir string, few, memory, most int64) (*Kept, error) {
	k := &Kept{}
	if dir == "" {
		few, most = memory, memory
	}
	if err := k.fill(io.LimitReader(r, most+1), dir, few); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	if k.size > most {
		return nil, errors.Join(tooMuch("database of more than %d bytes", most), k.Close())
	}
	return k, nil
}

func (k *Kept) fill(r io.Reader, dir string, few int64) error {
	for {
		block := make([]byte, blockSize)
		n, err := io.ReadFull(r, block)
		if k.size == 0 {
			if err := checkMagic(block[:n]); err != nil {
				return err
			}
		}
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return err
		}
		k.blocks = append(k.blocks, block[:n])
		if k.size += int64(n); end {
			return nil
		}
		if dir != "" && k.size > few {
			return k.spill(r, dir)
		}
	}
}

// spill puts what is kept, and the rest of r, into a file.
func (k *Kept) spill(r io.Reader, dir string) error {
	f, err := os.CreateTemp(dir, ".satchel-catalog-*.db")
	if err != nil {
		return err
	}
	k.file = f
	if os.Remove(f.Name()) != nil { // an open file has a name on Windows
		k.name = f.Name()
	}
	for i, block := range k.blocks {
		if _, err := f.Write(block); err != nil {
			return err
		}
		k.blocks[i] = nil
	}
	k.blocks = nil
	n, err := io.Copy(f, r)
	k.size += n
	return err
}

// Size is the number of bytes.
func (k *Kept) Size() int64 { return k.size }

// ReadAt is that of [io.ReaderAt].
func (k *Kept) ReadAt(p []byte, off int64) (int, error) {
	if k.file != nil {
		return k.file.ReadAt(p, off)
	}
	if off < 0 {
		return 0, fmt.Errorf("offset %d", off)
	}
	n := 0
	for n < len(p) && off < k.size {
		m := copy(p[n:], k.blocks[off/blockSize][off%blockSize:])
		n, off = n+m, off+int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Close lets go of what is kept and removes its file. It may be called again.
func (k *Kept) Close() error {
	var err error
	if k.file != nil {
		err = k.file.Close()
	}
	if k.name != "" {
		err = errors.Join(err, os.Remove(k.name))
	}
	*k = Kept{}
	return err
}
