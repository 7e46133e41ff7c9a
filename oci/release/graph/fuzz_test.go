package graph_test

import (
	"testing"

	"satchel/oci/release/graph"
)

// FuzzParse: what is accepted can be asked, and answers as the other code does.
func FuzzParse(f *testing.F) {
	f.Add([]byte(text("4.9.0 4.10.0 4.11.0 4.12.0 4.9.0>4.10.0 4.10.0>4.11.0 4.9.0>4.11.0!a 4.11.0>4.12.0!a,b 4.11.0>4.9.0")))
	f.Add([]byte(text("1.0.0 1.0.0+a 1.0.0-rc 1.0.0>1.0.0+a 1.0.0>1.0.0-rc")))
	f.Add([]byte(`{"nodes":null,"edges":null}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := graph.Parse(data)
		if err != nil {
			return
		}
		if _, ok := g.Latest(); !ok {
			return
		}
		if s := readSimple(t, data); len(s.versions) <= 12 {
			checkPaths(t, data, 1)
		}
	})
}
