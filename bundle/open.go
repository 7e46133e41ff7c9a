package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// Medium is a mounted file system, or a directory, that may hold a part of a
// bundle. Its files must implement [io.ReaderAt], as those of [os.DirFS] do.
type Medium struct {
	// Name is what people know it by, for messages.
	Name string
	FS   fs.FS
}

// Bundle is what was found on media. It is safe for concurrent use.
type Bundle struct {
	// Prologue is that of the first volume whose prologue is whole. Nil when
	// there is none; Damage then says why.
	Prologue *Prologue
	// PlanID is the plan ID of the bundle, known even without a prologue if any
	// volume header or the inventory could be read.
	PlanID digest.Digest
	// Inventory is nil when there is none, or none to be believed.
	Inventory *Inventory
	// BundleID is the SHA-256 of the inventory; empty without one.
	BundleID digest.Digest
	// Volumes are those found, by number; of two copies both.
	Volumes []*VolumeFile
	// Damage is what could not be read while opening.
	Damage []*DamageError

	decoder *zstd.Decoder
	readers sync.Pool
	// older are inventories from before volumes were made again.
	older []*Inventory
	// inventories are those that may be the bundle's, until one is settled on.
	inventories []foundInventory
}

// ErrNoBundle says that media hold nothing of a bundle.
var ErrNoBundle = errors.New("no bundle found")

var volumePattern = regexp.MustCompile(`^(.+)-([0-9]{4})\.tar\.zst$`)

// Open looks at media, in any order, and finds the bundle that they hold a part
// of. It reads the header of each volume and one prologue. What is damaged is
// noted in the result; an error means that there is nothing to go on with:
// [ErrNoBundle], or a medium that cannot be listed, or a format version that
// this satchel does not read. The caller closes the bundle.
func Open(media ...Medium) (*Bundle, error) {
	b, err := newBundle()
	if err != nil {
		return nil, err
	}
	if err := b.find(media); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// newBundle returns a bundle of nothing, which can read. The caller closes it.
func newBundle() (*Bundle, error) {
	decoder, err := newDecoder()
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	b := &Bundle{decoder: decoder}
	b.readers.New = func() any { return &tarReader{decoder: decoder} }
	return b, nil
}

// Close frees what the bundle holds. No reader of it may be in use.
func (b *Bundle) Close() error {
	b.decoder.Close()
	return nil
}

// found is a volume file with what its header says.
type found struct {
	*VolumeFile
	prefix string // of its name
	header volumeHeader
	err    error // why there is no header
}

func (b *Bundle) find(media []Medium) error {
	var files []*found
	var inventories []foundInventory
	for _, medium := range media {
		entries, err := fs.ReadDir(medium.FS, ".")
		if err != nil {
			return fmt.Errorf("listing %s: %w", medium.Name, err)
		}
		for _, e := range entries {
			if match := volumePattern.FindStringSubmatch(e.Name()); match != nil && !e.IsDir() {
				f, err := b.openVolume(medium, e.Name(), match)
				if err != nil {
					return err
				}
				files = append(files, f)
			}
			if e.Name() == inventoryName {
				inventories = append(inventories, readInventory(medium))
			}
		}
	}
	if len(files) == 0 {
		names := make([]string, len(media))
		for i, m := range media {
			names[i] = m.Name
		}
		return fmt.Errorf("%w in %s", ErrNoBundle, strings.Join(names, ", "))
	}
	name, err := b.choose(files, inventories)
	if err != nil {
		return err
	}
	b.adopt(files, name)
	b.readFirstPrologue()
	for _, medium := range media {
		b.checkSmallFiles(medium, name)
	}
	return nil
}

// Volume returns the volume of that number, of several copies the first whose
// header is whole; nil when it is not there.
func (b *Bundle) Volume(number int) *VolumeFile {
	copies := b.copies(number)
	if len(copies) == 0 {
		return nil
	}
	return copies[0]
}

// copies returns the files of that volume whose header is whole.
func (b *Bundle) copies(number int) []*VolumeFile {
	i, ok := slices.BinarySearchFunc(b.Volumes, number, func(v *VolumeFile, n int) int { return v.Number - n })
	if !ok {
		return nil
	}
	n := i
	for n < len(b.Volumes) && b.Volumes[n].Number == number && b.Volumes[n].Whole {
		n++
	}
	return b.Volumes[i:n]
}

// maxCopies bounds the ways in which a blob that is cut over volumes is read from
// copies of these.
const maxCopies = 64

// Copies returns in how many ways the blob can be read, taking for each of its
// volumes any of the copies that are there; at most 64, and 0 for a blob that has
// no volume.
func (b *Bundle) Copies(blob *Blob) int {
	if len(blob.VolumesOf()) == 0 {
		return 0
	}
	ways := 1
	for _, n := range blob.VolumesOf() {
		ways = min(ways*max(len(b.copies(n)), 1), maxCopies)
	}
	return ways
}

// Missing returns the numbers of the volumes that are not there, ascending.
func (b *Bundle) Missing() []int {
	var missing []int
	for n := 1; b.Prologue != nil && n <= b.Prologue.plan.Volumes; n++ {
		if b.Volume(n) == nil {
			missing = append(missing, n)
		}
	}
	return missing
}
