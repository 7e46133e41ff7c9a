package main

import (
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"

	"satchel/fixtures"
)

// TestTwoPacks begins a second pack into the same directory while the first
// waits for a blob: the second is refused and the first is not harmed.
func TestTwoPacks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs locks of directories, which Windows has not")
	}
	images := fixtures.Small(3)
	source := startRegistry(t, fixtures.Options{}, images...)
	dir := t.TempDir()
	arguments := append([]string{"pack", "--tls-verify=false", "-o", dir, "--volume-size", "100KB"}, references(source.Host(), images)...)
	var status int
	var stderr string
	second := false
	source.SetFault(func(_ int, r *http.Request) fixtures.Fault {
		if !second && strings.Contains(r.URL.Path, "/blobs/") {
			second = true
			// The registry serialises this hook, so the manifests come from another.
			other := fixtures.NewRegistry(fixtures.Options{})
			if err := other.Add(images...); err != nil {
				t.Error(err)
			}
			other.Start()
			defer other.Close()
			status, _, stderr = satchel(t, append([]string{"pack", "--tls-verify=false", "-o", dir, "--volume-size", "100KB"},
				references(other.Host(), images)...)...)
		}
		return fixtures.Fault{}
	})
	mustSatchel(t, arguments...)
	if status != exitFailed || !strings.Contains(stderr, "another satchel is writing here") {
		t.Errorf("second pack: status %d\n%s", status, stderr)
	}
	mustSatchel(t, "verify", dir)
	if left, err := os.ReadDir(dir); err != nil || len(left) != 5 {
		t.Errorf("%d files, %v", len(left), err)
	}
}
