package nodeconf

import (
	"cmp"
	"fmt"
	"strings"

	"satchel/transfer/exported"
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
	found := false
	resources, err := exported.Resources(data, MaxExport)
	if err != nil {
		return Cluster{}, err
	}
	for _, r := range resources {
		counts, err := c.add(r)
		if err != nil {
			return Cluster{}, err
		}
		found = found || counts || strings.HasSuffix(r.Kind, "List") // what oc writes when there are none
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

type exportedEntry struct {
	Source  string       `yaml:"source"`
	Mirrors []string     `yaml:"mirrors"`
	Policy  SourcePolicy `yaml:"mirrorSourcePolicy"`
}

// exportedSpec has what counts of the specs of all kinds.
type exportedSpec struct {
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

// add adds a resource, and says whether it is of a kind that counts.
func (c *Cluster) add(r exported.Resource) (bool, error) {
	switch r.Kind {
	case digestMirrorSet, tagMirrorSet, contentSourcePolicy:
	case "Image":
		if r.APIVersion != "config.openshift.io/v1" { // image.openshift.io has another of this name
			return false, nil
		}
	default:
		return false, nil
	}
	var content struct {
		Spec exportedSpec `yaml:"spec"`
	}
	if err := r.Decode(&content); err != nil {
		return false, err
	}
	spec := &content.Spec
	switch r.Kind {
	case digestMirrorSet:
		c.IDMS = withEntries(c.IDMS, r.Name, spec.Digests)
	case tagMirrorSet:
		c.ITMS = withEntries(c.ITMS, r.Name, spec.Tags)
	case contentSourcePolicy:
		c.ICSP = withEntries(c.ICSP, r.Name, spec.Policies)
	default:
		c.Insecure, c.Blocked = append(c.Insecure, spec.Sources.Insecure...), append(c.Blocked, spec.Sources.Blocked...)
		c.Allowed, c.Search = append(c.Allowed, spec.Sources.Allowed...), append(c.Search, spec.Sources.Search...)
		c.Import, c.TrustedCA = append(c.Import, spec.Import...), cmp.Or(spec.TrustedCA.Name, c.TrustedCA)
	}
	return true, nil
}

// withEntries adds the entries of a resource.
func withEntries(to []Entry, name string, from []exportedEntry) []Entry {
	for _, e := range from {
		to = append(to, Entry{Source: e.Source, Mirrors: e.Mirrors, Policy: e.Policy, Name: name})
	}
	return to
}
