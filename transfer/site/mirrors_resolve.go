package site

import (
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/transfer/nodeconf"
)

// Absent is what something in the bundle names and the bundle does not have.
type Absent struct {
	Pullspec string
	// Why it is not there; nothing is needed when it is Blocked.
	Why string
	// Blocked says that whoever packed the bundle kept it out.
	Blocked bool
}

// finding says that something would not be found under its name.
func (a Absent) finding() nodeconf.Finding {
	if a.Blocked {
		return nodeconf.Finding{Scope: a.Pullspec, Problem: "it was kept out (--block, blockedImages): what needs it will not run"}
	}
	return nodeconf.Finding{Scope: a.Pullspec, Problem: "it would not be found: " + a.Why, Remedy: "bring it with another bundle, or leave out what needs it"}
}

// unresolved finds what nodes would not get by its original name, or would get
// something else for: by the mirror sets as they are written, read back, and by the
// rules of nodes. What is attached to images is not looked for by name, catalogs are
// named where they are, and of images of unknown origin README.md has a list.
func unresolved(b Bundle, clusters []File) ([]nodeconf.Finding, error) {
	r := resolver{lies: make(map[string]lying), asked: make(map[string]bool)}
	for _, a := range b.Absent {
		r.find(a.finding())
	}
	r.note(b)
	var older, newer []File
	for _, f := range clusters {
		if f.Name == policyFile {
			older = append(older, f)
		} else {
			newer = append(newer, f)
		}
	}
	for _, form := range []struct {
		files []File
		tags  bool
	}{{newer, true}, {older, false}} {
		if !slices.ContainsFunc(form.files, isMirrorSet) {
			continue
		}
		written, err := writtenMirrors(form.files)
		if err != nil {
			return nil, err
		}
		if r.nodes, err = nodeconf.Merge(written); err != nil {
			return nil, fmt.Errorf("satchel: internal: mirror sets: %w", err)
		}
		r.tags = form.tags
		if err := r.resolveAll(b); err != nil {
			return nil, err
		}
		if r.tags {
			r.findMerged(b)
		}
	}
	return r.findings, nil
}

// isMirrorSet reports whether a file is one of mirror sets, be it empty.
func isMirrorSet(f File) bool {
	return f.Name == digestMirrorsFile || f.Name == tagMirrorsFile || f.Name == policyFile
}

// resolver looks for pullspecs in one form of mirror sets after the other.
type resolver struct {
	nodes *nodeconf.Nodes
	// tags says that the form has mirrors for tags.
	tags bool
	// lies are the images at the site, by name with tag.
	lies map[string]lying
	// asked are the pullspecs that were found not to be there, in whichever form.
	asked    map[string]bool
	findings []nodeconf.Finding
}

type lying struct {
	digest digest.Digest
	source oci.Reference
}

func (r *resolver) find(f nodeconf.Finding) {
	if !r.asked[f.Scope] {
		r.asked[f.Scope] = true
		r.findings = append(r.findings, f)
	}
}

func (r *resolver) note(b Bundle) {
	for _, image := range b.Images {
		for _, tag := range image.Tags {
			r.lies[image.Repository+":"+tag] = lying{image.Digest, image.Source}
		}
	}
	for _, c := range b.Catalogs {
		r.lies[c.reference()] = lying{c.Digest, c.Source}
	}
}

// resolveAll looks for all images, and for the components that are at the site from
// another bundle.
func (r *resolver) resolveAll(b Bundle) error {
	there := make(map[string]bool)
	for _, image := range b.Images {
		there[image.Source.String()] = true
		if image.Attachment || unknownOrigin(image.Source) {
			continue
		}
		if err := r.resolve(image); err != nil {
			return err
		}
	}
	for _, a := range b.Absent {
		there[a.Pullspec] = true
	}
	for _, release := range b.Releases {
		for _, c := range release.Payload.Components {
			if there[c.Image.String()] {
				continue
			}
			there[c.Image.String()] = true
			if err := r.resolve(Image{Source: c.Image, Digest: c.Image.Digest, Repository: release.ComponentRepository, Release: true}); err != nil {
				return err
			}
		}
	}
	return nil
}

// findMerged finds sources that are asked by tag and share a repository with another
// source's tags: of a tag that only the other one has here, nodes would get that.
func (r *resolver) findMerged(b Bundle) {
	tagged := make(map[string][]string) // sources by repository
	for _, image := range b.Images {
		if !image.Attachment && image.Source.Tag != "" && !slices.Contains(tagged[image.Repository], image.Source.Repository) {
			tagged[image.Repository] = append(tagged[image.Repository], image.Source.Repository)
		}
	}
	for _, image := range b.Images {
		source := image.Source.Repository
		if image.Attachment || image.Release || image.Source.Digest != "" || unknownOrigin(image.Source) || source == image.Repository {
			continue
		}
		others := slices.DeleteFunc(slices.Clone(tagged[image.Repository]), func(s string) bool { return s == source })
		if len(others) > 0 {
			r.find(nodeconf.Finding{
				Scope:   source,
				Problem: "of a tag that is not in this bundle nodes would get the image that " + list(others) + " has with that tag, since all of these lie in " + image.Repository,
				Remedy:  "keep them apart with --naming host, and join no more components than the registry demands",
			})
		}
	}
}

func (r *resolver) resolve(image Image) error {
	asked := image.Source
	if image.Release && asked.Digest == "" {
		asked = oci.Reference{Repository: asked.Repository, Digest: image.Digest} // as clusters ask for releases
	}
	fail := func(problem, remedy string) error {
		r.find(nodeconf.Finding{Scope: asked.String(), Problem: "it would not be found: " + problem, Remedy: remedy})
		return nil
	}
	here := image.Repository + "@" + string(image.Digest)
	if len(image.Tags) > 0 {
		here = image.Repository + ":" + image.Tags[0]
	}
	instead := "name " + here + " in what uses it"
	for _, place := range r.nodes.Places(asked) {
		if asked.Digest != "" {
			if place == image.Repository {
				return nil
			}
			continue
		}
		name := place + ":" + asked.Tag
		if l, ok := r.lies[name]; ok && l.digest == image.Digest {
			return nil
		} else if ok {
			return fail(fmt.Sprintf("nodes would get %s, which is there as %s", l.source, name), instead)
		}
	}
	switch {
	case !inCluster.MatchString(asked.Repository):
		return fail("the API of clusters takes no such name in mirror sets", instead)
	case !inCluster.MatchString(image.Repository):
		return fail("the API of clusters takes no mirror of such a name as "+image.Repository, "name the registry at the site by a host name")
	case asked.Digest == "" && !r.tags:
		return fail("clusters up to 4.12 have no mirrors for images by tag", "ask for it by digest, or "+instead)
	case asked.Digest == "" && !slices.Contains(image.Tags, asked.Tag):
		return fail("at the site it has another tag, "+here, instead)
	}
	return fmt.Errorf("satchel: internal: mirror sets do not lead %s to %s", asked, image.Repository)
}
