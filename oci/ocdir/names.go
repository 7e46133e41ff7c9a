package ocdir

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// anyHost stands where the grammar of references wants a registry: names in a
// tree have none.
const anyHost = "h/"

// checkRepository refuses what is not the path of a repository.
func checkRepository(repository string) error {
	if oci.CheckRepository(anyHost+repository) != nil {
		return fmt.Errorf("%.300q is not the name of a repository", repository)
	}
	return nil
}

func isTag(tag string) bool {
	ref, err := oci.SplitReference(anyHost + "r:" + tag)
	return err == nil && ref.Tag == tag && ref.Digest == ""
}

// separators are what may stand in the name of a file where a digest has its
// colon: oc writes a dash on Windows, and tools that unpack there an underscore.
const separators = ":-_"

// digestOf reads the name of a file, or the end of a link's target, as a digest.
func digestOf(name string) (digest.Digest, bool) {
	rest, ok := strings.CutPrefix(name, "sha256")
	if !ok || rest == "" || !strings.Contains(separators, rest[:1]) {
		return "", false
	}
	d := digest.Digest("sha256:" + rest[1:])
	return d, oci.CheckDigest(d) == nil
}

// digestOfTarget reads the text of a tag's link: only its last part counts, since
// oc up to 4.3 wrote whole paths.
func digestOfTarget(target string) (digest.Digest, bool) {
	return digestOf(target[strings.LastIndexAny(target, `/\`)+1:])
}

// fileNames returns how the file of a digest may be called. On Windows a colon
// does not belong to a file's name but to that of a stream in it.
func fileNames(d digest.Digest) (names []string) {
	for _, separator := range separators {
		if separator != ':' || runtime.GOOS != "windows" {
			names = append(names, d.Algorithm().String()+string(separator)+d.Encoded())
		}
	}
	return names
}

// isLeftover reports whether a file is what oc has under another name while it
// writes.
func isLeftover(name string) bool {
	return strings.HasSuffix(name, ".download") || strings.HasPrefix(name, ".tmp-")
}

// pattern names images of a tree: by tags, by a digest, or all of a repository.
type pattern struct {
	repository string        // as written, perhaps with a registry before it
	glob       string        // a tag, with * for any text; all tags when empty
	digest     digest.Digest // empty, or decides
}

// maxGlob bounds the pattern of a tag in characters. A tag has at most 128.
const maxGlob = 256

// parsePattern reads [file://[/]]REPOSITORY[:TAG|:GLOB][@DIGEST], as oc does
// (openshift/oc, pkg/cli/image/imagesource/reference.go): * stands for any text
// within a tag, all else for itself; repositories do not expand.
func parsePattern(s string) (pattern, error) {
	name := s
	if rest, ok := strings.CutPrefix(s, "file://"); ok {
		name = strings.TrimPrefix(rest, "/")
	}
	var p pattern
	name, d, byDigest := strings.Cut(name, "@")
	if byDigest {
		p.digest = digest.Digest(d)
		if err := oci.CheckDigest(p.digest); err != nil {
			return pattern{}, fmt.Errorf("%.300q: %w", s, err)
		}
	}
	p.repository = name
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		p.repository, p.glob = name[:i], name[i+1:]
		switch {
		case !strings.Contains(p.glob, "*"):
			if !isTag(p.glob) {
				return pattern{}, fmt.Errorf("%.300q: %.200q is not a tag", s, p.glob)
			}
		case byDigest:
			return pattern{}, fmt.Errorf("%.300q: a digest and a pattern of tags exclude each other", s)
		case len(p.glob) > maxGlob || !isTag("t"+strings.ReplaceAll(p.glob, "*", "")) && strings.Trim(p.glob, "*") != "":
			return pattern{}, fmt.Errorf("%.300q: %.200q is not a pattern of tags", s, p.glob)
		}
	}
	if strings.Contains(p.repository, "*") {
		return pattern{}, fmt.Errorf("%.300q: * is possible in tags only", s)
	}
	if err := checkRepository(p.withoutHost()); err != nil {
		return pattern{}, fmt.Errorf("%.300q: %w", s, err)
	}
	return p, nil
}

// withoutHost returns the repository without what oc takes for a registry, which
// it leaves out of the names of files (openshift/library-go,
// pkg/image/reference/reference.go).
func (p pattern) withoutHost() string {
	host, rest, ok := strings.Cut(p.repository, "/")
	if ok && (host == "localhost" || strings.ContainsAny(host, ".:")) && oci.CheckRepository(p.repository) == nil {
		return rest
	}
	return p.repository
}

// matches reports whether the tag is one of those that the glob stands for.
func matches(glob, tag string) bool {
	if glob == "" {
		return true
	}
	first, rest, wild := strings.Cut(glob, "*")
	if !wild {
		return glob == tag
	}
	tag, ok := strings.CutPrefix(tag, first)
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		var found bool
		_, tag, found = strings.Cut(tag, part)
		ok = ok && found
	}
	return ok && strings.HasSuffix(tag, last)
}
