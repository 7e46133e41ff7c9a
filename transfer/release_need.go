package transfer

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// ReleaseNeed is what one release takes.
type ReleaseNeed struct {
	*PlannedRelease
	// Images is the number of its images, aliases once, with what is attached to
	// them.
	Images int
	// Bytes is the size of its blobs together, Shared that of those which other
	// releases of the plan need too.
	Bytes, Shared int64
}

// ReleaseNeeds says for each release of the plan, in their order, what it needs.
func ReleaseNeeds(prologue *bundle.Prologue) ([]ReleaseNeed, error) {
	plan := prologue.Plan()
	releases, err := Releases(plan)
	if err != nil {
		return nil, err
	}
	byReference := make(map[string]bundle.Image, len(plan.Images))
	attached := make(map[string][]bundle.Image)
	for _, image := range plan.Images {
		byReference[image.Reference] = image
		if image.AttachedTo != "" {
			attached[image.AttachedTo] = append(attached[image.AttachedTo], image)
		}
	}
	users := make(map[digest.Digest][]int) // indexes of releases
	needs := make([]ReleaseNeed, len(releases))
	for i, r := range releases {
		needs[i].PlannedRelease = r
		references := []string{r.Reference}
		for _, c := range r.Payload.Components {
			references = append(references, c.Image.String())
		}
		slices.Sort(references)
		for _, reference := range slices.Compact(references) {
			image, ok := byReference[reference]
			if !ok {
				continue // the source does not have it
			}
			for _, part := range append([]bundle.Image{image}, attached[reference]...) {
				graph, err := prologue.Graph(part)
				if err != nil {
					return nil, err
				}
				needs[i].Images++
				for _, b := range graph.Blobs {
					if n := len(users[b.Digest]); n == 0 || users[b.Digest][n-1] != i {
						users[b.Digest] = append(users[b.Digest], i)
					}
				}
			}
		}
	}
	for d, all := range users {
		size := prologue.Blob(d).Size
		for _, i := range all {
			needs[i].Bytes += size
			if len(all) > 1 {
				needs[i].Shared += size
			}
		}
	}
	return needs, nil
}
