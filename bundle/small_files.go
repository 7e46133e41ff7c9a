package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Names of the bundle's small files.
const (
	inventoryName = "inventory.json"
	sumsName      = "SHA256SUMS"
	readmeName    = "README.txt"
	planSuffix    = ".plan.json"
)

// foundInventory is an inventory on a medium, or why it is none.
type foundInventory struct {
	*Inventory
	id     digest.Digest
	medium string
	err    error
}

func readInventory(medium Medium) foundInventory {
	found := foundInventory{medium: medium.Name}
	data, err := readSmall(medium, inventoryName)
	if err != nil {
		found.err = err
		return found
	}
	found.id = idOf(data)
	found.Inventory, found.err = ParseInventory(data)
	return found
}

// ReadInventory reads the inventory in a directory, with its bundle ID; nil when
// there is none that agrees with the plan. The error is that of reading.
func ReadInventory(medium Medium, p *Prologue) (*Inventory, digest.Digest, error) {
	data, err := readSmall(medium, inventoryName)
	if path := (*fs.PathError)(nil); errors.As(err, &path) && !errors.Is(err, fs.ErrNotExist) {
		return nil, "", fmt.Errorf("%s on %s: %w", inventoryName, medium.Name, err)
	}
	if err != nil {
		return nil, "", nil
	}
	inv, err := ParseInventory(data)
	if err != nil || inv.Agrees(p) != nil {
		return nil, "", nil
	}
	return inv, idOf(data), nil
}

func readSmall(medium Medium, name string) ([]byte, error) {
	f, _, err := openRegular(medium.FS, name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, MaxDocument+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(data) > MaxDocument {
		return nil, fmt.Errorf("more than %d bytes", int64(MaxDocument))
	}
	return data, nil
}

// checkSmallFiles checks what lies beside the volumes, where it is there: the
// plan against the plan ID, and each line of SHA256SUMS against what is known.
func (b *Bundle) checkSmallFiles(medium Medium, name string) {
	damaged := func(file string, err error) {
		b.Damage = append(b.Damage, &DamageError{File: file, Medium: medium.Name, Offset: -1, Err: err})
	}
	known := make(map[string]digest.Digest)
	for _, file := range []string{name + planSuffix, readmeName} {
		data, err := readSmall(medium, file)
		switch {
		case err == nil:
			known[file] = idOf(data)
		case !errors.Is(err, fs.ErrNotExist):
			damaged(file, err)
		}
	}
	if got := known[name+planSuffix]; got != "" && got != b.PlanID {
		damaged(name+planSuffix, fmt.Errorf("its SHA-256 is %s, not the plan ID %s", got, b.PlanID))
	}
	// Only beside its own inventory it is known what SHA256SUMS must be: a
	// medium may lie there from before volumes were made again.
	inventory, err := readSmall(medium, inventoryName)
	if err != nil || b.Inventory == nil || idOf(inventory) != b.BundleID {
		return
	}
	known[name+planSuffix], known[inventoryName] = b.PlanID, b.BundleID
	for _, v := range b.Inventory.Volumes {
		known[v.Name] = v.Digest
	}
	sums, err := readSmall(medium, sumsName)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = checkSums(string(sums), known)
	}
	if err != nil {
		damaged(sumsName, err)
	}
}

func checkSums(sums string, known map[string]digest.Digest) error {
	lines := 0
	for line := range strings.Lines(sums) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		want := known[name]
		if name == readmeName && want == "" {
			lines++
			continue // it need not be there
		}
		if !ok || want == "" || sum != want.Encoded() {
			// Not the line itself: it may be anything.
			return fmt.Errorf("line %d does not fit the bundle", lines+1)
		}
		lines++
	}
	if _, ok := known[readmeName]; !ok {
		lines--
	}
	if lines != len(known) {
		return fmt.Errorf("%d lines for %d files", lines, len(known))
	}
	return nil
}

// IsVolumeName reports whether a file of that name would be a volume.
func IsVolumeName(name string) bool { return volumePattern.MatchString(name) }
