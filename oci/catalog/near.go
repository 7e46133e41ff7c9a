package catalog

import (
	"fmt"
	"strings"
)

// nearest says which package may be meant.
func nearest(name string, all []Package) string {
	best, least := "", max(len(name)/3, 2)+1
	for i := range all {
		other := all[i].Name
		n := distance(name, other, least)
		if strings.HasPrefix(other, name) || strings.HasSuffix(other, name) {
			n = min(n, 1)
		}
		if n < least {
			best, least = other, n
		}
	}
	if best == "" {
		var names []string
		for i := range all {
			names = append(names, all[i].Name)
		}
		if list := strings.Join(names, ", "); len(list) <= maxListed {
			return "choose one of " + list
		}
		return fmt.Sprintf("choose one of its %d packages", len(all))
	}
	return fmt.Sprintf("perhaps %s is meant", best)
}

// maxListed bounds the names of packages in an error, in bytes. Red Hat's catalog has
// two hundred.
const maxListed = 8 << 10

// distance is the number of characters to change between two names, or anything
// not below limit.
func distance(a, b string, limit int) int {
	if len(a) > 253 || len(b) > 253 || max(len(a), len(b))-min(len(a), len(b)) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
