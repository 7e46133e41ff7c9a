package site_test

import (
	"fmt"
	"strings"
	"testing"

	"satchel/transfer/nodeconf"
	"satchel/transfer/site"
)

// findings renders what was found, "!" before what a cluster refuses.
func findings(t *testing.T, b site.Bundle, o site.Options) string {
	t.Helper()
	_, all, err := site.RenderChecked(b, o)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, f := range all {
		if strings.Contains(f.Problem, "it would not be found") {
			continue // that is said of any bundle, see TestResolve
		}
		if f.Refused {
			text.WriteString("!")
		}
		fmt.Fprintln(&text, f)
	}
	return text.String()
}

// TestSamples: which streams are skipped, and where samplesRegistry leads, by
// openshift-facts.md 10.1.
func TestSamples(t *testing.T) {
	same := func(path string) string { return path }
	byDigest := digestOf("by digest")
	const jenkins = "jenkins jenkins-agent-base jenkins-agent-maven jenkins-agent-nodejs"
	for _, test := range []struct {
		name    string
		place   func(string) string
		data    string
		sets    site.MirrorSets
		want    string // samplesRegistry and skippedImagestreams
		because string // in README.md
	}{
		{"paths are kept", same, samplesData, "", "mirror.example:5000/site [go " + jenkins + "]", "the operator makes the names at the site"},
		{"a stream that is whole alone", same, "  go_1: registry.redhat.io/ubi8/go:1\n  jenkins-agent-base_1: registry.redhat.io/ubi8/go:2\n", "",
			"mirror.example:5000/site [" + jenkins + "]", ""},
		{"another prefix", func(path string) string { return "below/" + path }, samplesData, "", "mirror.example:5000/site/below [go " + jenkins + "]", ""},
		{"with the host", func(path string) string { return "registry.redhat.io/" + path }, samplesData, "",
			"mirror.example:5000/site/registry.redhat.io [go " + jenkins + "]", ""},
		{"joined", func(path string) string { return strings.ReplaceAll(path, "/", "-") }, samplesData, "",
			" [go " + jenkins + "]", "no value leads `registry.redhat.io/ubi8/ruby-27:1` to `mirror.example:5000/site/ubi8-ruby-27:1`. The mirror sets lead these here"},
		{"each elsewhere", func(path string) string { return path[len(path)-2:] + "/" + path }, samplesData, "",
			" [go " + jenkins + "]", "`mirror.example:5000/site/27` would lead to `mirror.example:5000/site/27/ubi8/ruby-30:latest`, and the image is `mirror.example:5000/site/30/ubi8/ruby-30:latest`"},
		{"joined, without mirrors for tags", func(path string) string { return strings.ReplaceAll(path, "/", "-") }, samplesData, site.ICSP,
			" [go " + jenkins + "]", "nothing leads to registry.redhat.io/ubi8/ruby-27:1, registry.redhat.io/ubi8/ruby-30:latest"},
		{"by digest, and a deep path", same, "  deep_1: quay.io/a/b/c@" + string(byDigest) + "\n", "",
			"mirror.example:5000/site [" + jenkins + "]", ""},
		{"what stands there already", same, "  there_1: mirror.example:5000/site/ubi8/there:1\n", "", " [" + jenkins + "]", "keep the original names."},
	} {
		b := newBundle("b")
		addSamples(t, &b, test.place)
		b.Images = append(b.Images,
			site.Image{Source: reference(t, "quay.io/a/b/c@"+string(byDigest)), Digest: byDigest, Repository: b.To + "/quay.io/a/b/c", Tags: []string{"digest-x"}},
			site.Image{Source: reference(t, "mirror.example:5000/site/ubi8/there:1"), Digest: digestOf("there"), Repository: b.To + "/ubi8/there", Tags: []string{"1"}})
		got := render(t, b, site.Options{MirrorSets: test.sets, Config: site.Config{Samples: configMap(t, test.data)}})
		p := patch(t, got["samplesConfig-patch.yaml"])
		if s := fmt.Sprintf("%v %v", p["samplesRegistry"], p["skippedImagestreams"]); s != test.want {
			t.Errorf("%s: %s, want %s", test.name, s, test.want)
		}
		text := got["README.md"]
		removed, managed := strings.Index(text, `"managementState":"Removed"`), strings.Index(text, "--patch-file samplesConfig-patch.yaml")
		if removed < 0 || managed < removed || p["managementState"] != "Managed" || !strings.Contains(text, test.because) {
			t.Errorf("%s: not %q, or not Removed before Managed:\n%s", test.name, test.because, text)
		}
		for _, payload := range []string{"cli", "must-gather", "tools"} {
			if strings.Contains(got["samplesConfig-patch.yaml"], "- "+payload+"\n") {
				t.Errorf("%s: the payload's %s is skipped", test.name, payload)
			}
		}
	}
}

// TestSamplesRefused: what the samples operator demands of the image configuration
// (pkg/stub/handler.go, imageConfigBlocksImageStreamCreation).
func TestSamplesRefused(t *testing.T) {
	same := func(path string) string { return path }
	joined := func(path string) string { return strings.ReplaceAll(path, "/", "-") }
	const refuses = "samples: the samples operator would refuse its configuration: "
	for _, test := range []struct {
		name     string
		place    func(string) string
		config   site.Config
		existing string
		want     string
	}{
		{"all allowed", same, site.Config{}, "", ""},
		{"the host is not the text that it looks for", same, site.Config{}, "registrySources: {allowedRegistries: ['mirror.example:5000', quay.io, registry.redhat.io]}",
			refuses + "it wants mirror.example:5000/site, just so, among allowedRegistries; add it (--allow-registry), or leave the operator Removed\n"},
		{"ours has it", same, site.Config{Allow: true, Allowed: []string{"quay.io"}}, "", ""},
		{"original names want two registries", joined, site.Config{Allow: true, Allowed: []string{"quay.io"}}, "",
			refuses + "it wants registry.redhat.io, just so, among allowedRegistries; add it (--allow-registry), or leave the operator Removed\n"},
		{"domains are ends", same, site.Config{Import: []string{"a.example"}}, "",
			refuses + "no domain of allowedRegistriesForImport is the end of mirror.example:5000/site; leave allowedRegistriesForImport away, unpack to a registry without a prefix, or leave the operator Removed\n"},
		{"domains of original names", joined, site.Config{Import: []string{"redhat.io", "quay.io"}}, "", ""},
		{"no stream", func(path string) string { return path }, site.Config{Samples: configMap(t, "  none_1: registry.redhat.io/none/none:1\n")}, "",
			"samples: no image stream has all of its images in the bundle, so that nothing is written for the samples operator; pack with --samples and the same file, or leave the operator Removed\n"},
	} {
		b := newBundle("b")
		addSamples(t, &b, test.place)
		if test.config.Samples == nil {
			test.config.Samples = configMap(t, samplesData)
		}
		test.config.Existing = &nodeconf.Cluster{}
		if test.existing != "" {
			test.config.Existing = existing(t, "kind: Image\napiVersion: config.openshift.io/v1\nspec: {"+test.existing+"}\n")
		}
		if got := findings(t, b, site.Options{Config: test.config}); got != test.want {
			t.Errorf("%s: found\n%swant\n%s", test.name, got, test.want)
		}
	}
}
