package bundle_test

import (
	"bytes"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// FuzzReader reads what stands of a volume of any bytes. With framed they are tar
// entries, which the test puts behind the prologue in frames with the right
// checksums. Whatever they are, what stands is what is written there, and a run
// that goes on with it ends in a volume whose digest is known.
func FuzzReader(f *testing.F) {
	b := newStanding(f)
	for _, b := range []standing{b, b.partial(f, b.cut), b.partial(f, b.prologue.Plan().Blobs[1].Digest)} {
		for _, v := range b.volumes {
			for _, end := range b.ends(v) {
				f.Add(b.m[v.Name][:end], uint8(v.Number), end == v.Size, end != v.Size, false)
			}
			f.Add(unframe(f, b.m[v.Name][b.prologue.Size():]), uint8(v.Number), false, true, true)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, number uint8, final, keepLacks, framed bool) {
		n := int(number)%len(b.volumes) + 1
		name := b.volumes[n-1].Name
		if framed {
			data = append(bytes.Clone(b.m[name][:b.prologue.Size()]), frameAgain(data)...)
		}
		m := medium{name: data, name + ".part": data}
		r := b.reader(t)
		r.KeepLacks = keepLacks
		s := read(t, r, m, n, final)
		b.checkStanding(t, s, data)
		if size := s.Volume.Size; final || size == 0 {
			return
		}
		dir := newDir(m)
		w, err := s.Resume(dir)
		if err != nil {
			t.Fatal(err)
		}
		v := b.s.writeRest(t, w)
		if digest.FromBytes(dir.files[name]) != v.Digest || int64(len(dir.files[name])) != v.Size {
			t.Errorf("resumed: %d bytes, digest %s, stated are %d, %s", len(dir.files[name]), digest.FromBytes(dir.files[name]), v.Size, v.Digest)
		}
		if again := read(t, b.reader(t), dir.files, n, true); !again.Complete {
			t.Errorf("resumed: %+v", again)
		}
	})
}

// checkStanding compares what is said to stand with what a volume has there.
func (b standing) checkStanding(t *testing.T, s *bundle.Standing, data []byte) {
	t.Helper()
	v := s.Volume
	if v.Size == 0 {
		if s.Damage == nil || s.Complete || len(v.Members) > 0 {
			t.Errorf("without a prologue: %+v", s)
		}
		return
	}
	start := b.prologue.Size()
	if !bytes.Equal(data[:start], b.m[v.Name][:start]) {
		t.Fatal("another prologue stands")
	}
	planned := b.prologue.Plan().Members(v.Number)
	at, lacks := start, 0
	for _, p := range v.Members {
		for len(planned) > 0 && (planned[0].Blob.Digest != p.Digest || planned[0].Start != p.Start) {
			planned, lacks = planned[1:], lacks+1
		}
		if len(planned) == 0 || planned[0].Size != p.Size || p.Offset != at {
			t.Fatalf("%+v stands at byte %d, and is not planned there", p, at)
		}
		written := b.frames(t, v.Number, p)
		if at += p.Length; p.Length != int64(len(written)) || planned[0].Extent == 0 && !bytes.Equal(data[p.Offset:at], written) {
			t.Fatalf("%+v stands, and has other bytes than are written", p)
		}
		planned = planned[1:]
	}
	if s.Complete {
		lacks += len(planned)
		if !bytes.Equal(data[at:], b.m[v.Name][len(b.m[v.Name])-1041:]) {
			t.Fatal("complete without the end of a volume")
		}
	}
	if s.Complete && s.Final {
		if at += 1041; v.Digest != digest.FromBytes(data) {
			t.Fatalf("digest %s", v.Digest)
		}
	}
	if at != v.Size || lacks != len(s.Lacks) || s.Final && s.Complete != (s.Damage == nil) || s.FileSize != int64(len(data)) {
		t.Fatalf("%d bytes, %d lacking: %+v", at, lacks, s)
	}
}

// frames are those of a member in the whole bundle.
func (b standing) frames(t *testing.T, n int, p bundle.Placed) []byte {
	t.Helper()
	for _, whole := range b.volumes[n-1].Members {
		if whole.Digest == p.Digest && whole.Start == p.Start {
			return b.m[b.volumes[n-1].Name][whole.Offset : whole.Offset+whole.Length]
		}
	}
	t.Fatalf("%+v is not in volume %d", p, n)
	return nil
}
