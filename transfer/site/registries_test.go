package site_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	docker "github.com/containers/image/v5/docker/reference"
	"github.com/containers/image/v5/pkg/sysregistriesv2"
	"github.com/containers/image/v5/types"
	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
	"satchel/transfer/site"
)

// resolve says where containers/image looks for an image, in order.
func resolve(t *testing.T, conf, image string) []string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "registries.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		t.Fatal(err)
	}
	system := &types.SystemContext{SystemRegistriesConfPath: file, SystemRegistriesConfDirPath: filepath.Join(dir, "none")}
	named, err := docker.ParseNamed(image)
	if err != nil {
		t.Fatal(err)
	}
	registry, err := sysregistriesv2.FindRegistry(system, named.Name())
	if err != nil {
		t.Fatal(err)
	}
	if registry == nil {
		return []string{image}
	}
	places, err := registry.PullSourcesFromReference(named)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, place := range places {
		if place.Endpoint.Insecure {
			t.Errorf("%s is insecure", place.Reference)
		}
		names = append(names, place.Reference.String())
	}
	return names
}

func TestRegistriesConf(t *testing.T) {
	b := newBundle("b")
	addRelease(t, &b, "4.99.1", "amd64", twoRepositories)
	addImages(t, &b)
	files := render(t, b, site.Options{AlsoMirror: []string{"second.example/deep"}})
	const newer, older = "registries.conf", "registries-digest-only.conf"
	at := "@" + string(digestOf("any"))
	for _, test := range []struct {
		image        string
		newer, older []string // mirrors; the image itself follows
	}{
		{componentSource + at,
			[]string{"mirror.example:5000/site/openshift/release" + at, "mirror.example:5000/site/openshift/release-images" + at,
				"second.example/deep/openshift/release" + at, "second.example/deep/openshift/release-images" + at},
			[]string{"mirror.example:5000/site/openshift/release" + at, "mirror.example:5000/site/openshift/release-images" + at,
				"second.example/deep/openshift/release" + at, "second.example/deep/openshift/release-images" + at}},
		{releaseSource + ":4.99.1-x86_64", nil, nil},
		{componentSource + "/below" + at,
			[]string{"mirror.example:5000/site/openshift/release/below" + at, "mirror.example:5000/site/openshift/release-images/below" + at,
				"second.example/deep/openshift/release/below" + at, "second.example/deep/openshift/release-images/below" + at},
			[]string{"mirror.example:5000/site/openshift/release/below" + at, "mirror.example:5000/site/openshift/release-images/below" + at,
				"second.example/deep/openshift/release/below" + at, "second.example/deep/openshift/release-images/below" + at}},
		{"registry.example/org/by-tag:v1",
			[]string{"mirror.example:5000/site/org/by-tag:v1", "second.example/deep/org/by-tag:v1"},
			[]string{"mirror.example:5000/site/org/by-tag:v1", "second.example/deep/org/by-tag:v1"}},
		{"registry.example/org/by-tag" + at, nil,
			[]string{"mirror.example:5000/site/org/by-tag" + at, "second.example/deep/org/by-tag" + at}},
		{"registry.example/org/both:v2", []string{"mirror.example:5000/site/org/both:v2", "second.example/deep/org/both:v2"}, nil},
		{"registry.example/org/both" + at,
			[]string{"mirror.example:5000/site/org/both" + at, "second.example/deep/org/both" + at},
			[]string{"mirror.example:5000/site/org/both" + at, "second.example/deep/org/both" + at}},
		{"registry.example/org/unknown" + at, nil, nil},
		{"localhost/built:here", nil, nil},
	} {
		if got, want := resolve(t, files[newer], test.image), append(test.newer, test.image); !slices.Equal(got, want) {
			t.Errorf("%s: %s is looked for at %q, want %q", newer, test.image, got, want)
		}
		if got, want := resolve(t, files[older], test.image), append(test.older, test.image); !slices.Equal(got, want) {
			t.Errorf("%s: %s is looked for at %q, want %q", older, test.image, got, want)
		}
	}
}

