package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"satchel/transfer"
)

func TestWindowOrder(t *testing.T) {
	const least = 64 << 10 // the smallest segment of a large buffer
	for _, ranged := range []bool{true, false} {
		for _, buffer := range []int64{1000, least, 3*least + 1, 1 << 20, 64 << 20} {
			for _, jobs := range []int{1, 2, 8} {
				t.Run(fmt.Sprintf("ranged=%t/buffer=%d/jobs=%d", ranged, buffer, jobs), func(t *testing.T) {
					n := newNet(ranged)
					n.add("a.example/x", 0, 1, 999, 1000, 1001, least-1, least, least+1, 0, 3*least+2, 2, 0)
					w := transfer.NewWindow(t.Context(), n.open, n.blobs, buffer, jobs)
					defer w.Close()
					for i, b := range n.blobs {
						got, err := io.ReadAll(w.Blob(t.Context(), b.Size))
						if err != nil || !bytes.Equal(got, n.contents[b.Digest]) {
							t.Fatalf("blob %d of %d bytes: got %d bytes or others, %v", i, b.Size, len(got), err)
						}
						asked, fetched := n.about(b.Digest)
						if fetched != b.Size {
							t.Errorf("blob %d of %d bytes: %d bytes were fetched", i, b.Size, fetched)
						}
						if b.Size == 0 && asked > 0 {
							t.Errorf("blob %d is empty and was asked for", i)
						}
						if !ranged && asked > 1 {
							t.Errorf("blob %d of %d bytes was asked for %d times although ranges are refused", i, b.Size, asked)
						}
					}
				})
			}
		}
	}
}

// Some registries honour ranges and some do not; each is asked in its own way.
func TestWindowMixedHosts(t *testing.T) {
	n := newNet(false)
	n.ranged = func(repository string) bool { return repository[0] == 'a' }
	const segment = 64 << 10
	n.add("a.example/x", 3*segment)
	n.add("b.example/x", 3*segment)
	n.add("a.example/y", 3*segment)
	n.add("b.example/y", 3*segment, segment, 4*segment)
	w := transfer.NewWindow(t.Context(), n.open, n.blobs, 4*segment, 2)
	defer w.Close()
	for i, b := range n.blobs {
		got, err := io.ReadAll(w.Blob(t.Context(), b.Size))
		if err != nil || !bytes.Equal(got, n.contents[b.Digest]) {
			t.Fatalf("blob %d: %d bytes, %v", i, len(got), err)
		}
		want := 1
		if b.Origin.Repository[0] == 'a' {
			want = 3
		}
		if asked, fetched := n.about(b.Digest); asked != want || fetched != b.Size {
			t.Errorf("blob %d of %s: asked for %d times, %d bytes", i, b.Origin.Repository, asked, fetched)
		}
	}
}

func TestWindowErrors(t *testing.T) {
	const segment = 64 << 10
	cause := errors.New("the cable is out")
	faults := map[string]struct {
		wrap func(context.Context, io.Reader) (io.Reader, error)
		want error
	}{
		"open fails": {func(context.Context, io.Reader) (io.Reader, error) { return nil, cause }, cause},
		"read fails": {func(_ context.Context, r io.Reader) (io.Reader, error) {
			return io.MultiReader(io.LimitReader(r, 500), iotest.ErrReader(cause)), nil
		}, cause},
		"ends early": {func(_ context.Context, r io.Reader) (io.Reader, error) { return io.LimitReader(r, 500), nil }, io.ErrUnexpectedEOF},
	}
	for name, fault := range faults {
		for _, ranged := range []bool{true, false} {
			opens := 9 // 1 small, 4 segments, 1 small, 3 segments
			if !ranged {
				opens = 4
			}
			for bad := 1; bad <= opens; bad++ {
				synctest.Test(t, func(t *testing.T) {
					n := newNet(ranged)
					n.add("a.example/x", 1000, 4*segment, 2000, 3*segment)
					n.wrap = func(ctx context.Context, open int, r io.Reader) (io.Reader, error) {
						if open == bad {
							return fault.wrap(ctx, r)
						}
						return r, nil
					}
					w := transfer.NewWindow(t.Context(), n.open, n.blobs, 4*segment, 2)
					defer w.Close()
					for i, b := range n.blobs {
						got, err := io.ReadAll(w.Blob(t.Context(), b.Size))
						if !bytes.HasPrefix(n.contents[b.Digest], got) {
							t.Fatalf("%s %d, ranged %t: blob %d: other bytes", name, bad, ranged, i)
						}
						if err != nil {
							if !errors.Is(err, fault.want) {
								t.Errorf("%s %d, ranged %t: blob %d: got %v, want %v", name, bad, ranged, i, err, fault.want)
							}
							return
						}
					}
					t.Errorf("%s %d, ranged %t: no error", name, bad, ranged)
				})
			}
		}
	}
}

// synctest fails the test when a goroutine is left.
func TestWindowCancel(t *testing.T) {
	const segment = 64 << 10
	for _, ranged := range []bool{true, false} {
		for _, jobs := range []int{1, 3} {
			for bytesRead := int64(0); bytesRead <= 9*segment; bytesRead += segment / 2 {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					n := newNet(ranged)
					n.add("a.example/x", 10*segment, 3, 20*segment)
					n.wrap = func(ctx context.Context, open int, r io.Reader) (io.Reader, error) {
						if open%3 == 2 {
							return &stuck{ctx, r}, nil
						}
						return r, nil
					}
					w := transfer.NewWindow(ctx, n.open, n.blobs, 4*segment, jobs)
					r := w.Blob(ctx, n.blobs[0].Size)
					done := make(chan error)
					go func() {
						_, err := io.CopyN(io.Discard, r, bytesRead)
						done <- err
					}()
					synctest.Wait()
					cancel()
					if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
						t.Errorf("ranged %t, jobs %d, after %d bytes: %v", ranged, jobs, bytesRead, err)
					}
					w.Close()
					if _, open := n.state(); open != 0 {
						t.Errorf("ranged %t, jobs %d, after %d bytes: %d readers stay open", ranged, jobs, bytesRead, open)
					}
				})
			}
		}
	}
}

// Closing without reading, and before anything was delivered, ends everything.
func TestWindowClose(t *testing.T) {
	for _, ranged := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			n := newNet(ranged)
			n.add("a.example/x", 1<<20, 3, 1<<20)
			n.wrap = func(ctx context.Context, _ int, r io.Reader) (io.Reader, error) { return &stuck{ctx, r}, nil }
			w := transfer.NewWindow(t.Context(), n.open, n.blobs, 512<<10, 3)
			synctest.Wait()
			w.Close()
			if _, open := n.state(); open != 0 {
				t.Errorf("ranged %t: %d readers stay open", ranged, open)
			}
		})
	}
}

// stuck delivers nothing until its context ends, as a body of HTTP does.
type stuck struct {
	ctx context.Context
	r   io.Reader
}

func (s *stuck) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}
