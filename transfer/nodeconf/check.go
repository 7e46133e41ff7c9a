package nodeconf

import (
	"fmt"
	"slices"
)

// Check refuses what the machine config operator refuses
// (validateRegistriesConfScopes, updatePolicyJSON): it then writes nothing, and the
// nodes keep what they have. It returns the first error.
func (c Cluster) Check() error {
	if _, err := Merge(c); err != nil {
		return err
	}
	if len(c.Allowed) != 0 && len(c.Blocked) != 0 {
		return errBothLists
	}
	first := make(map[string]kindEntry)
	for _, e := range c.entries() {
		if f, ok := first[e.Source]; ok && f.policy() != e.policy() {
			return &PolicyConflictError{e.Source, f.resource(), e.resource(), f.policy(), e.policy()}
		} else if !ok {
			first[e.Source] = e
		}
		if e.policy() == NeverContactSource && slices.Contains(e.Mirrors, e.Source) {
			return fmt.Errorf("%s: source %s is one of its own mirrors, and is never to be contacted", e.resource(), e.Source)
		}
	}
	return nil
}

// PolicyConflictError says that entries of one source have two policies.
type PolicyConflictError struct {
	Source string
	// First and Then are the two, KIND NAME.
	First, Then             string
	FirstPolicy, ThenPolicy SourcePolicy
}

func (e *PolicyConflictError) Error() string {
	return fmt.Sprintf("source %s has mirrorSourcePolicy %s in %s and %s in %s", e.Source, e.FirstPolicy, e.First, e.ThenPolicy, e.Then)
}

// policy returns what counts.
func (e Entry) policy() SourcePolicy {
	if e.Policy == "" {
		return AllowContactingSource
	}
	return e.Policy
}

// Kinds of mirror sets.
const (
	digestMirrorSet     = "ImageDigestMirrorSet"
	tagMirrorSet        = "ImageTagMirrorSet"
	contentSourcePolicy = "ImageContentSourcePolicy"
)

// kindEntry is an entry with the kind of its resource.
type kindEntry struct {
	Entry
	kind string
}

// resource names what has the entry.
func (e kindEntry) resource() string {
	if e.Name == "" {
		return "an " + e.kind
	}
	return e.kind + " " + e.Name
}

// entries are those of all kinds.
func (c Cluster) entries() []kindEntry {
	var all []kindEntry
	add := func(kind string, entries []Entry) {
		for _, e := range entries {
			all = append(all, kindEntry{e, kind})
		}
	}
	add(digestMirrorSet, c.IDMS)
	add(contentSourcePolicy, withoutPolicy(c.ICSP))
	add(tagMirrorSet, c.ITMS)
	return all
}
