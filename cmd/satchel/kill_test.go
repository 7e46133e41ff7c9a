package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
)

const (
	killBuffer = 1 << 20
	killVolume = 2 << 20
	killJobs   = 2
)

// killImages have a layer of four times the buffer, which is cut over volumes,
// among others.
func killImages() []fixtures.Image {
	base := fixtures.GzipLayer(fixtures.Files("base")...)
	return []fixtures.Image{
		fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{base, fixtures.OpaqueLayer("one", 300<<10)}}).Named("team/one", "1"),
		fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{base, fixtures.TextLayer("words", 400<<10),
			fixtures.OpaqueLayer("model", 4*killBuffer+12345)}}).Named("team/model", "1"),
		fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{base,
			fixtures.OpaqueLayer("last", 1300<<10), fixtures.OpaqueLayer("very last", 1400<<10)}}).Named("team/last", "1"),
	}
}

// killPlace is a place at which to kill: a byte of what blobs the registry sends or
// takes, or a request.
type killPlace struct {
	atByte  int64
	request int
}

func (p killPlace) String() string {
	if p.request > 0 {
		return fmt.Sprintf("killed at request %d", p.request)
	}
	return fmt.Sprintf("killed at byte %d", p.atByte)
}

// killPlaces are 100 bytes from all over total, and every request; for a sample
// six bytes and about two requests.
func killPlaces(total int64, requests int) []killPlace {
	bytes, every := int64(100), 1
	if os.Getenv("SATCHEL_FAULTS") != "all" {
		bytes, every = 6, requests/2+1
	}
	var places []killPlace
	for i := range bytes {
		// Not at round numbers, and the first and the last byte among them.
		places = append(places, killPlace{atByte: 1 + i*(total-1)/(bytes-1)})
	}
	for n := 1; n <= requests; n += every {
		places = append(places, killPlace{atByte: -1, request: n})
	}
	return places
}

// must runs the program to its end.
func must(t testing.TB, what, binary string, arguments []string) bool {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), binary, arguments...).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", what, err, out)
		return false
	}
	return true
}

func readDir(t testing.TB, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(content)
	}
	return files
}

// TestKill kills the real program with SIGKILL while the registry holds it at a
// stated byte, or request; the same command again comes to the same end, and moves
// no more again than it may. With SATCHEL_FAULTS=all it does so at 100 bytes and
// at every request.
func TestKill(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs signals, which Windows has not")
	}
	if testing.Short() {
		t.Skip("-short: runs and kills the real program, many times")
	}
	satchel := binary(t)
	t.Run("pack", func(t *testing.T) { killPack(t, satchel) })
	t.Run("unpack", func(t *testing.T) { killUnpack(t, satchel) })
}

