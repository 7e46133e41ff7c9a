package signature

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"
)

const payloadType = "atomic container signature"

// payload is what a signature says.
type payload struct{ digest, reference string }

// parsePayload reads the signed document as strictly as clusters do, which refuse
// unknown keys (openshift/library-go, pkg/verify/util), and refuses
// further what encoding/json tolerates: keys in another case, repeated keys,
// null, broken UTF-8, anything after the document.
func parsePayload(content []byte) (payload, error) {
	if !utf8.Valid(content) {
		return payload{}, errors.New("not UTF-8")
	}
	if !json.Valid(content) {
		return payload{}, errors.New("not one JSON document")
	}
	var p payload
	var kind string
	d := json.NewDecoder(bytes.NewReader(content))
	d.UseNumber()
	err := fields(d, "", map[string]field{
		"critical": {need: true, read: nested("critical", map[string]field{
			"type": {need: true, read: text(&kind)},
			"image": {need: true, read: nested("critical.image", map[string]field{
				"docker-manifest-digest": {need: true, read: text(&p.digest)},
			})},
			"identity": {need: true, read: nested("critical.identity", map[string]field{
				"docker-reference": {need: true, read: text(&p.reference)},
			})},
		})},
		"optional": {read: nested("optional", map[string]field{
			"creator":   {read: text(new(string))},
			"timestamp": {read: integer},
		})},
	})
	if err != nil {
		return payload{}, err
	}
	if kind != payloadType {
		return payload{}, fmt.Errorf("type is %.80q, not %q", kind, payloadType)
	}
	if p.reference == "" {
		return payload{}, errors.New("docker-reference is empty")
	}
	return p, nil
}

// field is a key that a document may have, and what reads its value.
type field struct {
	need bool
	read func(d *json.Decoder) error
}

// fields reads one JSON object at path with no keys but known ones, each at most once.
func fields(d *json.Decoder, path string, known map[string]field) error {
	where := path
	if where == "" {
		where = "the document"
	}
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return fmt.Errorf("%s is not a JSON object", where)
	}
	seen := make(map[string]bool, len(known))
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string) // syntax is valid: keys are strings
		f, ok := known[key]
		if !ok {
			return fmt.Errorf("unknown key %.80q in %s", key, where)
		}
		if seen[key] {
			return fmt.Errorf("key %q twice in %s", key, where)
		}
		seen[key] = true
		if err := f.read(d); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(known)) {
		if known[key].need && !seen[key] {
			return fmt.Errorf("%s lacks %q", where, key)
		}
	}
	_, err := d.Token()
	return err
}

func nested(path string, known map[string]field) func(d *json.Decoder) error {
	return func(d *json.Decoder) error { return fields(d, path, known) }
}

func text(to *string) func(d *json.Decoder) error {
	return func(d *json.Decoder) error {
		token, err := d.Token()
		if err != nil {
			return err
		}
		s, ok := token.(string)
		if !ok {
			return errors.New("not a string")
		}
		*to = s
		return nil
	}
}

// integer reads a number that fits 64 bits, and forgets it.
func integer(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	number, ok := token.(json.Number)
	if !ok {
		return errors.New("not a number")
	}
	if _, err := strconv.ParseInt(number.String(), 10, 64); err != nil {
		return fmt.Errorf("%.80q is not a whole number of 64 bits", number)
	}
	return nil
}
