package main

import (
	"fmt"
	"slices"
	"strings"

	"satchel/verify"
)

// maxLines is how many findings, and how many things that are missing, are
// printed for people; JSON has all.
const maxLines = 20

// printReport prints a report for people, where of media no more is known than
// what it says.
func printReport(out *output, report *verify.Report, rate string) {
	var list mediaList
	for _, v := range report.Volumes {
		if v.Medium != "" && !slices.Contains(list.media, v.Medium) {
			list.media = append(list.media, v.Medium)
		}
	}
	newVerified(report, list, rate).print(out)
}

// print prints the report for people.
func (r *verified) print(out *output) {
	var rows [][]string
	for _, row := range r.list.volumeRows(r.Volumes, wholeState) {
		rows = append(rows, []string{row.state, row.volume, row.present, row.medium})
	}
	printTable(out, []string{"whole", "volume", "present", "medium"}, rows)
	for _, u := range r.Unfinished {
		out.printf("unfinished: %s\n", unfinishedText(u))
	}
	for _, v := range r.Volumes {
		if v.Newer && v.State != verify.StateDamaged {
			out.printf("newer: %s on %s was made again after the inventory\n", v.Name, v.Medium)
		}
	}
	r.printFindings(out)
	r.printImages(out)
	for _, l := range r.Leans {
		out.printf("%s\n", leanText(l))
	}
	if r.Stopped != nil {
		return
	}
	out.printf("%s\n", r.summary())
	out.printf("bundle ID %s\n", r.list.idText(string(r.Bundle)))
	r.printCommands(out)
}

// wholeState is the word for a volume's state.
func wholeState(v verify.VolumeReport) string {
	if v.State == verify.StateUnchecked {
		return "not read"
	}
	return v.State
}

func (r *verified) printFindings(out *output) {
	for i, f := range r.Findings {
		if i == maxLines {
			out.printf("damage: and %d more, which --json lists\n", len(r.Findings)-i)
			break
		}
		where := f.Volume
		if f.Medium != "" {
			where += " on " + f.Medium
		}
		if f.Offset >= 0 {
			where += fmt.Sprintf(" at byte %d", f.Offset)
		}
		out.printf("damage: %s: %s\n", where, f.Problem)
	}
	for i, m := range r.Missing {
		if i == maxLines {
			out.printf("missing: and %d more, which --json lists\n", len(r.Missing)-i)
			break
		}
		out.printf("missing: %s\n", missingText(m))
	}
}

// missingText says what is missing, from where, and why.
func missingText(m verify.Missing) string {
	switch {
	case len(m.Volumes) > 0:
		return fmt.Sprintf("blob %s of %s: %s", m.Digest, volumesText(m.Volumes), m.Reason)
	case m.Digest != "" && m.Image != "":
		return fmt.Sprintf("manifest %s of %s: %s", m.Digest, m.Image, m.Reason)
	case m.Digest != "":
		return fmt.Sprintf("manifest %s: %s", m.Digest, m.Reason)
	}
	return fmt.Sprintf("image %s: %s", m.Image, m.Reason)
}

// printImages prints what images lack.
func (r *verified) printImages(out *output) {
	for _, image := range r.Images {
		if image.State != verify.StateDamaged && image.State != verify.StateMissing {
			continue
		}
		var why []string
		if len(image.Volumes) > 0 || len(image.Lacks) == 0 {
			why = append(why, "it needs "+neededVolumes(image.Volumes))
		}
		if n := len(image.Lacks); n > 0 {
			why = append(why, "it lacks "+lacksText(image.Lacks))
		}
		out.printf("image %s is %s: %s\n", image.Reference, incomplete(image.State), strings.Join(why, "; "))
	}
}

// lacksText counts what is missing: "2 blobs and 1 manifest".
func lacksText(missing []verify.Missing) string {
	var blobs, manifests, images int
	for _, m := range missing {
		switch {
		case len(m.Volumes) > 0:
			blobs++
		case m.Digest != "":
			manifests++
		default:
			images++
		}
	}
	var s []string
	for _, c := range []struct {
		n     int
		thing string
	}{{blobs, "blob"}, {manifests, "manifest"}, {images, "image"}} {
		if c.n > 0 {
			s = append(s, count(c.n, c.thing))
		}
	}
	return strings.Join(s, " and ")
}

