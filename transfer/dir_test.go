package transfer_test

import (
	"errors"
	"sync"

	"satchel/bundle"
	"satchel/fixtures"
)

var errMedium = errors.New("the stick was pulled out")

// memoryDir is a disk with a memory of what was done with it. Its n-th operation,
// or those that fails chooses, go wrong.
type memoryDir struct {
	*fixtures.Disk
	// failAt is the number of the operation that fails, once; 0 is none.
	failAt int
	fails  func(operation, name string) bool

	mu    sync.Mutex
	calls int
	log   []string
}

func newMemoryDir() *memoryDir {
	d := &memoryDir{Disk: fixtures.NewDisk()}
	d.SetFault(d.decide)
	return d
}

func (d *memoryDir) decide(o fixtures.Operation) (fault fixtures.DiskFault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	d.log = append(d.log, o.Kind+" "+o.Name)
	if d.calls == d.failAt || d.fails != nil && d.fails(o.Kind, o.Name) {
		fault.Err = errMedium
	}
	return fault
}

// final returns the files with final names.
func (d *memoryDir) final() map[string]string {
	all := d.Files()
	for name := range all {
		if !bundle.IsFinalName(name) {
			delete(all, name)
		}
	}
	return all
}
