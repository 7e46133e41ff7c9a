package ocdir

import (
	"encoding/json"
	"errors"
	"fmt"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"satchel/oci"
)

// mediaTypeDockerConfig is the media type of the config of a Docker image.
const mediaTypeDockerConfig = "application/vnd.docker.container.image.v1+json"

// maxNesting is as deep as [oci.ParseManifest] lets manifests be.
const maxNesting = 16

// guess returns the media type that a manifest was served with, which a tree does
// not record: what it states, and else what its fields are those of. It decides
// as oc does when it reads a tree (containers/image, GuessMIMEType), but takes a
// list without children for a list, and refuses what states another type.
func guess(content []byte) (string, error) {
	if err := oci.CheckJSON(content, 1000+len(content)/100, maxNesting); err != nil {
		return "", err
	}
	var doc struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     string          `json:"mediaType"`
		Config        json.RawMessage `json:"config"`
		Manifests     json.RawMessage `json:"manifests"`
		FSLayers      json.RawMessage `json:"fsLayers"`
	}
	if err := json.Unmarshal(content, &doc); err != nil {
		return "", err
	}
	switch {
	case oci.IsSchema1(doc.MediaType), doc.SchemaVersion == 1, doc.FSLayers != nil:
		return "", oci.ErrSchema1
	case oci.IsManifest(doc.MediaType):
		return doc.MediaType, nil
	case doc.MediaType != "":
		return "", fmt.Errorf("media type %.200q is not that of a manifest", doc.MediaType)
	case doc.SchemaVersion != 2:
		return "", fmt.Errorf("schema version %d is not that of a manifest", doc.SchemaVersion)
	case present(doc.Config) && present(doc.Manifests):
		return "", errors.New("it has the fields of an image manifest and of an index")
	case present(doc.Manifests):
		return oci.MediaTypeIndex, nil
	case !present(doc.Config):
		return "", errors.New("it has the fields of neither an image manifest nor an index")
	}
	var config ispec.Descriptor
	if err := json.Unmarshal(doc.Config, &config); err != nil {
		return "", err
	}
	if config.MediaType == mediaTypeDockerConfig {
		return oci.MediaTypeDockerManifest, nil
	}
	return oci.MediaTypeManifest, nil
}

func present(field json.RawMessage) bool {
	return field != nil && string(field) != "null"
}
