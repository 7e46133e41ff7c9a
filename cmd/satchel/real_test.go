package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"satchel/fixtures"
	"satchel/oci"
)

// need returns the path of a program, or skips the test by its name. Where all
// tests must run, it fails.
func need(t testing.TB, name string) string {
	t.Helper()
	return fixtures.Program(t, name)
}

// execute runs a program and returns its standard output.
func execute(t testing.TB, dir, name string, arguments ...string) []byte {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, arguments...)
	c.Dir = dir
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(arguments, " "), err, stderr.Bytes())
	}
	return out
}

// distribution returns a distribution v3 registry, built once from its pinned
// module.
func distribution(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: builds a registry")
	}
	path, err := filepath.Abs("../../bin/registry-v3.1.2")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := fixtures.BuildRegistry(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	return path
}

// startProcess starts a real registry with its storage in a directory of the
// test.
func startProcess(t testing.TB, binary string, o ...fixtures.ProcessOption) *fixtures.Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := fixtures.StartRegistry(ctx, binary, t.TempDir(), o...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Stop)
	return p
}

// TestRealRegistries packs from a real registry and replays into two real ones,
// from which skopeo pulls everything again.
func TestRealRegistries(t *testing.T) {
	v3 := distribution(t)
	images := fixtures.Demo(6<<20, 16<<20)
	source := startProcess(t, v3)
	if err := fixtures.Push(t.Context(), source.URL(), images...); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mustSatchel(t, append([]string{"pack", "--tls-verify=false", "-o", dir, "--volume-size", "4MiB", "--buffer", "4MiB"},
		references(source.Addr(), images)...)...)
	mustSatchel(t, "verify", dir)

	t.Run("distribution v3", func(t *testing.T) { replay(t, dir, v3, source.Addr(), images) })
	t.Run("docker-registry 2.8", func(t *testing.T) { replay(t, dir, need(t, "docker-registry"), source.Addr(), images) })
}

func replay(t *testing.T, dir, binary, source string, images []fixtures.Image) {
	skopeo := need(t, "skopeo")
	site := startProcess(t, binary)
	receipt := filepath.Join(t.TempDir(), "receipt.json")
	mustSatchel(t, "unpack", dir, "--to", site.Addr()+"/mirror", "--tls-verify=false", "--receipt", receipt)
	out := mustSatchel(t, "unpack", dir, "--to", site.Addr()+"/mirror", "--tls-verify=false", "--json")
	var second struct {
		Blobs  struct{ Pushed int }
		Images []struct{ State string }
	}
	if err := json.Unmarshal([]byte(out), &second); err != nil {
		t.Fatal(err)
	}
	if second.Blobs.Pushed != 0 || second.Images[0].State != "present" {
		t.Errorf("the second run pushed %d blobs, first image %s", second.Blobs.Pushed, second.Images[0].State)
	}
	for _, image := range images {
		tag := image.Tag
		if tag == "" {
			tag = "digest-" + image.Root.Digest.Encoded()
		}
		at := "docker://" + site.Addr() + "/mirror/" + image.Repository
		for i, m := range image.Manifests {
			name := at + "@" + m.Descriptor.Digest.String()
			if i == len(image.Manifests)-1 {
				name = at + ":" + tag
			}
			raw := execute(t, "", skopeo, "inspect", "--tls-verify=false", "--raw", name)
			want, err := m.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(raw, want) {
				t.Errorf("%s: raw manifest differs from that of the source", name)
			}
		}
		if nested(image) {
			continue // skopeo copies no index within an index
		}
		execute(t, "", skopeo, "copy", "--all", "--src-tls-verify=false", at+":"+tag, "dir:"+t.TempDir())
	}
}

// nested reports whether an image has an index below its root.
func nested(image fixtures.Image) bool {
	for _, m := range image.Manifests[:len(image.Manifests)-1] {
		if oci.IsIndex(m.Descriptor.MediaType) {
			return true
		}
	}
	return false
}

// TestRecoveryWithoutSatchel takes the images out of the volumes with the tools
// that the bundle's README.txt names, and nothing else.
func TestRecoveryWithoutSatchel(t *testing.T) {
	skopeo, shell := need(t, "skopeo"), need(t, "bash")
	for _, tool := range []string{"zstd", "tar", "sha256sum", "jq"} {
		need(t, tool)
	}
	images := fixtures.Demo(6<<20, 16<<20)
	source := startRegistry(t, fixtures.Options{}, images...)
	dir := t.TempDir()
	mustSatchel(t, append([]string{"pack", "--tls-verify=false", "-o", dir, "--name", "demo", "--volume-size", "4MiB", "--buffer", "4MiB"},
		references(source.Host(), images)...)...)
	execute(t, dir, "sha256sum", "--quiet", "-c", "SHA256SUMS")
	for _, v := range glob(t, dir, "demo-*.tar.zst") {
		execute(t, dir, "zstd", "-q", "-t", v)
	}
	// Word for word what README.txt says.
	readme, err := os.ReadFile(filepath.Join(dir, "README.txt"))
	if err != nil {
		t.Fatal(err)
	}
	script := "set -e\nmedia=.\n" + between(t, string(readme), "  for m in $media; do (cd", "The second line")
	execute(t, dir, shell, "-c", strings.ReplaceAll(script, "\r", ""))
	layout := filepath.Join(dir, "layout")
	site := startRegistry(t, fixtures.Options{})
	for _, image := range images {
		if nested(image) {
			continue // skopeo copies no index within an index
		}
		name := source.Host() + "/" + image.Reference()
		one := filepath.Join(t.TempDir(), "layout")
		execute(t, "", "cp", "-r", layout, one)
		execute(t, one, shell, "-c", `jq --arg name "$1" '.manifests |= [.[] | select(.annotations["org.opencontainers.image.ref.name"] == $name) | del(.annotations)]' index.json > new && mv new index.json`, "sh", name)
		execute(t, "", skopeo, "copy", "--all", "--preserve-digests", "--dest-tls-verify=false", "oci:"+one,
			"docker://"+site.Host()+"/"+image.Repository+":recovered")
		if got := site.Digests()[image.Repository]["recovered"]; got != image.Root.Digest {
			t.Errorf("%s: recovered as %s, want %s", name, got, image.Root.Digest)
		}
	}
	// An OCI-typed image that lies whole in one volume comes straight from it.
	archive := filepath.Join(dir, "demo-0001.tar.zst")
	tag := "docker://" + site.Host() + "/straight:1"
	image := images[0]
	execute(t, "", skopeo, "copy", "--all", "--preserve-digests", "--dest-tls-verify=false",
		"oci-archive:"+archive+":"+source.Host()+"/"+image.Reference(), tag)
	if got := site.Digests()["straight"]["1"]; got != image.Root.Digest {
		t.Errorf("%s: %s straight from the volume, want %s", image.Reference(), got, image.Root.Digest)
	}
}

func glob(t testing.TB, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("%s in %s: %d files, %v", pattern, dir, len(names), err)
	}
	return names
}

// between returns what stands from start up to end.
func between(t testing.TB, s, start, end string) string {
	t.Helper()
	i := strings.Index(s, start)
	j := strings.Index(s, end)
	if i < 0 || j < i {
		t.Fatalf("%q … %q not found", start, end)
	}
	return s[i:j]
}
