package nodeconf

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var (
	// What the API server and the operator demand of sources and mirrors:
	// openshift/machine-config-operator, helpers.go, sourceRegex and mirrorRegex.
	validSource = regexp.MustCompile(`^\*(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))+$|^` + place + `$`)
	validMirror = regexp.MustCompile(`^` + place + `$`)
	// Registries may be anything there that has no star within. What would
	// have to be escaped is refused here.
	validScope = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9\[][A-Za-z0-9._:/\[\]-]*$`)
	validIPv6  = regexp.MustCompile(`^\[[0-9A-Fa-f:.]+\](:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)
)

// CheckRegistry refuses what is not HOST[:PORT][/PATH] or *.HOST, as people mean it when
// they name a registry: stricter than what the cluster takes.
func CheckRegistry(name string) error {
	if !validSource.MatchString(name) && !validIPv6.MatchString(name) {
		return fmt.Errorf("registry %.200q is not HOST[:PORT][/PATH] or *.HOST, the path in lower case, without scheme, tag and digest", name)
	}
	return nil
}

const place = `((?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))+)?(?::[0-9]+)?)(?:(?:/[a-z0-9]+(?:(?:(?:[._]|__|[-]*)[a-z0-9]+)+)?)+)?`

const wildcard = "*."

func checkScope(what, scope string) error {
	domain, wild := strings.CutPrefix(scope, wildcard)
	if !validScope.MatchString(scope) || wild && strings.ContainsAny(domain, "/:") {
		return fmt.Errorf("%s %.200q is not HOST[:PORT][/PATH] or *.HOST", what, scope)
	}
	return nil
}

// nested says whether a scope lies in another, or is it: as
// ScopeIsNestedInsideScope of openshift/runtime-utils.
func nested(scope, in string) bool {
	if scope == in {
		return true
	}
	if len(scope) > len(in) && strings.HasPrefix(scope, in) && scope[len(in)] == '/' {
		return true
	}
	if !strings.HasPrefix(in, wildcard) {
		return false
	}
	host, _, port := strings.Cut(scope, ":")
	if port {
		return strings.HasSuffix(host, in[1:]) && !strings.Contains(host, "/")
	}
	host, _, _ = strings.Cut(scope, "/")
	return strings.HasSuffix(host, in[1:])
}

// below returns what of a place follows a scope that it lies in. For a wildcard that
// is what follows the host, a port included.
func below(place, scope string) string {
	if strings.HasPrefix(scope, wildcard) {
		if i := strings.IndexAny(place, ":/"); i >= 0 {
			return place[i:]
		}
		return ""
	}
	return place[len(scope):]
}

// InScopes reports whether a place, HOST[:PORT][/PATH], lies in one of the scopes or is
// one, as nodes see it.
func InScopes(place string, scopes []string) bool {
	return slices.ContainsFunc(scopes, func(scope string) bool { return nested(place, scope) })
}
