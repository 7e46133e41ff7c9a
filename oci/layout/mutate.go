//go:build !windows

package layout

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/opencontainers/umoci/mutate"
	"github.com/opencontainers/umoci/oci/casext"

	"satchel/oci"
)

const (
	mediaTypeDockerConfig = "application/vnd.docker.container.image.v1+json"
	mediaTypeDockerLayer  = "application/vnd.docker.image.rootfs.diff.tar.gzip"
)

// Bounds on the JSON of a config.
const (
	maxConfigElements = 100_000
	maxConfigNesting  = 32
)

// AddLayer makes a new image manifest: the old one with one more layer on top and
// a changed config. tar is that layer, uncompressed, of at most [MaxLayer] bytes;
// it is compressed with gzip. edit changes how the image is run, or is nil.
// createdBy is for the history.
//
// fetch gives the bytes of the manifest and of its config; they are checked here
// again. Of the other layers nothing but their descriptors is needed. Nothing is
// written to disk; what is made is in memory and belongs to the caller.
//
// The same arguments and the same [MakerVersion] give the same bytes: no clock is
// looked at, and history and config have the time of the original config, or none.
//
// The family of the original stays. A Docker manifest becomes a Docker manifest
// with a Docker layer and config, so that whoever knew the old one knows the new
// one; umoci, which knows no Docker, sees it in OCI's terms on the way. A Docker
// config below an OCI manifest stays one, too (podman and skopeo take neither the
// old nor the new one for an image). The fields that only Docker's configs have,
// at the top and in "config", stay as they were; what image-spec does not know of
// the manifest, of rootfs and of the history does not. The descriptor of m has the
// platform of the given one but not its annotations, which are the index's.
//
// It fails for an index, for an artifact, for a manifest or a config that is not
// what its descriptor says or too large, and for a config with another number of
// diff_ids than there are layers. Calls may run concurrently.
func AddLayer(ctx context.Context, manifest oci.Descriptor, fetch func(context.Context, oci.Descriptor) ([]byte, error),
	tar io.Reader, edit func(*ispec.ImageConfig), createdBy string) (m, config, layer Added, err error) {
	return addLayer(ctx, manifest, fetch, tar, edit, createdBy, bounds{MaxLayer, MaxCompressed})
}

// bounds are those of the new layer; tests make them smaller.
type bounds struct {
	plain, compressed int64
}

func addLayer(ctx context.Context, manifest oci.Descriptor, fetch func(context.Context, oci.Descriptor) ([]byte, error),
	tar io.Reader, edit func(*ispec.ImageConfig), createdBy string, max bounds) (m, config, layer Added, err error) {
	fail := func(err error) (m, config, layer Added, _ error) {
		return m, config, layer, fmt.Errorf("image %s: adding a layer: %w", manifest.Digest, err)
	}
	original, err := readImage(ctx, manifest, fetch)
	if err != nil {
		return fail(err)
	}
	if edit != nil {
		edit(&original.config.Config)
	}
	store := newMemory(max.compressed)
	source, err := original.put(ctx, store)
	if err != nil {
		return fail(err)
	}
	mutator, err := mutate.New(store, casext.DescriptorPath{Walk: []ispec.Descriptor{source}})
	if err != nil {
		return fail(err)
	}
	history := &ispec.History{Created: original.config.Created, CreatedBy: createdBy}
	plain := &bounded{r: contextReader{ctx, tar}, max: max.plain}
	if _, err := mutator.Add(ctx, ispec.MediaTypeImageLayer, plain, history, compressor{}, nil); err != nil {
		return fail(err)
	}
	if _, err := mutator.Commit(ctx); err != nil {
		return fail(err)
	}
	made, err := mutator.Manifest(ctx)
	if err != nil {
		return fail(err)
	}
	m, config, layer, err = original.finish(made, store)
	if err != nil {
		return fail(err)
	}
	return m, config, layer, nil
}

// image is what an image manifest and its config say.
type image struct {
	descriptor oci.Descriptor
	manifest   ispec.Manifest
	config     ispec.Image
	// more are the fields of the config, and moreConfig those of its "config",
	// that OCI does not have.
	more, moreConfig map[string]json.RawMessage
}

