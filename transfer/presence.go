package transfer

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/singleflight"

	"satchel/oci"
)

// freshFor is how long it is believed that a blob is in a repository: registries
// collect what no tag reaches, Quay after an hour.
const freshFor = 10 * time.Minute

// presence remembers which blobs are in which repositories of the target, and
// since when that is known.
type presence struct {
	now   func() time.Time
	group singleflight.Group

	mu    sync.Mutex
	where map[digest.Digest][]sighting
}

// sighting is a blob in a repository.
type sighting struct {
	repository string
	at         time.Time
	brought    bool // by this run
}

func newPresence(now func() time.Time) *presence {
	return &presence{now: now, where: make(map[digest.Digest][]sighting)}
}

// add notes that the blob was in the repository at that time.
func (p *presence) add(repository string, d digest.Digest, at time.Time, brought bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.find(repository, d); s != nil {
		s.at, s.brought = at, s.brought || brought
		return
	}
	p.where[d] = append(p.where[d], sighting{repository, at, brought})
}

// find returns what is known; the caller holds mu.
func (p *presence) find(repository string, d digest.Digest) *sighting {
	all := p.where[d]
	for i := range all {
		if all[i].repository == repository {
			return &all[i]
		}
	}
	return nil
}

// fresh reports whether the blob is known to be in the repository.
func (p *presence) fresh(repository string, d digest.Digest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.find(repository, d)
	return s != nil && p.now().Sub(s.at) < freshFor
}

// seen reports whether the blob was in the repository, and brought whether this
// run brought it there.
func (p *presence) seen(repository string, d digest.Digest) (seen, brought bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.find(repository, d)
	return s != nil, s != nil && s.brought
}

// doubt makes the blob be asked for again: it may not be there although the target
// said so.
func (p *presence) doubt(repository string, d digest.Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.find(repository, d); s != nil {
		s.at = time.Time{}
	}
}

// doubted reports whether it was.
func (p *presence) doubted(repository string, d digest.Digest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.find(repository, d)
	return s != nil && s.at.IsZero()
}

// forget takes back that the blob is in the repository.
func (p *presence) forget(repository string, d digest.Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.where[d] = slices.DeleteFunc(p.where[d], func(s sighting) bool { return s.repository == repository })
}

// others returns the other repositories that have the blob, the latest first.
func (p *presence) others(repository string, d digest.Digest) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := slices.Clone(p.where[d])
	slices.SortStableFunc(all, func(a, b sighting) int { return b.at.Compare(a.at) })
	var names []string
	for _, s := range all {
		if s.repository != repository {
			names = append(names, s.repository)
		}
	}
	return names
}

// ask asks the target for a blob, and notes the answer. A yes is believed only
// when the first byte can be had: some registries answer HEAD from a memory that
// outlives the blob. doubt is why a yes was not believed.
func (u *unpacker) ask(ctx context.Context, repository string, d oci.Descriptor) (has bool, doubt, err error) {
	at := u.known.now()
	has, err = u.target.HasBlob(ctx, repository, d)
	if err != nil {
		return false, nil, err
	}
	if has {
		doubt = u.readFirst(ctx, repository, d)
		if err := ctx.Err(); err != nil {
			return false, nil, err
		}
	}
	if !has || doubt != nil {
		u.known.forget(repository, d.Digest)
		return false, doubt, nil
	}
	if seen, _ := u.known.seen(repository, d.Digest); !seen {
		u.count(func(c *BlobCounts) { c.Present++ })
	}
	u.known.add(repository, d.Digest, at, false)
	return true, nil, nil
}

var errDoubted = errors.New("it is empty, so that cannot be checked")

// readFirst reads the first byte of a blob of the target.
func (u *unpacker) readFirst(ctx context.Context, repository string, d oci.Descriptor) error {
	if d.Size == 0 {
		if u.known.doubted(repository, d.Digest) {
			return errDoubted
		}
		return nil
	}
	r, _, err := u.target.Blob(ctx, repository, d, 0, 1)
	if err != nil {
		return err
	}
	_, err = io.ReadFull(r, make([]byte, 1))
	return closeWith(err, r)
}

// seek looks for a blob in the repositories of images that need it, but for one
// where it is known not to be. A target that does not answer there has it not.
func (u *unpacker) seek(ctx context.Context, users []*replay, d oci.Descriptor, without string) bool {
	asked := map[string]bool{without: true}
	for _, r := range users {
		if repository := r.to.Repository; !asked[repository] {
			asked[repository] = true
			if has, _, err := u.ask(ctx, repository, d); has && err == nil {
				tell(u.options.Progress, Event{Kind: BytesSkipped, Bytes: d.Size})
				return true
			}
		}
	}
	return false
}
