package layers

import (
	"fmt"
	"path"
	"strings"
)

// cleanName makes a path of tar relative to the root of the image; the root
// itself becomes "". What climbs with ".." is refused rather than taken for
// something else: readers differ in what they make of it. The result is never
// a part of name, because names from tar hold on to the megabyte of PAX records
// that they may stand in.
func cleanName(name string) (string, error) {
	if err := checkLength(name); err != nil {
		return "", err
	}
	if strings.IndexByte(name, 0) >= 0 {
		return "", fmt.Errorf("%q: %w", name, ErrName)
	}
	for element := range strings.SplitSeq(name, "/") {
		if element == ".." {
			return "", fmt.Errorf("%q: %w", name, ErrName)
		}
	}
	return path.Clean("/" + name)[1:], nil
}

func checkLength(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("%.80q…: name of %d bytes is longer than %d: %w", name, len(name), MaxName, ErrLimit)
	}
	return nil
}
