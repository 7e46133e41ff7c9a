//go:build !unix

package ocdir

// nonblock is not needed where files cannot be pipes.
const nonblock = 0
