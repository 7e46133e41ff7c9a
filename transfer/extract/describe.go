package extract

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/blang/semver/v4"
)

const introduction = `Client tools for OpenShift
--------------------------

These packs hold the programs of the release that is described below, and the
installer installs it. Check them with:

    sha256sum -c sha256sum.txt

---

`

// describe writes release.txt and sha256sum.txt.
func (x *extraction) describe(pullspec string) error {
	var b batch
	defer b.discard()
	if err := x.write(&b, "release.txt", x.text(pullspec)); err != nil {
		return err
	}
	sums := slices.Clone(x.result.Files)
	sums = append(sums, b.parts[0].done)
	slices.SortFunc(sums, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	var lines strings.Builder
	for _, f := range sums {
		fmt.Fprintf(&lines, "%s  %s\n", f.Digest.Encoded(), f.Name)
	}
	if err := x.write(&b, "sha256sum.txt", []byte(lines.String())); err != nil {
		return err
	}
	return x.commit(&b)
}

// text describes the release as `oc adm release info --pullspecs` does.
func (x *extraction) text(pullspec string) []byte {
	p := x.release.Payload
	var b bytes.Buffer
	b.WriteString(introduction)
	w := tabwriter.NewWriter(&b, 0, 4, 1, ' ', 0)
	fmt.Fprintf(w, "Name:\t%s\n", p.Version)
	fmt.Fprintf(w, "Digest:\t%s\n", x.release.Digest)
	fmt.Fprintf(w, "OS/Arch:\t%s\n", x.platforms())
	fmt.Fprintf(w, "Pull From:\t%s\n", pullspec)
	w.Flush() // into memory

	fmt.Fprintf(&b, "\nRelease Metadata:\n  Version:  %s\n", p.Version)
	upgrades := "<none>"
	if len(p.Previous) > 0 {
		upgrades = strings.Join(sorted(p.Previous), ", ")
	}
	fmt.Fprintf(&b, "  Upgrades: %s\n", upgrades)
	if len(p.Metadata) > 0 {
		b.WriteString("  Metadata:\n")
		for _, key := range slices.Sorted(maps.Keys(p.Metadata)) {
			fmt.Fprintf(w, "    %s:\t%s\n", key, p.Metadata[key])
		}
		w.Flush()
	}

	b.WriteString("\nImages:\n")
	fmt.Fprint(w, "  NAME\tPULL SPEC\n")
	for _, c := range p.Components {
		fmt.Fprintf(w, "  %s\t%s\n", c.Name, c.Image)
	}
	w.Flush()
	return b.Bytes()
}

// sorted returns versions in their order; what is no version comes last.
func sorted(versions []string) []string {
	versions = slices.Clone(versions)
	slices.SortStableFunc(versions, func(a, b string) int {
		va, errA := semver.Parse(a)
		vb, errB := semver.Parse(b)
		switch {
		case errA == nil && errB == nil:
			return va.Compare(vb)
		case errA == nil:
			return -1
		case errB == nil:
			return 1
		}
		return strings.Compare(a, b)
	})
	return versions
}
