package nodeconf

import (
	"maps"
	"slices"
)

// order is a graph of what comes before what.
type order map[string]*step

type step struct {
	name   string
	done   bool
	before map[*step]bool // not done yet
	after  []*step
}

func (o order) at(name string) *step {
	s := o[name]
	if s == nil {
		s = &step{name: name, before: make(map[*step]bool)}
		o[name] = s
	}
	return s
}

func (o order) add(first, then string) {
	x, y := o.at(first), o.at(then)
	if !y.before[x] {
		y.before[x] = true
		x.after = append(x.after, y)
	}
}

// sorted returns the names so that each comes after those before it, as far as
// that goes: a circle is broken at the first of its names by the alphabet. It is the
// order of openshift/runtime-utils, pkg/registries/topo.go, and uses up o.
func (o order) sorted() []string {
	names := slices.Sorted(maps.Keys(o))
	var ready []*step
	for _, name := range names {
		if len(o[name].before) == 0 {
			ready = append(ready, o[name])
		}
	}
	var result []string
	for len(names) > 0 || len(ready) > 0 {
		var s *step
		if len(ready) > 0 {
			s, ready = ready[0], ready[1:]
		} else {
			s, names = o[names[0]], names[1:]
			if s.done {
				continue
			}
		}
		s.done = true
		result = append(result, s.name)
		var next []*step
		for _, after := range s.after {
			delete(after.before, s)
			if len(after.before) == 0 && !after.done {
				next = append(next, after)
			}
		}
		slices.SortFunc(next, func(x, y *step) int {
			if x.name < y.name {
				return -1
			}
			return 1
		})
		ready = append(ready, next...)
	}
	return result
}
