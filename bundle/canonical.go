package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/gowebpki/jcs"
	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// encode renders v as canonical JSON: RFC 8785 with one trailing newline. The
// values of this package hold strings, integers below 2^53 and lists of these.
func encode(v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	canonical, err := jcs.Transform(plain)
	if err != nil {
		return nil, err
	}
	return append(canonical, '\n'), nil
}

// No list of a plan or inventory has more elements, and none is nested deeper.
const (
	maxList    = oci.MaxBlobs + MaxExtents
	maxNesting = 8
)

// decode reads canonical JSON into v and refuses everything that v would not
// encode to again. That covers unknown, repeated and wrong-case keys, which
// encoding/json lets through.
func decode(data []byte, v any) error {
	if len(data) > MaxDocument {
		return fmt.Errorf("%d bytes are more than %d", len(data), MaxDocument)
	}
	if err := oci.CheckJSON(data, maxList, maxNesting); err != nil {
		return err
	}
	// The version decides before anything else: another version may well have
	// other keys, and that must not be reported as damage.
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return err
	}
	if head.Version != Version {
		return &VersionError{Version: head.Version}
	}
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	again, err := encode(v)
	if err != nil {
		return err
	}
	if !bytes.Equal(again, data) {
		return errors.New("not canonical: it differs from its own encoding")
	}
	return nil
}

// VersionError says that a document or volume is of a format version that this
// satchel does not read.
type VersionError struct{ Version int }

func (e *VersionError) Error() string {
	return fmt.Sprintf("format version %d is not version %d, the one this satchel reads", e.Version, Version)
}

// idOf is how plans and bundles get their IDs: the SHA-256 of the file as it
// lies.
func idOf(file []byte) digest.Digest { return digest.FromBytes(file) }
