package main

import (
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"satchel/fixtures"
)

// smallDisk mounts a tmpfs of so many bytes, which needs root on Linux.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		fixtures.Lacking(t, "root on Linux, to mount a tmpfs", errors.ErrUnsupported)
	}
	dir := t.TempDir()
	execute(t, "", need(t, "mount"), "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir)
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil { // the test's context is over
			t.Errorf("umount %s: %v %s", dir, err, out)
		}
	})
	return dir
}

// TestFullStick packs onto a medium that is too small: it is noticed before a
// blob moves, and nothing is left behind.
func TestFullStick(t *testing.T) {
	dir := smallDisk(t, "1m")
	images := fixtures.Demo(1<<20, 2<<20)
	source := startRegistry(t, fixtures.Options{}, images...)
	status, _, stderr := satchel(t, append([]string{"pack", "--tls-verify=false", "-o", dir}, references(source.Host(), images)...)...)
	if status != exitFailed || !strings.Contains(stderr, "bytes are needed") || !strings.Contains(stderr, "hint: ") {
		t.Errorf("status %d\n%s", status, stderr)
	}
	for request := range source.Stats().Requests {
		if strings.Contains(request, "blob") {
			t.Errorf("%s although there is no room", request)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}

// TestFullTarget unpacks into a registry whose disk is too small. What was
// complete by then is whole, and nothing else has a tag.
func TestFullTarget(t *testing.T) {
	images := fixtures.Demo(1<<20, 8<<20)
	source := startRegistry(t, fixtures.Options{}, images...)
	dir := t.TempDir()
	mustSatchel(t, append([]string{"pack", "--tls-verify=false", "-o", dir}, references(source.Host(), images)...)...)
	layout := filepath.Join(smallDisk(t, "3m"), "layout")
	status, _, stderr := satchel(t, "unpack", dir, "--to", "oci:"+layout)
	if status != exitFailed || !strings.Contains(stderr, "no space left") || !strings.Contains(stderr, "hint: ") {
		t.Errorf("status %d\n%s", status, stderr)
	}
	index, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(index), "data/model:huge") {
		t.Error("the image that did not fit has its name")
	}
}

// TestStickPulledOut unmounts the medium by force in the middle: what goes on
// being written to it would be lost, and that is no success.
func TestStickPulledOut(t *testing.T) {
	images := fixtures.Small(6)
	source := startRegistry(t, fixtures.Options{}, images...)
	stick := smallDisk(t, "1m")
	pulled := false
	source.SetFault(func(_ int, r *http.Request) fixtures.Fault {
		if !pulled && strings.Contains(r.URL.Path, "/blobs/") {
			pulled = true
			execute(t, "", "umount", "-l", stick)
		}
		return fixtures.Fault{}
	})
	status, stdout, stderr := satchel(t, append([]string{"pack", "--tls-verify=false", "-o", stick, "--volume-size", "100KB"}, references(source.Host(), images)...)...)
	if status != exitFailed || strings.Contains(stdout, "bundle ID") || !strings.Contains(stderr, "the medium is gone") || !strings.Contains(stderr, "hint: mount it again") {
		t.Errorf("status %d\n%s%s", status, stdout, stderr)
	}
	if left, err := os.ReadDir(stick); err != nil || len(left) > 0 {
		t.Errorf("%d files are below the mount point, %v", len(left), err)
	}
	execute(t, "", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", stick) // for the cleanup
}

// TestReadOnlyStick verifies and unpacks from a directory that cannot be
// written, and does not pack onto it.
func TestReadOnlyStick(t *testing.T) {
	images := fixtures.Small(3)
	source := startRegistry(t, fixtures.Options{}, images...)
	site := startRegistry(t, fixtures.Options{})
	dir := smallDisk(t, "1m")
	refs := references(source.Host(), images)
	mustSatchel(t, append([]string{"pack", "--tls-verify=false", "-o", dir, "--volume-size", "100KB"}, refs...)...)
	execute(t, "", "mount", "-o", "remount,ro", dir)
	mustSatchel(t, "verify", dir)
	mustSatchel(t, "unpack", dir, "--to", site.Host(), "--tls-verify=false")
	empty := smallDisk(t, "1m")
	execute(t, "", "mount", "-o", "remount,ro", empty)
	status, _, stderr := satchel(t, append([]string{"pack", "--tls-verify=false", "-o", empty}, refs...)...)
	if status != exitFailed || !strings.Contains(stderr, "read-only file system") {
		t.Errorf("status %d\n%s", status, stderr)
	}
}
