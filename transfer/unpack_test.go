package transfer_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/registry"
	"satchel/transfer"
)

func TestUnpackOrder(t *testing.T) {
	images := fixtures.Demo(300_000, 600_000)
	path := makeBundle(t, 200_000, transfer.SelectOptions{}, images...)
	for _, o := range []fixtures.Options{{}, {RelativeLocation: true}, {RefuseMount: true}, {RefuseRange: true, RefuseMount: true}} {
		site := serve(t, o)
		receipt := unpack(t, path, site)
		checkSite(t, "all", site, images, every)
		at := make(map[string]int)
		for i, name := range puts(site.Stats()) {
			if _, ok := at[name]; !ok {
				at[name] = i
			}
		}
		for _, image := range images {
			tag := "mirror/" + image.Repository + "/" + siteTag(image)
			for _, m := range image.Manifests {
				name := "mirror/" + image.Repository + "/" + m.Descriptor.Digest.String()
				if m.Descriptor.Digest != image.Root.Digest && at[name] > at[tag] {
					t.Errorf("%+v: %s came after its tag %s", o, name, tag)
				}
			}
		}
		if complete, damaged := receipt.Complete(); !complete || damaged || len(receipt.Images) != len(images) {
			t.Errorf("%+v: receipt %+v", o, receipt)
		}
		for i, image := range receipt.Images {
			if image.State != transfer.ImagePushed || image.Digest != images[i].Root.Digest || image.Reference != "source.example/"+images[i].Reference() ||
				image.Destination != site.Host()+"/mirror/"+images[i].Repository+":"+siteTag(images[i]) {
				t.Errorf("%+v: receipt of image %d: %+v", o, i, image)
			}
		}
		if o.RefuseMount != (receipt.Blobs.Copied > 0) || o.RefuseMount != (receipt.Blobs.Mounted == 0) {
			t.Errorf("%+v: %+v", o, receipt.Blobs)
		}
		for d, n := range site.Stats().Stored {
			for _, b := range images[0].Blobs {
				if !o.RefuseMount && b.Descriptor.Digest == d && n != b.Descriptor.Size {
					t.Errorf("%+v: blob of %d bytes came as %d", o, b.Descriptor.Size, n)
				}
			}
		}
	}
}

