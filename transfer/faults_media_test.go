package transfer_test

import (
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

// checkUnion checks that the disks have the bundle together, and that whatever has
// a final name is right.
func (r *trial) checkUnion(t testing.TB, what string, disks ...*fixtures.Disk) {
	t.Helper()
	r.checkNames(t, what, disks...)
	all := make(map[string]string)
	for _, d := range disks {
		files := d.Files()
		maps.DeleteFunc(files, func(name, _ string) bool { return !bundle.IsFinalName(name) })
		maps.Copy(all, files)
	}
	sameFiles(t, what, all, r.want)
}

// rotten gives back other bytes for one byte of a file, once it is not in memory.
func rotten(name string, at int64) func(string, int64, []byte) {
	return func(read string, offset int64, p []byte) {
		if i := at - offset; strings.TrimSuffix(read, ".part") == name && i >= 0 && i < int64(len(p)) {
			p[i] ^= 1
		}
	}
}

// A medium that gives back other bytes than were written is found before a volume
// on it counts, and the volume is made again on the next.
func faultsOfFlash(t *testing.T, f *faultTally) {
	r := newTrial(t)
	r.options.ReadBack = true
	volumes := r.prologue.Plan().Volumes
	for n := 1; n <= volumes; n++ {
		name := r.prologue.Plan().VolumeName(n)
		size := int64(len(r.want[name]))
		for at := int64(0); at < size; at += max(1, size/int64(3*12/f.step(12))) {
			what := fmt.Sprintf("%s, byte %d of %d wrong", name, at, size)
			var left, written []transfer.Event
			r.options.Progress = func(e transfer.Event) {
				switch e.Kind {
				case transfer.MediumLeft:
					left = append(left, e)
				case transfer.VolumeWritten:
					written = append(written, e)
				}
			}
			bad, good := fixtures.NewDisk(), fixtures.NewDisk()
			bad.SetRot(rotten(name, at))
			if err := r.pack(t, bad, good); err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			f.ran()
			f.size(volumes, 2)
			r.checkUnion(t, what, bad, good)
			if _, there := bad.Files()[name]; there || len(good.Files()) < len(r.want)-volumes+1 {
				t.Errorf("%s: it is on the bad medium, or something is not on the good one", what)
			}
			wrong := (*bundle.ReadBackError)(nil)
			if len(left) != 1 || !errors.As(left[0].Err, &wrong) || wrong.Volume != name ||
				left[0].Where != "stick1" || !strings.Contains(left[0].Err.Error(), "stick1") {
				t.Errorf("%s: said %+v", what, left)
			}
			if len(written) != volumes {
				t.Errorf("%s: %d volumes were written", what, len(written))
			}

			// In one drive it is taken out, and another is put in.
			bad = fixtures.NewDisk()
			bad.SetRot(rotten(name, at))
			drive := &drive{sticks: []*fixtures.Disk{fixtures.NewDisk()}}
			r.options.Next = drive.next
			if err := r.pack(t, bad); err != nil {
				t.Errorf("%s: in a drive: %v", what, err)
			} else {
				r.checkUnion(t, what+", in a drive", append(drive.used, bad)...)
				if _, there := bad.Files()[name]; there || len(drive.asked) != 1 || !errors.As(drive.asked[0].Refused, &wrong) {
					t.Errorf("%s: in a drive: asked %+v", what, drive.asked)
				}
			}
			r.options.Next = nil
			f.ran()

			// Alone, it is refused; another medium takes its place.
			alone := fixtures.NewDisk()
			alone.SetRot(rotten(name, at))
			err := r.pack(t, alone)
			if !errors.As(err, &wrong) || wrong.Volume != name || !strings.Contains(err.Error(), "stick1") {
				t.Errorf("%s: alone: %v", what, err)
			}
			r.checkNames(t, what, alone)
			if _, there := alone.Files()[name]; there {
				t.Errorf("%s: alone: it has its final name", what)
			}
			f.ran()
			another := fixtures.NewDisk()
			alone.Revive()
			if err := r.pack(t, alone, another); err != nil {
				t.Errorf("%s: then: %v", what, err)
				continue
			}
			r.checkUnion(t, what, alone, another)
		}
	}
}

// A medium that is smaller than it claims is found full at any byte; packing goes
// on with the next medium, or ends and goes on when there is one.
func faultsOfFullMedia(t *testing.T, f *faultTally) {
	r := newTrial(t)
	total := int64(0)
	for _, content := range r.want {
		total += int64(len(content))
	}
	steps := int64(360 / f.step(24))
	volumes := r.prologue.Plan().Volumes
	for i := range steps {
		small := func() *fixtures.Disk {
			d := fixtures.NewDisk()
			d.Capacity, d.Claim = 1+i*total/steps, 1<<30
			return d
		}
		what := fmt.Sprintf("full after %d of %d bytes", small().Capacity, total)
		full, next := small(), fixtures.NewDisk()
		if err := r.pack(t, full, next); err != nil {
			t.Errorf("%s: with another medium: %v", what, err)
		} else {
			r.checkUnion(t, what, full, next)
		}
		f.ran()

		// In one drive the full one is taken out, and the next is put in.
		full = small()
		drive := &drive{sticks: []*fixtures.Disk{fixtures.NewDisk()}}
		r.options.Next = drive.next
		if err := r.pack(t, full); errors.Is(err, syscall.ENOSPC) && len(drive.asked) == 0 {
			// There is room for the volumes, and none for the inventory: no other
			// medium is asked for then.
			r.checkNames(t, what+", in a drive", full)
			if _, done := full.Files()[r.prologue.Plan().VolumeName(volumes)]; !done {
				t.Errorf("%s: in a drive: %v", what, err)
			}
		} else if err != nil {
			t.Errorf("%s: in a drive: %v", what, err)
		} else {
			r.checkUnion(t, what+", in a drive", append(drive.used, full)...)
			if len(drive.asked) != 1 || !errors.Is(drive.asked[0].Refused, syscall.ENOSPC) {
				t.Errorf("%s: asked %+v", what, drive.asked)
			}
		}
		r.options.Next = nil
		f.ran()

		alone := small()
		err := r.pack(t, alone)
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "stick1") {
			t.Errorf("%s: alone: %v", what, err)
		}
		r.checkNames(t, what, alone)
		alone.Revive()
		another := fixtures.NewDisk()
		if err := r.pack(t, alone, another); err != nil {
			t.Errorf("%s: then: %v", what, err)
		} else {
			r.checkUnion(t, what, alone, another)
		}
		f.ran()
		f.size(volumes, int(steps))
	}
}

