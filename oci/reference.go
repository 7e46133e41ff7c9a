package oci

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Reference names an image in a registry. Parsing people's spelling of it is
// the business of package registry; here all parts are normalised and valid.
type Reference struct {
	// Repository is the full name with its registry: "quay.io/org/app".
	Repository string
	// Tag may be empty when Digest is not.
	Tag string
	// Digest may be empty when Tag is not. With both, the digest decides what
	// is fetched and the tag is only its name.
	Digest digest.Digest
}

// String renders REPOSITORY[:TAG][@DIGEST].
func (r Reference) String() string {
	s := r.Repository
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + string(r.Digest)
	}
	return s
}

// Host returns the registry with its port: "quay.io", "localhost:5000".
func (r Reference) Host() string {
	host, _, _ := strings.Cut(r.Repository, "/")
	return host
}

// Path returns the repository without its registry: "org/app".
func (r Reference) Path() string {
	_, path, _ := strings.Cut(r.Repository, "/")
	return path
}

var (
	// The grammar of the distribution specification, with a host before it.
	validRepository = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)+$`)
	validTag        = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

// MaxRepository bounds host and path of a repository together, as many clients
// and registries do.
const MaxRepository = 255

// SplitReference reads what [Reference.String] writes, and nothing looser.
func SplitReference(s string) (Reference, error) {
	name, d, hasDigest := strings.Cut(s, "@")
	r := Reference{Repository: name}
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		r.Repository, r.Tag = name[:i], name[i+1:]
		if !validTag.MatchString(r.Tag) {
			return Reference{}, fmt.Errorf("reference %q: tag %q", s, r.Tag)
		}
	}
	if hasDigest {
		r.Digest = digest.Digest(d)
		if err := CheckDigest(r.Digest); err != nil {
			return Reference{}, fmt.Errorf("reference %q: %w", s, err)
		}
	}
	if err := CheckRepository(r.Repository); err != nil {
		return Reference{}, fmt.Errorf("reference %q: %w", s, err)
	}
	if r.Tag == "" && r.Digest == "" {
		return Reference{}, fmt.Errorf("reference %q has neither tag nor digest", s)
	}
	return r, nil
}

// CheckRepository refuses what is not HOST/PATH in the grammar of the
// distribution specification, or longer than [MaxRepository].
func CheckRepository(repository string) error {
	if len(repository) > MaxRepository {
		return fmt.Errorf("repository %q is longer than %d characters", repository, MaxRepository)
	}
	if !validRepository.MatchString(repository) {
		return fmt.Errorf("repository %q is not HOST/PATH in lower case", repository)
	}
	return nil
}
