package bundle

import (
	"os"

	"golang.org/x/sys/unix"
)

// uncache drops the file's pages, which must be synced.
func uncache(f *os.File) error {
	return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
}
