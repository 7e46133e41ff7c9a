package bundle_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
)

const realBlobs = "../../shared/data/releases/real-blob-sizes/run00.blobs.tsv"

// realSizes are those of the blobs of a real OpenShift release, in bytes, to the
// four digits that the file has.
func realSizes(t testing.TB) []int64 {
	t.Helper()
	file, err := os.Open(realBlobs)
	fixtures.CheckShared(t, err)
	defer file.Close()
	var sizes []int64
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		field := strings.Split(lines.Text(), "\t")[1]
		number := strings.TrimRight(field, "KMGiB")
		v, err := strconv.ParseFloat(number, 64)
		if err != nil {
			t.Fatal(err)
		}
		unit := map[string]float64{"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[field[len(number):]]
		if unit == 0 {
			t.Fatalf("size %q", field)
		}
		sizes = append(sizes, int64(v*unit))
	}
	if len(sizes) != 290 {
		t.Fatalf("%d blobs, want 290", len(sizes))
	}
	return sizes
}

// synthetic is a selection of blobs of these sizes, perImage in each image, of
// which nothing but the size exists.
func synthetic(sizes []int64, perImage int) bundle.Selection {
	s := bundle.Selection{Name: "synthetic", Contents: map[digest.Digest][]byte{}}
	origin := bundle.Origin{Repository: "registry.example/synthetic"}
	for i := 0; i < len(sizes); i += perImage {
		var group []bundle.Blob
		manifest := fmt.Appendf(nil, "%d", i)
		for k, size := range sizes[i:min(i+perImage, len(sizes))] {
			d := digest.FromString(fmt.Sprint(i, k))
			manifest = fmt.Appendf(manifest, "%s %d", d, size)
			group = append(group, bundle.Blob{Content: bundle.Content{Digest: d, MediaType: typeGzip, Size: size}, Origin: origin})
		}
		root := bundle.Content{Digest: digest.FromBytes(manifest), MediaType: oci.MediaTypeManifest, Size: int64(len(manifest))}
		s.Contents[root.Digest] = manifest
		s.Manifests = append(s.Manifests, bundle.Manifest{Content: root, Origin: origin})
		s.Images = append(s.Images, bundle.Image{Reference: fmt.Sprintf("registry.example/synthetic:%d", i), Root: root})
		s.Blobs = append(s.Blobs, group)
	}
	return s
}

// stored is the size of content in a volume, by the formula in FORMAT.md.
func stored(size int64) int64 {
	frame := func(n int64) int64 { return 14 + n + 3*((n+131_071)/131_072) }
	content := 512 + (size+511)/512*512
	total := content / 4_194_304 * frame(4_194_304)
	if rest := content % 4_194_304; rest > 0 {
		total += frame(rest)
	}
	return total
}

// checkPlan checks what a plan promises, without the code that made it: sizes,
// whole blobs, extents that follow each other. It returns how many blobs are
// cut.
func checkPlan(t testing.TB, what string, p *bundle.Prologue) (cut int) {
	t.Helper()
	plan := p.Plan()
	const end = 1041
	want := make([]int64, plan.Volumes)
	for i := range want {
		want[i] = p.Size() + end
	}
	for i := range plan.Blobs {
		b := &plan.Blobs[i]
		if b.Volume != 0 {
			want[b.Volume-1] += stored(b.Size)
			continue
		}
		cut++
		var sum int64
		for k, e := range b.Extents {
			want[e.Volume-1] += stored(e.Size)
			sum += e.Size
			if k > 0 && e.Volume != b.Extents[k-1].Volume && e.Volume != b.Extents[k-1].Volume+1 {
				t.Errorf("%s: blob of %d bytes: extents in volumes %d and %d", what, b.Size, b.Extents[k-1].Volume, e.Volume)
			}
		}
		if sum != b.Size {
			t.Errorf("%s: extents of %d bytes for a blob of %d", what, sum, b.Size)
		}
		// The plan reserves a little more than the prologue takes.
		if reserved := p.Size() + p.Size()/64 + 4096; b.Size <= bundle.MaxMember && stored(b.Size) <= plan.VolumeSize-reserved-end {
			t.Errorf("%s: blob of %d bytes is cut although a volume of %d with a prologue of %d holds it",
				what, b.Size, plan.VolumeSize, p.Size())
		}
	}
	sizes, _ := p.VolumeSizes()
	for i, size := range sizes {
		if size > plan.VolumeSize || size != want[i] {
			t.Errorf("%s: volume %d of %d is planned with %d bytes, its members make %d, the limit is %d",
				what, i+1, len(sizes), size, want[i], plan.VolumeSize)
		}
	}
	data, err := plan.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.ParsePlan(data); err != nil {
		t.Errorf("%s: %v", what, err)
	}
	return cut
}

