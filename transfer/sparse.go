package transfer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// SparseRefusedError says that the target does not take an index that names
// manifests which are not there.
type SparseRefusedError struct {
	Repository, Image string
	Err               error
}

func (e *SparseRefusedError) Error() string {
	return fmt.Sprintf("image %s: %s refuses sparse indexes: %v", e.Image, e.Repository, e.Err)
}

func (e *SparseRefusedError) Unwrap() error { return e.Err }

// probeSparse asks the target, before layers move, whether it takes sparse
// indexes, if the bundle has one. If it does not, that is an error or, with
// KeepGoing, the end of the images that have one.
func (u *unpacker) probeSparse(ctx context.Context) error {
	var err error
	for _, r := range u.images {
		if !r.image.Sparse || r.done {
			continue
		}
		if err == nil {
			if err = u.probe(ctx, r); err == nil || ctx.Err() != nil {
				return err
			}
		}
		if stop := u.fail(r, err); stop != nil {
			return stop
		}
	}
	return nil
}

// probe pushes an index that names one absent manifest. It is deleted again where
// the registry allows that; without a tag it is garbage anyway.
func (u *unpacker) probe(ctx context.Context, r *replay) error {
	content, err := json.Marshal(struct {
		SchemaVersion int              `json:"schemaVersion"`
		MediaType     string           `json:"mediaType"`
		Manifests     []oci.Descriptor `json:"manifests"`
	}{2, oci.MediaTypeIndex, []oci.Descriptor{{
		MediaType: oci.MediaTypeManifest, Digest: digest.FromString("satchel: a manifest that is nowhere"), Size: 2,
	}}})
	if err != nil {
		return err
	}
	d := oci.Descriptor{MediaType: oci.MediaTypeIndex, Digest: digest.FromBytes(content), Size: int64(len(content))}
	if err := u.target.PushManifest(ctx, r.to.Repository, "", d, content); err != nil {
		if refused := refusal(nil); errors.As(err, &refused) && refused.Refusal() {
			return &SparseRefusedError{Repository: r.to.Repository, Image: r.image.Reference, Err: err}
		}
		return fmt.Errorf("image %s: asking %s whether it takes sparse indexes: %w", r.image.Reference, r.to.Repository, err)
	}
	_ = u.target.DeleteManifest(ctx, r.to.Repository, d.Digest) // many registries forbid it
	return nil
}
