package transfer_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/transfer"
)

// prefixes takes apart what a receipt says of blobs.
func prefixes(t testing.TB, s string) map[string]bool {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(raw)%8 != 0 {
		t.Fatalf("%q: %d bytes, %v", s, len(raw), err)
	}
	all := make(map[string]bool)
	for p := range slices.Chunk(raw, 8) {
		all[fmt.Sprintf("%x", p)] = true
	}
	return all
}

// The receipt names every blob of the images that are there, once.
func TestReceiptForm(t *testing.T) {
	images := packed()
	source := newOrigin(images...)
	prologue := plan(t, source.sources(), "source.example", smallVolume, transfer.SelectOptions{}, images...)
	whole := writeBundle(t, prologue, source)
	cut := prologue.Blob(images[1].Blobs[2].Descriptor.Digest)
	path := copyFiles(t, files(t, whole), prologue.Plan().VolumeName(cut.VolumesOf()[1]))
	site := serve(t, fixtures.Options{})
	receipt := unpack(t, path, site)
	content, err := json.Marshal(receipt)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Version        int
		Bundle, Plan   digest.Digest
		Name, To       string
		Request        *bundle.Request
		Volumes        int
		Images         []map[string]any
		Blobs          map[string]int64
		MissingVolumes []int
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	b := openBundle(t, whole)
	if doc.Version != 1 || doc.Bundle != b.BundleID || doc.Plan != b.PlanID || doc.Name != "test" || doc.To == "" || doc.Request == nil ||
		doc.Volumes != prologue.Plan().Volumes || !slices.Equal(doc.MissingVolumes, []int{cut.VolumesOf()[1]}) {
		t.Errorf("got %s", content)
	}
	keys := func(m map[string]any) []string {
		var all []string
		for _, key := range []string{"destination", "digest", "reference", "state", "replaced", "lacks", "blobs"} {
			if _, ok := m[key]; ok {
				all = append(all, key)
			}
		}
		if len(all) != len(m) {
			t.Errorf("got %v", m)
		}
		return all
	}
	for i, want := range [][]string{
		{"destination", "digest", "reference", "state", "blobs"}, {"destination", "digest", "reference", "state", "lacks"},
		{"destination", "digest", "reference", "state", "blobs"},
	} {
		if got := keys(doc.Images[i]); !slices.Equal(got, want) {
			t.Errorf("image %d: %v, want %v", i, got, want)
		}
	}
	// The volume turns up: now all blobs are listed, the shared layer once.
	receipt = unpack(t, whole, site)
	listed := make(map[string]bool)
	for i, image := range receipt.Images {
		for p := range prefixes(t, image.Blobs) {
			if listed[p] {
				t.Errorf("%s is listed twice", p)
			}
			listed[p] = true
			if !slices.ContainsFunc(images[i].Blobs, func(c fixtures.Content) bool { return strings.HasPrefix(c.Descriptor.Digest.Encoded(), p) }) {
				t.Errorf("%s is no blob of %s", p, image.Reference)
			}
		}
	}
	if len(listed) != len(prologue.Plan().Blobs) {
		t.Errorf("%d blobs are listed, want %d", len(listed), len(prologue.Plan().Blobs))
	}
	if image := receipt.Images[1]; image.State != transfer.ImagePushed || image.Replaced != "" {
		t.Errorf("got %+v", image)
	}
	// A tag that named something else is told, in the receipt too.
	if err := site.Add(images[0].Named("mirror/"+images[2].Repository, images[2].Tag)); err != nil {
		t.Fatal(err)
	}
	if image := unpack(t, whole, site).Images[2]; image.Replaced != images[0].Root.Digest {
		t.Errorf("replaced %q, want %s", image.Replaced, images[0].Root.Digest)
	}
}

