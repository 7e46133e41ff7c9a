package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// referrersAPI is a [Target] that may list by itself what names a subject.
type referrersAPI interface {
	// HasReferrers reports whether the repository has the referrers API.
	HasReferrers(ctx context.Context, repository string, d digest.Digest) (bool, error)
}

// maxReferrers bounds the list of what is attached to one manifest.
const maxReferrers = 10_000

// fallbackIndex is the index, under the tag sha256-<hex> of a subject, in which
// clients list what names it where the registry has no referrers API
// (distribution specification, "Referrers Tag Schema"). Entries of others are kept
// as they are.
type fallbackIndex struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	Manifests     []json.RawMessage `json:"manifests"`
	Annotations   json.RawMessage   `json:"annotations,omitempty"`
}

// listReferrer sees to it that an image that names a subject is listed with it.
func (u *unpacker) listReferrer(ctx context.Context, r *replay) error {
	content, _ := u.prologue.Manifest(r.image.Root.Digest)
	m, err := oci.ParseManifest(r.image.Root.MediaType, content)
	if err != nil || m.Subject == nil {
		return err
	}
	subject := m.Subject.Digest
	if err := oci.CheckDigest(subject); err != nil {
		return fmt.Errorf("image %s: its subject: %w", r.image.Reference, err)
	}
	if api, ok := u.target.(referrersAPI); ok {
		if has, err := api.HasReferrers(ctx, r.to.Repository, subject); has || err != nil {
			return err
		}
	}
	u.attaching.Lock()
	defer u.attaching.Unlock()
	tag := "sha256-" + subject.Encoded()
	index, err := u.referrersOf(ctx, oci.Reference{Repository: r.to.Repository, Tag: tag})
	if err == nil {
		err = u.addReferrer(ctx, r, index, m, tag)
	}
	if err != nil {
		return fmt.Errorf("image %s: listing it under %s:%s: %w", r.image.Reference, r.to.Repository, tag, err)
	}
	return nil
}

// referrersOf reads what is listed; an empty list when nothing is.
func (u *unpacker) referrersOf(ctx context.Context, name oci.Reference) (*fallbackIndex, error) {
	index := &fallbackIndex{SchemaVersion: 2, MediaType: oci.MediaTypeIndex, Manifests: []json.RawMessage{}}
	d, content, err := u.target.Resolve(ctx, name)
	if absent := notFound(nil); errors.As(err, &absent) && absent.NotFound() || errors.Is(err, fs.ErrNotExist) {
		return index, nil
	}
	if err != nil {
		return nil, err
	}
	if d.MediaType != oci.MediaTypeIndex {
		return nil, fmt.Errorf("the tag names something of type %s, not a list of attachments", d.MediaType)
	}
	if _, err := oci.ParseManifest(d.MediaType, content); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(content, index); err != nil {
		return nil, err
	}
	return index, nil
}

// addReferrer adds the image to the list, unless it is there.
func (u *unpacker) addReferrer(ctx context.Context, r *replay, index *fallbackIndex, m *oci.Manifest, tag string) error {
	for _, raw := range index.Manifests {
		var listed oci.Descriptor
		if err := json.Unmarshal(raw, &listed); err != nil {
			return err
		}
		if listed.Digest == r.image.Root.Digest {
			return nil
		}
	}
	if len(index.Manifests) >= maxReferrers {
		return fmt.Errorf("%d attachments are listed already", len(index.Manifests))
	}
	d := r.image.Root.Descriptor()
	if d.ArtifactType = m.ArtifactType; d.ArtifactType == "" && !oci.IsIndex(d.MediaType) {
		d.ArtifactType = m.Blobs[0].MediaType
	}
	d.Annotations = m.Annotations
	entry, err := json.Marshal(d)
	if err != nil {
		return err
	}
	index.Manifests = append(index.Manifests, entry)
	content, err := json.Marshal(index)
	if err != nil {
		return err
	}
	list := oci.Descriptor{MediaType: oci.MediaTypeIndex, Digest: digest.FromBytes(content), Size: int64(len(content))}
	return u.target.PushManifest(ctx, r.to.Repository, tag, list, content)
}
