package ocdir

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

const (
	// maxSignatureFile bounds a file with signatures in bytes: a ConfigMap may
	// have 1 MiB, which are more in base64.
	maxSignatureFile = 2 << 20
	// maxSignature bounds one signature in bytes, as cluster and oc do when they
	// fetch it (openshift/library-go, pkg/verify/store/sigstore).
	maxSignature = 50 << 10
	// maxSignatureFiles bounds how many there are.
	maxSignatureFiles = 10_000
	// maxSignatureElements bounds the lists of a file.
	maxSignatureElements = 1000
)

// Signature holds the signatures of one digest. They are not verified.
type Signature struct {
	Digest digest.Digest
	// Raw are the signatures byte for byte, in the order of their numbers.
	Raw [][]byte
	// File is where they stood, within the tree and with slashes.
	File string
}

// configMap is what oc writes of a ConfigMap (openshift/oc,
// pkg/cli/admin/release/mirror.go; openshift/library-go, pkg/verify/configmap.go).
type configMap struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	BinaryData map[string][]byte `json:"binaryData"`
}

// Signatures returns what config/signature-*.json holds, sorted by digest and
// file, and for each file that is not what oc writes an error that names it.
// None of both means that there are no such files.
func (t *Tree) Signatures() ([]Signature, []error) {
	var names []string
	var errs []error
	err := t.each("config", func(e fs.DirEntry) error {
		if ok, _ := path.Match("signature-*.json", e.Name()); !ok {
			return nil
		}
		if len(names) >= maxSignatureFiles {
			return fmt.Errorf("config: more than %d files with signatures", maxSignatureFiles)
		}
		names = append(names, e.Name())
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, fmt.Errorf("tree %s: %w", t.dir, err))
	}
	slices.Sort(names)
	var found []Signature
	for _, name := range names {
		file := path.Join("config", name)
		content, err := t.readFile(file, maxSignatureFile)
		if err != nil {
			errs = append(errs, fmt.Errorf("tree %s: %w", t.dir, err))
			continue
		}
		s, err := parseSignatures(name, content)
		if err != nil {
			errs = append(errs, fmt.Errorf("tree %s: %s: %w", t.dir, printable(file), err))
			continue
		}
		s.File = printable(file)
		found = append(found, s)
	}
	slices.SortStableFunc(found, func(a, b Signature) int { return cmp.Compare(a.Digest, b.Digest) })
	return found, errs
}

// parseSignatures reads a file of the name.
func parseSignatures(name string, content []byte) (Signature, error) {
	if err := oci.CheckJSON(content, maxSignatureElements, maxNesting); err != nil {
		return Signature{}, err
	}
	var m configMap
	if err := json.Unmarshal(content, &m); err != nil {
		return Signature{}, err
	}
	if m.APIVersion != "v1" || m.Kind != "ConfigMap" {
		return Signature{}, fmt.Errorf("it is of apiVersion %.80q and kind %.80q, not a ConfigMap", m.APIVersion, m.Kind)
	}
	d, ok := digestOf(m.Metadata.Name)
	if !ok || m.Metadata.Name != "sha256-"+d.Encoded() {
		return Signature{}, fmt.Errorf("the ConfigMap's name %.80q is not that of a digest", m.Metadata.Name)
	}
	start, ok := strings.CutPrefix(strings.TrimSuffix(name, ".json"), "signature-sha256-")
	if ok && !strings.HasPrefix(d.Encoded(), start) {
		return Signature{}, fmt.Errorf("it is for %s and not for what its name says", d)
	}
	var keys []string
	for key, raw := range m.BinaryData {
		switch {
		case !strings.HasPrefix(key, m.Metadata.Name):
			return Signature{}, fmt.Errorf("%.100q is not the name of a signature of %s", key, d)
		case len(raw) == 0 || len(raw) > maxSignature:
			return Signature{}, fmt.Errorf("signature %.100q of %d bytes is not of 1 to %d bytes", key, len(raw), maxSignature)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return Signature{}, fmt.Errorf("it holds no signature of %s", d)
	}
	// The number after the digest has no leading zeros.
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	s := Signature{Digest: d}
	for _, key := range keys {
		s.Raw = append(s.Raw, m.BinaryData[key])
	}
	return s, nil
}
