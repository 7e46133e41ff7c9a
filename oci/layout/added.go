package layout

import "satchel/oci"

// Limits on what AddLayer takes and makes.
const (
	// MaxLayer bounds a layer to add in bytes, uncompressed (2 GiB). The largest
	// catalogs of operators have some 300 MB.
	MaxLayer = 2 << 30
	// MaxCompressed bounds the same layer compressed in bytes, as it is held in
	// memory (512 MiB). The files of catalogs shrink to a tenth.
	MaxCompressed = 512 << 20
	// MaxConfig bounds the config of an image in bytes, as podman and skopeo do.
	MaxConfig = 4 << 20
)

// MakerVersion names all that decides the bytes that AddLayer makes: with another
// version they may be different ones.
const MakerVersion = "github.com/opencontainers/umoci v0.6.0, github.com/klauspost/compress v1.20.3 gzip default, satchel 1"

// Added is a blob that was made for an image, with its descriptor.
type Added struct {
	Descriptor oci.Descriptor
	Content    []byte
}
