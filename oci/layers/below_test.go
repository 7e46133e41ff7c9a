package layers_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"satchel/oci"
	"satchel/oci/layers"
)

// below renders what a walk visits below a directory, in its order.
func below(t testing.TB, tree *layers.Tree, prefix string) (string, error) {
	t.Helper()
	var all []string
	err := tree.Walk(t.Context(), prefix, func(e layers.Entry, r io.Reader) error {
		content, err := io.ReadAll(r)
		if e.Type != tar.TypeReg || e.Size != int64(len(content)) || e.Link != "" {
			t.Errorf("%+v has %d bytes", e, len(content))
		}
		all = append(all, e.Name+"="+string(content))
		return err
	})
	return strings.Join(all, " "), err
}

func TestTreeWalk(t *testing.T) {
	type image = [][]entry
	missing, invalid := fs.ErrNotExist, fs.ErrInvalid
	device := entry{tar.Header{Typeflag: tar.TypeChar, Name: "c/null"}, ""}
	for name, c := range map[string]struct {
		layers image
		prefix string
		give   string
		err    error
		read   string // how often each layer was opened, the bottom one first
	}{
		"all":                   {image{{dir("c"), file("c/a", "1"), file("c/d/b", "2"), file("cc", ""), file("b/c/x", "")}}, "c", "c/a=1 c/d/b=2", nil, "2"},
		"order":                 {image{{file("c/z", "1"), file("c/a", "2")}, {file("c/m", "3")}}, "c", "c/z=1 c/a=2 c/m=3", nil, "22"},
		"replaced":              {image{{file("c/a", "old"), file("c/b", "2")}, {file("c/a", "new")}}, "c", "c/b=2 c/a=new", nil, "22"},
		"all replaced":          {image{{file("c/a", "old")}, {file("c/a", "new")}}, "c", "c/a=new", nil, "12"},
		"dots and slashes":      {image{{file("./c//a", "1")}, {file("/c/b", "2")}}, "c", "c/a=1 c/b=2", nil, "22"},
		"the whole image":       {image{{file("a", "1"), file("c/a", "2")}, {file(".wh.a", ""), file("b", "3")}}, ".", "c/a=2 b=3", nil, "22"},
		"deep prefix":           {image{{file("a/b/c/d/e", "1"), file("a/b/x", "")}}, "a/b/c", "a/b/c/d/e=1", nil, "2"},
		"empty directory":       {image{{dir("c")}}, "c", "", nil, "1"},
		"empty file":            {image{{file("c/a", "")}}, "c", "c/a=", nil, "2"},
		"none":                  {image{{file("a", "")}}, "c", "", missing, "1"},
		"no layers":             {image{}, "c", "", missing, ""},
		"empty image":           {image{}, ".", "", nil, ""},
		"devices are left out":  {image{{device, file("c/a", "1")}}, "c", "c/a=1", nil, "2"},
		"device over file":      {image{{file("c/null", "1")}, {device}}, "c", "", nil, "11"},
		"whiteout":              {image{{file("c/a", "1"), file("c/b", "2")}, {file("c/.wh.a", "")}}, "c", "c/b=2", nil, "21"},
		"whiteout, then back":   {image{{file("c/a", "1")}, {file("c/.wh.a", "")}, {file("c/a", "3")}}, "c", "c/a=3", nil, "112"},
		"whiteout and file":     {image{{file("c/a", "1")}, {file("c/a", "2"), file("c/.wh.a", "")}}, "c", "c/a=2", nil, "12"},
		"whiteout of directory": {image{{file("c/d/a", "1")}, {file("c/.wh.d", ""), file("c/d/b", "2")}}, "c", "c/d/b=2", nil, "12"},
		"whiteout of prefix":    {image{{file("c/a", "1")}, {file(".wh.c", "")}}, "c", "", missing, "01"},
		"prefix came back":      {image{{file("c/a", "1")}, {file(".wh.c", ""), file("c/b", "2")}}, "c", "c/b=2", nil, "02"},
		"parent came back":      {image{{file("x/c/a", "1")}, {file(".wh.x", ""), file("x/c/b", "2")}}, "x/c", "x/c/b=2", nil, "02"},
		"opaque":                {image{{file("c/a", "1"), file("c/d/a", "1")}, {file("c/.wh..wh..opq", ""), file("c/b", "2")}}, "c", "c/b=2", nil, "02"},
		"opaque below":          {image{{file("c/a", "1"), file("c/d/a", "1")}, {file("c/d/.wh..wh..opq", ""), file("c/d/b", "2")}}, "c", "c/a=1 c/d/b=2", nil, "22"},
		"opaque root":           {image{{file("c/a", "1")}, {file(".wh..wh..opq", ""), dir("c")}}, "c", "", nil, "01"},
		"opaque elsewhere":      {image{{file("c/a", "1")}, {file("cc/.wh..wh..opq", ""), file("x/.wh.c", "")}}, "c", "c/a=1", nil, "21"},
		"hidden halfway":        {image{{file("c/a", "1")}, {file("c/.wh.a", "")}, {file("c/b", "2")}, {dir("c")}}, "c", "c/b=2", nil, "1121"},
		"file over directory":   {image{{file("c/d/a", "1")}, {file("c/d", "2")}}, "c", "c/d=2", nil, "12"},
		"directory over file":   {image{{file("c/d", "1")}, {file("c/d/a", "2")}}, "c", "c/d/a=2", nil, "12"},
		"file between":          {image{{file("c/d/old", "1")}, {file("c/d", "2")}, {file("c/d/a", "3")}}, "c", "c/d/a=3", nil, "112"},
		"file between, prefix":  {image{{file("c/old", "1")}, {file("c", "2")}, {file("c/a", "3")}}, "c", "c/a=3", nil, "012"},
		"link between":          {image{{file("c/d/old", "1"), file("e/x", "")}, {link("c/d", "../e")}, {file("c/d/a", "3")}}, "c", "c/d/a=3", nil, "112"},

		"prefix is a file":      {image{{file("c", "")}}, "c", "", invalid, "1"},
		"prefix is below one":   {image{{file("c", "")}}, "c/d", "", missing, "1"},
		"prefix is a link":      {image{{link("c", "x/y"), file("x/y/a/b", "1")}}, "c", "c/a/b=1", nil, "2"},
		"link over the prefix":  {image{{file("c/a", "old"), file("x/a", "1")}, {link("c", "/x")}}, "c", "c/a=1", nil, "21"},
		"parent is a link":      {image{{file("x/c/a", "1")}, {link("l", "x")}}, "l/c", "l/c/a=1", nil, "21"},
		"prefix links in loop":  {image{{link("c", "c")}}, "c", "", layers.ErrLimit, "1"},
		"prefix links to none":  {image{{link("c", "x")}}, "c", "", missing, "1"},
		"prefix links to root":  {image{{link("c", "/")}}, "c", "", invalid, "1"},
		"prefix links to file":  {image{{link("c", "x"), file("x", "")}}, "c", "", invalid, "1"},
		"prefix, hard link":     {image{{hard("c", "x"), file("x", "")}}, "c", "", invalid, "1"},
		"prefix, hard linked":   {image{{hard("c", "x"), file("x/a", "1")}, {dir("y")}}, "c", "", invalid, "11"},
		"empty prefix":          {image{{file("a", "")}}, "", "", invalid, "0"},
		"absolute prefix":       {image{{file("c/a", "")}}, "/c", "", invalid, "0"},
		"prefix with a slash":   {image{{file("c/a", "")}}, "c/", "", invalid, "0"},
		"prefix climbs":         {image{{file("c/a", "")}}, "x/../c", "", invalid, "0"},
		"link":                  {image{{file("c/a", "1"), link("c/b", "a")}}, "c", "c/a=1 c/b=1", nil, "2"},
		"link alone":            {image{{file("x", "1"), link("c/b", "../x")}}, "c", "c/b=1", nil, "2"},
		"link into above":       {image{{link("c/b", "a"), file("c/a", "old")}, {file("c/a", "new")}}, "c", "c/a=new c/b=new", nil, "12"},
		"link to a link":        {image{{file("c/1", "x"), link("c/2", "1"), link("c/3", "/c/2")}}, "c", "c/1=x c/2=x c/3=x", nil, "2"},
		"link through link":     {image{{file("x/y/z", "1"), link("l", "x/y"), link("c/b", "../l/z")}}, "c", "c/b=1", nil, "2"},
		"link replaced":         {image{{link("c/b", "gone")}, {file("c/b", "1")}}, "c", "c/b=1", nil, "12"},
		"link whited out":       {image{{link("c/b", "gone"), file("c/a", "1")}, {file("c/.wh.b", "")}}, "c", "c/a=1", nil, "21"},
		"link to nothing":       {image{{link("c/b", "gone")}}, "c", "", invalid, "1"},
		"link to a whiteout":    {image{{link("c/b", "a"), file("c/a", "")}, {file("c/.wh.a", "")}}, "c", "", invalid, "11"},
		"link to a directory":   {image{{link("c/b", "d"), dir("c/d")}}, "c", "", invalid, "1"},
		"link to a device":      {image{{link("c/b", "null"), device}}, "c", "", invalid, "1"},
		"links in a loop":       {image{{link("c/a", "b"), link("c/b", "a")}}, "c", "", layers.ErrLimit, "1"},
		"link out, hidden part": {image{{file("x/a", "1"), file("c/a", "old")}, {file("c/.wh..wh..opq", ""), link("c/b", "../x/a")}}, "c", "c/b=1", nil, "21"},
		"hard link":             {image{{file("c/a", "1"), hard("c/b", "c/a")}}, "c", "c/a=1 c/b=1", nil, "2"},
		"hard link from beyond": {image{{file("x", "1"), hard("c/b", "x")}, {file(".wh.x", "")}}, "c", "c/b=1", nil, "21"},
		"hard link stays below": {image{{file("c/a", "old"), hard("c/b", "c/a")}, {file("c/a", "new")}}, "c", "c/b=old c/a=new", nil, "22"},
		"hard link over layers": {image{{file("c/a", "1")}, {hard("c/b", "c/a")}}, "c", "c/a=1 c/b=1", nil, "21"},
		"hard link to nothing":  {image{{hard("c/b", "c/a")}}, "c", "", invalid, "1"},

		"twice":               {image{{file("c/a", "1"), file("c/a", "2")}}, "c", "", invalid, "1"},
		"twice elsewhere":     {image{{file("x/a", "1"), file("x/a", "2"), file("c/a", "3")}}, "c", "c/a=3", nil, "2"},
		"twice, hidden":       {image{{file("c/a", "1"), file("c/a", "2")}, {file("c/a", "3")}}, "c", "c/a=3", nil, "12"},
		"twice, the prefix":   {image{{file("c", "1"), file("c/a", "2")}}, "c", "", invalid, "1"},
		"through a link":      {image{{link("c/d", "/x"), file("c/d/a", "2")}}, "c", "", invalid, "1"},
		"link to twice":       {image{{link("c/a", "../x"), file("x", "1"), file("x", "2")}}, "c", "", invalid, "1"},
		"bad whiteout":        {image{{file("c/a", "1"), file("c/.wh.", "")}}, "c", "", layers.ErrName, "1"},
		"hostile, not needed": {image{{file("../a", "")}, {file("c/.wh..wh..opq", ""), file("c/a", "1")}}, "c", "c/a=1", nil, "02"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBlobs()
			image := b.image(t, c.layers...)
			got, err := below(t, layers.NewTree(b.Open, image), c.prefix)
			if !errors.Is(err, c.err) || got != c.give {
				t.Errorf("%v, visited %q", err, got)
			}
			if errors.Is(c.err, invalid) && errors.Is(err, missing) {
				t.Errorf("%v says that there is no such directory", err)
			}
			read := ""
			for _, d := range image {
				read += string(rune('0' + b.opened[d.Digest]))
			}
			if read != c.read || b.open != 0 {
				t.Errorf("layers were read %q times, want %q; %d left open", read, c.read, b.open)
			}
		})
	}
}

