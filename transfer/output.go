package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"satchel/bundle"
)

// Output is a medium on which volumes are written.
type Output struct {
	// Name is what people know it by, for messages.
	Name string
	Dir  bundle.Dir
}

func (o Output) medium() bundle.Medium { return bundle.Medium{Name: o.Name, FS: o.Dir.FS()} }

// Change says why the medium in the drive must be changed.
type Change struct {
	// Volume is the number of the volume that is to be written next, of Count;
	// Need the bytes that it takes, with the small files. 0 when nothing is
	// to be written any more.
	Volume, Count int
	Need          int64
	// Earlier are the numbers of volumes that were written earlier and must be
	// read again, any of them, before the inventory can be written.
	Earlier []int
	// Refused says why the medium that came last cannot be used; nil when the
	// one before was simply full.
	Refused error
}

// ErrNoMedium is returned where another medium is needed and there is none.
var ErrNoMedium = errors.New("no other medium")

// SpaceError says that a medium, or all of them, have too little room for what
// is planned.
type SpaceError struct {
	Need, Free int64 // bytes
	// Where names the media.
	Where string
	// Damaged are damaged volumes on them, which may be deleted: they are made
	// again anyway.
	Damaged []string
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("no room on %s: %d bytes are needed, %d are free", e.Where, e.Need, e.Free)
}

// OccupiedError says that a directory holds something that packing would
// replace, or that does not belong to the bundle.
type OccupiedError struct {
	// Name is the file's, Where the medium's.
	Name, Where string
	// Plan says that it belongs to another plan.
	Plan bool
}

func (e *OccupiedError) Error() string {
	if e.Plan {
		return fmt.Sprintf("%s in %s belongs to another bundle", e.Name, e.Where)
	}
	return fmt.Sprintf("%s in %s is there already, of no bundle that is known", e.Name, e.Where)
}

// checkVacant refuses, with an [*OccupiedError], an output that holds files of
// another bundle, or of none, under the names that a bundle uses. It reports
// whether it holds the plan's file.
func checkVacant(o Output, prologue *bundle.Prologue) (begun bool, err error) {
	medium := o.medium()
	entries, err := fs.ReadDir(medium.FS, ".")
	if err != nil {
		return false, fmt.Errorf("listing %s: %w", o.Name, err)
	}
	plan := prologue.Plan()
	ours, other := false, ""
	for _, e := range entries {
		name := e.Name()
		volume := bundle.IsVolumeName(name)
		switch {
		case name == bundle.PlanName(plan.Name):
			same, err := holds(medium.FS, name, prologue.PlanJSON())
			if err != nil {
				return false, fmt.Errorf("%s in %s: %w", name, o.Name, err)
			}
			if !same {
				return false, &OccupiedError{Name: name, Where: o.Name, Plan: true}
			}
			begun = true // which alone says nothing of the other files
		case unfinished(name, plan):
			id, err := bundle.PlanOf(medium, name)
			ours = ours || err == nil && id == prologue.PlanID()
		case strings.HasPrefix(name, plan.Name+"-") && volume:
			id, err := bundle.PlanOf(medium, name)
			switch {
			case err != nil:
				other = name // among volumes of this bundle, a damaged one: it is made again
			case id != prologue.PlanID():
				return false, &OccupiedError{Name: name, Where: o.Name, Plan: true}
			default:
				ours = true
			}
		case bundle.IsFinalName(name):
			if volume || strings.HasSuffix(name, bundle.PlanName("")) {
				return false, &OccupiedError{Name: name, Where: o.Name, Plan: true}
			}
			other = name
		}
	}
	if other != "" && !ours {
		// The small files may be all that is left of this bundle.
		inventory, _, err := bundle.ReadInventory(medium, prologue)
		if err != nil {
			return false, err
		}
		if inventory == nil {
			return false, &OccupiedError{Name: other, Where: o.Name}
		}
	}
	return begun, nil
}

// unfinished reports whether a file of that name is an unfinished volume of a plan.
func unfinished(name string, plan *bundle.Plan) bool {
	n, ok := bundle.VolumeNumber(name)
	return ok && name == bundle.FileName(plan, n, false)
}