// readImage fetches and checks manifest and config.
func readImage(ctx context.Context, d oci.Descriptor, fetch func(context.Context, oci.Descriptor) ([]byte, error)) (*image, error) {
	if d.MediaType != oci.MediaTypeManifest && d.MediaType != oci.MediaTypeDockerManifest {
		return nil, fmt.Errorf("media type %.128q is not that of an image manifest", d.MediaType)
	}
	content, err := fetchBounded(ctx, d, fetch, oci.MaxManifestSize)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if _, err := oci.ParseManifest(d.MediaType, content); err != nil {
		return nil, err
	}
	i := &image{descriptor: d}
	if _, err := fields[ispec.Manifest](content); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	if err := json.Unmarshal(content, &i.manifest); err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	config := i.manifest.Config
	if config.MediaType != ispec.MediaTypeImageConfig && config.MediaType != mediaTypeDockerConfig {
		return nil, fmt.Errorf("config %s: media type %.128q is not that of an image", config.Digest, config.MediaType)
	}
	content, err = fetchBounded(ctx, config, fetch, MaxConfig)
	if err == nil {
		err = i.parseConfig(content)
	}
	if err != nil {
		return nil, fmt.Errorf("config %s: %w", config.Digest, err)
	}
	return i, nil
}

func fetchBounded(ctx context.Context, d oci.Descriptor, fetch func(context.Context, oci.Descriptor) ([]byte, error), max int64) ([]byte, error) {
	if d.Size > max {
		return nil, fmt.Errorf("%d bytes are more than %d", d.Size, max)
	}
	content, err := fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	return content, oci.Verify(content, d)
}

func (i *image) parseConfig(content []byte) error {
	if err := oci.CheckJSON(content, maxConfigElements, maxConfigNesting); err != nil {
		return err
	}
	var err error
	if i.more, err = fields[ispec.Image](content); err != nil {
		return err
	}
	if err := json.Unmarshal(content, &i.config); err != nil {
		return err
	}
	var inner struct {
		Config json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(content, &inner); err != nil {
		return err
	}
	if len(inner.Config) > 0 && string(inner.Config) != "null" {
		if i.moreConfig, err = fields[ispec.ImageConfig](inner.Config); err != nil {
			return fmt.Errorf("field %q: %w", "config", err)
		}
	}
	rootfs := i.config.RootFS
	if rootfs.Type != "layers" {
		return fmt.Errorf("rootfs has type %.64q and not %q", rootfs.Type, "layers")
	}
	if len(rootfs.DiffIDs) != len(i.manifest.Layers) {
		return fmt.Errorf("it has %d diff_ids, but the manifest %d layers", len(rootfs.DiffIDs), len(i.manifest.Layers))
	}
	for _, id := range rootfs.DiffIDs {
		if err := oci.CheckDigest(id); err != nil {
			return fmt.Errorf("diff_ids: %w", err)
		}
	}
	return nil
}

// put stores the image in OCI's terms, its config edited already: umoci's Set would
// give a config without a time the year 1, and take the variant of its platform.
// The media types of the layers stay, as umoci does not look at them.
func (i *image) put(ctx context.Context, store *memory) (oci.Descriptor, error) {
	engine := casext.NewEngine(store)
	d, size, err := engine.PutBlobJSON(ctx, i.config)
	if err != nil {
		return oci.Descriptor{}, err
	}
	manifest := i.manifest
	manifest.MediaType = ispec.MediaTypeImageManifest
	manifest.Config = oci.Descriptor{MediaType: ispec.MediaTypeImageConfig, Digest: d, Size: size}
	d, size, err = engine.PutBlobJSON(ctx, manifest)
	if err != nil {
		return oci.Descriptor{}, err
	}
	return oci.Descriptor{MediaType: ispec.MediaTypeImageManifest, Digest: d, Size: size}, nil
}

// finish gives what umoci made the media types of the original and what OCI does
// not have, and leaves out umoci's annotation of the layer.
func (i *image) finish(made ispec.Manifest, store *memory) (m, config, layer Added, err error) {
	last := &made.Layers[len(made.Layers)-1]
	last.Annotations = nil
	if i.descriptor.MediaType == oci.MediaTypeDockerManifest {
		last.MediaType = mediaTypeDockerLayer
	}
	layer = Added{*last, store.blobs[last.Digest]}

	content, err := withFields(store.blobs[made.Config.Digest], i.more, i.moreConfig)
	if err != nil {
		return m, config, layer, fmt.Errorf("new config: %w", err)
	}
	if len(content) > MaxConfig {
		return m, config, layer, fmt.Errorf("new config: %d bytes are more than %d", len(content), MaxConfig)
	}
	config = added(i.manifest.Config.MediaType, content)

	made.MediaType = i.descriptor.MediaType
	made.Config = config.Descriptor
	if content, err = json.Marshal(made); err != nil {
		return m, config, layer, err
	}
	if _, err := oci.ParseManifest(made.MediaType, content); err != nil {
		return m, config, layer, fmt.Errorf("new %w", err)
	}
	m = added(made.MediaType, content)
	if p := i.descriptor.Platform; p != nil {
		platform := *p
		m.Descriptor.Platform = &platform
	}
	return m, config, layer, nil
}

func added(mediaType string, content []byte) Added {
	return Added{oci.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(content), Size: int64(len(content))}, content}
}
