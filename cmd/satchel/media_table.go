package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"satchel/verify"
)

// mediaList is what media are, beside the bundle that they hold.
type mediaList struct {
	// media are the directories as they were named, each once.
	media      []string
	unfinished []unfinishedVolume
}

// mediaRow is a row of the table of what lies on which medium.
type mediaRow struct {
	number                         int // of the first volume
	state, volume, present, medium string
}

// volumeRows makes the table's rows from what is known of the volumes: medium by
// medium, each with its volumes in their order, then what is not there. state
// says in a word how a volume is.
func (l *mediaList) volumeRows(volumes []verify.VolumeReport, state func(verify.VolumeReport) string) []mediaRow {
	var rows []mediaRow
	for _, medium := range l.media {
		var here []mediaRow
		for _, v := range volumes {
			if v.Medium == medium && v.State != verify.StateMissing {
				here = append(here, mediaRow{v.Number, state(v), v.Name, human(v.Size), medium})
			}
		}
		for _, u := range l.unfinished {
			if u.Medium == medium {
				here = append(here, mediaRow{u.Number, "unfinished", u.Name, human(u.Size), medium})
			}
		}
		if len(here) == 0 {
			here = []mediaRow{{0, "-", "none of this bundle", "-", medium}}
		}
		slices.SortStableFunc(here, func(x, y mediaRow) int { return x.number - y.number })
		rows = append(rows, here...)
	}
	return append(rows, l.absentRows(volumes)...)
}

// absentRows has one row for volumes that follow each other.
func (l *mediaList) absentRows(volumes []verify.VolumeReport) []mediaRow {
	var rows []mediaRow
	last := 0
	for _, v := range volumes {
		if v.State != verify.StateMissing || l.isUnfinished(v.Number) {
			continue
		}
		if len(rows) > 0 && v.Number == last+1 {
			first, _, _ := strings.Cut(rows[len(rows)-1].volume, " ")
			rows[len(rows)-1].volume = fmt.Sprintf("%s to %04d", first, v.Number)
		} else {
			rows = append(rows, mediaRow{v.Number, "not here", v.Name, "-", "-"})
		}
		last = v.Number
	}
	return rows
}

func (l *mediaList) isUnfinished(number int) bool {
	return slices.ContainsFunc(l.unfinished, func(u unfinishedVolume) bool { return u.Number == number })
}

// printTable prints rows under the heads of their columns.
func printTable(out *output, heads []string, rows [][]string) {
	rows = append([][]string{heads}, rows...)
	widths := make([]int, len(heads))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			fmt.Fprintf(&line, "%-*s  ", widths[i], cell)
		}
		out.printf("%s\n", strings.TrimRight(line.String(), " "))
	}
}
