package transfer

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"

	"golang.org/x/sync/semaphore"

	"satchel/bundle"
)

// maxSegment is what one request asks for, in bytes.
const maxSegment = 8 << 20

// window fetches blobs ahead of the one that writes them: the next bytes, up to
// its buffer, of what is to be written are under way or there, in segments that
// several connections fetch side by side, and are handed out in order. It is the
// only place where bytes wait between registry and volume.
//
// Room for segments is taken in the order in which they are handed out, so the
// segment that is waited for always has room.
type window struct {
	open   openFunc
	cancel context.CancelFunc
	wait   sync.WaitGroup
	// segment is the largest size of one, in bytes.
	segment int64
	room    *semaphore.Weighted // bytes of the buffer
	jobs    *semaphore.Weighted // connections
	queue   chan *segment       // in order

	mu     sync.Mutex
	buffer int64    // bytes that may be held, in use or idle
	used   int64    // bytes of the segments that exist
	idle   [][]byte // buffers of full size
}

// piece is a part of a blob that is to be fetched; bytes.
type piece struct {
	blob         *bundle.Blob
	offset, size int64
}

func (p piece) end() int64 { return p.offset + p.size }

// openFunc opens length bytes of a blob at offset, as [Ranger] does.
type openFunc func(ctx context.Context, b *bundle.Blob, offset, length int64) (io.ReadCloser, bool, error)

// segment is a part of a blob on its way. data and err are valid once done is
// closed.
type segment struct {
	offset, size int64
	done         chan struct{}
	data         []byte
	err          error
}

// newWindow begins to fetch the pieces in their order, with at most buffer bytes
// between the network and the reader. The caller reads each piece to its end and
// closes the window.
func newWindow(ctx context.Context, open openFunc, pieces []piece, buffer int64, jobs int) *window {
	ctx, cancel := context.WithCancel(ctx)
	// With a small buffer the segments are small too, so that there are several.
	size := min(max(buffer/int64(2*jobs), 64<<10), maxSegment, buffer)
	w := &window{
		open: open, cancel: cancel, segment: size,
		room: semaphore.NewWeighted(buffer), jobs: semaphore.NewWeighted(int64(jobs)),
		queue: make(chan *segment, 1024), buffer: buffer,
	}
	w.wait.Go(func() {
		defer close(w.queue)
		ranges := make(map[string]bool)
		for _, p := range pieces {
			if !w.fetchPiece(ctx, p, ranges) {
				return
			}
		}
	})
	return w
}

// Close stops what is under way and waits for it.
func (w *window) Close() {
	w.cancel()
	w.wait.Wait()
}

// fetchPiece queues the segments of a piece and begins to fetch each. Only here
// is room taken, in order.
func (w *window) fetchPiece(ctx context.Context, p piece, ranges map[string]bool) bool {
	b, key := p.blob, rangeKey(p.blob.Origin)
	known, asked := ranges[key], p.size <= w.segment || b.Origin.URLs != nil
	if _, ok := ranges[key]; ok {
		asked = true
	}
	if b.Origin.URLs != nil {
		known = false
	}
	for offset := p.offset; offset < p.end(); {
		s, ok := w.queueSegment(ctx, p, offset)
		if !ok {
			return false
		}
		offset += s.size
		if !asked || !known && p.size > w.segment {
			// The first answer says whether this place honours ranges. One that
			// does not sends the whole blob, which is then read as one stream.
			r, ranged, err := w.open(ctx, b, s.offset, s.size)
			if !asked && err == nil {
				known, asked = ranged, true
				ranges[key] = ranged
			}
			if err == nil && !ranged {
				return w.stream(ctx, p, r, s)
			}
			w.fetch(ctx, s, func() (io.ReadCloser, error) { return r, err })
			continue
		}
		w.fetch(ctx, s, func() (io.ReadCloser, error) {
			r, _, err := w.open(ctx, b, s.offset, s.size)
			return r, err
		})
	}
	return true
}

// queueSegment waits for room and a connection for the next segment.
func (w *window) queueSegment(ctx context.Context, p piece, offset int64) (*segment, bool) {
	s := &segment{offset: offset, size: min(w.segment, p.end()-offset), done: make(chan struct{})}
	if w.room.Acquire(ctx, s.size) != nil {
		return nil, false
	}
	if w.jobs.Acquire(ctx, 1) != nil {
		return nil, false
	}
	s.data = w.take(s.size)
	select {
	case w.queue <- s:
		return s, true
	case <-ctx.Done():
		return nil, false
	}
}

