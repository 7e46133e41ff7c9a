package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/transfer"
)

// stick is a disk with room for so many volumes of a plan, and the small files.
func stick(p *bundle.Prologue, volumes int) *fixtures.Disk {
	d := fixtures.NewDisk()
	d.Capacity = int64(volumes)*smallVolume + bundle.SmallFilesSize(p)
	return d
}

func outputs(disks ...*fixtures.Disk) []transfer.Output {
	var all []transfer.Output
	for i, d := range disks {
		all = append(all, transfer.Output{Name: fmt.Sprintf("stick %d", i+1), Dir: d})
	}
	return all
}

// volumesOn are the volumes of a disk; an unfinished one fails the test.
func volumesOn(t testing.TB, d *fixtures.Disk) map[string]string {
	t.Helper()
	volumes := make(map[string]string)
	for name, content := range d.Files() {
		if strings.HasSuffix(name, ".part") {
			t.Errorf("%s is left", name)
		}
		if bundle.IsVolumeName(name) {
			volumes[name] = content
		}
	}
	return volumes
}

// whole returns the volumes of an undisturbed run onto one medium.
func whole(t testing.TB, sources transfer.Sources, p *bundle.Prologue) map[string]string {
	t.Helper()
	want := mustPack(t, sources, p, transfer.PackOptions{})
	maps.DeleteFunc(want, func(name, _ string) bool { return !bundle.IsVolumeName(name) })
	if len(want) < 5 {
		t.Fatalf("%d volumes", len(want))
	}
	return want
}

// drive is one place for media, into which sticks are put one after another.
type drive struct {
	t testing.TB
	// in is the stick that is in the drive, where that is known: nothing on it may be open when
	// another one is asked for.
	in     *fixtures.Disk
	sticks []*fixtures.Disk // still to come
	asked  []transfer.Change
	used   []*fixtures.Disk
}

func (d *drive) next(_ context.Context, why transfer.Change) (transfer.Output, error) {
	d.asked = append(d.asked, why)
	if d.in == nil {
		// Not told which: nothing to look at.
	} else if n := d.in.OpenFiles(); n > 0 {
		d.t.Errorf("asked for volume %d with %d files open: the medium cannot be unmounted", why.Volume, n)
	}
	if len(d.sticks) == 0 {
		return transfer.Output{}, transfer.ErrNoMedium
	}
	s := d.sticks[0]
	s.Revive()
	d.in = s
	d.sticks, d.used = d.sticks[1:], append(d.used, s)
	return transfer.Output{Name: fmt.Sprintf("stick %d", len(d.used)+1), Dir: s}, nil
}

func TestPackOntoSeveralMedia(t *testing.T) {
	o := newOrigin(packed()...)
	prologue := plan(t, o.sources(), "source.example", smallVolume, transfer.SelectOptions{}, packed()...)
	want := whole(t, o.sources(), prologue)
	disks := []*fixtures.Disk{stick(prologue, 2), stick(prologue, 1), stick(prologue, len(want)-3)}
	packed, err := transfer.Pack(t.Context(), outputs(disks...), prologue, o.sources(), transfer.PackOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]string)
	for i, d := range disks {
		volumes := volumesOn(t, d)
		maps.Copy(got, volumes)
		if i < 2 && len(volumes) != 2-i {
			t.Errorf("stick %d has %v", i+1, slices.Sorted(maps.Keys(volumes)))
		}
		if d.Files()["inventory.json"] != disks[0].Files()["inventory.json"] || packed.Inventory == nil {
			t.Errorf("stick %d has another inventory, or none", i+1)
		}
	}
	sameFiles(t, "over three sticks", got, want)
	_, err = transfer.Pack(t.Context(), outputs(stick(prologue, 2), stick(prologue, 1)), prologue, o.sources(), transfer.PackOptions{})
	if space := mustAs[*transfer.SpaceError](t, err); !strings.Contains(space.Where, "stick 2") {
		t.Errorf("got %v", err)
	}
}