// A medium is pulled out at any operation: nothing works there from then on. With
// it, or without it, the next run makes what is lacking.
func faultsOfPulledMedia(t *testing.T, f *faultTally) {
	r := newTrial(t)
	sizes, _ := r.prologue.VolumeSizes()
	half := func() *fixtures.Disk {
		d := fixtures.NewDisk()
		d.Capacity = sizes[0] + sizes[1] + sizes[2] + bundle.SmallFilesSize(r.prologue)
		return d
	}
	for n := 1; ; n += f.step(11) {
		first, second := half(), fixtures.NewDisk()
		pulled := ""
		first.SetFault(func(op fixtures.Operation) (fault fixtures.DiskFault) {
			if op.N >= n {
				fault.Err = syscall.EIO
				if pulled == "" {
					pulled = op.Kind + " " + op.Name
				}
			}
			return fault
		})
		err := r.pack(t, first, second)
		first.SetFault(nil)
		if pulled == "" {
			if err != nil {
				t.Error(err)
			}
			break
		}
		f.ran()
		f.size(n, 2)
		what := fmt.Sprintf("pulled out at operation %d, %s", n, pulled)
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", what, err)
		}
		r.checkNames(t, what, first, second)
		without := second.Clone()
		if err := r.pack(t, without); err != nil {
			t.Errorf("%s: without it: %v", what, err)
		} else {
			sameFiles(t, what+", without it", without.Files(), r.want)
		}
		first.Revive()
		second.Revive()
		if err := r.pack(t, first, second); err != nil {
			t.Errorf("%s: with it: %v", what, err)
		} else {
			r.checkUnion(t, what+", with it", first, second)
			for _, d := range []*fixtures.Disk{first, second} {
				if names := slices.Sorted(maps.Keys(d.Files())); slices.ContainsFunc(names, func(s string) bool { return strings.HasSuffix(s, ".part") }) {
					t.Errorf("%s, with it: unfinished files are left: %v", what, names)
				}
			}
		}
	}
}

// Over two media, whatever operation of one fails, or ends the process, the next run
// makes the rest.
func faultsOfTwoMedia(t *testing.T, f *faultTally) {
	r := newTrial(t)
	sizes, _ := r.prologue.VolumeSizes()
	for k, fault := range diskFaults() {
		for which := range 2 {
			for n := 1 + (k+7*which)%f.step(37); ; n += f.step(37) {
				disks := []*fixtures.Disk{fixtures.NewDisk(), fixtures.NewDisk()}
				disks[0].Capacity = sizes[0] + sizes[1] + sizes[2] + bundle.SmallFilesSize(r.prologue)
				fired := fault.at(disks[which], n)
				err := r.pack(t, disks...)
				hit := fired()
				if hit.N == 0 {
					if err != nil {
						t.Errorf("nothing failed: %v", err)
					}
					break
				}
				f.ran()
				f.size(n, len(diskFaults()))
				what := fmt.Sprintf("%s on stick%d at operation %d, %s %s", fault.name, which+1, hit.N, hit.Kind, hit.Name)
				// A full medium is left for the next, or goes without the small files.
				if left := fault.Err == syscall.ENOSPC; err == nil && !left || err != nil && !errors.Is(err, fault.cause()) {
					t.Errorf("%s: Pack returns %v", what, err)
				}
				r.checkNames(t, what, disks...)
				disks[0].Revive()
				disks[1].Revive()
				if err := r.pack(t, disks...); err != nil {
					t.Errorf("%s: the next run: %v", what, err)
					continue
				}
				r.checkUnion(t, what, disks...)
			}
		}
	}
}

// What is read back is what the medium has, also where the system keeps all in
// memory.
func TestReadBackIsFromTheMedium(t *testing.T) {
	r := newTrial(t)
	r.options.ReadBack = true
	disk := fixtures.NewDisk()
	unread := make(map[string]bool)
	disk.SetFault(func(op fixtures.Operation) fixtures.DiskFault {
		if op.Kind == "uncache" {
			unread[op.Name] = true
		}
		return fixtures.DiskFault{}
	})
	if err := r.pack(t, disk); err != nil {
		t.Fatal(err)
	}
	disk.SetFault(nil)
	if len(unread) != r.prologue.Plan().Volumes {
		t.Errorf("%v were uncached", unread)
	}
}
