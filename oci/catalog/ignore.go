package catalog

import (
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
		p.segments = strings.Split(line, "/")
		i.patterns = append(i.patterns, p)
	}
	return i
}

// ignored tells whether a file is excluded. ignores are sorted by directory, so
// that those further down come later.
func ignored(ignores []ignore, name string) bool {
	for i := len(ignores) - 1; i >= 0; i-- {
		below := name
		if ignores[i].directory != "" {
			var ok bool
			if below, ok = strings.CutPrefix(name, ignores[i].directory+"/"); !ok {
				continue
			}
		}
		segments := strings.Split(below, "/")
		for j := len(ignores[i].patterns) - 1; j >= 0; j-- {
			if p := ignores[i].patterns[j]; p.matches(segments) {
				return !p.include
			}
		}
	}
	return false
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
