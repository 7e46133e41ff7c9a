package extract

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func testMarks(t testing.TB) []mark {
	t.Helper()
	var marks []mark
	for kind, value := range map[markKind]string{
		markLocation: "mirror.example.com:5000/ocp/release@sha256:" + strings.Repeat("a", 64),
		markVersion:  "4.12.0", markArchitecture: "linux/amd64",
	} {
		m, err := newMark(kind, value)
		if err != nil {
			t.Fatal(err)
		}
		marks = append(marks, m)
	}
	slices.SortFunc(marks, func(a, b mark) int { return len(b.marker) - len(a.marker) })
	return marks
}

// expected is the plain way: all in memory.
func expected(content []byte, marks []mark) (result []byte, missing int) {
	result = bytes.Clone(content)
	for _, m := range marks {
		i := bytes.Index(content, m.marker)
		if i < 0 {
			missing++
			continue
		}
		copy(result[i:], m.value+"\x00")
	}
	return result, missing
}

func TestMarkerSizes(t *testing.T) {
	for kind, want := range map[markKind]int{markLocation: 327, markVersion: 93, markArchitecture: 98} {
		what, marker := kind.marker()
		if len(marker) != want {
			t.Errorf("%s: %d bytes, want %d", what, len(marker), want)
		}
		if _, err := newMark(kind, strings.Repeat("v", want-1)); err != nil {
			t.Error(err)
		}
		if _, err := newMark(kind, strings.Repeat("v", want)); err == nil {
			t.Errorf("%s: %d bytes fit", what, want)
		}
		if _, err := newMark(kind, "a\x00b"); err == nil {
			t.Errorf("%s: a NUL fits", what)
		}
	}
}

// TestEveryOffset moves each marker over the borders of a small buffer, and over
// those of the real one.
func TestEveryOffset(t *testing.T) {
	marks := testMarks(t)
	plain := func(r io.Reader) io.Reader { return r }
	filler := bytes.Repeat([]byte("\x00_RELEASE_IMAGE_"), 2*bufferSize/16)
	check := func(size, at, buffer int, m mark, source func(io.Reader) io.Reader) {
		content := bytes.Clone(filler[:size])
		copy(content[at:], m.marker)
		var got bytes.Buffer
		missing, err := copyMarked(&got, source(bytes.NewReader(content)), marks, make([]byte, buffer))
		copy(content[at:], m.value+"\x00")
		if err != nil || !bytes.Equal(got.Bytes(), content) || len(missing) != len(marks)-1 {
			t.Fatalf("%s at %d of %d, buffer %d: %v, %d missing", m.what, at, size, buffer, err, len(missing))
		}
	}
	for _, m := range marks {
		for at := range 2000 - len(m.marker) {
			check(2000, at, 700, m, plain)
			if at%11 == 0 {
				check(2000, at, 700, m, iotest.DataErrReader)
				check(2000, at, 700, m, iotest.HalfReader)
			}
			if at%199 == 0 {
				check(2000, at, 700, m, iotest.OneByteReader)
			}
		}
		for at := bufferSize - len(m.marker) - 2; at < bufferSize+2; at += 7 {
			check(bufferSize+400, at, bufferSize, m, plain)
		}
		check(bufferSize, bufferSize-len(m.marker), bufferSize, m, plain) // the very end
		check(len(m.marker), 0, bufferSize, m, plain)                     // nothing else
	}
}

func TestAllMarkersInAnyOrder(t *testing.T) {
	marks := testMarks(t)
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {0, 0, 1, 2, 1, 0}} {
		for gap := range 700 {
			content := []byte("\x7fELF")
			for _, k := range order {
				content = append(content, bytes.Repeat([]byte{0}, gap)...)
				content = append(content, marks[k].marker...)
			}
			want, _ := expected(content, marks)
			var got bytes.Buffer
			missing, err := copyMarked(&got, bytes.NewReader(content), marks, make([]byte, 700))
			if err != nil || len(missing) != 0 || !bytes.Equal(got.Bytes(), want) {
				t.Fatalf("order %v, gap %d: %v, %d missing", order, gap, err, len(missing))
			}
		}
	}
}

func TestOnlyWholeMarkers(t *testing.T) {
	marks := testMarks(t)
	for _, m := range marks {
		for _, content := range [][]byte{nil, {0}, m.marker[1:], m.marker[:len(m.marker)-1], bytes.ReplaceAll(m.marker, []byte("X\x00"), []byte("XX\x00"))} {
			var got bytes.Buffer
			missing, err := copyMarked(&got, bytes.NewReader(content), []mark{m}, make([]byte, 700))
			if err != nil || len(missing) != 1 || !bytes.Equal(got.Bytes(), content) {
				t.Errorf("%.40q: %v, %d missing, %.40q", content, err, len(missing), got.Bytes())
			}
		}
	}
}

func TestCopyErrors(t *testing.T) {
	marks := testMarks(t)
	for _, marks := range [][]mark{marks, nil} {
		broken := io.MultiReader(bytes.NewReader(make([]byte, 5000)), iotest.ErrReader(io.ErrUnexpectedEOF))
		if _, err := copyMarked(io.Discard, broken, marks, make([]byte, 700)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d marks, a source that breaks: %v", len(marks), err)
		}
		full := smallWriter{left: 1000}
		_, err := copyMarked(&full, bytes.NewReader(make([]byte, 5000)), marks, make([]byte, 700))
		var write *writeError
		if !errors.As(err, &write) {
			t.Errorf("%d marks, a target that is full: %v", len(marks), err)
		}
	}
}

type smallWriter struct{ left int }

func (w *smallWriter) Write(b []byte) (int, error) {
	if w.left -= len(b); w.left < 0 {
		return 0, errors.New("no space")
	}
	return len(b), nil
}

// TestNoMarkerInProgram reads the program that runs, which has this package in
// it.
func TestNoMarkerInProgram(t *testing.T) {
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(program, []byte(markInfix)) {
		t.Error("this is not the program")
	}
	for _, kind := range []markKind{markLocation, markVersion, markArchitecture} {
		if what, marker := kind.marker(); bytes.Contains(program, marker) {
			t.Errorf("the program holds the marker of the %s", what)
		}
	}
}

func BenchmarkCopyMarked(b *testing.B) {
	content := make([]byte, 16<<20) // NULs, the worst there is
	copy(content[len(content)-93:], "\x00_RELEASE_")
	marks := testMarks(b)
	buffer := make([]byte, bufferSize)
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		if _, err := copyMarked(io.Discard, bytes.NewReader(content), marks, buffer); err != nil {
			b.Fatal(err)
		}
	}
}