func leanText(l verify.Lean) string {
	id := "bundle ID " + string(l.Bundle)
	if l.Bundle == "" {
		id = "plan ID " + string(l.Plan)
	}
	need := "need"
	if l.Images == 1 {
		need = "needs"
	}
	return fmt.Sprintf("leans on %s (%s): %s that %s %s must be at the site", l.Name, id, count(l.Blobs, "blob"), count(l.Images, "image"), need)
}

// summary is the verdict in one line.
func (r *verified) summary() string {
	images, hit := len(r.Images), r.hit()
	switch {
	case r.OK:
		return fmt.Sprintf("ok: %s, %s, %s, %s, %s in %s, read at %s", r.Name, count(images, "image"), count(r.Manifests, "manifest"),
			count(r.Blobs, "blob"), human(r.Bytes), count(len(r.Volumes), "volume"), r.rate)
	case r.Err() == verify.ErrQuick:
		return fmt.Sprintf("quick check of %s: structure and sizes agree; contents were not read, so damage is still possible", r.Name)
	case len(r.Findings) > 0 && images == 0:
		return fmt.Sprintf("DAMAGED: %s: no volume can be read far enough to know its images", nameOr(r.Name))
	case len(r.Findings) > 0 && hit == 0 && !r.Quick:
		return fmt.Sprintf("DAMAGED: %s: but no image is hit; all of them can be unpacked from these media", r.Name)
	case len(r.Findings) > 0:
		return fmt.Sprintf("DAMAGED: %s: %d of %d images cannot be unpacked", r.Name, hit, images)
	}
	said := []string{"contents were not read"}
	if r.HereIsWhole() {
		said = []string{"what is here is whole"}
	}
	if len(r.Missing) > 0 {
		said = append(said, "it lacks "+lacksText(r.Missing))
	}
	if n := len(r.MissingVolumes); n > 0 {
		said = append(said, fmt.Sprintf("%s of %d not here", volumesText(r.MissingVolumes), len(r.MissingVolumes)+r.volumesHere()))
	}
	return fmt.Sprintf("INCOMPLETE: %s: %s; %d of %d images need what is missing", r.Name, strings.Join(said, "; "), hit, images)
}

// volumesHere counts the volumes that are there, copies once.
func (r *verified) volumesHere() int {
	numbers := make(map[int]bool)
	for _, v := range r.Volumes {
		if v.State != verify.StateMissing {
			numbers[v.Number] = true
		}
	}
	return len(numbers)
}

// printCommands prints how the packing side makes good what is damaged, missing
// or lost.
func (r *verified) printCommands(out *output) {
	if r.PackAgain != "" {
		out.printf("\nwhere there is a network, %s made again by:\n    %s\n", areText(r.Again), r.PackAgain)
	}
	if r.PackAbsent != "" {
		out.printf("\nif what is not here is lost, it is made again by:\n    %s\n", r.PackAbsent)
	}
	if r.PackAgain != "" || r.PackAbsent != "" {
		out.printf("where --plan may also be any volume or directory of the bundle\n")
	}
}

// volumesText renders numbers of volumes in short: "volumes 3, 5-7".
func volumesText(numbers []int) string {
	if len(numbers) == 1 {
		return fmt.Sprintf("volume %d", numbers[0])
	}
	return "volumes " + strings.ReplaceAll(volumeRanges(numbers), ",", ", ")
}

func areText(numbers []int) string {
	if len(numbers) == 1 {
		return volumesText(numbers) + " is"
	}
	return volumesText(numbers) + " are"
}

func incomplete(state string) string {
	if state == verify.StateMissing {
		return "incomplete"
	}
	return state
}

func nameOr(name string) string {
	if name == "" {
		return "the bundle"
	}
	return name
}

// idText is the bundle ID, or why it is not known.
func (l *mediaList) idText(id string) string {
	switch {
	case id != "":
		return id
	case len(l.unfinished) > 0:
		return "unknown: inventory.json is not here; pack writes it last"
	}
	return "unknown: inventory.json is not here; pack writes it last, onto the media that are there then"
}

func neededVolumes(numbers []int) string {
	if len(numbers) == 0 {
		return "what is damaged"
	}
	return volumesText(numbers)
}

// volumeList renders volume numbers for people: "volumes 1, 3".
func volumeList(numbers []int) string {
	if len(numbers) == 0 {
		return "its manifests only"
	}
	s := make([]string, len(numbers))
	for i, n := range numbers {
		s[i] = fmt.Sprint(n)
	}
	if len(numbers) == 1 {
		return "volume " + s[0]
	}
	return "volumes " + strings.Join(s, ", ")
}
