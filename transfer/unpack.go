package transfer

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"satchel/bundle"
	"satchel/oci"
)

// Target is a registry at the site. Repositories are full names. All methods are
// for concurrent use.
type Target interface {
	BlobTarget
	ManifestTarget
}

// BlobTarget takes blobs.
type BlobTarget interface {
	HasBlob(ctx context.Context, repository string, d oci.Descriptor) (bool, error)
	// PushBlob sends a blob. It calls open for every try, reads to the end and
	// closes; an error of the reader comes back so that errors.As finds it, and
	// nothing is committed then. Success means that the blob is there, not that
	// this call brought it.
	PushBlob(ctx context.Context, repository string, d oci.Descriptor, open func(context.Context) (io.ReadCloser, error)) error
	// Mount makes a blob of one repository one of another. False: the registry
	// does not do that.
	Mount(ctx context.Context, repository, from string, d oci.Descriptor) (bool, error)
	Ranger
}

// ManifestTarget takes manifests.
type ManifestTarget interface {
	// PushManifest sends a manifest under a tag, or by digest without one.
	PushManifest(ctx context.Context, repository, tag string, d oci.Descriptor, content []byte) error
	Resolve(ctx context.Context, ref oci.Reference) (oci.Descriptor, []byte, error)
	DeleteManifest(ctx context.Context, repository string, d digest.Digest) error
}

// UnpackOptions say where images go and how.
type UnpackOptions struct {
	// To is REGISTRY or REGISTRY/PREFIX; empty keeps the images' names, for
	// targets that hold full names.
	To     string
	Naming Naming
	// Jobs is how many blobs are read and pushed side by side; 0 means
	// DefaultJobs.
	Jobs int
	// Sequential reads one blob at a time, for discs and rotating disks.
	Sequential bool
	Progress   func(Event)
}

// Unpack replays a bundle into a target in one forward pass over its volumes. An
// image becomes visible only when all below it is there: as soon as its last
// blob is pushed, its manifests follow, children before parents, the root last
// and under its tag. Images that need missing or damaged volumes are left out,
// and the receipt says so; any other failure stops it, and what is complete by
// then stays. At the end every tag is read back and compared.
func Unpack(ctx context.Context, b *bundle.Bundle, target Target, o UnpackOptions) (*Receipt, error) {
	if b.Prologue == nil {
		return nil, errors.New("no volume has a whole prologue")
	}
	if o.Jobs == 0 {
		o.Jobs = DefaultJobs
	}
	u, err := newUnpacker(b, target, o)
	if err != nil {
		return nil, err
	}
	if err := u.probeSparse(ctx); err != nil {
		return nil, err
	}
	if err := u.run(ctx); err != nil {
		return nil, err
	}
	if err := u.readBack(ctx); err != nil {
		return nil, err
	}
	return u.receipt(), nil
}

// unpacker is one run of Unpack.
type unpacker struct {
	bundle  *bundle.Bundle
	target  Target
	options UnpackOptions
	images  []*replay
	// users are, for each blob, the images that need it, in order.
	users map[digest.Digest][]*replay
	// known says which blobs are in which repositories.
	known *presence

	mu      sync.Mutex
	counts  BlobCounts
	damaged map[string]bool
}

// replay is one image on its way.
type replay struct {
	image bundle.Image
	to    Destination
	graph *bundle.Graph
	// The rest is guarded by unpacker.mu.
	waiting int // blobs whose turn has not come
	sent    bool
	present bool
	// replaced is what the tag named before; empty when nothing or the same.
	replaced digest.Digest
	lacks    []Lack
	damaged  bool
}

func newUnpacker(b *bundle.Bundle, target Target, o UnpackOptions) (*unpacker, error) {
	plan := b.Prologue.Plan()
	destinations, err := Destinations(plan, o.To, o.Naming)
	if err != nil {
		return nil, err
	}
	u := &unpacker{
		bundle: b, target: target, options: o, known: newPresence(),
		users: make(map[digest.Digest][]*replay), damaged: make(map[string]bool),
	}
	for i, image := range plan.Images {
		g, err := b.Prologue.Graph(image)
		if err != nil {
			return nil, err
		}
		r := &replay{image: image, to: destinations[i], graph: g, waiting: len(g.Blobs)}
		for _, blob := range g.Blobs {
			u.users[blob.Digest] = append(u.users[blob.Digest], r)
		}
		u.images = append(u.images, r)
	}
	return u, nil
}

