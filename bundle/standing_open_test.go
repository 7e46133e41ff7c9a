package bundle_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"testing"

	"satchel/bundle"
)

// TestStandingOpen reads the members that stand, one by one.
func TestStandingOpen(t *testing.T) {
	b := newStanding(t)
	for _, v := range b.volumes {
		half := b.m[v.Name][:v.Members[0].Offset+v.Members[0].Length+1]
		for _, test := range []struct {
			m     medium
			final bool
			stand int
		}{{b.m, true, len(v.Members)}, {b.m.unfinished(v.Name), false, len(v.Members)}, {medium{v.Name + ".part": half}, false, 1}} {
			s := read(t, b.reader(t), test.m, v.Number, test.final)
			for k, m := range b.prologue.Plan().Members(v.Number) {
				r, err := s.Open(t.Context(), test.m.fs(), m)
				if (err == nil) != (k < test.stand) {
					t.Fatalf("%s, member %d of %d: %v", v.Name, k+1, test.stand, err)
				}
				if err != nil {
					continue
				}
				content, err := io.ReadAll(r)
				if err = errors.Join(err, r.Close()); err != nil || !bytes.Equal(content, b.s.blobs[m.Blob.Digest][m.Start:m.Start+m.Size]) {
					t.Errorf("%s, member %d: %d bytes of %d, %v", v.Name, k+1, len(content), m.Size, err)
				}
			}
		}
	}
}

// TestStandingOpenFails reads a member that was whole and is not any more.
func TestStandingOpenFails(t *testing.T) {
	b := newStanding(t)
	v := b.volumes[0]
	s := read(t, b.reader(t), b.m, 1, true)
	m := b.prologue.Plan().Members(1)[1]
	content := bytes.Clone(b.m[v.Name])
	content[v.Members[1].Offset+700] ^= 1
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name  string
		ctx   context.Context
		fsys  fs.FS
		wants error
	}{
		{"flipped", t.Context(), b.m.with(v.Name, content).fs(), nil},
		{"shorter", t.Context(), b.m.with(v.Name, content[:v.Members[1].Offset+600]).fs(), nil},
		{"gone", t.Context(), b.m.without(v.Name).fs(), fs.ErrNotExist},
		{"a stick that fails", t.Context(), failingFS{b.m.fs(), v.Members[1].Offset + 600}, errStick},
		{"cancelled", ctx, b.m.fs(), context.Canceled},
	} {
		r, err := s.Open(test.ctx, test.fsys, m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = io.ReadAll(r); err == nil || test.wants != nil && !errors.Is(err, test.wants) {
			t.Errorf("%s: %v", test.name, err)
		}
		if test.ctx != ctx {
			mustAs[*bundle.DamageError](t, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

// backDir gives back what it is told, not what was written.
type backDir struct {
	*memoryDir
	fsys    fs.FS
	uncache error
}

func (d *backDir) FS() fs.FS            { return d.fsys }
func (d *backDir) Uncache(string) error { return d.uncache }

// TestReadBack writes a volume to media that take every write.
func TestReadBack(t *testing.T) {
	b := newStanding(t)
	v := b.volumes[0]
	name := v.Name + ".part"
	changed := bytes.Clone(b.m[v.Name])
	changed[5_000] ^= 1
	uncache := errors.New("cannot forget")
	for _, test := range []struct {
		name    string
		fsys    fs.FS
		uncache error
		wants   error // found in what is wrong
		good    bool
	}{
		{"as written", medium{name: b.m[v.Name]}.fs(), nil, nil, true},
		{"changed", medium{name: changed}.fs(), nil, nil, false},
		{"shorter", medium{name: changed[:9_000]}.fs(), nil, nil, false},
		{"longer", medium{name: append(bytes.Clone(b.m[v.Name]), 0)}.fs(), nil, nil, false},
		{"gone", medium{}.fs(), nil, fs.ErrNotExist, false},
		{"a stick that fails", failingFS{medium{name: b.m[v.Name]}.fs(), 9_000}, nil, errStick, false},
		{"cached", medium{name: b.m[v.Name]}.fs(), uncache, uncache, false},
	} {
		dir := &backDir{newDir(medium{}), test.fsys, test.uncache}
		w, err := bundle.CreateVolume(dir, b.prologue, 1)
		if err != nil {
			t.Fatal(err)
		}
		for m, ok := w.Next(); ok; m, ok = w.Next() {
			if left := w.Left(); len(left) == 0 || left[0] != m {
				t.Fatalf("left are %v, next is %v", left, m)
			}
			if err := w.WriteMember(bytes.NewReader(b.s.blobs[m.Blob.Digest][m.Start:])); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		read := int64(0)
		err = w.ReadBack(t.Context(), func(n int64) { read += n })
		if (err == nil) != test.good || test.wants != nil && !errors.Is(err, test.wants) || test.good && read != v.Size {
			t.Errorf("%s: %v, %d bytes read", test.name, err, read)
		}
		if err != nil && test.uncache == nil {
			wrong := mustAs[*bundle.ReadBackError](t, err)
			if wrong.Want != v.Digest || wrong.Volume != v.Name || (wrong.Got == "") != (test.wants != nil) {
				t.Errorf("%s: %+v", test.name, wrong)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := w.ReadBack(ctx, nil); test.good && !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if got, err := w.Commit(); err != nil || got.Digest != v.Digest {
			t.Errorf("%s: %s, %v", test.name, got.Digest, err)
		}
	}
}