// An image is complete behind its last blob: the last blob of the last image
// does not move before the first image is there.
func TestUnpackCompletesEarly(t *testing.T) {
	images := packed()
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	site := serve(t, fixtures.Options{})
	last := images[2].Blobs[len(images[2].Blobs)-1].Descriptor.Digest
	first := make(chan struct{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	target := &watched{Client: client(t),
		tagged: func(repository, _ string) {
			if strings.HasSuffix(repository, images[0].Repository) {
				close(first)
			}
		},
		before: func(ctx context.Context, d oci.Descriptor) error {
			if d.Digest != last {
				return nil
			}
			select {
			case <-first:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
	if _, err := transfer.Unpack(ctx, openBundle(t, path), target, transfer.UnpackOptions{To: site.Host() + "/mirror"}); err != nil {
		t.Errorf("the first image was not complete before the last blob: %v", err)
	}
}

func TestUnpackSecondRun(t *testing.T) {
	images := fixtures.Demo(300_000, 600_000)
	path := makeBundle(t, 200_000, transfer.SelectOptions{}, images...)
	for _, o := range []fixtures.Options{{}, {RefuseMount: true}} {
		site := serve(t, o)
		first := unpack(t, path, site)
		if first.Blobs.Present != 0 || first.Blobs.Pushed != len(openBundle(t, path).Prologue.Plan().Blobs) || first.Blobs.PushedBytes != total(openBundle(t, path).Prologue) {
			t.Errorf("%+v: first run: %+v", o, first.Blobs)
		}
		site.ResetStats()
		second := unpack(t, path, site)
		if second.Blobs.Pushed != 0 || second.Blobs.PushedBytes != 0 || second.Blobs.Copied != 0 || second.Blobs.Mounted != 0 ||
			second.Blobs.Present != first.Blobs.Pushed+first.Blobs.Mounted+first.Blobs.Copied {
			t.Errorf("%+v: second run: %+v", o, second.Blobs)
		}
		for _, image := range second.Images {
			if image.State != transfer.ImagePresent {
				t.Errorf("%+v: second run: %s is %s", o, image.Reference, image.State)
			}
		}
		if stats := site.Stats(); stats.BlobBytesReceived != 0 || len(stats.Stored) > 0 {
			t.Errorf("%+v: second run sent %d bytes", o, stats.BlobBytesReceived)
		}
		checkSite(t, "second run", site, images, every)
	}
}

// What is there is not sent; what lacks a blob, a child or the tag is mended.
func TestUnpackMends(t *testing.T) {
	images := fixtures.Demo(30_000, 60_000)
	path := makeBundle(t, 200_000, transfer.SelectOptions{}, images...)
	site := serve(t, fixtures.Options{})
	unpack(t, path, site)
	web := images[2]
	blob, child := web.Blobs[0].Descriptor.Digest, web.Manifests[0].Descriptor.Digest
	for _, remove := range []string{blob.String(), child.String(), web.Tag} {
		site.Remove("mirror/"+web.Repository, remove)
		site.ResetStats()
		receipt := unpack(t, path, site)
		checkSite(t, "removed "+remove, site, images, every)
		stats := site.Stats()
		for d := range stats.Stored {
			if d != blob || remove != blob.String() {
				t.Errorf("removed %s: %s was sent", remove, d)
			}
		}
		// A child that is gone is put again, but costs nothing.
		if state := receipt.Images[2].State; (state == transfer.ImagePresent) != (remove == child.String()) {
			t.Errorf("removed %s: the image is %s", remove, state)
		}
	}
	// Another image under the tag gives way.
	if err := site.Add(images[0].Named("mirror/"+web.Repository, web.Tag)); err != nil {
		t.Fatal(err)
	}
	if receipt := unpack(t, path, site); receipt.Images[2].State != transfer.ImagePushed {
		t.Errorf("other image under the tag: %s", receipt.Images[2].State)
	}
	checkSite(t, "other image under the tag", site, images, every)
}

func TestUnpackSequential(t *testing.T) {
	images := packed()
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	site := serve(t, fixtures.Options{})
	b := openBundle(t, path)
	target := &watched{Client: client(t)}
	if _, err := transfer.Unpack(t.Context(), b, target, transfer.UnpackOptions{To: site.Host() + "/mirror", Sequential: true}); err != nil {
		t.Fatal(err)
	}
	checkSite(t, "sequential", site, images, every)
	var want []digest.Digest
	for n := range b.Prologue.Plan().Volumes {
		for _, m := range b.Prologue.Plan().Members(n + 1) {
			if m.Start == 0 {
				want = append(want, m.Blob.Digest)
			}
		}
	}
	if target.most != 1 || !slices.Equal(target.opened, want) {
		t.Errorf("%d blobs were read at a time, in the order %v, want %v", target.most, target.opened, want)
	}
}

func TestUnpackProgress(t *testing.T) {
	images := fixtures.Demo(300_000, 600_000)
	path := makeBundle(t, 200_000, transfer.SelectOptions{}, images...)
	for _, faulty := range []bool{false, true} {
		site := serve(t, fixtures.Options{})
		if faulty {
			dropped := false
			site.SetFault(func(_ int, r *http.Request) fixtures.Fault {
				if r.Method != http.MethodPut || r.ContentLength < 200_000 || dropped {
					return fixtures.Fault{}
				}
				dropped = true
				return fixtures.Fault{Kind: fixtures.FaultDropBody, N: 100_000}
			})
		}
		b := openBundle(t, path)
		c := client(t, func(o *registry.Options) { o.Retries = 2 })
		for run, kind := range []transfer.EventKind{transfer.BytesMoved, transfer.BytesSkipped} {
			var mu sync.Mutex
			bytes := make(map[transfer.EventKind]int64)
			complete := make(map[string]string)
			_, err := transfer.Unpack(t.Context(), b, c, transfer.UnpackOptions{To: site.Host() + "/mirror", Progress: func(e transfer.Event) {
				mu.Lock()
				defer mu.Unlock()
				bytes[e.Kind] += e.Bytes
				if e.Kind == transfer.ImageComplete {
					complete[e.Image] = e.Destination
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			if bytes[kind] != total(b.Prologue) || len(complete) != len(images) {
				t.Errorf("run %d, an upload broke off: %t: %d images complete; bytes by kind %v, want %d of kind %d", run+1, faulty, len(complete), bytes, total(b.Prologue), kind)
			}
		}
	}
}

func TestUnpackNames(t *testing.T) {
	image := packed()[0]
	other := packed()[2].Named(image.Repository, image.Tag)
	path := makeBundle(t, 1<<20, transfer.SelectOptions{}, image, image.Named(image.Repository, ""))
	site := serve(t, fixtures.Options{})
	b := openBundle(t, path)
	if _, err := transfer.Unpack(t.Context(), b, client(t), transfer.UnpackOptions{To: site.Host() + "/m", Naming: transfer.NamingHost}); err != nil {
		t.Fatal(err)
	}
	got := site.Digests()["m/source.example/"+image.Repository]
	if got[image.Tag] != image.Root.Digest || got["digest-"+image.Root.Digest.Encoded()] != image.Root.Digest {
		t.Errorf("host naming: %v", site.Digests())
	}

	// Two hosts, one path, two digests.
	source := newOrigin(image, other)
	moving := &movingTag{source, func(ref oci.Reference) oci.Reference {
		ref.Digest = map[string]digest.Digest{"one.example": image.Root.Digest, "two.example": other.Root.Digest}[ref.Host()]
		return ref
	}}
	sources := transfer.Sources{Registry: moving}
	s, err := transfer.Select(t.Context(), sources, append(wanted(t, "one.example", image), wanted(t, "two.example", other)...), transfer.SelectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.Name = "test"
	_, prologue, err := bundle.NewPlan(s, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	path = writeBundle(t, prologue, source)
	site.ResetStats()
	_, err = transfer.Unpack(t.Context(), openBundle(t, path), client(t), transfer.UnpackOptions{To: site.Host() + "/mirror"})
	if !errors.Is(err, transfer.ErrNaming) || !strings.Contains(err.Error(), "one.example/team/small:1") || !strings.Contains(err.Error(), "two.example/team/small:1") {
		t.Errorf("conflict: %v", err)
	}
	if n := site.Stats().Total(); n > 0 {
		t.Errorf("conflict: %d requests", n)
	}
}

func TestUnpackReadsBack(t *testing.T) {
	image := packed()[0]
	path := makeBundle(t, 1<<20, transfer.SelectOptions{}, image)
	site := serve(t, fixtures.Options{})
	target := &watched{Client: client(t)}
	pushed := false
	target.tagged = func(string, string) { pushed = true }
	other := image.Root
	other.Digest = digest.FromString("another")
	target.resolve = func(oci.Reference) (oci.Descriptor, bool) { return other, pushed }
	_, err := transfer.Unpack(t.Context(), openBundle(t, path), target, transfer.UnpackOptions{To: site.Host() + "/mirror"})
	if err == nil || !strings.Contains(err.Error(), other.Digest.String()) || !strings.Contains(err.Error(), "mirror/team/small:1") {
		t.Errorf("another image under the tag: %v", err)
	}
	// The right digest under a wrong type is not the same image either.
	other = image.Root
	other.MediaType = oci.MediaTypeDockerManifest
	_, err = transfer.Unpack(t.Context(), openBundle(t, path), target, transfer.UnpackOptions{To: site.Host() + "/mirror"})
	if err == nil || !strings.Contains(err.Error(), other.MediaType) {
		t.Errorf("another media type: %v", err)
	}
}

// A manifest that an artifact names as its layer stands among the manifests.
func TestUnpackManifestAsBlob(t *testing.T) {
	image := packed()[0]
	root, err := image.Manifests[0].Bytes()
	if err != nil {
		t.Fatal(err)
	}
	list := fixtures.NewArtifact("application/vnd.example.list", nil, fixtures.NewBlob(oci.MediaTypeManifest, root)).Named("team/list", "1")
	images := []fixtures.Image{image, list}
	path := makeBundle(t, 1<<20, transfer.SelectOptions{}, images...)
	site := serve(t, fixtures.Options{})
	unpack(t, path, site)
	checkSite(t, "manifest as blob", site, images, every)
	site.ResetStats()
	receipt := unpack(t, path, site)
	if stats := site.Stats(); stats.BlobBytesReceived > 0 {
		t.Errorf("second run sends %d bytes, and says %+v", stats.BlobBytesReceived, receipt.Blobs)
	}
}
