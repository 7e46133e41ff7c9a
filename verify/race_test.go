//go:build race

package verify_test

// slowdown thins out tests that do the same many times, where the race detector
// makes each time slow.
const slowdown = 6
