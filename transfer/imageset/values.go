package imageset

import (
	"regexp"
	"strings"

	"github.com/blang/semver/v4"
	"go.yaml.in/yaml/v3"

	"satchel/oci"
)

var (
	// Of targetCatalog and targetRepo: openshift/oc-mirror,
	// internal/pkg/api/v2alpha1/type_config.go, IsValidPathComponent.
	validTarget = regexp.MustCompile(`^([a-z0-9]+((?:[._]|__|[-]*)[a-z0-9]+)*)(/([a-z0-9]+((?:[._]|__|[-]*)[a-z0-9]+)*))*$`)
	validTag    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	// Of packages and channels of catalogs, and of update channels.
	validName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._+-]{0,251}[A-Za-z0-9])?$`)
)

// text reads a string. A version without quotes may be a number for YAML, which
// oc-mirror refuses too.
func (r *reader) text(n *yaml.Node, key string) string {
	if !r.is(n, key, yaml.ScalarNode, "a string") {
		return ""
	}
	switch n.Tag {
	case "!!int", "!!float", "!!bool":
		r.problem(n.Line, key, "%s, not a string: put it in quotes", kindName(n))
		return ""
	}
	return n.Value
}

// boolean reads the words of YAML 1.1 too, as oc-mirror's YAML does.
func (r *reader) boolean(n *yaml.Node, key string) bool {
	if !r.is(n, key, yaml.ScalarNode, "true or false") {
		return false
	}
	plain := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0
	switch word := strings.ToLower(n.Value); {
	case n.Tag == "!!bool" && word == "true", plain && (word == "yes" || word == "on" || word == "y"):
		return true
	case n.Tag == "!!bool", plain && (word == "no" || word == "off" || word == "n"):
		return false
	}
	r.problem(n.Line, key, "%s, not true or false", kindName(n))
	return false
}

// valid reads a string, and notes one that is neither empty nor ok.
func (r *reader) valid(n *yaml.Node, key string, ok func(string) bool, what string) string {
	s := r.text(n, key)
	if s == "" || ok(s) {
		return s
	}
	r.problem(n.Line, key, "%.80q is no %s", s, what)
	return ""
}

// name reads the name of a package or channel.
func (r *reader) name(n *yaml.Node, key string) string {
	return r.valid(n, key, validName.MatchString, "name of a package or channel")
}

// required notes a key that a mapping does not have. When it is there and its
// value is wrong, or when there is no mapping, that has been noted.
func (r *reader) required(found lines, n *yaml.Node, key, name string) {
	if found[name] == 0 && (n.Kind == yaml.MappingNode || isNull(n)) {
		r.problem(n.Line, joinKey(key, name), "is missing")
	}
}

func (r *reader) target(n *yaml.Node, key string) string {
	return r.valid(n, key, validTarget.MatchString, "path of a repository: small letters and digits, without registry, tag and digest")
}

func (r *reader) tag(n *yaml.Node, key string) string {
	return r.valid(n, key, validTag.MatchString, "tag")
}

// release reads the version of a release.
func (r *reader) release(n *yaml.Node, key string) string {
	return r.valid(n, key, func(s string) bool { _, err := semver.Parse(s); return err == nil }, "version of a release, as in 4.16.3")
}

// bundle reads the version of a bundle.
func (r *reader) bundle(n *yaml.Node, key string) string {
	return r.valid(n, key, func(s string) bool { _, _, err := parseBound(s); return err == nil }, "semantic version, as in 1.2.3")
}

// parseBound reads a version as Masterminds/semver's NewVersion does, on which
// oc-mirror relies: with a "v" before it, and with numbers missing at its end. It
// returns how many there are.
func parseBound(s string) (v semver.Version, numbers int, err error) {
	s = strings.TrimPrefix(s, "v")
	numbers = 3
	if !strings.ContainsAny(s, "-+") {
		numbers = strings.Count(s, ".") + 1
	}
	for range 3 - numbers {
		s += ".0"
	}
	v, err = semver.Parse(s)
	return v, numbers, err
}

// above says whether the lowest version is above the highest. A highest one with
// numbers missing stands for all that begin so. Both have been read.
func above(lowest, highest string) bool {
	if lowest == "" || highest == "" {
		return false
	}
	low, _, _ := parseBound(lowest)
	high, numbers, _ := parseBound(highest)
	if numbers < 3 {
		low.Patch, low.Pre = 0, nil
	}
	if numbers < 2 {
		low.Minor = 0
	}
	return low.GT(high)
}

const dockerScheme = "docker://"

// reference reads the name of an image in a registry, and returns it without
// scheme, with what it names.
func (r *reader) reference(n *yaml.Node, key string) (string, oci.Reference) {
	s := strings.TrimPrefix(r.text(n, key), dockerScheme)
	if s == "" {
		return "", oci.Reference{}
	}
	ref, err := parseReference(s, r.version == v1alpha2)
	if err != nil {
		r.problem(n.Line, key, "%v", err)
		return "", oci.Reference{}
	}
	return s, ref
}

// parseReference completes a name as docker and podman do. Without tag and digest
// oc-mirror's second version refuses it (internal/pkg/image/image.go, ParseRef);
// the first takes the tag "latest".
func parseReference(s string, latest bool) (oci.Reference, error) {
	host, path, found := strings.Cut(s, "/")
	full := s
	switch {
	case !found:
		full = "docker.io/library/" + s
	case !strings.ContainsAny(host, ".:[") && host != "localhost" && host == strings.ToLower(host):
		full = "docker.io/" + s
	case host == "docker.io" && !strings.Contains(path, "/"):
		full = "docker.io/library/" + path
	}
	if latest && !strings.Contains(full, "@") && strings.LastIndexByte(full, ':') <= strings.LastIndexByte(full, '/') {
		full += ":latest"
	}
	return oci.SplitReference(full)
}
