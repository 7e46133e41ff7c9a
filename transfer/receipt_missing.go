package transfer

import (
	"satchel/bundle"
	"satchel/oci"
)

// MissingImage is an image of which the bundle has nothing, since the source did
// not have it when the plan was made.
type MissingImage struct {
	// Destination is where it would be; empty where nothing can be said of that.
	Destination string `json:"destination,omitempty"`
	Reference   string `json:"reference"`
	// Part is what it is of a release, as [bundle.Image.Part] says it.
	Part string `json:"part,omitempty"`
	// Reason is that of the plan.
	Reason string `json:"reason"`
	// Tags are those that it would have beside the one in Destination.
	Tags []string `json:"tags,omitempty"`
}

// missingImages returns the images that the plan has not at all, each once.
func missingImages(plan *bundle.Plan, names Names) []MissingImage {
	there := make(map[string]bool, len(plan.Images))
	for _, image := range plan.Images {
		there[image.Reference] = true
	}
	// They are named beside the others, which have a say in that.
	beside := &bundle.Plan{Attached: plan.Attached, Blobs: plan.Blobs, Images: plan.Images[:len(plan.Images):len(plan.Images)]}
	var missing []MissingImage
	for _, m := range plan.Missing {
		if m.Digest != "" || there[m.Image] {
			continue
		}
		there[m.Image] = true
		image := bundle.Image{Reference: m.Image, Part: m.Part, Destinations: m.Destinations}
		if ref, err := oci.SplitReference(m.Image); err == nil {
			image.Root.Digest = ref.Digest
		}
		beside.Images = append(beside.Images, image)
		missing = append(missing, MissingImage{Reference: m.Image, Part: image.Part, Reason: m.Reason})
	}
	if len(missing) == 0 {
		return nil
	}
	destinations, err := Destinations(beside, names)
	if err != nil {
		return missing // two of one name: the top-up will say so
	}
	for i, d := range destinations[len(plan.Images):] {
		if missing[i].Destination = d.String(); len(d.Tags) > 1 {
			missing[i].Tags = d.Tags[1:]
		}
	}
	return missing
}
