package transfer_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci/registry"
	"satchel/transfer"
)

// siteTrial unpacks a bundle of five blobs again and again, each time into a new
// registry.
type siteTrial struct {
	process
	images []fixtures.Image
	media  *fixtures.Disk
	// digests and blobs are what an undisturbed run leaves, requests and operations
	// what it takes.
	digests              map[string]map[string]digest.Digest
	blobs                map[string][]digest.Digest
	requests, operations int
}

func newSiteTrial(t testing.TB, o fixtures.Options) *siteTrial {
	t.Helper()
	r := newTrial(t)
	s := &siteTrial{process: newProcess(t), images: fiveBlobs(), media: fixtures.NewDisk()}
	for name, content := range r.want {
		s.media.Put(name, []byte(content))
	}
	disk := s.media.Clone()
	disk.SetFault(nil)
	site := serve(t, o)
	receipt, err := s.unpack(t, disk.FS(), site)
	if err != nil {
		t.Fatal(err)
	}
	checkSite(t, "undisturbed", site, s.images, every)
	if complete, _ := receipt.Complete(); !complete {
		t.Fatalf("got %+v", receipt)
	}
	s.digests, s.blobs = content(site)
	s.requests, s.operations = site.Stats().Total(), disk.Operations()
	return s
}

// content is what a registry has.
func content(site *fixtures.Registry) (digests map[string]map[string]digest.Digest, blobs map[string][]digest.Digest) {
	digests, blobs = site.Digests(), make(map[string][]digest.Digest)
	for name := range digests {
		blobs[name] = site.Blobs(name)
	}
	return digests, blobs
}

// unpack unpacks as a new process does.
func (s *siteTrial) unpack(t testing.TB, media fs.FS, site *fixtures.Registry) (receipt *transfer.Receipt, err error) {
	err = s.withClient(func(c *registry.Client) error {
		b, err := bundle.Open(bundle.Medium{Name: "stick", FS: media})
		if err != nil {
			return err
		}
		o := into(site)
		o.Sequential, o.Jobs = true, 2
		receipt, err = transfer.Unpack(t.Context(), b, c, o)
		return errors.Join(err, b.Close())
	})
	return receipt, err
}

// check looks at what a disturbed run left: whatever is visible is whole, and the
// receipt does not say more than there is.
func (s *siteTrial) check(t testing.TB, what string, receipt *transfer.Receipt, err error, site *fixtures.Registry) {
	t.Helper()
	complete := receipt != nil
	for i, image := range s.images {
		whole := isWhole(t, site, image)
		said := ""
		if receipt != nil {
			said = receipt.Images[i].State
			complete = complete && whole
		}
		if (said == transfer.ImagePushed || said == transfer.ImagePresent) && !whole {
			t.Errorf("%s: %s is %s, and not visible", what, image.Reference(), said)
		}
	}
	if err != nil {
		return
	}
	if said, _ := receipt.Complete(); said != complete {
		t.Errorf("%s: complete is %t, the receipt says %t", what, complete, said)
	}
	if complete {
		s.same(t, what, site)
	}
}

// same compares with what an undisturbed run leaves.
func (s *siteTrial) same(t testing.TB, what string, site *fixtures.Registry) {
	t.Helper()
	digests, blobs := content(site)
	for name, want := range s.digests {
		if !maps.Equal(digests[name], want) {
			t.Errorf("%s: %s has %v, want %v", what, name, digests[name], want)
		}
		if !slices.Equal(blobs[name], s.blobs[name]) {
			t.Errorf("%s: %s has blobs %v, want %v", what, name, blobs[name], s.blobs[name])
		}
	}
	if len(digests) != len(s.digests) {
		t.Errorf("%s: repositories %v", what, slices.Sorted(maps.Keys(digests)))
	}
}

// goOn runs once more, undisturbed, and checks that it ends as it should.
func (s *siteTrial) goOn(t testing.TB, what string, site *fixtures.Registry) {
	t.Helper()
	receipt, err := s.unpack(t, s.media.FS(), site)
	if err != nil {
		t.Errorf("%s: the next run: %v", what, err)
		return
	}
	if complete, _ := receipt.Complete(); !complete {
		t.Errorf("%s: the next run is not complete: %+v", what, receipt)
	}
	s.same(t, what, site)
}

// targetFaults are those of any request to a target. elsewhere is another address
// of it, closed a registry that takes nothing.
func targetFaults(elsewhere, closed string) []wireFault {
	return append(wireFaults(elsewhere, closed),
		wireFault{"a HEAD that lies", fixtures.Fault{Kind: fixtures.FaultHeadLies}, false},
		wireFault{"a mount answered 202", fixtures.Fault{Kind: fixtures.FaultNoMount}, true},
		wireFault{"a relative Location", fixtures.Fault{Kind: fixtures.FaultRelative}, true},
	)
}

