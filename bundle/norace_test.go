//go:build !race

package bundle_test

const slowdown = 1
