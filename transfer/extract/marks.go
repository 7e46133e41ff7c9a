package extract

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
)

// markKind is a place in a program that is reserved for what is known only when
// the release is made: openshift/oc, pkg/cli/admin/release/extract_tools.go.
type markKind int

const (
	markLocation markKind = iota
	markVersion
	markArchitecture
)

// Every marker is a NUL, the infix with what follows it, a NUL, room, and a NUL.
// None stands in this program as a whole: the room is made when it runs, so that
// no one who looks for markers finds one here.
const markInfix = "_RELEASE_"

// marker returns the name of a kind and the bytes that stand for it.
func (k markKind) marker() (what string, marker []byte) {
	name, room := "IMAGE", 300
	what = "location of the release image"
	switch k {
	case markVersion:
		name, room, what = "VERSION", 64, "version of the release"
	case markArchitecture:
		name, room, what = "ARCHITECTURE", 64, "architecture of the release"
	}
	return what, []byte("\x00" + markInfix + name + "_LOCATION_\x00" + strings.Repeat("X", room) + "\x00")
}

// mark is a marker and the value that is to stand in its place.
type mark struct {
	what   string
	marker []byte
	value  string
}

// newMark refuses a value that does not fit with the NUL that ends it.
func newMark(k markKind, value string) (mark, error) {
	what, marker := k.marker()
	if room := len(marker) - 1; len(value) > room {
		return mark{}, fmt.Errorf("%s %q: %d bytes, and programs have room for %d", what, value, len(value), room)
	}
	if strings.IndexByte(value, 0) >= 0 {
		return mark{}, fmt.Errorf("%s %q has a NUL", what, value)
	}
	return mark{what, marker, value}, nil
}

// bufferSize is what is copied at once in bytes; it holds any marker several
// times.
const bufferSize = 64 << 10

// copyMarked copies r to w and puts the values in the place of the first of each
// marker: at its beginning and with a NUL behind it, the rest of the marker as
// it was, so that nothing changes its place. It returns the marks for which there
// was no place. buffer is at least twice as long as any marker.
func copyMarked(w io.Writer, r io.Reader, marks []mark, buffer []byte) (missing []mark, err error) {
	missing = slices.Clone(marks)
	held := 0 // bytes in buffer that may begin a marker, or be within one
	for len(missing) > 0 {
		n, err := r.Read(buffer[held:])
		end := held + n
		missing = replace(buffer[:end], missing)
		done := end
		if err == nil {
			done = max(0, end-longest(missing)+1)
		}
		if _, err := w.Write(buffer[:done]); err != nil {
			return nil, &writeError{err}
		}
		if err == io.EOF {
			return missing, nil
		}
		if err != nil {
			return nil, err
		}
		held = copy(buffer, buffer[done:end])
	}
	for {
		n, err := r.Read(buffer)
		if _, err := w.Write(buffer[:n]); err != nil {
			return nil, &writeError{err}
		}
		if err == io.EOF {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// replace puts values where their markers stand in b, and returns the marks
// without those.
func replace(b []byte, marks []mark) []mark {
	for from := 0; len(marks) > 0; {
		i := bytes.Index(b[from:], []byte(markInfix))
		if i < 0 {
			break
		}
		begin := from + i - 1
		from += i + len(markInfix)
		if begin < 0 {
			continue
		}
		at := b[begin:]
		found := slices.IndexFunc(marks, func(m mark) bool { return bytes.HasPrefix(at, m.marker) })
		if found >= 0 {
			n := copy(at, marks[found].value)
			at[n] = 0
			marks = slices.Delete(marks, found, found+1)
		}
	}
	return marks
}

// longest is the length of the longest marker, 1 if there is none.
func longest(marks []mark) int {
	n := 1
	for _, m := range marks {
		n = max(n, len(m.marker))
	}
	return n
}
