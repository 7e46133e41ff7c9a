package transfer_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/transfer"
)

// A reader that stands still lets the buffer fill, and not one byte more.
func TestWindowBound(t *testing.T) {
	const segment = 64 << 10
	for _, ranged := range []bool{true, false} {
		for _, buffer := range []int64{1000, segment, 10 * segment, 10*segment + 7} {
			synctest.Test(t, func(t *testing.T) {
				n := newNet(ranged)
				n.add("a.example/x", 5*segment, 100, 0, 3*segment+1, segment, 1, 12*segment)
				w := transfer.NewWindow(t.Context(), n.open, n.blobs, buffer, 4)
				defer w.Close()
				var read int64
				step := make([]byte, 10_007)
				for i, b := range n.blobs {
					r := w.Blob(t.Context(), b.Size)
					for left := b.Size; left > 0; {
						synctest.Wait()
						if fetched, _ := n.state(); fetched-read > buffer {
							t.Fatalf("ranged %t, buffer %d, blob %d: %d bytes wait", ranged, buffer, i, fetched-read)
						}
						m, err := io.ReadFull(r, step[:min(left, int64(len(step)))])
						if err != nil {
							t.Fatal(err)
						}
						left -= int64(m)
						read += int64(m)
					}
				}
			})
		}
	}
}

// The buffer bounds what is allocated, not only what was fetched.
func TestWindowMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const buffer, segment = 32 << 20, 8 << 20
		n := newNet(true)
		small := make([]byte, segment-1)
		n.add("a.example/x", segment, segment, segment, segment)
		for i := range 8 {
			b := &bundle.Blob{Content: bundle.Content{Digest: digest.FromString(fmt.Sprint(i)), Size: int64(len(small))},
				Origin: bundle.Origin{Repository: "a.example/x"}}
			n.contents[b.Digest] = small
			n.blobs = append(n.blobs, b)
		}
		before := heap()
		w := transfer.NewWindow(t.Context(), n.open, n.blobs, buffer, 2)
		defer w.Close()
		for _, b := range n.blobs[:4] {
			if _, err := io.Copy(io.Discard, w.Blob(t.Context(), b.Size)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if used := heap() - before; used > buffer+buffer/4 {
			t.Errorf("a window of %d bytes holds %d bytes of memory", buffer, used)
		}
	})
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Never more connections than jobs, and as many while the room lasts.
func TestWindowJobs(t *testing.T) {
	const segment = 64 << 10
	for _, jobs := range []int{1, 2, 5} {
		synctest.Test(t, func(t *testing.T) {
			n := newNet(true)
			n.add("a.example/x", 20*segment, 20*segment, 5, 6, 7, 20*segment)
			release := make(chan struct{})
			n.wrap = func(_ context.Context, open int, r io.Reader) (io.Reader, error) {
				return &held{release, r}, nil
			}
			w := transfer.NewWindow(t.Context(), n.open, n.blobs, 40*segment, jobs)
			defer w.Close()
			synctest.Wait()
			if _, open := n.state(); open != jobs {
				t.Errorf("%d readers are open, want %d", open, jobs)
			}
			close(release)
			for _, b := range n.blobs {
				if _, err := io.Copy(io.Discard, w.Blob(t.Context(), b.Size)); err != nil {
					t.Fatal(err)
				}
			}
			if n.most > jobs {
				t.Errorf("%d readers were open at a time, want %d", n.most, jobs)
			}
		})
	}
}

// Streams count as connections, too.
func TestWindowJobsOfStreams(t *testing.T) {
	const segment = 64 << 10
	for _, jobs := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			n := newNet(false)
			n.closing = make(chan chan struct{})
			defer close(n.closing)
			go func() {
				for may := range n.closing {
					synctest.Wait() // all else goes on before
					close(may)
				}
			}()
			n.add("a.example/x", 2*segment+1, 10, 3*segment, segment+1, 2*segment, 10)
			w := transfer.NewWindow(t.Context(), n.open, n.blobs, int64(2*jobs*segment), jobs)
			defer w.Close()
			for _, b := range n.blobs {
				if _, err := io.Copy(io.Discard, w.Blob(t.Context(), b.Size)); err != nil {
					t.Fatal(err)
				}
			}
			if n.most > jobs {
				t.Errorf("%d readers were open at a time, want %d", n.most, jobs)
			}
		})
	}
}

// held delivers nothing before it is released.
type held struct {
	release <-chan struct{}
	r       io.Reader
}

func (h *held) Read(p []byte) (int, error) {
	<-h.release
	return h.r.Read(p)
}
