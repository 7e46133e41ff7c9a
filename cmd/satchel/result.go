package main

import (
	"errors"
	"io/fs"
	"os"
)

// writeResult writes a file that people asked for, in whole or not at all.
func writeResult(name string, content []byte) error {
	f, err := createResult(name)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// tryResult finds out whether writeResult could write, and leaves nothing behind.
func tryResult(name string) error {
	f, err := createResult(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// createResult creates the unfinished file. What is in its way is removed, never
// written through: it may be a link.
func createResult(name string) (*os.File, error) {
	partial := name + ".part"
	if err := os.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
}
