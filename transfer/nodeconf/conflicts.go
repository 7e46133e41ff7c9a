package nodeconf

import (
	"fmt"
	"slices"
	"strings"
)

// Finding is something that would go wrong once a cluster has both.
type Finding struct {
	// Scope is the source or registry that it is about; empty when it is about all.
	Scope string
	// Problem says what would happen, Remedy how to avoid it; empty when it is wanted.
	Problem, Remedy string
	// Refused is set when the cluster would refuse the whole and its nodes would
	// keep what they have.
	Refused bool
}

// String renders SCOPE: PROBLEM; REMEDY.
func (f Finding) String() string {
	s := f.Problem
	if f.Remedy != "" {
		s += "; " + f.Remedy
	}
	if f.Scope != "" {
		s = f.Scope + ": " + s
	}
	return s
}

// Conflicts returns what goes wrong when ours is applied to a cluster that has
// existing: what the cluster would refuse, whose mirrors would no longer be asked,
// what of ours would not be, what may not be pulled at all, and kinds that older
// clusters do not have side by side. What is wrong with existing alone is among it
// only where the cluster refuses it. The order is always the same.
func Conflicts(existing, ours Cluster) []Finding {
	c := comparison{existing: existing, ours: ours, both: existing.With(ours), found: make(map[Finding]bool)}
	if err := c.both.checkNames(); err != nil {
		return []Finding{{Problem: fmt.Sprintf("the cluster would refuse it: %v", err), Remedy: "correct the name", Refused: true}}
	}
	c.policies()
	c.merging()
	c.masking()
	c.access()
	c.kinds()
	return c.findings
}

type comparison struct {
	existing, ours, both Cluster
	findings             []Finding
	found                map[Finding]bool
}

func (c *comparison) find(f Finding) {
	if !c.found[f] {
		c.found[f] = true
		c.findings = append(c.findings, f)
	}
}

// policies finds each source that has two policies, and that mirrors itself while
// it is never to be contacted (validateRegistriesConfScopes).
func (c *comparison) policies() {
	const keep = ": the cluster would refuse all mirror sets together, and nodes would keep what they have"
	first := make(map[string]kindEntry)
	for _, e := range c.both.entries() {
		f, ok := first[e.Source]
		if !ok {
			first[e.Source], f = e, e
		}
		if f.policy() != e.policy() {
			two := &PolicyConflictError{e.Source, f.resource(), e.resource(), f.policy(), e.policy()}
			remedy := fmt.Sprintf("set mirrorSourcePolicy: %s in both, here with --never-contact-source, or delete the one that the cluster has when nothing needs it", NeverContactSource)
			if f.kind == contentSourcePolicy || e.kind == contentSourcePolicy {
				remedy = fmt.Sprintf("leave mirrorSourcePolicy away, or turn the %s into an %s first (oc adm migrate icsp)", contentSourcePolicy, digestMirrorSet)
			}
			c.find(Finding{e.Source, two.Error() + keep, remedy, true})
		}
		if e.policy() == NeverContactSource && slices.Contains(e.Mirrors, e.Source) {
			c.find(Finding{e.Source, fmt.Sprintf("%s names it as its own mirror, but it is never to be contacted", e.resource()) + keep, "take it out of the mirrors", true})
		}
	}
	if len(c.both.Allowed) != 0 && len(c.both.Blocked) != 0 {
		c.find(Finding{"", "there would be allowed and blocked registries, and the cluster accepts one of the two lists only", "decide for one", true})
	}
}

// merging finds what cannot be merged at all.
func (c *comparison) merging() {
	if _, err := Merge(c.both); err != nil {
		c.find(Finding{"", fmt.Sprintf("the cluster would fail: %v", err), "name the hosts instead of the wildcard", true})
	}
}

// masking compares each source with those around it on the other side: nodes take
// the longest scope that an image lies in and look at no other.
func (c *comparison) masking() {
	existing, ours := mirrorsBySource(c.existing), mirrorsBySource(c.ours)
	scopes, ourScopes := newScopes(sortedKeys(existing)), newScopes(sortedKeys(ours))
	for _, source := range sortedKeys(ours) {
		if _, has := existing[source]; has {
			continue // they are merged
		}
		around, ok := scopes.widest(source)
		if !ok {
			continue
		}
		inner, outer := ours[source], existing[around]
		if lost := inner.lacks(outer, below(source, around)); len(lost) != 0 {
			c.find(Finding{source, fmt.Sprintf("%s of the cluster would no longer be asked for it: %s of %s is shorter, and nodes look at the longest source only", strings.Join(lost, ", "), around, outer.resource),
				fmt.Sprintf("add these mirrors to %s, or mirror %s as a whole", source, around), false})
		}
		if outer.never && !inner.never {
			c.find(Finding{source, fmt.Sprintf("nodes would contact it although %s says %s for %s, since they look at the longest source only", outer.resource, NeverContactSource, around),
				fmt.Sprintf("set mirrorSourcePolicy: %s, with --never-contact-source", NeverContactSource), false})
		}
	}
	for _, source := range sortedKeys(existing) {
		if _, has := ours[source]; has {
			continue
		}
		around, ok := ourScopes.widest(source)
		if !ok {
			continue
		}
		inner, outer := existing[source], ours[around]
		if lost := inner.lacks(outer, below(source, around)); len(lost) != 0 {
			c.find(Finding{source, fmt.Sprintf("%s would not be asked for it: %s has this longer source, and nodes look at the longest only", strings.Join(lost, ", "), inner.resource),
				fmt.Sprintf("add these mirrors to it there, or to %s as well", source), false})
		}
	}
}
