package transfer_test

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/registry"
	"satchel/transfer"
)

// twoLayers is an image whose first layer comes long before its last.
func twoLayers() fixtures.Image {
	return fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{
		fixtures.OpaqueLayer("first", 50_000), fixtures.OpaqueLayer("last", 60_000)}}).Named("team/two", "1")
}

// answered counts the requests of a log that were answered so.
func answered(s fixtures.Stats, method, part, status string) int {
	n := 0
	for _, line := range s.Log {
		if strings.HasPrefix(line, method+" ") && strings.Contains(line, part) && strings.HasSuffix(line, " "+status) {
			n++
		}
	}
	return n
}

// Registries collect what no tag reaches: what is not known since ten minutes is
// asked for before the manifest goes out.
func TestUnpackAsksAgain(t *testing.T) {
	image := twoLayers()
	path := makeBundle(t, 1<<20, transfer.SelectOptions{}, image)
	first, last := image.Blobs[1].Descriptor.Digest, image.Blobs[2].Descriptor.Digest
	for _, test := range []struct {
		later   time.Duration
		heads   int // that the first layer costs
		refused int // manifests
	}{{11 * time.Minute, 2, 0}, {9 * time.Minute, 2, 1}} {
		site := serve(t, fixtures.Options{})
		var clock atomic.Int64
		target := &watched{Client: client(t), before: func(_ context.Context, d oci.Descriptor) error {
			if d.Digest == last {
				clock.Add(int64(test.later))
				site.Remove("mirror/"+image.Repository, first.String())
			}
			return nil
		}}
		o := into(site)
		o.Sequential = true
		o.Now = func() time.Time { return time.Unix(1e9, clock.Load()) }
		receipt, err := transfer.Unpack(t.Context(), openBundle(t, path), target, o)
		if err != nil {
			t.Fatal(err)
		}
		checkSite(t, test.later.String(), site, []fixtures.Image{image}, every)
		stats := site.Stats()
		if got := answered(stats, "HEAD", first.String(), "404"); got != test.heads {
			t.Errorf("%s later: asked %d times for the layer that vanished, want %d", test.later, got, test.heads)
		}
		if got := answered(stats, "PUT", "/manifests/", "400"); got != test.refused {
			t.Errorf("%s later: %d manifests were refused, want %d", test.later, got, test.refused)
		}
		if stats.Stored[first] != 100_000 || stats.Stored[last] != 60_000 || receipt.Blobs.Pushed != len(image.Blobs)+1 {
			t.Errorf("%s later: stored %v, receipt %+v", test.later, stats.Stored, receipt.Blobs)
		}
	}
}

// What is known is not asked for again before its time is over.
func TestUnpackAsksOnce(t *testing.T) {
	images := packed()
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	site := serve(t, fixtures.Options{})
	unpack(t, path, site)
	blobs := len(openBundle(t, path).Prologue.Plan().Blobs)
	// One more, since two images share a layer.
	if got := site.Stats().Requests["HEAD blob"]; got != blobs+1 {
		t.Errorf("%d blobs, asked %d times", blobs, got)
	}
}

// A registry may say yes to HEAD and have nothing to GET. Only what it really
// lacks is sent again.
func TestUnpackHeadYesGetNo(t *testing.T) {
	images := packed()
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	gone := images[1].Blobs[2].Descriptor // the one that is cut over volumes
	for _, o := range []fixtures.Options{{}, {RefuseRange: true}} {
		for _, status := range []int{http.StatusNotFound, http.StatusInternalServerError} {
			site := serve(t, o)
			unpack(t, path, site)
			site.ResetStats()
			site.SetFault(func(_ int, r *http.Request) fixtures.Fault {
				if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, gone.Digest.String()) {
					return fixtures.Fault{Kind: fixtures.FaultAnswer, Status: status}
				}
				return fixtures.Fault{}
			})
			receipt := unpack(t, path, site)
			stats := site.Stats()
			if want := map[digest.Digest]int64{gone.Digest: gone.Size}; !maps.Equal(stats.Stored, want) || answered(stats, "GET", gone.Digest.String(), "") > 0 {
				t.Errorf("%d: stored %v, want %v", status, stats.Stored, want)
			}
			if got := states(receipt, images); got["team/big"] != transfer.ImagePushed || got["team/last"] != transfer.ImagePresent {
				t.Errorf("%d: %v", status, got)
			}
			if !o.RefuseRange && stats.BlobBytesServed > int64(len(openBundle(t, path).Prologue.Plan().Blobs)+1) {
				t.Errorf("%d: %d bytes were read to see that blobs are there", status, stats.BlobBytesServed)
			}
		}
	}
}

