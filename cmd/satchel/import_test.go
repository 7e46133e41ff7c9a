package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
	"satchel/oci"
)

// fewComponents keeps trees small.
func fewComponents() []string {
	return []string{"cli", "cluster-version-operator", "installer", "machine-config-operator", "must-gather", "pod"}
}

// packTree packs the releases of a tree into a new directory, which it returns
// with the messages.
func (c treeRelease) packTree(t testing.TB, tree string, arguments ...string) (dir, messages string) {
	t.Helper()
	dir = t.TempDir()
	all := append([]string{"pack", "-o", dir, "--release-key", c.key, "--from-dir", tree, "file://" + treeRepository + ":4.12*"}, arguments...)
	return dir, said(t, all...)
}

// TestTreeOfRelease packs a release from its tree, in every shape that a tree
// arrives in: it is the same as from the release's registry, without a network.
func TestTreeOfRelease(t *testing.T) {
	for _, architectures := range [][]string{{"amd64"}, {"amd64", "arm64"}} {
		up := startRegistry(t, fixtures.Options{})
		c := newTreeRelease(t, fixtures.ReleaseSpec{
			Version: "4.12.0", Registry: up.Host(), Architectures: architectures, Components: fewComponents(),
			Aliases: map[string]string{"tools": "cli", "alias": "pod"},
		})
		if err := up.Add(c.Images...); err != nil {
			t.Fatal(err)
		}
		original := t.TempDir()
		mustSatchel(t, "pack", "-o", original, "--tls-verify=false", "--release-key", c.key, "--signature-store", c.store(t), "--release", c.Reference())
		up.Close() // from here on, nobody is to ask it
		want := planIn(t, original)
		linked := c.tree(t, fixtures.OCTree{})
		copied := filepath.Join(t.TempDir(), "copied")
		execute(t, "", need(t, "cp"), "-rL", linked, copied)
		for name, tree := range map[string]string{
			"as oc writes it": linked, "cp -rL": copied,
			"copies, Windows": c.tree(t, fixtures.OCTree{Dereferenced: true, Windows: true}),
			"Windows":         c.tree(t, fixtures.OCTree{Windows: true}),
			"an older oc":     c.tree(t, fixtures.OCTree{LinkPrefix: "/mirror/v2/openshift/release/manifests/"}),
			"leftovers":       c.tree(t, fixtures.OCTree{Leftovers: true}),
		} {
			if len(architectures) > 1 && name != "as oc writes it" && name != "copies, Windows" {
				continue
			}
			t.Run(c.Architecture+" "+name, func(t *testing.T) {
				dir, messages := c.packTree(t, tree)
				got := planIn(t, dir)
				if a, b := names(got), names(want); !slices.Equal(a, b) {
					t.Errorf("images are\n%s\nwant\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
				}
				if !reflect.DeepEqual(got.Attached, want.Attached) {
					t.Errorf("attached is %v, want %v", got.Attached, want.Attached)
				}
				for i := range got.Blobs {
					if o := got.Blobs[i].Origin; o.Inline == nil && o.Local != "oc-dir/"+treeRepository {
						t.Errorf("blob %s is from %+v", got.Blobs[i].Digest, o)
					}
				}
				for _, text := range []string{"passed over in the directory: v2/openshift/release/", "left by an interrupted download", " like it"} {
					if strings.Contains(messages, text) != (name == "leftovers") {
						t.Errorf("whether it says %q is wrong:\n%s", text, messages)
					}
				}
			})
		}
		dir, _ := c.packTree(t, linked)
		here, there := startRegistry(t, fixtures.Options{}), startRegistry(t, fixtures.Options{})
		for dir, site := range map[string]*fixtures.Registry{dir: here, original: there} {
			mustSatchel(t, "unpack", dir, "--to", site.Host()+"/mirror", "--tls-verify=false", "--release-key", c.key)
		}
		straight, resources := startRegistry(t, fixtures.Options{}), t.TempDir()
		said(t, "copy", "--to", straight.Host()+"/mirror", "--tls-verify=false", "--release-key", c.key, "--from-dir", linked, "file://"+treeRepository+":*", "--resources", resources)
		if !reflect.DeepEqual(straight.Digests(), there.Digests()) {
			t.Errorf("copied is\n%v\nwant\n%v", straight.Digests(), there.Digests())
		}
		offline := t.TempDir()
		mustSatchel(t, "resources", dir, "--to", straight.Host()+"/mirror", "-o", offline, "--release-key", c.key)
		planned := t.TempDir()
		said(t, "pack", "--dry-run", "--to", straight.Host()+"/mirror", "--resources", planned, "--release-key", c.key, "--from-dir", linked, "file://"+treeRepository+":*")
		for _, dir := range []string{resources, planned, offline} {
			if err := os.Remove(filepath.Join(dir, "README.md")); err != nil { // which tells how it was made
				t.Fatal(err)
			}
		}
		sameFiles(t, resources, offline)
		sameFiles(t, planned, offline)
		if !reflect.DeepEqual(here.Digests(), there.Digests()) {
			t.Errorf("unpacked is\n%v\nwant\n%v", here.Digests(), there.Digests())
		}
		tag := "4.12.0-" + c.Architecture
		components := here.Digests()["mirror/openshift/release"]
		if here.Digests()["mirror/openshift/release-images"][tag] != c.Image.Root.Digest {
			t.Errorf("no release image: %v", here.Digests())
		}
		for _, component := range c.Components {
			if components[tag+"-"+component.Name] != component.Image.Root.Digest {
				t.Errorf("component %s is %s", component.Name, components[tag+"-"+component.Name])
			}
		}
	}
}

// TestTreeTrust takes signatures from the tree, and nothing for one that is none.
func TestTreeTrust(t *testing.T) {
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Components: fewComponents()})
	d := c.Image.Root.Digest
	other := fixtures.OtherKey().Sign(fixtures.SignatureSpec{Digest: d, Reference: c.Reference()})
	good := fixtures.SignRelease(d, c.Reference())
	for name, test := range map[string]struct {
		signatures [][]byte
		says       []string // nil: trusted
		reference  string
	}{
		"good":             {[][]byte{good}, nil, c.Reference()},
		"one of two":       {[][]byte{other, good}, nil, c.Reference()},
		"another's":        {[][]byte{other}, []string{c.Reference(), "signed by key"}, c.Reference()},
		"of another":       {[][]byte{fixtures.SignRelease(digest.FromString("x"), c.Reference())}, []string{"not for"}, ""},
		"broken":           {[][]byte{good[:len(good)-9]}, []string{"hint: do not use it"}, ""},
		"none":             {[][]byte{}, []string{d.String(), "is not trusted", "hint: "}, ""},
		"with an odd name": {[][]byte{fixtures.SignRelease(d, "../../Odd")}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := fixtures.OCTree{Signatures: map[digest.Digest][][]byte{}}
			if len(test.signatures) > 0 {
				o.Signatures[d] = test.signatures
			}
			tree := c.tree(t, o)
			dir := t.TempDir()
			arguments := []string{"pack", "-o", dir, "--release-key", c.key, "--from-dir", tree, "file://openshift/release:4.12.0-x86_64"}
			if test.says == nil {
				said(t, arguments...)
			} else {
				fails(t, exitFailed, test.says, arguments...)
				noFinal(t, dir)
				said(t, append(arguments, "--allow-unsigned-release")...)
			}
			plan := planIn(t, dir)
			reference := test.reference
			if reference == "" {
				reference = "quay.io/openshift-release-dev/ocp-release:4.12.0-x86_64"
			}
			if plan.Images[0].Reference != reference || plan.Images[0].Root.Digest != d {
				t.Errorf("release image is %+v, want %s", plan.Images[0], reference)
			}
			if unsigned := plan.Request.Unsigned; unsigned != (test.says != nil) {
				t.Errorf("unsigned is %t", unsigned)
			}
			for _, component := range c.Components {
				if !slices.ContainsFunc(names(plan), func(s string) bool { return strings.HasPrefix(s, component.Reference+" ") }) {
					t.Errorf("component %s is not there by %s", component.Name, component.Reference)
				}
			}
		})
	}
	t.Run("no key", func(t *testing.T) {
		fails(t, exitFailed, []string{fixtures.ReleaseKey().Fingerprint(), "hint: if"},
			"pack", "-o", t.TempDir(), "--from-dir", c.tree(t, fixtures.OCTree{}), "file://openshift/release:4.12.0-x86_64")
	})
	t.Run("a name is guessed", func(t *testing.T) {
		_, messages := c.packTree(t, c.tree(t, fixtures.OCTree{Signatures: map[digest.Digest][][]byte{}}), "--allow-unsigned-release")
		if !strings.Contains(messages, "is taken for one of quay.io/openshift-release-dev/ocp-release") {
			t.Errorf("says\n%s", messages)
		}
	})
	t.Run("a name is given", func(t *testing.T) {
		dir := t.TempDir()
		said(t, "pack", "-o", dir, "--release-key", c.key, "--from-dir", c.tree(t, fixtures.OCTree{}), "file://openshift/release:4.12*=own.example/ocp/release")
		if plan := planIn(t, dir); plan.Images[0].Reference != "own.example/ocp/release:4.12.0-x86_64" || len(plan.Images) != len(c.Images) {
			t.Errorf("images are\n%s", strings.Join(names(plan), "\n"))
		}
	})
}

