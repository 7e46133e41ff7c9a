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
	// inventories are those that may be the bundle's, until one is settled on.
	inventories []foundInventory
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

	fs fs.FS

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

func (b *Bundle) openVolume(medium Medium, name string, match []string) (*found, error) {
	number, err := strconv.Atoi(match[2])
	if err != nil {
		return nil, err
	}
	v := &found{VolumeFile: &VolumeFile{Name: name, Medium: medium.Name, Number: number, fs: medium.FS}, prefix: match[1]}
	v.header, v.err = b.readVolumeHeader(v.VolumeFile)
	if version := (*VersionError)(nil); errors.As(v.err, &version) {
		return nil, fmt.Errorf("%s on %s: %w", name, medium.Name, v.err)
	}
	return v, nil
}

func (b *Bundle) readVolumeHeader(v *VolumeFile) (volumeHeader, error) {
	f, size, err := openRegular(v.fs, v.Name)
	if err != nil {
		return volumeHeader{}, v.damage(-1, err)
	}
	defer f.Close() // it was only read
	v.Size = size
	t := b.reader(f, 0, size)
	defer b.readers.Put(t)
	header, err := t.readHeader()
	if err != nil {
		return header, v.damage(0, err)
	}
	return header, nil
}

// volumeFile is an open volume.
type volumeFile interface {
	io.ReaderAt
	io.Closer
}

// openRegular opens a regular file, and nothing that would block or never end.
func openRegular(fsys fs.FS, name string) (volumeFile, int64, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, errors.New("not a regular file")
	}
	f, err := fsys.Open(name)
	if err != nil {
		return nil, 0, err
	}
	file, ok := f.(volumeFile)
	if !ok {
		return nil, 0, errors.Join(errors.New("not a file that can be read at an offset"), f.Close())
	}
	return file, info.Size(), nil
}

// open opens the volume again. Volumes are open only while they are read: there
// may be more of them than a process may have open files.
func (v *VolumeFile) open() (volumeFile, error) {
	f, _, err := openRegular(v.fs, v.Name)
	if err != nil {
		return nil, v.damage(-1, err)
	}
	return f, nil
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
		if b.PlanID != "" && inv.Plan != b.PlanID {
			return "", fmt.Errorf("media hold the inventories of two bundles: plans %s and %s", b.PlanID, inv.Plan)
		}
		b.inventories = append(b.inventories, inv)
		b.PlanID, name = inv.Plan, inv.Name
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
			if f.prefix != name || f.Size == 0 {
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

// readFirstPrologue takes the prologue of the first volume that has a whole one.
func (b *Bundle) readFirstPrologue() {
	for _, v := range b.Volumes {
		if !v.Whole {
			continue
		}
		prologue, err := b.readPrologueOf(v)
		if err == nil {
			b.Prologue = prologue
			break
		}
		var damage *DamageError
		if errors.As(err, &damage) {
			b.Damage = append(b.Damage, damage)
		}
	}
	b.dropStrays()
	b.settleInventory()
}

func (b *Bundle) readPrologueOf(v *VolumeFile) (*Prologue, error) {
	f, err := v.open()
	if err != nil {
		return nil, err
	}
	defer f.Close() // it was only read
	t := b.reader(f, 0, v.Size)
	defer b.readers.Put(t)
	header, err := t.readHeader()
	if err != nil {
		return nil, v.damage(t.frame, err)
	}
	prologue, err := t.readPrologue(header)
	if err != nil {
		return nil, v.damage(t.frame, fmt.Errorf("prologue: %w", err))
	}
	return prologue, nil
}

// settleInventory takes the inventory that agrees with the plan; of several that
// do, as when one of them was changed, the one that most media have.
func (b *Bundle) settleInventory() {
	damaged := func(inv foundInventory, err error) {
		b.Damage = append(b.Damage, &DamageError{File: inventoryName, Medium: inv.medium, Offset: -1, Err: err})
	}
	count := make(map[digest.Digest]int)
	var best foundInventory
	b.inventories = slices.DeleteFunc(b.inventories, func(inv foundInventory) bool {
		if b.Prologue != nil {
			if err := inv.Agrees(b.Prologue); err != nil {
				damaged(inv, err)
				return true
			}
		}
		count[inv.id]++
		return false
	})
	for _, inv := range b.inventories {
		if best.Inventory == nil || count[inv.id] > count[best.id] {
			best = inv
		}
	}
	for _, inv := range b.inventories {
		if inv.id != best.id {
			damaged(inv, fmt.Errorf("it differs from that on %s", best.medium))
		}
	}
	if b.inventories = nil; best.Inventory != nil {
		b.Inventory, b.BundleID = best.Inventory, best.id
	}
}

// dropStrays gives up files whose names say a number that the bundle does not
// have.
func (b *Bundle) dropStrays() {
	count := MaxVolumes
	if b.Prologue != nil {
		count = b.Prologue.plan.Volumes
	}
	b.Volumes = slices.DeleteFunc(b.Volumes, func(v *VolumeFile) bool {
		stray := v.Number < 1 || v.Number > count
		if stray {
			b.Damage = append(b.Damage, &DamageError{File: v.Name, Medium: v.Medium, Offset: -1,
				Err: fmt.Errorf("the bundle has no volume %d, only %d", v.Number, count)})
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
