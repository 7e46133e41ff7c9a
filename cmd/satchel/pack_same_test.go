package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
)

// TestForgedPlanOnMedium has plans on a medium that say something else than the
// command that would go on with them: none of it is done.
func TestForgedPlanOnMedium(t *testing.T) {
	c := newConfigured(t)
	app, other := c.upstream.Host()+"/team/app:v1", c.upstream.Host()+"/team/other:v1"
	evil := fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{fixtures.GzipLayer(fixtures.Files("evil")...)}})
	// become puts another image, whose bytes stand in the plan, in the place of one.
	become := func(p *bundle.Plan, at int) {
		p.Manifests, p.Blobs, p.Attached = nil, nil, nil
		for _, m := range evil.Manifests {
			p.Manifests = append(p.Manifests, bundle.Manifest{Content: bundle.ContentOf(m.Descriptor), Origin: bundle.Origin{Inline: bytesOf(t, m)}})
		}
		for _, b := range evil.Blobs {
			p.Blobs = append(p.Blobs, bundle.Blob{Content: bundle.ContentOf(b.Descriptor), Origin: bundle.Origin{Inline: bytesOf(t, b)}, Volume: 1})
		}
		p.Images = p.Images[at : at+1]
		p.Images[0].Root, p.Images[0].Platforms = bundle.ContentOf(evil.Root), nil
	}
	catalog := []string{"--catalog", c.catalog.Reference() + "=gamma", "--no-attachments"}
	for _, test := range []struct {
		name    string
		command []string
		forge   func(*bundle.Plan)
		says    string
	}{
		{"another image", []string{app}, func(p *bundle.Plan) { become(p, 0) }, "it has manifest " + string(evil.Root.Digest)},
		{"another catalog", catalog, func(p *bundle.Plan) {
			for _, m := range evil.Manifests {
				p.Manifests = append(p.Manifests, bundle.Manifest{Content: bundle.ContentOf(m.Descriptor), Origin: bundle.Origin{Inline: bytesOf(t, m)}})
			}
			for _, b := range evil.Blobs {
				p.Blobs = append(p.Blobs, bundle.Blob{Content: bundle.ContentOf(b.Descriptor), Origin: bundle.Origin{Inline: bytesOf(t, b)}, Volume: 1})
			}
			p.Images[0].Root, p.Images[0].Platforms = bundle.ContentOf(evil.Root), nil
			p.Attached[0].Subject, p.Attached[0].Content = evil.Root.Digest, p.Images[0].Root
		}, "what was selected makes"},
		{"a blob made from elsewhere", []string{app}, func(p *bundle.Plan) {
			p.Blobs[0].Origin = bundle.Origin{Derived: &bundle.Derived{
				By: "anyone", Recipe: "{}", Repository: "evil.example/cat",
				From: bundle.Content{Digest: digest.FromString("x"), MediaType: p.Images[0].Root.MediaType, Size: 1},
			}}
		}, "it makes sha256:"},
		{"from another repository", []string{app}, func(p *bundle.Plan) { p.Blobs[0].Origin = bundle.Origin{Repository: "evil.example/x"} }, "it fetches from evil.example/x"},
		{"another place at the site", []string{app}, func(p *bundle.Plan) { p.Images[0].Destinations = []string{"other/app:latest"} }, "other/app:latest"},
		{"a part of a release", []string{app}, func(p *bundle.Plan) { p.Images[0].Part = bundle.PartComponent }, `as part "component"`},
		{"an image kept out", []string{app, other}, func(p *bundle.Plan) {
			p.Images, p.Blocked = p.Images[:1], []string{other}
		}, "it does not have image " + other},
		{"as it was", []string{app, other}, func(*bundle.Plan) {}, ""},
		{"a catalog as it was", catalog, func(*bundle.Plan) {}, ""},
	} {
		plan, stderr := dryPlan(t, c.source.command("pack", append(test.command, "--no-attachments")...)...)
		if plan == nil {
			t.Fatal(stderr)
		}
		test.forge(plan)
		data, err := plan.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.ParsePlan(data); err != nil {
			t.Fatalf("%s: the plan is no plan: %v", test.name, err)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, plan.Name+".plan.json"), data, 0o644); err != nil {
			t.Fatal(err)
		}
		status, _, stderr := satchel(t, c.source.command("pack", append(test.command, "--no-attachments", "-o", dir)...)...)
		volumes, err := filepath.Glob(filepath.Join(dir, "*.tar.zst"))
		if err != nil {
			t.Fatal(err)
		}
		if test.says == "" {
			if status != 0 || len(volumes) == 0 {
				t.Errorf("%s: status %d, %s", test.name, status, stderr)
			}
			continue
		}
		if status != exitFailed || !strings.Contains(stderr, test.says) || len(volumes) > 0 {
			t.Errorf("%s: status %d, %d volumes, %s", test.name, status, len(volumes), stderr)
		}
	}
}

func bytesOf(t testing.TB, c fixtures.Content) []byte {
	t.Helper()
	content, err := c.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return content
}