func TestPackSpans(t *testing.T) {
	o := newOrigin(packed()...)
	prologue := plan(t, o.sources(), "source.example", smallVolume, transfer.SelectOptions{}, packed()...)
	want := whole(t, o.sources(), prologue)
	readOnly := stick(prologue, 5)
	readOnly.SetFault(func(op fixtures.Operation) fixtures.DiskFault {
		if op.Kind == "create" {
			return fixtures.DiskFault{Err: syscall.EROFS}
		}
		return fixtures.DiskFault{}
	})
	occupied := stick(prologue, 5)
	occupied.Put("README.txt", []byte("mine"))
	first := stick(prologue, 2)
	d := &drive{t: t, in: first, sticks: []*fixtures.Disk{stick(prologue, 0), occupied, stick(prologue, 2), stick(prologue, 5)}}
	result, err := transfer.Pack(t.Context(), outputs(first), prologue, o.sources(), transfer.PackOptions{Next: d.next})
	if err != nil {
		t.Fatal(err)
	}
	got := volumesOn(t, first)
	for _, s := range d.used {
		maps.Copy(got, volumesOn(t, s))
	}
	sameFiles(t, "spanned", got, want)
	if len(d.asked) != 4 || d.asked[0].Volume != 3 || d.asked[0].Refused != nil || len(d.used[0].Files()) > 0 ||
		len(d.used[1].Files()) != 1 || d.asked[1].Refused == nil || d.asked[2].Refused == nil || d.asked[3].Refused != nil {
		t.Errorf("asked %+v", d.asked)
	}
	if result.Inventory == nil || len(result.Absent) > 0 || d.used[3].Files()["inventory.json"] == "" {
		t.Errorf("got %+v", result)
	}

	// One that cannot be written is refused too, before anything is on it.
	small := stick(prologue, 1)
	d = &drive{t: t, in: small, sticks: []*fixtures.Disk{readOnly, stick(prologue, 9)}}
	readOnlyOnce := d.next
	next := func(ctx context.Context, why transfer.Change) (transfer.Output, error) {
		out, err := readOnlyOnce(ctx, why)
		if len(d.used) == 1 {
			readOnly.SetFault(func(op fixtures.Operation) fixtures.DiskFault {
				if op.Kind == "create" {
					return fixtures.DiskFault{Err: syscall.EROFS}
				}
				return fixtures.DiskFault{}
			})
		}
		return out, err
	}
	if _, err = transfer.Pack(t.Context(), outputs(small), prologue, o.sources(), transfer.PackOptions{Next: next}); err != nil {
		t.Fatal(err)
	}
	if len(d.asked) != 2 || !errors.Is(d.asked[1].Refused, syscall.EROFS) || len(readOnly.Files()) > 0 {
		t.Errorf("asked %+v", d.asked)
	}
}

