package transfer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// Defaults of PackOptions.
const (
	DefaultBuffer = 256 << 20
	DefaultJobs   = 8
)

// PackOptions say which volumes are made and how blobs are fetched.
type PackOptions struct {
	// Buffer is how many bytes may wait between network and volume; 0 means
	// DefaultBuffer.
	Buffer int64
	// Jobs is the number of connections; 0 means DefaultJobs.
	Jobs int
	// Only are the numbers of the volumes to make; none means all.
	Only []int
	// KeepGoing leaves out blobs that cannot be transferred, SkipMissing those
	// that the source does not have.
	KeepGoing, SkipMissing bool
	// ReadBack reads each volume from its medium before it counts.
	ReadBack bool
	// Next closes the medium that is there and returns another one, or
	// [ErrNoMedium]. Nil: the media given are all.
	Next     func(context.Context, Change) (Output, error)
	Progress func(Event)
}

// Packed is what came of packing.
type Packed struct {
	// Inventory and Bundle, its ID, are only there when all volumes are.
	Inventory *bundle.Inventory
	Bundle    digest.Digest
	// Volumes are those on the media that were seen, written or found whole, in
	// the order of their numbers; Made the numbers of those written now.
	Volumes []bundle.Volume
	Made    []int
	// Absent are the numbers of the volumes that no medium had.
	Absent []int
	// Missing is what the volumes lack, Incomplete the references of the images
	// that need it.
	Missing    []bundle.Missing
	Incomplete []string
}

// SpoiledError says that finished volumes hold something else than the parts of a
// cut blob: it turned out wrong after their medium had left.
type SpoiledError struct {
	Digest digest.Digest
	// Volumes are their numbers.
	Volumes []int
	// Err is nil where it was found later, by comparing.
	Err error
}

func (e *SpoiledError) Error() string {
	text := fmt.Sprintf("blob %s: finished volumes %v hold something else than their parts of it", e.Digest, e.Volumes)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *SpoiledError) Unwrap() error { return e.Err }

// BlobError says which image a failure is about. What failed with which blob, Err
// says; where a wrong blob came from, which it cannot know, Where adds.
type BlobError struct {
	Digest digest.Digest
	// Where the blob comes from, or goes to: a repository, URL or label.
	Where string
	// Image is the reference of one image that needs it.
	Image string
	Err   error
}

func (e *BlobError) Error() string {
	if mismatch := (*oci.MismatchError)(nil); errors.As(e.Err, &mismatch) {
		return fmt.Sprintf("image %s: %s gave a wrong blob: %v", e.Image, e.Where, e.Err)
	}
	return fmt.Sprintf("image %s: %v", e.Image, e.Err)
}

func (e *BlobError) Unwrap() error { return e.Err }

// Pack writes the volumes of a plan onto media, one medium after the other, and
// goes on where an earlier run stopped: what stands there is read and kept as far
// as it is whole. It locks the media, which stay locked until the caller closes
// them, and checks first that nothing is in the way and that there is room.
// Volumes get their final names in order, each as soon as all blobs in it are
// checked. When all volumes of the plan are there, it writes the inventory.
//
// A blob that is cut over two media of a drive is the one exception to that: the
// volume on the first gets its name before the blob's end is checked, since the
// medium leaves; should the blob turn out wrong, the error names that volume.
func Pack(ctx context.Context, media []Output, prologue *bundle.Prologue, sources Sources, o PackOptions) (*Packed, error) {
	if o.Buffer == 0 {
		o.Buffer = DefaultBuffer
	}
	if o.Jobs == 0 {
		o.Jobs = DefaultJobs
	}
	p := newPacker(media, prologue, sources, o)
	if err := p.run(ctx); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p.conclude(ctx)
}

// newPacker makes one run of Pack.
func newPacker(media []Output, prologue *bundle.Prologue, sources Sources, o PackOptions) *packer {
	sizes, _ := prologue.VolumeSizes()
	p := &packer{
		outputs: outputs{
			all: slices.Clone(media), prologue: prologue, sizes: sizes, small: bundle.SmallFilesSize(prologue),
			begun: make([]bool, len(media)), bad: make([]bool, len(media)), next: o.Next,
		},
		sources: sources, options: o, images: imagesOf(prologue), cuts: make(map[int][]*bundle.Blob),
		done: make(map[int]bundle.Volume), stands: make(map[int]*stand), gone: make(map[digest.Digest]bundle.Missing),
		gaveUp: make(map[digest.Digest]bundle.Missing), lacks: make(map[int][]bundle.Member), old: make(map[int]*stand),
		pending: make(map[digest.Digest]bool), sums: make(map[digest.Digest][]digest.Digest), held: make(map[memberKey]digest.Digest),
		early: make(map[digest.Digest][]int),
	}
	plan := prologue.Plan()
	for i := range plan.Blobs {
		for _, n := range plan.Blobs[i].VolumesOf() {
			if b := &plan.Blobs[i]; len(b.Extents) > 0 {
				p.cuts[n] = append(p.cuts[n], b)
			}
		}
	}
	return p
}

