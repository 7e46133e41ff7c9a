package imageset_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"satchel/transfer/imageset"
)

const (
	v2 = "kind: ImageSetConfiguration\napiVersion: mirror.openshift.io/v2alpha1\n"
	v1 = "kind: ImageSetConfiguration\napiVersion: mirror.openshift.io/v1alpha2\n"
)

const hex = "61b8f5e1a3b5dbd9e2c35fd448dc5106337d7a299873dd3a6f0cd8d4891ecc27"

// lines renders findings: LINE KEY: PROBLEM, a "~" before what is Unsupported.
func lines(findings []imageset.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		if f.Unsupported {
			b.WriteString("~")
		}
		fmt.Fprintf(&b, "%s\n", strings.TrimPrefix(f.In("f"), "f:"))
	}
	return b.String()
}

// in writes a mirror stanza, whose first line is the fourth of the file.
func in(stanza string) string { return v2 + "mirror:\n" + stanza }

const (
	image   = "  additionalImages: [{name: quay.io/a/b:c}]\n"
	catalog = "  operators:\n  - catalog: quay.io/a/index:v1\n"
)

func TestFindings(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"empty", "", "1: the file is empty\n"},
		{"null", "~\n", "1: no configuration: is empty, not a mapping"},
		{"a list", "- a\n", "1: no configuration: is a list"},
		{"a tab", "kind:\n\t- a\n", "2: yaml: found character that cannot start any token\n"},
		{"two documents", in(image) + "---\nkind: x\n", "6: a second document"},
		{"no kind", strings.Replace(in(image), "kind: ImageSetConfiguration\n", "", 1), "1: kind: is missing"},
		{"kind in capitals", strings.Replace(in(image), "kind:", "Kind:", 1), "1: Kind: unknown key: capital and small letters differ; did you mean \"kind\"?\n"},
		{"another kind", "kind: ImagesetConfiguration\n", "1: kind: \"ImagesetConfiguration\" is not ImageSetConfiguration; did you mean \"ImageSetConfiguration\"?\n"},
		{"no version", "kind: ImageSetConfiguration\nmirror:\n" + image, "1: apiVersion: is missing\n"},
		{"an older version", "kind: ImageSetConfiguration\napiVersion: mirror.openshift.io/v1alpha1\n", "2: apiVersion: \"mirror.openshift.io/v1alpha1\" is neither"},
		{"no mirror", v2, "1: mirror: is missing\n"},
		{"nothing in it", in("  blockedImages: [{name: x}]\n"), "3: mirror: names nothing that can be packed\n"},
		{"only graph", in("  platform: {graph: true}\n"), "3: mirror: names nothing that can be packed\n~4: mirror.platform.graph: the graph"},

		{"unknown key", in(image + "  additionalImage: []\n"), "5: mirror.additionalImage: unknown key; did you mean \"additionalImages\"?\n"},
		{"wrong case", in("  additionalimages: []\n" + image), "4: mirror.additionalimages: unknown key: capital and small letters differ; did you mean \"additionalImages\"?\n"},
		{"nothing near", in(image + "  zzz: []\n"), "5: mirror.zzz: unknown key\n"},
		{"two letters swapped", in("  operators:\n  - catalgo: quay.io/a/b:c\n"), "5: mirror.operators[0].catalgo: unknown key; did you mean \"catalog\"?\n5: mirror.operators[0].catalog: is missing\n"},
		{"two letters swapped in two", in(image + "  platform: {platforms: [{so: linux, architecture: arm64}]}\n"), "5: mirror.platform.platforms[0].so: unknown key; did you mean \"os\"?\n5: mirror.platform.platforms[0].os: is missing\n~5: mirror.platform.platforms: satchel does not choose platforms image by image: all are carried, from the multi payload\n"},
		{"a key twice", in(image + image), "5: mirror.additionalImages: stands twice; first in line 4\n"},
		{"a key that is a list", in(image + "  ? [a]\n  : b\n"), "5: mirror: a key that is no name\n"},
		{"a key of the other version", v2 + "storageConfig: {local: {path: x}}\nmirror:\n" + image, "3: storageConfig: a key of v1alpha2 only; apiVersion says v2alpha1\n"},
		{"a key of the newer version", v1 + "mirror:\n  platform: {release: 'quay.io/a/b:c'}\n" + image, "4: mirror.platform.release: a key of v2alpha1 only; apiVersion says v1alpha2\n"},
		{"unknown within helm", in(image + "  helm:\n    local: [{nam: x}]\n"), "6: mirror.helm.local[0].nam: unknown key; did you mean \"name\"?\n~6: mirror.helm.local[0]: helm:"},

		{"a mapping for a list", in("  additionalImages: {name: x}\n"), "3: mirror: names nothing that can be packed\n4: mirror.additionalImages: is a mapping, not a list"},
		{"a string for a mapping", in("  additionalImages: [quay.io/a/b:c]\n"), "4: mirror.additionalImages[0]: \"quay.io/a/b:c\" is a string, not a mapping"},
		{"a number for a string", in(catalog + "    packages:\n    - name: a\n      minVersion: 4.18\n"), "8: mirror.operators[0].packages[0].minVersion: 4.18 is a number, not a string: put it in quotes\n"},
		{"a word for a truth", in(image + "  platform: {graph: maybe}\n"), "5: mirror.platform.graph: \"maybe\" is a string, not true or false\n"},
		{"a quoted truth", in(image + "  platform: {graph: 'true'}\n"), "5: mirror.platform.graph: \"true\" is a string, not true or false\n"},
		{"a size in words", v2 + "archiveSize: 4GiB\nmirror:\n" + image, "3: archiveSize: \"4GiB\" is a string, not a whole number of GiB\n"},
		{"a quoted size", v2 + "archiveSize: '4'\nmirror:\n" + image, "3: archiveSize: \"4\" is a string, not a whole number of GiB\n"},
		{"half a size", v2 + "archiveSize: 4.5\nmirror:\n" + image, "3: archiveSize: 4.5 is a number, not a whole number of GiB\n"},
		{"less than no size", v2 + "archiveSize: -1\nmirror:\n" + image, "3: archiveSize: -1 is no size in GiB\n"},
		{"a size above all", v2 + "archiveSize: 8589934592\nmirror:\n" + image, "3: archiveSize: 8589934592 is no size in GiB\n"},

		{"a channel twice", in("  platform:\n    channels:\n    - name: stable-4.16\n    - name: stable-4.16\n"), "7: mirror.platform.channels[1]: channel stable-4.16 stands twice; first in line 6\n"},
		{"a channel without name", in("  platform:\n    channels:\n    - type: ocp\n"), "6: mirror.platform.channels[0].name: is missing\n"},
		{"a channel that is nothing", in("  platform:\n    channels:\n    -\n"), "6: mirror.platform.channels[0].name: is missing\n"},
		{"an empty name", in("  platform:\n    channels:\n    - name: ''\n"), "6: mirror.platform.channels[0].name: is empty\n"},
		{"a path as name", in("  platform:\n    channels:\n    - name: ../x\n"), "6: mirror.platform.channels[0].name: \"../x\" is no name of a package or channel\n"},
		{"a release in short", in("  platform:\n    channels:\n    - name: stable-4.16\n      minVersion: '4.16'\n"), "7: mirror.platform.channels[0].minVersion: \"4.16\" is no version of a release, as in 4.16.3\n"},
		{"an empty range", in("  platform:\n    channels:\n    - name: stable-4.16\n      maxVersion: 4.16.9\n      minVersion: 4.16.10\n"), "8: mirror.platform.channels[0].minVersion: 4.16.10 is above maxVersion 4.16.9\n"},
		{"another type", in("  platform:\n    channels:\n    - {name: stable-4, type: OKD}\n"), "6: mirror.platform.channels[0].type: \"OKD\" is neither ocp nor okd; did you mean \"okd\"?\n"},
		{"the kernel's name", in(image + "  platform: {architectures: [aarch64]}\n"), "5: mirror.platform.architectures[0]: \"aarch64\" is none of amd64, arm64, ppc64le, s390x, multi; did you mean \"arm64\"?\n"},
		{"an architecture twice", in(image + "  platform: {architectures: [arm64, arm64]}\n"), "5: mirror.platform.architectures[1]: arm64 stands twice\n"},
		{"architectures and platforms", in("  platform:\n    architectures: [arm64]\n    platforms: [{os: linux, architecture: arm64}]\n    channels: [{name: a}]\n"), "~6: mirror.platform.platforms: satchel does not choose platforms image by image: all are carried, from the multi payload\n6: mirror.platform.platforms: cannot stand beside architectures\n"},
		{"half a platform", in(image + "  platform: {platforms: [{os: linux}]}\n"), "5: mirror.platform.platforms[0].architecture: is missing\n~5:"},
		{"a release that is none", in("  platform: {release: 'x'}\n"), "4: mirror.platform.release: reference \"docker.io/library/x\" has neither tag nor digest\n"},

		{"a catalog twice", in(catalog + "  - catalog: docker://quay.io/a/index:v1\n"), "6: mirror.operators[1]: catalog quay.io/a/index:v1 stands twice; first in line 5\n"},
		{"a target twice", in(catalog + "    targetCatalog: x/y\n  - catalog: quay.io/b/index:v1\n    targetCatalog: x/y\n"), "7: mirror.operators[1]: catalog quay.io/x/y:v1 stands twice; first in line 5\n"},
		{"a catalog without tag", in("  operators: [{catalog: quay.io/a/index}]\n"), "4: mirror.operators[0].catalog: reference \"quay.io/a/index\" has neither tag nor digest\n"},
		{"a catalog on disk without disk", in("  operators: [{catalog: 'oci://'}]\n"), "4: mirror.operators[0].catalog: \"oci://\" names no directory\n"},
		{"another transport", in("  operators: [{catalog: 'file://x/y:z'}]\n"), "4: mirror.operators[0].catalog: reference \"file://x/y:z\""},
		{"a target with tag", in(catalog + "    targetCatalog: x/y:z\n"), "6: mirror.operators[0].targetCatalog: \"x/y:z\" is no path of a repository"},
		{"a tag that is none", in(catalog + "    targetTag: .z\n"), "6: mirror.operators[0].targetTag: \".z\" is no tag\n"},
		{"a package twice", in(catalog + "    packages:\n    - name: a\n    - name: b\n    - name: a\n"), "9: mirror.operators[0].packages[2]: package a stands twice; first in line 7\n"},
		{"a package's channel twice", in(catalog + "    packages:\n    - name: a\n      channels: [{name: b}, {name: b}]\n"), "8: mirror.operators[0].packages[0].channels[1]: channel b stands twice; first in line 8\n"},
		{"two ranges", in(catalog + "    packages:\n    - name: a\n      minVersion: 1.0.0\n      channels:\n      - name: b\n        maxVersion: 2.0.0\n"), "10: mirror.operators[0].packages[0]: minVersion and maxVersion stand both at the package and at its channel b\n"},
		{"a version that is none", in(catalog + "    packages:\n    - name: a\n      maxVersion: latest\n"), "8: mirror.operators[0].packages[0].maxVersion: \"latest\" is no semantic version, as in 1.2.3\n"},
		{"an empty range of bundles", in(catalog + "    packages:\n    - name: a\n      minVersion: 2.0.0\n      maxVersion: 1.9.9\n"), "8: mirror.operators[0].packages[0].minVersion: 2.0.0 is above maxVersion 1.9.9\n"},
		{"a half of a version", in(catalog + "    packages:\n    - name: a\n      maxVersion: 1.2-rc1\n"), "8: mirror.operators[0].packages[0].maxVersion: \"1.2-rc1\" is no semantic version, as in 1.2.3\n"},
		{"a minor above", in(catalog + "    packages:\n    - name: a\n      minVersion: 1.3.0\n      maxVersion: '1.2'\n"), "8: mirror.operators[0].packages[0].minVersion: 1.3.0 is above maxVersion 1.2\n"},
		{"full with a channel's range", in(catalog + "    packages:\n    - name: a\n      channels:\n      - name: b\n        minVersion: 1.0.0\n    full: true\n"), "10: mirror.operators[0].packages[0].channels[0].minVersion: cannot stand beside full: true of its catalog\n"},
		{"a default that is not chosen", in(catalog + "    packages:\n    - name: a\n      defaultChannel: c\n      channels: [{name: b}]\n"), "8: mirror.operators[0].packages[0].defaultChannel: c is none of the channels that are named: it would not be there\n"},

		{"capitals in a repository", in("  additionalImages: [{name: quay.io/A/b:c}]\n"), "4: mirror.additionalImages[0].name: reference \"quay.io/A/b:c\": repository \"quay.io/A/b\" is not HOST/PATH in lower case\n"},
		{"a short digest", in("  additionalImages: [{name: quay.io/a/b@sha256:12}]\n"), "4: mirror.additionalImages[0].name: reference \"quay.io/a/b@sha256:12\": digest"},
		{"one place for two images", in("  additionalImages:\n  - name: quay.io/a/b:c\n  - name: quay.io/d/e:f\n    targetRepo: a/b\n    targetTag: c\n"), "6: mirror.additionalImages[1]: a/b:c at the site would be both this and line 5, quay.io/a/b:c\n"},
		{"an open bracket", in(image + "  blockedImages: [{name: 'a['}]\n"), "5: mirror.blockedImages[0].name: no regular expression: error parsing regexp: missing closing ]: `[`\n"},

		{"what is not done", in(image + "  platform:\n    kubeVirtContainer: yes\n  samples: [{name: ruby}]\n" + catalog + "    targetCatalogSourceTemplate: x.yaml\n    platforms: [{os: linux, architecture: arm64}]\n"),
			"~6: mirror.platform.kubeVirtContainer: the disk image for KubeVirt is not taken out of the release\n" +
				"~7: mirror.samples[0]: samples: \"ruby\" is not packed, nor is it by oc-mirror; satchel packs samples from the cluster's own list\n" +
				"~10: mirror.operators[0].targetCatalogSourceTemplate: the CatalogSource is written without a template\n" +
				"~11: mirror.operators[0].platforms: satchel does not choose platforms image by image: all are carried\n"},
		{"what is not done, of the older version", v1 + "storageConfig:\n  registry:\n    imageURL: quay.io/a/b:c\n    skipTLS: true\nmirror:\n" + catalog + "    packages:\n    - name: a\n      minBundle: a.v1\n",
			"~4: storageConfig.registry: satchel keeps no history beside its bundles: a later bundle is packed against an earlier one\n" +
				"~12: mirror.operators[0].packages[0].minBundle: bundles are chosen by minVersion and maxVersion only\n"},
		{"a release beside channels", in("  platform:\n    channels: [{name: a}]\n    release: quay.io/a/b:c\n"), "~5: mirror.platform.channels: beside a release the channels are passed over, as oc-mirror does it\n"},
		{"an image from a directory", in(image + "  helm:\n    repositories: [{name: x, url: y}]\n"), "~6: mirror.helm.repositories[0]: helm: repository \"x\" is not read\n"},
	}
	for _, test := range tests {
		config, findings, err := imageset.Parse([]byte(test.file), "f")
		got := lines(findings)
		if want := test.want; got != want && (strings.HasSuffix(want, "\n") || !strings.HasPrefix(got, want) || strings.Count(got, "\n") != strings.Count(want, "\n")+1) {
			t.Errorf("%s: got\n%swant\n%s", test.name, got, want)
		}
		checkAgree(t, config, findings, err)
	}
}

