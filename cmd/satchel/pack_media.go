package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/transfer"
)

// outputMedia are the directories on which pack writes.
type outputMedia struct {
	out   *output
	dirs  []*bundle.OSDir
	media []transfer.Output
	drive *drive // with --span
}

// open opens the directories. They are closed together.
func (m *outputMedia) open(paths []string) error {
	for i, path := range paths {
		for _, other := range paths[:i] {
			if sameDirectory(path, other) {
				return usagef("-o %s and -o %s are the same directory", other, path)
			}
		}
		if err := m.add(path); err != nil {
			return err
		}
	}
	return nil
}

func sameDirectory(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

func (m *outputMedia) add(path string) error {
	dir, err := bundle.OpenDir(path)
	if err != nil {
		return fmt.Errorf("output directory: %w", err)
	}
	// Before anything on it is looked at: what is there decides what is done.
	if err := dir.Lock(); err != nil {
		return errors.Join(fmt.Errorf("output directory %s: %w", path, err), dir.Close())
	}
	m.dirs = append(m.dirs, dir)
	m.media = append(m.media, transfer.Output{Name: path, Dir: dir})
	return nil
}

// manifests returns the manifests of the plan by digest, if a medium has a volume
// of it.
func (m *outputMedia) manifests(plan *bundle.Plan) map[digest.Digest][]byte {
	want, err := plan.Encode()
	for _, o := range m.media {
		there, contents, readErr := bundle.ReadPlan(bundle.Medium{Name: o.Name, FS: o.Dir.FS()}, ".")
		if err != nil || readErr != nil || contents == nil {
			continue
		}
		if got, err := there.Encode(); err == nil && bytes.Equal(got, want) {
			return contents
		}
	}
	return nil
}

// close closes the directories; what was written is synced and closed by then.
func (m *outputMedia) close() {
	for _, dir := range m.dirs {
		dir.Close()
	}
	m.dirs, m.media = nil, nil
}

// next asks for another medium in the drive and opens it.
func (m *outputMedia) next(ctx context.Context, plan *bundle.Plan, why transfer.Change) (transfer.Output, error) {
	path := m.drive.path
	m.close()
	m.out.pause()
	defer m.out.resume()
	for {
		err := m.drive.change(ctx, changeMessage(path, plan, why))
		if errors.Is(err, errNoTerminal) {
			return transfer.Output{}, &noMediumError{path: path, plan: plan, why: why}
		}
		if err != nil {
			return transfer.Output{}, err
		}
		if why.Refused = m.add(path); why.Refused == nil {
			return m.media[0], nil
		}
	}
}

// changeMessage says which medium is wanted now.
func changeMessage(path string, plan *bundle.Plan, why transfer.Change) string {
	if len(why.Earlier) > 0 {
		return fmt.Sprintf("to write the inventory, %s must be read again: put in a medium that has some, mount it at %s and press Enter",
			volumeList(why.Earlier), path)
	}
	text := ""
	var full *transfer.SpaceError
	if why.Refused != nil && !errors.As(why.Refused, &full) {
		text = fmt.Sprintf("this medium cannot be used: %v\n", why.Refused)
	}
	if full != nil {
		text = fmt.Sprintf("this medium has %s free, and %s are needed\n", human(full.Free), human(why.Need))
	}
	return text + fmt.Sprintf("%s, volume %d of %d, goes on another medium (%s): put in the next one, mount it at %s and press Enter",
		plan.VolumeName(why.Volume), why.Volume, why.Count, human(why.Need), path)
}

// noMediumError says that another medium is needed and nobody can be asked.
type noMediumError struct {
	path string
	plan *bundle.Plan
	why  transfer.Change
}

func (e *noMediumError) Error() string {
	if len(e.why.Earlier) > 0 {
		return fmt.Sprintf("%s must be read again to write the inventory, and nobody can be asked for them: there is no terminal", volumeList(e.why.Earlier))
	}
	text := fmt.Sprintf("%s does not fit on the medium at %s, and nobody can be asked for the next: there is no terminal",
		e.plan.VolumeName(e.why.Volume), e.path)
	if e.why.Refused != nil {
		text += fmt.Sprintf(" (%v)", e.why.Refused)
	}
	return text
}

func (e *noMediumError) Unwrap() error { return transfer.ErrNoMedium }

// hint says how to go on without a terminal.
func (e *noMediumError) hint() string {
	if len(e.why.Earlier) > 0 {
		return fmt.Sprintf("when all media can be plugged in together: satchel pack --plan %s -o DIR1 -o DIR2", bundle.PlanName(e.plan.Name))
	}
	rest := make([]int, 0, e.why.Count)
	for n := e.why.Volume; n <= e.why.Count; n++ {
		rest = append(rest, n)
	}
	return fmt.Sprintf("keep %s, put in the next medium and run: satchel pack --plan %s --only-volumes %s --span -o %s",
		filepath.Join(e.path, bundle.PlanName(e.plan.Name)), bundle.PlanName(e.plan.Name), volumeRanges(rest), e.path)
}
