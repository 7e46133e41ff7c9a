package bundle_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

const (
	exampleBegin = "<!-- made by format_test.go: go test ./bundle -update -->\n"
	exampleEnd   = "<!-- end of what format_test.go made -->\n"
)

// example is the bundle that FORMAT.md shows.
func example(t testing.TB) (dir string) {
	s := newSource("hello")
	s.add(t, "registry.example/hello:1", layer{typeGzip, s.random(700)},
		layer{typeTar, bytes.Repeat([]byte("hello\n"), 100)})
	dir = t.TempDir()
	s.write(t, dir, 100_000)
	return dir
}

// TestFormatExample keeps the worked example in FORMAT.md true.
func TestFormatExample(t *testing.T) {
	document, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(document), exampleBegin)
	old, after, ended := strings.Cut(rest, exampleEnd)
	if !begun || !ended {
		t.Fatal("FORMAT.md lacks the marks around the example")
	}
	made := exampleText(t, example(t))
	if *update {
		if err := os.WriteFile("FORMAT.md", []byte(before+exampleBegin+made+exampleEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if made != old {
		t.Errorf("the example in FORMAT.md is not what is made; write it anew with -update:\n%s", made)
	}
}

func exampleText(t testing.TB, dir string) string {
	files := readFiles(t, dir)
	volume := files["hello-0001.tar.zst"]
	var out strings.Builder
	fmt.Fprintf(&out, "The volume `hello-0001.tar.zst` has %d bytes, in these frames:\n\n", len(volume))
	out.WriteString("| offset | bytes | content | header | blocks | holds |\n| ---: | ---: | ---: | --- | --- | --- |\n")
	frames := listFrames(t, volume)
	for _, f := range frames {
		fmt.Fprintf(&out, "| %d | %d | %d | `%#02x`, window %d KiB | %s | %s |\n",
			f.offset, len(f.raw), len(f.content), f.raw[4], f.window>>10, f.kind, strings.Join(tarNames(f.content), ", "))
	}
	first := frames[0]
	fmt.Fprintf(&out, "\nThe first frame, in which runs of zeros are left out:\n\n```\n%s```\n", dumpHex(first.raw))
	for _, name := range []string{"hello.plan.json", "inventory.json"} {
		what := "plan, whose SHA-256 is the plan ID"
		if name == "inventory.json" {
			what = "inventory, whose SHA-256 is the bundle ID"
		}
		fmt.Fprintf(&out, "\n`%s`, the %s\n`%s`, here with line ends and shortened digests:\n\n```json\n%s\n```\n",
			name, what, digest.FromBytes(files[name]), shortened(t, files[name]))
	}
	fmt.Fprintf(&out, "\n`SHA256SUMS`, with shortened digests:\n\n```\n%s```\n", shortSums(files["SHA256SUMS"]))
	return out.String()
}

func shortened(t testing.TB, document []byte) string {
	var indented bytes.Buffer
	if err := json.Indent(&indented, bytes.TrimSpace(document), "", "  "); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(indented.String(), `"sha256:`)
	for i := 1; i < len(parts); i++ {
		parts[i] = parts[i][:8] + "…" + parts[i][64:]
	}
	return strings.Join(parts, `"sha256:`)
}

func shortSums(sums []byte) string {
	var out strings.Builder
	for line := range strings.Lines(string(sums)) {
		out.WriteString(line[:8] + "…" + line[64:])
	}
	return out.String()
}

// dumpHex is hexdump -C, with a star for lines of zeros.
func dumpHex(b []byte) string {
	var out strings.Builder
	star := false
	for line := range strings.Lines(hex.Dump(b)) {
		if strings.Count(line, " 00") == 16 {
			if !star {
				out.WriteString("*\n")
			}
			star = true
			continue
		}
		star = false
		out.WriteString(line)
	}
	return out.String()
}

// frame is one zstd frame, found by what FORMAT.md says and nothing else.
type frame struct {
	offset  int
	window  int
	kind    string
	raw     []byte
	content []byte
}

// listFrames cuts a volume into its frames and checks each against FORMAT.md.
func listFrames(t testing.TB, volume []byte) []frame {
	t.Helper()
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderMaxWindow(8<<20), zstd.IgnoreChecksum(true))
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	var frames []frame
	for at := 0; at < len(volume); {
		f := frame{offset: at, window: 1 << (10 + volume[at+5]>>3)}
		f.window += f.window / 8 * int(volume[at+5]&7)
		if binary.LittleEndian.Uint32(volume[at:]) != 0xFD2FB528 || f.window > 8<<20 {
			t.Fatalf("byte %d: % x is not the beginning of a frame", at, volume[at:at+6])
		}
		var size, blocks int
		switch volume[at+4] {
		case 0x84:
			size, at = int(binary.LittleEndian.Uint32(volume[at+6:])), at+10
		case 0x44:
			size, at = int(binary.LittleEndian.Uint16(volume[at+6:]))+256, at+8
		default:
			t.Fatalf("byte %d: descriptor %#02x", at, volume[at+4])
		}
		kinds := []string{"raw", "one byte", "compressed"}
		for last := false; !last; blocks++ {
			header := int(volume[at]) | int(volume[at+1])<<8 | int(volume[at+2])<<16
			last, f.kind = header&1 == 1, kinds[header>>1&3]
			if at += 3 + header>>3; header>>1&3 == 1 {
				at += 1 - header>>3
			}
		}
		f.kind = fmt.Sprintf("%d %s", blocks, f.kind)
		at += 4
		f.raw = volume[f.offset:at]
		if f.content, err = decoder.DecodeAll(f.raw, nil); err != nil {
			t.Fatal(err)
		}
		if len(f.content) != size || size > 4<<20 || binary.LittleEndian.Uint32(f.raw[len(f.raw)-4:]) != uint32(xxhash.Sum64(f.content)) {
			t.Fatalf("frame at byte %d: content of %d bytes, %d are stated", f.offset, len(f.content), size)
		}
		if stored := len(storedFrame(nil, f.content)); len(f.raw) > stored {
			t.Fatalf("frame at byte %d: %d bytes, stored it has %d", f.offset, len(f.raw), stored)
		}
		frames = append(frames, f)
	}
	return frames
}

// tarNames names the entries that begin in the content of a frame.
func tarNames(content []byte) []string {
	var names []string
	for len(content) > 0 {
		name, _, _ := bytes.Cut(content[:100], []byte{0})
		if len(name) == 0 {
			return append(names, "end of the archive")
		}
		short := string(name)
		if i := strings.LastIndex(short, "sha256/"); i >= 0 {
			short = short[:i+7+8] + "…"
		}
		names = append(names, "`"+short+"`")
		var size int
		if _, err := fmt.Sscanf(string(content[124:135]), "%o", &size); err != nil {
			return append(names, err.Error())
		}
		content = content[min(len(content), 512+(size+511)/512*512):]
	}
	return names
}

// TestFormatSizes keeps the sizes that FORMAT.md computes true.
func TestFormatSizes(t *testing.T) {
	document, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{
		fmt.Sprintf("**%s**", commas(stored(5_000_000))),
		fmt.Sprintf("An empty blob takes frame(512) = %d", stored(0)),
		fmt.Sprintf("frame(4,194,304) = %s", commas(int64(len(storedFrame(nil, make([]byte, 4<<20)))))),
	} {
		if !bytes.Contains(document, []byte(says)) {
			t.Errorf("FORMAT.md does not say %q", says)
		}
	}
}

// commas writes n < 10^9 with a comma before each three digits.
func commas(n int64) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", commas(n/1000), n%1000)
}

// TestFormatFrames checks all frames of the golden bundle and of one with
// members of several frames.
func TestFormatFrames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mixed(t).write(t, dir, 4_600_000)
	for _, dir := range append(goldenDirs(), dir) {
		b := open(t, dir)
		files := readFiles(t, dir)
		for _, v := range b.Volumes {
			starts := map[int64]bool{}
			frames := listFrames(t, files[v.Name])
			for _, f := range frames {
				starts[int64(f.offset)] = true
			}
			located, err := b.Locate(v)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range located {
				if !starts[l.Offset] || !starts[l.Offset+l.Length] {
					t.Errorf("%s: member %s at %d to %d does not begin or end with a frame", v.Name, l.Name(), l.Offset, l.Offset+l.Length)
				}
				if !l.Blob.Compress && l.Length != stored(l.Size) {
					t.Errorf("%s: member %s has %d bytes, the formula says %d", v.Name, l.Name(), l.Length, stored(l.Size))
				}
			}
			if end := frames[len(frames)-1]; len(end.raw) != 1041 || len(bytes.Trim(end.content, "\x00")) > 0 {
				t.Errorf("%s ends in a frame of %d bytes", v.Name, len(end.raw))
			}
		}
	}
}