func TestTreeWalkErrors(t *testing.T) {
	b := newBlobs()
	image := b.image(t, []entry{file("c/a", "1"), file("c/b", "2"), hard("c/h", "c/a")}, []entry{file("c/d", "3")})
	tree := layers.NewTree(b.Open, image)
	mine := errors.New("mine")
	for _, at := range []string{"c/a", "c/h", "c/b"} {
		visits := 0
		err := tree.Walk(t.Context(), "c", func(e layers.Entry, _ io.Reader) error {
			if visits++; e.Name == at {
				return mine
			}
			return nil
		})
		if !errors.Is(err, mine) || visits > 3 || !strings.Contains(err.Error(), at) || !strings.Contains(err.Error(), string(image[0].Digest)) {
			t.Errorf("error of a visit of %s: %v after %d", at, err, visits)
		}
	}
	// The tree knows the names by now: only content is read.
	clear(b.opened)
	if got, err := below(t, tree, "c"); err != nil || got != "c/a=1 c/h=1 c/b=2 c/d=3" || b.opened[image[0].Digest] != 1 || b.opened[image[1].Digest] != 1 {
		t.Errorf("%q, %v, opened %v", got, err, b.opened)
	}
	whole := b.content[image[0].Digest]
	b.content[image[0].Digest] = append(slices.Clone(whole[:len(whole)-1]), whole[len(whole)-1]^1)
	var mismatch *oci.MismatchError
	if got, err := below(t, tree, "c"); !errors.As(err, &mismatch) || got != "c/a=1 c/h=1 c/b=2" {
		t.Errorf("damage behind the content: %q, %v", got, err)
	}
	if got, err := below(t, layers.NewTree(b.Open, image), "c"); !errors.As(err, &mismatch) || got != "" {
		t.Errorf("damage while listing: %q, %v", got, err)
	}
	delete(b.content, image[0].Digest)
	if got, err := below(t, layers.NewTree(b.Open, image), "c"); !errors.Is(err, fs.ErrNotExist) || got != "" {
		t.Errorf("layer that is not there: %q, %v", got, err)
	}
	// A link leads into a layer that is not there, beneath one that hides c.
	image = b.image(t, []entry{file("x", "")}, []entry{file("c/.wh..wh..opq", ""), link("c/a", "../x")})
	delete(b.content, image[0].Digest)
	if got, err := below(t, layers.NewTree(b.Open, image), "c"); !errors.Is(err, fs.ErrNotExist) || got != "" {
		t.Errorf("layer of a link that is not there: %q, %v", got, err)
	}
	if b.open != 0 {
		t.Errorf("%d left open", b.open)
	}
}

