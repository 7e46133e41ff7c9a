package bundle_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// partial is the bundle without some blobs.
func (b standing) partial(t testing.TB, lacks ...digest.Digest) standing {
	t.Helper()
	dir := newDir(medium{})
	inventory := b.s.writeInto(t, dir, b.prologue, lacks...)
	b.m, b.volumes = dir.files, inventory.Volumes
	return b
}

// lackSets are blobs to leave out: each alone, neighbours, and all.
func (b standing) lackSets() [][]digest.Digest {
	var sets [][]digest.Digest
	var all []digest.Digest
	blobs := b.prologue.Plan().Blobs
	for i := range blobs {
		all = append(all, blobs[i].Digest)
		sets = append(sets, []digest.Digest{blobs[i].Digest}, all[max(0, i-1):i+1:i+1])
	}
	return append(sets, all)
}

// TestStandingLacks reads volumes that lack members, and goes on with them: so as
// to make them whole, or as they are.
func TestStandingLacks(t *testing.T) {
	t.Parallel()
	b := newStanding(t)
	for i, lacks := range b.lackSets() {
		p := b.partial(t, lacks...)
		for n, v := range p.volumes {
			what := fmt.Sprintf("lack set %d, %s", i, v.Name)
			planned := b.prologue.Plan().Members(v.Number)
			var lacking []bundle.Member
			first := len(planned)
			for k, m := range planned {
				if slices.Contains(lacks, m.Blob.Digest) {
					lacking, first = append(lacking, m), min(first, k)
				}
			}
			s := read(t, p.reader(t), p.m, v.Number, true)
			checkStands(t, what, s, v.Members, v.Size)
			if !s.Complete || s.Damage != nil || s.Volume.Digest != v.Digest || !slices.Equal(s.Lacks, lacking) {
				t.Errorf("%s, final: %+v, want %v lacking", what, s, lacking)
			}

			part := p.m.unfinished(v.Name)
			s = read(t, p.reader(t), part, v.Number, false)
			_, size := b.wholeMembers(v, v.Size)
			if first < len(planned) {
				_, size = b.wholeMembers(v, append([]int64{b.prologue.Size()}, b.ends(b.volumes[n])[2:]...)[first])
			}
			checkStands(t, what, s, v.Members[:first:first], size)
			if s.Complete != (lacking == nil) || (s.Damage == nil) != (lacking == nil) || len(s.Lacks) > 0 {
				t.Errorf("%s, unfinished: %+v", what, s)
			}
			b.resume(t, what+", made whole", s, part)

			for _, end := range p.ends(v) {
				part[v.Name+".part"] = p.m[v.Name][:end]
				r := p.reader(t)
				r.KeepLacks = true
				s = read(t, r, part, v.Number, false)
				members, size := p.wholeMembers(v, end)
				checkStands(t, what, s, members, size)
				if s.Complete != (end == v.Size) || s.Damage != nil || !slices.Equal(s.Lacks, b.lacksBefore(planned, lacks, members, s.Complete)) {
					t.Errorf("%s, %d bytes, lacks kept: %+v", what, end, s)
				}
				p.resume(t, what+", kept as it is", s, part, lacks...)
			}
		}
	}
}

// lacksBefore are the lacking members before the last that stands, or all that
// are lacking when the volume is complete.
func (b standing) lacksBefore(planned []bundle.Member, lacks []digest.Digest, stand []bundle.Placed, complete bool) []bundle.Member {
	var lacking []bundle.Member
	for _, m := range planned {
		switch {
		case len(stand) > 0 && m.Blob.Digest == stand[0].Digest && m.Start == stand[0].Start:
			stand = stand[1:]
		case (len(stand) > 0 || complete) && slices.Contains(lacks, m.Blob.Digest):
			lacking = append(lacking, m)
		}
	}
	return lacking
}

// TestStandingLacksCutBack takes a cut blob back behind members that are lacking,
// and stay so.
func TestStandingLacksCutBack(t *testing.T) {
	b := newStanding(t)
	lacks := b.prologue.Plan().Blobs[3].Digest
	p := b.partial(t, lacks)
	v := p.volumes[0]
	m := p.m.unfinished(v.Name)
	r := p.reader(t)
	r.KeepLacks = true
	s := read(t, r, m, 1, false)
	s.CutBack(b.prologue.Blob(b.cut))
	members, size := p.wholeMembers(v, v.Members[3].Offset)
	checkStands(t, v.Name, s, members, size)
	dir := newDir(m)
	w, err := s.Resume(dir)
	if err != nil {
		t.Fatal(err)
	}
	if next, _ := w.Next(); next.Blob.Digest != b.cut || next.Extent != 1 {
		t.Errorf("next is %s", next.Name())
	}
	p.finish(t, v.Name, w, dir, lacks)
}

