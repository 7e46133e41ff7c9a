//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"satchel/fixtures"

	"golang.org/x/sys/unix"
)

// terminal is a pseudo-terminal: what is written to keys is typed on it.
func terminal(t testing.TB) (keys, stdin *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		fixtures.Lacking(t, "a pseudo-terminal", err)
	}
	if err := unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	stdin, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		keys.Close() // which ends whoever reads the terminal
		stdin.Close()
	})
	return keys, stdin
}

func press(t testing.TB, keys *os.File) {
	t.Helper()
	if _, err := keys.WriteString("\n"); err != nil {
		t.Error(err)
	}
}

// mount puts an empty file system on a directory, and fills it.
func mount(t testing.TB, path string, fill func()) {
	t.Helper()
	if err := unix.Mount("stick", path, "tmpfs", 0, "size=64m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(path, unix.MNT_DETACH) }) // it may be unmounted already
	if fill != nil {
		fill()
	}
}

// unmount fails when something on the medium is open.
func unmount(t testing.TB, path string) {
	t.Helper()
	if err := unix.Unmount(path, 0); err != nil {
		t.Errorf("unmounting %s: %v", path, err)
	}
}

func needRoot(t testing.TB) {
	t.Helper()
	path := t.TempDir()
	if err := unix.Mount("stick", path, "tmpfs", 0, "size=64k"); err != nil {
		fixtures.Lacking(t, "the right to mount", err)
	}
	unmount(t, path)
}

// prompts is what a drive says, line by line.
type prompts struct {
	mu    sync.Mutex
	text  bytes.Buffer
	lines chan string
}

func newPrompts() *prompts { return &prompts{lines: make(chan string, 100)} }

func (p *prompts) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text.Write(b)
	for {
		line, err := p.text.ReadString('\n')
		if err == io.EOF {
			p.text.WriteString(line)
			return len(b), nil
		}
		p.lines <- strings.TrimSuffix(line, "\n")
	}
}

// wait returns the next line that holds a text.
func (p *prompts) wait(t testing.TB, text string) string {
	t.Helper()
	limit := time.After(20 * time.Second)
	for {
		select {
		case line := <-p.lines:
			if strings.Contains(line, text) {
				return line
			}
		case <-limit:
			t.Fatalf("nobody said %q", text)
		}
	}
}

func testDrive(stdin *os.File, path string) (*drive, *prompts) {
	p := newPrompts()
	d := newDrive(&output{stdout: io.Discard, stderr: p, quiet: true}, stdin, path)
	d.every = time.Millisecond
	return d, p
}

// changing runs change on the side.
func changing(ctx context.Context, d *drive, message string) <-chan error {
	done := make(chan error, 1)
	go func() { done <- d.change(ctx, message) }()
	return done
}

func finished(t testing.TB, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("change does not return")
		return nil
	}
}

func TestDriveEnter(t *testing.T) {
	keys, stdin := terminal(t)
	d, prompts := testDrive(stdin, t.TempDir())
	// What is entered before anything was asked is no answer.
	press(t, keys)
	for len(d.lines) == 0 {
		runtime.Gosched()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := changing(ctx, d, "another")
	prompts.wait(t, "another")
	cancel()
	if err := finished(t, done); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	for range 3 {
		done := changing(t.Context(), d, "the next one, please")
		prompts.wait(t, "the next one, please")
		press(t, keys)
		if err := finished(t, done); err != nil {
			t.Fatal(err)
		}
	}
	// A directory that is gone is no medium.
	gone := filepath.Join(t.TempDir(), "gone")
	keys, stdin = terminal(t)
	d, prompts = testDrive(stdin, gone)
	done = changing(t.Context(), d, "mount it")
	prompts.wait(t, "mount it")
	press(t, keys)
	prompts.wait(t, "nothing is mounted at "+gone)
	if err := os.Mkdir(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	press(t, keys)
	if err := finished(t, done); err != nil {
		t.Error(err)
	}
	// The terminal goes away.
	done = changing(t.Context(), d, "again")
	prompts.wait(t, "again")
	keys.Close()
	if err := finished(t, done); !errors.Is(err, errNoTerminal) {
		t.Errorf("no terminal any more: %v", err)
	}
}

func TestDriveNoTerminal(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	d, prompts := testDrive(r, t.TempDir())
	if err := d.change(t.Context(), "hello"); !errors.Is(err, errNoTerminal) || len(prompts.lines) > 0 {
		t.Errorf("got %v", err)
	}
}

func TestDriveMounts(t *testing.T) {
	needRoot(t)
	keys, stdin := terminal(t)
	path := t.TempDir()
	mount(t, path, nil)
	d, prompts := testDrive(stdin, path)
	// Another medium in its place is seen without Enter. It is there before the
	// first one goes, or it could get the same device number.
	second := t.TempDir()
	mount(t, second, nil)
	done := changing(t.Context(), d, "second")
	prompts.wait(t, "second")
	unmount(t, path)
	if err := unix.Mount(second, path, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	if err := finished(t, done); err != nil {
		t.Fatal(err)
	}
	// The mount point alone is none, even when Enter says so.
	unmount(t, path)
	done = changing(t.Context(), d, "third")
	prompts.wait(t, "third")
	press(t, keys)
	prompts.wait(t, "nothing is mounted at "+path)
	mount(t, path, nil)
	if err := finished(t, done); err != nil {
		t.Fatal(err)
	}
	// The same one, when Enter says so.
	done = changing(t.Context(), d, "fourth")
	prompts.wait(t, "fourth")
	press(t, keys)
	if err := finished(t, done); err != nil {
		t.Error(err)
	}
	unmount(t, path)
}

func TestVolumeRanges(t *testing.T) {
	for want, numbers := range map[string][]int{
		"": nil, "3": {3}, "3,5-7": {5, 3, 7, 6, 3}, "1-2": {1, 2}, "1-3,9,11-12": {1, 2, 3, 9, 11, 12},
	} {
		if got := volumeRanges(numbers); got != want {
			t.Errorf("%v: %s, want %s", numbers, got, want)
		}
	}
}
