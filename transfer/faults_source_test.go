package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

// wireFault is a way in which a request goes wrong.
type wireFault struct {
	name string
	fixtures.Fault
	// passes says that it is over when the request is tried again.
	passes bool
}

// probe is the request that finds out whether a registry speaks HTTP or HTTPS. What
// goes wrong with it is told as that of the other.
const probe = "GET /v2/"

func answers(status int, header ...string) fixtures.Fault {
	f := fixtures.Fault{Kind: fixtures.FaultAnswer, Status: status, Header: make(http.Header)}
	for i := 0; i < len(header); i += 2 {
		f.Header.Set(header[i], header[i+1])
	}
	return f
}

// wireFaults are those of any request. elsewhere is a registry that has the same,
// empty one that has nothing.
func wireFaults(elsewhere, empty string) []wireFault {
	closed := httptest.NewServer(nil)
	closed.Close()
	nobody := closed.URL
	return []wireFault{
		{"dropped before", fixtures.Fault{Kind: fixtures.FaultDropBefore}, true},
		{"dropped before the body", fixtures.Fault{Kind: fixtures.FaultDropBody}, true},
		{"dropped within the body", fixtures.Fault{Kind: fixtures.FaultDropBody, N: 60}, true},
		{"dropped after", fixtures.Fault{Kind: fixtures.FaultDropAfter}, true},
		{"401", answers(401), false},
		{"403", answers(403), false},
		{"404", answers(404), false},
		{"408", answers(408), true},
		{"416", answers(416), false},
		{"429, Retry-After: 0", answers(429, "Retry-After", "0"), true},
		{"429, Retry-After: 1", answers(429, "Retry-After", "1"), true},
		{"500", answers(500), true},
		{"503", answers(503), true},
		{"307 to where it is", fixtures.Fault{Kind: fixtures.FaultElsewhere, To: elsewhere}, false},
		{"307 to where it is not", fixtures.Fault{Kind: fixtures.FaultElsewhere, To: empty}, false},
		{"307 to where nobody listens", fixtures.Fault{Kind: fixtures.FaultElsewhere, To: nobody}, false},
		{"307 to nowhere", fixtures.Fault{Kind: fixtures.FaultElsewhere}, false},
		{"first bit wrong", fixtures.Fault{Kind: fixtures.FaultFlip}, false},
		{"later bit wrong", fixtures.Fault{Kind: fixtures.FaultFlip, N: 60}, false},
		{"short by one byte", fixtures.Fault{Kind: fixtures.FaultShort, N: 1}, false},
		{"long by one byte", fixtures.Fault{Kind: fixtures.FaultLong, N: 1}, false},
		{"other digest stated", fixtures.Fault{Kind: fixtures.FaultDigest}, false},
		{"token expired", fixtures.Fault{Kind: fixtures.FaultExpire}, false},
	}
}

// at makes the n-th request to the registry go wrong. The function that it returns
// ends that, and says which request that was, empty when there were not so many,
// and whether the fault took effect.
func (f wireFault) at(r *fixtures.Registry, n int) (end func() (hit string, fired bool)) {
	before := r.Stats().Faults
	var mu sync.Mutex
	count, hit := 0, ""
	r.SetFault(func(_ int, req *http.Request) fixtures.Fault {
		mu.Lock()
		defer mu.Unlock()
		if count++; count != n {
			return fixtures.Fault{}
		}
		hit = req.Method + " " + req.URL.Path
		return f.Fault
	})
	return func() (string, bool) {
		r.SetFault(nil)
		mu.Lock()
		defer mu.Unlock()
		return hit, r.Stats().Faults > before
	}
}

// wireTrial packs a bundle of five blobs from a registry again and again.
type wireTrial struct {
	*trial
	dir      string // configuration of clients
	images   []fixtures.Image
	source   *fixtures.Registry
	retries  int
	requests int // of an undisturbed run
}

func newWireTrial(t testing.TB, o fixtures.Options) *wireTrial {
	t.Helper()
	images := fiveBlobs()
	w := &wireTrial{
		dir: t.TempDir(), images: images, source: serve(t, o, images...), retries: -1,
		trial: &trial{options: transfer.PackOptions{Buffer: 64 << 10, Jobs: 1}},
	}
	for name, content := range map[string]string{"auth.json": "{}", "registries.conf": ""} {
		if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	disk := fixtures.NewDisk()
	w.source.ResetStats()
	if err := w.journey(t.Context(), disk, nil); err != nil {
		t.Fatal(err)
	}
	w.want, w.requests = disk.Files(), w.source.Stats().Total()
	return w
}

// withClient calls f with what a new process has.
func (w *wireTrial) withClient(f func(transfer.Sources) error) error {
	c, err := registry.New(registry.Options{
		AuthFile: filepath.Join(w.dir, "auth.json"), RegistriesConf: filepath.Join(w.dir, "registries.conf"),
		Insecure: true, Direct: true, Retries: w.retries,
	})
	if err != nil {
		return err
	}
	return errors.Join(f(transfer.Sources{Registry: c}), c.Close())
}

// selectError is one that came before there was a plan.
type selectError struct{ error }

func (e *selectError) Unwrap() error { return e.error }

// journey plans and packs as a new process does. When there is a plan already, it
// is packed by that one.
func (w *wireTrial) journey(ctx context.Context, disk *fixtures.Disk, prologue *bundle.Prologue) error {
	return w.withClient(func(sources transfer.Sources) error {
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
		for n := 1 + k%f.step(4); ; n += f.step(4) {
			disk := fixtures.NewDisk()
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
		}
		if fired == 0 {
			t.Errorf("%s: never took effect", fault.name)
		}
	}
	// What takes no effect was not tried: it is none of those that can everywhere.
	for name, n := range idle {
		t.Logf("%s: without effect at %d requests", name, n)
		switch name {
		case "later bit wrong", "dropped within the body", "other digest stated", "token expired", "first bit wrong",
			"dropped before the body", "short by one byte", "long by one byte":
		default:
			t.Errorf("%s: took no effect", name)
		}
	}
}

// What passes is tried again, and nothing else is to be done.
func faultsOfSourceTriedAgain(t *testing.T, f *faultTally) {
	const side = 12 // runs side by side, since they wait
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
		for n := 2 + k%f.step(7); n <= int(requests.Load()); n += f.step(7) {
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
