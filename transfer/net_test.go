package transfer_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// net is a network of registries, each of which honours ranges or does not.
type net struct {
	contents map[digest.Digest][]byte
	blobs    []*bundle.Blob
	ranged   func(host string) bool
	// wrap may replace the reader of the n-th open, counted from 1, or fail it.
	wrap func(ctx context.Context, n int, r io.Reader) (io.Reader, error)
	// closing, unless it is nil, is told of each reader that is being closed, and
	// closes what it gets when the reader may be.
	closing chan chan struct{}

	mu      sync.Mutex
	opens   int
	now     int // readers that are open
	most    int
	fetched int64 // bytes handed out
	perBlob map[digest.Digest]int64
	asked   map[digest.Digest]int
}

func newNet(ranged bool) *net {
	return &net{
		contents: make(map[digest.Digest][]byte), perBlob: make(map[digest.Digest]int64), asked: make(map[digest.Digest]int),
		ranged: func(string) bool { return ranged },
	}
}

// add puts blobs of random bytes into a repository.
func (n *net) add(repository string, sizes ...int) {
	for _, size := range sizes {
		content := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(len(n.blobs)), byte(len(n.blobs) >> 8)}).Read(content)
		d := digest.FromBytes(content)
		n.contents[d] = content
		n.blobs = append(n.blobs, &bundle.Blob{
			Content: bundle.Content{Digest: d, Size: int64(size)}, Origin: bundle.Origin{Repository: repository},
		})
	}
}

func (n *net) open(ctx context.Context, b *bundle.Blob, offset, length int64) (io.ReadCloser, bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opens++
	n.asked[b.Digest]++
	if err := ctx.Err(); err != nil {
		return nil, false, err
	}
	ranged := n.ranged(b.Origin.Repository)
	content := n.contents[b.Digest][offset:]
	if ranged {
		content = content[:length]
	}
	var r io.Reader = bytes.NewReader(content)
	if n.wrap != nil {
		var err error
		if r, err = n.wrap(ctx, n.opens, r); err != nil {
			return nil, false, err
		}
	}
	n.now++
	n.most = max(n.most, n.now)
	return &counted{n, b.Digest, r}, ranged, nil
}

type counted struct {
	net  *net
	blob digest.Digest
	r    io.Reader
}

func (c *counted) Read(p []byte) (int, error) {
	m, err := c.r.Read(p)
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.net.fetched += int64(m)
	c.net.perBlob[c.blob] += int64(m)
	return m, err
}

func (c *counted) Close() error {
	if c.net.closing != nil {
		may := make(chan struct{})
		c.net.closing <- may
		<-may
	}
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.net.now--
	return nil
}

// state returns how many bytes were handed out and how many readers are open.
func (n *net) state() (fetched int64, open int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.fetched, n.now
}

// about returns how often a blob was asked for and how many bytes were handed out.
func (n *net) about(d digest.Digest) (asked int, fetched int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[d], n.perBlob[d]
}
