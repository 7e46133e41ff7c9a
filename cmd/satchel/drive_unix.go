//go:build unix

package main

import (
	"os"
	"syscall"
)

// lookMount compares the path with its parent: a mount point lies on another
// device, but for the root, which is its own parent.
func lookMount(path string) mountState {
	here, err := os.Stat(path)
	if err != nil || !here.IsDir() {
		return mountState{}
	}
	above, err := os.Stat(path + "/..")
	if err != nil {
		return mountState{there: true}
	}
	a, ok := here.Sys().(*syscall.Stat_t)
	b, ok2 := above.Sys().(*syscall.Stat_t)
	if !ok || !ok2 {
		return mountState{there: true}
	}
	return mountState{
		there: true, mounted: a.Dev != b.Dev || a.Ino == b.Ino,
		device: uint64(a.Dev), // which is signed on some systems
	}
}
