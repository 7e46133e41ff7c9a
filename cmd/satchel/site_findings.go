package main

import (
	"fmt"
	"strings"

	"satchel/transfer/nodeconf"
)

// maxScopes is how many scopes of one finding are named; README.md has all.
const maxScopes = 5

// sayFindings says what was found: findings that differ in what they are about in one
// line, and last what the cluster would refuse.
func sayFindings(out *output, findings []nodeconf.Finding) {
	scopes := make(map[nodeconf.Finding][]string) // by the finding without one
	var order []nodeconf.Finding
	for _, f := range findings {
		scope := f.Scope
		f.Scope = ""
		if _, ok := scopes[f]; !ok {
			order = append(order, f)
		}
		scopes[f] = append(scopes[f], scope)
	}
	for _, refused := range []bool{false, true} {
		what := "warning"
		if refused {
			what = "refused"
		}
		for _, f := range order {
			if f.Refused != refused {
				continue
			}
			about := scopes[f]
			if n := len(about) - maxScopes; n > 1 {
				about = append(about[:maxScopes:maxScopes], fmt.Sprintf("%d more (in README.md)", n))
			}
			f.Scope = strings.Join(about, ", ")
			out.message("%s: %s", what, f)
		}
	}
}
