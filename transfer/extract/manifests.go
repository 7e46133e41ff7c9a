package extract

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"satchel/oci/release"
)

// Manifests writes the files of release-manifests/ of the release image as they
// are: image-references, release-metadata and the manifests. They get their names
// together, when all was verified.
func Manifests(ctx context.Context, images Images, r Release, o Options) (*Result, error) {
	return writeManifests(ctx, images, r, o, func(x *extraction, b *batch, name string, content []byte) error {
		return x.write(b, name, content)
	})
}

// providers gives for each cloud the kind of provider in its requests:
// openshift/oc, pkg/cli/admin/release/extract.go.
func providers() map[string]string {
	return map[string]string{
		"alibabacloud": "AlibabaCloudProviderSpec",
		"aws":          "AWSProviderSpec",
		"azure":        "AzureProviderSpec",
		"gcp":          "GCPProviderSpec",
		"ibmcloud":     "IBMCloudProviderSpec",
		"nutanix":      "NutanixProviderSpec",
		"openstack":    "OpenStackProviderSpec",
		"ovirt":        "OvirtProviderSpec",
		"powervs":      "IBMCloudPowerVSProviderSpec",
		"vsphere":      "VSphereProviderSpec",
	}
}

// Clouds lists the clouds that [CredentialsRequests] knows, sorted. The caller
// owns the slice.
func Clouds() []string {
	var names []string
	for name := range providers() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// CredentialsRequests writes those documents of the manifests that are requests
// for credentials, for one of [Clouds] or, if cloud is empty, for all. Each gets
// a file of its own, byte for byte, under the name of the manifest, with a number
// where a manifest has several. A manifest that cannot be read is a warning in
// the result; that there are none is one too.
func CredentialsRequests(ctx context.Context, images Images, r Release, cloud string, o Options) (*Result, error) {
	provider, ok := providers()[cloud]
	if !ok && cloud != "" {
		return nil, fmt.Errorf("cloud %q is not known: there are %s", cloud, strings.Join(Clouds(), ", "))
	}
	result, err := writeManifests(ctx, images, r, o, func(x *extraction, b *batch, name string, content []byte) error {
		return x.writeRequests(b, name, content, provider)
	})
	if err == nil && len(result.Files) == 0 {
		what := "the payload has no request for credentials"
		if cloud != "" {
			what += " of the cloud " + cloud
		}
		result.Warnings = append(result.Warnings, what)
	}
	return result, err
}

func writeManifests(ctx context.Context, images Images, r Release, o Options, visit func(*extraction, *batch, string, []byte) error) (*Result, error) {
	x, err := newExtraction(images, r, o)
	if err != nil {
		return nil, err
	}
	img, err := x.image(ctx, x.reference())
	if err != nil {
		return nil, err
	}
	var b batch
	defer b.discard()
	err = release.Manifests(ctx, img.open, img.manifest, func(name string, content []byte) error {
		return visit(x, &b, name, content)
	})
	if err != nil {
		return nil, fmt.Errorf("release %s: %w", x.reference(), err)
	}
	return x.result, x.commit(&b)
}

// writeRequests writes the requests of one manifest.
func (x *extraction) writeRequests(b *batch, name string, content []byte, provider string) error {
	extension := path.Ext(name)
	switch extension {
	case ".yaml", ".yml", ".json":
	default:
		return nil
	}
	var found [][]byte
	for _, text := range documents(content) {
		if !bytes.Contains(text, []byte(requestKind)) { // YAML costs a hundred times its size in memory
			continue
		}
		kind, ok, err := requestOf(text)
		switch {
		case err != nil:
			x.result.Warnings = append(x.result.Warnings, fmt.Sprintf("%s: a document is left out, which may be a request: %v", name, err))
		case ok && (provider == "" || kind == provider):
			found = append(found, text)
		}
	}
	for i, text := range found {
		own := name
		if len(found) > 1 {
			own = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(name, extension), i+1, extension)
		}
		if err := x.write(b, own, text); err != nil {
			return err
		}
	}
	return nil
}

const (
	requestKind       = "CredentialsRequest"
	requestAPIVersion = "cloudcredential.openshift.io/v1"
)

// requestOf reports whether a document is a request for credentials, and the kind
// of its provider.
func requestOf(text []byte) (provider string, ok bool, err error) {
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return "", false, err
	}
	if document.Kind != yaml.DocumentNode {
		return "", false, nil
	}
	root := document.Content[0]
	if scalar(lookup(root, "apiVersion")) != requestAPIVersion || scalar(lookup(root, "kind")) != requestKind {
		return "", false, nil
	}
	return scalar(lookup(lookup(lookup(root, "spec"), "providerSpec"), "kind")), true, nil
}

// lookup returns the value at a key of a map, or nil. Of a key that stands twice,
// as happens in real manifests, the last one counts, as for Kubernetes.
func lookup(n *yaml.Node, key string) *yaml.Node {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := len(n.Content) - 2; i >= 0; i -= 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

func scalar(n *yaml.Node) string {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// documents splits a manifest as Kubernetes does: JSON value by value, YAML at
// the lines that begin with "---".
func documents(manifest []byte) [][]byte {
	if all := jsonDocuments(manifest); len(all) > 0 {
		return all
	}
	var all [][]byte
	begin, at := 0, 0
	for line := range bytes.Lines(manifest) {
		rest, ok := bytes.CutPrefix(line, []byte("---"))
		if ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0) {
			all = append(all, manifest[begin:at])
			begin = at
		}
		at += len(line)
	}
	return append(all, manifest[begin:])
}

// jsonDocuments returns none for what is not JSON throughout.
func jsonDocuments(manifest []byte) [][]byte {
	if trimmed := bytes.TrimSpace(manifest); len(trimmed) == 0 || trimmed[0] != '{' {
		return nil
	}
	var all [][]byte
	decoder := json.NewDecoder(bytes.NewReader(manifest))
	for {
		var value json.RawMessage
		if err := decoder.Decode(&value); err == io.EOF {
			return all
		} else if err != nil {
			return nil
		}
		all = append(all, value)
	}
}