// TestTreesOfReleases packs two releases of one tree; what they share lies in the
// bundle once.
func TestTreesOfReleases(t *testing.T) {
	first := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.0", Shared: "4.12", Components: fewComponents()})
	second := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.12.1", Shared: "4.12", Components: fewComponents()})
	tree := first.tree(t, fixtures.OCTree{})
	writeTreeInto(t, tree, fixtures.OCTree{Signatures: second.signatures()}, second.Mirrored(treeRepository)...)
	dir, _ := first.packTree(t, tree)
	plan := planIn(t, dir)
	if want := []string{first.Reference(), second.Reference()}; !slices.Equal(plan.Request.Releases, want) {
		t.Errorf("releases are %q, want %q", plan.Request.Releases, want)
	}
	want := make(map[digest.Digest]bool)
	for _, image := range slices.Concat(first.Images, second.Images) {
		for _, b := range image.Blobs {
			want[b.Descriptor.Digest] = true
		}
	}
	n := 0
	for i := range plan.Blobs {
		if plan.Blobs[i].Origin.Inline == nil {
			n++
			delete(want, plan.Blobs[i].Digest)
		}
	}
	if len(want) > 0 || len(plan.Blobs)-n == 0 {
		t.Errorf("%d blobs are lacking of what %d are", len(want), n)
	}
	// One of the two alone, by its tag.
	one := t.TempDir()
	said(t, "pack", "-o", one, "--release-key", first.key, "--from-dir", tree, "file:///openshift/release:4.12.1-x86_64")
	if got := planIn(t, one); len(got.Images) != len(second.Images) || got.Images[0].Reference != second.Reference() {
		t.Errorf("images are\n%s", strings.Join(names(got), "\n"))
	}
}

