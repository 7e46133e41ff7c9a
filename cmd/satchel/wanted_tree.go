package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
	"satchel/oci/ocdir"
	"satchel/oci/registry"
	"satchel/oci/release/signature"
	"satchel/transfer"
)

// fileTransport begins references into a directory that oc mirrored to.
const fileTransport = "file://"

// unknownHost stands for the registry of images of which a directory of oc does
// not tell where they came from. No mirror can stand in for it.
const unknownHost = "localhost"

// defaultReleases is where release images come from if nothing says otherwise, as
// oc has it.
const defaultReleases = "quay.io/openshift-release-dev/ocp-release"

// openTree opens --from-dir; an empty dir is none.
func (w *wantedImages) openTree(dir string) error {
	if dir == "" {
		return nil
	}
	tree, err := ocdir.Open(dir)
	if err != nil {
		return fmt.Errorf("--from-dir: %w", err)
	}
	w.tree, w.closers = tree, append(w.closers, tree)
	repositories, err := tree.Repositories()
	if err != nil {
		return fmt.Errorf("--from-dir: %w", err)
	}
	for _, name := range repositories {
		w.addLocal(treeLabel(name), tree.Repository(name))
	}
	return nil
}

func treeLabel(repository string) string { return "oc-dir/" + repository }

// addRelease reads --release.
func (w *wantedImages) addRelease(s string) error {
	if strings.HasPrefix(s, fileTransport) {
		return usagef("--release %s: name it as an image; what is a release is seen", s)
	}
	if !strings.Contains(s, "/") {
		return usagef("--release %s: name the release image, as in %s:4.16.3-x86_64, or use --release-channel", s, defaultReleases)
	}
	ref, err := registry.ParseReference(s)
	if err != nil {
		return &usageError{err}
	}
	w.releases = append(w.releases, transfer.Wanted{Name: ref})
	return nil
}

// addTagged reads file://REPOSITORY[:GLOB][=REPOSITORY]. Without a name, images
// get one under localhost: the directory does not say where they came from.
func (w *wantedImages) addTagged(s string) error {
	if w.tree == nil {
		return usagef("%s: file:// is read from the directory that oc mirrored to: name it with --from-dir", s)
	}
	pattern, as, named := strings.Cut(s, "=")
	tagged, err := w.tree.Expand(pattern)
	if err != nil {
		return err
	}
	for _, t := range tagged {
		name := oci.Reference{Repository: unknownHost + "/" + t.Repository, Tag: t.Tag}
		if named {
			ref, err := registry.ParseReference(as + ":tag")
			if err != nil || ref.Digest != "" {
				return usagef("%s: %q is not a repository", s, as)
			}
			name.Repository = ref.Repository
		}
		if t.Tag == "" {
			name.Digest = t.Digest
		}
		w.images = append(w.images, localImage(t, name))
	}
	return nil
}

func localImage(t ocdir.Tagged, name oci.Reference) transfer.Wanted {
	entry := t.Tag
	if entry == "" {
		entry = string(t.Digest)
	}
	return transfer.Wanted{Name: name, Local: treeLabel(t.Repository), Entry: entry, Root: t.Digest}
}

// findReleases tells the release images among those of the tree from the others.
// The components of a release come with it, under the names that its payload has.
func (w *wantedImages) findReleases(ctx context.Context, out *output) error {
	if w.tree == nil {
		return nil
	}
	if found := w.leftovers(); len(found) > 0 {
		out.message("passed over in the directory: %s", found[0])
		if len(found) > 1 {
			out.message("and %s like it", count(len(found)-1, "file"))
		}
	}
	signed := w.signedNames(out)
	sources := transfer.Sources{Layouts: w.layouts}
	var others []transfer.Wanted
	for _, image := range w.images {
		if !strings.HasPrefix(image.Local, treeLabel("")) {
			others = append(others, image)
			continue
		}
		is, d, err := transfer.IsRelease(ctx, sources, image)
		if errors.Is(err, fs.ErrNotExist) || err != nil && !is && ctx.Err() == nil {
			// Whatever is wrong with it is said when it is read.
			others = append(others, image)
			continue
		}
		if err != nil {
			return err
		}
		if !is {
			others = append(others, image)
			continue
		}
		if image.Name.Host() == unknownHost {
			image.Name.Repository = defaultReleases
			if known, ok := signed[d]; ok {
				image.Name = known
			} else {
				out.message("%s is taken for one of %s: the directory does not say where it came from", image.Name, defaultReleases)
			}
		}
		w.releases = append(w.releases, image)
	}
	w.images = others
	return nil
}

