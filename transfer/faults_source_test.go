package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/registry"
	"satchel/transfer"
)

// wireTrial packs a bundle of five blobs from a registry again and again.
type wireTrial struct {
	*trial
	process
	images   []fixtures.Image
	source   *fixtures.Registry
	requests int // of an undisturbed run
}

func newWireTrial(t testing.TB, o fixtures.Options) *wireTrial {
	t.Helper()
	images := fiveBlobs()
	w := &wireTrial{
		process: newProcess(t), images: images, source: serve(t, o, images...),
		trial: &trial{options: transfer.PackOptions{Buffer: 64 << 10, Jobs: 1}},
	}
	disk := fixtures.NewDisk()
	w.source.ResetStats()
	if err := w.journey(t.Context(), disk, nil); err != nil {
		t.Fatal(err)
	}
	w.want, w.requests = disk.Files(), w.source.Stats().Total()
	return w
}

// selectError is one that came before there was a plan.
type selectError struct{ error }

func (e *selectError) Unwrap() error { return e.error }

// journey plans and packs as a new process does. When there is a plan already, it
// is packed by that one.
func (w *wireTrial) journey(ctx context.Context, disk *fixtures.Disk, prologue *bundle.Prologue) error {
	return w.withClient(func(c *registry.Client) error {
		sources := transfer.Sources{Registry: c}
		if prologue == nil {
			var all []transfer.Wanted
			for _, image := range w.images {
				ref, err := oci.SplitReference(w.source.Host() + "/" + image.Reference())
				if err != nil {
					return err
				}
				all = append(all, transfer.Wanted{Name: ref})
			}
			selection, err := transfer.Select(ctx, sources, all, transfer.SelectOptions{})
			if err != nil {
				return &selectError{err}
			}
			selection.Name = "test"
			if _, prologue, err = bundle.NewPlan(selection, 55_000); err != nil {
				return err
			}
			if w.prologue == nil {
				w.prologue = prologue
			}
		}
		_, _, err := packInto(ctx, disk, prologue, sources, w.options)
		return err
	})
}

// check looks at what a disturbed run left, and goes on.
func (w *wireTrial) check(t testing.TB, what string, err error, disk *fixtures.Disk) {
	before := (*selectError)(nil)
	switch blob := (*transfer.BlobError)(nil); {
	case err == nil:
		sameFiles(t, what, disk.Files(), w.want)
		return
	case errors.As(err, &before):
		if len(disk.Files()) > 0 {
			t.Errorf("%s: there is no plan, and something is written", what)
		}
	case !errors.As(err, &blob) || blob.Where == "" || blob.Image == "" || blob.Digest == "":
		t.Errorf("%s: an error that does not say which blob: %v", what, err)
	}
	if !strings.Contains(err.Error(), w.source.Host()) {
		t.Errorf("%s: an error that does not say where: %v", what, err)
	}
	w.checkNames(t, what, disk)
	disk.Revive()
	if err := w.journey(t.Context(), disk, w.prologue); err != nil {
		t.Errorf("%s: the next run: %v", what, err)
		return
	}
	sameFiles(t, what, disk.Files(), w.want)
}

