package release

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Names in the verification ConfigMap (openshift/library-go,
// pkg/verify/configmap.go).
const (
	verificationAnnotation = "release.openshift.io/verification-config-map"
	keyPrefix              = "verifier-public-key-"
	storePrefix            = "store-"
)

const (
	maxKeys   = 16 // and as many stores
	maxKey    = 128 << 10
	maxStore  = 2048
	maxSuffix = 253 // as Kubernetes bounds the keys of a ConfigMap
)

// Verification says by which keys a release must be signed, and where its
// signatures are.
type Verification struct {
	// Keys are keyrings; each must have made at least one signature. Stores
	// are alternatives. Both are sorted by name, and neither is empty.
	Keys   []Key
	Stores []Store
}

// Key is an OpenPGP keyring, armored or binary, not yet looked at.
type Key struct {
	// Name is what follows verifier-public-key-.
	Name string
	Data []byte
}

// Store is a place of signatures, of scheme http, https or file.
type Store struct {
	// Name is what follows store-.
	Name string
	// URL may hold credentials: it is not for messages.
	URL string
}

// ParseVerification reads the first verification ConfigMap of a manifest, which
// may hold several documents of YAML or JSON. As in openshift/library-go,
// pkg/verify/configmap.go, a ConfigMap without any key or any store is an error,
// and other data in it is passed over.
func ParseVerification(configMap []byte) (*Verification, error) {
	fail := func(err error) (*Verification, error) { return nil, fmt.Errorf("verification ConfigMap: %w", err) }
	if len(configMap) > MaxVerification {
		return fail(fmt.Errorf("%d bytes are more than %d", len(configMap), MaxVerification))
	}
	root := findVerification(configMap)
	if root == nil {
		return fail(fmt.Errorf("there is no ConfigMap with the annotation %s", verificationAnnotation))
	}
	data := lookup(root, "data")
	if data == nil || data.ShortTag() == "!!null" {
		data = &yaml.Node{Kind: yaml.MappingNode}
	}
	if data.Kind != yaml.MappingNode {
		return fail(errors.New("data is no map"))
	}
	texts := make(map[string]string)
	for i := 0; i+1 < len(data.Content); i += 2 {
		key, text := data.Content[i].Value, resolve(data.Content[i+1])
		if text.Kind != yaml.ScalarNode || text.ShortTag() != "!!str" {
			return fail(fmt.Errorf("data: %.80q is no text", key))
		}
		texts[key] = text.Value // the last one counts, as for Kubernetes
	}
	v := &Verification{}
	for key, text := range texts {
		if name, ok := strings.CutPrefix(key, keyPrefix); ok {
			if name == "" || len(name) > maxSuffix || len(text) > maxKey {
				return fail(fmt.Errorf("data: %.80q is too long, or has no name", key))
			}
			v.Keys = append(v.Keys, Key{Name: name, Data: []byte(text)})
		} else if name, ok := strings.CutPrefix(key, storePrefix); ok {
			text = strings.TrimSpace(text)
			if name == "" || len(name) > maxSuffix || len(text) > maxStore {
				return fail(fmt.Errorf("data: %.80q is too long, or has no name", key))
			}
			if !isStore(text) {
				return fail(fmt.Errorf("data: %.80q is no URL of scheme http, https or file", key))
			}
			v.Stores = append(v.Stores, Store{Name: name, URL: text})
		}
	}
	if len(v.Keys) == 0 || len(v.Stores) == 0 {
		return fail(fmt.Errorf("it has %d keys and %d stores, and needs at least one of each", len(v.Keys), len(v.Stores)))
	}
	if len(v.Keys) > maxKeys || len(v.Stores) > maxKeys {
		return fail(fmt.Errorf("%d keys and %d stores are more than %d of each", len(v.Keys), len(v.Stores), maxKeys))
	}
	slices.SortFunc(v.Keys, func(a, b Key) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(v.Stores, func(a, b Store) int { return cmp.Compare(a.Name, b.Name) })
	return v, nil
}

func isStore(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	switch u.Scheme {
	case "http", "https":
		return u.Host != ""
	case "file":
		return u.Path != ""
	}
	return false
}

// mayVerify reports whether the bytes are worth a look: YAML costs a hundred
// times their size in memory, and no writer of manifests escapes letters.
func mayVerify(manifest []byte) bool {
	return bytes.Contains(manifest, []byte(verificationAnnotation))
}

// findVerification returns the first document that is a ConfigMap with the
// annotation, or nil. What is no YAML is passed over.
func findVerification(manifest []byte) *yaml.Node {
	for text := range documents(manifest) {
		if !mayVerify(text) {
			continue
		}
		root := parseYAML(text)
		if lookupText(root, "apiVersion") != "v1" || lookupText(root, "kind") != "ConfigMap" {
			continue
		}
		if lookup(lookup(lookup(root, "metadata"), "annotations"), verificationAnnotation) != nil {
			return root
		}
	}
	return nil
}

// parseYAML returns the root of a document of YAML or JSON, or nil.
func parseYAML(text []byte) *yaml.Node {
	// JSON is written anew: its tabs and its "\/" are none of the YAML read here.
	var v any
	if json.Unmarshal(text, &v) == nil {
		if plain, err := json.Marshal(v); err == nil {
			text = plain
		}
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil || document.Kind != yaml.DocumentNode {
		return nil
	}
	return resolve(document.Content[0])
}

// documents splits YAML at the lines that begin with "---", without reading it,
// so that a broken document does not hide the others.
func documents(manifest []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		begin, at := 0, 0
		for line := range bytes.Lines(manifest) {
			rest, ok := bytes.CutPrefix(line, []byte("---"))
			if ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0) {
				if !yield(manifest[begin:at]) {
					return
				}
				begin = at + len("---")
			}
			at += len(line)
		}
		yield(manifest[begin:])
	}
}

// resolve follows an alias to its anchor, which is no alias itself. Nothing is
// expanded, so nothing can grow.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// lookup returns the value at a key of a map, or nil. Keys may stand twice, as
// they do in real manifests (namespace, in that of 4.12.0); the last one counts,
// as for Kubernetes.
func lookup(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := len(n.Content) - 2; i >= 0; i -= 2 {
		if k := n.Content[i]; k.Kind == yaml.ScalarNode && k.Value == key {
			return resolve(n.Content[i+1])
		}
	}
	return nil
}

func lookupText(n *yaml.Node, key string) string {
	if v := lookup(n, key); v != nil && v.Kind == yaml.ScalarNode {
		return v.Value
	}
	return ""
}
