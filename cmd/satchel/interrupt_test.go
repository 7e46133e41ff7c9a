package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"strings"
	"testing"

	"satchel/fixtures"
)

// TestInterrupt ends pack and unpack at their n-th request, for many n: the
// status is 130, nothing that is unfinished has a final name or a tag, and the
// same command without an interruption comes to the same end.
func TestInterrupt(t *testing.T) {
	images := fixtures.Demo(1<<20, 2<<20)
	source := startRegistry(t, fixtures.Options{}, images...)
	site := startRegistry(t, fixtures.Options{})
	pack := func(dir string) []string {
		return append([]string{"pack", "--tls-verify=false", "-o", dir, "--volume-size", "1MiB", "--buffer", "1MiB"},
			references(source.Host(), images)...)
	}
	whole := t.TempDir()
	mustSatchel(t, pack(whole)...)

	// interrupted runs a command and cancels it with the n-th request to r; it
	// reports whether there were so many.
	interrupted := func(r *fixtures.Registry, n int, arguments []string) bool {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		count := 0
		r.SetFault(func(int, *http.Request) fixtures.Fault {
			if count++; count == n {
				cancel()
			}
			return fixtures.Fault{}
		})
		defer r.SetFault(nil)
		var stdout, stderr bytes.Buffer
		status := run(ctx, arguments, &stdout, &stderr)
		if ctx.Err() == nil {
			if status != exitOK {
				t.Fatalf("not interrupted, status %d\n%s", status, stderr.String())
			}
			return false
		}
		// The last request may well be interrupted after all was done.
		if status != exitInterrupted && status != exitOK {
			t.Fatalf("interrupted at request %d: status %d\n%s", n, status, stderr.String())
		}
		return true
	}
	fired := 0
	for n := 1; ; n += 5 {
		dir := t.TempDir()
		if !interrupted(source, n, pack(dir)) {
			break
		}
		fired++
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".part") {
				continue
			}
			got, err := os.ReadFile(dir + "/" + e.Name())
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(whole + "/" + e.Name())
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("interrupted at request %d: %s is not what it is when whole, %v", n, e.Name(), err)
			}
		}
	}
	unpack := []string{"unpack", whole, "--to", site.Host(), "--tls-verify=false", "--quiet"}
	for n := 1; interrupted(site, n, unpack); n += 7 {
		fired++
		for repository, names := range site.Digests() {
			for name, d := range names {
				if !strings.HasPrefix(name, "sha256:") && !known(images, repository, d.String()) {
					t.Errorf("interrupted at request %d: %s:%s is %s", n, repository, name, d)
				}
			}
		}
	}
	t.Logf("%d interruptions", fired)
	if fired < 10 {
		t.Errorf("only %d interruptions fired", fired)
	}
	for _, image := range images {
		if image.Tag != "" && site.Digests()[image.Repository][image.Tag] != image.Root.Digest {
			t.Errorf("%s is not there in the end", image.Reference())
		}
	}
}

func known(images []fixtures.Image, repository, d string) bool {
	for _, image := range images {
		if image.Repository == repository && image.Root.Digest.String() == d {
			return true
		}
	}
	return false
}