// Whatever request to the source goes wrong, packing succeeds or says what is
// wrong, and the next run ends in the same bytes.
func faultsOfSource(t *testing.T, f *faultTally) {
	elsewhere := serve(t, fixtures.Options{}, fiveBlobs()...)
	empty := serve(t, fixtures.Options{})
	w := newWireTrial(t, fixtures.Options{Bearer: true})
	kinds := wireFaults(elsewhere.URL(), empty.URL())
	f.size(w.requests, len(kinds))
	idle := make(map[string]int)
	for k, fault := range kinds {
		fired := 0
		for n := 1 + k%f.step(9); ; n += f.step(9) {
			disk := fixtures.NewDisk()
			w.source.ResetStats()
			end := fault.at(w.source, n)
			err := w.journey(t.Context(), disk, nil)
			hit, took := end()
			if hit == "" {
				// Two images are asked for side by side: how many tokens that takes
				// is not always the same.
				if err != nil || n <= w.requests-3 {
					t.Errorf("%s: request %d of %d was not reached, %v", fault.name, n, w.requests, err)
				}
				break
			}
			what := fmt.Sprintf("%s at request %d, %s", fault.name, n, hit)
			if took {
				f.ran()
				fired++
			} else {
				idle[fault.name]++
			}
			if status := (*registry.StatusError)(nil); hit != probe && fault.Kind == fixtures.FaultAnswer && err != nil &&
				(!errors.As(err, &status) || status.Status != fault.Status) {
				t.Errorf("%s: the status is not told: %v", what, err)
			}
			w.check(t, what, err, disk)
			// A blob with the wrong digest is fetched again as a whole, and one of
			// which no range can be had is sent as a whole.
			if got := w.source.Stats().BlobBytesServed; fault.Kind != fixtures.FaultFlip && fault.Status != http.StatusRequestedRangeNotSatisfiable && got > w.twice() {
				t.Errorf("%s: %d bytes were fetched, %d are allowed", what, got, w.twice())
			}
		}
		// A sample may miss the few requests at which such a fault can take effect.
		if fired == 0 && (f.all || !takesEffectAtSome(fault.name)) {
			t.Errorf("%s: never took effect", fault.name)
		}
	}
	// What takes no effect was not tried: it is none of those that can everywhere.
	for name, n := range idle {
		t.Logf("%s: without effect at %d requests", name, n)
		if !takesEffectAtSome(name) {
			t.Errorf("%s: took no effect", name)
		}
	}
}

// takesEffectAtSome says of a fault that not every answer can show it: most have
// no body, state no digest, or ask for no token.
func takesEffectAtSome(name string) bool {
	switch name {
	case "later bit wrong", "dropped within the body", "other digest stated", "token expired", "first bit wrong",
		"dropped before the body", "short by one byte", "long by one byte":
		return true
	}
	return false
}

// What passes is tried again, and nothing else is to be done.
func faultsOfSourceTriedAgain(t *testing.T, f *faultTally) {
	const side = 8 // runs side by side, since they wait
	type run struct {
		fault wireFault
		n     int
	}
	runs := make(chan run)
	var wait sync.WaitGroup
	var requests, missed atomic.Int64
	for range side {
		w := newWireTrial(t, fixtures.Options{Bearer: true})
		w.retries = 1
		requests.Store(int64(w.requests))
		wait.Go(func() {
			for r := range runs {
				disk := fixtures.NewDisk()
				end := r.fault.at(w.source, r.n)
				err := w.journey(t.Context(), disk, nil)
				hit, took := end()
				what := fmt.Sprintf("%s at request %d, %s, tried again", r.fault.name, r.n, hit)
				if err != nil {
					t.Errorf("%s: %v", what, err)
				}
				if !took {
					missed.Add(1)
					continue
				}
				f.ran()
				w.check(t, what, err, disk)
			}
		})
	}
	kinds := 0
	for k, fault := range wireFaults("", "") {
		if !fault.passes {
			continue
		}
		kinds++
		// Not the first: the probe for HTTPS or HTTP is made once.
		for n := 2 + k%f.step(13); n <= int(requests.Load()); n += f.step(13) {
			runs <- run{fault, n}
		}
	}
	close(runs)
	wait.Wait()
	f.size(int(requests.Load()), kinds)
	t.Logf("without effect: %d", missed.Load())
}

// Tokens end after a few requests, wherever that is.
func faultsOfTokens(t *testing.T, f *faultTally) {
	for uses := 1; uses <= 9; uses += f.step(3) {
		w := newWireTrial(t, fixtures.Options{Bearer: true, TokenUses: uses})
		for _, jobs := range []int{1, 4} {
			if uses < jobs {
				continue // others may use it up before the one who got it
			}
			w.options.Jobs = jobs
			disk := fixtures.NewDisk()
			if err := w.journey(t.Context(), disk, nil); err != nil {
				t.Errorf("a token for %d requests: %v", uses, err)
			}
			sameFiles(t, fmt.Sprintf("a token for %d requests", uses), disk.Files(), w.want)
			f.ran()
		}
		f.size(w.requests, 9)
	}
}
