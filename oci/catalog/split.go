package catalog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// splitter cuts files into documents, one after another, in buffers that it
// uses again: what it hands out is valid during the visit only.
type splitter struct {
	ctx context.Context
	// left are the bytes that may still be read, of all files together.
	left int64
	// most are the bytes that one document may have.
	most int
	// aliased are the values that stood for aliases, of all files too.
	aliased int

	raw, compact bytes.Buffer
	in           *bufio.Reader
}

func newSplitter(ctx context.Context) *splitter {
	return &splitter{ctx: ctx, left: MaxCatalog, most: MaxDocument, in: bufio.NewReaderSize(nil, 64<<10)}
}

// totalError is an error that concerns the whole catalog, and not only the
// file that was read when it came up.
type totalError struct{ err error }

func (e *totalError) Error() string { return e.err.Error() }
func (e *totalError) Unwrap() error { return e.err }

// counted reads one file, counts its bytes, and is ended by the context.
type counted struct {
	s *splitter
	r io.Reader
}

func (c counted) Read(p []byte) (int, error) {
	if err := c.s.ctx.Err(); err != nil {
		return 0, &totalError{err}
	}
	n, err := c.r.Read(p)
	if c.s.left -= int64(n); c.s.left < 0 {
		return 0, errTotal()
	}
	if err != nil && err != io.EOF {
		err = &totalError{err}
	}
	return n, err
}

// split visits the documents of one file, numbered from 1. Files are JSON when
// they begin with a JSON mapping, otherwise YAML; names decide nothing, as with
// opm. Each document is handed out by a function that makes compact JSON of it,
// nil for an empty document of YAML.
func (s *splitter) split(file io.Reader, visit func(number int, document func() ([]byte, error)) error) error {
	s.in.Reset(counted{s, file})
	if mark, err := s.in.Peek(3); err == nil && string(mark) == "\ufeff" {
		s.in.Discard(3)
	}
	beginning, err := s.in.Peek(4096)
	if err != nil && err != io.EOF {
		return err
	}
	next := s.nextYAML
	if isJSON(beginning) {
		next = s.nextJSON
	}
	for number := 1; ; number++ {
		document, err := next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = visit(number, document)
		}
		if err != nil {
			return fmt.Errorf("document %d: %w", number, err)
		}
	}
}

// isJSON tells JSON from a YAML mapping in braces by the quote after the brace.
func isJSON(beginning []byte) bool {
	rest, braced := bytes.CutPrefix(bytes.TrimLeft(beginning, " \t\r\n"), []byte("{"))
	if rest = bytes.TrimLeft(rest, " \t\r\n"); !braced || len(rest) == 0 {
		return braced
	}
	return rest[0] == '"' || rest[0] == '}'
}

func errTotal() error {
	return &totalError{fmt.Errorf("catalog of more than %d bytes: %w", int64(MaxCatalog), ErrLimit)}
}

func errSize(most int) error {
	return fmt.Errorf("more than %d bytes: %w", most, ErrLimit)
}

// nextJSON finds the end of a mapping by its brackets. Between mappings stands
// white space, or a line that separates documents of YAML.
func (s *splitter) nextJSON() (func() ([]byte, error), error) {
	s.raw.Reset()
	for dashes := 0; ; {
		c, err := s.in.ReadByte()
		if err != nil {
			return nil, err
		}
		if c == '{' && (dashes == 0 || dashes == 3) {
			s.in.UnreadByte()
			break
		}
		switch {
		case c == '-' && dashes < 3:
			dashes++
		case c == '\n' && (dashes == 0 || dashes == 3):
			dashes = 0
		case c != ' ' && c != '\t' && c != '\r' || dashes == 1 || dashes == 2:
			return nil, fmt.Errorf("%q where a mapping should begin", c)
		}
	}
	var b brackets
	for {
		data, err := s.in.Peek(max(s.in.Buffered(), 1))
		if len(data) == 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		n, whole := b.scan(data)
		if s.raw.Len()+n > s.most {
			return nil, errSize(s.most)
		}
		s.raw.Write(data[:n])
		s.in.Discard(n)
		if whole {
			return s.compactJSON, nil
		}
	}
}

// brackets counts through a mapping of JSON.
type brackets struct {
	depth           int
	inText, escaped bool
}

// scan returns how much of data belongs to the mapping, and whether it ends
// there.
func (b *brackets) scan(data []byte) (n int, whole bool) {
	quote := -1 // the next one, when it is not behind i
	for i := 0; i < len(data); i++ {
		switch {
		case b.escaped:
			b.escaped = false
		case b.inText:
			// Manifests are one long text: most bytes are passed over here.
			if quote < i {
				if quote = bytes.IndexByte(data[i:], '"'); quote < 0 {
					quote = len(data)
				} else {
					quote += i
				}
			}
			if escape := bytes.IndexByte(data[i:quote], '\\'); escape >= 0 {
				i, b.escaped = i+escape, true
			} else {
				i, b.inText = quote, quote == len(data)
			}
		case data[i] == '"':
			b.inText = true
		case data[i] == '{' || data[i] == '[':
			b.depth++
		case data[i] == '}' || data[i] == ']':
			if b.depth--; b.depth == 0 {
				return i + 1, true
			}
		}
	}
	return len(data), false
}

func (s *splitter) compactJSON() ([]byte, error) {
	s.compact.Reset()
	if err := json.Compact(&s.compact, s.raw.Bytes()); err != nil {
		return nil, err
	}
	return s.compact.Bytes(), nil
}

// nextYAML reads lines until one that separates documents. Such a line cannot
// stand within a document: no value of a mapping begins at the first column.
func (s *splitter) nextYAML() (func() ([]byte, error), error) {
	s.raw.Reset()
	for begins := true; ; {
		line, err := s.in.ReadSlice('\n')
		if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if begins && isSeparator(line) {
			if err := checkSeparator(line); err != nil {
				return nil, err
			}
			line = nil
			if s.raw.Len() > 0 {
				return s.yamlToJSON, nil
			}
		}
		if s.raw.Len()+len(line) > s.most {
			return nil, errSize(s.most)
		}
		s.raw.Write(line)
		begins = err == nil
		if err == io.EOF {
			if s.raw.Len() > 0 {
				return s.yamlToJSON, nil
			}
			return nil, io.EOF
		}
	}
}

func isSeparator(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("---"))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r\n"), rest[0]) >= 0)
}

// checkSeparator refuses a document on the line that separates it, which only a
// comment may follow, as in Kubernetes' YAML reader.
func checkSeparator(line []byte) error {
	rest := bytes.TrimSpace(line[3:])
	if len(rest) > 0 && rest[0] != '#' || !bytes.HasSuffix(line, []byte("\n")) && len(line) > 1024 {
		return fmt.Errorf("%.40q on the line that separates documents", rest)
	}
	return nil
}
