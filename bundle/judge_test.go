package bundle_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"satchel/fixtures"
)

// needTools skips a test by the name of a program that is not here.
func needTools(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		fixtures.Program(t, name)
	}
}

// judge runs judge.sh, which knows nothing of satchel, and reports whether it
// found anything.
func judge(t testing.TB, dir string) (found bool, output string) {
	if testing.Short() {
		t.Skip("-short: the judge is a program of its own")
	}
	t.Helper()
	needTools(t, "bash", "zstd", "tar", "jq", "openssl", "sha256sum", "base64", "od", "cmp", "dd")
	out, err := exec.CommandContext(t.Context(), "bash", "testdata/judge.sh", dir).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("judge.sh: %v\n%s", err, out)
	}
	return err != nil, string(out)
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, dir := range goldenDirs() {
		if found, output := judge(t, dir); found {
			t.Errorf("judge.sh on %s:\n%s", dir, output)
		}
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

// TestJudgeFinds gives judge.sh bundles with flipped bits and with lies.
func TestJudgeFinds(t *testing.T) {
	golden, partial := medium(readFiles(t, goldenDir)), medium(readFiles(t, partialDir))
	check := func(what string, m medium, says ...string) {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, content := range m {
				if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			found, output := judge(t, dir)
			if !found {
				t.Fatalf("judge.sh found nothing:\n%s", output)
			}
			for _, says := range says {
				if !strings.Contains(output, says) {
					t.Errorf("judge.sh says nothing of %q:\n%s", says, output)
				}
			}
		})
	}
	flip := func(m medium, name string, offset int64) medium {
		content := bytes.Clone(m[name])
		content[offset] ^= 1
		return m.with(name, content)
	}
	check("plan", flip(golden, "golden.plan.json", 1500), "golden.plan.json: FAILED")
	// flipAll flips a bit in each volume.
	flipAll := func(dir string, m medium) (medium, []string) {
		b := open(t, dir)
		says := []string{"blob sha256:"}
		for _, v := range b.Volumes {
			located, err := b.Locate(v)
			if err != nil {
				t.Fatal(err)
			}
			offset := b.Prologue.Size() / 2
			if len(located) > 0 {
				last := located[len(located)-1]
				offset = last.Offset + last.Length/2
			}
			m = flip(m, v.Name, offset)
			says = append(says, v.Name+": zstd -t", v.Name+" is sha256:")
		}
		return m, says
	}
	damaged, says := flipAll(partialDir, partial)
	check("volumes of a partial bundle", damaged, says...)
	damaged, says = flipAll(goldenDir, golden)
	length := bytes.Index(golden["inventory.json"], []byte(`"length":`)) + 10
	check("volumes and inventory", flip(damaged, "inventory.json", int64(length)), append(says, "inventory.json: FAILED")...)
	check("lies", partial.with("inventory.json", editJSON(t, partial["inventory.json"], func(inventory map[string]any) {
		images, blobs := inventory["images"].([]any), inventory["blobs"].([]any)
		delete(images[1].(map[string]any), "incomplete")
		delete(blobs[0].(map[string]any), "image")
		blobs[1].(map[string]any)["image"] = 3
		missing := inventory["missing"].([]any)
		missing[0].(map[string]any)["image"] = "registry.example/second:1"
		missing[1] = map[string]any{"digest": blobs[1].(map[string]any)["digest"], "reason": "a\tlie"}
		missing[2].(map[string]any)["digest"] = "sha256:" + strings.Repeat("0", 64)
	})),
		"image registry.example/whole:1 is incomplete: true, the inventory says false", "image registry.example/first:1 is incomplete: true, the inventory says false",
		"is needed first by image 1, the inventory says 0", "is needed first by image 1, the inventory says 3",
		"is missing for registry.example/second:1", `a\tlie`, "0000 is missing and has no place", "other members than the plan", "and should be left out")
	check("a lie about the plan", golden.with("inventory.json", editJSON(t, golden["inventory.json"], func(inventory map[string]any) {
		missing := inventory["missing"].([]any)
		inventory["missing"] = append(missing[1:], missing[0], missing[0])
	})), "the inventory does not lack what the plan lacks", "- is missing and has no place")
	check("lies in a plan", lyingRelease(t), "plan and inventory attach different contents",
		`.sig is attached to "quay.example/openshift/release@sha256:`, `release:4.18.2-multi is part "operator" of a release`, `is part "Component" of a release`,
		`tools:1.0 goes to ["ocp4/tools:1.0","ocp4/tools:latest","ocp4/other:1"]`, `has origin {"inline":"e30="}`, "has not one origin", "is held and in the plan",
		"is not in the plan", "is about sha256:0000", `{"type":"Release"`, `"annotations":{"a":"b\tc"}`, `the request is {"channel":"a\nb"`,
		"is in the plan as base64 that is not canonical", "is in the plan as sha256:", "is in the plan with other bytes than in its volume")
}

// editJSON changes a document, and writes it in canonical form again.
func editJSON(t testing.TB, document []byte, edit func(map[string]any)) []byte {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(document, &v); err != nil {
		t.Fatal(err)
	}
	edit(v)
	var edited bytes.Buffer
	encoder := json.NewEncoder(&edited)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		t.Fatal(err)
	}
	return edited.Bytes()
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
	for _, g := range goldens(t) {
		dir := t.TempDir()
		files := readFiles(t, g.dir)
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
		for digest, want := range g.s.blobs {
			if slices.Contains(g.lacks, digest) {
				continue
			}
			got, err := os.ReadFile(filepath.Join(dir, "layout", "blobs", "sha256", digest.Encoded()))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("blob %s: %d bytes, %v", digest, len(got), err)
			}
		}
	}
}

// lyingRelease is the golden bundle with releases, with a plan that says what no
// plan may say of them.
func lyingRelease(t testing.TB) medium {
	m := medium(readFiles(t, releaseDir))
	return m.with("release.plan.json", editJSON(t, m["release.plan.json"], func(plan map[string]any) {
		at := func(list string, i int) map[string]any { return plan[list].([]any)[i].(map[string]any) }
		at("images", 0)["part"], at("held", 0)["part"] = "operator", "Component"
		at("images", 1)["attachedTo"] = at("images", 2)["reference"]
		at("images", 7)["destinations"] = append(at("images", 7)["destinations"].([]any), "ocp4/other:1")
		at("manifests", 0)["origin"] = map[string]any{"inline": "e30="}
		at("attached", 0)["subject"] = "sha256:" + strings.Repeat("0", 64)
		at("attached", 1)["content"].(map[string]any)["size"] = 1
		at("attached", 2)["type"] = "Release"
		at("attached", 3)["annotations"] = map[string]any{"a": "b\tc"}
		plan["request"].(map[string]any)["channel"] = "a\nb"
		inline := 0
		for i := range plan["blobs"].([]any) {
			origin := at("blobs", i)["origin"].(map[string]any)
			if origin["inline"] == nil {
				continue
			}
			switch inline++; inline {
			case 1:
				origin["inline"] = "QUJD"
			case 2:
				origin["inline"] = "QUJE=="
			case 3:
				origin["local"] = "layout"
			case 4:
				at("blobs", i)["held"] = 1
			}
		}
	}))
}
