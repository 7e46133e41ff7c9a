package registry

import "strings"

// challenge is what a registry asks for: "bearer" or "basic", with parameters
// whose names are in lower case.
type challenge struct {
	scheme string
	params map[string]string
}

// parseChallenge returns the first challenge of the WWW-Authenticate fields (RFC
// 9110, 11.6.1) that can be met; a zero one when there is none. It takes any
// input.
func parseChallenge(fields []string) challenge {
	for _, field := range fields {
		for _, c := range splitChallenges(field) {
			if c.scheme == "bearer" && c.params["realm"] != "" || c.scheme == "basic" {
				return c
			}
		}
	}
	return challenge{}
}

func splitChallenges(s string) []challenge {
	var all []challenge
	for {
		s = strings.TrimLeft(s, " \t,")
		word, rest := cutToken(s)
		if word == "" {
			return all
		}
		s = strings.TrimLeft(rest, " \t")
		if !strings.HasPrefix(s, "=") {
			all = append(all, challenge{scheme: strings.ToLower(word), params: make(map[string]string)})
			continue
		}
		var value string
		value, s = cutValue(strings.TrimLeft(s[1:], " \t"))
		if len(all) > 0 {
			params := all[len(all)-1].params
			if name := strings.ToLower(word); params[name] == "" {
				params[name] = value
			}
		}
	}
}

func cutToken(s string) (token, rest string) {
	i := strings.IndexAny(s, " \t,=\"")
	if i < 0 {
		return s, ""
	}
	return s[:i], s[i:]
}

// cutValue reads a token or a quoted string with its escapes.
func cutValue(s string) (value, rest string) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, " \t,")
		if i < 0 {
			return s, ""
		}
		return s[:i], s[i:]
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), s[i+1:]
		case '\\':
			i++
			if i < len(s) {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}
