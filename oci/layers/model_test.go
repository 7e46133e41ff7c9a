package layers_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"

	"satchel/oci"
	"satchel/oci/layers"
)

// unpacked is a directory tree that layers are unpacked into: the content of each
// file, "/" for directories.
type unpacked map[string]string

// remove removes all below a path ("" is the root), and it itself if told so.
func (u unpacked) remove(name string, itself bool) {
	for other := range u {
		if name == "" || strings.HasPrefix(other, name+"/") || itself && other == name {
			delete(u, other)
		}
	}
}

// makeDirectories makes a path and all before it directories.
func (u unpacked) makeDirectories(name string) {
	for end := range len(name) + 1 {
		if end > 0 && (end == len(name) || name[end] == '/') && u[name[:end]] != "/" {
			u.remove(name[:end], true)
			u[name[:end]] = "/"
		}
	}
}

// randomLayer makes a layer of files and whiteouts that says one thing of each
// path, and unpacks it.
func randomLayer(random *rand.Rand, number int, u unpacked) (entries []entry) {
	said := make(map[string]string) // file or directory
	var files []entry
changes:
	for i := range random.IntN(7) {
		name := string("abc"[random.IntN(3)])
		for range random.IntN(4) {
			name += "/" + string("abc"[random.IntN(3)])
		}
		dir, base := name[:max(0, len(name)-2)], name[len(name)-1:]
		kind := random.IntN(6)
		for end := 1; end < len(name); end += 2 {
			if said[name[:end]] == "file" {
				continue changes
			}
		}
		if kind > 1 && said[name] != "" {
			continue
		}
		for end := 1; end < len(name); end += 2 {
			said[name[:end]] = "directory"
		}
		switch kind {
		case 0:
			entries = append(entries, file(path.Join(dir, ".wh."+base), ""))
			u.remove(name, true)
		case 1:
			entries = append(entries, file(path.Join(dir, ".wh..wh..opq"), ""))
			u.remove(dir, false)
		default:
			said[name] = "file"
			files = append(files, file(name, fmt.Sprintf("%d.%d", number, i)))
		}
	}
	// Whiteouts are for the layers below, wherever they stand; the directories
	// that they stand in are made, too.
	for name, kind := range said {
		if kind == "directory" {
			u.makeDirectories(name)
		}
	}
	for _, f := range files {
		u.remove(f.header.Name, true)
		u[f.header.Name] = f.content
	}
	entries = append(entries, files...)
	random.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
	return entries
}

// TestTreeWalkModel compares with what an unpacker makes of random layers, one
// after the other.
func TestTreeWalkModel(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 1))
	visited := 0
	for range 300 {
		b, model := newBlobs(), make(unpacked)
		var image []oci.Descriptor
		for k := range 1 + random.IntN(5) {
			image = append(image, b.add(tarOf(t, randomLayer(random, k, model)...)))
		}
		tree := layers.NewTree(b.Open, image)
		for _, prefix := range []string{".", "a", "b/c"} {
			var want []string
			for name, content := range model {
				if content != "/" && (prefix == "." || strings.HasPrefix(name, prefix+"/")) {
					want = append(want, name+"="+content)
				}
			}
			slices.Sort(want)
			wantErr := fs.ErrInvalid // of a file
			switch content, ok := model[prefix]; {
			case prefix == "." || content == "/":
				wantErr = nil
			case !ok:
				wantErr = fs.ErrNotExist
			}
			given, err := below(t, tree, prefix)
			got := strings.Fields(given)
			slices.Sort(got)
			if !errors.Is(err, wantErr) || !slices.Equal(got, want) {
				t.Fatalf("below %s: %v, visited %q, want %q, %v", prefix, err, got, want, wantErr)
			}
			visited += len(got)
		}
	}
	if visited < 500 {
		t.Errorf("only %d files were visited", visited)
	}
}
