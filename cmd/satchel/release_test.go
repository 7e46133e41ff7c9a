package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
	"satchel/oci"
)

// releaseSource makes signed releases whose names are in a registry.
type releaseSource struct {
	host, store, key string
	signatures       *fixtures.SignatureStore
}

// newReleaseSource serves signatures; host is that of the releases' names.
func newReleaseSource(t testing.TB, host string) *releaseSource {
	t.Helper()
	s := &releaseSource{host: host, signatures: &fixtures.SignatureStore{}, key: filepath.Join(t.TempDir(), "release.pub")}
	server := httptest.NewServer(s.signatures)
	t.Cleanup(server.Close)
	s.store = server.URL
	if err := os.WriteFile(s.key, fixtures.ReleaseKey().Armored(), 0o644); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *releaseSource) release(spec fixtures.ReleaseSpec) fixtures.Release {
	spec.Registry, spec.Stores = s.host, map[string]string{"test": s.store}
	r := fixtures.NewRelease(spec)
	r.Sign(fixtures.ReleaseKey(), s.signatures)
	return r
}

// command is a command over plain HTTP that trusts the key of the releases.
func (s *releaseSource) command(name string, arguments ...string) []string {
	return append([]string{name, "--tls-verify=false", "--release-key", s.key}, arguments...)
}

// realNames are the names of the components of the real 4.12.0.
func realNames(t *testing.T) []string {
	t.Helper()
	const name = "../../../shared/data/releases/4.12.0-x86_64/image-references"
	data, err := os.ReadFile(name)
	fixtures.CheckShared(t, err)
	var stream struct {
		Spec struct{ Tags []struct{ Name string } }
	}
	if err := json.Unmarshal(data, &stream); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, tag := range stream.Spec.Tags {
		names = append(names, tag.Name)
	}
	if len(names) != 183 {
		t.Fatalf("%s: %d names", name, len(names))
	}
	return names
}

// realSized has a component for each name of the real 4.12.0. In the real one each
// has an image of its own; here five name those of others, as aliases do.
func realSized(t *testing.T, source *releaseSource) fixtures.Release {
	t.Helper()
	aliases := map[string]string{
		"csi-external-attacher": "csi-external-provisioner", "ironic-machine-os-downloader": "ironic", "machine-os-content": "rhel-coreos-8",
		"multus-route-override-cni": "multus-cni", "multus-whereabouts-ipam-cni": "multus-cni",
	}
	spec := fixtures.ReleaseSpec{Version: "4.12.0", Aliases: make(map[string]string)}
	for _, name := range realNames(t) {
		if of, ok := aliases[name]; ok {
			spec.Aliases[name] = of
		} else {
			spec.Components = append(spec.Components, name)
		}
	}
	r := source.release(spec)
	if len(spec.Aliases) != len(aliases) || len(r.Components) != 183 {
		t.Fatalf("%d components, aliases %q", len(r.Components), spec.Aliases)
	}
	return r
}

// TestRealSizedRelease carries a release of the size and with the names of the
// real 4.12.0 into real registries, under both namings, and copies it.
func TestRealSizedRelease(t *testing.T) {
	if raceDetector {
		t.Skip("needs a program without the race detector: with it this takes minutes, and smaller releases run with it")
	}
	v3 := distribution(t)
	// The referrers API of fixtures reads all manifests for each question.
	upstream := startRegistry(t, fixtures.Options{RefuseReferrers: true})
	source := newReleaseSource(t, upstream.Host())
	r := realSized(t, source)
	if err := upstream.Add(r.Images...); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mustSatchel(t, source.command("pack", "-o", dir, "--volume-size", "3MiB", "--release", r.Reference())...)
	mustSatchel(t, "verify", dir)
	inspected := mustSatchel(t, "inspect", dir, "--release-key", source.key)
	if !strings.Contains(inspected, "\n  183 components:\n") {
		t.Errorf("inspect does not tell of 183 components:\n%.2000s", inspected)
	}
	const one = "ocp4/openshift4"
	pack, copied := source.command("unpack", dir), source.command("copy", "--release", r.Reference())
	t.Run("distribution v3", func(t *testing.T) {
		t.Parallel()
		site := startProcess(t, v3)
		replayRelease(t, site, r, "a", "", pack)
		replayRelease(t, site, r, "b", one, copied)
	})
	t.Run("docker-registry 2.8", func(t *testing.T) {
		t.Parallel()
		site := startProcess(t, need(t, "docker-registry"))
		replayRelease(t, site, r, "a", one, pack)
	})
}

