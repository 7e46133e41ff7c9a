package transfer_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/registry"
	"satchel/transfer"
)

// few makes a release of few components.
func few(s *fixtures.ReleaseSpec) { s.Components = []string{"cli", "etcd", "pod"} }

// multi makes one of few components for two architectures.
func multi(s *fixtures.ReleaseSpec) {
	few(s)
	s.Architectures = []string{"amd64", "arm64"}
}

// attachments are a signature, an SBOM and a referrer for each manifest of the
// image.
func attachments(image fixtures.Image) []fixtures.Image {
	var all []fixtures.Image
	for _, m := range image.Manifests {
		d := m.Descriptor
		all = append(all,
			fixtures.NewCosignSignature(image.Repository, d, "quay.io/"+image.Repository),
			fixtures.NewCosignSBOM(image.Repository, d),
			fixtures.NewReferrer(image.Repository, d, "application/spdx+json", fixtures.NewBlob("application/spdx+json", []byte(d.Digest))))
	}
	return all
}

// attach adds attachments for images of a release.
func (u *upstream) attach(t testing.TB, images ...fixtures.Image) (all []fixtures.Image) {
	t.Helper()
	for _, image := range images {
		all = append(all, attachments(image)...)
	}
	if err := u.registry.Add(all...); err != nil {
		t.Fatal(err)
	}
	return all
}

// pulls checks that an image is in a repository, whole, by its digest and by its
// tag if it has one.
func pulls(t testing.TB, site *fixtures.Registry, repository string, image fixtures.Image) {
	t.Helper()
	c := client(t)
	name := site.Host() + "/" + repository
	if image.Tag != "" {
		if d, _, err := c.Resolve(t.Context(), oci.Reference{Repository: name, Tag: image.Tag}); err != nil || d.Digest != image.Root.Digest {
			t.Errorf("%s:%s: got %s, %v", name, image.Tag, d.Digest, err)
		}
	}
	for _, m := range image.Manifests {
		if _, err := c.Manifest(t.Context(), name, m.Descriptor); err != nil {
			t.Errorf("%s: %v", image.Reference(), err)
		}
	}
	for _, b := range image.Blobs {
		r, _, err := c.Blob(t.Context(), name, b.Descriptor, 0, b.Descriptor.Size)
		if err != nil {
			t.Errorf("%s: %v", image.Reference(), err)
			continue
		}
		gate, err := oci.NewReader(r, b.Descriptor)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, gate); err != nil {
			t.Errorf("%s: blob %s: %v", image.Reference(), b.Descriptor.Digest, err)
		}
		r.Close()
	}
}

// pullsRelease checks all of a release, and what is attached to it.
func pullsRelease(t testing.TB, site *fixtures.Registry, prefix string, r fixtures.Release, attached []fixtures.Image) {
	t.Helper()
	images, components := prefix+"openshift/release-images", prefix+"openshift/release"
	pulls(t, site, images, r.Image)
	for _, c := range r.Components {
		pulls(t, site, components, c.Image.Named("", r.Image.Tag+"-"+c.Name))
	}
	for _, image := range attached {
		if image.Repository == r.Image.Repository {
			pulls(t, site, images, image)
		} else {
			pulls(t, site, components, image)
		}
	}
}

// hands is a clock that is moved by hand.
type hands struct {
	mu sync.Mutex
	t  time.Time
}

func (h *hands) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.t
}

func (h *hands) move(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.t = h.t.Add(d)
}

// late is a target to which the nth blob comes late.
type late struct {
	*registry.Client
	late func()

	mu sync.Mutex
	n  int
}

func (l *late) PushBlob(ctx context.Context, repository string, d oci.Descriptor, open func(context.Context) (io.ReadCloser, error)) error {
	return l.Client.PushBlob(ctx, repository, d, func(ctx context.Context) (io.ReadCloser, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.n--; l.n == 0 {
			l.late()
		}
		return open(ctx)
	})
}

