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
// (distribution specification, "Referrers Tag Schema"). What others wrote into it
// is kept as it is.
type fallbackIndex struct {
	fields    map[string]json.RawMessage
	manifests []json.RawMessage
}

func newFallbackIndex(content []byte) (*fallbackIndex, error) {
	index := &fallbackIndex{}
	if err := json.Unmarshal(content, &index.fields); err != nil {
		return nil, err
	}
	return index, json.Unmarshal(index.fields["manifests"], &index.manifests)
}

func (f *fallbackIndex) encode() (content []byte, err error) {
	if f.fields["manifests"], err = json.Marshal(f.manifests); err != nil {
		return nil, err
	}
	return json.Marshal(f.fields)
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
	d, content, err := u.target.Resolve(ctx, name)
	if absent := notFound(nil); errors.As(err, &absent) && absent.NotFound() || errors.Is(err, fs.ErrNotExist) {
		return newFallbackIndex([]byte(`{"schemaVersion":2,"mediaType":"` + oci.MediaTypeIndex + `","manifests":[]}`))
	}
	if err != nil {
		return nil, err
	}
	if d.MediaType != oci.MediaTypeIndex {
		return nil, fmt.Errorf("the tag names something of type %s, not a list of attachments", d.MediaType)
	}
	if "sha256-"+d.Digest.Encoded() == name.Tag {
		return nil, errors.New("the tag names the image itself, as oc-mirror calls it, and is not made a list of attachments")
	}
	if _, err := oci.ParseManifest(d.MediaType, content); err != nil {
		return nil, err
	}
	return newFallbackIndex(content)
}

// addReferrer adds the image to the list, unless it is there.
func (u *unpacker) addReferrer(ctx context.Context, r *replay, index *fallbackIndex, m *oci.Manifest, tag string) error {
	for _, raw := range index.manifests {
		var listed oci.Descriptor
		if err := json.Unmarshal(raw, &listed); err != nil {
			return err
		}
		if listed.Digest == r.image.Root.Digest {
			return nil
		}
	}
	if len(index.manifests) >= maxReferrers {
		return fmt.Errorf("%d attachments are listed already", len(index.manifests))
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
	index.manifests = append(index.manifests, entry)
	content, err := index.encode()
	if err != nil {
		return err
	}
	list := oci.Descriptor{MediaType: oci.MediaTypeIndex, Digest: digest.FromBytes(content), Size: int64(len(content))}
	return u.target.PushManifest(ctx, r.to.Repository, tag, list, content)
}