// A drive without a next medium: what fits is written, and the next run goes on
// with the next medium; for the inventory the earlier ones are asked for again.
func TestPackSpanContinues(t *testing.T) {
	o := newOrigin(packed()...)
	prologue := plan(t, o.sources(), "source.example", smallVolume, transfer.SelectOptions{}, packed()...)
	want := whole(t, o.sources(), prologue)
	first, second := stick(prologue, 2), stick(prologue, 9)
	none := &drive{t: t, in: first}
	_, err := transfer.Pack(t.Context(), outputs(first), prologue, o.sources(), transfer.PackOptions{Next: none.next})
	if !errors.Is(err, transfer.ErrNoMedium) || len(none.asked) != 1 || none.asked[0].Volume != 3 {
		t.Fatalf("got %v, asked %+v", err, none.asked)
	}
	if len(volumesOn(t, first)) != 2 {
		t.Errorf("the first stick has %v", slices.Sorted(maps.Keys(volumesOn(t, first))))
	}

	// It dies on the second stick.
	first.Revive()
	d := &drive{t: t, in: first, sticks: []*fixtures.Disk{second}}
	moved := int64(0)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = transfer.Pack(ctx, outputs(first), prologue, o.sources(), transfer.PackOptions{Next: d.next, Progress: func(e transfer.Event) {
		if e.Kind == transfer.BytesMoved {
			if moved += e.Bytes; moved > smallVolume*3/2 {
				cancel()
			}
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}

	// Without the first, all but the inventory is written.
	second.Revive()
	copyOfSecond := second.Clone()
	none.in = copyOfSecond
	result, err := transfer.Pack(t.Context(), outputs(copyOfSecond), prologue, o.sources(), transfer.PackOptions{Next: none.next})
	if err != nil || !slices.Equal(result.Absent, []int{1, 2}) || result.Inventory != nil {
		t.Fatalf("got %+v, %v", result, err)
	}
	got := volumesOn(t, copyOfSecond)
	maps.Copy(got, volumesOn(t, first))
	sameFiles(t, "without the first stick", got, want)

	// With it, the inventory too.
	d = &drive{t: t, in: second, sticks: []*fixtures.Disk{stick(prologue, 3), first}}
	result, err = transfer.Pack(t.Context(), outputs(second), prologue, o.sources(), transfer.PackOptions{Next: d.next})
	if err != nil || len(result.Absent) > 0 || result.Inventory == nil || first.Files()["inventory.json"] == "" {
		t.Fatalf("got %+v, %v", result, err)
	}
	if len(d.asked) != 2 || !slices.Equal(d.asked[0].Earlier, []int{1, 2}) {
		t.Errorf("asked %+v", d.asked)
	}
}

func TestPackOnlyVolumes(t *testing.T) {
	o := newOrigin(packed()...)
	prologue := plan(t, o.sources(), "source.example", smallVolume, transfer.SelectOptions{}, packed()...)
	want := whole(t, o.sources(), prologue)
	for n := 1; n <= prologue.Plan().Volumes; n++ {
		disk := fixtures.NewDisk()
		result, err := transfer.Pack(t.Context(), outputs(disk), prologue, o.sources(), transfer.PackOptions{Only: []int{n}})
		if err != nil {
			t.Fatal(err)
		}
		name := prologue.Plan().VolumeName(n)
		sameFiles(t, "only volume", volumesOn(t, disk), map[string]string{name: want[name]})
		if result.Inventory != nil || len(result.Absent) != len(want)-1 {
			t.Errorf("volume %d: %+v", n, result)
		}
	}
}

// A run that goes on in the middle of a blob which is cut over media reads what
// stands of it, and closes that before it asks for the next medium.
func TestPackSpanContinuesCutBlob(t *testing.T) {
	o := newOrigin(packed()...)
	prologue := plan(t, o.sources(), "source.example", smallVolume, transfer.SelectOptions{}, packed()...)
	want := whole(t, o.sources(), prologue)
	cut := cutBlob(t, prologue).VolumesOf()
	first := stick(prologue, cut[0])
	none := &drive{t: t, in: first}
	if _, err := transfer.Pack(t.Context(), outputs(first), prologue, o.sources(), transfer.PackOptions{Next: none.next}); !errors.Is(err, transfer.ErrNoMedium) {
		t.Fatal(err)
	}
	first.Revive()
	d := &drive{t: t, in: first, sticks: []*fixtures.Disk{stick(prologue, 1), stick(prologue, 9)}}
	if _, err := transfer.Pack(t.Context(), outputs(first), prologue, o.sources(), transfer.PackOptions{Next: d.next}); err != nil {
		t.Fatal(err)
	}
	got := volumesOn(t, first)
	for _, s := range d.used {
		maps.Copy(got, volumesOn(t, s))
	}
	sameFiles(t, "spanned", got, want)
}
