package transfer_test

import (
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"

	"satchel/fixtures"
)

// mediaFaults are the ways in which reading goes wrong.
func mediaFaults() []diskFault {
	return []diskFault{
		{"EIO", fixtures.DiskFault{Err: syscall.EIO}, ""},
		{"EACCES", fixtures.DiskFault{Err: syscall.EACCES}, ""},
		{"pulled out", fixtures.DiskFault{Dies: true}, ""},
	}
}

// Whatever reading of the media fails, nothing is visible that is not whole, and
// the next run ends with the same content.
func faultsOfMedia(t *testing.T, f *faultTally) {
	o := fixtures.Options{AllowSparse: true}
	s := newSiteTrial(t, o)
	f.size(s.operations, len(mediaFaults())+1)
	try := func(what string, disk *fixtures.Disk, fired func() string) bool {
		site := fixtures.NewRegistry(o)
		site.Start()
		defer site.Close()
		receipt, err := s.unpack(t, disk.FS(), site)
		where := fired()
		what += ", " + where
		s.check(t, what, receipt, err, site)
		if where == "" {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
			return false
		}
		f.ran()
		s.goOn(t, what, site)
		return true
	}
	for k, fault := range mediaFaults() {
		for n := 1 + k%f.step(11); ; n += f.step(11) {
			disk := s.media.Clone()
			fired := fault.at(disk, n)
			more := try(fmt.Sprintf("%s at operation %d", fault.name, n), disk, func() string {
				hit := fired()
				return strings.TrimSpace(hit.Kind + " " + hit.Name)
			})
			if !more {
				break
			}
		}
	}
	for n := 1; ; n += f.step(7) {
		disk := s.media.Clone()
		var mu sync.Mutex
		count, hit := 0, ""
		disk.SetRot(func(name string, offset int64, p []byte) {
			mu.Lock()
			defer mu.Unlock()
			if len(p) == 0 {
				return
			}
			if count++; count == n {
				p[len(p)/2] ^= 0x10
				hit = fmt.Sprintf("%s at %d", name, offset+int64(len(p)/2))
			}
		})
		more := try(fmt.Sprintf("one bit wrong in read %d", n), disk, func() string {
			mu.Lock()
			defer mu.Unlock()
			return hit
		})
		if !more {
			break
		}
	}
}