// dropParts leaves out of the images of the tree what comes with a release anyway,
// which then goes where a mapping says, and attaches signatures to what they sign.
func (w *wantedImages) dropParts(releases []*transfer.Release) {
	if w.tree == nil {
		return
	}
	parts := make(map[digest.Digest]*transfer.Wanted)
	for _, r := range releases {
		for i := range r.Images {
			parts[r.Images[i].Root] = &r.Images[i]
		}
	}
	w.images = slices.DeleteFunc(w.images, func(image transfer.Wanted) bool {
		part := parts[image.Root]
		if part == nil || !strings.HasPrefix(image.Local, treeLabel("")) {
			return false
		}
		all := slices.Clone(part.Destinations)
		for _, destination := range image.Destinations {
			if !slices.Contains(all, destination) {
				all = append(all, destination)
			}
		}
		if bundle.CheckDestinations(all) != nil {
			return false // an image has one repository; this goes to another
		}
		part.Destinations = all
		return true
	})
	for i := range w.images {
		tag := w.images[i].Name.Tag
		for _, suffix := range []string{".sig", ".att", ".sbom"} {
			hex, ok := strings.CutSuffix(tag, suffix)
			if part := parts[digest.Digest(strings.Replace(hex, "sha256-", "sha256:", 1))]; ok && part != nil {
				w.images[i].AttachedTo = part.Name.String()
			}
		}
	}
}

func (w *wantedImages) leftovers() []ocdir.Leftover {
	found, err := w.tree.Leftovers()
	if err != nil {
		return nil // which reading what is wanted will say
	}
	return found
}

// signedNames are the names that signatures in the tree state, by digest; they
// are a hint only.
func (w *wantedImages) signedNames(out *output) map[digest.Digest]oci.Reference {
	names := make(map[digest.Digest]oci.Reference)
	signatures, errs := w.tree.Signatures()
	for _, err := range errs {
		out.message("warning: %v", err)
	}
	for _, s := range signatures {
		for _, raw := range s.Raw {
			of, stated, err := signature.Claim(raw)
			if err != nil || of != s.Digest {
				continue
			}
			if ref, err := registry.ParseReference(stated); err == nil {
				names[s.Digest] = ref
			}
		}
	}
	return names
}

// treeStore is the signatures that came with the tree.
func (w *wantedImages) treeStore() *treeSignatures {
	found, _ := w.tree.Signatures() // what is wrong was said
	t := &treeSignatures{raws: make(map[digest.Digest][][]byte)}
	for _, s := range found {
		t.raws[s.Digest] = append(t.raws[s.Digest], s.Raw...)
	}
	return t
}

// treeSignatures is a store of what a directory of oc has.
type treeSignatures struct{ raws map[digest.Digest][][]byte }

// Signature implements [signature.Store].
func (t *treeSignatures) Signature(_ context.Context, d digest.Digest, n int) ([]byte, error) {
	if raws := t.raws[d]; n >= 1 && n <= len(raws) {
		return raws[n-1], nil
	}
	return nil, fmt.Errorf("signature %d of %s: %w", n, d, fs.ErrNotExist)
}

// addMapping reads a file of mappings.
func (w *wantedImages) addMapping(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("mapping: %w", err)
	}
	defer f.Close() // opened for reading
	mappings, err := ocdir.ParseMapping(f, name)
	if err != nil {
		return &usageError{err}
	}
	// They lose their registries, so that they may fall together.
	sources, paths := w.mapped()
	for _, m := range mappings {
		from := len(w.images)
		if err := w.add(m.Source); err != nil {
			return usagef("%s, line %d: %w", name, m.Line, err)
		}
		for i := range w.images[from:] {
			image := &w.images[from+i]
			destination, err := mappedTo(m.Destination, image, len(w.images)-from)
			if err != nil {
				return usagef("%s, line %d: %w", name, m.Line, err)
			}
			source := image.Name.String()
			path, _, _ := strings.Cut(destination, ":")
			if other := cmp.Or(sources[destination], source); other != source {
				return usagef("%s, line %d: %s and %s would both be %s at the site", name, m.Line, other, source, destination)
			}
			if other := cmp.Or(paths[source], path); other != path {
				return usagef("%s, line %d: %s goes to %s already: within a bundle an image has one repository, and not %s too",
					name, m.Line, source, other, path)
			}
			sources[destination], paths[source] = source, path
			image.Destinations = []string{destination}
		}
	}
	return nil
}

// mapped are the sources by destination and the paths of destinations by source,
// of the images that have destinations by now.
func (w *wantedImages) mapped() (sources, paths map[string]string) {
	sources, paths = make(map[string]string), make(map[string]string)
	for _, image := range w.images {
		for _, destination := range image.Destinations {
			source := image.Name.String()
			sources[destination] = source
			paths[source], _, _ = strings.Cut(destination, ":")
		}
	}
	return sources, paths
}

// mappedTo returns PATH:TAG of a destination, which loses its registry: --to
// names that at the site.
func mappedTo(destination string, image *transfer.Wanted, images int) (string, error) {
	destination = strings.TrimPrefix(destination, "docker://")
	i := strings.LastIndexByte(destination, ':')
	repository, tag := destination, ""
	if i > strings.LastIndexByte(destination, '/') {
		repository, tag = destination[:i], destination[i+1:]
	}
	switch {
	case tag != "" && images > 1:
		return "", fmt.Errorf("%s has a tag, and several images would get it", destination)
	case tag == "" && image.Name.Tag != "":
		tag = image.Name.Tag
	case tag == "":
		tag = transfer.DigestTag(image.Name.Digest)
	}
	_, path, ok := strings.Cut(repository, "/")
	place := path + ":" + tag
	if ref, err := oci.SplitReference(unknownHost + "/" + place); !ok || err != nil || ref.Digest != "" {
		return "", fmt.Errorf("%s is not HOST/PATH[:TAG]", destination)
	}
	return place, nil
}
