package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// What follows works on valid compact JSON only, which the splitter makes: it
// finds its way by brackets and quotes alone and allocates nothing for what is
// not asked for.

// member is one key of a mapping with its value.
type member struct {
	key   string
	value []byte
}

// members takes a mapping apart. Keys that differ by case alone are refused:
// opm reads keys without regard to it (operator-registry,
// alpha/declcfg/declcfg.go) and refuses them too.
func members(data []byte) ([]member, error) {
	if len(data) == 0 || data[0] != '{' {
		return nil, fmt.Errorf("%.40q is no mapping", data)
	}
	var all []member
	seen := make(map[string]bool)
	for i := 1; data[i] != '}'; {
		if data[i] == ',' {
			i++
		}
		end := skip(data, i)
		key, err := text(data[i:end])
		if err != nil {
			return nil, err
		}
		if folded := strings.ToLower(key); seen[folded] {
			return nil, fmt.Errorf("key %.80q stands twice", key)
		} else {
			seen[folded] = true
		}
		i = end + 1
		end = skip(data, i)
		all = append(all, member{key, data[i:end]})
		i = end
	}
	return all, nil
}

// value finds a key, without regard to case; null is as good as nothing.
func value(all []member, key string) []byte {
	for _, m := range all {
		if strings.EqualFold(m.key, key) && string(m.value) != "null" {
			return m.value
		}
	}
	return nil
}

// textOf finds a key whose value must be text; missing is empty.
func textOf(all []member, key string) (string, error) {
	raw := value(all, key)
	if raw == nil {
		return "", nil
	}
	s, err := text(raw)
	if err != nil {
		return "", fmt.Errorf("%s: %w", key, err)
	}
	return s, nil
}

// elements visits the elements of a list; nothing is an empty list.
func elements(data []byte, visit func([]byte) error) error {
	if len(data) == 0 {
		return nil
	}
	if data[0] != '[' {
		return fmt.Errorf("%.40q is no list", data)
	}
	for i := 1; data[i] != ']'; {
		if data[i] == ',' {
			i++
		}
		end := skip(data, i)
		if err := visit(data[i:end]); err != nil {
			return err
		}
		i = end
	}
	return nil
}

// skip returns the end of the value that begins at i.
func skip(data []byte, i int) int {
	switch data[i] {
	case '"':
		return skipText(data, i)
	case '{', '[':
		depth := 0
		for {
			switch data[i] {
			case '"':
				i = skipText(data, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			}
			i++
		}
	}
	for i < len(data) && data[i] != ',' && data[i] != '}' && data[i] != ']' {
		i++
	}
	return i
}

func skipText(data []byte, i int) int {
	for i++; ; {
		i += bytes.IndexByte(data[i:], '"') + 1
		escapes := 0
		for data[i-2-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
}

var errNoText = errors.New("is no text")

// text decodes a string. The result does not hold on to data.
func text(data []byte) (string, error) {
	if len(data) == 0 || data[0] != '"' {
		return "", fmt.Errorf("%.40q %w", data, errNoText)
	}
	inner := data[1 : len(data)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		return string(inner), nil
	}
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return "", err
	}
	return s, nil
}

// join makes a mapping of members again.
func join(all []member) ([]byte, error) {
	out := []byte{'{'}
	for i, m := range all {
		if i > 0 {
			out = append(out, ',')
		}
		key, err := plain(m.key)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, key...), ':'), m.value...)
	}
	return append(out, '}'), nil
}

// plain encodes text without the escapes that only HTML needs.
func plain(s string) ([]byte, error) {
	if isPlain(s) {
		return append(append(append(make([]byte, 0, len(s)+2), '"'), s...), '"'), nil
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// isPlain tells whether text stands in JSON as it is, as nearly all does.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
