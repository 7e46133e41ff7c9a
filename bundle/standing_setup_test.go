package bundle_test

import (
	"bytes"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// standing is a bundle in memory of which runs leave something behind.
type standing struct {
	s        *source
	prologue *bundle.Prologue
	m        medium // the whole bundle
	volumes  []bundle.Volume
	cut      digest.Digest // the blob that is cut
}

// newStanding makes a small bundle of three volumes. The first has whole blobs, a
// compressed one and the first two extents of another, the second its third and
// nothing else, the third its last two, and whole blobs behind them.
func newStanding(t testing.TB) standing {
	t.Helper()
	s := newSource("standing")
	text := []byte(hex.EncodeToString(s.random(1_000)))
	s.add(t, "registry.example/a:1", layer{typeGzip, s.random(700)}, layer{typeTar, text})
	s.add(t, "registry.example/b:1", layer{typeGzip, s.random(6_000)})
	s.add(t, "registry.example/c:1", layer{typeGzip, nil})
	prologue := s.place(t, func(plan *bundle.Plan) {
		plan.Volumes = 3
		cut := &plan.Blobs[4]
		cut.Volume, cut.Extents = 0, []bundle.Extent{{Size: 1_000, Volume: 1}, {Size: 513, Volume: 1}, {Size: 3_000, Volume: 2}, {Size: 1_000, Volume: 3}, {Size: 487, Volume: 3}}
		plan.Blobs[5].Volume, plan.Blobs[6].Volume = 3, 3
	})
	dir := newDir(medium{})
	inventory := s.writeInto(t, dir, prologue)
	return standing{s: s, prologue: prologue, m: dir.files, volumes: inventory.Volumes, cut: prologue.Plan().Blobs[4].Digest}
}

// place plans the selection with other places than the planner would choose.
func (s *source) place(t testing.TB, edit func(*bundle.Plan)) *bundle.Prologue {
	t.Helper()
	_, prologue, err := bundle.NewPlan(s.selection, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	plan := editPlan(t, prologue.PlanJSON(), edit)
	if prologue, err = bundle.NewPrologue(plan, s.selection.Contents); err != nil {
		t.Fatal(err)
	}
	return prologue
}

// editPlan returns a plan that differs from another, and must be as good.
func editPlan(t testing.TB, planJSON []byte, edit func(*bundle.Plan)) *bundle.Plan {
	t.Helper()
	plan, err := bundle.ParsePlan(planJSON)
	if err != nil {
		t.Fatal(err)
	}
	edit(plan)
	edited, err := plan.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if plan, err = bundle.ParsePlan(edited); err != nil {
		t.Fatal(err)
	}
	return plan
}

// reader returns a reader of the bundle's volumes.
func (b standing) reader(t testing.TB) *bundle.Reader {
	t.Helper()
	r, err := bundle.NewReader(b.prologue, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// read reads what stands of a volume that must be there.
func read(t testing.TB, r *bundle.Reader, m medium, n int, final bool) *bundle.Standing {
	t.Helper()
	s, err := r.Read(t.Context(), m.fs(), n, final)
	if err != nil || s == nil {
		t.Fatalf("volume %d: %v, %v", n, s, err)
	}
	return s
}

// wholeMembers are the members of a volume that end before that byte, and the
// bytes that they make with the prologue: 0 when not even that is whole.
func (b standing) wholeMembers(v bundle.Volume, end int64) ([]bundle.Placed, int64) {
	if end < b.prologue.Size() {
		return []bundle.Placed{}, 0
	}
	size, n := b.prologue.Size(), 0
	for n < len(v.Members) && v.Members[n].Offset+v.Members[n].Length <= end {
		size = v.Members[n].Offset + v.Members[n].Length
		n++
	}
	return v.Members[:n], size
}

// ends are the places in a volume where what stands changes.
func (b standing) ends(v bundle.Volume) []int64 {
	ends := []int64{b.prologue.Size(), v.Size}
	for _, m := range v.Members {
		ends = append(ends, m.Offset+m.Length)
	}
	return ends
}

// checkStands fails the test unless just these members stand.
func checkStands(t testing.TB, what string, s *bundle.Standing, members []bundle.Placed, size int64) {
	t.Helper()
	if !slices.Equal(s.Volume.Members, members) || s.Volume.Size != size {
		t.Errorf("%s: %d bytes stand, with members %v; want %d, %v", what, s.Volume.Size, s.Volume.Members, size, members)
	}
}

// resume goes on with what stands of an unfinished volume and finishes it. The
// volume must be the one that an undisturbed run makes.
func (b standing) resume(t testing.TB, what string, s *bundle.Standing, m medium, lacks ...digest.Digest) {
	t.Helper()
	dir := newDir(m)
	w, err := s.Resume(dir)
	if err != nil {
		t.Fatal(err)
	}
	b.finish(t, what, w, dir, lacks...)
}

func (b standing) finish(t testing.TB, what string, w *bundle.VolumeWriter, dir *memoryDir, lacks ...digest.Digest) {
	t.Helper()
	v := b.s.writeRest(t, w, lacks...)
	want := b.volumes[v.Number-1]
	if v.Digest != want.Digest || v.Size != want.Size || !slices.Equal(v.Members, want.Members) {
		t.Errorf("%s: resumed, the volume is %+v, want %+v", what, v, want)
	}
	if !bytes.Equal(dir.files[v.Name], b.m[v.Name]) {
		t.Errorf("%s: resumed, %s has other bytes", what, v.Name)
	}
}

// split puts the content of a stored frame into two, the first of n bytes.
func split(t testing.TB, frame []byte, n int) []byte {
	t.Helper()
	content := unframe(t, frame)
	return storedFrame(storedFrame(nil, content[:n]), content[n:])
}

// compressed is a frame of the format that another encoder made.
func compressed(t testing.TB, content []byte) []byte {
	t.Helper()
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithSingleSegment(false), zstd.WithWindowSize(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer encoder.Close()
	return encoder.EncodeAll(content, nil)
}
