package main

import (
	"fmt"
	"strings"
	"testing"

	"satchel/transfer/nodeconf"
)

// TestSayFindings: what differs in its scope alone is one line, and what the cluster
// would refuse is the last.
func TestSayFindings(t *testing.T) {
	findings := []nodeconf.Finding{{Problem: "two policies", Remedy: "set one", Refused: true, Scope: "a.example"}, {Problem: "kept out", Scope: "b.example"}}
	for count, want := range map[int]string{
		7: "warning: b.example: kept out\nwarning: c0.example, c1.example, c2.example, c3.example, c4.example, 2 more (in README.md): not allowed; add it\nrefused: a.example: two policies; set one\n",
		6: "warning: b.example: kept out\nwarning: c0.example, c1.example, c2.example, c3.example, c4.example, c5.example: not allowed; add it\nrefused: a.example: two policies; set one\n",
	} {
		all := findings[:2:2]
		for i := range count {
			all = append(all, nodeconf.Finding{Scope: fmt.Sprintf("c%d.example", i), Problem: "not allowed", Remedy: "add it"})
		}
		var stderr strings.Builder
		sayFindings(&output{stderr: &stderr}, all)
		if got := strings.ReplaceAll(stderr.String(), "satchel: ", ""); got != want {
			t.Errorf("%d: said\n%s\nwant\n%s", count, got, want)
		}
	}
}