// TestTreeSigstore packs what cosign attached to a release image: it came into
// the tree with its tag, and goes where the release image goes.
func TestTreeSigstore(t *testing.T) {
	c := newTreeRelease(t, fixtures.ReleaseSpec{Version: "4.21.0", Components: fewComponents()})
	tag := "sha256-" + c.Image.Root.Digest.Encoded() + ".sig"
	sig := fixtures.NewImage(fixtures.ImageSpec{Labels: map[string]string{"sig": "yes"}}).Named(treeRepository, tag)
	tree := writeTree(t, fixtures.OCTree{Signatures: c.signatures()}, append(c.Mirrored(treeRepository), sig)...)
	pack := func(arguments ...string) (*fixtures.Registry, string) {
		dir := t.TempDir()
		messages := said(t, append([]string{"pack", "-o", dir, "--release-key", c.key, "--from-dir", tree}, arguments...)...)
		site := startRegistry(t, fixtures.Options{})
		mustSatchel(t, "unpack", dir, "--to", site.Host(), "--tls-verify=false", "--release-key", c.key)
		return site, messages
	}
	const lacks = "clusters from 4.21 on refuse"
	site, messages := pack("file://openshift/release:4.21*")
	if !strings.Contains(messages, lacks) || site.Digests()["openshift/release-images"][tag] != "" {
		t.Errorf("says\n%s", messages)
	}
	site, messages = pack("file://openshift/release")
	if got := site.Digests()["openshift/release-images"][tag]; got != sig.Root.Digest || strings.Contains(messages, lacks) {
		t.Errorf("its signature at the site is %q, all is %v, says\n%s", got, site.Digests(), messages)
	}
}

