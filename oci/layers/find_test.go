package layers_test

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"

	"satchel/oci"
	"satchel/oci/layers"
)

// image adds layers, the bottom one first.
func (b *blobs) image(t testing.TB, all ...[]entry) []oci.Descriptor {
	t.Helper()
	var descriptors []oci.Descriptor
	for i, entries := range all {
		// A comment keeps layers with the same entries apart.
		comment := entry{tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{"comment": strings.Repeat("x", i+1)}}, ""}
		plain := tarOf(t, append([]entry{comment}, entries...)...)
		content := plain
		switch i % 3 {
		case 1:
			content = gzipOf(t, plain)
		case 2:
			content = zstdOf(t, plain)
		}
		descriptors = append(descriptors, b.add(content))
	}
	return descriptors
}

// take is a function for Find that keeps what it is given.
type take struct {
	calls   int
	name    string
	content string
}

func (g *take) to(e layers.Entry, r io.Reader) error {
	b, err := io.ReadAll(r)
	g.calls++
	g.name, g.content = e.Name, string(b)
	return err
}

func TestFind(t *testing.T) {
	type image = [][]entry
	missing, invalid := fs.ErrNotExist, fs.ErrInvalid
	for name, c := range map[string]struct {
		layers image
		want   string // path
		give   string // content, or
		err    error
		read   string // how often each layer was opened, the bottom one first
	}{
		"top wins":            {image{{file("a", "old")}, {file("a", "new")}}, "a", "new", nil, "01"},
		"bottom":              {image{{file("a", "old")}, {file("b", "new")}}, "a", "old", nil, "11"},
		"dots and slashes":    {image{{file("./x/a", "1")}, {file("/x/b", "2")}}, "x/a", "1", nil, "11"},
		"none":                {image{{file("a", "")}, {file("b", "")}}, "c", "", missing, "11"},
		"no layers":           {image{}, "a", "", missing, ""},
		"empty file":          {image{{file("a", "old")}, {file("a", "")}}, "a", "", nil, "01"},
		"a prefix only":       {image{{file("usr/binx", "")}, {file("usr/bi", "")}}, "usr/bin", "", missing, "11"},
		"one layer":           {image{{file("a", "1")}}, "a", "1", nil, "1"},
		"whiteout":            {image{{file("d/a", "old")}, {file("d/.wh.a", "")}}, "d/a", "", missing, "01"},
		"whiteout of another": {image{{file("d/a", "old")}, {file("d/.wh.b", ""), file(".wh.a", "")}}, "d/a", "old", nil, "11"},
		"whiteout, then back": {image{{file("a", "old")}, {file(".wh.a", "")}, {file("a", "new")}}, "a", "new", nil, "001"},
		"whiteout above":      {image{{file("a", "1")}, {file("a", "2")}, {file(".wh.a", "")}}, "a", "", missing, "001"},
		"whiteout and file":   {image{{file("a", "old")}, {file("a", "new"), file(".wh.a", "")}}, "a", "new", nil, "01"},
		"whiteout of parent":  {image{{file("d/e/a", "old")}, {file(".wh.d", "")}}, "d/e/a", "", missing, "01"},
		"parent came back":    {image{{file("d/a", "old")}, {file(".wh.d", ""), file("d/b", "")}}, "d/a", "", missing, "01"},
		"opaque":              {image{{file("d/a", "old")}, {file("d/.wh..wh..opq", "")}}, "d/a", "", missing, "01"},
		"opaque with file":    {image{{file("d/a", "old")}, {file("d/a", "new"), file("d/.wh..wh..opq", "")}}, "d/a", "new", nil, "01"},
		"opaque higher up":    {image{{file("d/e/a", "old")}, {file("d/.wh..wh..opq", "")}}, "d/e/a", "", missing, "01"},
		"opaque deeper":       {image{{file("d/a", "old")}, {file("d/a2/.wh..wh..opq", "")}}, "d/a", "old", nil, "11"},
		"opaque root":         {image{{file("a", "old")}, {file(".wh..wh..opq", "")}}, "a", "", missing, "01"},
		"opaque elsewhere":    {image{{file("d/a", "old")}, {file("e/.wh..wh..opq", "")}}, "d/a", "old", nil, "11"},
		"AUFS's own":          {image{{file("d/a", "old")}, {file(".wh..wh.aufs", ""), file("d/.wh..wh.plnk", "")}}, "d/a", "old", nil, "11"},

		"link":                   {image{{file("bin/oc9", "oc"), link("bin/oc", "oc9")}}, "bin/oc", "oc", nil, "2"},
		"link, target later":     {image{{link("bin/oc", "oc9"), file("bin/oc9", "oc")}}, "bin/oc", "oc", nil, "2"},
		"link into below":        {image{{file("usr/oc", "oc")}, {link("bin/oc", "../usr/oc")}}, "bin/oc", "oc", nil, "11"},
		"link into above":        {image{{link("bin/oc", "/usr/oc")}, {file("usr/oc", "new")}}, "bin/oc", "new", nil, "12"},
		"absolute link":          {image{{file("usr/oc", "oc"), link("bin/oc", "/usr//./oc")}}, "bin/oc", "oc", nil, "2"},
		"link above the root":    {image{{file("oc", "oc"), link("bin/oc", "../../../oc")}}, "bin/oc", "oc", nil, "2"},
		"absolute with parents":  {image{{file("oc", "oc"), link("bin/oc", "/../../oc")}}, "bin/oc", "oc", nil, "2"},
		"parent in the middle":   {image{{file("usr/oc", "oc"), link("bin/oc", "../lib/../usr/oc")}}, "bin/oc", "", invalid, "1"},
		"link to a link":         {image{{file("c", "3"), link("b", "c"), link("a", "b")}}, "a", "3", nil, "2"},
		"link to nothing":        {image{{link("a", "b")}}, "a", "", missing, "1"},
		"link to the root":       {image{{link("a", "/")}}, "a", "", invalid, "1"},
		"link with no target":    {image{{link("a", "")}}, "a", "", invalid, "1"},
		"link to a whiteout":     {image{{file("b", "old"), link("a", "b")}, {file(".wh.b", "")}}, "a", "", missing, "11"},
		"link to itself":         {image{{link("a", "a")}}, "a", "", layers.ErrLimit, "1"},
		"links in a loop":        {image{{link("a", "d/b")}, {link("d/b", "../c")}, {link("c", "/a")}}, "a", "", layers.ErrLimit, "111"},
		"loop that grows":        {image{{link("a", "a/x")}}, "a", "", layers.ErrLimit, "1"},
		"hard links in a loop":   {image{{hard("a", "b"), hard("b", "a")}}, "a", "", layers.ErrLimit, "1"},
		"parent is a link":       {image{{file("usr/bin/oc", "oc")}, {link("bin", "usr/bin")}}, "bin/oc", "oc", nil, "11"},
		"parent links up":        {image{{file("usr/bin/oc", "oc"), link("usr/local/x/bin", "../../bin")}}, "usr/local/x/bin/oc", "oc", nil, "2"},
		"parent is a file":       {image{{file("bin/oc", "oc")}, {file("bin", "")}}, "bin/oc", "", missing, "01"},
		"directory over link":    {image{{link("bin", "usr/bin"), file("usr/bin/oc", "oc")}, {dir("bin")}}, "bin/oc", "", missing, "11"},
		"directory over link, 2": {image{{file("bin/oc", "hidden")}, {link("bin", "usr/bin")}, {dir("bin")}}, "bin/oc", "", missing, "011"},
		"implied directory":      {image{{link("bin", "usr/bin"), file("usr/bin/oc", "oc")}, {file("bin/sh", "")}}, "bin/oc", "", missing, "11"},
		"link over directory":    {image{{file("bin/oc", "old"), file("usr/bin/oc", "new")}, {link("bin", "usr/bin")}}, "bin/oc", "new", nil, "11"},
		"target of it above":     {image{{link("bin", "usr/bin")}, {file("usr/bin/oc", "new")}}, "bin/oc", "new", nil, "12"},
		"parent is a hard link":  {image{{file("usr/bin/oc", "oc"), link("l", "usr/bin"), hard("bin", "l")}}, "bin/oc", "oc", nil, "2"},
		"links at both ends":     {image{{file("usr/bin/oc9", "oc"), link("usr/bin/oc", "oc9")}, {link("bin", "/usr/bin")}}, "bin/oc", "oc", nil, "21"},

		"hard link":              {image{{file("x/first", "same"), hard("y/second", "x/first")}}, "y/second", "same", nil, "2"},
		"hard link, target late": {image{{hard("y/second", "./x/first"), file("x/first", "same")}}, "y/second", "same", nil, "2"},
		"hard link to link":      {image{{file("f", "1"), link("l", "f"), hard("h", "l")}, {file("f", "2")}}, "h", "2", nil, "12"},
		"hard link stays below":  {image{{file("x", "old"), hard("y", "x")}, {file("x", "new")}}, "y", "old", nil, "21"},
		"hard link over layers":  {image{{file("x", "old")}, {hard("y", "x")}}, "y", "old", nil, "11"},
		"hard link to nothing":   {image{{hard("y", "x")}, {file("x", "new")}}, "y", "", missing, "11"},

		"a directory":          {image{{file("d/a", "")}}, "d", "", invalid, "1"},
		"a device":             {image{{entry{tar.Header{Typeflag: tar.TypeBlock, Name: "a"}, ""}}}, "a", "", invalid, "1"},
		"twice":                {image{{file("a", "1"), file("a", "2")}}, "a", "", invalid, "1"},
		"twice, and a link":    {image{{file("a", "1"), link("a", "b")}}, "a", "", invalid, "1"},
		"link, then directory": {image{{link("d", "/etc"), dir("d"), file("d/a", "1")}}, "d/a", "", invalid, "1"},
		"directory twice":      {image{{dir("d"), file("d/a", "1"), dir("d")}}, "d/a", "1", nil, "1"},
		"twice below":          {image{{file("a", "1"), file("a", "2")}, {file("a", "3")}}, "a", "3", nil, "01"},
		"another twice":        {image{{file("b", "1"), file("a", "3"), file("b", "2")}}, "a", "3", nil, "1"},
		"through a link":       {image{{link("d", "/etc"), file("d/a", "1")}}, "d/a", "", invalid, "1"},
		"through a later one":  {image{{file("d/a", "1"), link("d", "/etc")}}, "d/a", "", invalid, "1"},
		"through a file":       {image{{file("d", ""), file("d/a", "1")}}, "d/a", "", invalid, "1"},

		"empty name":       {image{{file("a", "")}}, "", "", invalid, "0"},
		"root":             {image{{file("a", "")}}, ".", "", invalid, "0"},
		"absolute name":    {image{{file("a", "")}}, "/a", "", invalid, "0"},
		"name climbs":      {image{{file("a", "")}}, "b/../a", "", invalid, "0"},
		"bad whiteout":     {image{{file("a", "1")}, {file("d/.wh..", "")}}, "a", "", layers.ErrName, "01"},
		"climbing and old": {image{{file("a", "1")}, {file("d/.wh...", "")}}, "a", "", layers.ErrName, "01"},
		"whiteout of none": {image{{file("a", "1")}, {file("d/.wh.", "")}}, "a", "", layers.ErrName, "01"},
		"hostile above":    {image{{file("a", "1")}, {file("../a", "2")}}, "a", "", layers.ErrName, "01"},
		"hostile below":    {image{{file("../a", "2")}, {file("a", "1")}}, "a", "1", nil, "01"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBlobs()
			image := b.image(t, c.layers...)
			var got take
			err := layers.Find(t.Context(), b.Open, image, c.want, got.to)
			if !errors.Is(err, c.err) || err == nil && (got.calls != 1 || got.content != c.give) {
				t.Errorf("%v, gave %q in %d calls", err, got.content, got.calls)
			}
			if got.calls > 1 {
				t.Errorf("%d calls", got.calls)
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

func TestFindEntry(t *testing.T) {
	b := newBlobs()
	image := b.image(t, []entry{file("usr/bin/oc9", "oc"), link("usr/bin/oc", "oc9")}, []entry{link("bin", "usr/bin")})
	var got layers.Entry
	err := layers.Find(t.Context(), b.Open, image, "bin/oc", func(e layers.Entry, _ io.Reader) error {
		got = e
		return nil
	})
	want := layers.Entry{Name: "usr/bin/oc9", Type: tar.TypeReg, Mode: 0o755, Size: 2}
	if err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	mine := errors.New("disk is full")
	if err := layers.Find(t.Context(), b.Open, image, "bin/oc", func(layers.Entry, io.Reader) error { return mine }); !errors.Is(err, mine) {
		t.Errorf("error of the function: %v", err)
	}
}

// TestTree finds several files and reads layers again for their content only.
func TestTree(t *testing.T) {
	b := newBlobs()
	image := b.image(t, []entry{file("low", "1")}, []entry{file("middle", "2")}, []entry{file("high", "3")})
	tree := layers.NewTree(b.Open, image)
	for _, c := range []struct {
		name, content string
		opened        int
	}{{"high", "3", 1}, {"low", "1", 3}, {"middle", "2", 4}, {"none", "", 4}} {
		var got take
		err := tree.Find(t.Context(), c.name, got.to)
		opened := 0
		for _, n := range b.opened {
			opened += n
		}
		if got.content != c.content || (err == nil) != (c.content != "") || opened != c.opened {
			t.Errorf("%s: %q, %v, %d layers opened", c.name, got.content, err, opened)
		}
	}
	// A failed reading leaves nothing behind that a later one would trust.
	d := image[2]
	whole := b.content[d.Digest]
	broken := layers.NewTree(b.Open, image)
	b.content[d.Digest] = whole[:len(whole)-1]
	var got take
	var mismatch *oci.MismatchError
	if err := broken.Find(t.Context(), "none", got.to); !errors.As(err, &mismatch) {
		t.Errorf("damaged layer: %v", err)
	}
	b.content[d.Digest] = whole
	if err := broken.Find(t.Context(), "high", got.to); err != nil || got.content != "3" {
		t.Errorf("after the damage: %q, %v", got.content, err)
	}
}

func TestListingIsBounded(t *testing.T) {
	b := newBlobs()
	image := b.image(t, []entry{file("a/b/c/d", "1")}, []entry{file(strings.Repeat("x/", 1000)+"x", "")})
	tree := layers.NewTree(b.Open, image)
	layers.LimitListing(tree, 20_000) // one name, but a thousand directories
	var got take
	if err := tree.Find(t.Context(), "a/b/c/d", got.to); !errors.Is(err, layers.ErrLimit) {
		t.Errorf("%v", err)
	}
}

// TestLinksAreBounded follows as many links as are allowed, and not one more.
func TestLinksAreBounded(t *testing.T) {
	entries := []entry{file("0", "end")}
	for i := range layers.MaxLinks + 1 {
		entries = append(entries, link(strings.Repeat("l", i+1), strings.Repeat("l", i)+strings.Repeat("0", max(0, 1-i))))
	}
	b := newBlobs()
	tree := layers.NewTree(b.Open, b.image(t, entries))
	var got take
	if err := tree.Find(t.Context(), strings.Repeat("l", layers.MaxLinks), got.to); err != nil || got.content != "end" {
		t.Errorf("%q, %v", got.content, err)
	}
	if err := tree.Find(t.Context(), strings.Repeat("l", layers.MaxLinks+1), got.to); !errors.Is(err, layers.ErrLimit) {
		t.Errorf("one more: %v", err)
	}
}
