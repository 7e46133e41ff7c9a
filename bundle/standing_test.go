package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"

	"satchel/bundle"
	"satchel/oci"
)

// thinned reports whether byte i of a volume may be passed over: most of the
// prologue, which is compared and not understood.
func (b standing) thinned(i int) bool { return int64(i) < b.prologue.Size()-10 && i%23 != 0 }

// TestStandingTruncated cuts each volume at every third byte, and around the end
// of each member. Of the unfinished one
// just the whole members stand, and going on from there gives the same bytes.
func TestStandingTruncated(t *testing.T) {
	t.Parallel()
	b := newStanding(t)
	for _, v := range b.volumes {
		ends := b.ends(v)
		eachWith(int(v.Size)+1, 1, func() *bundle.Reader { return b.reader(t) }, func(r *bundle.Reader, i int) {
			if b.thinned(i) || i%3 > 0 && !slices.ContainsFunc(ends, func(end int64) bool { return i >= int(end)-1 && i <= int(end)+1 }) {
				return
			}
			what := fmt.Sprintf("%s cut to %d bytes", v.Name, i)
			m := medium{v.Name: b.m[v.Name][:i]}
			whole := int64(i) == v.Size
			members, size := b.wholeMembers(v, int64(i))

			if i%5 == 0 || slices.Contains(ends, int64(i)) {
				s := read(t, r, m, v.Number, true)
				if s.Complete != whole || (s.Damage == nil) != whole || !s.Final || s.FileSize != int64(i) || whole && s.Volume.Digest != v.Digest {
					t.Errorf("%s, final: %+v", what, s)
				}
				if whole {
					checkStands(t, what, s, members, v.Size)
				} else {
					checkStands(t, what, s, members, size)
				}
			}
			m = m.unfinished(v.Name)
			s := read(t, r, m, v.Number, false)
			checkStands(t, what, s, members, size)
			if s.Complete != whole || (s.Damage == nil) != slices.Contains(ends, int64(i)) || s.Final || len(s.Lacks) > 0 || s.FileSize != int64(i) {
				t.Errorf("%s, unfinished: %+v", what, s)
			}
			if size > 0 && (i%7 == 0 || slices.Contains(ends, int64(i))) {
				b.resume(t, what, s, m)
			}
		})
	}
}

// TestStandingFlipped flips a bit of each byte. What is before it stands, and
// nothing else.
func TestStandingFlipped(t *testing.T) {
	t.Parallel()
	b := newStanding(t)
	for _, v := range b.volumes {
		eachWith(int(v.Size), 1, func() *bundle.Reader { return b.reader(t) }, func(r *bundle.Reader, i int) {
			if b.thinned(i) {
				return
			}
			what := fmt.Sprintf("%s, byte %d flipped", v.Name, i)
			content := bytes.Clone(b.m[v.Name])
			content[i] ^= 1 << (i % 8)
			m := medium{v.Name: content, v.Name + ".part": content}
			members, size := b.wholeMembers(v, int64(i))
			for _, final := range []bool{false, true}[:1+i%2] {
				s := read(t, r, m, v.Number, final)
				checkStands(t, what, s, members, size)
				if s.Damage == nil || s.Complete || len(s.Lacks) > 0 {
					t.Errorf("%s, final %t: %+v", what, final, s)
				}
				if size > 0 && !final && i%53 == 0 {
					b.resume(t, what, s, m)
				}
			}
		})
	}
}

// TestStandingLonger has something behind the end of a volume.
func TestStandingLonger(t *testing.T) {
	b := newStanding(t)
	for _, v := range b.volumes {
		for _, more := range [][]byte{{0}, b.m[v.Name], b.m[v.Name][v.Size-1041:]} {
			content := slices.Concat(b.m[v.Name], more)
			m := medium{v.Name: content, v.Name + ".part": content}
			members, size := b.wholeMembers(v, v.Size)
			for _, final := range []bool{true, false} {
				s := read(t, b.reader(t), m, v.Number, final)
				checkStands(t, v.Name, s, members, size)
				if s.Damage == nil || s.Complete {
					t.Errorf("%s and %d bytes more, final %t: %+v", v.Name, len(more), final, s)
				}
				if !final {
					b.resume(t, v.Name, s, m)
				}
			}
		}
	}
}

