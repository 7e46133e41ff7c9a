// Demo shows on this machine alone what satchel does, as a story on standard
// output: two registries on 127.0.0.1, a directory that stands for a USB stick,
// and images that travel from one registry over the stick into the other. It
// checks all that it says, and ends with status 1 and the reason on standard
// error when something is not as it should be.
//
// It needs nothing but Go; run it within the module, as make demo does. Both
// programs, satchel and the registry, are built into the directory bin, which
// stays. All else that it makes is gone at the end, however it ends.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const (
	exitFailed      = 1
	exitInterrupted = 130
	// timeLimit ends what hangs. The first build on a slow machine may take
	// several minutes, all else half of one.
	timeLimit = 30 * time.Minute
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// After the first signal the default comes back, so that a second ends what
	// hangs.
	context.AfterFunc(ctx, stop)
	// With a receiver, a write into a pipe that no one reads is an error and not
	// the end of the process, which would leave everything behind.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	err := run(ctx, os.Stdout)
	if err != nil {
		// A terminal sends the signal to the children too, whose end may be seen
		// before it.
		select {
		case <-ctx.Done():
		case <-time.After(time.Second / 2):
		}
	}
	interrupted := ctx.Err() != nil && !errors.As(err, new(*leftError))
	stop()
	switch {
	case err == nil:
	case interrupted:
		fmt.Fprintln(os.Stderr, "demo: interrupted; what it had started and made is gone, except the programs in bin")
		os.Exit(exitInterrupted)
	default:
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(exitFailed)
	}
}

// run builds the programs and tells the story.
func run(ctx context.Context, w io.Writer) error {
	if err := forgetRegistryVariables(); err != nil {
		return err
	}
	if len(os.Args) > 1 {
		return fmt.Errorf("argument %q: it takes none", os.Args[1])
	}
	ctx, cancel := context.WithTimeout(ctx, timeLimit)
	defer cancel()
	p := &pen{w: w}
	built, err := build(ctx, p)
	if err != nil {
		return err
	}
	return tell(ctx, p, built, sizes{volume: 16 << 20, buffer: 8 << 20, large: 24 << 20, huge: 32 << 20})
}

// forgetRegistryVariables removes what distribution would take for its own
// configuration: each variable that begins with REGISTRY_. One of them,
// REGISTRY_AUTH_FILE, is set by many who use podman, and keeps it from starting.
func forgetRegistryVariables() error {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "REGISTRY_") {
			if err := os.Unsetenv(name); err != nil {
				return fmt.Errorf("environment variable %s: %w", name, err)
			}
		}
	}
	return nil
}

// leftError says that something could not be deleted.
type leftError struct{ err error }

func (e *leftError) Error() string { return "deleting what it made: " + e.err.Error() }
func (e *leftError) Unwrap() error { return e.err }

// finish deletes dir after something that ended with err. It makes the end of
// ctx the cause of an error: a child process that a signal ended does not say so
// by itself.
func finish(ctx context.Context, err error, dir string) error {
	if err != nil && ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	if left := os.RemoveAll(dir); left != nil {
		return errors.Join(err, &leftError{left})
	}
	return err
}
