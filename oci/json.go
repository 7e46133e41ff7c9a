package oci

import (
	"errors"
	"fmt"
)

// maxElements bounds the elements of all lists and objects of a document
// together: a plan of 100,000 blobs has about half as many.
const maxElements = 4_000_000

// CheckJSON refuses JSON whose lists are longer than elements, all together longer
// than 4,000,000, or which is nested deeper than depth, before a decoder allocates anything for it: a few bytes of
// text can stand for a thousand times as much memory. It does not check the
// syntax otherwise; decoders do.
func CheckJSON(data []byte, elements, depth int) error {
	var open []int // elements so far of each open list or object
	inString, total := false, 0
	for i := 0; i < len(data); i++ {
		c := data[i]
		if inString {
			switch c {
			case '\\':
				i++
			case '"':
				inString = false
			}
			continue
		}
		switch c {
		case '"':
			inString = true
		case '[', '{':
			if len(open) == depth {
				return fmt.Errorf("nested deeper than %d", depth)
			}
			open = append(open, 1)
			total++
		case ']', '}':
			if len(open) == 0 {
				return errors.New("brackets do not match")
			}
			open = open[:len(open)-1]
		case ',':
			if len(open) == 0 {
				return errors.New("commas outside of lists")
			}
			top := &open[len(open)-1]
			if *top++; *top > elements {
				return fmt.Errorf("list of more than %d elements", elements)
			}
			total++
		}
		if total > maxElements {
			return fmt.Errorf("lists of more than %d elements together", maxElements)
		}
	}
	return nil
}
