package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"satchel/bundle"
	"satchel/fixtures"
)

// configured is a registry, an update service and a catalog, and configurations
// that ask for them.
type configured struct {
	upstream *fixtures.Registry
	source   *releaseSource
	releases map[string]fixtures.Release
	catalog  fixtures.Catalog
	graph    string
}

func newConfigured(t *testing.T) *configured {
	t.Helper()
	c := &configured{upstream: startRegistry(t, fixtures.Options{}), releases: make(map[string]fixtures.Release)}
	c.source = newReleaseSource(t, c.upstream.Host())
	var nodes []string
	var images []fixtures.Image
	for _, version := range []string{"4.12.0", "4.12.1", "4.12.2", "4.12.3"} {
		r := c.source.release(fixtures.ReleaseSpec{Version: version, Components: []string{"cli", "etcd"}})
		c.releases[version] = r
		images = append(images, r.Images...)
		nodes = append(nodes, fmt.Sprintf(`{"version":%q,"payload":%q,"metadata":{}}`, version, r.ByDigest()))
	}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Query().Get("channel") != "stable-4.12" || q.URL.Query().Get("arch") != "amd64" {
			fmt.Fprint(w, `{"version":1,"nodes":[],"edges":[]}`)
			return
		}
		fmt.Fprintf(w, `{"version":1,"nodes":[%s],"edges":[[0,1],[0,3],[1,2],[2,3]]}`, strings.Join(nodes, ","))
	}))
	t.Cleanup(service.Close)
	c.graph = service.URL
	c.catalog = fixtures.NewCatalog(fixtures.CatalogSpec{Registry: c.upstream.Host(), Packages: fixtures.DemoOperators()})
	images = append(images, c.catalog.Images...)
	app := fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{fixtures.GzipLayer(fixtures.Files("app")...)}})
	images = append(images, app.Named("team/app", "v1"), app.Named("team/other", "v1"))
	if err := c.upstream.Add(images...); err != nil {
		t.Fatal(err)
	}
	return c
}

// plan packs what a configuration asks for, dry, and returns the plan.
func (c *configured) plan(t *testing.T, config string, more ...string) *bundle.Plan {
	t.Helper()
	plan, stderr := dryPlan(t, c.source.command("pack", append([]string{"--graph", c.graph, "--config", c.file(t, config)}, more...)...)...)
	if plan == nil {
		t.Fatal(stderr)
	}
	return plan
}

// dryPlan returns the plan that a pack command would follow, or nil when it fails,
// and what it says.
func dryPlan(t testing.TB, command ...string) (*bundle.Plan, string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "plan.json")
	status, _, stderr := satchel(t, append(command, "--dry-run", "--plan-out", out)...)
	if status != 0 {
		return nil, stderr
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	plan, err := bundle.ParsePlan(data)
	if err != nil {
		t.Fatal(err)
	}
	return plan, stderr
}

func (c *configured) file(t *testing.T, config string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "imageset.yaml")
	text := "kind: ImageSetConfiguration\napiVersion: mirror.openshift.io/v2alpha1\n" + strings.ReplaceAll(config, "HOST", c.upstream.Host())
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestConfigReleases asks for releases in each way that a configuration has.
func TestConfigReleases(t *testing.T) {
	c := newConfigured(t)
	for _, test := range []struct{ name, channel, want string }{
		{"the latest", "", "4.12.3"},
		{"a range", "minVersion: 4.12.1, maxVersion: 4.12.2", "4.12.1 4.12.2"},
		{"from a version", "minVersion: 4.12.2", "4.12.2 4.12.3"},
		{"up to a version", "maxVersion: 4.12.1", "4.12.0 4.12.1"},
		{"the shortest path", "minVersion: 4.12.0, maxVersion: 4.12.3, shortestPath: true", "4.12.0 4.12.3"},
		{"all", "full: true", "4.12.0 4.12.1 4.12.2 4.12.3"},
		{"one", "minVersion: 4.12.1, maxVersion: 4.12.1", "4.12.1"},
	} {
		plan := c.plan(t, "mirror: {platform: {channels: [{name: stable-4.12, "+test.channel+"}]}}")
		var want []string
		for version := range strings.FieldsSeq(test.want) {
			want = append(want, c.releases[version].ByDigest())
		}
		if got := plan.Request.Releases; !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))) {
			t.Errorf("%s: got %q, want %q", test.name, got, want)
		}
	}
	plan := c.plan(t, "mirror: {platform: {release: "+c.releases["4.12.1"].ByDigest()+"}}")
	if got := plan.Request.Releases; len(got) != 1 || got[0] != c.releases["4.12.1"].ByDigest() {
		t.Errorf("a release by name: got %q", got)
	}
	status, _, stderr := satchel(t, c.source.command("pack", "--dry-run", "--graph", c.graph, "--config",
		c.file(t, "mirror: {platform: {channels: [{name: stable-4.12, minVersion: 4.11.0}]}}"))...)
	if status != exitFailed || !strings.Contains(stderr, "4.11.0") || !strings.Contains(stderr, "near it are 4.12.0") {
		t.Errorf("a version that the channel does not have: status %d, %s", status, stderr)
	}
}

