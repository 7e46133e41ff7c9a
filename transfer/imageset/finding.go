package imageset

import (
	"fmt"
	"strings"
)

// MaxFindings bounds the findings of a file. A file with more is refused.
const MaxFindings = 500

// Finding is one line of a configuration that is wrong, or asks for what
// satchel does not do.
type Finding struct {
	// Line counts from 1.
	Line int
	// Key is the way to the place, "mirror.operators[0].catalog"; empty when the
	// file is not understood so far.
	Key string
	// Problem is what is wrong, or what is not done.
	Problem string
	// Unsupported marks what oc-mirror does and satchel does not: without it the
	// rest can be packed.
	Unsupported bool
	// Near is the nearest name that would be right, or empty.
	Near string
}

// In renders FILE:LINE: KEY: PROBLEM.
func (f Finding) In(file string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d: ", file, f.Line)
	if f.Key != "" {
		b.WriteString(f.Key + ": ")
	}
	b.WriteString(f.Problem)
	if f.Near != "" {
		fmt.Fprintf(&b, "; did you mean %q?", f.Near)
	}
	return b.String()
}

// RefusedError says that a configuration is wrong. Its text has one line for
// each problem.
type RefusedError struct {
	File string
	// Problems are the findings that are not Unsupported, at least one.
	Problems []Finding
}

func (e *RefusedError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, f := range e.Problems {
		lines[i] = f.In(e.File)
	}
	return strings.Join(lines, "\n")
}
