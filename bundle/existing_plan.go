package bundle

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
)

// ErrNoPlan says that there is no plan to go on with.
var ErrNoPlan = errors.New("no plan found")

// ReadPlan reads the plan of a bundle from a file, a volume (finished or not) or
// a plan by itself, or from the directory "." of the medium, where it takes the one that
// there is. With it come the manifests by digest; nil when no whole prologue has them.
// It returns [ErrNoPlan] for a directory without a plan, and a [*MixedError] for
// one with several.
func ReadPlan(medium Medium, name string) (*Plan, map[digest.Digest][]byte, error) {
	b, err := newBundle()
	if err != nil {
		return nil, nil, err
	}
	defer b.Close()
	if name == "." {
		return b.planOfDirectory(medium)
	}
	if number, ok := VolumeNumber(name); ok {
		v := &VolumeFile{Name: name, Medium: medium.Name, Number: number, fs: medium.FS}
		if _, err := b.readVolumeHeader(v); err != nil {
			return nil, nil, err
		}
		prologue, err := b.readPrologueOf(v)
		if err != nil {
			return nil, nil, err
		}
		return prologue.plan, prologue.contents, nil
	}
	plan, _, err := readPlanFile(medium, name)
	return plan, nil, err
}

// VolumeNumber takes the number from the name of a volume, finished or not.
func VolumeNumber(name string) (int, bool) {
	match := volumePattern.FindStringSubmatch(strings.TrimSuffix(path.Base(name), partialSuffix))
	if match == nil {
		return 0, false
	}
	number, err := strconv.Atoi(match[2])
	return number, err == nil
}

func readPlanFile(medium Medium, name string) (*Plan, digest.Digest, error) {
	data, err := readSmall(medium, name)
	if err != nil {
		return nil, "", fmt.Errorf("%s on %s: %w", name, medium.Name, err)
	}
	plan, err := ParsePlan(data)
	if err != nil {
		return nil, "", fmt.Errorf("%s on %s: %w", name, medium.Name, err)
	}
	return plan, idOf(data), nil
}

// planOfDirectory takes the plan from its file and, where a volume of the same
// plan has a whole prologue, the manifests from there. Damaged volumes are
// passed over.
func (b *Bundle) planOfDirectory(medium Medium) (*Plan, map[digest.Digest][]byte, error) {
	entries, err := fs.ReadDir(medium.FS, ".")
	if err != nil {
		return nil, nil, fmt.Errorf("listing %s: %w", medium.Name, err)
	}
	var plan *Plan
	var id digest.Digest
	mixed := func(other string) error {
		return &MixedError{First: fmt.Sprintf("%s, plan %s", plan.Name, id), Second: other}
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), planSuffix) {
			continue
		}
		if plan != nil {
			return nil, nil, mixed(e.Name())
		}
		if plan, id, err = readPlanFile(medium, e.Name()); err != nil {
			return nil, nil, err
		}
	}
	var contents map[digest.Digest][]byte
	for _, e := range entries {
		number, ok := VolumeNumber(e.Name())
		if !ok || e.IsDir() {
			continue
		}
		v := &VolumeFile{Name: e.Name(), Medium: medium.Name, Number: number, fs: medium.FS}
		header, err := b.readVolumeHeader(v)
		if err != nil {
			continue
		}
		if id != "" && header.Plan != id {
			return nil, nil, mixed(fmt.Sprintf("%s, plan %s", e.Name(), header.Plan))
		}
		if contents != nil {
			continue
		}
		if prologue, err := b.readPrologueOf(v); err == nil {
			plan, id, contents = prologue.plan, prologue.planID, prologue.contents
		}
	}
	if plan == nil {
		return nil, nil, fmt.Errorf("%w in %s", ErrNoPlan, medium.Name)
	}
	return plan, contents, nil
}

// PlanOf returns the plan ID that the header of a volume states, finished or
// not.
func PlanOf(medium Medium, name string) (digest.Digest, error) {
	b, err := newBundle()
	if err != nil {
		return "", err
	}
	defer b.Close()
	header, err := b.readVolumeHeader(&VolumeFile{Name: name, Medium: medium.Name, fs: medium.FS})
	return header.Plan, err
}
