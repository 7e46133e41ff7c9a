package transfer_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/transfer"
)

// smallBundle makes the bundle of a selection of packed images.
func smallBundle(t testing.TB, s bundle.Selection, images []fixtures.Image) string {
	t.Helper()
	_, prologue, err := bundle.NewPlan(s, smallVolume)
	if err != nil {
		t.Fatal(err)
	}
	return writeBundle(t, prologue, newOrigin(images...))
}

// carried is a receipt that has been carried to where bundles are packed.
func carried(t testing.TB, receipt *transfer.Receipt) *transfer.Have {
	t.Helper()
	content, err := json.Marshal(receipt)
	if err != nil {
		t.Fatal(err)
	}
	return parseHave(t, content)
}

// stored returns what was pushed since the counters were reset.
func stored(site *fixtures.Registry) []digest.Digest {
	var all []digest.Digest
	for d := range site.Stats().Stored {
		all = append(all, d)
	}
	return all
}

// Whichever volume is lacking, the small bundle that the receipt asks for brings
// what lacks, nothing else, and completes the site.
func TestTopUpAtTheSite(t *testing.T) {
	images := packed()
	source := newOrigin(images...)
	prologue := plan(t, source.sources(), "source.example", smallVolume, transfer.SelectOptions{}, images...)
	whole := files(t, writeBundle(t, prologue, source))
	for n := 1; n <= prologue.Plan().Volumes; n++ {
		site := serve(t, fixtures.Options{})
		receipt := unpack(t, copyFiles(t, whole, prologue.Plan().VolumeName(n)), site)
		var lacks []digest.Digest
		for _, image := range receipt.Images {
			for _, l := range image.Lacks {
				lacks = append(lacks, l.Digest)
			}
		}
		slices.Sort(lacks)
		lacks = slices.Compact(lacks)
		s, err := transfer.SelectTopUp(t.Context(), source.sources(), carried(t, receipt), nil, transfer.SelectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, packed := heldBlobs(s); !sameDigests(packed, lacks) {
			t.Errorf("volume %d: packed %v, want %v", n, packed, lacks)
		}
		site.ResetStats()
		second := unpack(t, smallBundle(t, s, images), site)
		if complete, _ := second.Complete(); !complete {
			t.Errorf("volume %d: %+v", n, second)
		}
		checkSite(t, prologue.Plan().VolumeName(n), site, images, every)
		for _, d := range stored(site) {
			if !slices.Contains(lacks, d) {
				t.Errorf("volume %d: %s was sent again", n, d)
			}
		}
	}
}

// A bundle that lacks blobs is filled up by its inventory: before the site has
// replayed it nobody needs to ask there.
func TestTopUpByInventoryAtTheSite(t *testing.T) {
	images := packed()
	source := newOrigin(images...)
	prologue := plan(t, source.sources(), "source.example", smallVolume, transfer.SelectOptions{}, images...)
	lack := images[1].Blobs[2].Descriptor.Digest
	path := writeBundle(t, prologue, source, bundle.Missing{Digest: lack, Reason: "it could not be had"})
	have := parseHave(t, []byte(files(t, path)["inventory.json"]))
	s, err := transfer.SelectTopUp(t.Context(), source.sources(), have, nil, transfer.SelectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	small := smallBundle(t, s, images)

	site := serve(t, fixtures.Options{})
	o := into(site)
	o.KeepGoing = true
	if _, err := transfer.Unpack(t.Context(), openBundle(t, path), client(t), o); err != nil {
		t.Fatal(err)
	}
	checkSite(t, "lacking", site, images, func(i fixtures.Image) bool { return i.Repository != images[1].Repository })
	site.ResetStats()
	unpack(t, small, site)
	checkSite(t, "topped up", site, images, every)
	if got := stored(site); !slices.Equal(got, []digest.Digest{lack}) {
		t.Errorf("sent %v", got)
	}

	_, err = transfer.Unpack(t.Context(), openBundle(t, small), client(t), into(serve(t, fixtures.Options{})))
	if lean := mustAs[*transfer.LeanError](t, err); len(lean.Bundles) != 1 || lean.Bundles[0].Name != "test" || lean.Bundles[0].Bundle != have.Digest {
		t.Errorf("on a site without the first: %+v", lean.Bundles)
	}
}

// The second bundle holds what the first one did not bring.
func TestHaveAtTheSite(t *testing.T) {
	images := packed()
	site := serve(t, fixtures.Options{})
	receipt := unpack(t, makeBundle(t, smallVolume, transfer.SelectOptions{}, images[0]), site)
	have := carried(t, receipt)
	source := newOrigin(images...)
	s, err := transfer.Select(t.Context(), source.sources(), wanted(t, "source.example", images...), transfer.SelectOptions{Have: []*transfer.Have{have}})
	if err != nil {
		t.Fatal(err)
	}
	s.Name = "second"
	held, packed := heldBlobs(s)
	for _, b := range images[0].Blobs {
		if held[b.Descriptor.Digest].Repository != site.Host()+"/mirror/"+images[0].Repository {
			t.Errorf("%s is held by %+v", b.Descriptor.Digest, held[b.Descriptor.Digest])
		}
	}
	second := smallBundle(t, s, images)
	site.ResetStats()
	unpack(t, second, site)
	checkSite(t, "second", site, images, every)
	if got := stored(site); !sameDigests(got, packed) {
		t.Errorf("sent %v, want %v", got, packed)
	}
	_, err = transfer.Unpack(t.Context(), openBundle(t, second), client(t), into(serve(t, fixtures.Options{})))
	if lean := mustAs[*transfer.LeanError](t, err); len(lean.Bundles) != 1 || lean.Bundles[0].Name != "test" || lean.Bundles[0].Bundle != receipt.Bundle {
		t.Errorf("on a site without the first: %+v", lean.Bundles)
	}
}
