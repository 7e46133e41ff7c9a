package bundle_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci"
)

const (
	typeConfig = "application/vnd.oci.image.config.v1+json"
	typeGzip   = "application/vnd.oci.image.layer.v1.tar+gzip"
	typeTar    = "application/vnd.oci.image.layer.v1.tar"
)

// source is a set of images in memory.
type source struct {
	selection bundle.Selection
	blobs     map[digest.Digest][]byte
	seed      *rand.ChaCha8
	pad       int // spaces behind each manifest, which are bytes like any other
}

func newSource(name string) *source {
	return &source{
		selection: bundle.Selection{Name: name, Contents: map[digest.Digest][]byte{}},
		blobs:     map[digest.Digest][]byte{},
		seed:      rand.NewChaCha8([32]byte{1}),
	}
}

// random returns n bytes that do not compress.
func (s *source) random(n int) []byte {
	b := make([]byte, n)
	s.seed.Read(b)
	return b
}

type layer struct {
	mediaType string
	content   []byte
}

// add adds an image with these layers. Layers that stand already are shared.
func (s *source) add(t testing.TB, reference string, layers ...layer) {
	t.Helper()
	origin := bundle.Origin{Repository: "registry.example/source"}
	group := []bundle.Blob{}
	blob := func(mediaType string, content []byte) bundle.Content {
		c := bundle.Content{Digest: digest.FromBytes(content), MediaType: mediaType, Size: int64(len(content))}
		if _, ok := s.blobs[c.Digest]; !ok {
			s.blobs[c.Digest] = content
			group = append(group, bundle.Blob{Content: c, Origin: origin, Compress: oci.IsUncompressed(mediaType)})
		}
		return c
	}
	manifest := struct {
		SchemaVersion int              `json:"schemaVersion"`
		MediaType     string           `json:"mediaType"`
		Config        bundle.Content   `json:"config"`
		Layers        []bundle.Content `json:"layers"`
	}{2, oci.MediaTypeManifest, blob(typeConfig, []byte(fmt.Sprintf(`{"os":"linux","name":%q}`, reference))), nil}
	for _, l := range layers {
		manifest.Layers = append(manifest.Layers, blob(l.mediaType, l.content))
	}
	raw, err := json.Marshal(manifest)
	if err != nil {
		t.Fatal(err)
	}
	raw = append(raw, bytes.Repeat([]byte(" "), s.pad)...)
	root := bundle.Content{Digest: digest.FromBytes(raw), MediaType: oci.MediaTypeManifest, Size: int64(len(raw))}
	s.selection.Contents[root.Digest] = raw
	s.selection.Manifests = append(s.selection.Manifests, bundle.Manifest{Content: root, Origin: origin})
	s.selection.Images = append(s.selection.Images, bundle.Image{Reference: reference, Root: root, Platforms: []string{"linux/amd64"}})
	s.selection.Blobs = append(s.selection.Blobs, group)
}

// write makes the bundle in dir. With lacks it is a partial one, which these
// blobs are left out of.
func (s *source) write(t testing.TB, dir string, volumeSize int64, lacks ...digest.Digest) (*bundle.Prologue, *bundle.Inventory) {
	t.Helper()
	_, prologue, err := bundle.NewPlan(s.selection, volumeSize)
	if err != nil {
		t.Fatal(err)
	}
	return prologue, s.writeVolumes(t, dir, prologue, lacks...)
}

// writeVolumes makes the bundle of that prologue in dir.
func (s *source) writeVolumes(t testing.TB, dir string, prologue *bundle.Prologue, lacks ...digest.Digest) *bundle.Inventory {
	t.Helper()
	out, err := bundle.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	return s.writeInto(t, out, prologue, lacks...)
}

func (s *source) writeInto(t testing.TB, out bundle.Dir, prologue *bundle.Prologue, lacks ...digest.Digest) *bundle.Inventory {
	t.Helper()
	if err := bundle.WritePlan(out, prologue); err != nil {
		t.Fatal(err)
	}
	var volumes []bundle.Volume
	for n := 1; n <= prologue.Plan().Volumes; n++ {
		w, err := bundle.CreateVolume(out, prologue, n)
		if err != nil {
			t.Fatal(err)
		}
		volumes = append(volumes, s.writeRest(t, w, lacks...))
	}
	inventory, _, err := bundle.Finish([]bundle.Dir{out}, prologue, volumes, lacking(prologue, lacks...))
	if err != nil {
		t.Fatal(err)
	}
	return inventory
}

// writeRest writes all members of a volume that are to be written still, through
// the gate of their blob, but for those of the blobs that are lacking.
func (s *source) writeRest(t testing.TB, w *bundle.VolumeWriter, lacks ...digest.Digest) bundle.Volume {
	t.Helper()
	for m, ok := w.Next(); ok; m, ok = w.Next() {
		if slices.Contains(lacks, m.Blob.Digest) {
			w.Skip()
			continue
		}
		gate, err := oci.NewReader(bytes.NewReader(s.blobs[m.Blob.Digest]), m.Blob.Descriptor())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, gate, m.Start); err != nil {
			t.Fatal(err)
		}
		if err := w.WriteMember(gate); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Finish(); err != nil {
		t.Fatal(err)
	}
	volume, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return volume
}

// lacking says in the inventory's words that a bundle lacks these blobs.
func lacking(prologue *bundle.Prologue, lacks ...digest.Digest) []bundle.Missing {
	var missing []bundle.Missing
	for _, d := range lacks {
		m := bundle.Missing{Digest: d, Reason: "the registry says 404"}
		for _, image := range prologue.Plan().Images {
			graph, err := prologue.Graph(image)
			if err == nil && m.Image == "" && slices.ContainsFunc(graph.Blobs, func(b *bundle.Blob) bool { return b.Digest == d }) {
				m.Image = image.Reference
			}
		}
		missing = append(missing, m)
	}
	return missing
}

func open(t testing.TB, dirs ...string) *bundle.Bundle {
	t.Helper()
	var media []bundle.Medium
	for _, dir := range dirs {
		media = append(media, bundle.Medium{Name: dir, FS: os.DirFS(dir)})
	}
	b, err := bundle.Open(media...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// scanned collects what a scan tells.
type scanned struct {
	content map[digest.Digest][]byte
	broken  []string
	damage  []*bundle.DamageError
	read    int64
}

func (s *scanned) Content(m bundle.Member, p []byte) {
	s.content[m.Blob.Digest] = append(s.content[m.Blob.Digest], p...)
}

func (s *scanned) EndMember(m bundle.Member, whole bool) {
	if !whole {
		s.broken = append(s.broken, m.Name())
	}
}
func (s *scanned) Damage(d *bundle.DamageError) { s.damage = append(s.damage, d) }
func (s *scanned) Progress(n int64)             { s.read += n }

func scan(t testing.TB, b *bundle.Bundle, v *bundle.VolumeFile) (*scanned, digest.Digest) {
	t.Helper()
	s := &scanned{content: map[digest.Digest][]byte{}}
	sum, err := b.Scan(t.Context(), v, s)
	if err != nil {
		t.Fatal(err)
	}
	return s, sum
}

// mustAs fails the test when err is not of type T.
func mustAs[T error](t testing.TB, err error) T {
	t.Helper()
	var target T
	if !errors.As(err, &target) {
		t.Fatalf("got %v (%T), want %T", err, err, target)
	}
	return target
}
