package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/registry"
	"satchel/transfer"
)

// copied are images that share some layers: a list, and images of several layers.
func copied() []fixtures.Image {
	list := fixtures.NewIndex(
		platformImage(false, linux("amd64", ""), "list"), platformImage(false, linux("arm64", ""), "list"),
	).Named("team/list", "1")
	return []fixtures.Image{layered("web", "base", "web"), list, layered("api", "base", "api", "last")}
}

// copyJob is a source with images and their plan.
type copyJob struct {
	source   *fixtures.Registry
	sources  transfer.Sources
	images   []fixtures.Image
	prologue *bundle.Prologue
}

func newCopyJob(t testing.TB) *copyJob {
	t.Helper()
	j := &copyJob{images: copied()}
	j.source = serve(t, fixtures.Options{}, j.images...)
	j.sources = transfer.Sources{Registry: client(t)}
	j.prologue = plan(t, j.sources, j.source.Host(), oci.MaxBlobSize, transfer.SelectOptions{}, j.images...)
	return j
}

// into copies below mirror/ of the site, by the client where it is no other.
func (j *copyJob) into(ctx context.Context, t testing.TB, site *fixtures.Registry, target transfer.Target, edit ...func(*transfer.CopyOptions)) (*transfer.Receipt, error) {
	t.Helper()
	o := transfer.CopyOptions{UnpackOptions: into(site)}
	for _, f := range edit {
		f(&o)
	}
	if target == nil {
		target = client(t)
	}
	return transfer.Copy(ctx, j.prologue, j.sources, target, o)
}

// users are the images that need a blob.
func (j *copyJob) users(d digest.Digest) func(fixtures.Image) bool {
	return func(image fixtures.Image) bool {
		return slices.ContainsFunc(image.Blobs, func(b fixtures.Content) bool { return b.Descriptor.Digest == d })
	}
}

// blobs are the digests of all blobs, each once.
func (j *copyJob) blobs() []digest.Digest {
	var all []digest.Digest
	for i := range j.prologue.Plan().Blobs {
		all = append(all, j.prologue.Plan().Blobs[i].Digest)
	}
	return all
}

// finish copies again, and checks that only what was lacking is sent.
func (j *copyJob) finish(t testing.TB, what string, site *fixtures.Registry) {
	t.Helper()
	had := make(map[digest.Digest]bool)
	for _, image := range j.images {
		for _, d := range site.Blobs("mirror/" + image.Repository) {
			had[d] = true
		}
	}
	site.ResetStats()
	receipt, err := j.into(t.Context(), t, site, nil)
	if err != nil {
		t.Errorf("%s: again: %v", what, err)
		return
	}
	if complete, _ := receipt.Complete(); !complete {
		t.Errorf("%s: again: %+v", what, receipt)
	}
	for _, d := range stored(site) {
		if had[d] {
			t.Errorf("%s: again: %s was sent a second time", what, d)
		}
	}
	checkSite(t, what+", again", site, j.images, every)
}

func keepGoing(o *transfer.CopyOptions)   { o.KeepGoing = true }
func skipMissing(o *transfer.CopyOptions) { o.SkipMissing = true }

func getsBlob(d digest.Digest) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/blobs/"+string(d))
	}
}

// failing makes a registry fail at some requests.
func failing(t testing.TB, r *fixtures.Registry, fault fixtures.Fault, at func(*http.Request) bool) {
	t.Helper()
	r.SetFault(func(_ int, req *http.Request) fixtures.Fault {
		if at(req) {
			return fault
		}
		return fixtures.Fault{}
	})
}

