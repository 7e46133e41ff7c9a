package nodeconf

import "strings"

// scopes finds those of many scopes that a place lies in, without looking at each.
type scopes struct {
	index map[string]int // of the first that is the same
	wild  []string       // *.HOST
}

func newScopes(all []string) scopes {
	s := scopes{index: make(map[string]int, len(all))}
	for i, scope := range all {
		if _, there := s.index[scope]; there {
			continue
		}
		s.index[scope] = i
		if strings.HasPrefix(scope, wildcard) {
			s.wild = append(s.wild, scope)
		}
	}
	return s
}

// around calls f with each scope that the place lies in, by [nested]: the place
// itself, what ends before one of its slashes, and wildcards.
func (s scopes) around(place string, f func(scope string, i int)) {
	for name := place; ; {
		if i, ok := s.index[name]; ok && (name == place || !strings.HasPrefix(name, wildcard)) {
			f(name, i)
		}
		slash := strings.LastIndexByte(name, '/')
		if slash < 0 {
			break
		}
		name = name[:slash]
	}
	for _, scope := range s.wild {
		if scope != place && nested(place, scope) {
			f(scope, s.index[scope])
		}
	}
}

// within returns the first of the scopes that a place lies in.
func (s scopes) within(place string) (string, bool) {
	first, best := "", -1
	s.around(place, func(scope string, i int) {
		if best < 0 || i < best {
			first, best = scope, i
		}
	})
	return first, best >= 0
}

// widest is the longest scope around another one, the first by the alphabet of two;
// nodes know of no wider.
func (s scopes) widest(source string) (string, bool) {
	best := ""
	s.around(source, func(scope string, _ int) {
		if scope != source && (len(scope) > len(best) || len(scope) == len(best) && scope < best) {
			best = scope
		}
	})
	return best, best != ""
}
