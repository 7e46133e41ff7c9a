package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

const (
	// indent is what stands before the output of commands.
	indent = "    "
	// width is that of paragraphs and command lines, in columns.
	width = 78
)

// pen writes the story. After the first error it writes nothing more.
type pen struct {
	w      io.Writer
	err    error
	titles int
}

func (p *pen) write(s string) {
	if p.err != nil {
		return
	}
	if _, err := io.WriteString(p.w, s); err != nil {
		p.err = fmt.Errorf("writing the story: %w", err)
	}
}

// title begins a chapter.
func (p *pen) title(s string) {
	if p.titles++; p.titles > 1 {
		p.gap()
	}
	heading := fmt.Sprintf("%d. %s", p.titles, s)
	p.write(heading + "\n" + strings.Repeat("-", len(heading)) + "\n\n")
}

// say writes a paragraph, in lines that fit a terminal.
func (p *pen) say(format string, args ...any) {
	line := ""
	for word := range strings.FieldsSeq(fmt.Sprintf(format, args...)) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			p.write(line + "\n")
			line = word
		default:
			line += " " + word
		}
	}
	p.write(line + "\n\n")
}

func (p *pen) gap() { p.write("\n") }

// command writes a command line as one would type it, in lines that continue. No
// word needs quotes. A flag and its value stay together.
func (p *pen) command(words ...string) {
	line := "$"
	for i := 0; i < len(words); i++ {
		word := words[i]
		if strings.HasPrefix(word, "-") && i+1 < len(words) && !strings.HasPrefix(words[i+1], "-") {
			i++
			word += " " + words[i]
		}
		if len(line)+len(word) > width-len(` \`)-1 {
			p.write(line + " \\\n")
			line = indent + word
		} else {
			line += " " + word
		}
	}
	p.write(line + "\n")
}

// display writes the output of a command, indented, as it comes, and keeps all
// of it. Not more than most lines are shown, where most is not 0.
type display struct {
	pen   *pen
	most  int
	shown int
	rest  []byte // of a line that has not ended
	all   bytes.Buffer
}

// Write never fails: a command need not end because no one reads the story.
func (d *display) Write(b []byte) (int, error) {
	d.all.Write(b)
	d.rest = append(d.rest, b...)
	for {
		i := bytes.IndexByte(d.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		d.line(string(d.rest[:i]))
		d.rest = d.rest[i+1:]
	}
}

func (d *display) line(s string) {
	d.shown++
	switch {
	case d.most == 0 || d.shown <= d.most:
		d.pen.write(strings.TrimRight(indent+s, " ") + "\n")
	case d.shown == d.most+1:
		d.pen.write(indent + "...\n")
	}
}

// end writes what is left of a line without an end.
func (d *display) end() {
	if len(d.rest) > 0 {
		d.line(string(d.rest))
		d.rest = nil
	}
}
