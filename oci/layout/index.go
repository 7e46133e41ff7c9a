//go:build !windows

package layout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"

	"satchel/oci"
)

const (
	// maxIndexFile bounds index.json in bytes; 20,000 images need about 8 MiB.
	maxIndexFile = 64 << 20
	// maxShownNames and maxShownName (bytes) bound what an error lists.
	maxShownNames = 10
	maxShownName  = 256
)

// Entries returns the images of index.json in its order. It fails when one of
// them has a descriptor that [oci.CheckDescriptor] refuses.
func (l *Layout) Entries(ctx context.Context) ([]Entry, error) {
	index, err := l.loadIndex(ctx)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(index.Manifests))
	for _, d := range index.Manifests {
		if err := oci.CheckDescriptor(d); err != nil {
			return nil, fmt.Errorf("layout %s: %s: %s: %w", l.dir, ispec.ImageIndexFile, shown(name(d)), err)
		}
		entries = append(entries, Entry{Name: name(d), Descriptor: d})
	}
	return entries, nil
}

// Resolve returns the one image of index.json whose annotation
// org.opencontainers.image.ref.name is name, or, with an empty name, the only
// image there is. The error of a name that is not there wraps [fs.ErrNotExist]
// and lists the names that are; a name that stands there several times is an
// error, too.
func (l *Layout) Resolve(ctx context.Context, name string) (oci.Descriptor, error) {
	index, err := l.loadIndex(ctx)
	if err != nil {
		return oci.Descriptor{}, err
	}
	d, err := resolve(index.Manifests, name)
	if err != nil {
		return oci.Descriptor{}, fmt.Errorf("layout %s: %w", l.dir, err)
	}
	if err := oci.CheckDescriptor(d); err != nil {
		return oci.Descriptor{}, fmt.Errorf("layout %s: %s: %s: %w", l.dir, ispec.ImageIndexFile, shown(name), err)
	}
	return d, nil
}

func resolve(all []oci.Descriptor, wanted string) (oci.Descriptor, error) {
	var found []oci.Descriptor
	for _, d := range all {
		if wanted == "" || name(d) == wanted {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(all) == 0:
		return oci.Descriptor{}, fmt.Errorf("holds no image: %w", fs.ErrNotExist)
	case len(found) == 0:
		return oci.Descriptor{}, fmt.Errorf("no image is named %s, there are %s: %w",
			shown(wanted), list(all, func(d oci.Descriptor) string { return shown(name(d)) }), fs.ErrNotExist)
	case wanted == "":
		return oci.Descriptor{}, fmt.Errorf("holds %d images and no name was given, there are %s",
			len(all), list(all, func(d oci.Descriptor) string { return shown(name(d)) }))
	}
	return oci.Descriptor{}, fmt.Errorf("%d images are named %s: %s",
		len(found), shown(wanted), list(found, func(d oci.Descriptor) string { return fmt.Sprintf("%.71s", string(d.Digest)) }))
}

func name(d oci.Descriptor) string {
	return d.Annotations[ispec.AnnotationRefName]
}

// shown quotes a name from outside for an error text.
func shown(name string) string {
	switch {
	case name == "":
		return "(no name)"
	case len(name) > maxShownName:
		return fmt.Sprintf("%q…", name[:maxShownName])
	}
	return fmt.Sprintf("%q", name)
}

func list(all []oci.Descriptor, show func(oci.Descriptor) string) string {
	var b strings.Builder
	for i, d := range all {
		if i == maxShownNames {
			fmt.Fprintf(&b, " and %d more", len(all)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(show(d))
	}
	return b.String()
}

func (l *Layout) loadIndex(ctx context.Context) (ispec.Index, error) {
	if err := ctx.Err(); err != nil {
		return ispec.Index{}, err
	}
	index, err := l.readIndex()
	if err != nil {
		return ispec.Index{}, fmt.Errorf("layout %s: %w", l.dir, err)
	}
	return index, nil
}

// readIndex reads index.json as it is now: another process may have changed it.
func (l *Layout) readIndex() (ispec.Index, error) {
	file, size, err := l.openFile(ispec.ImageIndexFile)
	if err != nil {
		return ispec.Index{}, err
	}
	defer file.Close()
	if size > maxIndexFile {
		return ispec.Index{}, fmt.Errorf("%s: %d bytes are more than %d", ispec.ImageIndexFile, size, maxIndexFile)
	}
	index, err := parseIndex(io.LimitReader(file, maxIndexFile))
	if err == io.EOF { // of the decoder: a value is cut short
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return ispec.Index{}, fmt.Errorf("%s: %w", ispec.ImageIndexFile, err)
	}
	return index, nil
}

// parseIndex reads an OCI index entry by entry, because 64 MiB of "{}," decode
// to gigabytes of descriptors. It refuses what two readers could take for
// different things: a field that is there twice, or that belongs to an image
// manifest.
func parseIndex(r io.Reader) (ispec.Index, error) {
	var index ispec.Index
	fields := map[string]any{
		"schemaVersion": &index.SchemaVersion,
		"mediaType":     &index.MediaType,
		"artifactType":  &index.ArtifactType,
		"subject":       &index.Subject,
		"annotations":   &index.Annotations,
		"manifests":     nil,
	}
	seen := make(map[string]bool)
	dec := json.NewDecoder(r)
	if err := expect(dec, json.Delim('{')); err != nil {
		return index, err
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return index, err
		}
		key, _ := token.(string)
		target, known := fields[key]
		switch {
		case known && seen[key]:
			return index, fmt.Errorf("field %q is there twice", key)
		case key == "config" || key == "layers" || key == "fsLayers":
			return index, fmt.Errorf("index has the field %q of an image manifest", key)
		case key == "manifests":
			index.Manifests, err = parseEntries(dec)
		case known:
			err = dec.Decode(target)
		default:
			err = dec.Decode(new(json.RawMessage))
		}
		if err != nil {
			return index, err
		}
		if known {
			seen[key] = true
		}
	}
	if err := expect(dec, json.Delim('}')); err != nil {
		return index, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return index, errors.New("something follows the index")
	}
	if index.SchemaVersion != 2 {
		return index, fmt.Errorf("schema version %d is not that of an index", index.SchemaVersion)
	}
	if index.MediaType != "" && index.MediaType != oci.MediaTypeIndex {
		return index, fmt.Errorf("media type %.128q is not that of an index", index.MediaType)
	}
	return index, nil
}

func parseEntries(dec *json.Decoder) ([]oci.Descriptor, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if token == nil { // null, which some writers make of an empty list
		return nil, nil
	}
	if token != json.Delim('[') {
		return nil, errors.New("manifests is not a list")
	}
	var entries []oci.Descriptor
	for dec.More() {
		if len(entries) == oci.MaxBlobs {
			return nil, fmt.Errorf("more than %d images", oci.MaxBlobs)
		}
		var d oci.Descriptor
		if err := dec.Decode(&d); err != nil {
			return nil, err
		}
		entries = append(entries, d)
	}
	return entries, expect(dec, json.Delim(']'))
}

func expect(dec *json.Decoder, want json.Delim) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	if token != want {
		return fmt.Errorf("%q is not there where it must be", want.String())
	}
	return nil
}
