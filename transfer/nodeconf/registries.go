package nodeconf

import (
	"fmt"
	"strings"
)

// base is the file that each node starts from: openshift/machine-config-operator,
// templates/{master,worker,arbiter}/01-*-container-runtime/_base/files/container-registries.yaml,
// as it is after it was read and written again.
const base = "unqualified-search-registries = [\"registry.access.redhat.com\", \"docker.io\"]\nshort-name-mode = \"\"\n"

// Registries returns /etc/containers/registries.conf. The errors are those of
// [Merge]. o.Search is not in it but in a file of its own, see [SearchRegistries];
// o.Allowed is in policy.json, see [Policy].
func Registries(o Cluster) ([]byte, error) {
	n, err := Merge(o)
	if err != nil {
		return nil, err
	}
	return n.registriesConf(), nil
}

func (n *Nodes) registriesConf() []byte {
	var b strings.Builder
	b.WriteString(base)
	for _, r := range n.registries {
		if strings.HasPrefix(r.scope, wildcard) {
			fmt.Fprintf(&b, "\n[[registry]]\n  prefix = \"%s\"\n", r.scope)
		} else {
			fmt.Fprintf(&b, "\n[[registry]]\n  prefix = \"\"\n  location = \"%s\"\n", r.scope)
		}
		if r.insecure {
			b.WriteString("  insecure = true\n")
		}
		if r.blocked {
			b.WriteString("  blocked = true\n")
		}
		for _, m := range r.mirrors {
			fmt.Fprintf(&b, "\n  [[registry.mirror]]\n    location = \"%s\"\n", m.location)
			if m.insecure {
				b.WriteString("    insecure = true\n")
			}
			fmt.Fprintf(&b, "    pull-from-mirror = \"%s\"\n", m.pull)
		}
	}
	return []byte(b.String())
}

// SearchRegistries returns
// /etc/containers/registries.conf.d/01-image-searchRegistries.conf, whose list takes
// the place of that in registries.conf; nil when there are none.
func SearchRegistries(search []string) ([]byte, error) {
	if len(search) == 0 {
		return nil, nil
	}
	quoted := make([]string, len(search))
	for i, host := range search {
		if err := checkScope("search registry", host); err != nil {
			return nil, err
		}
		quoted[i] = `"` + host + `"`
	}
	return []byte("unqualified-search-registries = [" + strings.Join(quoted, ", ") + "]\nshort-name-mode = \"\"\n"), nil
}