// TestStandingOrder has members that are whole and not where they must be.
func TestStandingOrder(t *testing.T) {
	b := newStanding(t)
	v := b.volumes[0]
	content := b.m[v.Name]
	at := func(p bundle.Placed) []byte { return content[p.Offset : p.Offset+p.Length] }
	start, end := content[:b.prologue.Size()], content[v.Size-1041:]
	one, two, extent := at(v.Members[0]), at(v.Members[1]), at(v.Members[4])
	foreign := storedFrame(nil, otherEntry("blobs/sha256/"+digest.FromString("foreign").Encoded(), []byte("foreign")))
	other := b.m[b.volumes[2].Name][b.volumes[2].Members[2].Offset:][:b.volumes[2].Members[2].Length]
	for what, test := range map[string]struct {
		content    []byte
		kept, left int // members that stand with KeepLacks, and without
	}{
		"swapped":             {slices.Concat(start, two, one, end), 1, 0},
		"twice":               {slices.Concat(start, one, one, two, end), 1, 1},
		"of no volume":        {slices.Concat(start, one, foreign, two, end), 1, 1},
		"of another volume":   {slices.Concat(start, one, other, two, end), 1, 1},
		"second extent first": {slices.Concat(start, extent, at(v.Members[5]), extent, end), 2, 0},
		"no end":              {slices.Concat(start, one, end[:1024]), 1, 1},
		"two ends":            {slices.Concat(start, one, end, end), 1, 1},
		"cut elsewhere":       {slices.Concat(start, one, split(t, two, 512), end), 1, 1},
		"cut in the header":   {slices.Concat(start, split(t, one, 100), two, end), 0, 0},
		"not stored":          {slices.Concat(start, compressed(t, otherEntry("blobs/sha256/"+v.Members[0].Digest.Encoded(), b.s.blobs[v.Members[0].Digest])), end), 0, 0},
		"another encoder":     {slices.Concat(start, one, two, compressed(t, otherEntry("blobs/sha256/"+v.Members[2].Digest.Encoded(), b.s.blobs[v.Members[2].Digest])), end), 2, 2},
		"not compressed":      {slices.Concat(start, one, two, storedFrame(nil, otherEntry("blobs/sha256/"+v.Members[2].Digest.Encoded(), b.s.blobs[v.Members[2].Digest])), end), 2, 2},
	} {
		m := medium{v.Name: test.content, v.Name + ".part": test.content}
		for _, keep := range []bool{false, true} {
			for _, final := range []bool{false, true} {
				r := b.reader(t)
				r.KeepLacks = keep
				s := read(t, r, m, 1, final)
				want := test.left
				if keep || final {
					want = test.kept
				}
				if s.Complete || s.Damage == nil || len(s.Volume.Members) != want {
					t.Errorf("%s, lacks kept: %t, final: %t: %+v, want %d members", what, keep, final, s, want)
				}
			}
		}
	}
}

// TestStandingUndo goes on with a volume and undoes what stands of a cut blob, or
// what was written since.
func TestStandingUndo(t *testing.T) {
	b := newStanding(t)
	for _, v := range b.volumes {
		planned := b.prologue.Plan().Members(v.Number)
		// begins is where the blob of member k begins in the volume.
		begins := func(k int) int {
			for k > 0 && planned[k-1].Blob == planned[k].Blob {
				k--
			}
			return k
		}
		offset := func(k int) int64 {
			if k == len(v.Members) {
				return v.Size - 1041
			}
			return v.Members[k].Offset
		}
		for k := range len(v.Members) + 1 {
			name := v.Name + ".part"
			begin := func() (*memoryDir, *bundle.VolumeWriter) {
				dir := newDir(medium{name: append(bytes.Clone(b.m[v.Name][:offset(k)]), "more"...)})
				w, err := read(t, b.reader(t), dir.files, v.Number, false).Resume(dir)
				if err != nil {
					t.Fatal(err)
				}
				return dir, w
			}
			// undo takes the blob of a member back, and nothing when another is asked for.
			undo := func(what string, dir *memoryDir, w *bundle.VolumeWriter, last, back int) {
				t.Helper()
				before, size := w.Left(), len(dir.files[name])
				for i := range planned {
					if planned[i].Blob == planned[last].Blob {
						continue
					}
					if err := w.Undo(planned[i].Blob); err != nil || len(w.Left()) != len(before) || len(dir.files[name]) != size {
						t.Errorf("%s of %d members, %s: undoing another blob: %v, %d bytes of %d", name, k, what, err, len(dir.files[name]), size)
					}
				}
				for range 2 {
					if err := w.Undo(planned[last].Blob); err != nil {
						t.Fatal(err)
					}
				}
				m, ok := w.Next()
				if ok != (back < len(planned)) || ok && m != planned[back] || int64(len(dir.files[name])) != offset(back) {
					t.Errorf("%s of %d members, %s: %d bytes, next is %s, want %d, member %d",
						name, k, what, len(dir.files[name]), m.Name(), offset(back), back)
				}
				b.finish(t, what, w, dir)
			}
			dir, w := begin()
			back := k
			if k > 0 && planned[k-1].Extent > 0 {
				back = begins(k - 1)
			}
			undo("nothing written", dir, w, max(0, k-1), back)
			if k == len(planned) {
				continue
			}
			dir, w = begin()
			if err := w.WriteMember(bytes.NewReader(b.s.blobs[planned[k].Blob.Digest][planned[k].Start:])); err != nil {
				t.Fatal(err)
			}
			undo("a member written", dir, w, k, begins(k))
			if planned[k].Size == 0 {
				continue
			}
			dir, w = begin()
			if err := w.WriteMember(iotest.ErrReader(errStick)); !errors.Is(err, errStick) {
				t.Fatal(err)
			}
			undo("a member broken off", dir, w, k, begins(k))
		}
	}
}

// TestUndoFinished undoes the last blob of a volume that is finished already.
func TestUndoFinished(t *testing.T) {
	b := newStanding(t)
	for _, v := range b.volumes {
		dir := newDir(medium{})
		w, err := bundle.CreateVolume(dir, b.prologue, v.Number)
		if err != nil {
			t.Fatal(err)
		}
		var last *bundle.Blob
		for m, ok := w.Next(); ok; m, ok = w.Next() {
			last = m.Blob
			if err := w.WriteMember(bytes.NewReader(b.s.blobs[m.Blob.Digest][m.Start:])); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		if err := w.Undo(last); err != nil {
			t.Fatal(err)
		}
		if _, ok := w.Next(); !ok {
			t.Errorf("%s: nothing was undone", v.Name)
		}
		b.finish(t, "undone", w, dir)
	}
}