// checkAgree: an error exactly when a finding is a problem, with these problems as its
// text, and a Config exactly when there is none.
func checkAgree(t *testing.T, config *imageset.Config, findings []imageset.Finding, err error) {
	t.Helper()
	var problems []string
	for _, f := range findings {
		if !f.Unsupported {
			problems = append(problems, f.In("f"))
		}
		if f.Line < 1 {
			t.Errorf("%s has no line", f.In("f"))
		}
	}
	var refused *imageset.RefusedError
	switch {
	case len(problems) == 0 && err == nil && config != nil:
	case len(problems) != 0 && config == nil && errors.As(err, &refused) && err.Error() == strings.Join(problems, "\n"):
	default:
		t.Errorf("config %v, error %v, problems %q", config, err, problems)
	}
	if config == nil {
		return
	}
	for _, o := range config.Operators {
		request := o.Request()
		if err := request.Check(); err != nil || len(request.Packages) != len(o.Packages) {
			t.Errorf("%+v makes the request %+v: %v", o, request, err)
		}
	}
}

// TestAccepted has what is less usual and right.
func TestAccepted(t *testing.T) {
	tests := []struct {
		name, file string
		want       imageset.Config
	}{
		{"aliases and merges", in("  operators:\n  - &o\n    catalog: quay.io/a/index:v1\n    packages: &p\n    - name: x\n  - <<: *o\n    catalog: quay.io/b/index:v1\n  - catalog: quay.io/c/index:v1\n    packages: *p\n"),
			imageset.Config{Version: "v2alpha1", Operators: []imageset.Operator{
				{Catalog: "quay.io/a/index:v1", Packages: []imageset.Package{{Name: "x", Line: 8}}, Line: 5},
				{Catalog: "quay.io/b/index:v1", Packages: []imageset.Package{{Name: "x", Line: 8}}, Line: 9},
				{Catalog: "quay.io/c/index:v1", Packages: []imageset.Package{{Name: "x", Line: 8}}, Line: 11},
			}}},
		{"JSON", `{"kind": "ImageSetConfiguration", "apiVersion": "mirror.openshift.io/v2alpha1", "archiveSize": 1, "mirror": {"operators": null, "additionalImages": [{"name": "a/b:c", "targetRepo": "x/y", "targetTag": null}]}}`,
			imageset.Config{Version: "v2alpha1", ArchiveSize: 1 << 30, AdditionalImages: []imageset.Image{{Name: "a/b:c", TargetRepo: "x/y", Line: 1}}}},
		{"names in short", in("  additionalImages:\n  - name: ubi:latest\n  - name: a/b@sha256:" + hex + "\n  - name: localhost:5000/a/b:c@sha256:" + hex + "\n  - name: ubi:latest\n"),
			imageset.Config{Version: "v2alpha1", AdditionalImages: []imageset.Image{
				{Name: "ubi:latest", Line: 5}, {Name: "a/b@sha256:" + hex, Line: 6}, {Name: "localhost:5000/a/b:c@sha256:" + hex, Line: 7},
			}}},
		{"the older version", v1 + "mirror:\n  operators:\n  - catalog: quay.io/a/b/index\n    targetName: mine\n    originalRef: x\n    skipDependencies: true\n    packages:\n    - name: x\n      minVersion: v1.2\n      channels: [{name: c, maxVersion: '2'}]\n",
			imageset.Config{Version: "v1alpha2", Operators: []imageset.Operator{{Catalog: "quay.io/a/b/index", TargetCatalog: "a/b/mine", Line: 5,
				Packages: []imageset.Package{{Name: "x", Line: 10, Channels: []imageset.PackageChannel{{Name: "c", Max: "2", Line: 12}}}}}}}},
		{"a range of a package beside that of a channel", v1 + "mirror:\n" + catalog + "    packages:\n    - name: x\n      minVersion: 1.0.0-rc1\n      channels: [{name: c, maxVersion: '2'}, {name: d}]\n",
			imageset.Config{Version: "v1alpha2", Operators: []imageset.Operator{{Catalog: "quay.io/a/index:v1", Line: 5,
				Packages: []imageset.Package{{Name: "x", Line: 7, Channels: []imageset.PackageChannel{{Name: "c", Max: "2", Line: 9}, {Name: "d", Min: "1.0.0-rc1", Line: 9}}}}}}}},
		{"a range of one minor", in(catalog + "    packages: [{name: x, minVersion: 1.2.3, maxVersion: '1.2'}, {name: y, minVersion: v1.2.3, maxVersion: v1}]\n"),
			imageset.Config{Version: "v2alpha1", Operators: []imageset.Operator{{Catalog: "quay.io/a/index:v1", Line: 5,
				Packages: []imageset.Package{{Name: "x", Min: "1.2.3", Max: "1.2", Line: 6}, {Name: "y", Min: "v1.2.3", Max: "v1", Line: 6}}}}}},
		{"platforms take the multi payload", in("  platform:\n    platforms: [{os: linux, architecture: arm64}]\n    channels: [{name: stable-4.16, type: okd, full: on}]\n"),
			imageset.Config{Version: "v2alpha1", Platform: imageset.Platform{Architectures: []string{"multi"}, Line: 6,
				Channels: []imageset.Channel{{Name: "stable-4.16", Type: "okd", Full: true, Line: 6}}}}},
		{"a release takes the place of channels", in("  platform:\n    graph: true\n    channels: [{name: a}]\n    release: quay.io/a/b@sha256:" + hex + "\n"),
			imageset.Config{Version: "v2alpha1", Platform: imageset.Platform{Release: "quay.io/a/b@sha256:" + hex, Graph: true, Line: 7}}},
		{"full after a range", in(catalog + "    packages: [{name: a, minVersion: 1.0.0}]\n  - catalog: quay.io/b/index:v1\n    full: true\n    packages: [{name: a}]\n"),
			imageset.Config{Version: "v2alpha1", Operators: []imageset.Operator{
				{Catalog: "quay.io/a/index:v1", Packages: []imageset.Package{{Name: "a", Min: "1.0.0", Line: 6}}, Line: 5},
				{Catalog: "quay.io/b/index:v1", Full: true, Packages: []imageset.Package{{Name: "a", Line: 9}}, Line: 7}}}},
		{"one catalog for two places", in("  operators:\n  - catalog: oci:///x/y\n  - catalog: oci:/x/y\n    targetTag: v2\n  - catalog: oci:///x/y\n    targetCatalog: z\n"),
			imageset.Config{Version: "v2alpha1", Operators: []imageset.Operator{
				{Layout: "/x/y", Line: 5}, {Layout: "/x/y", TargetTag: "v2", Line: 6}, {Layout: "/x/y", TargetCatalog: "z", Line: 8}}}},
		{"the largest size", v2 + "archiveSize: 8589934591\nmirror:\n" + image + "---\n",
			imageset.Config{Version: "v2alpha1", ArchiveSize: 8589934591 << 30, AdditionalImages: []imageset.Image{{Name: "quay.io/a/b:c", Line: 5}}}},
	}
	for _, test := range tests {
		config, findings, err := imageset.Parse([]byte(test.file), "f")
		checkAgree(t, config, findings, err)
		if err != nil || !reflect.DeepEqual(*config, test.want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", test.name, config, err, test.want)
		}
	}
}
