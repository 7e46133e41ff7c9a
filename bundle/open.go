package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
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
	files   []fs.File
}

// VolumeFile is a volume on a medium.
type VolumeFile struct {
	// Name is the file's name, Medium where it lies.
	Name, Medium string
	// Number is that of the volume header or, when that is damaged, of the
	// name.
	Number int
	// Size is the file's size in bytes.
	Size int64
	// Whole says that the volume header is whole and of this bundle. Where it is
	// not, nothing else in the file is worth replaying, but it can be checked.
	Whole bool

	file io.ReaderAt

	locate    sync.Once
	located   []Located
	index     map[digest.Digest]int // of the blob's first member in located
	locateErr error
}

// DamageError says where on the media something is not as it must be. All
// failures to read or to parse a volume are of this type.
type DamageError struct {
	// File is the name of the file, Medium where it lies.
	File, Medium string
	// Offset is that of the frame, in bytes from the start of the file; -1 when
	// the file as a whole is meant.
	Offset int64
	Err    error
}

func (e *DamageError) Error() string {
	where := e.File
	if e.Medium != "" {
		where += " on " + e.Medium
	}
	if e.Offset >= 0 {
		where += " at byte " + strconv.FormatInt(e.Offset, 10)
	}
	return where + ": " + e.Err.Error()
}

func (e *DamageError) Unwrap() error { return e.Err }

// MissingVolumeError says that volumes are needed that are not there.
type MissingVolumeError struct {
	// Names are the file names, Numbers the volumes' numbers, of Count in all.
	Names   []string
	Numbers []int
	Count   int
}

func (e *MissingVolumeError) Error() string {
	if len(e.Numbers) == 1 {
		return fmt.Sprintf("volume %d of %d (%s) is missing", e.Numbers[0], e.Count, e.Names[0])
	}
	return fmt.Sprintf("volumes %s of %d are missing", joinNumbers(e.Numbers), e.Count)
}