// TestPlaceReal places a real release on the usual media.
func TestPlaceReal(t *testing.T) {
	sizes := realSizes(t)
	var total int64
	for _, size := range sizes {
		total += stored(size)
	}
	media := map[string]int64{
		"fat32": math.MaxUint32, "dvd": 4_700_372_992 - 16<<20, "cd": 737_280_000 - 16<<20,
	}
	for name, volumeSize := range media {
		for _, perImage := range []int{1, 4, 290} {
			what := fmt.Sprintf("%s, %d blobs an image", name, perImage)
			plan, prologue, err := bundle.NewPlan(synthetic(sizes, perImage), volumeSize)
			if err != nil {
				t.Fatal(err)
			}
			cut := checkPlan(t, what, prologue)
			room := volumeSize - prologue.Size()
			if most := int((total+room-1)/room) + 1; plan.Volumes > most {
				t.Errorf("%s: %d volumes, at most %d are allowed", what, plan.Volumes, most)
			}
			larger := 0
			for _, size := range sizes {
				if stored(size) > room-1041 {
					larger++
				}
			}
			if cut != larger {
				t.Errorf("%s: %d blobs are cut, %d are larger than a volume", what, cut, larger)
			}
			t.Logf("%s: %d volumes, %d blobs cut, prologue %d bytes", what, plan.Volumes, cut, prologue.Size())
		}
	}
}

// TestPlaceRandom places random blobs into random volumes, the smallest that
// work among them.
func TestPlaceRandom(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	scales := []float64{600, 5_000, 132_000, 4_300_000, 300_000_000, 9_000_000_000}
	cut := 0
	for round := range 30 / slowdown {
		scale := scales[random.IntN(len(scales))]
		sizes := make([]int64, 1+random.IntN(30))
		var total int64
		for i := range sizes {
			sizes[i] = int64(scale * random.Float64())
			if random.IntN(4) == 0 { // round numbers meet the borders of blocks and frames
				sizes[i] = sizes[i] >> 9 << 9
			}
			total += stored(sizes[i])
		}
		s := synthetic(sizes, 1+random.IntN(5))
		smallest := max(1, total/500)
		spread := math.Log(float64(math.MaxUint32) / float64(smallest))
		for k := range 5 {
			volumeSize := smallest
			if k > 0 {
				volumeSize = min(int64(float64(smallest)*math.Exp(spread*random.Float64())), math.MaxUint32)
			}
			_, prologue, err := bundle.NewPlan(s, volumeSize)
			if refused := (*bundle.PrologueError)(nil); errors.As(err, &refused) {
				volumeSize = refused.Smallest
				_, prologue, err = bundle.NewPlan(s, volumeSize)
			}
			if err != nil {
				t.Fatalf("round %d: volume size %d, smallest %d: %v", round, volumeSize, smallest, err)
			}
			cut += checkPlan(t, fmt.Sprintf("round %d, volume size %d", round, volumeSize), prologue)
		}
	}
	if cut == 0 {
		t.Error("no blob was cut")
	}
}