func TestTreeWalkIsBounded(t *testing.T) {
	b := newBlobs()
	tree := layers.NewTree(b.Open, b.image(t, []entry{file("c/"+strings.Repeat("x/", 1000)+"x", "")}))
	layers.LimitListing(tree, 20_000)
	if _, err := below(t, tree, "c"); !errors.Is(err, layers.ErrLimit) {
		t.Errorf("names: %v", err)
	}
	// Alone a large file is handed on, with another name it would be kept.
	for _, c := range []struct {
		size   int64
		rest   []byte
		err    error
		visits int
	}{
		{1 << 40, make([]byte, 1024), nil, 1},
		{layers.MaxShared/2 + 1, tarOf(t, hard("c/other", "c/hole")), layers.ErrLimit, 0},
		{1 << 40, tarOf(t, link("c/other", "hole")), layers.ErrLimit, 0},
		{layers.MaxShared / 1024, tarOf(t, link("c/other", "hole")), nil, 2},
	} {
		content := append(sparse("c/hole", c.size), c.rest...)
		visits := 0
		tree := layers.NewTree(serve(content), []oci.Descriptor{describe(content)})
		err := tree.Walk(t.Context(), "c", func(e layers.Entry, _ io.Reader) error {
			if visits++; e.Size != c.size {
				t.Errorf("%+v", e)
			}
			return nil
		})
		if !errors.Is(err, c.err) || visits != c.visits {
			t.Errorf("%d bytes: %v after %d visits", c.size, err, visits)
		}
	}
}

// TestTreeWalkLinks has many layers and many links through all of them.
func TestTreeWalkLinks(t *testing.T) {
	b := newBlobs()
	deep := strings.Repeat("d/", 500) + "x"
	image := []oci.Descriptor{b.add(tarOf(t, file(deep, "1")))}
	for range 99 {
		image = append(image, b.add(tarOf(t)))
	}
	for links, want := range map[int]error{10: nil, 1000: layers.ErrLimit} {
		var entries []entry
		for i := range links {
			entries = append(entries, link(fmt.Sprintf("c/%d", i), "/"+deep))
		}
		tree := layers.NewTree(b.Open, append(image, b.add(tarOf(t, entries...))))
		if _, err := below(t, tree, "c"); !errors.Is(err, want) {
			t.Errorf("%d links: %v", links, err)
		}
	}
}
