package transfer_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/registry"
	"satchel/transfer"
)

// packed are images with blobs of all kinds: small, empty, compressible, shared,
// and at volumes of smallVolume one that is cut over several.
func packed() []fixtures.Image {
	base := fixtures.GzipLayer(fixtures.Files("base")...)
	return []fixtures.Image{
		fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{base, fixtures.EmptyLayer()}}).Named("team/small", "1"),
		fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{base, bigLayer(), fixtures.OpaqueLayer("none", 0)}}).Named("team/big", "1"),
		fixtures.NewImage(fixtures.ImageSpec{Docker: true, Layers: []fixtures.Layer{
			fixtures.TextLayer("words", 100_000), fixtures.OpaqueLayer("last", 70_000)}}).Named("team/last", "1"),
	}
}

func bigLayer() fixtures.Layer { return fixtures.OpaqueLayer("big", 400_000) }

const smallVolume = 120_000

// mustPack packs into a new directory in memory.
func mustPack(t testing.TB, sources transfer.Sources, prologue *bundle.Prologue, o transfer.PackOptions) map[string]string {
	t.Helper()
	dir := newMemoryDir()
	if _, _, err := packInto(t.Context(), dir, prologue, sources, o); err != nil {
		t.Fatal(err)
	}
	if len(dir.final()) != len(dir.Files()) {
		t.Errorf("unfinished files are left: %v", slices.Sorted(maps.Keys(dir.Files())))
	}
	return dir.final()
}

