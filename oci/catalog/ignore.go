package catalog

import (
	"fmt"
	"path"
	"strings"
)

// ignore is one .indexignore file, in the grammar of .gitignore. As in opm
// (joelanford/ignore over go-git's gitignore) the last pattern that matches
// decides, those of deeper directories after those above; a pattern that matches
// a directory matches all below it, and a later "!" takes files out again.
type ignore struct {
	directory string // "" at the root
	patterns  []pattern
}

type pattern struct {
	segments []string
	size     int  // in bytes
	include  bool // "!" before it
	anchored bool // a slash ties it to the directory of its file
	dirOnly  bool // a slash at its end
}

// parseIgnore reads the file of a directory, a path of package path.
func parseIgnore(directory, content string) ignore {
	i := ignore{directory: directory}
	if directory == "." {
		i.directory = ""
	}
	for line := range strings.SplitSeq(content, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		var p pattern
		line, p.include = strings.CutPrefix(line, "!")
		line, p.dirOnly = strings.CutSuffix(line, "/")
		p.anchored = strings.Contains(line, "/")
		line = strings.TrimPrefix(line, "/")
		p.size = len(line)
		p.segments = strings.Split(line, "/")
		i.patterns = append(i.patterns, p)
	}
	return i
}

// matcher says of files whether they are excluded.
type matcher struct {
	ignores []ignore // by directory, so that those further down come later
	steps   int
}

// ignored tells whether a file is excluded.
func (m *matcher) ignored(name string) (bool, error) {
	for i := len(m.ignores) - 1; i >= 0; i-- {
		below := name
		if directory := m.ignores[i].directory; directory != "" {
			var ok bool
			if below, ok = strings.CutPrefix(name, directory+"/"); !ok {
				continue
			}
		}
		segments := strings.Split(below, "/")
		for j := len(m.ignores[i].patterns) - 1; j >= 0; j-- {
			p := &m.ignores[i].patterns[j]
			if m.steps += (p.size + 1) * len(segments); m.steps > MaxMatches {
				return false, fmt.Errorf("%s of %q: more than %d comparisons: %w", ignoreFile, m.ignores[i].directory, MaxMatches, ErrLimit)
			}
			if p.matches(segments) {
				return !p.include, nil
			}
		}
	}
	return false, nil
}

// matches tells whether a pattern matches a file or a directory above it.
func (p pattern) matches(name []string) bool {
	if p.dirOnly {
		name = name[:len(name)-1]
	}
	if !p.anchored {
		for _, segment := range name {
			if ok, _ := path.Match(p.segments[0], segment); ok {
				return true
			}
		}
		return false
	}
	// reached[n] says that the segments of the pattern so far match the first n
	// of the name; "**" matches any number of them.
	reached := make([]bool, len(name)+1)
	reached[0] = true
	for k, segment := range p.segments {
		next := make([]bool, len(name)+1)
		for n, ok := range reached {
			switch {
			case segment == "**" && k == len(p.segments)-1:
				next[n] = n > 0 && (reached[n-1] || next[n-1])
			case segment == "**":
				next[n] = ok || n > 0 && next[n-1]
			case ok && n < len(name):
				if match, _ := path.Match(segment, name[n]); match {
					next[n+1] = true
				}
			}
		}
		reached = next
	}
	for _, ok := range reached[1:] {
		if ok {
			return true
		}
	}
	return false
}
