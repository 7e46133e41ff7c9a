package site

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/opencontainers/go-digest"
)

// configMap is the resource in which the cluster-version operator looks for
// signatures (openshift/library-go, pkg/verify/store/configmap/configmap.go), with
// the fields in the order in which oc writes them.
type configMap struct {
	Kind       string            `json:"kind"`
	APIVersion string            `json:"apiVersion"`
	Metadata   configMapMetadata `json:"metadata"`
	BinaryData map[string][]byte `json:"binaryData"`
}

type configMapMetadata struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// CreationTimestamp is always null, as it is in what oc writes.
	CreationTimestamp *string           `json:"creationTimestamp"`
	Labels            map[string]string `json:"labels"`
}

// configMaps makes one ConfigMap for each digest that is signed, as openshift/oc,
// pkg/cli/admin/release/mirror.go does: the same name, file name and keys, counted
// from 1. Releases must be in their final order: signatures of a digest that
// several of them state are joined in it.
func configMaps(releases []Release) ([]File, error) {
	raws := make(map[digest.Digest][][]byte)
	for _, r := range releases {
		for _, s := range r.Signatures {
			for _, raw := range s.Raw {
				known := func(other []byte) bool { return bytes.Equal(raw, other) }
				if !slices.ContainsFunc(raws[s.Digest], known) {
					raws[s.Digest] = append(raws[s.Digest], raw)
				}
			}
		}
	}
	var files []File
	for _, d := range slices.Sorted(maps.Keys(raws)) {
		name := "sha256-" + d.Encoded()
		c := configMap{
			Kind: "ConfigMap", APIVersion: "v1",
			Metadata: configMapMetadata{
				Name: name, Namespace: "openshift-config-managed",
				Labels: map[string]string{"release.openshift.io/verification-signatures": ""},
			},
			BinaryData: make(map[string][]byte),
		}
		for i, raw := range raws[d] {
			c.BinaryData[fmt.Sprintf("%s-%d", name, i+1)] = raw
		}
		content, err := json.Marshal(c)
		if err != nil {
			return nil, fmt.Errorf("configmap %s: %w", name, err)
		}
		files = append(files, File{"signature-sha256-" + d.Encoded()[:16] + ".json", append(content, '\n')})
	}
	return files, nil
}