// plainTree is what oc image mirror leaves: images without a release.
func plainTree(t testing.TB) (tree string, images []fixtures.Image) {
	t.Helper()
	images = fixtures.Demo(60<<10, 100<<10)
	return writeTree(t, fixtures.OCTree{}, images...), images
}

// TestTreeOfImages packs trees without a release.
func TestTreeOfImages(t *testing.T) {
	tree, images := plainTree(t)
	repositories := make(map[string][]string) // tags
	for _, image := range images {
		if image.Tag != "" {
			repositories[image.Repository] = append(repositories[image.Repository], image.Tag)
		}
	}
	dir := t.TempDir()
	arguments := []string{"pack", "-o", dir, "--from-dir", tree}
	want := make(map[string]oci.Descriptor)
	for repository := range repositories {
		if repository == "team/web" {
			arguments = append(arguments, "file://team/web=registry.example:5000/apps/web")
		} else {
			arguments = append(arguments, "file://"+repository)
		}
	}
	for _, image := range images {
		name := "localhost/" + image.Reference()
		if image.Repository == "team/web" {
			name = "registry.example:5000/apps/web:" + image.Tag
		}
		if image.Tag == "" {
			arguments = append(arguments, "file://"+image.Reference())
		}
		want[name] = image.Root
	}
	said(t, arguments...)
	plan := planIn(t, dir)
	for _, image := range plan.Images {
		if want[image.Reference].Digest != image.Root.Digest {
			t.Errorf("image %s is %s, want %s", image.Reference, image.Root.Digest, want[image.Reference].Digest)
		}
		delete(want, image.Reference)
	}
	if len(want) > 0 {
		t.Errorf("lacking: %v", want)
	}
	resources := t.TempDir()
	mustSatchel(t, "resources", dir, "--to", "mirror.example/x", "-o", resources, "--mirror-set", "both")
	mapped := false
	for name, content := range readDir(t, resources) {
		if name == "mapping.txt" {
			for line := range strings.Lines(content) {
				if strings.Contains(line, "localhost/") != strings.HasPrefix(line, "# origin unknown: ") {
					t.Errorf("mapping.txt has %q", line)
				}
				mapped = mapped || strings.HasPrefix(line, "registry.example:5000/apps/web:2.4.1=mirror.example/x/apps/web:2.4.1")
			}
		} else if strings.Contains(content, "localhost/") {
			t.Errorf("%s has localhost:\n%s", name, content)
		}
	}
	if !mapped {
		t.Errorf("mapping.txt lacks registry.example: %s", readDir(t, resources)["mapping.txt"])
	}
}

func TestTreeUsage(t *testing.T) {
	tree, _ := plainTree(t)
	for _, test := range []struct {
		status    int
		says      string
		arguments []string
	}{
		{exitUsage, "name it with --from-dir", []string{"file://team/web"}},
		{exitUsage, "no image named", []string{"--from-dir", tree}},
		{exitFailed, "--from-dir", []string{"--from-dir", tree + "/none", "file://team/web"}},
		{exitFailed, "there is no repository team/none", []string{"--from-dir", tree, "file://team/none"}},
		{exitFailed, "has no tag 9*", []string{"--from-dir", tree, "file://team/web:9*"}},
		{exitUsage, "is not a repository", []string{"--from-dir", tree, "file://team/web=UPPER"}},
		{exitUsage, "is not a repository", []string{"--from-dir", tree, "file://team/web=quay.example/web@sha256:1"}},
		{exitUsage, "is not a repository", []string{"--from-dir", tree, "file://team/web=quay.example/web:1"}},
		{exitUsage, "name it as an image", []string{"--from-dir", tree, "--release", "file://team/web:2.4.1"}},
	} {
		dir := t.TempDir()
		fails(t, test.status, []string{test.says}, append([]string{"pack", "-o", dir}, test.arguments...)...)
		if left := filesBelow(t, dir); len(left) > 0 {
			t.Errorf("%q leaves %q", test.arguments, left)
		}
	}
}
