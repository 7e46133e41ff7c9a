package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// output is how a command speaks: results, messages and progress.
type output struct {
	stdout, stderr io.Writer
	asJSON         bool
	quiet          bool

	mu    sync.Mutex
	bar   *progressbar.ProgressBar
	moved int64
	total int64
	begun time.Time
}

func (p *program) output(flags *pflag.FlagSet) *output {
	o := &output{stdout: p.stdout, stderr: p.stderr}
	flags.BoolVar(&o.asJSON, "json", false, "print the result as JSON")
	flags.BoolVar(&o.quiet, "quiet", false, "only the result and errors: no progress, no messages")
	return o
}

// message prints a line for people, above the bar if there is one.
func (o *output) message(format string, args ...any) {
	if o.quiet {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bar != nil {
		_ = o.bar.Clear() // a bar that cannot be drawn is no reason to stop
	}
	fmt.Fprint(o.stderr, printable(fmt.Sprintf(format, args...))+"\n")
	if o.bar != nil {
		_ = o.bar.RenderBlank()
	}
}

// start begins progress over total bytes. The bar is drawn only on a terminal.
func (o *output) start(what string, total int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begun, o.total, o.moved = time.Now(), total, 0
	if f, ok := o.stderr.(*os.File); !ok || o.quiet || !term.IsTerminal(int(f.Fd())) {
		return
	}
	o.bar = progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(o.stderr), progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true), progressbar.OptionShowCount(), progressbar.OptionUseIECUnits(true), progressbar.OptionShowTotalBytes(true),
		progressbar.OptionThrottle(200*time.Millisecond), progressbar.OptionSetPredictTime(true),
		progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish())
}

// add counts bytes; a negative number takes back what has to be done again.
func (o *output) add(n int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.moved += n
	if o.bar != nil {
		_ = o.bar.Set64(min(o.moved, o.total))
	}
}

// rate is the bytes per second since start, for people.
func (o *output) rate() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	seconds := time.Since(o.begun).Seconds()
	if seconds <= 0 {
		seconds = 1e-9
	}
	return human(int64(float64(o.moved)/seconds)) + "/s"
}

// soFar is how many bytes were counted since start.
func (o *output) soFar() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.moved
}

// pause takes the bar away while somebody is asked; resume brings it back.
func (o *output) pause() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bar != nil {
		_ = o.bar.Clear() // a bar that cannot be drawn is no reason to stop
	}
}

func (o *output) resume() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bar != nil {
		_ = o.bar.RenderBlank()
	}
}

// stop ends the progress and clears the bar.
func (o *output) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.bar != nil {
		_ = o.bar.Exit()
		_ = o.bar.Clear()
		o.bar = nil
	}
}

// printf prints a part of the result, unless that is printed as JSON.
func (o *output) printf(format string, args ...any) {
	if !o.asJSON {
		fmt.Fprint(o.stdout, printable(fmt.Sprintf(format, args...)))
	}
}

// printable makes control characters visible: names and texts from registries,
// media and certificates must not speak to the terminal.
func printable(s string) string {
	var out strings.Builder
	for _, r := range s {
		if r == '\n' || unicode.IsPrint(r) {
			out.WriteRune(r)
		} else {
			quoted := strconv.QuoteRune(r)
			out.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return out.String()
}

// json prints the result if it was asked for as JSON.
func (o *output) json(v any) error {
	if !o.asJSON {
		return nil
	}
	e := json.NewEncoder(o.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// count renders a number of things: "1 image", "3 images".
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
