//go:build linux

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"satchel/fixtures"
	"satchel/transfer"
)

// spanned is a bundle with each volume on a medium of its own, one of which is in
// the drive.
type spanned struct {
	images []fixtures.Image
	site   *fixtures.Registry
	drive  string
	media  []string // by volume
	// small are the files of the bundle that are no volumes.
	small []string
}

// makeSpanned packs images of which one has a layer that is cut over volumes.
func makeSpanned(t *testing.T) *spanned {
	t.Helper()
	needRoot(t)
	var images []fixtures.Image
	for _, name := range []string{"a", "b", "c"} {
		images = append(images, fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{fixtures.OpaqueLayer(name, 250_000)}}).Named("team/"+name, "1"))
	}
	images = append(images, fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{fixtures.OpaqueLayer("big", 900_000)}}).Named("team/big", "1"))
	source := startRegistry(t, fixtures.Options{}, images...)
	dir := t.TempDir()
	mustSatchel(t, append([]string{"pack", "--tls-verify=false", "--quiet", "-o", dir, "--name", "span", "--volume-size", "400KB"},
		references(source.Host(), images)...)...)
	s := &spanned{images: images, site: startRegistry(t, fixtures.Options{}), drive: t.TempDir()}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".tar.zst") {
			s.small = append(s.small, filepath.Join(dir, e.Name()))
			continue
		}
		medium := t.TempDir()
		mount(t, medium, func() { putFile(t, filepath.Join(dir, e.Name()), medium) })
		s.media = append(s.media, medium)
	}
	if len(s.media) < 4 {
		t.Fatalf("%d volumes", len(s.media))
	}
	return s
}

func putFile(t testing.TB, from, dir string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, filepath.Base(from)), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// put exchanges the medium in the drive, which nothing may have open.
func (s *spanned) put(t testing.TB, volume int, first bool) {
	t.Helper()
	if !first {
		unmount(t, s.drive)
	}
	if err := unix.Mount(s.media[volume-1], s.drive, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
}

func (s *spanned) check(t testing.TB) {
	t.Helper()
	digests := s.site.Digests()
	for _, image := range s.images {
		if got := digests["mirror/"+image.Repository][image.Tag]; got != image.Root.Digest {
			t.Errorf("%s is %q", image.Reference(), got)
		}
	}
}

// Whatever medium is in first: each is asked for in the drive, and where a layer
// is cut over several of them, once more.
func TestUnpackSpan(t *testing.T) {
	s := makeSpanned(t)
	asks := regexp.MustCompile(`put (?:in )?the medium with volume ([0-9]+)`)
	for _, first := range []int{1, 3} {
		if first > 1 {
			s.site = startRegistry(t, fixtures.Options{})
		}
		keys, stdin := terminal(t)
		s.put(t, first, true)
		prompts := newPrompts()
		receipt := filepath.Join(t.TempDir(), "receipt.json")
		f := &unpackFlags{
			out: &output{stdout: prompts, stderr: prompts, quiet: true}, stdin: stdin, site: siteFlags{to: s.site.Host() + "/mirror", naming: "path", mirrorSet: "idms"},
			media: "parallel", receipt: receipt, span: true, verifyFirst: true, remote: remoteFlags{jobs: 4, retries: 0},
		}
		done := make(chan error, 1)
		go func() { done <- f.run(t.Context(), []string{s.drive}) }()
		asked := 0
		for running := true; running; {
			select {
			case line := <-prompts.lines:
				match := asks.FindStringSubmatch(line)
				if match == nil {
					continue
				}
				if asked++; asked == 2 {
					press(t, keys) // with the wrong one in
					prompts.wait(t, "that medium has none of them")
				}
				volume, err := strconv.Atoi(match[1])
				if err != nil {
					t.Fatal(err)
				}
				s.put(t, volume, false)
				press(t, keys) // or the mount is seen before
			case err := <-done:
				if err != nil {
					t.Fatal(err)
				}
				running = false
			}
		}
		unmount(t, s.drive)
		s.check(t)
		content, err := os.ReadFile(receipt)
		if err != nil {
			t.Fatal(err)
		}
		var r transfer.Receipt
		if err := json.Unmarshal(content, &r); err != nil {
			t.Fatal(err)
		}
		for _, image := range r.Images {
			if image.State != transfer.ImagePushed {
				t.Errorf("%s is %s", image.Reference, image.State)
			}
		}
		if len(r.MissingVolumes) > 0 || asked < len(s.media)-1 {
			t.Errorf("asked %d times, missing %v", asked, r.MissingVolumes)
		}
	}
}

// Without a terminal, each run does what it can and says what comes next.
func TestUnpackSpanNoTerminal(t *testing.T) {
	s := makeSpanned(t)
	var last string
	for volume := range s.media {
		s.put(t, volume+1, volume == 0)
		status, stdout, stderr := satchel(t, "unpack", "--span", s.drive, "--to", s.site.Host()+"/mirror", "--tls-verify=false")
		if status != exitMissing {
			t.Fatalf("medium %d: status %d\n%s%s", volume+1, status, stdout, stderr)
		}
		if !strings.Contains(stderr, errNoTerminal.Error()) || !strings.Contains(stderr, "satchel pack --plan span.plan.json --only-volumes ") {
			t.Errorf("medium %d: %s", volume+1, stderr)
		}
		last = stdout
	}
	unmount(t, s.drive)
	if !regexp.MustCompile(`missing: .*/team/big:1: volumes? .*; a layer is cut over volumes [0-9, ]+, which it needs together`).MatchString(last) ||
		!strings.Contains(last, "3 of 4 images") {
		t.Errorf("got %s", last)
	}
	// All of them at one time, or those that the layer needs.
	mustSatchel(t, slices.Concat([]string{"unpack"}, s.media, []string{"--to", s.site.Host() + "/mirror", "--tls-verify=false"})...)
	s.check(t)
}
