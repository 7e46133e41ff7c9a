package bundle

import "hash"

// sideHash hashes bytes in a goroutine of its own while its user goes on with
// the next: a volume and the blobs in it are hashed side by side. Buffers go
// round: the user takes one, fills it and puts it, and it is free again once it
// is hashed. Until the user takes the next one it may still read the last.
type sideHash struct {
	hash hash.Hash
	free chan []byte
	work chan sideWork
	done chan struct{}
}

// sideWork is bytes to be hashed, or a place at which to copy the hash.
type sideWork struct {
	bytes []byte
	clone chan<- hash.Hash
}

const sideBuffers = 3

// newSideHash goes on with h. The caller ends it with close.
func newSideHash(h hash.Hash) *sideHash {
	s := &sideHash{
		hash: h, free: make(chan []byte, sideBuffers), work: make(chan sideWork, sideBuffers), done: make(chan struct{}),
	}
	for range sideBuffers {
		s.free <- nil
	}
	go func() {
		defer close(s.done)
		for w := range s.work {
			if w.clone != nil {
				w.clone <- cloneHash(s.hash)
				continue
			}
			s.hash.Write(w.bytes)
			s.free <- w.bytes[:0]
		}
	}()
	return s
}

// take returns an empty buffer, which has no capacity when it is new.
func (s *sideHash) take() []byte { return <-s.free }

// give returns a buffer that was taken and not put.
func (s *sideHash) give(b []byte) { s.free <- b[:0] }

// put hands the buffer's bytes over to be hashed.
func (s *sideHash) put(b []byte) { s.work <- sideWork{bytes: b} }

// snapshot sends a copy of the hash once all that was put before is in it.
func (s *sideHash) snapshot(clone chan<- hash.Hash) { s.work <- sideWork{clone: clone} }

// close ends the goroutine and returns the hash of all that was put.
func (s *sideHash) close() hash.Hash {
	close(s.work)
	<-s.done
	return s.hash
}

// cloneHash copies a hash of crypto/sha256, which can always be cloned.
func cloneHash(h hash.Hash) hash.Hash {
	clone, err := h.(hash.Cloner).Clone()
	if err != nil {
		panic("satchel: internal: SHA-256 cannot be cloned: " + err.Error())
	}
	return clone
}
