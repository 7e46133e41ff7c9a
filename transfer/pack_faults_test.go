package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/transfer"
)

// A blob with the wrong digest is fetched again once, wherever in it the damage
// is, and also when it is cut over volumes: these are cut back.
func TestPackFetchesAgain(t *testing.T) {
	source := serve(t, fixtures.Options{}, packed()...)
	sources := transfer.Sources{Registry: client(t)}
	prologue := plan(t, sources, source.Host(), smallVolume, transfer.SelectOptions{}, packed()...)
	want := mustPack(t, sources, prologue, transfer.PackOptions{})
	cut := cutBlob(t, prologue)
	for i := range prologue.Plan().Blobs {
		b := &prologue.Plan().Blobs[i]
		if b.Size == 0 {
			continue
		}
		for _, at := range []int64{0, b.Size - 1} {
			// One request for each blob, so that the byte is that of the blob.
			once := true
			source.SetFault(func(_ int, r *http.Request) fixtures.Fault {
				if once && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, b.Digest.String()) {
					once = false
					return fixtures.Fault{Kind: fixtures.FaultFlip, N: at}
				}
				return fixtures.Fault{}
			})
			var again []transfer.Event
			var moved int64
			var mu sync.Mutex
			got := mustPack(t, sources, prologue, transfer.PackOptions{Buffer: 64 << 20, Jobs: 4, Progress: func(e transfer.Event) {
				mu.Lock()
				defer mu.Unlock()
				switch e.Kind {
				case transfer.BlobRefetched:
					again = append(again, e)
				case transfer.BytesMoved:
					moved += e.Bytes
				}
			}})
			sameFiles(t, fmt.Sprintf("bit in byte %d of %d, cut: %t", at, b.Size, b == cut), got, want)
			if len(again) != 1 || again[0].Digest != b.Digest {
				t.Errorf("bit in byte %d of %d: fetched again: %+v", at, b.Size, again)
			}
			mustAs[*oci.MismatchError](t, again[0].Err)
			if moved != total(prologue) {
				t.Errorf("bit in byte %d of %d: progress says %d bytes of %d", at, b.Size, moved, total(prologue))
			}
		}
	}
}

func total(p *bundle.Prologue) int64 {
	var sum int64
	for i := range p.Plan().Blobs {
		sum += p.Plan().Blobs[i].Size
	}
	return sum
}

// Every blob wrong once is no reason to give up.
func TestPackFetchesEachAgain(t *testing.T) {
	o := newOrigin(packed()...)
	prologue := plan(t, o.sources(), "source.example", smallVolume, transfer.SelectOptions{}, packed()...)
	want := mustPack(t, o.sources(), prologue, transfer.PackOptions{})
	var mu sync.Mutex
	spoilt := make(map[digest.Digest]bool)
	read := make(map[digest.Digest]bool)
	o.wrap = func(_ context.Context, _ int, d oci.Descriptor, _ int64, r io.Reader) io.Reader {
		mu.Lock()
		defer mu.Unlock()
		// Only the blob that is written now: what is ahead is fetched anew after
		// every repetition.
		if !spoilt[d.Digest] && len(read) == len(spoilt) {
			spoilt[d.Digest] = true
			return flipped(r)
		}
		return r
	}
	progress := func(e transfer.Event) {
		if e.Kind == transfer.BlobRefetched {
			mu.Lock()
			defer mu.Unlock()
			read[e.Digest] = true
		}
	}
	sameFiles(t, "each blob wrong once", mustPack(t, o.sources(), prologue, transfer.PackOptions{Jobs: 1, Progress: progress}), want)
	if len(read) != len(spoilt) || len(read) < 5 {
		t.Errorf("%d blobs were wrong, %d fetched again", len(spoilt), len(read))
	}
}

func TestPackGivesUp(t *testing.T) {
	source := serve(t, fixtures.Options{}, packed()...)
	sources := transfer.Sources{Registry: client(t)}
	prologue := plan(t, sources, source.Host(), smallVolume, transfer.SelectOptions{}, packed()...)
	want := mustPack(t, sources, prologue, transfer.PackOptions{})
	big := bigLayer().Descriptor.Digest
	var requests atomic.Int32
	source.SetFault(func(_ int, r *http.Request) fixtures.Fault {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, big.String()) {
			requests.Add(1)
			return fixtures.Fault{Kind: fixtures.FaultFlip, N: 7}
		}
		return fixtures.Fault{}
	})
	dir := newMemoryDir()
	_, _, err := packInto(t.Context(), dir, prologue, sources, transfer.PackOptions{Buffer: 64 << 20, Jobs: 1})
	failed := mustAs[*transfer.BlobError](t, err)
	mustAs[*oci.MismatchError](t, err)
	for _, says := range []string{big.String(), source.Host() + "/team/big", source.Host() + "/team/big:1"} {
		if !strings.Contains(err.Error(), says) {
			t.Errorf("the error does not say %s: %v", says, err)
		}
	}
	if failed.Digest != big || failed.Image != source.Host()+"/team/big:1" || failed.Where != source.Host()+"/team/big" {
		t.Errorf("got %+v", failed)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("it was fetched %d times, want 2", n)
	}
	checkFinal(t, "persistent flip", dir, want)
}

// checkFinal checks that whatever has a final name is right, and that an
// inventory is there only with all the rest.
func checkFinal(t testing.TB, what string, dir *memoryDir, want map[string]string) {
	t.Helper()
	got := dir.final()
	for name, content := range got {
		if content != want[name] {
			t.Errorf("%s: %s has its final name and %d bytes that are not right (%d)", what, name, len(content), len(want[name]))
		}
	}
	if _, ok := got["inventory.json"]; ok && len(got) != len(want) {
		t.Errorf("%s: an inventory is there, with %d of %d files", what, len(got), len(want))
	}
}

