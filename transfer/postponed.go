package transfer

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"satchel/bundle"
)

// postponed reports whether an image is completed after all others: a release
// image, with whose tag an update can begin, so that all that it names must be
// there; and what is attached, since a registry may say of what is attached to
// nothing that it does not know it.
func (r *replay) postponed() bool {
	return r.image.Part == bundle.PartRelease || r.image.AttachedTo != ""
}

// findComponents notes which images each release names.
func (u *unpacker) findComponents() error {
	releases, err := Releases(u.prologue.Plan())
	if err != nil {
		return err
	}
	byReference := make(map[string]*replay, len(u.images))
	for _, r := range u.images {
		byReference[r.image.Reference] = r
	}
	u.components = make(map[string][]*replay, len(releases))
	for _, release := range releases {
		var all []*replay
		for _, c := range release.Payload.Components {
			// What the source did not have was left out on purpose.
			if r := byReference[c.Image.String()]; r != nil && !slices.Contains(all, r) {
				all = append(all, r)
			}
		}
		u.components[release.Reference] = all
	}
	return nil
}

// completePostponed completes the release images whose components are all there,
// and then what is attached.
func (u *unpacker) completePostponed(ctx context.Context) error {
	for _, part := range []string{bundle.PartRelease, ""} {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(u.options.Jobs)
		for _, r := range u.images {
			if !r.postponed() || r.image.Part != part || !u.isReady(r) || u.waitsForComponents(r) {
				continue
			}
			g.Go(func() error { return u.completeNow(ctx, r) })
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

// isReady reports whether all blobs of an image that is not there yet were brought.
func (u *unpacker) isReady(r *replay) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return !r.done && r.waiting == 0 && len(r.lacks) == 0
}

// waitsForComponents reports whether a release image has to wait for components:
// then it lacks what they lack.
func (u *unpacker) waitsForComponents(r *replay) bool {
	var lacks []Lack
	waits := false
	u.mu.Lock()
	for _, c := range u.components[r.image.Reference] {
		waits = waits || !c.done
		lacks = append(lacks, c.lacks...)
	}
	u.mu.Unlock()
	if waits {
		u.leaveOut(r, lacks...)
	}
	return waits
}