// Of an empty blob, nothing can be read: the manifest tells that it is not there.
func TestUnpackEmptyBlobIsNotThere(t *testing.T) {
	images := packed()[1:2]
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	site := serve(t, fixtures.Options{})
	if _, err := transfer.Unpack(t.Context(), openBundle(t, path), claimingEmpty{client(t)}, into(site)); err != nil {
		t.Error(err)
	}
	checkSite(t, "empty", site, images, every)
}

type claimingEmpty struct{ *registry.Client }

func (c claimingEmpty) HasBlob(ctx context.Context, repository string, d oci.Descriptor) (bool, error) {
	if d.Size == 0 {
		return true, nil
	}
	return c.Client.HasBlob(ctx, repository, d)
}

// When HEAD says yes, GET no, and the volume is not there, the image is left out.
func TestUnpackDoubtWithoutVolume(t *testing.T) {
	images := separate()
	whole := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	b := openBundle(t, whole)
	gone := b.Prologue.Blob(images[1].Blobs[1].Descriptor.Digest)
	site := serve(t, fixtures.Options{})
	unpack(t, whole, site)
	site.Remove("mirror/"+images[1].Repository, images[1].Tag)
	site.SetFault(func(_ int, r *http.Request) fixtures.Fault {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, gone.Digest.String()) {
			return fixtures.Fault{Kind: fixtures.FaultAnswer, Status: http.StatusNotFound}
		}
		return fixtures.Fault{}
	})
	receipt := unpack(t, copyFiles(t, files(t, whole), b.Prologue.Plan().VolumeName(gone.Volume)), site)
	if image := receipt.Images[1]; image.State != transfer.ImageMissing || len(image.Lacks) != 1 ||
		!slices.Equal(image.Lacks[0].Volumes, []int{gone.Volume}) || !strings.Contains(image.Lacks[0].Reason, "says that it has it, but: ") {
		t.Errorf("got %+v", image)
	}
	if got := receipt.Absent(); !slices.Equal(got, []int{gone.Volume}) {
		t.Errorf("absent: %v, want %d", got, gone.Volume)
	}
}

// A blob that vanishes before the manifest, and whose volume is not there any
// more, costs its image only.
func TestUnpackVanishesWithoutVolume(t *testing.T) {
	images := separate()
	whole := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	b := openBundle(t, whole)
	gone := b.Prologue.Blob(images[1].Blobs[1].Descriptor.Digest)
	site := serve(t, fixtures.Options{})
	unpack(t, whole, site)
	part := openBundle(t, copyFiles(t, files(t, whole), b.Prologue.Plan().VolumeName(gone.Volume)))
	repository := "mirror/" + images[1].Repository
	site.Remove(repository, images[1].Tag)
	target := &watched{Client: client(t), manifest: func(to, _ string) {
		if strings.HasSuffix(to, images[1].Repository) {
			site.Remove(repository, gone.Digest.String())
		}
	}}
	receipt, err := transfer.Unpack(t.Context(), part, target, into(site))
	if err != nil {
		t.Fatal(err)
	}
	checkSite(t, "vanished", site, images, func(i fixtures.Image) bool { return i.Repository != images[1].Repository })
	if image := receipt.Images[1]; image.State != transfer.ImageMissing || !slices.Equal(image.Lacks[0].Volumes, []int{gone.Volume}) {
		t.Errorf("got %+v", image)
	}
}

// A copy within the registry that fails because the source is gone becomes a push
// from the medium.
func TestUnpackCopyVanishes(t *testing.T) {
	images := packed() // the first two share a layer
	base := images[0].Blobs[1].Descriptor
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	for _, fault := range []fixtures.Fault{
		{Kind: fixtures.FaultAnswer, Status: http.StatusNotFound}, {Kind: fixtures.FaultDropBody, N: 10}, {Kind: fixtures.FaultFlip, N: 3},
	} {
		site := serve(t, fixtures.Options{RefuseMount: true})
		copies := 0
		site.SetFault(func(_ int, r *http.Request) fixtures.Fault {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, base.Digest.String()) {
				copies++
				return fault
			}
			return fixtures.Fault{}
		})
		receipt := unpack(t, path, site)
		checkSite(t, "copy fails", site, images, every)
		if copies == 0 || receipt.Blobs.Copied != 0 || site.Stats().Stored[base.Digest] != 2*base.Size {
			t.Errorf("fault %d: %d tries to copy, receipt %+v", fault.Kind, copies, receipt.Blobs)
		}
	}
}