func joinNumbers(numbers []int) string {
	s := make([]string, len(numbers))
	for i, n := range numbers {
		s[i] = strconv.Itoa(n)
	}
	return strings.Join(s, ", ")
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
	decoder, err := newDecoder()
	if err != nil {
		return nil, fmt.Errorf("zstd decoder: %w", err)
	}
	b := &Bundle{decoder: decoder}
	b.readers.New = func() any { return &tarReader{decoder: decoder} }
	if err := b.find(media); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// Close closes the files. No reader of the bundle may be in use.
func (b *Bundle) Close() error {
	var errs []error
	for _, f := range b.files {
		errs = append(errs, f.Close())
	}
	b.decoder.Close()
	return errors.Join(errs...)
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

func (b *Bundle) openVolume(medium Medium, name string, match []string) (*found, error) {
	number, err := strconv.Atoi(match[2])
	if err != nil {
		return nil, err
	}
	v := &found{VolumeFile: &VolumeFile{Name: name, Medium: medium.Name, Number: number}, prefix: match[1]}
	f, err := medium.FS.Open(name)
	if err != nil {
		v.err = &DamageError{File: name, Medium: medium.Name, Offset: -1, Err: err}
		return v, nil
	}
	b.files = append(b.files, f)
	info, err := f.Stat()
	if err != nil {
		v.err = &DamageError{File: name, Medium: medium.Name, Offset: -1, Err: err}
		return v, nil
	}
	file, ok := f.(io.ReaderAt)
	if !ok || !info.Mode().IsRegular() {
		v.err = &DamageError{File: name, Medium: medium.Name, Offset: -1, Err: errors.New("not a regular file")}
		return v, nil
	}
	v.file, v.Size = file, info.Size()
	t := b.reader(v.VolumeFile, 0, v.Size)
	defer b.readers.Put(t)
	v.header, v.err = t.readHeader()
	if version := (*VersionError)(nil); errors.As(v.err, &version) {
		return nil, fmt.Errorf("%s on %s: %w", name, medium.Name, v.err)
	}
	if v.err != nil {
		v.err = &DamageError{File: name, Medium: medium.Name, Offset: 0, Err: v.err}
	}
	return v, nil
}

// choose decides of which plan the bundle is, when media hold more than one
// thing: an inventory says it if a volume agrees, else most volumes do.
func (b *Bundle) choose(files []*found, inventories []foundInventory) (name string, err error) {
	count := make(map[digest.Digest]int)
	for _, f := range files {
		if f.err == nil {
			count[f.header.Plan]++
		}
	}
	for _, inv := range inventories {
		if version := (*VersionError)(nil); errors.As(inv.err, &version) && len(count) == 0 {
			return "", fmt.Errorf("%s on %s: %w", inventoryName, inv.medium, inv.err)
		}
		if inv.err == nil && count[inv.Plan] == 0 && len(count) > 0 {
			inv.err = fmt.Errorf("it is of plan %s, and no volume is", inv.Plan)
		}
		if inv.err != nil {
			b.Damage = append(b.Damage, &DamageError{File: inventoryName, Medium: inv.medium, Offset: -1, Err: inv.err})
			continue
		}
		if b.PlanID != "" && inv.id != b.BundleID {
			return "", fmt.Errorf("media hold the inventories of two bundles: %s and %s", b.BundleID, inv.id)
		}
		b.Inventory, b.BundleID, b.PlanID, name = inv.Inventory, inv.id, inv.Plan, inv.Name
	}
	if b.PlanID != "" {
		return name, nil
	}
	for _, f := range files {
		if f.err == nil && (b.PlanID == "" || count[f.header.Plan] > count[b.PlanID]) {
			b.PlanID, name = f.header.Plan, f.header.Name
		}
	}
	for id, n := range count {
		if id != b.PlanID && n == count[b.PlanID] {
			return "", fmt.Errorf("media hold volumes of two bundles: plans %s and %s", b.PlanID, id)
		}
	}
	if b.PlanID == "" {
		name = files[0].prefix
	}
	return name, nil
}

// adopt takes the volumes that are the bundle's, and those whose name says that
// they should be.
func (b *Bundle) adopt(files []*found, name string) {
	for _, f := range files {
		damaged := func(err error) {
			b.Damage = append(b.Damage, &DamageError{File: f.Name, Medium: f.Medium, Offset: 0, Err: err})
		}
		switch {
		case f.err == nil && f.header.Plan == b.PlanID:
			f.Whole = true
			if f.Name != volumeName(name, f.header.Number) {
				damaged(fmt.Errorf("it is volume %d of %s, not what its name says", f.header.Number, f.header.Name))
			}
			f.Number = f.header.Number
		case f.err == nil:
			damaged(fmt.Errorf("it belongs to another bundle, %s, plan %s", f.header.Name, f.header.Plan))
			continue
		default:
			var damage *DamageError
			if errors.As(f.err, &damage) {
				b.Damage = append(b.Damage, damage)
			}
			if f.prefix != name || f.file == nil {
				continue
			}
		}
		b.Volumes = append(b.Volumes, f.VolumeFile)
	}
	// Of two copies the whole one comes first.
	slices.SortStableFunc(b.Volumes, func(x, y *VolumeFile) int {
		if x.Number != y.Number {
			return x.Number - y.Number
		}
		if x.Whole != y.Whole && x.Whole {
			return -1
		}
		return 0
	})
}

// readFirstPrologue takes the prologue of the first volume that has a whole one,
// and drops an inventory that does not agree with it.
func (b *Bundle) readFirstPrologue() {
	for _, v := range b.Volumes {
		if !v.Whole {
			continue
		}
		t := b.reader(v, 0, v.Size)
		header, err := t.readHeader()
		if err == nil {
			b.Prologue, err = t.readPrologue(header)
		}
		if err == nil {
			b.readers.Put(t)
			break
		}
		b.Prologue = nil
		b.Damage = append(b.Damage, &DamageError{File: v.Name, Medium: v.Medium, Offset: t.frame, Err: fmt.Errorf("prologue: %w", err)})
	}
	if b.Prologue == nil {
		return
	}
	b.dropStrays()
	if b.Inventory == nil {
		return
	}
	if err := b.Inventory.Agrees(b.Prologue); err != nil {
		b.Damage = append(b.Damage, &DamageError{File: inventoryName, Offset: -1, Err: err})
		b.Inventory, b.BundleID = nil, ""
	}
}

// dropStrays gives up files whose names say a number that the bundle does not
// have.
func (b *Bundle) dropStrays() {
	b.Volumes = slices.DeleteFunc(b.Volumes, func(v *VolumeFile) bool {
		stray := v.Number < 1 || v.Number > b.Prologue.plan.Volumes
		if stray {
			b.Damage = append(b.Damage, &DamageError{File: v.Name, Medium: v.Medium, Offset: -1,
				Err: fmt.Errorf("the bundle has no volume %d, only %d", v.Number, b.Prologue.plan.Volumes)})
		}
		return stray
	})
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

// Copies returns how many copies there are of the volume of the blob that has
// the most.
func (b *Bundle) Copies(blob *Blob) int {
	most := 0
	for _, n := range blob.VolumesOf() {
		most = max(most, len(b.copies(n)))
	}
	return most
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
