package bundle

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

func freeSpace(path string) (int64, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return -1, err
	}
	var free uint64
	if err := windows.GetDiskFreeSpaceEx(name, &free, nil, nil); err != nil {
		return -1, err
	}
	return int64(min(free, 1<<62)), nil
}

// Windows refuses to sync a directory with these.
func syncUnsupported(err error) bool {
	return errors.Is(err, windows.ERROR_INVALID_HANDLE) || errors.Is(err, windows.ERROR_ACCESS_DENIED) ||
		errors.Is(err, windows.ERROR_INVALID_FUNCTION)
}

// A directory cannot be locked.
func lockFile(*os.File) error { return nil }

// Whether a directory can be written to shows when it is.
func writable(*os.File) error { return nil }
