package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"satchel/fixtures"
)

// TestNamings copies images under each naming, with mirror sets of each scope, and then,
// with nobody else left to ask, pulls each by its original name with skopeo.
func TestNamings(t *testing.T) {
	skopeo := need(t, "skopeo")
	demo := fixtures.Demo(1000, 1000)
	one := startRegistry(t, fixtures.Options{}, demo[0].Named("team/deep/os", "9"), demo[3].Named("team/deep/web", "2"), demo[3].Named("alone", ""))
	two := startRegistry(t, fixtures.Options{}, demo[2].Named("team/web", ""), demo[4].Named("team/api", "1"))
	by := func(r *fixtures.Registry, repository string, image fixtures.Image) string {
		return r.Host() + "/" + repository + "@" + image.Root.Digest.String()
	}
	names := []string{
		one.Host() + "/team/deep/os:9", one.Host() + "/team/deep/web:2", by(one, "alone", demo[3]), by(two, "team/web", demo[2]), two.Host() + "/team/api:1",
	}
	digest := demo[2].Root.Digest.Encoded()
	site := startRegistry(t, fixtures.Options{})
	flags := [][]string{
		{"--naming", "oc"}, // of at most two components
		{"--naming", "oc", "--max-components", "0", "--mirror-set-scope", "registry"},
		{"--naming", "oc-mirror", "--mirror-set-scope", "namespace"},
		{"--naming", "oc-mirror", "--max-components", "3"},
		{"--max-components", "3", "--mirror-set-scope", "registry"},
		{"--naming", "host", "--mirror-set-scope", "registry"},
		{"--naming", "host", "--max-components", "3", "--mirror-set-scope", "namespace"},
	}
	host := strings.Replace(two.Host(), ":", "-", 1)
	want := []string{ // where the image by digest is, below the prefix; HASH stands for that of oc
		"team-web:HASH", "team/web:HASH", "team/web:sha256-" + digest, "team/web:sha256-" + digest,
		"team/web:digest-" + digest, host + "/team/web:digest-" + digest, host + "/team-web:digest-" + digest,
	}
	var dirs []string
	for i, more := range flags {
		to, dir := site.Host()+"/site"+string(rune('a'+i)), filepath.Join(t.TempDir(), "resources")
		dirs = append(dirs, dir)
		command := slices.Concat([]string{"copy", "--tls-verify=false", "--to", to, "--resources", dir, "--json"}, more, names)
		status, stdout, stderr := satchel(t, command...)
		if status != exitOK || strings.Contains(stderr, "would not be found") {
			t.Fatalf("%q: status %d, %s", more, status, stderr)
		}
		var receipt struct {
			Images []struct{ Destination, Reference string }
		}
		if err := json.Unmarshal([]byte(stdout), &receipt); err != nil {
			t.Fatal(err)
		}
		for _, image := range receipt.Images {
			if image.Reference != names[3] {
				continue
			}
			got := strings.TrimPrefix(image.Destination, to+"/")
			if hash, _, _ := strings.Cut(want[i], "HASH"); hash != want[i] {
				got = hash + strings.Map(func(c rune) rune {
					if strings.ContainsRune("0123456789abcdef", c) {
						return -1
					}
					return c
				}, strings.TrimPrefix(got, hash)) + "HASH"
			}
			if got != want[i] {
				t.Errorf("%q: %s is at %s, want %s", more, image.Reference, image.Destination, want[i])
			}
		}
	}
	one.Close()
	two.Close()
	home := t.TempDir()
	for i, dir := range dirs {
		for _, name := range names {
			command := exec.CommandContext(t.Context(), skopeo, "--registries-conf", filepath.Join(dir, "registries.conf"), "inspect", "--raw", "--tls-verify=false", "docker://"+name)
			command.Env = append(os.Environ(), "HOME="+home, "XDG_RUNTIME_DIR="+home)
			if out, err := command.CombinedOutput(); err != nil {
				t.Errorf("%q: %s: %v\n%s", flags[i], name, err, out)
			}
		}
	}
}
