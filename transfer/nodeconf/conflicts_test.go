package nodeconf_test

import (
	"slices"
	"strings"
	"testing"

	"satchel/transfer/nodeconf"
)

func named(name string, list []nodeconf.Entry) []nodeconf.Entry {
	for i := range list {
		list[i].Name = name
	}
	return list
}

func TestConflicts(t *testing.T) {
	const refused = ": the cluster would refuse all mirror sets together, and nodes would keep what they have; "
	const longest = ", and nodes look at the longest source only"
	type clusters struct{ existing, ours nodeconf.Cluster }
	tests := []struct {
		name string
		clusters
		want []string // "!" before what is refused
	}{
		{"nothing there", clusters{ours: nodeconf.Cluster{IDMS: entries("s.io/a:: m.io/a"), ITMS: entries("s.io/b:: m.io/b")}}, nil},
		{"apart", clusters{nodeconf.Cluster{IDMS: entries("s.io/a:: m.io/a")}, nodeconf.Cluster{IDMS: entries("s.io/ab:: m.io/ab", "s.io/a:: n.io/a")}}, nil},
		{"the same again", clusters{nodeconf.Cluster{IDMS: entries("s.io:: m.io")}, nodeconf.Cluster{IDMS: entries("s.io/a:: m.io/a", "s.io/a/b:: n.io m.io/a/b")}}, nil},

		{"ours hides theirs", clusters{nodeconf.Cluster{IDMS: named("old", entries("s.io:: x.io", "s.io/a:: y.io/a"))}, nodeconf.Cluster{IDMS: entries("s.io/a/b:: m.io/a/b")}},
			[]string{"s.io/a/b: y.io/a/b (by digest) of the cluster would no longer be asked for it: s.io/a of ImageDigestMirrorSet old is shorter" + longest + "; add these mirrors to s.io/a/b, or mirror s.io/a as a whole"}},
		{"ours for digests hides theirs for tags", clusters{nodeconf.Cluster{ITMS: entries("s.io:: m.io")}, nodeconf.Cluster{IDMS: entries("s.io/a:: m.io/a")}},
			[]string{"s.io/a: m.io/a (by tag) of the cluster would no longer be asked for it: s.io of an ImageTagMirrorSet is shorter" + longest + "; add these mirrors to s.io/a, or mirror s.io as a whole"}},
		{"ours hides a wildcard", clusters{nodeconf.Cluster{IDMS: entries("*.s.io:: x.io")}, nodeconf.Cluster{IDMS: entries("q.s.io/a:: m.io/a")}},
			[]string{"q.s.io/a: x.io/a (by digest) of the cluster would no longer be asked for it: *.s.io of an ImageDigestMirrorSet is shorter" + longest + "; add these mirrors to q.s.io/a, or mirror *.s.io as a whole"}},
		{"ours is hidden", clusters{nodeconf.Cluster{IDMS: named("theirs", entries("s.io/a/b:: x.io"))}, nodeconf.Cluster{IDMS: entries("s.io/a:: m.io/a"), ITMS: entries("s.io/a:: m.io/t")}},
			[]string{"s.io/a/b: m.io/a/b (by digest), m.io/t/b (by tag) would not be asked for it: ImageDigestMirrorSet theirs has this longer source, and nodes look at the longest only; add these mirrors to it there, or to s.io/a/b as well"}},
		{"ours is hidden, and says so itself", clusters{nodeconf.Cluster{IDMS: entries("s.io/a/b:: x.io")}, nodeconf.Cluster{IDMS: entries("s.io/a:: m.io/a", "s.io/a/b:: m.io/a/b")}}, nil},
		{"an entry without mirrors hides nothing", clusters{nodeconf.Cluster{IDMS: entries("s.io/a/b:: s.io/a/b")}, nodeconf.Cluster{IDMS: entries("s.io/a:: m.io/a")}}, nil},
		{"never is for the longest source", clusters{nodeconf.Cluster{IDMS: named("n", entries("s.io:: m.io!"))}, nodeconf.Cluster{IDMS: entries("s.io/a:: m.io/a")}},
			[]string{"s.io/a: nodes would contact it although ImageDigestMirrorSet n says NeverContactSource for s.io, since they look at the longest source only; set mirrorSourcePolicy: NeverContactSource, with --never-contact-source"}},

		{"two policies", clusters{nodeconf.Cluster{IDMS: named("n", entries("s.io:: x.io!"))}, nodeconf.Cluster{ITMS: named("o", entries("s.io:: m.io"))}},
			[]string{"!s.io: source s.io has mirrorSourcePolicy NeverContactSource in ImageDigestMirrorSet n and AllowContactingSource in ImageTagMirrorSet o" + refused + "set mirrorSourcePolicy: NeverContactSource in both, here with --never-contact-source, or delete the one that the cluster has when nothing needs it"}},
		{"two policies, one of which cannot change", clusters{nodeconf.Cluster{ICSP: named("n", entries("s.io:: x.io"))}, nodeconf.Cluster{IDMS: named("o", entries("s.io:: m.io!"))}},
			[]string{"!s.io: source s.io has mirrorSourcePolicy NeverContactSource in ImageDigestMirrorSet o and AllowContactingSource in ImageContentSourcePolicy n" + refused + "leave mirrorSourcePolicy away, or turn the ImageContentSourcePolicy into an ImageDigestMirrorSet first (oc adm migrate icsp)",
				"the cluster has ImageContentSourcePolicy, ours is ImageDigestMirrorSet and ImageTagMirrorSet: clusters before 4.13.27, and those of 4.14 before 4.14.3, refuse to create one beside the other; update the cluster first, or turn what it has into ImageDigestMirrorSet (oc adm migrate icsp), or apply ours as ImageContentSourcePolicy"}},
		{"its own mirror", clusters{ours: nodeconf.Cluster{IDMS: entries("s.io:: m.io s.io!")}},
			[]string{"!s.io: an ImageDigestMirrorSet names it as its own mirror, but it is never to be contacted" + refused + "take it out of the mirrors"}},
		{"a name that is none", clusters{ours: nodeconf.Cluster{IDMS: entries("S.io/A:: m.io")}},
			[]string{"!the cluster would refuse it: source \"S.io/A\" is not HOST[:PORT][/PATH] or *.HOST; correct the name"}},
		{"a wildcard around what is insecure", clusters{nodeconf.Cluster{Insecure: []string{"a.s.io"}}, nodeconf.Cluster{IDMS: entries("*.s.io:: m.io")}},
			[]string{"!the cluster would fail: registry a.s.io lies in the source *.s.io, which has mirrors: no cluster can do both; name the hosts instead of the wildcard"}},
		{"both lists", clusters{nodeconf.Cluster{Allowed: []string{"a.io"}}, nodeconf.Cluster{Blocked: []string{"b.io"}}},
			[]string{"!there would be allowed and blocked registries, and the cluster accepts one of the two lists only; decide for one"}},

		{"a blocked source and a blocked mirror", clusters{nodeconf.Cluster{Blocked: []string{"s.io", "*.m.io"}}, nodeconf.Cluster{IDMS: entries("s.io/a:: q.m.io/a s.io/a")}},
			[]string{"s.io/a: the cluster blocks s.io by name: images of it are refused, whatever mirrors it has (but for the release image); take s.io from the blocked registries, and set mirrorSourcePolicy: NeverContactSource instead",
				"q.m.io/a: the cluster blocks *.m.io: nodes never ask this mirror; take *.m.io from the blocked registries"}},
		{"what is not allowed", clusters{nodeconf.Cluster{Allowed: []string{"z.io"}, Search: []string{"docker.io", "z.io"}}, nodeconf.Cluster{IDMS: entries("s.io/a:: m.io/a", "z.io/a:: z.io/b")}},
			[]string{"s.io/a: it is not among the allowed registries of the cluster: images of it are refused, whatever mirrors it has; add it to allowedRegistries",
				"m.io/a: it is not among the allowed registries of the cluster: it serves as a mirror, but what names it directly, as catalogs do, is refused; add it to allowedRegistries",
				"docker.io: it is a search registry, and not among the allowed registries: short names that it would complete are refused; add it to allowedRegistries"}},
		{"the older kind beside the newer", clusters{nodeconf.Cluster{ITMS: entries("s.io:: m.io")}, nodeconf.Cluster{ICSP: entries("s.io:: m.io")}},
			[]string{"the cluster has ImageDigestMirrorSet and ImageTagMirrorSet, ours is ImageContentSourcePolicy: clusters before 4.13.27, and those of 4.14 before 4.14.3, refuse to create one beside the other; apply ours as ImageDigestMirrorSet"}},
	}
	for _, test := range tests {
		var got []string
		for _, f := range nodeconf.Conflicts(test.existing, test.ours) {
			s := f.String()
			if f.Refused {
				s = "!" + s
			}
			got = append(got, s)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", test.name, strings.Join(got, "\n"), strings.Join(test.want, "\n"))
		}
		refused := slices.ContainsFunc(test.want, func(s string) bool { return s[0] == '!' })
		if err := test.existing.With(test.ours).Check(); (err != nil) != refused {
			t.Errorf("%s: Check: %v", test.name, err)
		}
	}
}

