//go:build !race

package verify_test

const slowdown = 1
