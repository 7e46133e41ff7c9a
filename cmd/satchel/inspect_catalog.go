package main

import (
	"strings"

	"satchel/bundle"
	"satchel/transfer"
)

// inspectedCatalog is an operator catalog in the result of inspect.
type inspectedCatalog struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	// Original is the digest of what was asked for, if the catalog was made of it
	// with what was selected.
	Original string `json:"original,omitempty"`
	// Operators are those in it; none when there are too many to be noted.
	Operators []string `json:"operators,omitempty"`
}

func describeCatalogs(plan *bundle.Plan) []inspectedCatalog {
	var all []inspectedCatalog
	for _, c := range transfer.Catalogs(plan) {
		one := inspectedCatalog{Reference: c.Reference, Digest: string(c.Digest), Operators: c.Packages}
		if c.Original != c.Digest {
			one.Original = string(c.Original)
		}
		all = append(all, one)
	}
	return all
}

func (c *inspectedCatalog) print(out *output) {
	out.printf("\noperator catalog %s\n  %s\n", c.Reference, c.Digest)
	if c.Original != "" {
		out.printf("  made of %s with what was selected\n", c.Original)
	}
	if len(c.Operators) > 0 {
		out.printf("  operators: %s\n", strings.Join(c.Operators, ", "))
	}
}
