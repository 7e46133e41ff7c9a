package ocdir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits on a mapping file.
const (
	maxMappings    = 100_000
	maxMappingFile = 64 << 20 // bytes
)

// Mapping says where an image goes.
type Mapping struct {
	// Source names an image, or several: with * in its tag, or with neither tag
	// nor digest.
	Source string
	// Destination is a repository with or without a tag, never with a digest.
	// Without one the tag of the source is kept.
	Destination string
	// Line is where it stands, from 1.
	Line int
}

// ParseMapping reads lines SRC=DST and SRC DST [DST…] as `oc image mirror -f`
// does (openshift/oc, pkg/cli/image/mirror/mappings.go): a # begins a comment
// wherever it stands, parts are separated by spaces. name is that of the file, for
// errors, which have the line too. Whether the references are right is not
// judged, but what oc refuses in any is an error: an empty side, a destination
// with a digest or a *, twice the same tag as destination, SRC that is DST. So is
// what oc passes over in silence, a part without = beside one that has it. Of a
// source that names several images the caller checks that the destination has no
// tag and that no two go to the same. Unlike with oc, several images may go to
// one repository without tags.
func ParseMapping(r io.Reader, name string) ([]Mapping, error) {
	limited := &io.LimitedReader{R: r, N: maxMappingFile + 1}
	lines := bufio.NewScanner(limited)
	var mappings []Mapping
	taken := make(map[string]int) // lines, by destination
	n := 1
	for ; lines.Scan(); n++ {
		line := lines.Text()
		if n == 1 {
			line = strings.TrimPrefix(line, "\ufeff") // Windows' editors begin files with it
		}
		line, _, _ = strings.Cut(line, "#")
		found, err := parseLine(strings.TrimSpace(line))
		for i := range found {
			if err != nil {
				break
			}
			m := &found[i]
			m.Line = n
			if key := m.tagged(); key != "" && taken[key] != 0 {
				err = fmt.Errorf("%s is a destination in line %d already", key, taken[key])
			} else if key != "" {
				taken[key] = n
			}
		}
		if err == nil && len(mappings)+len(found) > maxMappings {
			err = fmt.Errorf("more than %d mappings", maxMappings)
		}
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", name, n, err)
		}
		mappings = append(mappings, found...)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s, line %d: %w", name, n, err)
	}
	if limited.N <= 0 {
		return nil, fmt.Errorf("%s: more than %d bytes", name, maxMappingFile)
	}
	return mappings, nil
}

// parseLine reads a line without comment and white space around it.
func parseLine(line string) ([]Mapping, error) {
	var plain []string
	var mappings []Mapping
	for part := range strings.SplitSeq(line, " ") {
		if part == "" {
			continue
		}
		if strings.ContainsFunc(part, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return nil, fmt.Errorf("%.200q: only spaces separate, and references are of ASCII", part)
		}
		source, destination, ok := strings.Cut(part, "=")
		if !ok {
			plain = append(plain, part)
			continue
		}
		mappings = append(mappings, Mapping{Source: source, Destination: destination})
	}
	switch {
	case len(plain) > 0 && len(mappings) > 0:
		return nil, fmt.Errorf("%.200q stands beside SRC=DST", plain[0])
	case len(plain) == 1:
		return nil, fmt.Errorf("%.200q is neither SRC=DST nor SRC DST", plain[0])
	case len(plain) > 1:
		for _, destination := range plain[1:] {
			mappings = append(mappings, Mapping{Source: plain[0], Destination: destination})
		}
	}
	for _, m := range mappings {
		if err := m.check(); err != nil {
			return nil, err
		}
	}
	return mappings, nil
}

func (m Mapping) check() error {
	switch {
	case m.Source == "" || m.Destination == "":
		return fmt.Errorf("%.200q is not SRC=DST", m.Source+"="+m.Destination)
	case strings.Contains(m.Destination, "="):
		return fmt.Errorf("destination %.200q has an =", m.Destination)
	case strings.Contains(m.Destination, "@"):
		return fmt.Errorf("destination %.200q has a digest: give it a tag, or neither", m.Destination)
	case strings.Contains(m.Destination, "*"):
		return fmt.Errorf("destination %.200q has a *: only the tags of sources expand", m.Destination)
	case m.Source == m.Destination:
		return errors.New("source and destination are the same")
	}
	return nil
}

// tagged returns the destination with its tag, or with the one that it takes from
// the source, and nothing when that is unknown.
func (m Mapping) tagged() string {
	if tagOf(m.Destination) != "" {
		return m.Destination
	}
	tag := tagOf(m.Source)
	if tag == "" || strings.Contains(tag, "*") {
		return ""
	}
	return m.Destination + ":" + tag
}

// tagOf returns the tag of a reference, which may be a pattern.
func tagOf(reference string) string {
	name, _, _ := strings.Cut(reference, "@")
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		return name[i+1:]
	}
	return ""
}
