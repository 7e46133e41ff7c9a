// Package samples reads which images the image streams of the samples operator
// need: the ConfigMap imagestreamtag-to-image, which that operator keeps in the
// namespace openshift-cluster-samples-operator for those who mirror
// (openshift/cluster-samples-operator at eee95bab, README.md, "Disconnected mirroring
// assistance"; pkg/stub/files.go).
//
// It is pure: bytes in, values out; no clock, no file system, no network.
package samples

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"satchel/oci"
)

// Samples are the image streams that a ConfigMap names, sorted by name, without those
// of the release: see [InPayload].
type Samples struct{ Streams []Stream }

// Stream is one image stream.
type Stream struct {
	Name string
	Tags []Tag // sorted by name
}

// Tag is one tag of an image stream.
type Tag struct {
	Name string
	// Pullspec is what stands in the ConfigMap, Image what that names: with its
	// registry, and with the tag latest where it has neither tag nor digest.
	Pullspec string
	Image    oci.Reference
}

// Images are the images of all streams, sorted and each once.
func (s *Samples) Images() []oci.Reference {
	var all []oci.Reference
	for _, stream := range s.Streams {
		for _, tag := range stream.Tags {
			all = append(all, tag.Image)
		}
	}
	slices.SortFunc(all, func(x, y oci.Reference) int { return cmp.Compare(x.String(), y.String()) })
	return slices.Compact(all)
}

// InPayload says whether an image stream in the namespace openshift belongs to the
// release: the cluster version operator manages it, not the samples operator, and its
// images are those of the payload (openshift/cluster-samples-operator,
// manifests/08-openshift-imagestreams.yaml; the driver toolkit's in its own
// repository).
func InPayload(stream string) bool {
	switch stream {
	case "cli", "cli-artifacts", "installer", "installer-artifacts", "tests", "tools", "must-gather", "oauth-proxy", "network-tools", "driver-toolkit":
		return true
	}
	return false
}

// Jenkins are the image streams of the samples operator that its ConfigMap leaves
// out, since their images were those of the payload (pkg/stub/files.go: all that begin
// with jenkins). Of older releases some, of newer ones others exist.
func Jenkins() []string {
	return []string{"jenkins", "jenkins-agent-base", "jenkins-agent-maven", "jenkins-agent-nodejs"}
}

// Rewrite returns what the samples operator makes of the pullspec of a tag when
// samplesRegistry is set (pkg/stub/imagestreams.go, updateDockerPullSpec and
// coreUpdateDockerPullSpec). It goes by text, not by the grammar of names.
func Rewrite(pullspec, samplesRegistry string) string {
	if strings.HasPrefix(pullspec, samplesRegistry) {
		return pullspec
	}
	parts := strings.Split(pullspec, "/")
	if len(parts) != 3 {
		return samplesRegistry + "/" + pullspec
	}
	for _, known := range []string{"docker.io", "registry.redhat.io", "registry.access.redhat.com", "quay.io", "registry.svc.ci.openshift.org"} {
		if rest, ok := strings.CutPrefix(pullspec, known); ok {
			return samplesRegistry + rest
		}
	}
	return samplesRegistry + "/" + parts[1] + "/" + parts[2]
}

// reference reads a pullspec as the cluster does: a name without a registry is one of
// docker.io, one with neither tag nor digest means latest.
func reference(pullspec string) (oci.Reference, error) {
	full := pullspec
	host, path, found := strings.Cut(pullspec, "/")
	switch {
	case !found:
		full = "docker.io/library/" + pullspec
	case !strings.ContainsAny(host, ".:[") && host != "localhost":
		full = "docker.io/" + pullspec
	case host == "docker.io" && !strings.Contains(path, "/"):
		full = "docker.io/library/" + path
	}
	if !strings.Contains(full, "@") && strings.LastIndexByte(full, ':') <= strings.LastIndexByte(full, '/') {
		full += ":latest"
	}
	ref, err := oci.SplitReference(full)
	if err != nil {
		return ref, fmt.Errorf("pullspec %.200q: %w", pullspec, err)
	}
	return ref, nil
}
