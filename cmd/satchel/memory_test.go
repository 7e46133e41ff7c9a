package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"satchel/fixtures"
)

// binary builds satchel as make build does.
func binary(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "satchel")
	c := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", path, ".")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// peak runs a program with an empty temporary directory of its own, in which it
// must leave nothing, and returns the most memory that it had, in bytes.
func peak(t testing.TB, path string, arguments ...string) int64 {
	t.Helper()
	tmp := t.TempDir()
	c := exec.CommandContext(t.Context(), "satchel-peak", append([]string{path}, arguments...)...)
	c.Env = append(os.Environ(), "TMPDIR="+tmp)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(arguments[:1], " "), err, stderr.Bytes())
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("%s left %d files in the temporary directory, %v", arguments[0], len(left), err)
	}
	kilobytes, err := strconv.ParseInt(string(out), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// peakMain runs a program and prints the most memory that it had, in KiB. Linux
// counts for a process what the one had that started it: so a small one does.
func peakMain() {
	c := exec.Command(os.Args[1], os.Args[2:]...)
	c.Stderr = os.Stderr
	if err := c.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	usage, ok := c.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		os.Exit(1)
	}
	fmt.Print(usage.Maxrss)
}

// TestMemory holds satchel to what the README promises: the buffer and 100 MiB,
// 4 KiB for each blob and twice the bytes of the manifests.
func TestMemory(t *testing.T) {
	if testing.Short() || runtime.GOOS != "linux" {
		t.Skip("-short, or not Linux: moves gigabytes and reads peak memory as Linux counts it")
	}
	if raceDetector {
		t.Skip("the program that is measured runs without the race detector, in the tests without it")
	}
	large := fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{fixtures.OpaqueLayer("memory", 2<<30)}}).Named("data/large", "1")
	for _, test := range []struct {
		name   string
		images []fixtures.Image
		size   string
	}{
		{"a layer of 2 GiB", []fixtures.Image{large}, "700MB"},
		{"5,000 small images", fixtures.Small(5000), "1GB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			satchel := binary(t)
			source := startRegistry(t, fixtures.Options{}, test.images...)
			site := startRegistry(t, fixtures.Options{DiscardBlobs: true})
			var blobs, manifests int64
			list := filepath.Join(t.TempDir(), "images")
			var lines []string
			for _, image := range test.images {
				blobs += int64(len(image.Blobs))
				for _, m := range image.Manifests {
					manifests += m.Descriptor.Size
				}
				lines = append(lines, source.Host()+"/"+image.Reference())
			}
			if err := os.WriteFile(list, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			limit := int64(256<<20+100<<20) + 4096*blobs + 2*manifests
			check := func(arguments ...string) {
				got := peak(t, satchel, arguments...)
				t.Logf("%s: %d MiB at most, allowed are %d MiB", arguments[0], got>>20, limit>>20)
				if got > limit {
					t.Errorf("%s: %d bytes, more than %d", arguments[0], got, limit)
				}
			}
			check("pack", "--quiet", "--tls-verify=false", "-o", dir, "--volume-size", test.size, "--images-file", list)
			check("verify", "--quiet", dir)
			check("inspect", "--quiet", dir)
			check("unpack", "--quiet", "--tls-verify=false", dir, "--to", site.Host())
			if len(site.Digests()) != len(test.images) {
				t.Errorf("%d repositories at the site, want %d", len(site.Digests()), len(test.images))
			}
		})
	}
}
