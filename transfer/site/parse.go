package site

import (
	"errors"
	"fmt"
	"slices"

	"satchel/oci"
	"satchel/transfer/exported"
	"satchel/transfer/nodeconf"
)

// MaxMirrorSets bounds a file of mirror sets in bytes.
const MaxMirrorSets = 16 << 20

// Redirects say where repositories are mirrored.
type Redirects []Redirect

// Redirect is one entry of a mirror set.
type Redirect struct {
	// Source is a repository or what begins its name, HOST[:PORT][/PATH], or
	// *.HOST.
	Source string
	// Mirrors are tried in their order.
	Mirrors []string
}

// ParseMirrorSets reads the entries of the ImageDigestMirrorSets,
// ImageTagMirrorSets and ImageContentSourcePolicies in a YAML file of several
// documents, or of lists as oc get -o yaml writes them, in their order. Documents
// of other kinds are passed over; a file without any of these is an error.
func ParseMirrorSets(data []byte) (Redirects, error) {
	resources, err := exported.Resources(data, MaxMirrorSets)
	if err != nil {
		return nil, err
	}
	var all Redirects
	found := false
	for _, r := range resources {
		switch r.Kind {
		case "ImageDigestMirrorSet", "ImageTagMirrorSet", "ImageContentSourcePolicy":
		default:
			continue
		}
		found = true
		var content mirrorSetContent
		if err := r.Decode(&content); err != nil {
			return nil, err
		}
		all = slices.Concat(all, content.Spec.Digests, content.Spec.Tags, content.Spec.Policies)
	}
	if !found {
		return nil, errors.New("no ImageDigestMirrorSet, ImageTagMirrorSet or ImageContentSourcePolicy is in it")
	}
	for _, r := range all {
		if r.Source == "" || len(r.Mirrors) == 0 {
			return nil, fmt.Errorf("an entry with source %.80q has no source or no mirrors", r.Source)
		}
	}
	return all, nil
}

type mirrorSetContent struct {
	Spec struct {
		Digests  Redirects `yaml:"imageDigestMirrors"`
		Tags     Redirects `yaml:"imageTagMirrors"`
		Policies Redirects `yaml:"repositoryDigestMirrors"`
	} `yaml:"spec"`
}

// Repositories returns where a repository is mirrored, in order and without
// itself: by the entries whose source is the longest that fits, as nodes do it.
func (r Redirects) Repositories(repository string) []string {
	longest := -1
	var mirrors []string
	for _, entry := range r {
		rest, ok := nodeconf.Below(repository, entry.Source)
		if !ok || len(entry.Source) < longest {
			continue
		}
		if len(entry.Source) > longest {
			longest, mirrors = len(entry.Source), nil
		}
		for _, m := range entry.Mirrors {
			if name := m + rest; name != repository && oci.CheckRepository(name) == nil && !slices.Contains(mirrors, name) {
				mirrors = append(mirrors, name)
			}
		}
	}
	return mirrors
}
