package nodeconf

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxExport bounds a file of exported resources in bytes.
const MaxExport = 8 << 20

// Bounds of what an export has. Each source is compared with each wildcard.
const (
	maxEntries    = 100_000
	maxRegistries = 5_000
)

// ParseExport reads mirror sets and the image configuration out of what oc get -o yaml
// or -o json writes: single resources, several documents, lists. Other kinds are
// passed over; a file without any of these, which is not an empty list either, is
// [ErrNoneInIt]. Names are not checked; see [Cluster.Check].
func ParseExport(data []byte) (Cluster, error) {
	var c Cluster
	if len(data) > MaxExport {
		return c, fmt.Errorf("%d bytes are more than %d", len(data), MaxExport)
	}
	found := false
	documents := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var doc resource
		err := documents.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Cluster{}, notExported(err)
		}
		found = found || strings.HasSuffix(doc.Kind, "List") && len(doc.List) == 0 // what oc writes when there are none
		for _, one := range append(doc.List, doc) {
			counts, err := one.addTo(&c)
			if err != nil {
				return Cluster{}, err
			}
			found = found || counts
		}
	}
	if err := c.checkSize(); err != nil {
		return Cluster{}, err
	}
	if !found {
		return Cluster{}, ErrNoneInIt
	}
	return c, nil
}

// checkSize bounds what has to be compared.
func (c Cluster) checkSize() error {
	entries := c.entries()
	registries := len(c.Insecure) + len(c.Blocked) + len(c.Allowed) + len(c.Search) + len(c.Import)
	for _, e := range entries {
		if strings.HasPrefix(e.Source, wildcard) {
			registries++
		}
	}
	if len(entries) > maxEntries || registries > maxRegistries {
		return fmt.Errorf("%d sources of mirror sets, and %d registries and wildcards, are more than %d and %d", len(entries), registries, maxEntries, maxRegistries)
	}
	return nil
}

// ErrNoneInIt says that a file has nothing of what it should tell.
var ErrNoneInIt = fmt.Errorf("no %s, %s, %s or image configuration (config.openshift.io/v1) is in it", digestMirrorSet, tagMirrorSet, contentSourcePolicy)

// errNotExported says that a file is something else than what it should be.
var errNotExported = errors.New("it is not what oc get -o yaml or -o json writes of resources")

// notExported says of an error of the decoder where it is, without the names that things
// have in here.
func notExported(err error) error {
	var mismatch *yaml.TypeError
	if !errors.As(err, &mismatch) || len(mismatch.Errors) == 0 {
		return fmt.Errorf("%w: %v", errNotExported, err)
	}
	if line, _, ok := strings.Cut(mismatch.Errors[0], ":"); ok { // line 7: cannot unmarshal …
		return fmt.Errorf("%s: %w", line, errNotExported)
	}
	return errNotExported
}

type resource struct {
	List       []resource `yaml:"items"`
	APIVersion string     `yaml:"apiVersion"`
	Kind       string     `yaml:"kind"`
	Metadata   struct {
		Name string `yaml:"name"`
	} `yaml:"metadata"`
	Spec yaml.Node `yaml:"spec"`
}

type exportedEntry struct {
	Source  string       `yaml:"source"`
	Mirrors []string     `yaml:"mirrors"`
	Policy  SourcePolicy `yaml:"mirrorSourcePolicy"`
}

// addTo says whether the resource is of a kind that counts.
func (r resource) addTo(c *Cluster) (bool, error) {
	var spec struct {
		Digests  []exportedEntry `yaml:"imageDigestMirrors"`
		Tags     []exportedEntry `yaml:"imageTagMirrors"`
		Policies []exportedEntry `yaml:"repositoryDigestMirrors"`
		Sources  struct {
			Insecure []string `yaml:"insecureRegistries"`
			Blocked  []string `yaml:"blockedRegistries"`
			Allowed  []string `yaml:"allowedRegistries"`
			Search   []string `yaml:"containerRuntimeSearchRegistries"`
		} `yaml:"registrySources"`
		Import    []ImportRegistry `yaml:"allowedRegistriesForImport"`
		TrustedCA struct {
			Name string `yaml:"name"`
		} `yaml:"additionalTrustedCA"`
	}
	switch r.Kind {
	case digestMirrorSet, tagMirrorSet, contentSourcePolicy:
	case "Image":
		if r.APIVersion != "config.openshift.io/v1" { // image.openshift.io has another of this name
			return false, nil
		}
	default:
		return false, nil
	}
	if err := r.Spec.Decode(&spec); err != nil && !r.Spec.IsZero() {
		return false, fmt.Errorf("%s %.80q: %w", r.Kind, r.Metadata.Name, notExported(err))
	}
	switch r.Kind {
	case digestMirrorSet:
		c.IDMS = r.entries(c.IDMS, spec.Digests)
	case tagMirrorSet:
		c.ITMS = r.entries(c.ITMS, spec.Tags)
	case contentSourcePolicy:
		c.ICSP = r.entries(c.ICSP, spec.Policies)
	default:
		c.Insecure, c.Blocked = append(c.Insecure, spec.Sources.Insecure...), append(c.Blocked, spec.Sources.Blocked...)
		c.Allowed, c.Search = append(c.Allowed, spec.Sources.Allowed...), append(c.Search, spec.Sources.Search...)
		c.Import, c.TrustedCA = append(c.Import, spec.Import...), cmp.Or(spec.TrustedCA.Name, c.TrustedCA)
	}
	return true, nil
}

func (r resource) entries(to []Entry, from []exportedEntry) []Entry {
	for _, e := range from {
		to = append(to, Entry{Source: e.Source, Mirrors: e.Mirrors, Policy: e.Policy, Name: r.Metadata.Name})
	}
	return to
}