// Whichever blob the source breaks off, or serves wrongly: no image that needs it
// gets visible, nothing that is not what it should be is there, and what was there
// is not sent again.
func TestCopySourceFails(t *testing.T) {
	j := newCopyJob(t)
	for name, test := range map[string]struct {
		fault fixtures.Fault
		check func(err error) bool
	}{
		"breaks off":  {fixtures.Fault{Kind: fixtures.FaultDropBody, N: 10}, func(err error) bool { return errors.Is(err, io.ErrUnexpectedEOF) }},
		"wrong bytes": {fixtures.Fault{Kind: fixtures.FaultFlip, N: 3}, isMismatch},
		"too short":   {fixtures.Fault{Kind: fixtures.FaultShort, N: 1}, isMismatch},
		"fails":       {fixtures.Fault{Kind: fixtures.FaultAnswer, Status: http.StatusInternalServerError}, isStatus(http.StatusInternalServerError)},
		"forbids":     {fixtures.Fault{Kind: fixtures.FaultAnswer, Status: http.StatusForbidden}, isStatus(http.StatusForbidden)},
	} {
		for n, d := range j.blobs() {
			if n%4 != 0 && (n%2 != 0 || name != "wrong bytes") {
				continue
			}
			what := fmt.Sprintf("%s, blob %d", name, n)
			j.source.SetFault(nil)
			failing(t, j.source, test.fault, getsBlob(d))
			for _, edit := range []func(*transfer.CopyOptions){func(*transfer.CopyOptions) {}, keepGoing} {
				site := serve(t, fixtures.Options{})
				receipt, err := j.into(t.Context(), t, site, nil, edit, skipMissing)
				if blob := (*transfer.BlobError)(nil); err != nil && (!errors.As(err, &blob) || blob.Digest != d || !test.check(err)) {
					t.Errorf("%s: got %v", what, err)
				}
				wants := j.users(d)
				for i, image := range j.images {
					whole := isWhole(t, site, image)
					if whole && wants(image) || !whole && err == nil && !wants(image) {
						t.Errorf("%s: %s is visible: %t", what, image.Reference(), whole)
					}
					if got := receipt.Images[i]; err == nil && wants(image) && (got.State != transfer.ImageFailed || len(got.Lacks) == 0 || got.Lacks[0].Digest != d) {
						t.Errorf("%s: %s is %s: %+v", what, image.Reference(), got.State, got.Lacks)
					}
				}
				for repository, blobs := range blobsOf(site, j.images) {
					if slices.Contains(blobs, d) {
						t.Errorf("%s: it is in %s", what, repository)
					}
				}
				j.source.SetFault(nil)
				j.finish(t, what, site)
				failing(t, j.source, test.fault, getsBlob(d))
			}
		}
	}
}

var blamesTarget = regexp.MustCompile(`/mirror/\S+ gave`)

// isMismatch also wants the source to be blamed, and not the target.
func isMismatch(err error) bool {
	var mismatch *oci.MismatchError
	return errors.As(err, &mismatch) && strings.Contains(err.Error(), "gave a wrong blob") && !blamesTarget.MatchString(err.Error())
}

func isStatus(status int) func(error) bool {
	return func(err error) bool {
		var answer *registry.StatusError
		return errors.As(err, &answer) && answer.Status == status
	}
}

func blobsOf(site *fixtures.Registry, images []fixtures.Image) map[string][]digest.Digest {
	all := make(map[string][]digest.Digest)
	for _, image := range images {
		all[image.Repository] = site.Blobs("mirror/" + image.Repository)
	}
	return all
}

// A source that breaks off now and then is read on from there: nothing is sent
// twice.
func TestCopyGoesOn(t *testing.T) {
	j := newCopyJob(t)
	j.sources.Registry = client(t, func(o *registry.Options) { o.Retries = 2 })
	d := j.blobs()[1]
	broken := false
	j.source.SetFault(func(_ int, r *http.Request) fixtures.Fault {
		if getsBlob(d)(r) && !broken {
			broken = true
			return fixtures.Fault{Kind: fixtures.FaultDropBody, N: 10}
		}
		return fixtures.Fault{}
	})
	site := serve(t, fixtures.Options{})
	if _, err := j.into(t.Context(), t, site, nil); err != nil || !broken {
		t.Fatal(err)
	}
	checkSite(t, "broken off", site, j.images, every)
	for d, n := range site.Stats().Stored {
		if b := j.prologue.Blob(d); b == nil || b.Size != n {
			t.Errorf("%d bytes of %s are stored", n, d)
		}
	}
}

