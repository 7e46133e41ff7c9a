package site

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// mapping writes SRC=DST for each tag of each image, as oc adm catalog mirror
// writes it and oc image mirror -f reads it (openshift/oc,
// pkg/cli/image/mirror/mappings.go): SRC as it was asked for, by digest alone if
// it has one; DST always with a tag, since two DST without one may not share a
// repository. What has no tag at the site gets digest-<hex>, as unpack names
// what was asked for by digest.
//
// Each DST stands once. What is its own source is left out; what has no source
// that could be pulled is a comment.
func mapping(images []Image) ([]byte, error) {
	type origin struct {
		line   string
		digest digest.Digest
	}
	lines := make(map[string]origin) // by destination
	for _, image := range images {   // in order: of two sources the first is kept
		tags := image.Tags
		if len(tags) == 0 {
			tags = []string{"digest-" + image.Digest.Encoded()}
		}
		for _, tag := range tags {
			destination := image.Repository + ":" + tag
			if other, ok := lines[destination]; ok {
				if other.digest != image.Digest {
					return nil, fmt.Errorf("image %s has the digest %s, but %s would be both it and %s", image.Source, image.Digest, destination, other.digest)
				}
				continue
			}
			source := image.Source
			if source.Digest != "" {
				source.Tag = ""
			}
			line := source.String() + "=" + destination
			switch {
			case unknownOrigin(image.Source):
				line = "# origin unknown: " + line
			case image.Source.Repository == image.Repository && image.Source.Tag == tag:
				line = ""
			}
			lines[destination] = origin{line, image.Digest}
		}
	}
	var sorted []string
	for o := range maps.Values(lines) {
		if o.line != "" {
			sorted = append(sorted, o.line+"\n")
		}
	}
	slices.Sort(sorted)
	return []byte(strings.Join(sorted, "")), nil
}