// TestStandingOther has files that nothing stands of: volumes of another plan,
// or another volume of this one.
func TestStandingOther(t *testing.T) {
	b := newStanding(t)
	one, two := b.volumes[0].Name, b.volumes[1].Name
	other := newSource("standing")
	other.add(t, "registry.example/other:1", layer{typeGzip, other.random(700)})
	dir := newDir(medium{})
	other.writeInto(t, dir, other.place(t, func(plan *bundle.Plan) { plan.Volumes = 3 }))
	for what, content := range map[string][]byte{
		"another plan": dir.files[one], "another volume": b.m[two], "empty": nil, "garbage": []byte("garbage"),
	} {
		m := medium{one: content, one + ".part": content}
		for _, final := range []bool{true, false} {
			s := read(t, b.reader(t), m, 1, final)
			checkStands(t, what, s, []bundle.Placed{}, 0)
			if s.Damage == nil || s.Complete || s.FileSize != int64(len(content)) {
				t.Errorf("%s, final %t: %+v", what, final, s)
			}
		}
	}
}

// TestStandingNoFile has nothing to read, or cannot.
func TestStandingNoFile(t *testing.T) {
	b := newStanding(t)
	name := b.volumes[0].Name
	r := b.reader(t)
	for _, final := range []bool{true, false} {
		if s, err := r.Read(t.Context(), fstest.MapFS{}, 1, final); s != nil || err != nil {
			t.Errorf("no file: %v, %v", s, err)
		}
	}
	if s := read(t, r, medium{name + "/x": nil}, 1, true); s.Damage == nil || s.Complete || s.Volume.Size != 0 {
		t.Errorf("a directory: %+v", s)
	}
	if s, err := r.Read(t.Context(), failingFS{b.m.fs(), b.prologue.Size() + 100}, 1, true); err != nil || !errors.Is(s.Damage, errStick) || s.Volume.Size != b.prologue.Size() {
		t.Errorf("a stick that fails: %+v, %v", s, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := r.Read(ctx, b.m.fs(), 1, true); s != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v, %v", s, err)
	}
	if _, err := bundle.NewReader(openFS(t, b.m).Prologue, nil); err == nil {
		t.Error("a prologue that was read from a volume cannot be compared with")
	}
}

// TestStandingProgress counts what is read.
func TestStandingProgress(t *testing.T) {
	b := newStanding(t)
	total := int64(0)
	r, err := bundle.NewReader(b.prologue, func(n int64) { total += n })
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	want := int64(0)
	for _, v := range b.volumes {
		read(t, r, b.m, v.Number, true)
		want += v.Size
	}
	if total != want {
		t.Errorf("%d bytes of %d", total, want)
	}
}

// TestStandingCut reads the volumes of a cut blob, all or some of them.
func TestStandingCut(t *testing.T) {
	b := newStanding(t)
	cut := b.prologue.Blob(b.cut)
	for _, test := range []struct {
		numbers []int
		right   bool
	}{{[]int{1, 2, 3}, true}, {[]int{1, 1, 2, 3}, true}, {[]int{1, 2}, false}, {[]int{2, 3}, false}, {[]int{1, 3}, false}, {[]int{1, 2, 2, 3}, false}} {
		r := b.reader(t)
		for _, n := range test.numbers {
			if s := read(t, r, b.m, n, true); !s.Complete {
				t.Errorf("%v: volume %d: %+v", test.numbers, n, s)
			}
		}
		if r.Right(cut) != test.right {
			t.Errorf("%v: the blob is right: %t", test.numbers, r.Right(cut))
		}
	}
	// The last volume is unfinished: with the last extents, and without.
	for end, right := range map[int64]bool{b.prologue.Size(): false, b.volumes[2].Members[1].Offset: false, b.volumes[2].Members[2].Offset: true} {
		r := b.reader(t)
		read(t, r, b.m, 1, true)
		read(t, r, b.m, 2, true)
		name := b.volumes[2].Name
		if read(t, r, medium{name + ".part": b.m[name][:end]}, 3, false); r.Right(cut) != right {
			t.Errorf("%d bytes of volume 3: the blob is right: %t", end, r.Right(cut))
		}
	}
}

// TestStandingWrongBlob has frames in good form with other content.
func TestStandingWrongBlob(t *testing.T) {
	b := newStanding(t)
	for i := range b.prologue.Plan().Blobs {
		blob := &b.prologue.Plan().Blobs[i]
		if blob.Size == 0 {
			continue
		}
		for _, n := range blob.VolumesOf() {
			wrong := b.forge(t, blob, n)
			r := b.reader(t)
			var stand []*bundle.Standing
			for n := 1; n <= 3; n++ {
				stand = append(stand, read(t, r, wrong, n, true))
			}
			if blob.Digest != b.cut {
				s := stand[n-1]
				mustAs[*oci.MismatchError](t, s.Damage)
				checkBefore(t, s, blob)
				continue
			}
			// A cut blob is found wrong at its end; it is taken back in all volumes.
			w := mustAs[*bundle.WrongBlobError](t, stand[2].Damage)
			if w.Blob != blob || r.Right(blob) {
				t.Errorf("extent in volume %d is wrong: %v, right %t", n, w, r.Right(blob))
			}
			checkBefore(t, stand[2], blob)
			for n, s := range stand {
				if s.CutBack(blob); s.Complete || s.Volume.Digest != "" {
					t.Errorf("volume %d stands still: %+v", n+1, s)
				}
				checkBefore(t, s, blob)
				name := s.Volume.Name
				b.resume(t, name+" with a wrong extent", s, wrong.unfinished(name))
			}
		}
	}
}

// forge returns the bundle with other content of a blob in one volume.
func (b standing) forge(t testing.TB, blob *bundle.Blob, n int) medium {
	t.Helper()
	content := bytes.Clone(b.s.blobs[blob.Digest])
	for _, m := range b.prologue.Plan().Members(n) {
		if m.Blob == blob {
			content[m.Start] ^= 1
			break
		}
	}
	dir := newDir(b.m)
	w, err := bundle.CreateVolume(dir, b.prologue, n)
	if err != nil {
		t.Fatal(err)
	}
	for m, ok := w.Next(); ok; m, ok = w.Next() {
		from := b.s.blobs[m.Blob.Digest]
		if m.Blob == blob {
			from = content
		}
		if err := w.WriteMember(bytes.NewReader(from[m.Start:])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	return dir.files
}

// checkBefore fails the test unless the volume stands to where the blob begins.
func checkBefore(t testing.TB, s *bundle.Standing, blob *bundle.Blob) {
	t.Helper()
	if slices.ContainsFunc(s.Volume.Members, func(p bundle.Placed) bool { return p.Digest == blob.Digest }) {
		t.Errorf("blob %s stands in %s: %+v", blob.Digest, s.Volume.Name, s.Volume)
	}
}

var errStick = errors.New("the stick fails")

// failingFS fails to read behind a byte.
type failingFS struct {
	fs.FS
	end int64
}

type failingFile struct {
	fs.File
	end int64
}

func (f failingFS) Open(name string) (fs.File, error) {
	file, err := f.FS.Open(name)
	return failingFile{file, f.end}, err
}

func (f failingFile) ReadAt(p []byte, at int64) (int, error) {
	if at >= f.end {
		return 0, errStick
	}
	n, err := f.File.(interface {
		ReadAt([]byte, int64) (int, error)
	}).ReadAt(p[:min(int64(len(p)), f.end-at)], at)
	return n, err
}

// openFS opens a bundle in memory.
func openFS(t testing.TB, media ...medium) *bundle.Bundle {
	t.Helper()
	var all []bundle.Medium
	for i, m := range media {
		all = append(all, bundle.Medium{Name: fmt.Sprint("medium ", i+1), FS: m.fs()})
	}
	b, err := bundle.Open(all...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}