// Quay collects after an hour what has no tag: whichever blob takes longer than
// that, the release and what is attached to it are there in the end, and stay.
func TestReleaseIntoQuay(t *testing.T) {
	up := newUpstream(t)
	r := up.release(t, "4.12.0", multi)
	attached := up.attach(t, r.Image, r.Component("etcd").Image)
	b := up.pack(t, up.plan(t, releaseVolume, r))
	blobs := 0
	for i := range b.Prologue.Plan().Blobs {
		if b.Prologue.Plan().Blobs[i].Origin.Inline == nil {
			blobs++
		}
	}
	for n := 0; n <= blobs; n += 1 + blobs/6 {
		clock := &hands{t: time.Unix(1700000000, 0)}
		site := serve(t, fixtures.Quay(clock.now, "mirror"))
		target := &late{Client: client(t), n: n, late: func() { clock.move(70 * time.Minute) }}
		if n == 0 { // one that breaks off instead, which ends Quay's session
			target.Client = client(t, func(o *registry.Options) { o.Retries = 2 })
			broken := false
			failing(t, site, fixtures.Fault{Kind: fixtures.FaultDropBody, N: 100}, func(r *http.Request) bool {
				first := !broken && r.Method == http.MethodPut && r.ContentLength > 200
				broken = broken || first
				return first
			})
			defer func() {
				if !broken {
					t.Error("nothing broke off")
				}
			}()
		}
		receipt, err := transfer.Unpack(t.Context(), b, target, transfer.UnpackOptions{To: site.Host() + "/mirror", Trust: trusting(t), Now: clock.now})
		if err != nil {
			t.Errorf("blob %d: %v", n, err)
			continue
		}
		if complete, _ := receipt.Complete(); !complete || n > 0 && target.n > 0 {
			t.Errorf("blob %d of %d: %+v", n, n-target.n, receipt)
		}
		clock.move(2 * time.Hour)
		pullsRelease(t, site, "mirror/", r, attached)
		for repository, digests := range site.Digests() {
			for name := range digests {
				// Quay lists referrers itself.
				if strings.HasPrefix(name, "sha256-") && !strings.Contains(name, ".") {
					t.Errorf("%s:%s was written", repository, name)
				}
			}
		}
	}
}

// A release with what is attached goes into Harbor and Quay as it is; of a project
// that is not there, the registry's own words say so.
func TestReleaseIntoHarbor(t *testing.T) {
	up := newUpstream(t)
	r := up.release(t, "4.12.0", few)
	attached := up.attach(t, r.Image)
	b := up.pack(t, up.plan(t, releaseVolume, r))
	site := serve(t, fixtures.Harbor("ocp4"))
	o := transfer.UnpackOptions{To: site.Host() + "/ocp4", Trust: trusting(t)}
	for range 2 {
		if _, err := transfer.Unpack(t.Context(), b, client(t), o); err != nil {
			t.Fatal(err)
		}
	}
	pullsRelease(t, site, "ocp4/", r, attached)

	denied := fixtures.Harbor("ocp4")
	denied.NamespaceStatus = http.StatusForbidden
	for says, options := range map[string]fixtures.Options{
		"project nowhere not found": fixtures.Harbor("ocp4"), "403": denied, "401": fixtures.Quay(time.Now, "ocp4"),
	} {
		site := serve(t, options)
		o.To = site.Host() + "/nowhere"
		receipt, err := transfer.Unpack(t.Context(), b, client(t), o)
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), site.Host()+"/nowhere/openshift/release") {
			t.Errorf("%s: got %v", says, err)
		}
		if receipt.Count(transfer.ImagePushed) != 0 {
			t.Errorf("%s: %+v", says, receipt)
		}
	}
}

// Quay takes no lists of which children are left out: that is said before anything
// is pushed.
func TestSparseReleaseIntoQuay(t *testing.T) {
	up := newUpstream(t)
	r := up.release(t, "4.12.0", multi)
	r.Sign(fixtures.ReleaseKey(), up.store)
	prologue, err := up.tryPlan(t, transfer.SelectOptions{Platforms: []string{"linux/amd64"}, Sparse: true}, transfer.Wanted{Name: up.name(r)})
	if err != nil {
		t.Fatal(err)
	}
	b := up.pack(t, prologue)
	site := serve(t, fixtures.Quay(time.Now))
	o := transfer.UnpackOptions{To: site.Host() + "/mirror", Trust: trusting(t)}
	_, err = transfer.Unpack(t.Context(), b, client(t), o)
	if refused := mustAs[*transfer.SparseRefusedError](t, err); refused.Repository != o.To+"/openshift/release-images" {
		t.Errorf("got %v", err)
	}
	if stats := site.Stats(); stats.BlobBytesReceived > 0 {
		t.Errorf("%d bytes were sent", stats.BlobBytesReceived)
	}
	site = serve(t, fixtures.Options{AllowSparse: true})
	o.To = site.Host() + "/mirror"
	receipt, err := transfer.Unpack(t.Context(), b, client(t), o)
	if err != nil {
		t.Fatal(err)
	}
	if complete, _ := receipt.Complete(); !complete {
		t.Errorf("got %+v", receipt)
	}
	siteHas(t, site, r, "mirror/openshift/release-images", "mirror/openshift/release")
}

// tryPlan reads releases and plans them.
func (u *upstream) tryPlan(t testing.TB, o transfer.SelectOptions, wanted ...transfer.Wanted) (*bundle.Prologue, error) {
	t.Helper()
	var err error
	if o.Releases, err = transfer.ReadReleases(t.Context(), u.sources(), wanted, u.options(t)); err != nil {
		return nil, err
	}
	selection, err := transfer.Select(t.Context(), u.sources(), nil, o)
	if err != nil {
		return nil, err
	}
	selection.Name = "releases"
	_, prologue, err := bundle.NewPlan(selection, releaseVolume)
	return prologue, err
}
