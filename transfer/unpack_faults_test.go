package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
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

func TestUnpackSparse(t *testing.T) {
	images := []fixtures.Image{fixtures.Demo(100, 200)[2], packed()[0]}
	path := makeBundle(t, 1<<20, transfer.SelectOptions{Platforms: []string{"linux/amd64"}, Sparse: true}, images...)
	site := serve(t, fixtures.Options{})
	_, err := transfer.Unpack(t.Context(), openBundle(t, path), client(t), transfer.UnpackOptions{To: site.Host() + "/mirror"})
	refused := mustAs[*transfer.SparseRefusedError](t, err)
	if refused.Repository != site.Host()+"/mirror/"+images[0].Repository || !strings.Contains(err.Error(), images[0].Reference()) {
		t.Errorf("got %+v", refused)
	}
	if stats := site.Stats(); stats.BlobBytesReceived > 0 || stats.Requests["POST upload"] > 0 || len(site.Digests()) > 0 {
		t.Errorf("refused: %v, %v", stats.Requests, site.Digests())
	}

	site = serve(t, fixtures.Options{AllowSparse: true})
	unpack(t, path, site)
	want := map[string]digest.Digest{images[0].Tag: images[0].Root.Digest, images[0].Root.Digest.String(): images[0].Root.Digest}
	amd := images[0].Manifests[0].Descriptor.Digest
	want[amd.String()] = amd
	if got := site.Digests()["mirror/"+images[0].Repository]; !maps.Equal(got, want) {
		t.Errorf("allowed: %v, want %v", got, want)
	}
}

