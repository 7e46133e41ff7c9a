package ocdir

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxLeftovers bounds what [Tree.Leftovers] lists.
const maxLeftovers = 1_000

// Leftover is something in a tree that is not read.
type Leftover struct {
	// File is its path within the tree, with slashes, quoted if it has
	// characters that do not belong into a message.
	File string
	// Reason says why it is not read.
	Reason string
}

// String returns file and reason.
func (l Leftover) String() string {
	return l.File + ": " + l.Reason
}

// Leftovers returns what is passed over in all repositories, sorted by file: what
// interrupted downloads left, and what has the name of nothing that is looked for.
// Beyond 1,000 of them it returns these and an error.
func (t *Tree) Leftovers() ([]Leftover, error) {
	var found []Leftover
	pass := func(file, reason string) error {
		if len(found) >= maxLeftovers {
			return fmt.Errorf("more than %d files that are no part of a mirror", maxLeftovers)
		}
		found = append(found, Leftover{printable(file), reason})
		return nil
	}
	repositories, err := t.repositories(pass)
	for _, name := range repositories {
		for _, dir := range []string{"blobs", "manifests"} {
			if err == nil {
				err = t.passedOver(repositoryPath(name, dir), pass)
			}
		}
	}
	slices.SortFunc(found, func(a, b Leftover) int { return cmp.Compare(a.File, b.File) })
	if err != nil {
		return found, fmt.Errorf("tree %s: %w", t.dir, err)
	}
	return found, nil
}

// passedOver tells pass of what is not read in a directory of a repository. The
// directory need not exist.
func (t *Tree) passedOver(dir string, pass func(file, reason string) error) error {
	if _, err := t.root.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	tags := path.Base(dir) == "manifests"
	return t.each(dir, func(e fs.DirEntry) error {
		name := e.Name()
		_, isDigest := digestOf(name)
		reason := ""
		switch {
		case isLeftover(name):
			reason = "left by an interrupted download"
		case strings.HasPrefix(name, "sha512:"), strings.HasPrefix(name, "sha512-"):
			reason = "only sha256 is supported"
		case !isDigest && !tags:
			reason = "not named by a digest"
		case !isDigest && !isTag(name):
			reason = "named by neither a tag nor a digest"
		case !e.Type().IsRegular() && e.Type()&fs.ModeSymlink == 0:
			reason = "not a file but " + kind(e.Type())
		default:
			return nil
		}
		return pass(path.Join(dir, name), reason)
	})
}

// Repositories returns the repositories of the tree, sorted. Links to directories
// are not followed, though [Tree.Expand] follows them within the tree.
func (t *Tree) Repositories() ([]string, error) {
	return t.repositories(func(string, string) error { return nil })
}

func (t *Tree) repositories(pass func(file, reason string) error) ([]string, error) {
	var found []string
	seen := 0
	for todo := []string{""}; len(todo) > 0; {
		name := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		isRepository := false
		err := t.each(repositoryPath(name), func(e fs.DirEntry) error {
			if seen++; seen > maxEntries {
				return fmt.Errorf("more than %d files and directories above the blobs", maxEntries)
			}
			inner := path.Join(name, e.Name())
			file := repositoryPath(name, e.Name())
			switch {
			case !e.IsDir():
				return pass(file, "not a directory but "+kind(e.Type()))
			case name != "" && (e.Name() == "manifests" || e.Name() == "blobs"):
				isRepository = true
			case checkRepository(inner) != nil:
				return pass(file, "not the name of a repository")
			default:
				todo = append(todo, inner)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if isRepository {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found, nil
}
