package release

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"satchel/oci"
)

const (
	maxElements = 20_000 // of one list; tags and annotations are far fewer
	maxNesting  = 16
)

// checkDocument refuses JSON that is too large, too deep or not one document,
// or that says a key twice: readers differ in which of the two they believe.
func checkDocument(data []byte, size int) error {
	if len(data) > size {
		return fmt.Errorf("%d bytes are more than %d", len(data), size)
	}
	if err := oci.CheckJSON(data, maxElements, maxNesting); err != nil {
		return err
	}
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	// For each open object the keys so far, for each open list nil.
	var open []map[string]bool
	isKey := false
	for {
		token, err := decoder.Token()
		if err != nil {
			break // its end: the syntax is known to be right
		}
		top := len(open) - 1
		if delim, ok := token.(json.Delim); ok {
			switch delim {
			case '{':
				open = append(open, make(map[string]bool))
			case '[':
				open = append(open, nil)
			default:
				open = open[:top]
			}
		} else if key, ok := token.(string); ok && isKey {
			if open[top][key] {
				return fmt.Errorf("key %.80q stands twice", key)
			}
			open[top][key] = true
			isKey = false
			continue
		}
		isKey = len(open) > 0 && open[len(open)-1] != nil
	}
	return nil
}

// fields splits a JSON object, whose known keys must be spelt exactly: some
// readers ignore the case of letters, some do not.
func fields(data json.RawMessage, known ...string) (map[string]json.RawMessage, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	for key := range all {
		for _, k := range known {
			if key != k && strings.EqualFold(key, k) {
				return nil, fmt.Errorf("key %.80q is not %q", key, k)
			}
		}
	}
	return all, nil
}

// value decodes what stands at a key; what is missing or null is the zero value.
func value[T any](all map[string]json.RawMessage, key string) (v T, err error) {
	raw, ok := all[key]
	if !ok {
		return v, nil
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		return v, fmt.Errorf("%s: %w", key, err)
	}
	return v, nil
}