// That a registry is not there does not mean that it refuses sparse indexes.
func TestUnpackSparseProbeFails(t *testing.T) {
	path := makeBundle(t, 1<<20, transfer.SelectOptions{Platforms: []string{"linux/amd64"}, Sparse: true}, fixtures.Demo(100, 200)[2])
	for name, o := range map[string]fixtures.Options{
		"unauthorized": {AllowSparse: true, User: "someone", Password: "secret"},
		"broken":       {AllowSparse: true, Fault: func(int, *http.Request) fixtures.Fault { return fixtures.Fault{Kind: fixtures.FaultAnswer} }},
		"dropping": {AllowSparse: true, Fault: func(_ int, r *http.Request) fixtures.Fault {
			if r.Method == http.MethodPut {
				return fixtures.Fault{Kind: fixtures.FaultDropBefore}
			}
			return fixtures.Fault{}
		}},
	} {
		site := serve(t, o)
		_, err := transfer.Unpack(t.Context(), openBundle(t, path), client(t), transfer.UnpackOptions{To: site.Host() + "/mirror"})
		var refused *transfer.SparseRefusedError
		if err == nil || errors.As(err, &refused) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestUnpackTargetRefuses(t *testing.T) {
	images := packed()
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	for name, test := range map[string]struct {
		options fixtures.Options
		status  int
		says    string
	}{
		"read-only":      {fixtures.Options{ReadOnly: true}, http.StatusMethodNotAllowed, "read-only"},
		"full":           {fixtures.Options{FullAfter: 300_000}, http.StatusInsufficientStorage, "no space left"},
		"full, with 500": {fixtures.Options{FullAfter: 300_000, FullStatus: 500}, http.StatusInternalServerError, "no space left"},
		"not logged in":  {fixtures.Options{User: "someone", Password: "secret"}, http.StatusUnauthorized, ""},
	} {
		site := serve(t, test.options)
		receipt, err := transfer.Unpack(t.Context(), openBundle(t, path), client(t), transfer.UnpackOptions{To: site.Host() + "/mirror"})
		var status *registry.StatusError
		if !errors.As(err, &status) || status.Status != test.status {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if complete, damaged := receipt.Complete(); complete || damaged || receipt.Count(transfer.ImageFailed) == 0 {
			t.Errorf("%s: receipt %+v", name, receipt)
		}
		for _, says := range []string{test.says, site.Host() + "/mirror/team/", "source.example/team/", "sha256:"} {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: the error does not say %s: %v", name, says, err)
			}
		}
		for _, image := range images {
			isWhole(t, site, image) // or not there at all
		}
	}
}

// What broke is repeated; what the registry holds in the end is right.
func TestUnpackConnectionFails(t *testing.T) {
	images := packed()
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	for _, kind := range []fixtures.FaultKind{fixtures.FaultDropBefore, fixtures.FaultDropBody, fixtures.FaultDropAfter, fixtures.FaultAnswer} {
		site := serve(t, fixtures.Options{})
		var mu sync.Mutex
		hit := make(map[string]bool)
		site.SetFault(func(_ int, r *http.Request) fixtures.Fault {
			mu.Lock()
			defer mu.Unlock()
			what := r.Method
			if hit[what] || strings.HasSuffix(r.URL.Path, "/v2/") {
				return fixtures.Fault{}
			}
			hit[what] = true
			return fixtures.Fault{Kind: kind, N: 10, Status: http.StatusServiceUnavailable}
		})
		c := client(t, func(o *registry.Options) { o.Retries = 3 })
		if _, err := transfer.Unpack(t.Context(), openBundle(t, path), c, transfer.UnpackOptions{To: site.Host() + "/mirror"}); err != nil {
			t.Errorf("fault %d: %v", kind, err)
			continue
		}
		checkSite(t, fmt.Sprintf("fault %d", kind), site, images, every)
	}
}

// Whatever HEAD says, an image is whole or not visible.
func TestUnpackHeadLies(t *testing.T) {
	images := packed()
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	site := serve(t, fixtures.Options{Fault: func(int, *http.Request) fixtures.Fault {
		return fixtures.Fault{Kind: fixtures.FaultHeadLies}
	}})
	for range 2 {
		_, err := transfer.Unpack(t.Context(), openBundle(t, path), client(t), transfer.UnpackOptions{To: site.Host() + "/mirror"})
		for _, image := range images {
			if !isWhole(t, site, image) && err == nil {
				t.Errorf("%s is not there, and nobody says so", image.Reference())
			}
		}
	}
	// A target that claims to have what it does not have, down to the first byte.
	site = serve(t, fixtures.Options{})
	if _, err := transfer.Unpack(t.Context(), openBundle(t, path), claiming{client(t)}, transfer.UnpackOptions{To: site.Host() + "/mirror"}); err == nil {
		t.Error("no error although no blob is there")
	}
	checkSite(t, "claiming", site, images, none)
}

type claiming struct{ *registry.Client }

func (claiming) HasBlob(context.Context, string, oci.Descriptor) (bool, error) { return true, nil }

func (claiming) Blob(context.Context, string, oci.Descriptor, int64, int64) (io.ReadCloser, bool, error) {
	return io.NopCloser(strings.NewReader("x")), true, nil
}

func TestUnpackCancel(t *testing.T) {
	images := packed()
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	b := openBundle(t, path)
	for at := range len(b.Prologue.Plan().Blobs) {
		site := serve(t, fixtures.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		pushes := 0
		target := &watched{Client: client(t), before: func(context.Context, oci.Descriptor) error {
			mu.Lock()
			defer mu.Unlock()
			if pushes == at {
				cancel()
			}
			pushes++
			return nil
		}}
		_, err := transfer.Unpack(ctx, b, target, transfer.UnpackOptions{To: site.Host() + "/mirror", Jobs: 1 + at%3})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("stopped at blob %d: %v", at, err)
		}
		if target.open != 0 {
			t.Errorf("stopped at blob %d: %d readers stay open", at, target.open)
		}
		for _, image := range images {
			isWhole(t, site, image)
		}
		// It goes on where it was.
		unpack(t, path, site)
		checkSite(t, fmt.Sprintf("stopped at blob %d, then again", at), site, images, every)
	}
}

// A bundle whose manifests name what its plan does not have is not begun.
func TestUnpackInconsistentBundle(t *testing.T) {
	images := packed()
	for name, edit := range map[string]func(*bundle.Selection){
		"a blob is not in the plan": func(s *bundle.Selection) { s.Blobs[0] = s.Blobs[0][1:] },
		"a child is not in the plan": func(s *bundle.Selection) {
			s.Manifests = slices.DeleteFunc(s.Manifests, func(m bundle.Manifest) bool { return m.Digest == images[3].Manifests[0].Descriptor.Digest })
		},
	} {
		images = append(packed(), fixtures.Demo(100, 200)[0])
		source := newOrigin(images...)
		s, err := transfer.Select(t.Context(), source.sources(), wanted(t, "source.example", images...), transfer.SelectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		edit(&s)
		s.Name = "test"
		_, prologue, err := bundle.NewPlan(s, smallVolume)
		if err != nil {
			t.Fatal(err)
		}
		path := writeBundle(t, prologue, source)
		site := serve(t, fixtures.Options{})
		_, err = transfer.Unpack(t.Context(), openBundle(t, path), client(t), transfer.UnpackOptions{To: site.Host() + "/mirror"})
		if err == nil || !strings.Contains(err.Error(), "source.example/") || !strings.Contains(err.Error(), "sha256:") {
			t.Errorf("%s: got %v", name, err)
		}
		checkSite(t, name, site, images, none)
		if n := site.Stats().Total(); n > 0 {
			t.Errorf("%s: %d requests", name, n)
		}
	}
}
