//go:build !windows

package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// fields returns the fields of a JSON object that the struct T does not have. It
// refuses what two readers could take for different things: a field that is there
// twice, or one of T's in other letters, which Go's decoder takes for it.
func fields[T any](content []byte) (map[string]json.RawMessage, error) {
	known := names(reflect.TypeFor[T]())
	dec := json.NewDecoder(bytes.NewReader(content))
	if err := expect(dec, json.Delim('{')); err != nil {
		return nil, err
	}
	unknown := make(map[string]json.RawMessage)
	seen := make(map[string]bool)
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, _ := token.(string)
		if seen[key] {
			return nil, fmt.Errorf("field %.128q is there twice", key)
		}
		seen[key] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		like := slices.IndexFunc(known, func(name string) bool { return strings.EqualFold(name, key) })
		switch {
		case like < 0:
			unknown[key] = value
		case known[like] != key:
			return nil, fmt.Errorf("field %q is written %q", known[like], key)
		}
	}
	if err := expect(dec, json.Delim('}')); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows")
	}
	return unknown, nil
}

// names are those that the fields of a struct have in JSON.
func names(t reflect.Type) (all []string) {
	for _, field := range reflect.VisibleFields(t) {
		if field.Anonymous {
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		all = append(all, name)
	}
	return all
}

// withFields returns a config with more fields of its own and of its "config".
// Without any it stays as it is.
func withFields(content []byte, more, moreConfig map[string]json.RawMessage) ([]byte, error) {
	if len(more)+len(moreConfig) == 0 {
		return content, nil
	}
	var all, config map[string]json.RawMessage
	if err := json.Unmarshal(content, &all); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(all["config"], &config); err != nil {
		return nil, err
	}
	maps.Copy(all, more)
	maps.Copy(config, moreConfig)
	var err error
	if all["config"], err = json.Marshal(config); err != nil {
		return nil, err
	}
	return json.Marshal(all)
}