// write writes all volumes with zeros as content, and returns their sizes.
func (d countingDir) write(t testing.TB, p *bundle.Prologue) []int64 {
	t.Helper()
	var sizes []int64
	var blob io.Reader
	for n := 1; n <= p.Plan().Volumes; n++ {
		w, err := bundle.CreateVolume(d, p, n)
		if err != nil {
			t.Fatal(err)
		}
		for m, ok := w.Next(); ok; m, ok = w.Next() {
			if m.Start == 0 {
				blob = io.LimitReader(zeros{}, m.Blob.Size)
			}
			if err := w.WriteMember(blob); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Finish(); err != nil {
			t.Fatal(err)
		}
		volume, err := w.Commit()
		if err != nil {
			t.Fatal(err)
		}
		if file := d.files[volume.Name]; file == nil || file.size != volume.Size {
			t.Fatalf("%s: %d bytes were written, the inventory is told %d", volume.Name, file.size, volume.Size)
		}
		sizes = append(sizes, volume.Size)
	}
	return sizes
}

// TestWriteAsPlanned writes what was planned, around the borders of blocks,
// frames and volumes, and compares the sizes to the byte.
func TestWriteAsPlanned(t *testing.T) {
	t.Parallel()
	const block, frame = 128 << 10, 4 << 20
	sizes := []int64{0, 1, 511, 512, 513, 100_000_000}
	for _, border := range []int64{block, 2 * block, frame, 2 * frame} {
		for _, d := range []int64{-1025, -1024, -513, -512, -511, 0, 1} {
			sizes = append(sizes, border+d)
		}
	}
	for _, compress := range []bool{false, true} {
		s := synthetic(sizes, 3)
		for i := range s.Blobs {
			for k := range s.Blobs[i] {
				s.Blobs[i][k].Compress = compress
			}
		}
		const volumeSize = 60_000_000
		_, prologue, err := bundle.NewPlan(s, volumeSize)
		if err != nil {
			t.Fatal(err)
		}
		if cut := checkPlan(t, fmt.Sprint("compress ", compress), prologue); cut != 1 {
			t.Errorf("%d blobs are cut, want 1", cut)
		}
		planned, atMost := prologue.VolumeSizes()
		for i, size := range (countingDir{files: map[string]*countingFile{}}).write(t, prologue) {
			if size > planned[i] || size != planned[i] && !compress || atMost[i] != compress {
				t.Errorf("compress %t: volume %d has %d bytes, planned are %d, at most: %t", compress, i+1, size, planned[i], atMost[i])
			}
		}
	}
}

// TestWriteFull has an extent that takes all that a volume has for members, to
// the last byte.
func TestWriteFull(t *testing.T) {
	t.Parallel()
	s := synthetic([]int64{20_000_000}, 1)
	left := func(volumeSize int64) (*bundle.Prologue, int64) {
		_, prologue, err := bundle.NewPlan(s, volumeSize)
		if err != nil {
			t.Fatal(err)
		}
		planned, _ := prologue.VolumeSizes()
		return prologue, volumeSize - planned[0]
	}
	// What is left over grows with the volume size, byte for byte, until a tar
	// block more fits in: just there nothing is left but what the plan reserves
	// for the prologue.
	low, high := int64(9_000_000), int64(9_000_515)
	_, start := left(low)
	for low+1 < high {
		middle := (low + high) / 2
		if _, n := left(middle); n < start {
			high = middle
		} else {
			low = middle
		}
	}
	prologue, full := left(high)
	if _, before := left(high - 1); before < full+500 {
		t.Fatalf("volume size %d leaves %d bytes, one byte less leaves %d", high, full, before)
	}
	planned, _ := prologue.VolumeSizes()
	for i, size := range (countingDir{files: map[string]*countingFile{}}).write(t, prologue) {
		if size != planned[i] || size > high {
			t.Errorf("volume size %d: volume %d has %d bytes, planned are %d", high, i+1, size, planned[i])
		}
	}
}

// TestPlaceSame plans the same twice.
func TestPlaceSame(t *testing.T) {
	t.Parallel()
	sizes := []int64{1 << 20, 3 << 20, 700, 5 << 20}
	one, _, err := bundle.NewPlan(synthetic(sizes, 2), 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	two, _, err := bundle.NewPlan(synthetic(sizes, 2), 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	a, err := one.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b, err := two.Encode()
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("plans differ: %v", err)
	}
}