func sameFiles(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
		t.Fatalf("%s: files %v, want %v", what, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
	for name := range want {
		if got[name] != want[name] {
			t.Errorf("%s: %s is not the same: %d bytes, want %d", what, name, len(got[name]), len(want[name]))
		}
	}
}

// cutBlob returns the blob that the plan cuts over volumes.
func cutBlob(t testing.TB, p *bundle.Prologue) *bundle.Blob {
	t.Helper()
	for i := range p.Plan().Blobs {
		if b := &p.Plan().Blobs[i]; len(b.VolumesOf()) > 2 {
			return b
		}
	}
	t.Fatal("no blob is cut over three volumes")
	return nil
}

func TestPackIsDeterministic(t *testing.T) {
	source := serve(t, fixtures.Options{}, packed()...)
	sources := transfer.Sources{Registry: client(t)}
	prologue := plan(t, sources, source.Host(), smallVolume, transfer.SelectOptions{}, packed()...)
	cutBlob(t, prologue)
	want := mustPack(t, sources, prologue, transfer.PackOptions{})
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, processors := range []int{1, 4} {
		runtime.GOMAXPROCS(processors)
		for _, o := range []transfer.PackOptions{{Jobs: 1}, {Jobs: 3, Buffer: 10_000}, {Jobs: 64, Buffer: 1 << 20}} {
			got := mustPack(t, sources, plan(t, sources, source.Host(), smallVolume, transfer.SelectOptions{}, packed()...), o)
			sameFiles(t, fmt.Sprintf("%d processors, %+v", processors, o), got, want)
		}
	}
}

func TestPackEvents(t *testing.T) {
	o := newOrigin(packed()...)
	prologue := plan(t, o.sources(), "source.example", smallVolume, transfer.SelectOptions{}, packed()...)
	var moved, total int64
	var volumes []string
	inventory, id, err := packInto(t.Context(), newMemoryDir(), prologue, o.sources(), transfer.PackOptions{Progress: func(e transfer.Event) {
		switch e.Kind {
		case transfer.BytesMoved:
			moved += e.Bytes
		case transfer.VolumeWritten:
			volumes = append(volumes, e.Volume)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	content, err := inventory.Encode()
	if err != nil || digest.FromBytes(content) != id {
		t.Errorf("bundle ID %s, %v", id, err)
	}
	for i := range prologue.Plan().Blobs {
		total += prologue.Plan().Blobs[i].Size
	}
	if moved != total || len(volumes) != prologue.Plan().Volumes || !slices.IsSorted(volumes) {
		t.Errorf("moved %d of %d bytes, volumes %v", moved, total, volumes)
	}
}

// A volume has its final name as soon as all in it is checked: what comes after
// it cannot take that away.
func TestPackNamesVolumesEarly(t *testing.T) {
	images := packed()
	o := newOrigin(images...)
	prologue := plan(t, o.sources(), "source.example", 150_000, transfer.SelectOptions{}, images[0], images[2])
	if prologue.Plan().Volumes < 2 || prologue.Plan().Members(2)[0].Extent > 0 {
		t.Fatalf("%d volumes", prologue.Plan().Volumes)
	}
	bad := prologue.Plan().Members(2)[0].Blob.Digest
	o.wrap = func(_ context.Context, _ int, d oci.Descriptor, _ int64, r io.Reader) io.Reader {
		if d.Digest == bad {
			return flipped(r)
		}
		return r
	}
	dir := newMemoryDir()
	_, _, err := packInto(t.Context(), dir, prologue, o.sources(), transfer.PackOptions{})
	mustAs[*transfer.BlobError](t, err)
	if _, ok := dir.final()[prologue.Plan().VolumeName(1)]; !ok {
		t.Errorf("volume 1 is whole and has no final name: %v", slices.Sorted(maps.Keys(dir.Files())))
	}
}

func TestPackResumesByRange(t *testing.T) {
	const size = 4 << 20
	image := fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{fixtures.OpaqueLayer("model", size)}}).Named("data/model", "1")
	source := serve(t, fixtures.Options{}, image)
	sources := transfer.Sources{Registry: client(t, func(o *registry.Options) { o.Retries = 3 })}
	prologue := plan(t, sources, source.Host(), 100<<20, transfer.SelectOptions{}, image)
	want := mustPack(t, sources, prologue, transfer.PackOptions{})
	source.ResetStats()
	dropped := false
	source.SetFault(func(_ int, r *http.Request) fixtures.Fault {
		if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, image.Blobs[1].Descriptor.Digest.String()) || dropped {
			return fixtures.Fault{}
		}
		dropped = true
		return fixtures.Fault{Kind: fixtures.FaultDropBody, N: size * 3 / 4}
	})
	sameFiles(t, "connection dropped", mustPack(t, sources, prologue, transfer.PackOptions{Buffer: 64 << 20, Jobs: 1}), want)
	if served := source.Stats().Served[image.Blobs[1].Descriptor.Digest]; !dropped || served > size+size/2 {
		t.Errorf("dropped %t; %d bytes were served of a blob of %d", dropped, served, size)
	}
}

func TestPackRangeRefused(t *testing.T) {
	source := serve(t, fixtures.Options{RefuseRange: true}, packed()...)
	sources := transfer.Sources{Registry: client(t)}
	prologue := plan(t, sources, source.Host(), smallVolume, transfer.SelectOptions{}, packed()...)
	want := mustPack(t, sources, prologue, transfer.PackOptions{})
	source.ResetStats()
	sameFiles(t, "small buffer", mustPack(t, sources, prologue, transfer.PackOptions{Buffer: 64 << 10, Jobs: 2}), want)
	stats := source.Stats()
	requests := 0
	for _, b := range prologue.Plan().Blobs {
		if b.Size > 0 {
			requests++
		}
		if stats.Served[b.Digest] > b.Size {
			t.Errorf("blob of %d bytes: %d were served", b.Size, stats.Served[b.Digest])
		}
	}
	if stats.Requests["GET blob"] != requests || stats.Requests["GET manifest"] != 0 {
		t.Errorf("requests: %v, want %d GET of blobs", stats.Requests, requests)
	}
}

func TestPackRefusesOccupiedDirectory(t *testing.T) {
	source := serve(t, fixtures.Options{}, packed()...)
	sources := transfer.Sources{Registry: client(t)}
	prologue := plan(t, sources, source.Host(), smallVolume, transfer.SelectOptions{}, packed()...)
	for _, name := range []string{"README.txt", "inventory.json", "SHA256SUMS", "test-0001.tar.zst", "test-0009.tar.zst", "other-0001.tar.zst", "test.plan.json", "other.plan.json"} {
		path := t.TempDir()
		for _, file := range []string{name, "holiday.jpg"} {
			if err := os.WriteFile(filepath.Join(path, file), []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		before := files(t, path)
		dir, err := bundle.OpenDir(path)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = packInto(t.Context(), dir, prologue, sources, transfer.PackOptions{})
		if occupied := mustAs[*transfer.OccupiedError](t, err); occupied.Name != name || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		sameFiles(t, name, files(t, path), before)
		if err := dir.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := source.Stats().Requests["GET blob"]; n > 0 {
		t.Errorf("%d blobs were asked for", n)
	}
}

// What an interrupted run left, and what is not ours, is not in the way.
func TestPackIntoUsedDirectory(t *testing.T) {
	o := newOrigin(packed()...)
	prologue := plan(t, o.sources(), "source.example", smallVolume, transfer.SelectOptions{}, packed()...)
	want := mustPack(t, o.sources(), prologue, transfer.PackOptions{})
	path := t.TempDir()
	for _, name := range []string{"holiday.jpg", "test-0001.tar.zst.part", "inventory.json.part"} {
		if err := os.WriteFile(filepath.Join(path, name), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := bundle.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, _, err := packInto(t.Context(), dir, prologue, o.sources(), transfer.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	got := files(t, path)
	if got["holiday.jpg"] != "old" {
		t.Error("a file of the user was touched")
	}
	delete(got, "holiday.jpg")
	sameFiles(t, "used directory", got, want)
}

func TestPackNeedsRoom(t *testing.T) {
	source := serve(t, fixtures.Options{}, packed()...)
	sources := transfer.Sources{Registry: client(t)}
	prologue := plan(t, sources, source.Host(), smallVolume, transfer.SelectOptions{}, packed()...)
	need := bundle.SmallFilesSize(prologue)
	sizes, _ := prologue.VolumeSizes()
	for _, size := range sizes {
		need += size
	}
	dir := newMemoryDir()
	dir.Capacity = need - 1
	_, _, err := packInto(t.Context(), dir, prologue, sources, transfer.PackOptions{})
	if space := mustAs[*transfer.SpaceError](t, err); space.Need != need || space.Free != need-1 {
		t.Errorf("got %+v, want %d", space, need)
	}
	if stats := source.Stats(); stats.Requests["GET blob"] > 0 || len(dir.Files()) > 0 {
		t.Errorf("%v, files %v", stats.Requests, dir.Files())
	}
	dir = newMemoryDir()
	dir.Capacity = need
	if _, _, err := packInto(t.Context(), dir, prologue, sources, transfer.PackOptions{}); err != nil {
		t.Errorf("just enough room: %v", err)
	}
	var used int64
	for _, content := range dir.final() {
		used += int64(len(content))
	}
	if used > need {
		t.Errorf("%d bytes were written, %d announced", used, need)
	}
}