// A run that ends early says what is known.
func TestReceiptInterrupted(t *testing.T) {
	images := separate()
	path := makeBundle(t, smallVolume, transfer.SelectOptions{}, images...)
	site := serve(t, fixtures.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var once sync.Once
	target := &watched{Client: client(t), tagged: func(string, string) { once.Do(cancel) }}
	o := into(site)
	o.Jobs = 1
	receipt, err := transfer.Unpack(ctx, openBundle(t, path), target, o)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	there := 0
	for i, image := range receipt.Images {
		switch image.State {
		case transfer.ImagePushed:
			there++
			if !isWhole(t, site, images[i]) || image.Blobs == "" {
				t.Errorf("%s is not there, %+v", images[i].Reference(), image)
			}
		case transfer.ImageWaiting:
			if len(image.Lacks) > 0 || image.Blobs != "" {
				t.Errorf("got %+v", image)
			}
		default:
			t.Errorf("%s is %s", image.Reference, image.State)
		}
	}
	if complete, damaged := receipt.Complete(); complete || damaged || there == 0 || there == len(images) {
		t.Errorf("%d images are there, complete %t, damaged %t", there, complete, damaged)
	}
}

// everything is a target that has everything.
type everything struct{ transfer.Target }

func (everything) HasBlob(context.Context, string, oci.Descriptor) (bool, error) { return true, nil }

func (everything) Blob(context.Context, string, oci.Descriptor, int64, int64) (io.ReadCloser, bool, error) {
	return io.NopCloser(strings.NewReader("x")), true, nil
}

func (everything) PushManifest(context.Context, string, string, oci.Descriptor, []byte) error {
	return nil
}

func (everything) Resolve(_ context.Context, ref oci.Reference) (oci.Descriptor, []byte, error) {
	hex := strings.TrimPrefix(ref.Tag, "digest-")
	return oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: digest.NewDigestFromEncoded(digest.SHA256, hex)}, nil, nil
}

// The size of a receipt, which somebody carries back: 1,000 images of which each
// brings a config, a manifest and three layers of its own, under names as long as
// those of a release.
func TestReceiptSize(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: long, and nothing new to the race detector")
	}
	const images = 1000
	s := bundle.Selection{Name: "test", Contents: make(map[digest.Digest][]byte)}
	for i := range images {
		reference := "quay.example/openshift-release-dev/ocp-v4.0-art-dev@"
		var group []bundle.Blob
		blob := func(mediaType string, n int) bundle.Content {
			c := bundle.Content{Digest: digest.FromString(fmt.Sprint(i, n)), MediaType: mediaType, Size: 1000}
			group = append(group, bundle.Blob{Content: c, Origin: bundle.Origin{Repository: "quay.example/openshift-release-dev/ocp-v4.0-art-dev"}})
			return c
		}
		config := blob("application/vnd.oci.image.config.v1+json", 0)
		layers := []bundle.Content{}
		for n := range 3 {
			layers = append(layers, blob("application/vnd.oci.image.layer.v1.tar+gzip", n+1))
		}
		content, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": oci.MediaTypeManifest, "config": config, "layers": layers})
		if err != nil {
			t.Fatal(err)
		}
		root := bundle.Content{Digest: digest.FromBytes(content), MediaType: oci.MediaTypeManifest, Size: int64(len(content))}
		s.Contents[root.Digest] = content
		s.Manifests = append(s.Manifests, bundle.Manifest{Content: root, Origin: group[0].Origin})
		s.Images = append(s.Images, bundle.Image{Reference: reference + string(root.Digest), Root: root})
		s.Blobs = append(s.Blobs, group)
	}
	_, prologue, err := bundle.NewPlan(s, 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle.Bundle{Prologue: prologue, PlanID: prologue.PlanID(), BundleID: digest.FromString("bundle")}
	receipt, err := transfer.Unpack(t.Context(), b, everything{}, transfer.UnpackOptions{To: "registry.site.example:5000/mirror"})
	if err != nil {
		t.Fatal(err)
	}
	plain, err := json.MarshalIndent(receipt, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	blobs := 0
	for _, image := range receipt.Images {
		blobs += len(prefixes(t, image.Blobs))
	}
	t.Logf("1,000 images, %d blobs: %d bytes, %d compressed", blobs, len(plain), packed.Len())
	if blobs != 4*images || len(plain) > 600_000 || packed.Len() > 150_000 {
		t.Errorf("1,000 images, %d blobs: %d bytes, %d compressed", blobs, len(plain), packed.Len())
	}
	var again transfer.Receipt
	if err := json.Unmarshal(plain, &again); err != nil || !reflect.DeepEqual(&again, receipt) {
		t.Errorf("read back: %v", err)
	}
}
