package transfer

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"satchel/bundle"
	"satchel/oci"
)

// LeanError says that a bundle leans on others which are not at the target.
type LeanError struct {
	// Bundles are those that are lacking, in the order of the plan.
	Bundles []LeanBundle
	// Where is the registry, with its prefix, that does not have them; empty for
	// targets that hold full names.
	Where string
	// Blobs is how many blobs are lacking, Images how many images need them.
	Blobs, Images int
	// Digest is one of these blobs, Image an image that needs it, and Reference
	// the image that it came with.
	Digest           digest.Digest
	Image, Reference string
}

// LeanBundle is a bundle on which another leans.
type LeanBundle struct {
	Name string
	// Bundle is the bundle ID, empty where it is not known; Plan the plan ID.
	Bundle, Plan digest.Digest
}

func (b LeanBundle) String() string {
	if b.Bundle == "" {
		return fmt.Sprintf("%s (plan %s)", b.Name, b.Plan)
	}
	return fmt.Sprintf("%s (bundle %s)", b.Name, b.Bundle)
}

func (e *LeanError) Error() string {
	names := make([]string, len(e.Bundles))
	for i, b := range e.Bundles {
		names[i] = b.String()
	}
	where := e.Where
	if where == "" {
		where = "the target"
	}
	return fmt.Sprintf("the bundle leans on %s: %d blobs that %d images need are not at %s, for example %s of %s, which came with %s",
		strings.Join(names, " and "), e.Blobs, e.Images, where, e.Digest, e.Image, e.Reference)
}

// askHeld looks at the target for the blobs that the bundle leaves out because
// the site has them. It returns a [*LeanError] when some are not there; with
// KeepGoing, the images that need these are left out.
func (u *unpacker) askHeld(ctx context.Context) error {
	plan := u.prologue.Plan()
	var held []*bundle.Blob
	for i := range plan.Blobs {
		if b := &plan.Blobs[i]; b.Held != 0 && len(u.wanting(b.Digest)) > 0 {
			held = append(held, b)
		}
	}
	found := make([]bool, len(held))
	g, groupCtx := errgroup.WithContext(ctx)
	g.SetLimit(u.options.Jobs)
	for i, b := range held {
		g.Go(func() (err error) {
			found[i], err = u.findHeld(groupCtx, b)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	lean := &LeanError{Where: u.options.To}
	images := make(map[*replay]bool)
	for i, b := range held {
		users := u.wanting(b.Digest)
		if found[i] {
			tell(u.options.Progress, Event{Kind: BytesSkipped, Bytes: b.Size})
			u.settle(users, nil)
			continue
		}
		image := plan.Held[b.Held-1]
		lean.add(image, b, users)
		for _, r := range users {
			images[r] = true
		}
		u.settle(users, []Lack{{Digest: b.Digest, cause: lackAtSource,
			Reason: fmt.Sprintf("it came with %s of %s, which is not here", image.Reference, LeanBundle{image.Name, image.Bundle, image.Plan})}})
	}
	if lean.Images = len(images); lean.Blobs == 0 || u.options.KeepGoing {
		return nil
	}
	return lean
}

// add counts a blob that is lacking.
func (e *LeanError) add(image bundle.HeldImage, b *bundle.Blob, users []*replay) {
	lacking := LeanBundle{Name: image.Name, Bundle: image.Bundle, Plan: image.Plan}
	if !slices.Contains(e.Bundles, lacking) {
		e.Bundles = append(e.Bundles, lacking)
	}
	if e.Blobs++; e.Blobs == 1 {
		e.Digest, e.Image, e.Reference = b.Digest, users[0].image.Reference, image.Reference
	}
}

// findHeld asks for a held blob wherever it may be: where the naming in force
// puts the image that it came with, where a receipt says that this is, and where
// the images that need it are.
func (u *unpacker) findHeld(ctx context.Context, b *bundle.Blob) (bool, error) {
	image := u.prologue.Plan().Held[b.Held-1]
	var elsewhere []string
	named := &bundle.Plan{Images: []bundle.Image{{Reference: image.Reference, Part: image.Part}}}
	if d, err := placed(named, u.options.names()); err == nil {
		elsewhere = append(elsewhere, d[0].Repository)
	}
	if u.sameHost(image.Repository) && !slices.Contains(elsewhere, image.Repository) {
		elsewhere = append(elsewhere, image.Repository)
	}
	for _, repository := range elsewhere {
		// There, it may not be allowed to look.
		if has, _, err := u.ask(ctx, repository, b.Descriptor()); has && err == nil {
			return true, nil
		}
	}
	for _, r := range u.users[b.Digest] {
		repository := r.to.Repository
		if slices.Contains(elsewhere, repository) {
			continue
		}
		elsewhere = append(elsewhere, repository)
		has, _, err := u.ask(ctx, repository, b.Descriptor())
		if err != nil {
			return false, &BlobError{Digest: b.Digest, Where: repository, Image: r.image.Reference, Err: err}
		}
		if has {
			return true, nil
		}
	}
	return false, ctx.Err()
}

// sameHost reports whether a repository is at the registry that is unpacked into:
// no other is asked.
func (u *unpacker) sameHost(repository string) bool {
	if repository == "" || u.options.To == "" {
		return repository != ""
	}
	to := oci.Reference{Repository: u.options.To}
	return oci.Reference{Repository: repository}.Host() == to.Host()
}
