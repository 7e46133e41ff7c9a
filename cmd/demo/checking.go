package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func (j *journey) check(ctx context.Context) error {
	j.pen.title("Is the stick sound?")
	j.pen.say(`Sticks lie. Whoever carries them can let satchel read every byte, without a
network and without writing anything:`)
	return j.verify(ctx)
}

// verify lets satchel verify a stick that is sound.
func (j *journey) verify(ctx context.Context) error {
	output, err := j.satchel(ctx, call{args: []string{"verify", stick}})
	if err != nil {
		return err
	}
	if want := fmt.Sprintf("\nok: demo, %d images, ", len(j.images)); !strings.Contains(output, want) {
		return fmt.Errorf("satchel verify: it does not say %q", strings.TrimSpace(want))
	}
	return nil
}

func (j *journey) inspect(ctx context.Context) error {
	j.pen.title("What is on it?")
	j.pen.say(`At the site no one may remember what was packed. Each volume knows, even one
alone. (The list is cut short here.)`)
	output, err := j.satchel(ctx, call{args: []string{"inspect", stick}, most: len(j.planned) + 13})
	if err != nil {
		return err
	}
	for _, image := range j.images {
		if reference := j.source.Addr() + "/" + image.Reference(); !strings.Contains(output, "\n"+reference+"\n") {
			return fmt.Errorf("satchel inspect: it does not list %s", reference)
		}
	}
	return nil
}

// damage changes one byte on the stick and puts it back.
func (j *journey) damage(ctx context.Context) error {
	volume := j.planned[len(j.planned)/2].name
	file := j.path(filepath.Join(stick, volume))
	offset, err := flip(file, -1)
	if err != nil {
		return err
	}
	j.pen.title("A bad stick")
	j.pen.say(`Now the stick goes bad: one byte of %s, the one at %d, is
changed. Satchel finds it, says which images that hits, and ends with 3, so that
scripts notice too:`, volume, offset)
	output, err := j.satchel(ctx, call{args: []string{"verify", stick}, status: 3})
	if err != nil {
		return err
	}
	for _, want := range []string{
		`(?m)^damaged +` + regexp.QuoteMeta(volume) + ` `,
		`(?m)^damage: ` + regexp.QuoteMeta(volume) + ` `,
		`(?m)^image \S+ is damaged: it needs volume`,
		fmt.Sprintf(`(?m)^DAMAGED: demo: [1-9][0-9]* of %d images `, len(j.images)),
	} {
		if !regexp.MustCompile(want).MatchString(output) {
			return fmt.Errorf("satchel verify of a damaged stick: no line is like %s", want)
		}
	}
	var wrong *sumError
	if _, err := j.checkSums(); !errors.As(err, &wrong) || wrong.name != volume {
		return fmt.Errorf("SHA256SUMS of a damaged stick: got %v, want that %s is wrong", err, volume)
	}
	if _, err := flip(file, offset); err != nil {
		return err
	}
	j.pen.say("SHA256SUMS finds the same. The byte is put back, and all is well again:")
	if _, err := j.checkSums(); err != nil {
		return err
	}
	return j.verify(ctx)
}

// flip inverts one byte of a file, that in the middle where offset is negative,
// and returns where that was. Doing it twice puts the byte back.
func flip(name string, offset int64) (at int64, err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if offset < 0 {
		info, err := f.Stat()
		if err != nil {
			return 0, err
		}
		offset = info.Size() / 2
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], offset); err != nil {
		return 0, fmt.Errorf("%s at byte %d: %w", name, offset, err)
	}
	b[0] ^= 0xff
	_, err = f.WriteAt(b[:], offset)
	return offset, err
}
