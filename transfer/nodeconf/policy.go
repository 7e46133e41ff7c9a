package nodeconf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"satchel/oci"
)

// basePolicy is the file that each node starts from: openshift/machine-config-operator,
// templates/{master,worker,arbiter}/01-*-container-runtime/_base/files/policy.yaml.
const basePolicy = `{
    "default": [
        {
            "type": "insecureAcceptAnything"
        }
    ],
    "transports":
        {
            "docker-daemon":
                {
                    "": [{"type":"insecureAcceptAnything"}]
                }
        }
}
`

var errBothLists = errors.New("allowed and blocked registries at once: the cluster accepts one of the two lists only")

type requirement struct {
	Type string `json:"type"`
}

// Policy returns /etc/containers/policy.json for allowed or for blocked registries;
// for neither the file that nodes have anyway. Both at once are refused, unless
// payload, the repository of the release image, is all that is allowed, as
// [BlockPayload] gives it. The names are those of images, not of their mirrors.
// ClusterImagePolicies are not in it.
func Policy(allowed, blocked []string, payload string) ([]byte, error) {
	if len(allowed) != 0 && len(blocked) != 0 && (payload == "" || !slices.Equal(allowed, []string{payload})) {
		return nil, errBothLists
	}
	if len(allowed) == 0 && len(blocked) == 0 {
		return []byte(basePolicy), nil
	}
	accept, reject := []requirement{{"insecureAcceptAnything"}}, []requirement{{"reject"}}
	file := struct {
		Default    []requirement                       `json:"default"`
		Transports map[string]map[string][]requirement `json:"transports"`
	}{accept, map[string]map[string][]requirement{"docker": {}, "atomic": {}, "docker-daemon": {"": accept}}}
	if len(blocked) == 0 {
		file.Default = reject
	}
	add := func(what string, scopes []string, r []requirement) error {
		for _, scope := range scopes {
			if err := checkScope(what, scope); err != nil {
				return err
			}
			file.Transports["docker"][scope] = r
			if strings.Count(scope, "/") < 3 { // the atomic transport has no deeper ones
				file.Transports["atomic"][scope] = r
			}
		}
		return nil
	}
	if err := add("allowed registry", allowed, accept); err != nil {
		return nil, err
	}
	if err := add("blocked registry", blocked, reject); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(file); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// BlockPayload returns what becomes of the blocked registries when the release image
// of a cluster lies in one of them, as the machine config operator decides it
// (getValidBlockedAndAllowedRegistries): with a mirror for digests that is not
// blocked itself, the registry is blocked in registries.conf, and the release's
// repository stays allowed in policy.json. payload is that repository, HOST/PATH.
//
// registries takes the place of o.Blocked for [Registries]; allowed and blocked
// are for [Policy]. Without such a mirror the cluster would not block it, which is an
// error here.
func BlockPayload(o Cluster, payload string) (registries, allowed, blocked []string, err error) {
	if err := oci.CheckRepository(payload); err != nil {
		return nil, nil, nil, err
	}
	for _, scope := range o.Blocked {
		registries = append(registries, scope)
		if !nested(payload, scope) {
			blocked = append(blocked, scope)
			continue
		}
		reachable, err := o.mirrorsPayload(payload)
		if err != nil {
			return nil, nil, nil, err
		}
		if !reachable {
			return nil, nil, nil, fmt.Errorf("blocked registry %s has the release image %s, which has no mirror that is not blocked: the cluster would not block it", scope, payload)
		}
		if scope != payload {
			blocked = append(blocked, scope)
		}
		allowed = append(allowed, payload) // once for each, and then Policy refuses it, as the cluster does
	}
	if len(blocked) == 0 && len(allowed) != 0 && len(o.Allowed) == 0 {
		return nil, nil, nil, fmt.Errorf("blocked registry %s is the release image's own, and the only one: the cluster would then accept no other image; block what is around it", payload)
	}
	return registries, join(allowed, o.Allowed), blocked, nil
}

// mirrorsPayload is payloadRepoHasUnblockedMirror: by the list of blocked registries
// alone, not by NeverContactSource.
func (c Cluster) mirrorsPayload(payload string) (bool, error) {
	n, err := Merge(Cluster{IDMS: c.IDMS, ICSP: c.ICSP, Insecure: c.Insecure, Blocked: c.Blocked})
	if err != nil {
		return false, err
	}
	r := n.longest(payload)
	for _, m := range r.mirrors {
		if _, blocked := newScopes(c.Blocked).within(m.location + below(payload, r.scope)); !blocked {
			return true, nil
		}
	}
	return false, nil
}
