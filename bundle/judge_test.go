package bundle_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// needTools skips a test by the name of a program that is not here.
func needTools(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			if os.Getenv("SATCHEL_REQUIRE_ALL") != "" {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}

// judge runs judge.sh, which knows nothing of satchel, and reports whether it
// found anything.
func judge(t testing.TB, dir string) (found bool, output string) {
	t.Helper()
	needTools(t, "bash", "zstd", "tar", "jq", "openssl", "sha256sum", "od", "cmp", "dd")
	out, err := exec.CommandContext(t.Context(), "bash", "testdata/judge.sh", dir).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("judge.sh: %v\n%s", err, out)
	}
	return err != nil, string(out)
}

func TestJudge(t *testing.T) {
	t.Parallel()
	if found, output := judge(t, goldenDir); found {
		t.Errorf("judge.sh on the golden bundle:\n%s", output)
	}
}

// TestJudgeOneVolume judges a bundle that has no extent, and a member of several
// frames.
func TestJudgeOneVolume(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mixed(t).write(t, dir, 100_000_000)
	if found, output := judge(t, dir); found {
		t.Errorf("judge.sh:\n%s", output)
	}
}

func TestJudgeFinds(t *testing.T) {
	golden := readFiles(t, goldenDir)
	b := open(t, goldenDir)
	type flip struct {
		name, file string
		offset     int64
		says       []string
	}
	flips := []flip{
		{"plan", "golden.plan.json", 1500, []string{"golden.plan.json: FAILED"}},
		{"inventory", "inventory.json", int64(bytes.Index(golden["inventory.json"], []byte(`"length":`)) + 10), []string{"inventory.json: FAILED", "bytes"}},
	}
	for _, v := range b.Volumes {
		located, err := b.Locate(v)
		if err != nil {
			t.Fatal(err)
		}
		last := located[len(located)-1]
		flips = append(flips, flip{v.Name, v.Name, last.Offset + last.Length/2, []string{"zstd -t", v.Name + " is sha256:", "blob sha256:"}})
	}
	for _, f := range flips {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, content := range golden {
				if name == f.file {
					content = bytes.Clone(content)
					content[f.offset] ^= 1
				}
				if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			found, output := judge(t, dir)
			if !found {
				t.Fatalf("judge.sh found nothing:\n%s", output)
			}
			for _, says := range f.says {
				if !strings.Contains(output, says) {
					t.Errorf("judge.sh says nothing of %q:\n%s", says, output)
				}
			}
		})
	}
}

// TestZstdNoticesStored checks that zstd, by itself, notices a flipped byte in a
// stored block: without the content checksum it would not.
func TestZstdNoticesStored(t *testing.T) {
	t.Parallel()
	needTools(t, "zstd")
	b := open(t, goldenDir)
	volume := readFiles(t, goldenDir)[b.Volumes[1].Name]
	located, err := b.Locate(b.Volumes[1])
	if err != nil {
		t.Fatal(err)
	}
	const raw = 0
	at := located[0].Offset
	if blockType := volume[at+10] >> 1 & 3; blockType != raw || located[0].Extent != 1 {
		t.Fatalf("member %s begins with a block of type %d", located[0].Name(), blockType)
	}
	test := func(volume []byte) error {
		name := filepath.Join(t.TempDir(), "volume.zst")
		if err := os.WriteFile(name, volume, 0o644); err != nil {
			t.Fatal(err)
		}
		return exec.CommandContext(t.Context(), "zstd", "-tq", name).Run()
	}
	if err := test(volume); err != nil {
		t.Fatalf("zstd -t on a whole volume: %v", err)
	}
	for _, offset := range []int64{at + 13, at + 10_000, at + located[0].Length - 5} {
		damaged := bytes.Clone(volume)
		damaged[offset] ^= 1
		if err := test(damaged); err == nil {
			t.Errorf("zstd -t passes a flipped bit at byte %d", offset)
		}
	}
}

// TestRecipe follows README.txt to the letter, with nothing but a shell.
func TestRecipe(t *testing.T) {
	t.Parallel()
	needTools(t, "sh", "sha256sum", "zstd", "tar", "cat")
	dir := t.TempDir()
	files := readFiles(t, goldenDir)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, recipe, ok := strings.Cut(string(files["README.txt"]), "  media=\"/media/stick1 /media/stick2\"\r\n")
	if !ok {
		t.Fatal("README.txt has no recipe")
	}
	recipe, _, _ = strings.Cut(recipe, "The second line")
	var script strings.Builder
	script.WriteString("set -e\nmedia=.\n")
	for line := range strings.Lines(recipe) {
		script.WriteString(strings.TrimRight(line, "\r\n") + "\n")
	}
	command := exec.CommandContext(t.Context(), "sh", "-c", script.String())
	command.Dir = dir
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, script.String(), output)
	}
	for digest, want := range goldenSource(t).blobs {
		got, err := os.ReadFile(filepath.Join(dir, "layout", "blobs", "sha256", digest.Encoded()))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("blob %s: %d bytes, %v", digest, len(got), err)
		}
	}
}