// holds reports whether a regular file has that content.
func holds(fsys fs.FS, name string, content []byte) (bool, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(content)) {
		return false, err
	}
	got, err := fs.ReadFile(fsys, name)
	return bytes.Equal(got, content), err
}

// outputs are the media that are being written, filled one after another.
type outputs struct {
	all      []Output
	prologue *bundle.Prologue
	sizes    []int64 // planned, by volume
	small    int64   // what the small files may take
	// begun are those that have the plan, bad those that are not written to any
	// more.
	begun, bad []bool
	// current is the index of the one being filled.
	current int
	// fresh says that nothing was written since the medium was changed.
	fresh bool
	// damaged are the damaged volumes that were found.
	damaged []string
	next    func(context.Context, Change) (Output, error)
}

// lock keeps others off, and checks what is there.
func (o *outputs) lock(i int) error {
	out := o.all[i]
	if err := out.Dir.Lock(); err != nil {
		return fmt.Errorf("locking %s: %w", out.Name, err)
	}
	var err error
	o.begun[i], err = checkVacant(out, o.prologue)
	return err
}

// need is the room in bytes that volume n takes on a medium where standing of it
// stands, with the small files.
func (o *outputs) need(n int, standing int64) int64 {
	return o.sizes[n-1] - standing + o.small
}

// fits says whether volume n fits on medium i, where so many bytes of its file
// are there already.
func (o *outputs) fits(i, n int, there int64) bool {
	if o.bad[i] {
		return false
	}
	free, err := o.all[i].Dir.Free()
	return err != nil || free < 0 || o.need(n, there) <= free // unknown: the write will tell
}

// checkRoom refuses a plan that the media cannot hold, before anything is
// written. wanted are the volumes to write, there is for each what its file takes
// already and where; with a drive for more media, only the first volume is asked
// for.
func (o *outputs) checkRoom(wanted []int, there map[int]*stand) error {
	free := make([]int64, len(o.all))
	for i, out := range o.all {
		var err error
		if free[i], err = out.Dir.Free(); err != nil || free[i] < 0 {
			return nil // unknown: the write will tell
		}
		free[i] -= o.small
	}
	current := 0
	for _, n := range wanted {
		if s := there[n]; s != nil && !s.Final {
			if rest := o.sizes[n-1] - s.FileSize; rest <= free[s.output] {
				free[s.output] -= rest
				continue
			}
			free[s.output] += s.FileSize
		}
		for current < len(free) && free[current] < o.sizes[n-1] {
			current++
		}
		if current == len(free) {
			if o.next != nil {
				return nil
			}
			return o.noRoom(wanted, there)
		}
		free[current] -= o.sizes[n-1]
	}
	return nil
}

// noRoom says that the volumes do not fit.
func (o *outputs) noRoom(wanted []int, there map[int]*stand) error {
	e := &SpaceError{Need: int64(len(o.all)) * o.small, Damaged: o.damaged}
	for _, n := range wanted {
		e.Need += o.sizes[n-1]
		if s := there[n]; s != nil && !s.Final {
			e.Need -= s.FileSize
		}
	}
	names := make([]string, len(o.all))
	for i, out := range o.all {
		names[i] = out.Name
		if free, err := out.Dir.Free(); err == nil && free > 0 {
			e.Free += free
		}
	}
	e.Where = strings.Join(names, ", ")
	return e
}

// begin makes sure that a medium has the plan, before anything else is written
// to it.
func (o *outputs) begin(i int) error {
	if o.begun[i] {
		return nil
	}
	if err := bundle.WritePlan(o.all[i].Dir, o.prologue); err != nil {
		return err
	}
	o.begun[i] = true
	return nil
}

// change asks for another medium until there is one that can be used.
func (o *outputs) change(ctx context.Context, why Change) error {
	if o.next == nil {
		return ErrNoMedium
	}
	for {
		out, err := o.next(ctx, why)
		if err != nil {
			return err
		}
		o.all, o.begun, o.bad, o.current, o.fresh, o.damaged = []Output{out}, []bool{false}, []bool{false}, 0, true, nil
		if why.Refused = o.lock(0); why.Refused == nil {
			return nil
		}
		if errors.Is(why.Refused, bundle.ErrLocked) {
			return why.Refused
		}
	}
}