// Whatever request to the target goes wrong, nothing is visible that is not whole,
// and the next run ends with the same content. A target that takes manifests
// without what they need does not help with that, and one that does not refuses.
func faultsOfTarget(t *testing.T, f *faultTally) {
	closed := serve(t, fixtures.Options{ReadOnly: true})
	idle := make(map[string]int)
	for variant, o := range []fixtures.Options{{Bearer: true, AllowSparse: true}, {RefuseReferrers: true}} {
		s := newSiteTrial(t, o)
		kinds := targetFaults("", "")
		f.size(s.requests, len(kinds))
		for k := range kinds {
			fired := 0
			for n := 1 + (5*variant+k)%f.step(29); ; n += f.step(29) {
				site := fixtures.NewRegistry(o)
				site.Start()
				other := httptest.NewServer(site)
				fault := targetFaults(other.URL, closed.URL())[k]
				end := fault.at(site, n)
				receipt, err := s.unpack(t, s.media.FS(), site)
				hit, took := end()
				what := fmt.Sprintf("%s at request %d, %s", fault.name, n, hit)
				// What a tag names, the registry makes of what comes; only the one who
				// sent something else can see it, and says so.
				if err == nil || fault.Kind != fixtures.FaultFlip || !strings.HasSuffix(hit, "/manifests/1") {
					s.check(t, what, receipt, err, site)
				}
				if hit != "" {
					s.explains(t, what, hit, fault, err, site)
					s.goOn(t, what, site)
				}
				other.Close()
				site.Close()
				if hit == "" {
					if err != nil || n <= s.requests*2/3 {
						t.Errorf("%s: request %d of %d was not reached, %v", fault.name, n, s.requests, err)
					}
					break
				}
				if took {
					f.ran()
					fired++
				} else {
					idle[fault.name]++
				}
			}
			if fired == 0 && f.all && !(kinds[k].name == "token expired" && !o.Bearer) {
				t.Errorf("%s: never took effect", kinds[k].name)
			}
		}
	}
	for name, n := range idle {
		t.Logf("%s: without effect at %d requests", name, n)
		if strings.HasPrefix(name, "4") || strings.HasPrefix(name, "5") || strings.HasPrefix(name, "307") || name == "dropped before" || name == "dropped after" {
			t.Errorf("%s: took no effect", name)
		}
	}
}

// explains checks that an error says what is wrong, and where.
func (s *siteTrial) explains(t testing.TB, what, hit string, fault wireFault, err error, site *fixtures.Registry) {
	t.Helper()
	if err == nil {
		return
	}
	if !strings.Contains(err.Error(), site.Host()) {
		t.Errorf("%s: an error that does not say where: %v", what, err)
	}
	if hit != probe && !strings.Contains(err.Error(), "source.example/team/") {
		t.Errorf("%s: an error that does not say which image: %v", what, err)
	}
	if status := (*registry.StatusError)(nil); hit != probe && fault.Kind == fixtures.FaultAnswer &&
		(!errors.As(err, &status) || status.Status != fault.Status) {
		t.Errorf("%s: the status is not told: %v", what, err)
	}
}

// What passes is tried again, and nothing else is to be done.
func faultsOfTargetTriedAgain(t *testing.T, f *faultTally) {
	const side = 16 // runs side by side, since they wait
	type run struct {
		fault wireFault
		n     int
	}
	o := fixtures.Options{Bearer: true, AllowSparse: true}
	s := newSiteTrial(t, o)
	s.retries = 1
	runs := make(chan run)
	var wait sync.WaitGroup
	var missed atomic.Int64
	for range side {
		wait.Go(func() {
			for r := range runs {
				site := fixtures.NewRegistry(o)
				site.Start()
				end := r.fault.at(site, r.n)
				receipt, err := s.unpack(t, s.media.FS(), site)
				hit, took := end()
				what := fmt.Sprintf("%s at request %d, %s, tried again", r.fault.name, r.n, hit)
				if err != nil {
					t.Errorf("%s: %v", what, err)
				} else if complete, _ := receipt.Complete(); !complete {
					t.Errorf("%s: not complete: %+v", what, receipt)
				}
				s.check(t, what, receipt, err, site)
				site.Close()
				if took {
					f.ran()
				} else {
					missed.Add(1)
				}
			}
		})
	}
	kinds := 0
	for k, fault := range targetFaults("", "") {
		if !fault.passes {
			continue
		}
		kinds++
		for n := 2 + k%f.step(31); n <= s.requests; n += f.step(31) {
			runs <- run{fault, n}
		}
	}
	close(runs)
	wait.Wait()
	f.size(s.requests, kinds)
	t.Logf("without effect: %d", missed.Load())
}

// Tokens end after a few requests, wherever that is.
func faultsOfTargetTokens(t *testing.T, f *faultTally) {
	for uses := 2; uses <= 12; uses += f.step(5) {
		s := newSiteTrial(t, fixtures.Options{Bearer: true, TokenUses: uses})
		f.ran()
		f.size(s.requests, 11)
	}
}