// run takes the blobs in the order of the volumes, several at a time but begun
// in order, and completes each image behind its last blob.
func (u *unpacker) run(ctx context.Context) error {
	readers := u.options.Jobs
	if u.options.Sequential {
		readers = 1
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Not the groups' own contexts: those end with the first group, while
	// images are still being completed.
	var blobs, images errgroup.Group
	blobs.SetLimit(readers)
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
		if r.waiting == 0 {
			complete(r)
		}
	}
	for _, b := range inVolumeOrder(u.bundle.Prologue.Plan()) {
		if len(u.users[b.Digest]) == 0 {
			continue
		}
		if ctx.Err() != nil {
			break
		}
		blobs.Go(func() error {
			ready, err := u.blob(ctx, b)
			for _, r := range ready {
				complete(r)
			}
			return stopOn(err)
		})
	}
	_, _ = blobs.Wait(), images.Wait() // the cause says more
	return context.Cause(ctx)
}

// blob brings one blob into the repository of the first image that needs it, and
// returns the images that waited for nothing else.
func (u *unpacker) blob(ctx context.Context, b *bundle.Blob) ([]*replay, error) {
	users := u.users[b.Digest]
	repository := users[0].to.Repository
	has, err := u.target.HasBlob(ctx, repository, b.Descriptor())
	if err != nil {
		return nil, &BlobError{Digest: b.Digest, Where: repository, Image: users[0].image.Reference, Err: err}
	}
	var lack *Lack
	if has {
		u.count(func(c *BlobCounts) { c.Present++ })
		tell(u.options.Progress, Event{Kind: BytesSkipped, Bytes: b.Size})
	} else {
		err := u.push(ctx, repository, b)
		if lack = u.lacking(b, err); lack == nil && err != nil {
			return nil, &BlobError{Digest: b.Digest, Where: repository, Image: users[0].image.Reference, Err: err}
		}
		if lack == nil {
			u.count(func(c *BlobCounts) { c.Pushed++; c.PushedBytes += b.Size })
		}
	}
	if lack == nil {
		u.known.add(repository, b.Digest)
	}
	return u.settle(users, lack, !has), nil
}

// push sends a blob from the media; where there are several copies of a volume
// and one is damaged, from the others.
func (u *unpacker) push(ctx context.Context, repository string, b *bundle.Blob) (err error) {
	counted := &countingReader{progress: u.options.Progress}
	takeBack := func() {
		tell(u.options.Progress, Event{Kind: BytesMoved, Bytes: -counted.n})
		counted.n = 0
	}
	for nth := range max(1, u.bundle.Copies(b)) {
		err = u.target.PushBlob(ctx, repository, b.Descriptor(), func(ctx context.Context) (io.ReadCloser, error) {
			takeBack() // what an attempt before this one read
			r, err := u.bundle.Blob(ctx, b, nth)
			if err != nil {
				return nil, err
			}
			counted.r = r
			return struct {
				io.Reader
				io.Closer
			}{counted, r}, nil
		})
		if damage := (*bundle.DamageError)(nil); !errors.As(err, &damage) {
			break
		}
	}
	if err != nil {
		takeBack()
	}
	return err
}

// lacking says what an error means for the images: nil when it is not about the
// media.
func (u *unpacker) lacking(b *bundle.Blob, err error) *Lack {
	var damage *bundle.DamageError
	var missing *bundle.MissingVolumeError
	switch {
	case errors.As(err, &missing):
		return &Lack{Digest: b.Digest, Reason: missing.Error(), Volumes: missing.Numbers, missing: true}
	case errors.As(err, &damage):
		u.mu.Lock()
		defer u.mu.Unlock()
		u.damaged[damage.File] = true
		return &Lack{Digest: b.Digest, Reason: damage.Error(), Volumes: b.VolumesOf()}
	}
	return nil
}

// settle notes for all users that the blob's turn is over.
func (u *unpacker) settle(users []*replay, lack *Lack, sent bool) (ready []*replay) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, r := range users {
		r.waiting--
		if lack != nil {
			r.lacks = append(r.lacks, *lack)
			r.damaged = r.damaged || !lack.missing
		}
		r.sent = r.sent || sent && lack == nil
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

func (u *unpacker) receipt() *Receipt {
	plan := u.bundle.Prologue.Plan()
	receipt := &Receipt{
		Version: 1, Bundle: u.bundle.BundleID, Name: plan.Name, Plan: u.bundle.PlanID,
		Blobs: u.counts, MissingVolumes: u.bundle.Missing(), Images: []ReceiptImage{},
	}
	for _, d := range u.bundle.Damage {
		if bundle.IsVolumeName(d.File) {
			u.damaged[d.File] = true
		}
	}
	for file := range u.damaged {
		receipt.DamagedVolumes = append(receipt.DamagedVolumes, file)
	}
	slices.Sort(receipt.DamagedVolumes)
	for _, r := range u.images {
		state := ImagePushed
		switch {
		case r.damaged:
			state = ImageDamaged
		case len(r.lacks) > 0:
			state = ImageMissing
		case r.present:
			state = ImagePresent
		}
		receipt.Images = append(receipt.Images, ReceiptImage{
			Destination: r.to.String(), Digest: r.image.Root.Digest, Reference: r.image.Reference,
			State: state, Lacks: r.lacks, Replaced: r.replaced,
		})
	}
	return receipt
}
