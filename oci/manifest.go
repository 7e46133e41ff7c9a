package oci

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
)

// ErrSchema1 is returned for Docker schema 1 manifests.
var ErrSchema1 = errors.New("docker schema 1 manifests are not supported: push the image again with a current client")

// Manifest is what an image manifest or an index says of other content. Its
// bytes stay with the caller; the lists keep the order and the repetitions of
// the manifest.
type Manifest struct {
	MediaType string
	// Manifests are the children of an index that are manifests themselves.
	Manifests []Descriptor
	// Blobs are config and layers of an image manifest, the config first, and
	// the children of an index that are no manifests (build caches).
	Blobs []Descriptor
	// Subject is the manifest that this one is attached to, or nil. It is not
	// a child: it need not exist.
	Subject *Descriptor
	// ArtifactType is the type an artifact states of itself; empty for images.
	ArtifactType string
	// Annotations are the manifest's own.
	Annotations map[string]string
}

// maxManifestNesting is deeper than any manifest is: platforms and annotations
// stand in descriptors in lists.
const maxManifestNesting = 16

// document has the fields of both kinds, so that a manifest that is both, and
// that two readers could take for different things, is noticed
// (CVE-2021-41190).
type document struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	ArtifactType  string          `json:"artifactType"`
	Config        *Descriptor     `json:"config"`
	Layers        []Descriptor    `json:"layers"`
	Manifests     []Descriptor    `json:"manifests"`
	Subject       *Descriptor     `json:"subject"`
	Annotations   annotations     `json:"annotations"`
	FSLayers      json.RawMessage `json:"fsLayers"`
}

// annotations passes over what is no map of strings, as [json.RawMessage] would:
// they are not needed to carry an image.
type annotations map[string]string

// UnmarshalJSON implements [json.Unmarshaler].
func (a *annotations) UnmarshalJSON(value []byte) error {
	var m map[string]string
	if json.Unmarshal(value, &m) == nil {
		*a = m
	}
	return nil
}

// ParseManifest reads an image manifest or an index that was served with the
// media type. It returns [ErrSchema1] for Docker schema 1, and an error for
// content that is larger than [MaxManifestSize], that states another media type
// than it was served with, that mixes the fields of both kinds, or that names
// content by anything but SHA-256.
func ParseManifest(mediaType string, content []byte) (*Manifest, error) {
	if IsSchema1(mediaType) {
		return nil, ErrSchema1
	}
	if !IsManifest(mediaType) {
		return nil, fmt.Errorf("media type %q is not that of a manifest", mediaType)
	}
	if len(content) > MaxManifestSize {
		return nil, fmt.Errorf("manifest of %d bytes is larger than %d bytes", len(content), MaxManifestSize)
	}
	// A descriptor takes more than a hundred bytes.
	if err := CheckJSON(content, 1000+len(content)/100, maxManifestNesting); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	var doc document
	if err := json.Unmarshal(content, &doc); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if doc.SchemaVersion == 1 || doc.FSLayers != nil {
		return nil, ErrSchema1
	}
	if doc.MediaType != "" && doc.MediaType != mediaType {
		return nil, fmt.Errorf("manifest states media type %q but was served as %q", doc.MediaType, mediaType)
	}
	m := &Manifest{MediaType: mediaType, Subject: doc.Subject, ArtifactType: doc.ArtifactType, Annotations: doc.Annotations}
	if IsIndex(mediaType) {
		if doc.Config != nil || doc.Layers != nil {
			return nil, errors.New("index has the fields of an image manifest")
		}
		for _, d := range doc.Manifests {
			if err := checkChild(d); err != nil {
				return nil, err
			}
			if IsSchema1(d.MediaType) {
				return nil, fmt.Errorf("child %s: %w", d.Digest, ErrSchema1)
			}
			if IsManifest(d.MediaType) {
				m.Manifests = append(m.Manifests, d)
			} else {
				m.Blobs = append(m.Blobs, d)
			}
		}
	} else {
		if doc.Manifests != nil {
			return nil, errors.New("image manifest has the fields of an index")
		}
		if doc.Config == nil {
			return nil, errors.New("image manifest names no config")
		}
		m.Blobs = append([]Descriptor{*doc.Config}, doc.Layers...)
	}
	sizes := make(map[digest.Digest]int64, len(m.Manifests)+len(m.Blobs))
	for _, d := range slices.Concat(m.Manifests, m.Blobs) {
		if err := checkChild(d); err != nil {
			return nil, err
		}
		if size, ok := sizes[d.Digest]; ok && size != d.Size {
			return nil, fmt.Errorf("child %s: stated with %d and with %d bytes", d.Digest, size, d.Size)
		}
		sizes[d.Digest] = d.Size
	}
	for _, d := range m.Manifests {
		if d.Size > MaxManifestSize {
			return nil, fmt.Errorf("child %s: manifest of %d bytes is larger than %d bytes", d.Digest, d.Size, MaxManifestSize)
		}
	}
	return m, nil
}

func checkChild(d Descriptor) error {
	if err := CheckDescriptor(d); err != nil {
		return fmt.Errorf("child %w", err)
	}
	return nil
}