func killPack(t *testing.T, satchel string) {
	images := killImages()
	source := hold(t, fixtures.NewRegistry(fixtures.Options{}))
	if err := source.Add(images...); err != nil {
		t.Fatal(err)
	}
	pack := func(dir string) []string {
		return append([]string{"pack", "--quiet", "--tls-verify=false", "-o", dir, "--volume-size", fmt.Sprint(killVolume),
			"--buffer", fmt.Sprint(killBuffer), "--jobs", fmt.Sprint(killJobs)}, references(source.Host(), images)...)
	}
	dir := t.TempDir()
	if !must(t, "undisturbed", satchel, pack(dir)) {
		return
	}
	want := readDir(t, dir)
	if want["inventory.json"] == "" || len(want) < 4+3 {
		t.Fatalf("files %v", slices.Sorted(maps.Keys(want)))
	}
	stats := source.Stats()
	total := stats.BlobBytesServed
	var again, largest int64
	started, stages := time.Now(), make(map[int]int)
	places := killPlaces(total, stats.Total())
	for _, place := range places {
		dir := t.TempDir()
		source.ResetStats()
		reached := source.arm(place.atByte, place.request)
		ok := killed(t, place.String(), reached, satchel, pack(dir))
		source.disarm()
		if !ok {
			continue
		}
		written, volumes := int64(0), 0
		for name, content := range readDir(t, dir) {
			written += int64(len(content))
			if !strings.HasSuffix(name, ".part") {
				if content != want[name] {
					t.Errorf("%s: %s has its final name, and other bytes", place, name)
				}
				volumes++
			}
		}
		stages[volumes]++
		largest = max(largest, written)
		if !must(t, place.String()+": the same again", satchel, pack(dir)) {
			continue
		}
		if got := readDir(t, dir); !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", place, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
		// A member is not larger than a volume.
		twice := source.Stats().BlobBytesServed - total
		if again = max(again, twice); twice > killBuffer+killVolume {
			t.Errorf("%s: %d bytes were fetched twice, more than the buffer and a member", place, twice)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("pack: killed at %d places in %.0f s, %d bytes of blobs; up to %d bytes were written; how often with so many finished files: %v; "+
		"at most %d bytes were fetched twice, %d are allowed", len(places), time.Since(started).Seconds(), total, largest, stages,
		again, killBuffer+killVolume)
}

func killUnpack(t *testing.T, satchel string) {
	images := killImages()
	source := startRegistry(t, fixtures.Options{}, images...)
	dir := t.TempDir()
	mustSatchel(t, append([]string{"pack", "--quiet", "--tls-verify=false", "-o", dir, "--volume-size", fmt.Sprint(killVolume)},
		references(source.Host(), images)...)...)
	unpack := func(site *holding) []string {
		return []string{"unpack", dir, "--quiet", "--to", site.Host() + "/mirror", "--tls-verify=false", "--jobs", fmt.Sprint(killJobs)}
	}
	content := func(site *holding) (map[string]map[string]digest.Digest, map[string][]digest.Digest) {
		digests, blobs := site.Digests(), make(map[string][]digest.Digest)
		for name := range digests {
			blobs[name] = site.Blobs(name)
		}
		return digests, blobs
	}
	// It takes manifests without what they need: satchel alone sees to that.
	site := hold(t, fixtures.NewRegistry(fixtures.Options{AllowSparse: true}))
	if !must(t, "undisturbed", satchel, unpack(site)) {
		return
	}
	wantDigests, wantBlobs := content(site)
	stats := site.Stats()
	total := stats.BlobBytesReceived
	inFlight := int64(0) // the largest blobs, one for each connection
	var sizes []int64
	for _, size := range stats.Stored {
		sizes = append(sizes, size)
	}
	slices.Sort(sizes)
	for _, size := range sizes[len(sizes)-killJobs:] {
		inFlight += size
	}
	var again int64
	started := time.Now()
	places := killPlaces(total, stats.Total())
	for _, place := range places {
		site := hold(t, fixtures.NewRegistry(fixtures.Options{AllowSparse: true}))
		reached := site.arm(place.atByte, place.request)
		ok := killed(t, place.String(), reached, satchel, unpack(site))
		site.disarm()
		if !ok {
			continue
		}
		for _, image := range images {
			checkVisible(t, place.String(), site.Registry, image)
		}
		var stored int64
		for _, size := range site.Stats().Stored {
			stored += size
		}
		before := site.Stats().BlobBytesReceived
		if !must(t, place.String()+": the same again", satchel, unpack(site)) {
			continue
		}
		if digests, blobs := content(site); !maps.EqualFunc(digests, wantDigests, maps.Equal) || !maps.EqualFunc(blobs, wantBlobs, slices.Equal) {
			t.Errorf("%s: the site has %v, %v", place, digests, blobs)
		}
		received := site.Stats().BlobBytesReceived
		if received-before > total-stored {
			t.Errorf("%s: %d bytes were sent then, although %d of %d were there", place, received-before, stored, total)
		}
		if again = max(again, received-total); received-total > inFlight {
			t.Errorf("%s: %d bytes were sent twice, more than %d blobs", place, received-total, killJobs)
		}
		site.server.Close()
	}
	t.Logf("unpack: killed at %d places in %.0f s, %d bytes of blobs; at most %d bytes were sent twice, %d are allowed: a blob for each of %d connections",
		len(places), time.Since(started).Seconds(), total, again, inFlight, killJobs)
}

// checkVisible fails the test when a tag is there and something below it is not.
func checkVisible(t testing.TB, what string, site *fixtures.Registry, image fixtures.Image) {
	t.Helper()
	repository := "mirror/" + image.Repository
	digests, blobs := site.Digests()[repository], site.Blobs(repository)
	tagged, ok := digests[image.Tag]
	if !ok {
		return
	}
	if tagged != image.Root.Digest {
		t.Errorf("%s: %s:%s is %s", what, repository, image.Tag, tagged)
	}
	for _, m := range image.Manifests {
		if _, ok := digests[m.Descriptor.Digest.String()]; !ok {
			t.Errorf("%s: %s:%s lacks manifest %s", what, repository, image.Tag, m.Descriptor.Digest)
		}
	}
	for _, b := range image.Blobs {
		if !slices.Contains(blobs, b.Descriptor.Digest) {
			t.Errorf("%s: %s:%s lacks blob %s", what, repository, image.Tag, b.Descriptor.Digest)
		}
	}
}
