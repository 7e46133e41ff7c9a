package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
)

// errNoTerminal says that nobody can be asked for another medium.
var errNoTerminal = errors.New("there is no terminal to ask for the next medium")

// drive is a place where one medium after another is mounted, and where a person
// changes them. It is not for concurrent use.
type drive struct {
	out   *output
	stdin *os.File
	path  string
	// every is how often the path is looked at.
	every time.Duration
	// removable says that a medium was seen mounted at the path itself: when
	// nothing is, that is not a medium.
	removable bool
	// lines gets nil when a line was entered, and errNoTerminal at the end. Nil
	// where there is no terminal.
	lines chan error
}

// newDrive takes the path as it is now. From here on it reads the terminal, if
// stdin is one: nothing can call that off.
func newDrive(out *output, stdin *os.File, path string) *drive {
	d := &drive{out: out, stdin: stdin, path: path, every: 500 * time.Millisecond}
	d.removable = d.look().mounted
	if term.IsTerminal(int(stdin.Fd())) {
		d.lines = make(chan error, 1)
		go d.listen()
	}
	return d
}

// canAsk reports whether there is a terminal.
func (d *drive) canAsk() bool { return term.IsTerminal(int(d.stdin.Fd())) }

// mountState is what is at a path.
type mountState struct {
	there   bool // the path exists
	mounted bool // it is a mount point
	device  uint64
}

// change asks for another medium with a message, which is shown even with
// --quiet, and returns when Enter was pressed or a new mount was seen. Nothing on
// the medium may be open, or it cannot be unmounted. It returns errNoTerminal at
// once when nobody can be asked, and the context's error when that ends.
func (d *drive) change(ctx context.Context, message string) error {
	if d.lines == nil {
		return errNoTerminal
	}
	select {
	case err := <-d.lines: // entered before anything was asked
		if err != nil {
			d.lines <- err
		}
	default:
	}
	before := d.look()
	left := !before.mounted
	d.say(message)
	ticker := time.NewTicker(d.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-d.lines:
			if err != nil {
				return err
			}
			if now := d.look(); !now.there || d.removable && !now.mounted {
				d.say(fmt.Sprintf("nothing is mounted at %s: mount the medium, or press Enter when it is there", d.path))
				continue
			}
			return nil
		case <-ticker.C:
			now := d.look()
			if now.mounted && (left || now.device != before.device) {
				return nil
			}
			left = left || !now.mounted
		}
	}
}

// look looks at the path. Seeing a mount once makes the drive removable.
func (d *drive) look() mountState {
	state := lookMount(d.path)
	d.removable = d.removable || state.mounted
	return state
}

// listen reads lines to the end.
func (d *drive) listen() {
	lines := bufio.NewScanner(d.stdin)
	for lines.Scan() {
		select {
		case d.lines <- nil:
		default: // one that nobody took yet is there already
		}
	}
	d.lines <- errNoTerminal
}

// say prints a line above the progress bar, whatever is to be quiet.
func (d *drive) say(message string) {
	d.out.mu.Lock()
	defer d.out.mu.Unlock()
	if d.out.bar != nil {
		_ = d.out.bar.Clear() // a bar that cannot be drawn is no reason to stop
	}
	fmt.Fprint(d.out.stderr, printable(message)+"\n")
}

// volumeRanges renders volume numbers as --only-volumes takes them: "3,5-7".
func volumeRanges(numbers []int) string {
	numbers = slices.Compact(slices.Sorted(slices.Values(numbers)))
	var ranges []string
	for i := 0; i < len(numbers); {
		k := i
		for k+1 < len(numbers) && numbers[k+1] == numbers[k]+1 {
			k++
		}
		s := strconv.Itoa(numbers[i])
		if k > i {
			s += "-" + strconv.Itoa(numbers[k])
		}
		ranges = append(ranges, s)
		i = k + 1
	}
	return strings.Join(ranges, ",")
}