// TestSkopeo asks the real skopeo for an image by a name of which only the mirror
// exists.
func TestSkopeo(t *testing.T) {
	skopeo := fixtures.Program(t, "skopeo")
	const manifest = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	var mu sync.Mutex
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.URL.Path)
		mu.Unlock()
		if r.URL.Path != "/v2/" && !strings.HasPrefix(r.URL.Path, "/v2/site/openshift/release-images/") {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.index.v1+json")
		io.WriteString(w, manifest)
	}))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")

	// The source is another place on the same server, so that nothing asks
	// another host.
	b := site.Bundle{Name: "b", To: host + "/site"}
	addRelease(t, &b, "4.99.1", "amd64", naming{b.To + "/openshift/release-images", b.To + "/openshift/release"})
	d := digest.FromString(manifest)
	b.Releases[0].Source.Repository = host + "/original"
	b.Images = nil
	dir := t.TempDir()
	for _, name := range []string{"registries.conf", "registries-digest-only.conf"} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(render(t, b, site.Options{})[name]), 0o644); err != nil {
			t.Fatal(err)
		}
		inspect := func(image string) (output string, paths []string, err error) {
			mu.Lock()
			asked = nil
			mu.Unlock()
			command := exec.CommandContext(t.Context(), skopeo, "--registries-conf", file, "inspect", "--raw", "--tls-verify=false", "docker://"+image)
			command.Env = append(os.Environ(), "HOME="+dir, "XDG_RUNTIME_DIR="+dir)
			out, err := command.CombinedOutput()
			mu.Lock()
			defer mu.Unlock()
			return string(out), slices.DeleteFunc(slices.Clone(asked), func(path string) bool { return path == "/v2/" }), err
		}
		out, got, err := inspect(host + "/original@" + string(d))
		if err != nil || out != manifest {
			t.Errorf("%s: by digest: %v: %s", name, err, out)
		}
		want := []string{"/v2/site/openshift/release/manifests/" + string(d), "/v2/site/openshift/release-images/manifests/" + string(d)}
		if !slices.Equal(got, want) {
			t.Errorf("%s: by digest: asked for %q, want %q", name, got, want)
		}
		out, got, err = inspect(host + "/original:4.99.1-x86_64")
		if want := []string{"/v2/original/manifests/4.99.1-x86_64"}; err == nil || !slices.Equal(got, want) {
			t.Errorf("%s: by tag: %v: asked for %q, want %q: %s", name, err, got, want, out)
		}
	}
}

// TestInsecureHosts: what is insecure for the cluster is it for hosts, and in commands.
func TestInsecureHosts(t *testing.T) {
	b := newBundle("b")
	addRelease(t, &b, "4.99.1", "amd64", twoRepositories)
	o := site.Options{AlsoMirror: []string{"second.example"}, Config: site.Config{Insecure: []string{"mirror.example:5000"}}}
	secure := render(t, b, site.Options{AlsoMirror: o.AlsoMirror})
	got := render(t, b, o)
	for _, name := range []string{"registries.conf", "registries-digest-only.conf"} {
		insecure, mirrors := strings.Count(got[name], "\ninsecure = true\n"), strings.Count(got[name], `location = "mirror.example:5000/`)
		if insecure == 0 || insecure != mirrors || strings.ReplaceAll(got[name], "insecure = true\n", "") != secure[name] {
			t.Errorf("%s: %d of %d mirrors are insecure:\n%s", name, insecure, mirrors, got[name])
		}
		o.Config.Insecure = []string{"quay.example/dev"}
		if conf := render(t, b, o)[name]; strings.Count(conf, "location = \"quay.example/dev/release\"\ninsecure = true\n") != 1 || strings.Count(conf, "insecure") != 2 {
			t.Errorf("%s: sources are not insecure:\n%s", name, conf)
		}
		o.Config.Insecure = []string{"mirror.example:5000"}
	}
	const command, warning = " --mirror-set-file imageDigestMirrorSet.yaml --tls-verify=false --command", "was not checked"
	for _, test := range []struct {
		name             string
		o                site.Options
		command, warning bool
	}{
		{"secure", site.Options{}, false, false},
		{"insecure", o, true, false},
		{"not checked", site.Options{Unverified: true}, true, true},
		{"not checked, with its authority", site.Options{Unverified: true, Config: site.Config{Trust: []site.Trust{trust(t, "mirror.example:5000")}}}, true, false},
		{"not checked, insecure for the cluster", site.Options{Unverified: true, Config: site.Config{Existing: existing(t, "kind: Image\napiVersion: config.openshift.io/v1\nspec: {registrySources: {insecureRegistries: ['mirror.example:5000']}}\n")}}, true, false},
	} {
		text := render(t, b, test.o)["README.md"]
		if strings.Contains(text, command) != test.command || strings.Contains(text, warning) != test.warning {
			t.Errorf("%s: README.md says\n%s", test.name, text)
		}
	}
}
