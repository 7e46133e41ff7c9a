package transfer_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/transfer"
)

// TestFaults lets everything go wrong that can, once each, and looks at what is
// left and at what the next run makes of it. It tries a sample; with
// SATCHEL_FAULTS=all, as make faults has it, all; with -short, only where several
// goroutines are at work.
func TestFaults(t *testing.T) {
	f := &faultTally{all: os.Getenv("SATCHEL_FAULTS") == "all"}
	for _, matrix := range []struct {
		name string
		run  func(*testing.T, *faultTally)
	}{
		{"pack: the medium, writing", faultsOfWriting},
		{"pack: the medium, continuing", faultsOfContinuing},
		{"pack: loss of power", faultsOfPower},
		{"pack: damage between two runs", faultsOfDamage},
		{"pack: media that lie", faultsOfFlash},
		{"pack: media that are full", faultsOfFullMedia},
		{"pack: media that are pulled out", faultsOfPulledMedia},
		{"pack: two media", faultsOfTwoMedia},
		{"pack: the source", faultsOfSource},
		{"pack: the source, tried again", faultsOfSourceTriedAgain},
		{"pack: the source, tokens that end", faultsOfTokens},
		{"pack: the source, going on without", faultsOfPartial},
		{"unpack: the target", faultsOfTarget},
		{"unpack: the target, tried again", faultsOfTargetTriedAgain},
		{"unpack: the target, tokens that end", faultsOfTargetTokens},
		{"unpack: the media", faultsOfMedia},
	} {
		t.Run(matrix.name, func(t *testing.T) {
			if testing.Short() && matrix.name != "pack: two media" && matrix.name != "pack: the source, going on without" && matrix.name != "unpack: the target, tried again" {
				t.Skip("-short: nothing concurrent is in it")
			}
			f.begin(matrix.name)
			matrix.run(t, f)
			f.end(t)
		})
	}
	t.Logf("what was tried, all: %t\n%s", f.all, f)
}

// faultTally counts what was tried. It is safe for concurrent use while a matrix
// is being tried.
type faultTally struct {
	// all says that nothing is left out.
	all bool

	mu      sync.Mutex
	rows    []faultRow
	started time.Time
}

// faultRow are the figures of one matrix.
type faultRow struct {
	name string
	// places are the operations, or requests, of an undisturbed run; kinds the
	// ways of going wrong; runs those that were disturbed, each of which is
	// followed by one that is not.
	places, kinds, runs int
	time                time.Duration
}

func (f *faultTally) begin(name string) {
	f.started = time.Now()
	f.rows = append(f.rows, faultRow{name: name})
}

func (f *faultTally) end(t testing.TB) {
	row := &f.rows[len(f.rows)-1]
	row.time = time.Since(f.started)
	if row.runs == 0 {
		t.Error("nothing was tried")
	}
}

// ran notes a disturbed run, whose fault fired.
func (f *faultTally) ran() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.rows[len(f.rows)-1].runs++
}

// size notes how large the matrix is.
func (f *faultTally) size(places, kinds int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	row := &f.rows[len(f.rows)-1]
	row.places, row.kinds = max(row.places, places), max(row.kinds, kinds)
}

// step is 1 when all is to be tried, and else n: every n-th will do.
func (f *faultTally) step(n int) int {
	if f.all {
		return 1
	}
	return n
}

func (f *faultTally) String() string {
	var s strings.Builder
	w := tabwriter.NewWriter(&s, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "operations\tfaults\truns\tseconds\t")
	runs := 0
	for _, r := range f.rows {
		fmt.Fprintf(w, "%d\t%d\t%d\t%.1f\t  %s\n", r.places, r.kinds, r.runs, r.time.Seconds(), r.name)
		runs += r.runs
	}
	fmt.Fprintf(w, "\t\t%d\t\t  in all\n", runs)
	if err := w.Flush(); err != nil {
		panic(err) // a strings.Builder takes everything
	}
	return s.String()
}

