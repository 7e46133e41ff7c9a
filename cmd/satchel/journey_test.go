package main

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"satchel/fixtures"
)

// satchel runs a command and returns status, standard output and error.
func satchel(t testing.TB, arguments ...string) (int, string, string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), arguments, &stdout, &stderr)
	return status, stdout.String(), stderr.String()
}

func mustSatchel(t testing.TB, arguments ...string) string {
	t.Helper()
	status, stdout, stderr := satchel(t, arguments...)
	if status != exitOK {
		t.Fatalf("satchel %s: status %d\n%s%s", strings.Join(arguments, " "), status, stdout, stderr)
	}
	return stdout
}

func startRegistry(t testing.TB, o fixtures.Options, images ...fixtures.Image) *fixtures.Registry {
	t.Helper()
	r := fixtures.NewRegistry(o)
	if err := r.Add(images...); err != nil {
		t.Fatal(err)
	}
	r.Start()
	t.Cleanup(r.Close)
	return r
}

func references(host string, images []fixtures.Image) []string {
	var refs []string
	for _, image := range images {
		refs = append(refs, host+"/"+image.Reference())
	}
	return refs
}

func TestJourney(t *testing.T) {
	images := fixtures.Demo(3<<20, 8<<20)
	source := startRegistry(t, fixtures.Options{}, images...)
	site := startRegistry(t, fixtures.Options{})
	dir := t.TempDir()
	args := append([]string{"pack", "--tls-verify=false", "-o", dir, "--volume-size", "2MiB", "--buffer", "2MiB"},
		references(source.Host(), images)...)
	mustSatchel(t, args...)
	t.Log(mustSatchel(t, "verify", dir))
	t.Log(mustSatchel(t, "inspect", dir))
	t.Log(mustSatchel(t, "unpack", dir, "--to", site.Host()+"/mirror", "--tls-verify=false"))
	got := site.Digests()
	for _, image := range images {
		repository := "mirror/" + image.Repository
		tag := image.Tag
		if tag == "" {
			tag = "digest-" + image.Root.Digest.Encoded()
		}
		if got[repository][tag] != image.Root.Digest {
			t.Errorf("%s:%s is %s, want %s", repository, tag, got[repository][tag], image.Root.Digest)
		}
		for _, m := range image.Manifests {
			if !slices.Contains(slices.Collect(maps.Values(got[repository])), m.Descriptor.Digest) {
				t.Errorf("%s lacks manifest %s", repository, m.Descriptor.Digest)
			}
		}
	}
}
