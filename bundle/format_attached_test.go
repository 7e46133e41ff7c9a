package bundle_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// chapters returns what FORMAT.md says from the heading of one chapter to that of
// another.
func chapters(t testing.TB, from, to string) string {
	t.Helper()
	document, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, begun := strings.Cut(string(document), "\n## "+from)
	text, _, ended := strings.Cut(text, "\n## "+to)
	if !begun || !ended {
		t.Fatalf("FORMAT.md has no chapters %q and %q", from, to)
	}
	return text
}

// TestFormatKeys looks for every key of plans and inventories in FORMAT.md.
func TestFormatKeys(t *testing.T) {
	plan, inventory := chapters(t, "7. The plan", "8. "), chapters(t, "7. The plan", "10. ")
	for _, test := range []struct {
		value any
		text  string
		least int
	}{{bundle.Plan{}, plan, 45}, {bundle.Inventory{}, inventory, 30}} {
		keys := map[string]bool{}
		addKeys(keys, reflect.TypeOf(test.value))
		for key := range keys {
			if !strings.Contains(test.text, "`"+key+"`") {
				t.Errorf("FORMAT.md does not describe %s of %T", key, test.value)
			}
		}
		if len(keys) < test.least {
			t.Errorf("%T has %d keys only", test.value, len(keys))
		}
	}
}

// addKeys adds the keys under which JSON has values of a type.
func addKeys(keys map[string]bool, of reflect.Type) {
	switch of.Kind() {
	case reflect.Slice, reflect.Pointer:
		addKeys(keys, of.Elem())
	case reflect.Struct:
		for i := range of.NumField() {
			field := of.Field(i)
			if !field.IsExported() {
				continue
			}
			if key, _, _ := strings.Cut(field.Tag.Get("json"), ","); key != "" {
				keys[key] = true
			}
			addKeys(keys, field.Type)
		}
	}
}

// TestFormatAttached keeps true what FORMAT.md says of types and limits of what is
// attached.
func TestFormatAttached(t *testing.T) {
	plan := chapters(t, "7. The plan", "8. ")
	_, annotations, _ := strings.Cut(plan, "Their annotations:\n")
	annotations, _, _ = strings.Cut(annotations, "\n\nAn image")
	for _, a := range open(t, releaseDir).Prologue.Plan().Attached {
		if a.Type == "example" {
			continue
		}
		row := ""
		for line := range strings.Lines(plan) {
			if strings.HasPrefix(line, "| `"+a.Type+"` |") {
				row = line
			}
		}
		if !strings.Contains(row, "`"+a.Content.MediaType+"`") {
			t.Errorf("FORMAT.md says %q of %s with media type %s", row, a.Type, a.Content.MediaType)
		}
		for key := range a.Annotations {
			if !strings.Contains(annotations, "| `"+key+"` | ") {
				t.Errorf("FORMAT.md does not say what annotation %s is", key)
			}
		}
	}
	const limit = "| bytes of an inline blob or manifest | 1 … 4,194,304 |"
	if bundle.MaxInline != 4<<20 || !strings.Contains(chapters(t, "11. Limits", "12. "), limit) {
		t.Errorf("FORMAT.md does not say that an inline blob has at most %d bytes", bundle.MaxInline)
	}
}

// recipes are what FORMAT.md has people type to recover a bundle.
func recipes(t testing.TB) []string {
	t.Helper()
	var blocks []string
	for rest, found := chapters(t, "16. Recovery", "17. "), true; found; {
		if _, rest, found = strings.Cut(rest, "\n```sh\n"); found {
			block, after, _ := strings.Cut(rest, "```\n")
			blocks, rest = append(blocks, block), after
		}
	}
	return blocks
}

// TestFormatRecovery types it: first it unpacks the golden bundles, then it looks
// for what is attached.
func TestFormatRecovery(t *testing.T) {
	t.Parallel()
	needTools(t, "bash", "sha256sum", "zstd", "tar", "cat", "jq", "base64")
	shell := func(script string) string {
		out, err := exec.CommandContext(t.Context(), "bash", "-e", "-o", "pipefail", "-c", script).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, script, out)
		}
		return string(out)
	}
	var unpack, list, inline string
	for _, block := range recipes(t) {
		for mark, to := range map[string]*string{"mkdir layout": &unpack, ".attachedTo": &list, "base64 -d": &inline} {
			if strings.Contains(block, mark) {
				*to = block
			}
		}
	}
	for _, g := range goldens(t) {
		dir, err := filepath.Abs(g.dir)
		if err != nil {
			t.Fatal(err)
		}
		fill := strings.NewReplacer("DIR", dir, "NAME", g.s.selection.Name)
		here := t.TempDir()
		first, join, _ := strings.Cut(unpack, "for f in")
		shell("cd " + here + "\n" + fill.Replace(first))
		if extents, err := filepath.Glob(filepath.Join(here, "layout", "satchel", "extents", "*")); err != nil {
			t.Fatal(err)
		} else if len(extents) > 0 {
			shell("cd " + here + "/layout\nfor f in" + join)
		}
		blobs := filepath.Join(here, "layout", "blobs", "sha256")
		for d, want := range g.s.blobs {
			if slices.Contains(g.lacks, d) {
				continue
			}
			got, err := os.ReadFile(filepath.Join(blobs, d.Encoded()))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s: blob %s: %d bytes, %v", g.dir, d, len(got), err)
			}
		}
		var want strings.Builder
		for _, image := range g.s.selection.Images {
			if image.AttachedTo != "" {
				fmt.Fprintf(&want, "%s is attached to %s\n", image.Reference, image.AttachedTo)
			}
		}
		for _, a := range g.s.selection.Attached {
			about, subject := a.Annotations["reference"], string(a.Subject)
			if about == "" {
				about, subject = "null", "null"
			}
			fmt.Fprintf(&want, "%s %s %s %s\n", a.Content.Digest.Encoded(), a.Type, about, subject)
		}
		if got := shell(fill.Replace(list)); got != want.String() {
			t.Errorf("%s: attached are\n%swant\n%s", g.dir, got, want.String())
		}
		for _, group := range g.s.selection.Blobs {
			for _, b := range group {
				if b.Origin.Inline == nil {
					continue
				}
				got := shell(strings.ReplaceAll(fill.Replace(inline), "HEX", b.Digest.Encoded()))
				if digest.FromString(got) != b.Digest {
					t.Errorf("blob %s is in the plan as %q", b.Digest, got)
				}
			}
		}
	}
}