// fiveBlobs are two images with five blobs in all: two configs, a layer that is
// compressed, one that is cut over volumes and shared, and one more.
func fiveBlobs() []fixtures.Image {
	big := fixtures.OpaqueLayer("big", 150_000)
	return []fixtures.Image{
		fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{fixtures.TextLayer("words", 30_000), big}}).Named("team/first", "1"),
		fixtures.NewImage(fixtures.ImageSpec{Cmd: []string{"second"}, Layers: []fixtures.Layer{big, fixtures.OpaqueLayer("last", 20_000)}}).Named("team/second", "1"),
	}
}

// trial is a bundle of five blobs that is packed again and again.
type trial struct {
	*origin
	prologue *bundle.Prologue
	options  transfer.PackOptions
	// want are the files of an undisturbed run, operations how many it took.
	want       map[string]string
	operations int
	// fetched are the bytes that came from the origin.
	fetched atomic.Int64
}

func newTrial(t testing.TB) *trial {
	t.Helper()
	images := fiveBlobs()
	r := &trial{origin: newOrigin(images...), options: transfer.PackOptions{Buffer: 64 << 10}}
	r.prologue = plan(t, r.sources(), "source.example", 55_000, transfer.SelectOptions{}, images...)
	compressed := 0
	for _, b := range r.prologue.Plan().Blobs {
		if b.Compress {
			compressed++
		}
	}
	if n := len(r.prologue.Plan().Blobs); n != 5 || compressed == 0 {
		t.Fatalf("%d blobs, %d compressed", n, compressed)
	}
	cutBlob(t, r.prologue)
	r.wrap = func(_ context.Context, _ int, _ oci.Descriptor, _ int64, content io.Reader) io.Reader {
		return readerFunc(func(p []byte) (int, error) {
			n, err := content.Read(p)
			r.fetched.Add(int64(n))
			return n, err
		})
	}
	disk := fixtures.NewDisk()
	if err := r.pack(t, disk); err != nil {
		t.Fatal(err)
	}
	r.want, r.operations = disk.Files(), disk.Operations()
	return r
}

// pack packs as a new process does.
func (r *trial) pack(t testing.TB, disks ...*fixtures.Disk) error {
	var media []transfer.Output
	for i, d := range disks {
		media = append(media, transfer.Output{Name: fmt.Sprintf("stick%d", i+1), Dir: d})
	}
	_, err := transfer.Pack(t.Context(), media, r.prologue, r.sources(), r.options)
	return err
}

// twice is how many bytes may be fetched in all when one run is interrupted: the
// buffer and one member more than there are.
func (r *trial) twice() int64 {
	largest := int64(0)
	for n := range r.prologue.Plan().Volumes {
		for _, m := range r.prologue.Plan().Members(n + 1) {
			largest = max(largest, m.Size)
		}
	}
	return total(r.prologue) + r.options.Buffer + largest
}

// checkNames checks that whatever has a final name is right, and that an inventory
// is there only with all the rest.
func (r *trial) checkNames(t testing.TB, what string, disks ...*fixtures.Disk) {
	t.Helper()
	there := make(map[string]bool)
	for _, d := range disks {
		for name, content := range d.Files() {
			if !bundle.IsFinalName(name) {
				continue
			}
			there[name] = true
			if content != r.want[name] {
				t.Errorf("%s: %s has its final name and %d bytes that are not right (%d)", what, name, len(content), len(r.want[name]))
			}
		}
	}
	if there["inventory.json"] && len(there) != len(r.want) {
		t.Errorf("%s: an inventory is there, with %d of %d files", what, len(there), len(r.want))
	}
}

// goOn runs once more, undisturbed, and checks that it ends as it should.
func (r *trial) goOn(t testing.TB, what string, disk *fixtures.Disk) {
	t.Helper()
	disk.Revive()
	if err := r.pack(t, disk); err != nil {
		t.Errorf("%s: the next run: %v", what, err)
		return
	}
	sameFiles(t, what, disk.Files(), r.want)
}
