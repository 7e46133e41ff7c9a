package transfer

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

// receivedImage is what is read of an image in a receipt.
type receivedImage struct {
	Blobs       string        `json:"blobs"`
	Destination string        `json:"destination"`
	Digest      digest.Digest `json:"digest"`
	Lacks       []struct {
		Digest digest.Digest `json:"digest"`
	} `json:"lacks"`
	Reference string   `json:"reference"`
	State     string   `json:"state"`
	Tags      []string `json:"tags"`
}

// receivedMissing is what is read of an image that a receipt says was not in the
// bundle.
type receivedMissing struct {
	Destination string   `json:"destination"`
	Part        string   `json:"part"`
	Reference   string   `json:"reference"`
	Tags        []string `json:"tags"`
}

// each is called for one image of a list after the other: a list of lists
// could take many times the memory of its text.
type each[T any] func(*T) error

// UnmarshalJSON implements [json.Unmarshaler].
func (f each[T]) UnmarshalJSON(list []byte) error {
	dec := json.NewDecoder(bytes.NewReader(list))
	if token, err := dec.Token(); err != nil || token != json.Delim('[') {
		return errors.New("images are not a list")
	}
	for dec.More() {
		var image T
		if err := dec.Decode(&image); err != nil {
			return err
		}
		if err := f(&image); err != nil {
			return err
		}
	}
	return nil
}

// received is what is read of a receipt.
type received struct {
	Bundle  digest.Digest         `json:"bundle"`
	Images  each[receivedImage]   `json:"images"`
	Missing each[receivedMissing] `json:"missing"`
	Name    string                `json:"name"`
	Plan    digest.Digest         `json:"plan"`
	Request bundle.Request        `json:"request"`
	To      string                `json:"to"`
}

// readReceipt takes of a receipt what the site has, and what it lacks.
func (h *Have) readReceipt(data []byte) error {
	// Of another version, nothing else is to be judged.
	var head struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return err
	}
	if head.Version != 1 {
		return &bundle.VersionError{Version: head.Version}
	}
	h.prefixes = make(map[blobPrefix]int)
	named := make(map[string]bool)
	var missing []hole
	r := received{
		Images: func(image *receivedImage) error { return h.addReceived(image, named) },
		Missing: func(image *receivedMissing) error {
			hole, err := image.hole()
			missing = append(missing, hole)
			return err
		},
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return err
	}
	for _, hole := range missing {
		if !named[hole.reference] { // what is there counts, wherever in the receipt it stands
			named[hole.reference] = true
			h.holes = append(h.holes, hole)
		}
	}
	if err := r.check(); err != nil {
		return err
	}
	h.of = bundle.HeldImage{Bundle: r.Bundle, Name: r.Name, Plan: r.Plan}
	h.request = &r.Request
	for i := range h.holes {
		if err := h.holes[i].place(r.To); err != nil {
			return err
		}
	}
	return nil
}

func (r *received) check() error {
	if err := bundle.CheckName(r.Name); err != nil {
		return err
	}
	if err := oci.CheckDigest(r.Plan); err != nil {
		return fmt.Errorf("plan ID: %w", err)
	}
	if r.Bundle != "" {
		if err := oci.CheckDigest(r.Bundle); err != nil {
			return fmt.Errorf("bundle ID: %w", err)
		}
	}
	for _, platform := range r.Request.Platforms {
		if !bundle.ValidPlatform(platform) {
			return fmt.Errorf("platform %q", platform)
		}
	}
	return nil
}

func (h *Have) addReceived(image *receivedImage, named map[string]bool) error {
	if err := checkReference(image.Reference, image.Digest, named); err != nil {
		return err
	}
	to, err := oci.SplitReference(image.Destination)
	if err != nil {
		return fmt.Errorf("image %s: destination: %w", image.Reference, err)
	}
	complete := image.State == ImagePushed || image.State == ImagePresent
	if complete {
		if err := h.addPrefixes(image.Blobs, heldFrom{reference: image.Reference, repository: to.Repository}); err != nil {
			return fmt.Errorf("image %s: %w", image.Reference, err)
		}
	}
	for _, l := range image.Lacks {
		if err := oci.CheckDigest(l.Digest); err != nil {
			return fmt.Errorf("image %s: it lacks %w", image.Reference, err)
		}
		h.lacks[l.Digest] = true
	}
	if !complete || len(image.Lacks) > 0 {
		// Of what failed, the receipt does not know all that was not sent.
		known := len(image.Lacks) > 0 && image.State != ImageFailed
		h.holes = append(h.holes, hole{
			reference: image.Reference, repository: to.Repository, root: image.Digest, known: known,
			tags: append([]string{to.Tag}, image.Tags...),
		})
	}
	return nil
}

// hole checks what the receipt says.
func (m *receivedMissing) hole() (hole, error) {
	h := hole{reference: m.Reference, part: m.Part}
	if _, err := oci.SplitReference(m.Reference); err != nil {
		return h, fmt.Errorf("missing image: %w", err)
	}
	if m.Part != "" && m.Part != bundle.PartRelease && m.Part != bundle.PartComponent && m.Part != bundle.PartCatalog {
		return h, fmt.Errorf("missing image %s: part %.80q", m.Reference, m.Part)
	}
	if m.Destination == "" {
		return h, nil
	}
	to, err := oci.SplitReference(m.Destination)
	if err != nil {
		return h, fmt.Errorf("missing image %s: destination: %w", m.Reference, err)
	}
	h.repository, h.tags = to.Repository, append([]string{to.Tag}, m.Tags...)
	return h, nil
}

// place notes where the site has the image below the prefix, or would have it, if
// that is not where its reference would put it.
func (h *hole) place(to string) error {
	path, ok := strings.CutPrefix(h.repository, to+"/")
	ref, err := oci.SplitReference(h.reference)
	if err != nil || to == "" || !ok {
		return err
	}
	tag := ref.Tag
	if tag == "" { // a root that is known is what the reference names
		tag = DigestTag(ref.Digest)
	}
	if path == ref.Path() && len(h.tags) == 1 && h.tags[0] == tag {
		return nil
	}
	for _, tag := range h.tags {
		h.destinations = append(h.destinations, path+":"+tag)
	}
	if err := bundle.CheckDestinations(h.destinations); err != nil {
		return fmt.Errorf("image %s: %w", h.reference, err)
	}
	return nil
}

// addPrefixes takes what a receipt says of the blobs that came with an image.
func (h *Have) addPrefixes(encoded string, from heldFrom) error {
	var p blobPrefix
	prefixes, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil || len(prefixes)%len(p) != 0 {
		return errors.New("blobs are not whole prefixes of digests in base64url")
	}
	if n := len(h.prefixes) + len(prefixes)/len(p); n > oci.MaxBlobs {
		return fmt.Errorf("%d blobs are more than %d", n, oci.MaxBlobs)
	}
	h.images = append(h.images, from)
	for ; len(prefixes) > 0; prefixes = prefixes[len(p):] {
		copy(p[:], prefixes)
		if _, ok := h.prefixes[p]; !ok {
			h.prefixes[p] = len(h.images) - 1
		}
	}
	return nil
}
