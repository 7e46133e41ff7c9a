package ocdir_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"satchel/oci/ocdir"
)

func TestParseMapping(t *testing.T) {
	d := "@sha256:" + strings.Repeat("a", 64)
	file := "\ufeff# a comment\r\n" +
		"\n" +
		"quay.io/a/b" + d + "=reg.example:5000/a/b:1\n" +
		"  quay.io/a/b" + d + "=reg.example:5000/a/c  \r\n" +
		"quay.io/a/b" + d + "=reg.example:5000/a/c # the same without a tag\n" +
		"quay.io/a/c:1 reg.example:5000/x   reg.example:5000/y:2#and more\n" +
		"file://openshift/release:4.12*=reg.example:5000/ocp4\n" +
		"a:1=b c:1=d\n" +
		"\t\n" +
		"last:1=reg/last"
	want := []ocdir.Mapping{
		{"quay.io/a/b" + d, "reg.example:5000/a/b:1", 3},
		{"quay.io/a/b" + d, "reg.example:5000/a/c", 4},
		{"quay.io/a/b" + d, "reg.example:5000/a/c", 5},
		{"quay.io/a/c:1", "reg.example:5000/x", 6},
		{"quay.io/a/c:1", "reg.example:5000/y:2", 6},
		{"file://openshift/release:4.12*", "reg.example:5000/ocp4", 7},
		{"a:1", "b", 8},
		{"c:1", "d", 8},
		{"last:1", "reg/last", 10},
	}
	got, err := ocdir.ParseMapping(strings.NewReader(file), "mapping.txt")
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := ocdir.ParseMapping(strings.NewReader("# nothing\n"), "m"); err != nil || len(got) != 0 {
		t.Errorf("nothing: %v, %v", got, err)
	}
}

func TestParseMappingRefuses(t *testing.T) {
	d := "@sha256:" + strings.Repeat("a", 64)
	for _, test := range []struct{ line, says string }{
		{"a:1", `"a:1" is neither SRC=DST nor SRC DST`},
		{"a:1 # =b", `"a:1" is neither`},
		{"=b", `"=b" is not SRC=DST`},
		{"a=", `"a=" is not SRC=DST`},
		{"=", `"=" is not SRC=DST`},
		{"a = b", `"a" stands beside SRC=DST`},
		{"a:1=b c", `"c" stands beside SRC=DST`},
		{"a:1\tb", "only spaces separate"},
		{"a:1\u00a0b", "only spaces separate"},
		{"a:1=b=c", "has an ="},
		{"a:1=b" + d, "has a digest"},
		{"a:1=b:2" + d, "has a digest"},
		{"a:1=b:*", "has a *"},
		{"a:1=a:1", "are the same"},
		{"a:1 b:1 b:1", "b:1 is a destination in line 3 already"},
		{"a:1=reg:5000/b", "reg:5000/b:1 is a destination in line 1 already"},
		{strings.Repeat("a", 70_000), "token too long"},
	} {
		_, err := ocdir.ParseMapping(strings.NewReader("x:1=reg:5000/b\n\n"+test.line+"\nx=\n"), "m.txt")
		if err == nil || !strings.HasPrefix(err.Error(), "m.txt, line 3: ") || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%.80q: got %v", test.line, err)
		}
	}
}

// endless is a file of one line again and again.
type endless struct {
	line string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.line[e.at:])
	e.at = (e.at + n) % len(e.line)
	return n, nil
}

func TestParseMappingBounded(t *testing.T) {
	for _, test := range []struct {
		line, says string
	}{
		{"#" + strings.Repeat("x", 1000) + "\n", "m: more than 67108864 bytes"},
		{"a" + strings.Repeat(" b", 1000) + "\n", "m, line 101: more than 100000 mappings"},
	} {
		if _, err := ocdir.ParseMapping(&endless{line: test.line}, "m"); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%.10q: got %v", test.line, err)
		}
	}
	broken := errors.New("broken")
	if _, err := ocdir.ParseMapping(io.MultiReader(strings.NewReader("a:1=b\n"), iotest.ErrReader(broken)), "m"); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "m, line 2: ") {
		t.Errorf("got %v", err)
	}
}

func FuzzParseMapping(f *testing.F) {
	f.Add("a:1=b\nc d e # x\n")
	f.Add("\ufeffa:*=b\r\n")
	f.Add("a@sha256:x=b:1\na b:1")
	f.Fuzz(func(t *testing.T, file string) {
		mappings, err := ocdir.ParseMapping(strings.NewReader(file), "m")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "m, line ") || mappings != nil {
				t.Errorf("got %v, %v", mappings, err)
			}
			return
		}
		// What was read says the same when it is written.
		var again strings.Builder
		for i, m := range mappings {
			if m.Source == "" || m.Destination == "" || strings.ContainsAny(m.Source+m.Destination, " #\t\n\r") || m.Line < 1 || i > 0 && m.Line < mappings[i-1].Line {
				t.Errorf("got %+v", m)
			}
			again.WriteString(m.Source + "=" + m.Destination + "\n")
		}
		written, err := ocdir.ParseMapping(strings.NewReader(again.String()), "m")
		if err != nil || len(written) != len(mappings) {
			t.Errorf("again: %v, %v", written, err)
		}
	})
}
