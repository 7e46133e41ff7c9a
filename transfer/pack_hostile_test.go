package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"

	"satchel/fixtures"
	"satchel/oci"
	"satchel/transfer"
)

// The beginning of a cut blob is wrong and has left with its media before the end
// shows it. No later run writes an inventory over that.
func TestPackSpoiledSpan(t *testing.T) {
	o := newOrigin(packed()...)
	prologue := plan(t, o.sources(), "source.example", smallVolume, transfer.SelectOptions{}, packed()...)
	want := whole(t, o.sources(), prologue)
	cut := cutBlob(t, prologue)
	bad := true
	o.wrap = func(_ context.Context, _ int, d oci.Descriptor, offset int64, r io.Reader) io.Reader {
		if d.Digest == cut.Digest && offset == 0 && bad {
			return flipped(r)
		}
		return r
	}
	var sticks []*fixtures.Disk
	for range prologue.Plan().Volumes {
		sticks = append(sticks, stick(prologue, 1))
	}
	d := &drive{t: t, in: sticks[0], sticks: sticks[1:]}
	_, err := transfer.Pack(t.Context(), outputs(sticks[0]), prologue, o.sources(), transfer.PackOptions{Next: d.next})
	if spoiled := mustAs[*transfer.SpoiledError](t, err); !slices.Contains(spoiled.Volumes, cut.Extents[0].Volume) {
		t.Errorf("got %+v", spoiled)
	}
	bad = false
	used := len(d.used) // behind the first
	sticks[used].Revive()
	d = &drive{t: t, in: sticks[used], sticks: slices.Concat(sticks[used+1:], sticks[:used])}
	_, err = transfer.Pack(t.Context(), outputs(sticks[used]), prologue, o.sources(), transfer.PackOptions{Next: d.next})
	spoiled := mustAs[*transfer.SpoiledError](t, err)
	wrong := prologue.Plan().VolumeName(spoiled.Volumes[0])
	for _, s := range sticks {
		for name, content := range volumesOn(t, s) {
			if (content == want[name]) == (name == wrong) {
				t.Errorf("%s is right: %t; found wrong: %v", name, content == want[name], spoiled.Volumes)
			}
		}
	}
}

// A copy that lacks nothing wins, whatever comes first.
func TestPackPrefersWholeCopy(t *testing.T) {
	o := newOrigin(packed()...)
	prologue := plan(t, o.sources(), "source.example", smallVolume, transfer.SelectOptions{}, packed()...)
	want := mustPack(t, o.sources(), prologue, transfer.PackOptions{})
	n := prologue.Plan().Volumes
	lost := prologue.Plan().Members(n)[0].Blob.Digest
	bad := true
	o.wrap = func(_ context.Context, _ int, d oci.Descriptor, _ int64, r io.Reader) io.Reader {
		if d.Digest == lost && bad {
			return readerFunc(func([]byte) (int, error) { return 0, errors.New("bad gateway") })
		}
		return r
	}
	for _, partialFirst := range []bool{true, false} {
		partial, full := fixtures.NewDisk(), fixtures.NewDisk()
		bad = true
		if _, err := transfer.Pack(t.Context(), outputs(partial), prologue, o.sources(), transfer.PackOptions{KeepGoing: true}); err != nil {
			t.Fatal(err)
		}
		bad = false
		full.Put(prologue.Plan().VolumeName(n), []byte(want[prologue.Plan().VolumeName(n)]))
		partial.Revive()
		media := outputs(partial, full)
		if !partialFirst {
			slices.Reverse(media)
		}
		result, err := transfer.Pack(t.Context(), media, prologue, o.sources(), transfer.PackOptions{})
		if err != nil || len(result.Missing) > 0 || full.Files()["inventory.json"] != want["inventory.json"] {
			t.Errorf("partial first: %t: %+v, %v", partialFirst, result, err)
		}
	}
}

// A partial volume that is made again takes over what it holds, though the source
// has lost that since.
func TestPackKeepsWhatPartialVolumesHold(t *testing.T) {
	o := newOrigin(packed()...)
	prologue := plan(t, o.sources(), "source.example", 10<<20, transfer.SelectOptions{}, packed()...)
	want := mustPack(t, o.sources(), prologue, transfer.PackOptions{})
	members := prologue.Plan().Members(1)
	lost := members[0].Blob.Digest
	disk := fixtures.NewDisk()
	failing := func(d oci.Descriptor) bool { return d.Digest == lost }
	o.wrap = func(_ context.Context, _ int, d oci.Descriptor, _ int64, r io.Reader) io.Reader {
		if failing(d) {
			return readerFunc(func([]byte) (int, error) { return 0, errors.New("bad gateway") })
		}
		return r
	}
	if _, err := transfer.Pack(t.Context(), outputs(disk), prologue, o.sources(), transfer.PackOptions{KeepGoing: true}); err != nil {
		t.Fatal(err)
	}
	failing = func(d oci.Descriptor) bool { return d.Digest != lost }
	disk.Revive()
	result, err := transfer.Pack(t.Context(), outputs(disk), prologue, o.sources(), transfer.PackOptions{KeepGoing: true, Only: []int{1}})
	if err != nil || len(result.Missing) > 0 {
		t.Fatalf("got %+v, %v", result, err)
	}
	sameFiles(t, "made again", disk.Files(), want)
}

// Blobs that fail do not make those behind them be fetched again.
func TestPackKeepGoingFetchesOnce(t *testing.T) {
	var blobs []fixtures.Content
	for i := range 500 {
		blobs = append(blobs, fixtures.NewBlob("application/vnd.oci.image.layer.v1.tar+gzip", fmt.Appendf(nil, "blob %d of many", i)))
	}
	image := fixtures.NewArtifact("application/x", nil, blobs...).Named("team/many", "1")
	o := newOrigin(image)
	prologue := plan(t, o.sources(), "source.example", 1<<30, transfer.SelectOptions{}, image)
	var opens atomic.Int64
	o.wrap = func(_ context.Context, _ int, d oci.Descriptor, _ int64, r io.Reader) io.Reader {
		opens.Add(1)
		if d.Digest.Encoded()[0] < '8' {
			return readerFunc(func([]byte) (int, error) { return 0, errors.New("bad gateway") })
		}
		return r
	}
	result, err := transfer.Pack(t.Context(), outputs(fixtures.NewDisk()), prologue, o.sources(), transfer.PackOptions{KeepGoing: true})
	if err != nil || len(result.Missing) < 100 || opens.Load() > int64(len(prologue.Plan().Blobs)) {
		t.Errorf("%d opens of %d blobs, %d missing, %v", opens.Load(), len(prologue.Plan().Blobs), len(result.Missing), err)
	}
}