// replayRelease runs a command that brings the release below a prefix, into the one
// repository if that is not empty, and pulls everything.
func replayRelease(t *testing.T, site *fixtures.Process, r fixtures.Release, prefix, one string, command []string) {
	t.Helper()
	images, components := prefix+"/openshift/release-images", prefix+"/openshift/release"
	if one != "" {
		images, components = prefix+"/"+one, prefix+"/"+one
		command = append(slices.Clone(command), "--release-repository", one)
	}
	out := mustSatchel(t, append(slices.Clone(command), "--to", site.Addr()+"/"+prefix)...)
	if want := fmt.Sprintf("%d of %[1]d images are at ", len(r.Images)); !strings.Contains(out, want) {
		t.Errorf("%s: %s", command[0], out)
	}
	if err := pullRelease(site.URL(), r, images, components); err != nil {
		t.Errorf("%s: %v", command[0], err)
	}
}

// pullRelease pulls every component and the release image by tag and by digest,
// and all of their blobs.
func pullRelease(url string, r fixtures.Release, images, components string) error {
	p := puller{url: url, pulled: make(map[string]bool)}
	tag := r.Version + "-" + r.Architecture
	p.image(images, tag, r.Image)
	for _, c := range r.Components {
		p.image(components, tag+"-"+c.Name, c.Image)
	}
	return errors.Join(p.errs...)
}

// puller gets images from a registry over plain HTTP, with nothing of this project.
type puller struct {
	url    string
	pulled map[string]bool // blobs, by repository
	errs   []error
}

func (p *puller) image(repository, tag string, image fixtures.Image) {
	for _, reference := range []string{tag, image.Root.Digest.String()} {
		p.get(repository+"/manifests/"+reference, image.Root)
	}
	for _, m := range image.Manifests[:len(image.Manifests)-1] { // the last is the root
		p.get(repository+"/manifests/"+m.Descriptor.Digest.String(), m.Descriptor)
	}
	for _, b := range image.Blobs {
		if path := repository + "/blobs/" + b.Descriptor.Digest.String(); !p.pulled[path] {
			p.pulled[path] = true
			p.get(path, oci.Descriptor{Digest: b.Descriptor.Digest, Size: b.Descriptor.Size})
		}
	}
}

// get wants the bytes of d, and its media type if it has one.
func (p *puller) get(path string, d oci.Descriptor) {
	request, err := http.NewRequest(http.MethodGet, p.url+"/v2/"+path, nil)
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	for _, mediaType := range []string{oci.MediaTypeDockerManifest, oci.MediaTypeDockerList, oci.MediaTypeManifest, oci.MediaTypeIndex} {
		request.Header.Add("Accept", mediaType)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.errs = append(p.errs, err)
		return
	}
	defer response.Body.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, response.Body)
	got := digest.NewDigest(digest.SHA256, hash)
	mediaType := response.Header.Get("Content-Type")
	if err != nil || response.StatusCode != http.StatusOK || got != d.Digest || n != d.Size || d.MediaType != "" && mediaType != d.MediaType {
		p.errs = append(p.errs, fmt.Errorf("%s: status %d, %s, %d bytes, %s, %v", path, response.StatusCode, mediaType, n, got, err))
	}
}

// TestChannelFromService asks an update service for the graph of the channel and
// the architecture.
func TestChannelFromService(t *testing.T) {
	upstream := startRegistry(t, fixtures.Options{})
	source := newReleaseSource(t, upstream.Host())
	r := source.release(fixtures.ReleaseSpec{Version: "4.12.0", Architectures: []string{"arm64"}})
	if err := upstream.Add(r.Images...); err != nil {
		t.Fatal(err)
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path != "/graph" || q.URL.Query().Get("channel") != "stable-4.12" || q.URL.Query().Get("arch") != "arm64" {
			fmt.Fprint(w, `{"version":1,"nodes":[],"edges":[]}`)
			return
		}
		fmt.Fprintf(w, `{"version":1,"nodes":[{"version":"4.12.0","payload":%q,"metadata":{}}],"edges":[]}`, r.ByDigest())
	}))
	defer service.Close()
	for _, arch := range []string{"arm64", "aarch64"} {
		out := mustSatchel(t, source.command("pack", "--dry-run", "--release-channel", "stable-4.12", "--arch", arch, "--graph", service.URL+"/graph")...)
		if !strings.Contains(out, "release 4.12.0-aarch64: 14 components") {
			t.Errorf("--arch %s: got\n%s", arch, out)
		}
	}
	status, _, stderr := satchel(t, source.command("pack", "--dry-run", "--release-channel", "stable-4.99", "--arch", "arm64",
		"--graph", service.URL+"/graph")...)
	if status != exitFailed || !strings.Contains(stderr, "channel stable-4.99, arm64: the update graph has no version") {
		t.Errorf("an unknown channel: status %d, %s", status, stderr)
	}
}
