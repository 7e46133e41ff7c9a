// Package release reads what a release image of OpenShift says of itself: its
// version, its components, the versions that it can be reached from, and the
// keys and places of its signatures.
//
// All of it stands in release-manifests/ of the topmost layer that has it.
// [Read] takes it from there; [Parse] judges the files alone, from wherever they
// come. Nothing is constant here but names of files: which repositories a
// release uses, it says itself.
package release

import (
	"errors"
	"slices"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// Limits on what is accepted of a release image. The real 4.12.0 has
// image-references of 119 kB with 183 components, 646 files of 9 MB in all, the
// largest of 848 kB, and a verification ConfigMap of 4 kB.
const (
	// MaxReferences bounds image-references in bytes.
	MaxReferences = 1 << 20
	// MaxMetadata bounds release-metadata in bytes.
	MaxMetadata = 1 << 20
	// MaxVerification bounds the file with the verification ConfigMap in bytes;
	// Kubernetes takes no larger ConfigMap.
	MaxVerification = 256 << 10
	// MaxComponents bounds the components of a release.
	MaxComponents = 2000
	// MaxVersions bounds each of the previous and the next versions.
	MaxVersions = 10_000
	// MaxFiles bounds the files of release-manifests/.
	MaxFiles = 10_000
	// MaxFile bounds each of them in bytes.
	MaxFile = 16 << 20
	// MaxFilesSize bounds them all together in bytes.
	MaxFilesSize = 256 << 20
	// MaxFileName bounds their names in bytes, release-manifests/ not counted.
	MaxFileName = 255
	// MaxConfig bounds the config of a release image in bytes.
	MaxConfig = 4 << 20
)

// ErrNoRelease is wrapped by the errors for images that are no release images.
var ErrNoRelease = errors.New("image is no OpenShift release")

// Payload is what a release image says of itself. Who holds it owns it; it is
// safe for concurrent reading.
type Payload struct {
	// Version is a semantic version without build metadata: "4.12.0".
	Version string
	// Components are in the order of image-references. Several may name the
	// same image: those are aliases, and all are kept.
	Components []Component
	// Previous are the versions that can be upgraded to this one, Next those
	// that this one can be upgraded to, in the order of release-metadata.
	Previous, Next []string
	// Metadata has those values of release-metadata's "metadata" that are
	// strings ("url", "release.openshift.io/architecture").
	Metadata map[string]string
	// Documents are the files that all of this was read from.
	Documents Documents
}

// Documents are files of a release image, byte for byte.
type Documents struct {
	// References is image-references, Metadata is release-metadata.
	References, Metadata []byte
	// Verification is the manifest that holds the first verification
	// ConfigMap, for [ParseVerification]; nil when there is none.
	Verification []byte
}

// Component is one image of a release, by its name there ("cli").
type Component struct {
	Name string
	// Image is REPOSITORY@DIGEST; in a payload for several architectures the
	// digest is that of an index.
	Image oci.Reference
}

// Component returns the component of that name.
func (p *Payload) Component(name string) (Component, bool) {
	for _, c := range p.Components {
		if c.Name == name {
			return c, true
		}
	}
	return Component{}, false
}

// Repositories lists the repositories of the components, each once, sorted. The
// caller owns the slice.
func (p *Payload) Repositories() []string {
	var all []string
	for _, c := range p.Components {
		all = append(all, c.Image.Repository)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Config is what the image config of a release image says of it.
type Config struct {
	// Version is the label io.openshift.release.
	Version string
	// Architecture and OS are those of the image: "amd64", "linux".
	Architecture, OS string
	// Base is the manifest of the image that the release was built upon, the
	// cluster-version operator's; empty when the label is missing.
	Base digest.Digest
}

// Tag is the tag of a release image: "4.12.0-x86_64". The architecture is that
// of Go and OCI, or "multi" for an index, and is written as openshift/oc does in
// pkg/cli/admin/release/mirror.go: amd64 as x86_64, arm64 as aarch64, others as
// they are; none when it is empty.
func Tag(version, architecture string) string {
	switch architecture {
	case "":
		return version
	case "amd64":
		architecture = "x86_64"
	case "arm64":
		architecture = "aarch64"
	}
	return version + "-" + architecture
}

// ComponentTag is the tag of a component: "4.12.0-x86_64-cli".
func ComponentTag(version, architecture, component string) string {
	return Tag(version, architecture) + "-" + component
}
