package ocdir

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// Tagged is an image that a tree names. Its manifest need not be there.
type Tagged struct {
	// Repository is the path of the repository, without a registry.
	Repository string
	// Tag is empty when the image was asked for by its digest alone.
	Tag    string
	Digest digest.Digest
}

// Expand returns the images that [file://[/]]REPOSITORY[:TAG|:GLOB][@DIGEST]
// names, sorted by tag, never none. In a tag * stands for any text; no tag means
// all tags, those of attachments (sha256-HEX.sig) too. A registry before the
// repository counts only if the tree has a directory of that name, since oc leaves
// it out. The error wraps [fs.ErrNotExist] when there is no such image, and names
// the file when a tag that the pattern names is neither a link to a digest nor a
// copy of a manifest that is there.
func (t *Tree) Expand(s string) ([]Tagged, error) {
	p, err := parsePattern(s)
	if err != nil {
		return nil, err
	}
	tagged, err := t.expand(p)
	if err != nil {
		return nil, fmt.Errorf("tree %s: %w", t.dir, err)
	}
	return tagged, nil
}

func (t *Tree) expand(p pattern) ([]Tagged, error) {
	name, err := t.locate(p)
	if err != nil {
		return nil, err
	}
	if p.digest != "" {
		if ok, err := t.has(name, p.digest); err != nil || !ok {
			return nil, cmp.Or(err, fmt.Errorf("repository %s has no %s: %w", name, p.digest, fs.ErrNotExist))
		}
		return []Tagged{{name, p.glob, p.digest}}, nil
	}
	if p.glob != "" && !strings.Contains(p.glob, "*") {
		d, err := t.tag(name, p.glob)
		if err != nil {
			return nil, err
		}
		return []Tagged{{name, p.glob, d}}, nil
	}
	tags, err := t.tags(name)
	if err != nil {
		return nil, err
	}
	var tagged []Tagged
	for _, tag := range tags {
		if !matches(p.glob, tag) {
			continue
		}
		d, err := t.tag(name, tag)
		if errors.Is(err, errDigestFile) {
			continue
		}
		if err != nil {
			return nil, err
		}
		tagged = append(tagged, Tagged{name, tag, d})
	}
	if len(tagged) == 0 {
		return nil, fmt.Errorf("repository %s has no tag %s, it has %s: %w", name, cmp.Or(p.glob, "*"), some(tags), fs.ErrNotExist)
	}
	return tagged, nil
}

// locate returns the repository that a pattern means.
func (t *Tree) locate(p pattern) (string, error) {
	for _, name := range []string{p.repository, p.withoutHost()} {
		if checkRepository(name) != nil {
			continue // it has a port
		}
		for _, dir := range []string{"manifests", "blobs"} {
			info, err := t.root.Stat(repositoryPath(name, dir))
			if err == nil && info.IsDir() {
				return name, nil
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", t.explain(repositoryPath(name, dir), err)
			}
		}
	}
	there, err := t.Repositories()
	if err != nil {
		return "", err
	}
	return "", fmt.Errorf("there is no repository %s, there is %s: %w", p.withoutHost(), some(there), fs.ErrNotExist)
}

// some lists names, but not too many.
func some(names []string) string {
	const most = 10
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > most:
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// tags returns, sorted, what could be tags by their names.
func (t *Tree) tags(repository string) ([]string, error) {
	var tags []string
	dir := repositoryPath(repository, "manifests")
	err := t.each(dir, func(e fs.DirEntry) error {
		if e.IsDir() || isLeftover(e.Name()) || !isTag(e.Name()) {
			return nil
		}
		if len(tags) >= oci.MaxBlobs {
			return fmt.Errorf("%s: more than %d tags", dir, oci.MaxBlobs)
		}
		tags = append(tags, e.Name())
		return nil
	})
	slices.Sort(tags)
	return tags, err
}

// errDigestFile is returned for what is not a tag although it looks like one: the
// file of a manifest with the name that Windows wants is a tag by its grammar.
var errDigestFile = errors.New("not a tag but a manifest by its digest")

// maxLinkText is longer than the text of a link to a digest is, in bytes.
const maxLinkText = 4096

// tag returns what a tag names. The tag must be one by the grammar.
func (t *Tree) tag(repository, tag string) (digest.Digest, error) {
	name := repositoryPath(repository, "manifests", tag)
	if isLeftover(tag) {
		return "", fmt.Errorf("%s: left by an interrupted download", name)
	}
	info, err := t.root.Lstat(name)
	if err != nil {
		return "", t.explain(name, err)
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := t.root.Readlink(name)
		if err != nil {
			return "", t.explain(name, err)
		}
		if d, ok := digestOfTarget(target); ok {
			return d, nil
		}
		return "", fmt.Errorf("%s is a link to %.200q, which is no sha256 digest", name, target)
	}
	content, err := t.readFile(name, oci.MaxManifestSize)
	if err != nil {
		return "", err
	}
	d := digest.FromBytes(content)
	if same, ok := digestOf(tag); ok && same == d {
		return "", fmt.Errorf("%s: %w: %w", name, errDigestFile, fs.ErrNotExist)
	}
	if ok, err := t.has(repository, d); err != nil || ok {
		return d, err
	}
	if len(content) <= maxLinkText {
		// Where there are no links, some tools write the text into a file.
		if text, ok := digestOfTarget(strings.TrimSpace(string(content))); ok {
			return text, nil
		}
	}
	return "", fmt.Errorf("%s: neither a link nor a copy of a manifest that is there: its content has digest %s", name, d)
}

// has reports whether a repository has a file for the digest.
func (t *Tree) has(repository string, d digest.Digest) (bool, error) {
	for _, name := range candidates(repository, d, "manifests", "blobs") {
		info, err := t.root.Stat(name)
		switch {
		case err == nil && info.Mode().IsRegular():
			return true, nil
		case err == nil:
			return false, fmt.Errorf("%s: not a regular file but %s", name, kind(info.Mode()))
		case !errors.Is(err, fs.ErrNotExist):
			return false, t.explain(name, err)
		}
	}
	return false, nil
}

// candidates returns the files that a digest may have.
func candidates(repository string, d digest.Digest, dirs ...string) (names []string) {
	for _, dir := range dirs {
		for _, file := range fileNames(d) {
			names = append(names, repositoryPath(repository, dir, file))
		}
	}
	return names
}
