// Satchel carries container images across air gaps: it packs them into volumes
// for removable media, verifies these, and replays them into a registry.
//
// All output is made here. Results go to standard output, progress and messages
// to standard error; a progress bar appears only on a terminal. Errors say what
// and where; what to do next is added here too, in hints.go, and nowhere below.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/pflag"
)

// Exit statuses.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitDamage      = 3
	exitMissing     = 4
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// After the first signal the default comes back, so that a second ends what
	// hangs.
	context.AfterFunc(ctx, stop)
	status := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// program is one call of satchel.
type program struct {
	stdout, stderr io.Writer
}

// command is a verb of the command line.
type command struct {
	name, arguments, summary string
	// about is what the help says below the summary.
	about string
	// prepare declares the flags and returns what runs the command.
	prepare func(p *program, flags *pflag.FlagSet) func(ctx context.Context, arguments []string) error
}

func commands() []command {
	return []command{packCommand(), verifyCommand(), unpackCommand(), copyCommand(), inspectCommand(), resourcesCommand(), extractCommand(), configCommand(), completionCommand(), versionCommand()}
}

// usageError is an error in the use of the command line.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// statusError ends the program with a status; what it is about was said already.
type statusError struct{ status int }

func (e *statusError) Error() string { return fmt.Sprintf("exit status %d", e.status) }

// run runs satchel and returns its exit status.
func run(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	p := &program{stdout: stdout, stderr: stderr}
	if len(arguments) == 0 {
		p.usage(stderr)
		return exitUsage
	}
	name := arguments[0]
	if name == "help" || name == "--help" || name == "-h" {
		if len(arguments) < 2 {
			p.usage(stdout)
			return exitOK
		}
		if name, arguments = arguments[1], []string{"", "--help"}; name == "help" || name == "--help" {
			p.usage(stdout)
			return exitOK
		}
	}
	if name == "--version" {
		name = "version"
	}
	for _, c := range commands() {
		if c.name == name {
			return p.call(ctx, c, arguments[1:])
		}
	}
	fmt.Fprintf(stderr, "satchel: unknown command %q\n", name)
	p.usage(stderr)
	return exitUsage
}

func (p *program) usage(w io.Writer) {
	fmt.Fprint(w, "satchel carries container images across air gaps\n\nUsage: satchel COMMAND [flags] [arguments]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(w, "  %-10s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "  help       show the help of a command\n\n"+
		"Exit status: 0 done, 1 failed, 2 wrong usage, 3 damage found, 4 something is missing, 130 interrupted.\n")
}

func (p *program) call(ctx context.Context, c command, arguments []string) int {
	flags := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SortFlags = false
	do := c.prepare(p, flags)
	err := flags.Parse(arguments)
	if errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintf(p.stdout, "Usage: satchel %s [flags] %s\n\n%s\n\n%s\n", c.name, c.arguments, c.summary, c.about)
		if flags.HasFlags() {
			fmt.Fprintf(p.stdout, "\nFlags:\n%s", flags.FlagUsagesWrapped(100))
		}
		return exitOK
	}
	if err != nil {
		err = &usageError{err}
	} else {
		err = do(ctx, flags.Args())
	}
	return p.conclude(ctx, c.name, err)
}

// conclude reports an error and chooses the exit status.
func (p *program) conclude(ctx context.Context, name string, err error) int {
	var status *statusError
	var usage *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &status):
		return status.status
	case ctx.Err() != nil:
		// Whatever else went wrong then is mostly an echo of that.
		if !errors.Is(err, context.Canceled) {
			fmt.Fprintf(p.stderr, "satchel: %s\n", printable(err.Error()))
		}
		fmt.Fprintf(p.stderr, "satchel: interrupted\n")
		if hint := interruptedHint(name); hint != "" {
			fmt.Fprintf(p.stderr, "hint: %s\n", hint)
		}
		return exitInterrupted
	}
	fmt.Fprintf(p.stderr, "satchel: %s\n", printable(err.Error()))
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(p.stderr, "hint: %s\n", hint)
	}
	if errors.As(err, &usage) {
		fmt.Fprintf(p.stderr, "See satchel help %s.\n", name)
		return exitUsage
	}
	return statusFor(err)
}

func versionCommand() command {
	return command{
		name: "version", summary: "show the version",
		about: "The version is that of the source from which this program was built.",
		prepare: func(p *program, _ *pflag.FlagSet) func(context.Context, []string) error {
			return func(_ context.Context, arguments []string) error {
				if len(arguments) > 0 {
					return usagef("version takes no arguments")
				}
				_, err := fmt.Fprintf(p.stdout, "satchel %s\n", version())
				return err
			}
		},
	}
}

// version is what the Go toolchain recorded of the source.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + " " + info.GoVersion
}
