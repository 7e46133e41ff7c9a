package oci_test

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// Bytes are believed only when the gate has said io.EOF.
func ExampleNewReader() {
	promised := oci.Descriptor{Digest: digest.FromString("hello\n"), Size: 6}
	for _, served := range []string{"hello\n", "hell\n", "hallo\n", "hello\n\n"} {
		gate, err := oci.NewReader(strings.NewReader(served), promised)
		if err != nil {
			fmt.Println(err)
			return
		}
		_, err = io.Copy(io.Discard, gate)
		fmt.Printf("%q is right: %t\n", served, err == nil)
	}
	// Output:
	// "hello\n" is right: true
	// "hell\n" is right: false
	// "hallo\n" is right: false
	// "hello\n\n" is right: false
}

// The manifests of an image come children first.
func ExampleWalk() {
	config := fmt.Sprintf(`{"digest":%q,"size":2}`, digest.FromString("{}"))
	image := `{"schemaVersion":2,"config":` + config + `,"layers":[]}`
	index := fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d}]}`,
		oci.MediaTypeManifest, digest.FromString(image), len(image))
	contents := map[digest.Digest]string{digest.FromString(image): image, digest.FromString(index): index}

	root := oci.Descriptor{MediaType: oci.MediaTypeIndex, Digest: digest.FromString(index), Size: int64(len(index))}
	fetch := func(_ context.Context, d oci.Descriptor) ([]byte, error) {
		content := []byte(contents[d.Digest])
		return content, oci.Verify(content, d)
	}
	err := oci.Walk(context.Background(), root, fetch, nil, func(d oci.Descriptor, _ []byte, m *oci.Manifest) error {
		fmt.Println(d.MediaType, len(m.Manifests), "manifests,", len(m.Blobs), "blobs")
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// application/vnd.oci.image.manifest.v1+json 0 manifests, 1 blobs
	// application/vnd.oci.image.index.v1+json 1 manifests, 0 blobs
}