// Whatever operation of the medium fails, nothing wrong gets a final name, and
// the failure is told.
func TestPackFailsAtAnyPoint(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: long, and nothing new to the race detector")
	}
	o := newOrigin(packed()...)
	prologue := plan(t, o.sources(), "source.example", smallVolume, transfer.SelectOptions{}, packed()...)
	want := mustPack(t, o.sources(), prologue, transfer.PackOptions{})
	big := bigLayer().Descriptor.Digest
	for _, spoil := range []bool{false, true} {
		for n := 1; ; n++ {
			o := newOrigin(packed()...)
			if spoil {
				// Its last byte, so that all volumes of the blob are cut back.
				o.wrap = func(_ context.Context, open int, d oci.Descriptor, _ int64, r io.Reader) io.Reader {
					if d.Digest == big && open == 1 {
						return flipped(r)
					}
					return r
				}
			}
			dir := newMemoryDir()
			dir.failAt = n
			err := safePack(t, dir, prologue, o.sources())
			if dir.calls < n {
				if err != nil {
					t.Fatal(err)
				}
				sameFiles(t, "nothing failed", dir.final(), want)
				break
			}
			what := fmt.Sprintf("blob wrong once: %t; operation %d fails: %s", spoil, n, dir.log[n-1])
			if !errors.Is(err, errMedium) {
				t.Errorf("%s: Pack returns %v", what, err)
			}
			checkFinal(t, what, dir, want)
		}
	}
}

// safePack is Pack, with a panic made an error.
func safePack(t testing.TB, dir bundle.Dir, prologue *bundle.Prologue, sources transfer.Sources) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	_, _, err = packInto(t.Context(), dir, prologue, sources, transfer.PackOptions{Buffer: 64 << 20})
	return err
}

func TestPackFullMedium(t *testing.T) {
	o := newOrigin(packed()...)
	prologue := plan(t, o.sources(), "source.example", smallVolume, transfer.SelectOptions{}, packed()...)
	dir := newMemoryDir()
	written := 0
	dir.fails = func(operation, _ string) bool {
		if operation == "write" {
			written++
		}
		return operation == "write" && written > 20
	}
	_, _, err := packInto(t.Context(), dir, prologue, o.sources(), transfer.PackOptions{})
	if !errors.Is(err, errMedium) {
		t.Errorf("got %v", err)
	}
}

// synctest fails the test when a goroutine is left.
func TestPackCancel(t *testing.T) {
	for at := 0; at <= 7; at++ {
		synctest.Test(t, func(t *testing.T) {
			o := newOrigin(packed()...)
			prologue := plan(t, o.sources(), "source.example", smallVolume, transfer.SelectOptions{}, packed()...)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var moved int64
			stop := total(prologue) * int64(at) / 10
			o.wrap = func(ctx context.Context, _ int, d oci.Descriptor, offset int64, r io.Reader) io.Reader {
				if at == 0 {
					return &stuck{ctx, r}
				}
				return r
			}
			dir := newMemoryDir()
			done := make(chan error)
			go func() {
				_, _, err := packInto(ctx, dir, prologue, o.sources(), transfer.PackOptions{Buffer: 100_000, Progress: func(e transfer.Event) {
					if e.Kind == transfer.BytesMoved {
						moved += e.Bytes
					}
					if moved >= stop && at > 0 {
						cancel()
					}
				}})
				done <- err
			}()
			if at == 0 {
				synctest.Wait()
				cancel()
			}
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("stopped after %d bytes: %v", moved, err)
			}
			if _, ok := dir.final()["inventory.json"]; ok {
				t.Errorf("stopped after %d bytes: there is an inventory", moved)
			}
		})
	}
}

// A medium may be slow: what waits in the buffer is not written any more.
func TestPackCancelIsPrompt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOrigin(packed()...)
		prologue := plan(t, o.sources(), "source.example", smallVolume, transfer.SelectOptions{}, packed()...)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var moved int64
		_, _, err := packInto(ctx, newMemoryDir(), prologue, o.sources(), transfer.PackOptions{Buffer: 64 << 20, Jobs: 64, Progress: func(e transfer.Event) {
			if e.Kind != transfer.BytesMoved {
				return
			}
			if moved == 0 {
				synctest.Wait() // until all is fetched
				cancel()
			}
			moved += e.Bytes
		}})
		if !errors.Is(err, context.Canceled) || moved > total(prologue)/2 {
			t.Errorf("%d of %d bytes are moved although it was stopped at the first, %v", moved, total(prologue), err)
		}
	})
}

func TestPackConnectionFails(t *testing.T) {
	source := serve(t, fixtures.Options{}, packed()...)
	sources := transfer.Sources{Registry: client(t)}
	prologue := plan(t, sources, source.Host(), smallVolume, transfer.SelectOptions{}, packed()...)
	for _, kind := range []fixtures.FaultKind{fixtures.FaultDropBefore, fixtures.FaultDropBody, fixtures.FaultAnswer, fixtures.FaultShort} {
		source.SetFault(func(_ int, r *http.Request) fixtures.Fault {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/team/big/blobs/") {
				return fixtures.Fault{Kind: kind, N: 5}
			}
			return fixtures.Fault{}
		})
		dir := newMemoryDir()
		_, _, err := packInto(t.Context(), dir, prologue, sources, transfer.PackOptions{})
		failed := mustAs[*transfer.BlobError](t, err)
		if failed.Where != source.Host()+"/team/big" || !strings.Contains(failed.Image, "team/big") {
			t.Errorf("fault %d: %v", kind, err)
		}
		if _, ok := dir.final()["inventory.json"]; ok {
			t.Errorf("fault %d: there is an inventory", kind)
		}
	}
}