// FuzzRegistries: whatever the names are, the file has no more lines than it should, and the
// findings agree with what the cluster refuses.
func FuzzRegistries(f *testing.F) {
	f.Add("s.io", "m.io s.io", "s.io/a", "m.io/b", "s.io/x", true)
	f.Add("*.s.io", "m.io", "a.s.io", "m.io", "m.io", false)
	f.Fuzz(func(t *testing.T, source, mirrors, other, otherMirror, scope string, never bool) {
		ours := nodeconf.Cluster{IDMS: []nodeconf.Entry{{Source: source, Mirrors: strings.Fields(mirrors)}}, Insecure: []string{scope}}
		existing := nodeconf.Cluster{ITMS: []nodeconf.Entry{{Source: other, Mirrors: []string{otherMirror}}}}
		if never {
			ours.IDMS[0].Policy = nodeconf.NeverContactSource
		}
		both := existing.With(ours)
		refused := slices.ContainsFunc(nodeconf.Conflicts(existing, ours), func(f nodeconf.Finding) bool { return f.Refused })
		if err := both.Check(); (err != nil) != refused {
			t.Errorf("Check: %v, findings refuse it: %v", err, refused)
		}
		conf, err := nodeconf.Registries(both)
		if err == nil && (strings.Count(string(conf), "[[registry]]") > 3 || strings.Count(string(conf), `"`)%2 != 0) {
			t.Errorf("wrote\n%s", conf)
		}
	})
}
