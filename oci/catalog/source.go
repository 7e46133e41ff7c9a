package catalog

import (
	"context"
	"fmt"
	"io"
	"io/fs"
)

// Source hands the files of a catalog to visit, each once, in any order, by
// their clean paths below the root of the catalog ("etcd/catalog.json"). The
// reader is valid during the visit only, and need not be read to its end. What
// visit returns ends it and is returned, wrapped or not. A Source that reads
// layers returns nil only when all that it handed out was verified; every call
// hands out the same.
type Source func(ctx context.Context, visit func(path string, r io.Reader) error) error

// FS is the Source of a directory. Links are followed to regular files;
// everything else that is no regular file is an error.
func FS(fsys fs.FS) Source {
	return func(ctx context.Context, visit func(string, io.Reader) error) error {
		return fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil || entry.IsDir() {
				return err
			}
			return visitFile(fsys, name, visit)
		})
	}
}

func visitFile(fsys fs.FS, name string, visit func(string, io.Reader) error) error {
	// Looked at before it is opened: opening a named pipe waits.
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("file %q is no regular file", name)
	}
	file, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return visit(name, file)
}