// What the source does not have any more is an error, or left out: then the receipt
// says what is lacking and why.
func TestCopyMissing(t *testing.T) {
	for n := range newCopyJob(t).blobs() {
		j := newCopyJob(t)
		d := j.blobs()[n]
		gone := fixtures.Fault{Kind: fixtures.FaultAnswer, Status: http.StatusNotFound}
		failing(t, j.source, gone, getsBlob(d))
		wants := j.users(d)
		site := serve(t, fixtures.Options{})
		_, err := j.into(t.Context(), t, site, nil)
		if blob := mustAs[*transfer.BlobError](t, err); blob.Digest != d || !isStatus(http.StatusNotFound)(err) {
			t.Errorf("blob %d: got %v", n, err)
		}
		checkSite(t, "stopped", site, slices.DeleteFunc(slices.Clone(j.images), func(i fixtures.Image) bool { return !wants(i) }), none)

		receipt, err := j.into(t.Context(), t, site, nil, skipMissing)
		if err != nil {
			t.Fatal(err)
		}
		checkSite(t, "skipped", site, j.images, func(i fixtures.Image) bool { return !wants(i) })
		for i, image := range receipt.Images {
			lacks := image.State == transfer.ImageMissing && len(image.Lacks) == 1 && image.Lacks[0].Digest == d && strings.Contains(image.Lacks[0].Reason, "404")
			if lacks != wants(j.images[i]) || !lacks && image.State == transfer.ImageMissing {
				t.Errorf("blob %d: %+v", n, image)
			}
		}
		// What the site has of it needs no source.
		j.source.SetFault(nil)
		j.finish(t, "it is back", site)
		failing(t, j.source, gone, func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/blobs/") })
		if receipt, err = j.into(t.Context(), t, site, nil); err != nil || receipt.Count(transfer.ImagePresent) != len(j.images) {
			t.Errorf("blob %d: all is there: %v", n, err)
		}
	}
}

// A target that does not take something is an error, or costs the images that need
// it.
func TestCopyTargetFails(t *testing.T) {
	j := newCopyJob(t)
	api := j.images[2]
	for name, test := range map[string]struct {
		fault fixtures.Fault
		at    func(*http.Request) bool
	}{
		"uploads": {fixtures.Fault{Kind: fixtures.FaultAnswer, Status: http.StatusForbidden}, func(r *http.Request) bool {
			return r.Method == http.MethodPost && strings.Contains(r.URL.Path, "team/api")
		}},
		"a manifest": {fixtures.Fault{Kind: fixtures.FaultAnswer, Status: http.StatusBadRequest}, func(r *http.Request) bool {
			return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "team/api/manifests/1")
		}},
		"full": {fixtures.Fault{Kind: fixtures.FaultAnswer, Status: http.StatusInsufficientStorage}, func(r *http.Request) bool {
			return r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "team/api") || r.Method == http.MethodPut && strings.Contains(r.URL.Path, "team/api/blobs")
		}},
	} {
		for _, edit := range []func(*transfer.CopyOptions){func(*transfer.CopyOptions) {}, keepGoing} {
			site := serve(t, fixtures.Options{})
			failing(t, site, test.fault, test.at)
			receipt, err := j.into(t.Context(), t, site, nil, edit)
			status := test.fault.Status
			if err != nil && (!isStatus(status)(err) || !strings.Contains(err.Error(), api.Repository)) {
				t.Errorf("%s: got %v", name, err)
			}
			if receipt.Images[2].State != transfer.ImageFailed {
				t.Errorf("%s: got %+v", name, receipt.Images[2])
			}
			if isWhole(t, site, api) {
				t.Errorf("%s: it is visible", name)
			}
			if err == nil {
				checkSite(t, name, site, j.images, func(i fixtures.Image) bool { return i.Repository != api.Repository })
			}
			site.SetFault(nil)
			j.finish(t, name, site)
		}
	}
}

// Whenever it is interrupted: what is visible is whole, the error says so, and the
// next run sends only what is lacking.
func TestCopyInterrupted(t *testing.T) {
	j := newCopyJob(t)
	for n := range len(j.blobs()) {
		site := serve(t, fixtures.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		pushed := 0
		target := &watched{Client: client(t), before: func(ctx context.Context, _ oci.Descriptor) error {
			mu.Lock()
			defer mu.Unlock()
			if pushed++; pushed > n {
				cancel()
			}
			return ctx.Err()
		}}
		receipt, err := j.into(ctx, t, site, target, keepGoing, skipMissing)
		cancel()
		if !errors.Is(err, context.Canceled) || receipt == nil {
			t.Errorf("after %d blobs: %+v, %v", n, receipt, err)
		}
		for i, image := range j.images {
			// The other way round is no lie: an interruption can come between the push of
			// a manifest and the answer to it.
			if receipt.Images[i].State == transfer.ImagePushed && !isWhole(t, site, image) {
				t.Errorf("after %d blobs: %s is %s", n, image.Reference(), receipt.Images[i].State)
			}
		}
		j.finish(t, fmt.Sprintf("after %d blobs", n), site)
	}
}

// What is said of media means nothing: none is asked for.
func TestCopyNeedsNoMedia(t *testing.T) {
	j := newCopyJob(t)
	failing(t, j.source, fixtures.Fault{Kind: fixtures.FaultAnswer, Status: http.StatusNotFound}, getsBlob(j.blobs()[0]))
	receipt, err := j.into(t.Context(), t, serve(t, fixtures.Options{}), nil, skipMissing, func(o *transfer.CopyOptions) {
		o.Volume = func(context.Context, int) (*bundle.Bundle, error) {
			t.Error("a volume is asked for")
			return nil, errors.New("no")
		}
		o.Earlier = &transfer.Receipt{}
		o.Sequential = true
	})
	if err != nil || receipt.Count(transfer.ImageMissing) == 0 {
		t.Errorf("got %+v, %v", receipt, err)
	}
	if len(receipt.MissingVolumes) > 0 || len(receipt.DamagedVolumes) > 0 {
		t.Errorf("volumes: %v, %v", receipt.MissingVolumes, receipt.DamagedVolumes)
	}
}