// TestConfigOperators asks for operators and images, where they go, and what is
// kept out.
func TestConfigOperators(t *testing.T) {
	c := newConfigured(t)
	plan := c.plan(t, `archiveSize: 1
mirror:
  operators:
  - catalog: HOST/olm/operator-index:v4.18
    targetCatalog: mine/index
    targetTag: v1
    packages:
    - name: alpha
      channels: [{name: stable, minVersion: 1.1.0}]
    - name: gamma
  additionalImages:
  - {name: HOST/team/app:v1, targetRepo: tools/app, targetTag: latest}
  - {name: HOST/team/other:v1}
  blockedImages:
  - {name: "shared/proxy"}
  - {name: "/team/other"}
`)
	if plan.VolumeSize != 1<<30 {
		t.Errorf("volumes of %d bytes", plan.VolumeSize)
	}
	want := c.catalog.References("alpha.v1.1.0", "alpha.v1.2.0", "gamma.v3.1.4")
	proxy := c.upstream.Host() + "/shared/proxy:v1"
	if !slices.Contains(want, proxy) {
		t.Fatal("the fixture has no shared image")
	}
	want = append(slices.DeleteFunc(want, func(s string) bool { return s == proxy }), c.catalog.Reference(), c.upstream.Host()+"/team/app:v1")
	slices.Sort(want)
	var got []string
	destinations := make(map[string]string)
	for _, image := range plan.Images {
		got = append(got, image.Reference)
		destinations[image.Reference] = strings.Join(image.Destinations, " ")
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if d := destinations[c.catalog.Reference()]; d != "mine/index:v1" {
		t.Errorf("the catalog goes to %q", d)
	}
	if d := destinations[c.upstream.Host()+"/team/app:v1"]; d != "tools/app:latest" {
		t.Errorf("the image goes to %q", d)
	}
	if blocked := []string{proxy, c.upstream.Host() + "/team/other:v1"}; !slices.Equal(plan.Blocked, blocked) || len(plan.Request.Block) != 2 {
		t.Errorf("kept out: %q by %q", plan.Blocked, plan.Request.Block)
	}
	if got := c.plan(t, "archiveSize: 1\nmirror: {additionalImages: [{name: 'HOST/team/app:v1'}]}", "--volume-size", "dvd"); got.VolumeSize == 1<<30 {
		t.Error("--volume-size does not count")
	}
}

// TestConfigRefused has configurations that cannot be, and images that may not be
// kept out: nothing is asked of a network for the first.
func TestConfigRefused(t *testing.T) {
	c := newConfigured(t)
	run := func(config string, more ...string) (int, string) {
		c.upstream.ResetStats()
		status, _, stderr := satchel(t, c.source.command("pack", append([]string{"--dry-run", "--graph", c.graph, "--config", c.file(t, config)}, more...)...)...)
		return status, stderr
	}
	for _, test := range []struct {
		name, config string
		more         []string
		status       int
		says         string
		asked        bool
	}{
		{"a wrong key", "mirror: {additionalimages: []}", nil, exitUsage, "additionalImages", false},
		{"helm", "mirror: {helm: {local: [{name: a, path: b}]}, additionalImages: [{name: 'HOST/team/app:v1'}]}", nil, exitUsage, "--ignore-unsupported passes over", false},
		{"helm, passed over", "mirror: {helm: {local: [{name: a, path: b}]}, additionalImages: [{name: 'HOST/team/app:v1'}]}", []string{"--ignore-unsupported"}, 0, "helm", true},
		{"nothing at all", "mirror: {additionalImages: []}", nil, exitUsage, "", false},
		{"a catalog kept out", "mirror: {operators: [{catalog: 'HOST/olm/operator-index:v4.18', packages: [{name: gamma}]}], blockedImages: [{name: operator-index}]}",
			nil, exitFailed, "it is of a catalog", true},
		{"a component kept out", "mirror: {platform: {channels: [{name: stable-4.12}]}, blockedImages: [{name: '4.12.3'}, {name: 'art-dev'}, {name: '@sha256'}]}",
			nil, exitFailed, "a release", true},
		{"a pattern that no plan can state", "mirror: {additionalImages: [{name: 'HOST/team/app:v1'}], blockedImages: [{name: 'größe'}]}", nil, exitUsage, "printable ASCII", false},
		{"no such operator", "mirror: {operators: [{catalog: 'HOST/olm/operator-index:v4.18', packages: [{name: gama}]}]}", nil, exitFailed, "gamma", true},
	} {
		status, stderr := run(test.config, test.more...)
		if status != test.status || !strings.Contains(stderr, test.says) {
			t.Errorf("%s: status %d, %s", test.name, status, stderr)
		}
		if asked := c.upstream.Stats().Total() > 0; asked != test.asked {
			t.Errorf("%s: the registry was asked: %t", test.name, asked)
		}
	}
}

// TestConfigAgain goes on with what a configuration began, and refuses another.
func TestConfigAgain(t *testing.T) {
	c := newConfigured(t)
	config := "mirror: {operators: [{catalog: 'HOST/olm/operator-index:v4.18', packages: [{name: gamma}]}], blockedImages: [{name: nothing}]}"
	dir := t.TempDir()
	pack := func(config string) (int, string) {
		status, _, stderr := satchel(t, c.source.command("pack", "-o", dir, "--config", c.file(t, config))...)
		return status, stderr
	}
	if status, stderr := pack(config); status != 0 {
		t.Fatal(stderr)
	}
	if status, stderr := pack(config); status != 0 || !strings.Contains(stderr, "going on with") {
		t.Errorf("again: status %d, %s", status, stderr)
	}
	for _, other := range []string{strings.ReplaceAll(config, "gamma", "alpha"), strings.ReplaceAll(config, "nothing", "nobody")} {
		if status, stderr := pack(other); status != exitFailed || !strings.Contains(stderr, "other settings") {
			t.Errorf("with %s: status %d, %s", other, status, stderr)
		}
	}
}

// TestCatalogInLayout packs a catalog out of an OCI image layout.
func TestCatalogInLayout(t *testing.T) {
	c := newConfigured(t)
	layout := filepath.Join(t.TempDir(), "index")
	if err := os.Mkdir(layout, 0o755); err != nil {
		t.Fatal(err)
	}
	mustSatchel(t, "copy", "--tls-verify=false", "--no-attachments", "--to", "oci:"+layout, c.catalog.Reference())
	var first string
	for _, arguments := range [][]string{
		{"--catalog", "oci:" + layout + ":" + c.catalog.Reference() + "=gamma"},
		{"--config", c.file(t, "mirror: {operators: [{catalog: 'oci://"+layout+"', targetCatalog: olm/operator-index, targetTag: v4.18, packages: [{name: gamma}]}]}")},
	} {
		plan, stderr := dryPlan(t, c.source.command("pack", arguments...)...)
		if plan == nil {
			t.Fatal(stderr)
		}
		root := string(plan.Images[0].Root.Digest)
		if first == "" {
			first = root
		}
		if len(plan.Images) != 3 || root != first {
			t.Errorf("%s: %d images, catalog %s, %s before", arguments[1], len(plan.Images), root, first)
		}
	}
}