// run makes what is to be made.
func (p *packer) run(ctx context.Context) error {
	for i := range p.all {
		if err := p.lock(i); err != nil {
			return err
		}
	}
	if err := p.survey(ctx); err != nil {
		return err
	}
	if p.next != nil && len(p.options.Only) == 0 {
		p.deferEarlier()
	}
	p.enqueue()
	if err := p.checkRoom(p.queue, p.stands); err != nil {
		return err
	}
	return p.write(ctx)
}

// deferEarlier leaves the volumes before the first that stands in the drive to
// the media that were in it before.
func (p *packer) deferEarlier() {
	if len(p.stands) == 0 {
		return
	}
	first := slices.Min(slices.Collect(maps.Keys(p.stands)))
	for n := 1; n < first; n++ {
		p.earlier = append(p.earlier, n)
	}
}

// enqueue lists the volumes that are still to be made.
func (p *packer) enqueue() {
	p.queue = nil
	for n := 1; n <= p.prologue.Plan().Volumes; n++ {
		if _, done := p.done[n]; done || slices.Contains(p.earlier, n) {
			continue
		}
		if len(p.options.Only) == 0 || slices.Contains(p.options.Only, n) {
			p.queue = append(p.queue, n)
		}
	}
}

// conclude writes the inventory when all volumes are there, and says what came
// of it all.
func (p *packer) conclude(ctx context.Context) (*Packed, error) {
	if len(p.earlier) > 0 && p.confirmed() {
		p.earlier = nil // it need not be written again
	}
	for missing := p.absent(); len(missing) > 0 && len(p.earlier) > 0; missing = p.absent() {
		err := p.change(ctx, Change{Count: p.prologue.Plan().Volumes, Earlier: missing})
		if errors.Is(err, ErrNoMedium) {
			break
		}
		if err == nil {
			err = p.survey(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	r := &Packed{Made: p.made, Absent: p.absent()}
	slices.Sort(r.Made)
	for _, n := range slices.Sorted(maps.Keys(p.done)) {
		r.Volumes = append(r.Volumes, p.done[n])
	}
	for i := range p.prologue.Plan().Blobs {
		if m, ok := p.gone[p.prologue.Plan().Blobs[i].Digest]; ok {
			r.Missing = append(r.Missing, m)
		}
	}
	all := slices.Concat(p.prologue.Plan().Missing, r.Missing)
	for i, incomplete := range p.prologue.Incomplete(all) {
		if incomplete {
			r.Incomplete = append(r.Incomplete, p.prologue.Plan().Images[i].Reference)
		}
	}
	if r.Missing, all = all, r.Missing; len(r.Absent) > 0 {
		if p.confirmed() {
			r.Inventory, r.Bundle, r.Missing = p.inventory, p.inventoryID, p.inventory.Missing
		}
		return r, nil
	}
	err := p.judge(ctx)
	if err != nil {
		return nil, err
	}
	r.Inventory, r.Bundle, err = p.finish(r.Volumes, all)
	return r, err
}

// confirmed reports whether there is an inventory already, and all volumes that
// were seen are as it says.
func (p *packer) confirmed() bool {
	if p.inventory == nil {
		return false
	}
	for n, v := range p.done {
		if stated := p.inventory.Volume(n); stated == nil || stated.Digest != v.Digest {
			return false
		}
	}
	return true
}

// absent are the volumes that no medium had.
func (p *packer) absent() []int {
	var absent []int
	for n := 1; n <= p.prologue.Plan().Volumes; n++ {
		if _, done := p.done[n]; !done {
			absent = append(absent, n)
		}
	}
	return absent
}

// imagesOf names for each blob the first image that needs it, for messages.
func imagesOf(prologue *bundle.Prologue) map[digest.Digest]string {
	names := make(map[digest.Digest]string)
	for _, image := range prologue.Plan().Images {
		graph, err := prologue.Graph(image)
		if err != nil {
			continue // only messages are poorer
		}
		for _, b := range graph.Blobs {
			if _, ok := names[b.Digest]; !ok {
				names[b.Digest] = image.Reference
			}
		}
	}
	return names
}

func originName(o bundle.Origin) string {
	switch {
	case o.Repository != "":
		return o.Repository
	case o.Local != "":
		return o.Local
	case o.Inline != nil:
		return "the plan"
	case o.Derived != nil:
		return "what is made of " + originName(o.Derived.Origin())
	}
	// Without its query, which may hold a token.
	u, err := url.Parse(o.URLs[0])
	if err != nil {
		return "a foreign URL"
	}
	return u.Scheme + "://" + u.Host + u.Path
}
