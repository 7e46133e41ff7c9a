package layers

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"

	"satchel/oci"
)

// limits are those of one layer; tests make them smaller.
type limits struct {
	entries  int
	expanded int64
}

// Walk reads one layer to its very end and calls visit for each entry, in the
// order of the layer; the root directory and headers that are no files are left
// out. gzip with several members, zstd and plain tar are told by their first
// bytes. r gives the content of a regular file, is valid during visit only, and
// need not be read.
//
// What visit saw is verified when Walk returns nil, and not before. Damage is a
// [*oci.MismatchError], whatever else it broke; an error of visit ends the walk
// and is wrapped. Errors name the layer. Calls may run concurrently.
func Walk(ctx context.Context, open Open, layer oci.Descriptor, visit func(e Entry, r io.Reader) error) error {
	err := walk(ctx, open, layer, limits{entries: MaxEntries, expanded: MaxExpanded}, visit)
	if err != nil {
		return fmt.Errorf("layer %s: %w", layer.Digest, err)
	}
	return nil
}

func walk(ctx context.Context, open Open, layer oci.Descriptor, max limits, visit func(Entry, io.Reader) error) error {
	if err := oci.CheckDescriptor(layer); err != nil {
		return err
	}
	source, err := open(ctx, layer)
	if err != nil {
		return err
	}
	defer source.Close()
	gate, err := oci.NewReader(contextReader{ctx, source}, layer)
	if err != nil {
		return err
	}
	err = walkEntries(gate, max, visit)
	var visitor *visitError
	if errors.As(err, &visitor) {
		return visitor.err
	}
	// What follows the end of the tar counts for the digest only. After an
	// error the digest tells damage from a layer that was made so.
	if _, damage := io.Copy(io.Discard, gate); damage != nil {
		return damage
	}
	return err
}

// visitError is an error of the visitor, after which nothing more is read.
type visitError struct{ err error }

func (e *visitError) Error() string { return e.err.Error() }

// streamError gives the errors of decoders our words where we set the limit.
func streamError(err error) error {
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return fmt.Errorf("zstd frame with a window of more than %d bytes: %w", MaxWindow, ErrLimit)
	}
	return err
}

func walkEntries(r io.Reader, max limits, visit func(Entry, io.Reader) error) error {
	expanded, err := decompress(r)
	if err != nil {
		return streamError(err)
	}
	defer expanded.Close()
	entries := tar.NewReader(&meter{r: expanded, left: max.expanded, max: max.expanded})
	content := &meter{left: max.expanded, max: max.expanded}
	for n := 0; ; n++ {
		header, err := entries.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return streamError(err)
		}
		if n == max.entries {
			return fmt.Errorf("more than %d entries: %w", max.entries, ErrLimit)
		}
		e, ok, err := entryOf(header)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		content.r = entries
		reader := &entryReader{r: content}
		err = visit(e, reader)
		reader.r = nil
		if reader.err != nil {
			return streamError(reader.err)
		}
		if err != nil {
			return &visitError{fmt.Errorf("%q: %w", e.Name, err)}
		}
	}
}

// entryOf reports false for what is no file of the image.
func entryOf(header *tar.Header) (e Entry, ok bool, err error) {
	if header.Typeflag == tar.TypeXGlobalHeader {
		return Entry{}, false, nil
	}
	name, err := cleanName(header.Name)
	if err != nil {
		return Entry{}, false, err
	}
	e = Entry{Name: name, Type: header.Typeflag, Mode: header.FileInfo().Mode().Perm()}
	switch e.Type {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		e.Type, e.Size = tar.TypeReg, header.Size
	case tar.TypeLink:
		if e.Link, err = cleanName(header.Linkname); err == nil && e.Link == "" {
			err = fmt.Errorf("%q: %w", header.Linkname, ErrName)
		}
		if err != nil {
			return Entry{}, false, fmt.Errorf("%q: hard link to %w", name, err)
		}
	case tar.TypeSymlink:
		if err := checkLength(header.Linkname); err != nil {
			return Entry{}, false, fmt.Errorf("%q: link to %w", name, err)
		}
		e.Link = strings.Clone(header.Linkname)
	}
	if name == "" {
		if e.Type != tar.TypeDir {
			return Entry{}, false, fmt.Errorf("%q: %w", header.Name, ErrName)
		}
		return Entry{}, false, nil
	}
	return e, true, nil
}

// entryReader gives the content of one entry while it is visited, and keeps the
// error of the stream, so that a visitor cannot swallow it or take it for its
// own.
type entryReader struct {
	r   io.Reader
	err error
}

var errVisited = errors.New("read after its visit")

func (r *entryReader) Read(p []byte) (int, error) {
	if r.r == nil {
		return 0, errVisited
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}