// fetch fills a segment on a connection of its own.
func (w *window) fetch(ctx context.Context, s *segment, open func() (io.ReadCloser, error)) {
	w.wait.Go(func() {
		defer w.jobs.Release(1)
		defer close(s.done)
		r, err := open()
		if err != nil {
			s.err = err
			return
		}
		_, err = io.ReadFull(r, s.data)
		s.err = closeWith(noEOF(err), r)
	})
}

// stream fills the segments of a piece one after another from one reader, which
// it closes. first is already queued.
func (w *window) stream(ctx context.Context, p piece, r io.ReadCloser, first *segment) bool {
	fill := make(chan *segment)
	w.wait.Go(func() {
		// What was needed is read then, or an error is told already.
		end := sync.OnceFunc(func() { r.Close() })
		defer end()
		var failed error
		for s := range fill {
			if failed == nil {
				_, err := io.ReadFull(r, s.data)
				failed = noEOF(err)
			}
			if s.err = failed; s.offset+s.size == p.end() {
				end() // before the connection counts as free
			}
			close(s.done)
			w.jobs.Release(1)
		}
	})
	defer close(fill)
	fill <- first
	for offset := first.offset + first.size; offset < p.end(); {
		s, ok := w.queueSegment(ctx, p, offset)
		if !ok {
			return false
		}
		offset += s.size
		fill <- s
	}
	return true
}

// take returns a buffer, an idle one where there is one of that size. Idle ones
// make room for segments of other sizes.
func (w *window) take(size int64) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.used += size
	var b []byte
	if n := len(w.idle); n > 0 && size == w.segment {
		b, w.idle = w.idle[n-1], w.idle[:n-1]
	}
	for n := len(w.idle); n > 0 && w.used+int64(n)*w.segment > w.buffer; n-- {
		w.idle[n-1] = nil
		w.idle = w.idle[:n-1]
	}
	if b == nil {
		b = make([]byte, size)
	}
	return b
}

func (w *window) release(s *segment) {
	w.mu.Lock()
	w.used -= s.size
	if s.size == w.segment {
		w.idle = append(w.idle, s.data)
	}
	w.mu.Unlock()
	s.data = nil
	w.room.Release(s.size)
}

// next returns the reader of the next piece. It gives size bytes and is read to
// its end before the next one is asked for.
func (w *window) next(ctx context.Context, size int64) *windowReader {
	return &windowReader{ctx: ctx, window: w, left: size}
}

type windowReader struct {
	ctx    context.Context // a reader lives as long as the call that it serves
	window *window
	left   int64
	cur    *segment
	rest   []byte
}

func (r *windowReader) Read(p []byte) (int, error) {
	// What is buffered is not written any more once the context ends: on a slow
	// medium that would take long.
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	if r.cur == nil {
		s, ok := <-r.window.queue
		if !ok {
			if err := r.ctx.Err(); err != nil {
				return 0, err
			}
			return 0, errors.New("satchel: internal: the window ended early")
		}
		<-s.done
		if s.err != nil {
			r.left -= s.size
			r.window.release(s)
			return 0, s.err
		}
		r.cur, r.rest = s, s.data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	r.left -= int64(n)
	if len(r.rest) == 0 {
		r.window.release(r.cur)
		r.cur = nil
	}
	return n, nil
}

// pass takes what is left of the piece out of the window, whether it came or not.
func (r *windowReader) pass() error {
	if r.cur != nil {
		r.left -= int64(len(r.rest))
		r.window.release(r.cur)
		r.cur = nil
	}
	for r.left > 0 {
		s, ok := <-r.window.queue
		if !ok {
			return cmp.Or(r.ctx.Err(), errors.New("satchel: internal: the window ended early"))
		}
		<-s.done
		r.left -= s.size
		r.window.release(s)
	}
	return nil
}

// noEOF turns an end of input in the middle of something into what it is.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// closeWith closes c after something went wrong or well, and keeps both errors.
func closeWith(err error, c io.Closer) error { return errors.Join(err, c.Close()) }
