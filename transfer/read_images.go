package transfer

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
)

// AbsentError says that the source does not have images, or parts of them.
type AbsentError struct {
	// Images are their references, with the operators that need them, in their
	// order; Errs says of each what is not there.
	Images []string
	Errs   []error
}

func (e *AbsentError) Error() string {
	if len(e.Images) == 1 {
		return fmt.Sprintf("image %s: %v", e.Images[0], e.Errs[0])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the source does not have %d images:", len(e.Images))
	for i, image := range e.Images {
		fmt.Fprintf(&b, "\n  %s: %v", image, e.Errs[i])
	}
	return b.String()
}

func (e *AbsentError) Unwrap() []error { return e.Errs }

// readImages reads the manifests of the images, many side by side. Of those that
// the source does not have, it reads all others first: people want to know of all
// at once.
func readImages(ctx context.Context, images []*image, o SelectOptions) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Jobs)
	for _, img := range images {
		g.Go(func() error {
			err := img.read(ctx)
			if err != nil && isAbsence(img.origin(), err) {
				img.gone = err
				return nil
			}
			if err != nil {
				return fmt.Errorf("image %s: %w", img.called(), err)
			}
			tell(o.Progress, Event{Kind: ImageResolved, Image: img.wanted.Name.String(), Digest: img.root.Digest})
			return nil
		})
	}
	if err := g.Wait(); err != nil || o.SkipMissing {
		return err
	}
	absent := &AbsentError{}
	for _, img := range images {
		if img.gone != nil {
			absent.Images, absent.Errs = append(absent.Images, img.called()), append(absent.Errs, img.gone)
		}
	}
	if len(absent.Images) == 0 {
		return nil
	}
	return absent
}
