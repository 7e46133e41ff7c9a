package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"satchel/fixtures"
)

// fiveSticks packs images onto five media, one volume on each, and returns the
// directories and the volumes that each image needs.
func fiveSticks(t *testing.T, source *fixtures.Registry, images []fixtures.Image) (sticks []string, needs map[string][]int) {
	t.Helper()
	dir := t.TempDir()
	mustSatchel(t, append([]string{"pack", "--tls-verify=false", "-o", dir, "--name", "five", "--volume-size", "275KB"},
		references(source.Host(), images)...)...)
	small := []string{"five.plan.json", "inventory.json", "SHA256SUMS", "README.txt"}
	for n := 1; n <= 5; n++ {
		stick := t.TempDir()
		for _, name := range append(small, fmt.Sprintf("five-%04d.tar.zst", n)) {
			copyFile(t, filepath.Join(dir, name), filepath.Join(stick, name))
		}
		sticks = append(sticks, stick)
	}
	if len(glob(t, dir, "*.tar.zst")) != 5 {
		t.Fatalf("%v are not five volumes", glob(t, dir, "*.tar.zst"))
	}
	var inspected contents
	if err := json.Unmarshal([]byte(mustSatchel(t, "inspect", "--json", dir)), &inspected); err != nil {
		t.Fatal(err)
	}
	needs = make(map[string][]int)
	for _, image := range inspected.Images {
		needs[strings.TrimPrefix(image.Reference, source.Host()+"/")] = image.Volumes
	}
	return sticks, needs
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// layersOf makes images that share layers, so that they need volumes of each
// other.
func layersOf() []fixtures.Image {
	var images []fixtures.Image
	for i := range 10 {
		layers := []fixtures.Layer{
			fixtures.OpaqueLayer(fmt.Sprintf("own %d", i), 90_000), fixtures.OpaqueLayer(fmt.Sprintf("pair %d", i/2), 70_000),
		}
		if i == 7 {
			layers = append(layers, fixtures.OpaqueLayer("own 0", 90_000))
		}
		images = append(images, fixtures.NewImage(fixtures.ImageSpec{Layers: layers}).Named(fmt.Sprintf("team/app%d", i), "1"))
	}
	return images
}

// TestSticksInAnyOrder unpacks, one at a time, every three of five media in every
// order: after each, exactly the images are there whose volumes have been there.
func TestSticksInAnyOrder(t *testing.T) {
	images := layersOf()
	source := startRegistry(t, fixtures.Options{}, images...)
	sticks, needs := fiveSticks(t, source, images)
	orders, early := 0, 0
	for a := range 5 {
		for b := range 5 {
			for c := range 5 {
				if a == b || b == c || a == c {
					continue
				}
				orders++
				site := startRegistry(t, fixtures.Options{})
				seen := map[int]bool{}
				for _, n := range []int{a, b, c} {
					seen[n+1] = true
					status, _, stderr := satchel(t, "unpack", "--quiet", sticks[n], "--to", site.Host(), "--tls-verify=false")
					if status != exitMissing {
						t.Fatalf("media %v: status %d\n%s", seen, status, stderr)
					}
					for _, image := range images {
						want := !slices.ContainsFunc(needs[image.Reference()], func(n int) bool { return !seen[n] })
						_, got := site.Digests()[image.Repository]["1"]
						if got != want {
							t.Errorf("order %d %d %d, after %d: %s is there: %t; it needs %v", a+1, b+1, c+1, n+1, image.Repository, got, needs[image.Reference()])
						}
						if got && n == c {
							early++
						}
					}
				}
				site.Close()
			}
		}
	}
	if orders != 60 || early == 0 {
		t.Errorf("%d orders, %d images complete after three media", orders, early)
	}
}

// TestCrackedStick makes the volume of a cracked medium again with the command
// that verify prints, on another machine, after the tags upstream have moved.
func TestCrackedStick(t *testing.T) {
	images := layersOf()
	source := startRegistry(t, fixtures.Options{}, images...)
	sticks, _ := fiveSticks(t, source, images)
	cracked := filepath.Join(sticks[2], "five-0003.tar.zst")
	whole, err := os.ReadFile(cracked)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.Clone(whole)
	for i := len(damaged) / 2; i < len(damaged)/2+5000; i++ {
		damaged[i] = 0
	}
	if err := os.WriteFile(cracked, damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	status, stdout, stderr := satchel(t, append([]string{"verify"}, sticks...)...)
	command := regexp.MustCompile(`(?m)^ +satchel (pack --plan five\.plan\.json --only-volumes 3 -o DIR)$`).FindStringSubmatch(stdout)
	if status != exitDamage || command == nil {
		t.Fatalf("status %d\n%s%s", status, stdout, stderr)
	}
	for _, image := range images {
		moved := fixtures.NewImage(fixtures.ImageSpec{Labels: map[string]string{"moved": image.Repository}}).Named(image.Repository, "1")
		if err := source.Add(moved); err != nil {
			t.Fatal(err)
		}
	}
	again := t.TempDir()
	t.Chdir(sticks[0]) // where five.plan.json is
	mustSatchel(t, append(strings.Fields(strings.Replace(command[1], "DIR", again, 1)), "--tls-verify=false")...)
	got, err := os.ReadFile(filepath.Join(again, "five-0003.tar.zst"))
	if err != nil || !bytes.Equal(got, whole) {
		t.Fatalf("made again it is not the same, %v", err)
	}
	site := startRegistry(t, fixtures.Options{})
	mustSatchel(t, "verify", sticks[0], sticks[1], again, sticks[3], sticks[4])
	mustSatchel(t, "unpack", sticks[0], sticks[1], again, sticks[3], sticks[4], "--to", site.Host(), "--tls-verify=false")
	for _, image := range images {
		if site.Digests()[image.Repository]["1"] != image.Root.Digest {
			t.Errorf("%s is not there", image.Repository)
		}
	}
}
