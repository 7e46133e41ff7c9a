package transfer_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"

	"satchel/fixtures"
	"satchel/transfer"
)

// diskFault is a way in which a file operation goes wrong.
type diskFault struct {
	name string
	fixtures.DiskFault
	// only are the kinds of operations that it is for; none is for all.
	only string
}

func diskFaults() []diskFault {
	return []diskFault{
		{"EIO", fixtures.DiskFault{Err: syscall.EIO}, ""},
		{"ENOSPC", fixtures.DiskFault{Err: syscall.ENOSPC}, ""},
		{"EACCES", fixtures.DiskFault{Err: syscall.EACCES}, ""},
		{"short write", fixtures.DiskFault{Err: io.ErrShortWrite}, "write"},
		{"EIO although it was done", fixtures.DiskFault{Err: syscall.EIO, Done: true}, ""},
		{"death", fixtures.DiskFault{Dies: true}, ""},
		{"death after it", fixtures.DiskFault{Dies: true, Done: true}, ""},
	}
}

// at makes the n-th operation of the disk go wrong, of those that the fault is
// for. The function that it returns says which that was, N being 0 when there
// were not so many.
func (f diskFault) at(disk *fixtures.Disk, n int) (fired func() fixtures.Operation) {
	var hit fixtures.Operation
	count := 0
	disk.SetFault(func(op fixtures.Operation) fixtures.DiskFault {
		if f.only != "" && op.Kind != f.only {
			return fixtures.DiskFault{}
		}
		if count++; count != n {
			return fixtures.DiskFault{}
		}
		hit = op
		return f.DiskFault
	})
	return func() fixtures.Operation {
		disk.SetFault(nil) // which orders this after the last call
		return hit
	}
}

func (f diskFault) cause() error {
	if f.Dies {
		return fixtures.ErrDead
	}
	return f.Err
}

// Whatever operation of the medium fails, the failure is told, nothing wrong has a
// final name, and the next run ends in the same bytes, without fetching more
// again than it may.
func faultsOfWriting(t *testing.T, f *faultTally) {
	r := newTrial(t)
	f.size(r.operations, len(diskFaults()))
	for k, fault := range diskFaults() {
		for n := 1 + k%f.step(7); ; n += f.step(7) {
			disk := fixtures.NewDisk()
			fired := fault.at(disk, n)
			r.fetched.Store(0)
			err := r.pack(t, disk)
			hit := fired()
			if hit.N == 0 {
				if err != nil {
					t.Errorf("nothing failed: %v", err)
				}
				break
			}
			f.ran()
			what := fmt.Sprintf("%s at operation %d, %s %s", fault.name, hit.N, hit.Kind, hit.Name)
			if !errors.Is(err, fault.cause()) {
				t.Errorf("%s: Pack returns %v", what, err)
			}
			r.checkNames(t, what, disk)
			r.goOn(t, what, disk)
			if got := r.fetched.Load(); got > r.twice() {
				t.Errorf("%s: %d bytes were fetched, %d are allowed", what, got, r.twice())
			}
		}
	}
}

// The run that continues is disturbed too, reading what stands above all. It may
// succeed: what cannot be read is made again.
func faultsOfContinuing(t *testing.T, f *faultTally) {
	r := newTrial(t)
	states := 0
	// Not from every state: all 59,541 runs took 24 minutes, and were green.
	each := 4
	if !f.all {
		each = 24
	}
	for died := 1; died <= r.operations+1; died += each {
		begun := fixtures.NewDisk()
		fired := diskFault{DiskFault: fixtures.DiskFault{Dies: true}}.at(begun, died)
		err := r.pack(t, begun)
		if hit := fired(); (hit.N == 0) != (died > r.operations) || (hit.N == 0) != (err == nil) {
			t.Fatalf("died at %d of %d: %+v, %v", died, r.operations, hit, err)
		}
		states++
		for k, fault := range diskFaults() {
			for n := 1 + (died+k)%f.step(31); ; n += f.step(31) {
				disk := begun.Clone()
				fired := fault.at(disk, n)
				err := r.pack(t, disk)
				hit := fired()
				if hit.N == 0 {
					if err != nil {
						t.Errorf("nothing failed: %v", err)
					}
					break
				}
				f.ran()
				f.size(hit.N, len(diskFaults()))
				what := fmt.Sprintf("died at %d, then %s at operation %d, %s %s", died, fault.name, hit.N, hit.Kind, hit.Name)
				if err != nil && !errors.Is(err, fault.cause()) || err == nil && fault.Dies {
					t.Errorf("%s: Pack returns %v", what, err)
				}
				r.checkNames(t, what, disk)
				r.goOn(t, what, disk)
			}
		}
	}
	t.Logf("%d states to continue from", states)
}

// The power fails at any operation, or when all is done: of what was not synced any
// part may be gone. What was said to be written is there, all the same.
func faultsOfPower(t *testing.T, f *faultTally) {
	r := newTrial(t)
	const chances = 16
	for n := r.operations + 1; n > 0; n -= f.step(29) {
		dead := fixtures.NewDisk()
		var written []string
		r.options.Progress = func(e transfer.Event) {
			if e.Kind == transfer.VolumeWritten {
				written = append(written, e.Volume)
			}
		}
		fired := diskFault{DiskFault: fixtures.DiskFault{Dies: true}}.at(dead, n)
		err := r.pack(t, dead)
		hit := fired()
		if done := n > r.operations; done != (err == nil) || !done && (hit.N != n || !errors.Is(err, fixtures.ErrDead)) {
			t.Fatalf("operation %d: %+v, %v", n, hit, err)
		}
		r.options.Progress = nil
		unsynced := dead.Unsynced()
		f.size(r.operations+1, unsynced+1+chances)
		lose := func(what string, fate func(int) fixtures.Fate) {
			f.ran()
			disk := dead.Clone()
			disk.PowerLoss(fate)
			what = fmt.Sprintf("power lost at operation %d, %s %s, of %d changes %s", n, hit.Kind, hit.Name, unsynced, what)
			r.checkNames(t, what, disk)
			files := disk.Files()
			for _, name := range written {
				if _, there := files[name]; !there {
					t.Errorf("%s: %s is gone", what, name)
				}
			}
			if n > r.operations {
				sameFiles(t, what, files, r.want)
				return
			}
			r.goOn(t, what, disk)
		}
		for kept := 0; kept <= unsynced; kept++ {
			lose(fmt.Sprintf("the first %d kept", kept), func(i int) fixtures.Fate {
				if i < kept {
					return fixtures.Kept
				}
				return fixtures.Lost
			})
		}
		for seed := range chances {
			dice := rand.New(rand.NewPCG(uint64(n), uint64(seed)))
			lose(fmt.Sprintf("some kept, seed %d", seed), func(int) fixtures.Fate { return fixtures.Fate(dice.IntN(3)) })
		}
	}
}
