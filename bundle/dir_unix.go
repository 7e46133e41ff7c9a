//go:build unix

package bundle

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func freeSpace(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return -1, err
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

func syncUnsupported(error) bool { return false }

func lockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return ErrLocked
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, unix.ENOLCK), errors.Is(err, unix.EINVAL):
		return nil // a file system without locks
	}
	return err
}

// writable refuses a directory of a file system that is mounted read-only.
func writable(f *os.File) error {
	err := unix.Faccessat(int(f.Fd()), ".", unix.W_OK, 0)
	if err != nil {
		return fmt.Errorf("it cannot be written to: %w", err)
	}
	return nil
}
