package site

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"satchel/oci"
	"satchel/transfer/nodeconf"
)

// entry is one source with its mirrors in the order in which they
// are tried. The names are those of all mirror sets and of install-config.yaml.
type entry struct {
	Mirrors []string `yaml:"mirrors"`
	// Policy is set in the kinds of mirror sets that know it.
	Policy nodeconf.SourcePolicy `yaml:"mirrorSourcePolicy,omitempty"`
	Source string                `yaml:"source"`
}

// Hosts of images whose origin is not known: nothing at a site can ask for
// them by that name.
const (
	hostLocal = "localhost"
	hostFile  = "file.invalid"
)

func unknownOrigin(source oci.Reference) bool {
	return source.Host() == hostLocal || source.Host() == hostFile
}

// places are the repositories at the site that hold images of one source, in
// three ranks. Within a rank their order is their names'.
type places [3]map[string]bool

const (
	ofComponents = iota // of releases
	ofReleases
	ofOthers
)

type placesBySource map[string]*places

func (p placesBySource) add(source oci.Reference, rank int, repository string) {
	if unknownOrigin(source) {
		return
	}
	at := p[source.Repository]
	if at == nil {
		at = new(places)
		p[source.Repository] = at
	}
	if at[rank] == nil {
		at[rank] = make(map[string]bool)
	}
	at[rank][repository] = true
}

// sources returns the mirrors for pulls by digest, and those for pulls by tag,
// both sorted by source, always with repositories as scope.
//
// The sources of a release are the repositories of its components and that of
// the release image; each has both the component repository and the release
// repository as mirrors, as openshift/oc, pkg/cli/admin/release/mirror.go lists
// --to and --to-release-image. Releases are pulled by digest whatever they were
// asked for by.
func sources(b Bundle, also []string) (digests, tags []entry, err error) {
	byDigest, byTag := make(placesBySource), make(placesBySource)
	for _, r := range b.Releases {
		from := []oci.Reference{r.Source}
		for _, c := range r.Payload.Components {
			from = append(from, c.Image)
		}
		for _, source := range from {
			byDigest.add(source, ofComponents, r.ComponentRepository)
			byDigest.add(source, ofReleases, r.Repository)
		}
	}
	for _, image := range b.Images {
		switch {
		case image.Attachment:
		case image.Release || image.Source.Digest != "":
			byDigest.add(image.Source, ofOthers, image.Repository)
		default:
			byTag.add(image.Source, ofOthers, image.Repository)
		}
	}
	if digests, err = byDigest.entries(b.To, also); err != nil {
		return nil, nil, err
	}
	tags, err = byTag.entries(b.To, also)
	return digests, tags, err
}

// entries leaves out mirrors that are their own source, and sources that have
// no other.
func (p placesBySource) entries(to string, also []string) ([]entry, error) {
	var entries []entry
	for _, source := range slices.Sorted(maps.Keys(p)) {
		var here []string
		for _, rank := range p[source] {
			here = append(here, slices.Sorted(maps.Keys(rank))...)
		}
		all := here
		for _, prefix := range also {
			for _, repository := range here {
				path, ok := strings.CutPrefix(repository, to+"/")
				if !ok {
					return nil, fmt.Errorf("repository %s is not below %s: its place at %s is not known", repository, to, prefix)
				}
				if err := oci.CheckRepository(prefix + "/" + path); err != nil {
					return nil, err
				}
				all = append(all[:len(all):len(all)], prefix+"/"+path)
			}
		}
		e := entry{Source: source}
		for _, mirror := range all {
			if mirror != source && !slices.Contains(e.Mirrors, mirror) {
				e.Mirrors = append(e.Mirrors, mirror)
			}
		}
		if len(e.Mirrors) != 0 {
			entries = append(entries, e)
		}
	}
	return entries, nil
}
