package release

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
	"satchel/oci/layers"
)

const (
	directory      = "release-manifests"
	fileReferences = "image-references"
	fileMetadata   = "release-metadata"

	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"

	labelVersion = "io.openshift.release"
	labelBase    = "io.openshift.release.base-image-digest"
)

// Read takes the payload out of a release image: the files of the topmost layer
// that has release-manifests/, as openshift/oc, pkg/cli/admin/release, looks for
// them in the last layer and then in those below. The layer is read to its end,
// so what is returned was verified. The verification ConfigMap is that of the
// first manifest with one, by file name, as the cluster-version operator takes
// them; manifests that are no YAML are passed over.
//
// The error wraps [ErrNoRelease] when the image is none; all layers were read
// then.
func Read(ctx context.Context, open layers.Open, manifest *oci.Manifest) (*Payload, error) {
	var d Documents
	candidates := make(map[string][]byte) // that may hold the verification ConfigMap, by file name
	err := Manifests(ctx, open, manifest, func(name string, content []byte) error {
		switch {
		case name == fileReferences:
			d.References = bytes.Clone(content)
		case name == fileMetadata:
			d.Metadata = bytes.Clone(content)
		case !isManifest(name) || !mayVerify(content):
		case len(content) > MaxVerification:
			return fmt.Errorf("%d bytes, which may hold the verification ConfigMap, are more than %d", len(content), MaxVerification)
		case len(candidates) == maxCandidates:
			return fmt.Errorf("more than %d manifests may hold the verification ConfigMap", maxCandidates)
		default:
			candidates[name] = bytes.Clone(content)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(candidates)) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if findVerification(candidates[name]) != nil {
			d.Verification = candidates[name]
			break
		}
	}
	return Parse(d)
}

// maxCandidates bounds how many manifests are parsed for the verification
// ConfigMap: a real payload has one with the annotation in it.
const maxCandidates = 8

// isManifest reports whether the cluster-version operator reads the file
// (pkg/payload/payload.go).
func isManifest(name string) bool {
	if strings.Contains(name, "/") {
		return false
	}
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// Manifests calls visit for each file of release-manifests/, in the order of the
// layer, image-references and release-metadata among them. name is relative to
// the directory, clean, and may have directories of its own; content is valid
// during visit only. What visit saw was verified when Manifests returns nil, and
// must be thrown away otherwise. An error of visit is wrapped.
func Manifests(ctx context.Context, open layers.Open, manifest *oci.Manifest, visit func(name string, content []byte) error) error {
	return manifests(ctx, open, manifest, MaxFilesSize, visit)
}

// manifests is Manifests with a limit that tests can reach: that of all files
// together, in bytes.
func manifests(ctx context.Context, open layers.Open, manifest *oci.Manifest, limit int64, visit func(name string, content []byte) error) error {
	if oci.IsIndex(manifest.MediaType) {
		return errors.New("release-manifests are in the images of an index, not in the index")
	}
	for i := len(manifest.Blobs) - 1; i >= 1; i-- {
		layer := manifest.Blobs[i]
		if layer.MediaType != "" && !strings.Contains(layer.MediaType, "tar") {
			continue
		}
		files := &files{seen: make(map[string]bool), visit: visit, limit: limit}
		if err := layers.Walk(ctx, open, layer, files.entry); err != nil {
			return err
		}
		if files.any {
			for _, name := range []string{fileMetadata, fileReferences} {
				if !files.seen[name] {
					return fmt.Errorf("layer %s: %s has no %s: %w", layer.Digest, directory, name, ErrNoRelease)
				}
			}
			return nil
		}
		if files.hidden {
			break
		}
	}
	return fmt.Errorf("no layer has %s: %w", directory, ErrNoRelease)
}

// files are those of release-manifests/ in one layer.
type files struct {
	visit  func(name string, content []byte) error
	seen   map[string]bool
	buffer bytes.Buffer
	// size is that of all files so far, of at most limit bytes.
	size, limit int64
	// any: the layer has files there, or takes some away; hidden: it takes
	// away all of the layers below.
	any, hidden bool
}

func (f *files) entry(e layers.Entry, r io.Reader) error {
	switch e.Name {
	case directory:
		if e.Type != tar.TypeDir {
			return errors.New("it is no directory")
		}
		return nil
	case whiteoutOpaque, whiteoutPrefix + directory, directory + "/" + whiteoutOpaque:
		f.hidden = true
		return nil
	}
	name, ok := strings.CutPrefix(e.Name, directory+"/")
	if !ok {
		return nil
	}
	if strings.HasPrefix(path.Base(name), whiteoutPrefix) {
		f.any = true // the layer changes a release: then it must have it whole
		return nil
	}
	if e.Type == tar.TypeDir {
		return nil
	}
	f.any = true
	switch {
	case e.Type != tar.TypeReg:
		return errors.New("it is no regular file")
	case f.seen[name]:
		return errors.New("it stands twice")
	case len(f.seen) == MaxFiles:
		return fmt.Errorf("more than %d files: %w", MaxFiles, layers.ErrLimit)
	case len(name) > MaxFileName:
		return fmt.Errorf("name is longer than %d bytes: %w", MaxFileName, layers.ErrLimit)
	case e.Size > maxSize(name):
		return fmt.Errorf("%d bytes are more than %d: %w", e.Size, maxSize(name), layers.ErrLimit)
	case e.Size > f.limit-f.size:
		return fmt.Errorf("files of more than %d bytes: %w", f.limit, layers.ErrLimit)
	}
	f.seen[name] = true
	f.size += e.Size
	f.buffer.Reset()
	if _, err := io.Copy(&f.buffer, r); err != nil {
		return err
	}
	return f.visit(name, f.buffer.Bytes())
}

func maxSize(name string) int64 {
	switch name {
	case fileReferences:
		return MaxReferences
	case fileMetadata:
		return MaxMetadata
	}
	return MaxFile
}

// ReadConfig reads the image config of a release image. The error wraps
// [ErrNoRelease] when it does not have the label of one, which tells without
// reading layers. What the layers say counts; this is for architecture and for
// a quick answer.
func ReadConfig(ctx context.Context, open layers.Open, manifest *oci.Manifest) (*Config, error) {
	if oci.IsIndex(manifest.MediaType) || len(manifest.Blobs) == 0 {
		return nil, fmt.Errorf("manifest has no config: %w", ErrNoRelease)
	}
	d := manifest.Blobs[0]
	fail := func(err error) (*Config, error) { return nil, fmt.Errorf("config %s: %w", d.Digest, err) }
	if d.Size > MaxConfig {
		return fail(fmt.Errorf("%d bytes are more than %d", d.Size, MaxConfig))
	}
	source, err := open(ctx, d)
	if err != nil {
		return fail(err)
	}
	defer source.Close()
	gate, err := oci.NewReader(source, d)
	if err != nil {
		return fail(err)
	}
	content, err := io.ReadAll(gate)
	if err != nil {
		return fail(err)
	}
	c, err := parseConfig(content)
	if err != nil {
		return fail(err)
	}
	return c, nil
}

func parseConfig(content []byte) (*Config, error) {
	if err := oci.CheckJSON(content, maxElements, maxNesting); err != nil {
		return nil, err
	}
	var doc struct {
		Architecture string `json:"architecture"`
		OS           string `json:"os"`
		Config       struct {
			Labels map[string]string `json:"Labels"`
		} `json:"config"`
	}
	if err := json.Unmarshal(content, &doc); err != nil {
		return nil, err
	}
	version, ok := doc.Config.Labels[labelVersion]
	if !ok {
		return nil, fmt.Errorf("it has no label %s: %w", labelVersion, ErrNoRelease)
	}
	c := &Config{Version: version, Architecture: doc.Architecture, OS: doc.OS}
	if base := doc.Config.Labels[labelBase]; base != "" {
		c.Base = digest.Digest(base)
		if err := oci.CheckDigest(c.Base); err != nil {
			return nil, fmt.Errorf("label %s: %w", labelBase, err)
		}
	}
	return c, nil
}
