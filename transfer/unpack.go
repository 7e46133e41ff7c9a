package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"satchel/bundle"
	"satchel/oci"
)

// UnpackOptions say where images go and how.
type UnpackOptions struct {
	// To, Naming, ReleaseRepository and MaxComponents are as in [Names].
	To                string
	Naming            Naming
	ReleaseRepository string
	MaxComponents     int
	// Trust says which signatures of releases count.
	Trust Trust
	// Jobs is how many blobs are read and pushed side by side; 0 means
	// DefaultJobs.
	Jobs int
	// Sequential reads one blob at a time, for discs and rotating disks.
	Sequential bool
	// KeepGoing goes on with the other images when one cannot be pushed.
	KeepGoing bool
	// Earlier is the receipt of the pass before this one, over other media of the
	// bundle. Images that are there since are not looked at again, and the
	// receipt of this pass is about all passes.
	Earlier *Receipt
	// Volume is asked, at the end, for the volumes of what could not be completed
	// from the media that are there. It returns a bundle of the same plan that
	// has that volume; those that it returned before, and the one that is being
	// unpacked, are not read any more when it is called. It is not called from
	// several goroutines at once. Nil: such images are left out.
	Volume   func(ctx context.Context, number int) (*bundle.Bundle, error)
	Progress func(Event)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (o UnpackOptions) names() Names {
	return Names{To: o.To, Naming: o.Naming, ReleaseRepository: o.ReleaseRepository, MaxComponents: o.MaxComponents}
}

// Unpack replays a bundle into a target in one forward pass over its volumes. An
// image becomes visible only when all below it is there: as soon as its last
// blob is pushed, its manifests follow, children before parents, the root last
// and under its tag. Images that need missing or damaged volumes are left out,
// and the receipt says so; any other failure stops it, unless KeepGoing, and what
// is complete by then stays. At the end every tag is read back and compared.
//
// A release without a valid signature is a [*TrustError] before anything is
// pushed, unless that is allowed; one of which the plan says something else than
// its release image is a [*ForgedError]. When the bundle leans on others that are not at the target, a [*LeanError] says
// so before anything is pushed. The receipt is there beside an error too, as soon
// as there was something to say.
func Unpack(ctx context.Context, b *bundle.Bundle, target Target, o UnpackOptions) (*Receipt, error) {
	if b.Prologue == nil {
		return nil, errors.New("no volume has a whole prologue")
	}
	u, err := newUnpacker(b.Prologue, b, target, o)
	if err != nil {
		return nil, err
	}
	u.bundle = b
	for _, n := range b.Missing() {
		u.absent[n] = true
	}
	return u.replay(ctx)
}

// replay runs the steps, in order.
func (u *unpacker) replay(ctx context.Context) (*Receipt, error) {
	for _, step := range []func(context.Context) error{u.checkPayloads, u.askHeld, u.probeSparse, u.run, u.runSpanned, u.completePostponed, u.readBack} {
		if err := step(ctx); err != nil {
			return u.receipt(), err
		}
	}
	return u.receipt(), nil
}

// unpacker is one run of Unpack.
type unpacker struct {
	prologue *bundle.Prologue
	supply   supply
	// bundle is the supply; nil when that is something else.
	bundle  *bundle.Bundle
	target  Target
	options UnpackOptions
	images  []*replay
	// users are, for each blob, the images that need it, in order.
	users map[digest.Digest][]*replay
	// known says which blobs are in which repositories.
	known *presence
	// components are, for each release image, the images that its payload names.
	components map[string][]*replay
	// unsigned are the releases without a valid signature, unchecked those whose
	// payload the media do not give.
	unsigned, unchecked []string
	// attaching is held while a list of what is attached is read and replaced.
	attaching sync.Mutex
	// reading has room for as many as may read the media at one time.
	reading chan struct{}
	// spanning says that volumes are asked for one after another.
	spanning bool

	mu      sync.Mutex
	counts  BlobCounts
	damaged map[string]bool
	// absent are the numbers of the volumes that have not been there.
	absent map[int]bool
}

// replay is one image on its way.
type replay struct {
	image bundle.Image
	to    Destination
	graph *bundle.Graph
	// holes are the children that the source did not have.
	holes []Lack
	// earlier is what the pass before says, where the image is there since.
	earlier *ReceiptImage
	// hopeless says that it was given up before any blob moved.
	hopeless bool
	// The rest is guarded by unpacker.mu.
	waiting int // blobs whose turn has not come
	done    bool
	present bool
	// replaced is what the tag named before; empty when nothing or the same.
	replaced digest.Digest
	lacks    []Lack
}

// supply gives the blobs of a plan, checked while they are read.
type supply interface {
	// Blob opens the nth copy of a blob. The caller closes the reader.
	Blob(ctx context.Context, b *bundle.Blob, nth int) (io.ReadCloser, error)
	// Copies returns how many copies of a blob there are.
	Copies(b *bundle.Blob) int
}

func newUnpacker(prologue *bundle.Prologue, supply supply, target Target, o UnpackOptions) (*unpacker, error) {
	if o.Jobs == 0 {
		o.Jobs = DefaultJobs
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	plan := prologue.Plan()
	destinations, err := Destinations(plan, o.names())
	if err != nil {
		return nil, err
	}
	unsigned, err := o.Trust.verifyAll(plan)
	if err != nil {
		return nil, err
	}
	if e := o.Earlier; e != nil && (e.Plan != prologue.PlanID() || len(e.Images) != len(plan.Images)) {
		return nil, fmt.Errorf("the receipt of the pass before is of plan %s, the bundle of plan %s", e.Plan, prologue.PlanID())
	}
	readers := o.Jobs
	if o.Sequential {
		readers = 1
	}
	u := &unpacker{
		prologue: prologue, supply: supply, target: target, options: o, unsigned: unsigned,
		known: newPresence(o.Now), reading: make(chan struct{}, readers),
		users: make(map[digest.Digest][]*replay), damaged: make(map[string]bool), absent: make(map[int]bool),
	}
	for i, image := range plan.Images {
		g, err := prologue.Graph(image)
		if err != nil {
			return nil, err
		}
		r := &replay{image: image, to: destinations[i], graph: g}
		u.images = append(u.images, r)
		for _, m := range plan.Missing {
			if m.Digest != "" && m.Image == image.Reference {
				r.holes = append(r.holes, Lack{Digest: m.Digest, Reason: m.Reason, cause: lackAtSource})
			}
		}
		if r.waiting = len(g.Blobs); o.Earlier != nil && o.Earlier.Images[i].there() {
			r.earlier, r.done = &o.Earlier.Images[i], true
		}
		for _, blob := range g.Blobs {
			u.users[blob.Digest] = append(u.users[blob.Digest], r)
		}
	}
	return u, u.findComponents()
}

// run takes the blobs in the order of the volumes, several at a time but begun
// in order, and completes each image behind its last blob.
func (u *unpacker) run(ctx context.Context) error {
	u.giveUp()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Not the groups' own contexts: those end with the first group, while
	// images are still being completed.
	var blobs, images errgroup.Group
	blobs.SetLimit(cap(u.reading))
	images.SetLimit(u.options.Jobs)
	// The first error is the cause; those that come after it may just be its
	// echo, and may come back sooner.
	stopOn := func(err error) error {
		if err != nil {
			cancel(err)
		}
		return err
	}
	complete := func(r *replay) {
		images.Go(func() error { return stopOn(u.complete(ctx, r)) })
	}
	for _, r := range u.images {
		if r.waiting == 0 && !r.done && len(r.lacks) == 0 {
			complete(r)
		}
	}
	for _, b := range inVolumeOrder(u.prologue.Plan()) {
		wanting := u.wanting(b.Digest)
		if len(wanting) == 0 {
			tell(u.options.Progress, Event{Kind: BytesSkipped, Bytes: b.Size})
			continue
		}
		if ctx.Err() != nil {
			break
		}
		blobs.Go(func() error {
			ready, err := u.blob(ctx, b, wanting)
			for _, r := range ready {
				complete(r)
			}
			return stopOn(err)
		})
	}
	_, _ = blobs.Wait(), images.Wait() // the cause says more
	return context.Cause(ctx)
}

// giveUp spares the blobs of the images that the target does not take anyway. Those
// of images that lack something are brought: what is lacking may come later.
func (u *unpacker) giveUp() {
	for _, r := range u.images {
		r.hopeless = r.lacking(lackRefused)
	}
}

// wanting returns the images for which a blob has to be brought.
func (u *unpacker) wanting(d digest.Digest) []*replay {
	var wanting []*replay
	for _, r := range u.users[d] {
		if r.earlier == nil && !r.hopeless {
			wanting = append(wanting, r)
		}
	}
	return wanting
}

// blob brings one blob into the repository of the first image that wants it,
// unless one that was there before has it, and returns the images that waited for
// nothing else.
func (u *unpacker) blob(ctx context.Context, b *bundle.Blob, wanting []*replay) ([]*replay, error) {
	d, users := b.Descriptor(), u.users[b.Digest]
	if users[0].earlier != nil && u.seek(ctx, users[:1], d, "") {
		return u.settle(wanting, nil), nil
	}
	home := wanting[0].to.Repository
	err := u.ensure(ctx, home, d, true)
	var lacks lacksError
	switch {
	case err == nil:
		return u.settle(wanting, nil), nil
	case ctx.Err() != nil:
		return nil, err
	case errors.As(err, &lacks):
		if u.seek(ctx, users, d, home) {
			lacks = nil
		}
		return u.settle(wanting, lacks), ctx.Err()
	}
	return u.refused(wanting, b, err)
}

// refused leaves the images out that want the blob in the first one's repository,
// into which it could not be brought. The others fetch it for themselves.
func (u *unpacker) refused(users []*replay, b *bundle.Blob, err error) ([]*replay, error) {
	home := users[0].to.Repository
	failed := &BlobError{Digest: b.Digest, Where: home, Image: users[0].image.Reference, Err: err}
	if mismatch := (*oci.MismatchError)(nil); u.bundle == nil && errors.As(err, &mismatch) {
		failed.Where = originName(b.Origin) // it is not the target that gave it
	}
	err = failed
	var ready []*replay
	for _, r := range users {
		var lacks []Lack
		if r.to.Repository == home {
			lacks = []Lack{{Digest: b.Digest, Reason: err.Error(), Volumes: b.VolumesOf(), cause: lackRefused}}
		}
		ready = append(ready, u.settle([]*replay{r}, lacks)...)
	}
	if u.options.KeepGoing {
		return ready, nil
	}
	return nil, err
}

// settle notes for images that a blob's turn is over, and returns those that are
// ready to be completed.
func (u *unpacker) settle(users []*replay, lacks []Lack) (ready []*replay) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, r := range users {
		r.waiting--
		r.lacks = append(r.lacks, lacks...)
		if r.waiting == 0 && len(r.lacks) == 0 {
			ready = append(ready, r)
		}
	}
	return ready
}

func (u *unpacker) count(f func(*BlobCounts)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	f(&u.counts)
}
