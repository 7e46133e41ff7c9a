package transfer_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/transfer"
)

// planImage returns an image by its reference; one by digest has that as its root.
func planImage(reference string, edit ...func(*bundle.Image)) bundle.Image {
	image := bundle.Image{Reference: reference, Root: bundle.Content{Digest: digest.FromString(reference)}}
	if _, d, ok := strings.Cut(reference, "@"); ok {
		image.Root.Digest = digest.Digest(d)
	}
	for _, e := range edit {
		e(&image)
	}
	return image
}

func attachTo(to string) func(*bundle.Image) {
	return func(image *bundle.Image) { image.AttachedTo = to }
}

func rootOf(content string) func(*bundle.Image) {
	return func(image *bundle.Image) { image.Root.Digest = digest.FromString(content) }
}

// allNames lists all names of all images.
func allNames(destinations []transfer.Destination) []string {
	var all []string
	for _, d := range destinations {
		for _, tag := range d.Tags {
			all = append(all, d.Repository+":"+tag)
		}
	}
	return all
}

// TestNamingOC has what oc's own tests expect (openshift/oc,
// pkg/cli/admin/catalog/mirrorer_test.go).
func TestNamingOC(t *testing.T) {
	const my = "@sha256:154d7e0295a94fb3d2a97309d711186a98a7308da37a5cd3d50360c6b2ba57de"
	for _, test := range []struct {
		source, to string
		max        int
		want       string
	}{
		{"quay.io/coreos/etcd-operator@sha256:db563baa8194fcfe39d1df744ed70024b0f1f9e9b55b5923c2f3a413c44dc6b8", "localhost:5000", 2, "localhost:5000/coreos/etcd-operator:b56e2636"},
		{"quay.io/coreos/etcd-operator@sha256:c0301e4686c3ed4206e370b42de5a3bd2229b9fb4906cf85f3f30650424abec2", "localhost:5000/org", 2, "localhost:5000/org/coreos-etcd-operator:2f1eb95"},
		{"registry.access.redhat.com/ubi8-minimal@sha256:9285da611437622492f9ef4229877efe302589f1401bbd4052e9bb261b3d4387", "localhost:5000", 2, "localhost:5000/ubi8-minimal:51f124fa"},
		{"docker.io/my/image" + my, "quay.io", 2, "quay.io/my/image:a1d77056"},
		{"docker.io/my/image" + my, "quay.io/my-org", 2, "quay.io/my-org/my-image:a1d77056"},
		{"docker.io/my/image" + my, "quay.io/my-org", 3, "quay.io/my-org/my/image:a1d77056"},
		{"docker.io/my/image" + my, "quay.io/my-org", 0, "quay.io/my-org/my/image:a1d77056"},
		{"docker.io/my/digest-image" + my, "localhost:5000", 2, "localhost:5000/my/digest-image:dcbadf49"},
		{"quay.io/coreos/prometheus-operator@sha256:0e92dd9b5789c4b13d53e1319d0a6375bcca4caaf0d698af61198061222a576d", "quay.io/org", 2, "quay.io/org/coreos-prometheus-operator:7f39d12d"},
		{"quay.io/coreos/prometheus-operator@sha256:3daa69a8c6c2f1d35dcf1fe48a7cd8b230e55f5229a1ded438f687debade5bcf", "quay.io/org", 2, "quay.io/org/coreos-prometheus-operator:1ebe036a"},
		{"quay.io/coreos/prometheus-operator@sha256:5037b4e90dbb03ebdefaa547ddf6a1f748c8eeebeedf6b9d9f0913ad662b5731", "quay.io/org", 2, "quay.io/org/coreos-prometheus-operator:76771fef"},
		{"docker.io/my/image:tag", "quay.io/my-org", 2, "quay.io/my-org/my-image:tag"},
		{"docker.io/my/image:tag" + my, "quay.io/my-org", 2, "quay.io/my-org/my-image:tag"},
		// oc hashes docker.io/image with the namespace that it means, which is how
		// satchel spells it everywhere.
		{"docker.io/library/image" + my, "localhost:5000", 2, "localhost:5000/library/image:f65f768b"},
		{"quay.io/a/b/c/d:1", "s.example", 2, "s.example/a/b-c-d:1"},
		{"quay.io/a/b/c/d:1", "s.example", 3, "s.example/a/b/c-d:1"},
		{"quay.io/a:1", "s.example/p", 2, "s.example/p/a:1"},
		{"quay.io/a:1", "s.example", 2, "s.example/a:1"},
		{"quay.io/a/b:1", "s.example/p/q", 2, "s.example/p/q-a-b:1"}, // the prefix is joined too
		{"quay.io/a/b:1", "s.example/p/q/r", 2, "s.example/p/q-r-a-b:1"},
	} {
		plan := &bundle.Plan{Images: []bundle.Image{planImage(test.source)}}
		got, err := transfer.Destinations(plan, transfer.Names{To: test.to, Naming: transfer.NamingOC, MaxComponents: test.max})
		if err != nil || len(got) != 1 || got[0].String() != test.want {
			t.Errorf("%s to %s, at most %d: got %v, %v, want %s", test.source, test.to, test.max, got, err, test.want)
		}
	}
}

// TestNamingOCMirror: as openshift/oc-mirror names at the site.
func TestNamingOCMirror(t *testing.T) {
	a := digest.FromString("a")
	filtered := digest.FromString("filtered")
	catalog := func(image *bundle.Image) { image.Part, image.Root.Digest = bundle.PartCatalog, filtered }
	for _, test := range []struct {
		image bundle.Image
		to    string
		max   int
		want  string
	}{
		{planImage("quay.io/org/app@" + a.String()), "s.example/p", 0, "s.example/p/org/app:sha256-" + a.Encoded()},
		{planImage("quay.io/org/app:1"), "s.example/p", 0, "s.example/p/org/app:1"},
		{planImage("quay.io/org/app:1@" + a.String()), "s.example/p", 0, "s.example/p/org/app:1"},
		{planImage("quay.io/org/app:1"), "s.example/p", 2, "s.example/p/org-app:1"},
		{planImage("quay.io/org/app:1"), "s.example", 1, "s.example/org-app:1"},
		{planImage("quay.io/org/deep/app:1"), "s.example/p", 3, "s.example/p/org/deep-app:1"},
		{planImage("registry.redhat.io/redhat/index:v4.18", catalog), "s.example", 0, "s.example/redhat/index:v4.18"},
		{planImage("registry.redhat.io/redhat/index@"+a.String(), catalog), "s.example", 0, "s.example/redhat/index:sha256-" + filtered.Encoded()},
	} {
		got, err := transfer.Destinations(&bundle.Plan{Images: []bundle.Image{test.image}},
			transfer.Names{To: test.to, Naming: transfer.NamingOCMirror, MaxComponents: test.max})
		if err != nil || len(got) != 1 || got[0].String() != test.want {
			t.Errorf("%s to %s, at most %d: got %v, %v, want %s", test.image.Reference, test.to, test.max, got, err, test.want)
		}
	}
}

// TestMaxComponents: all that satchel names is joined, and what people named is not.
func TestMaxComponents(t *testing.T) {
	given := func(image *bundle.Image) { image.Destinations = []string{"their/own/place:1", "their/own/place:2"} }
	for _, test := range []struct {
		name  string
		image bundle.Image
		names transfer.Names
		want  []string
	}{
		{"path", planImage("quay.io/org/deep/app:1"), transfer.Names{To: "s.example/p", MaxComponents: 2}, []string{"s.example/p/org-deep-app:1"}},
		{"host", planImage("quay.io:8443/org/app:1"), transfer.Names{To: "s.example", Naming: transfer.NamingHost, MaxComponents: 2}, []string{"s.example/quay.io-8443/org-app:1"}},
		{"enough", planImage("quay.io/org/app:1"), transfer.Names{To: "s.example/p", MaxComponents: 3}, []string{"s.example/p/org/app:1"}},
		{"one", planImage("quay.io/org/app:1"), transfer.Names{To: "s.example", MaxComponents: 1}, []string{"s.example/org-app:1"}},
		{"given", planImage("quay.io/org/app:1", given), transfer.Names{To: "s.example/p", MaxComponents: 2}, []string{"s.example/p/their/own/place:1", "s.example/p/their/own/place:2"}},
		{"no prefix is left", planImage("quay.io/org/app:1"), transfer.Names{To: "s.example/p/q", MaxComponents: 2}, nil},
		{"negative", planImage("quay.io/org/app:1"), transfer.Names{To: "s.example", MaxComponents: -1}, nil},
		{"full names", planImage("quay.io/org/deep/app:1"), transfer.Names{MaxComponents: 2}, []string{"quay.io/org/deep/app:1"}},
	} {
		got, err := transfer.Destinations(&bundle.Plan{Images: []bundle.Image{test.image}}, test.names)
		if test.want == nil {
			if !errors.Is(err, transfer.ErrNaming) {
				t.Errorf("%s: got %v, %v", test.name, got, err)
			}
		} else if err != nil || !slices.Equal(allNames(got), test.want) {
			t.Errorf("%s: got %v, %v, want %v", test.name, allNames(got), err, test.want)
		}
	}
}

// TestCollisions: whatever the naming, two digests never get one name, and the error
// names both sources.
func TestCollisions(t *testing.T) {
	a, b := digest.FromString("a"), digest.FromString("b")
	sig := "sha256-" + a.Encoded() + ".sig"
	one, two := "quay.io/org/app@"+digest.FromString("16995").String(), "quay.io/org/app@"+digest.FromString("39322").String()
	for _, test := range []struct {
		name   string
		images []bundle.Image
		names  transfer.Names
		says   []string // nil: none
	}{
		{"hashes", []bundle.Image{planImage(one), planImage(two)}, transfer.Names{Naming: transfer.NamingOC}, []string{one, two, "s.example/org/app:a3522aa0"}},
		{"hashes do not matter elsewhere", []bundle.Image{planImage(one), planImage(two)}, transfer.Names{Naming: transfer.NamingOCMirror}, nil},
		{"one digest of two hosts has two hashes", []bundle.Image{planImage("a.io/x/y@" + a.String()), planImage("b.io/x/y@" + a.String())}, transfer.Names{Naming: transfer.NamingOC}, nil},
		{"hosts", []bundle.Image{planImage("a.io/x/y:1"), planImage("b.io/x/y:1")}, transfer.Names{Naming: transfer.NamingOC}, []string{"a.io/x/y:1", "b.io/x/y:1"}},
		{"hosts, oc-mirror", []bundle.Image{planImage("a.io/x/y:1"), planImage("b.io/x/y:1")}, transfer.Names{Naming: transfer.NamingOCMirror}, []string{"a.io/x/y:1", "b.io/x/y:1"}},
		{"joined", []bundle.Image{planImage("a.io/x/y-z:1"), planImage("a.io/x-y/z:1")}, transfer.Names{MaxComponents: 1}, []string{"a.io/x/y-z:1", "a.io/x-y/z:1", "s.example/x-y-z:1"}},
		{"joined, other tags", []bundle.Image{planImage("a.io/x/y-z:1"), planImage("a.io/x-y/z:2")}, transfer.Names{MaxComponents: 1}, nil},
		{"joined with a host", []bundle.Image{planImage("a.io/b/c:1"), planImage("a.io-b/c:1")}, transfer.Names{Naming: transfer.NamingHost, MaxComponents: 1},
			[]string{"a.io/b/c:1", "a.io-b/c:1"}},
		{"a tag that looks like a hash", []bundle.Image{planImage(one), planImage("quay.io/org/app:a3522aa0")}, transfer.Names{Naming: transfer.NamingOC}, []string{one, "quay.io/org/app:a3522aa0"}},
		{"a tag that looks like a digest", []bundle.Image{planImage("q.io/app@" + a.String()), planImage("q.io/app:sha256-" + a.Encoded())},
			transfer.Names{Naming: transfer.NamingOCMirror}, []string{"q.io/app@" + a.String(), "q.io/app:sha256-" + a.Encoded()}},
		// One image in two repositories that become one, signed twice.
		{"signatures", []bundle.Image{
			planImage("a.io/x/y-z@" + a.String()), planImage("a.io/x/y-z:"+sig, attachTo("a.io/x/y-z@"+a.String())),
			planImage("a.io/x-y/z@" + a.String()), planImage("a.io/x-y/z:"+sig, attachTo("a.io/x-y/z@"+a.String())),
		}, transfer.Names{MaxComponents: 1}, []string{"a.io/x/y-z:" + sig, "a.io/x-y/z:" + sig, "s.example/x-y-z:" + sig}},
		{"one signature", []bundle.Image{
			planImage("a.io/x/y-z@" + a.String()), planImage("a.io/x/y-z:"+sig, rootOf("s"), attachTo("a.io/x/y-z@"+a.String())),
			planImage("a.io/x-y/z@" + a.String()), planImage("a.io/x-y/z:"+sig, rootOf("s"), attachTo("a.io/x-y/z@"+a.String())),
		}, transfer.Names{MaxComponents: 1}, nil},
		{"a given name", []bundle.Image{planImage("a.io/x/y:1"), planImage("b.io/z:1", func(i *bundle.Image) { i.Destinations = []string{"x-y:1"} })},
			transfer.Names{MaxComponents: 1}, []string{"a.io/x/y:1", "b.io/z:1"}},
		{"same content", []bundle.Image{planImage("a.io/x/y-z:1", rootOf("s")), planImage("a.io/x-y/z:1", rootOf("s"))}, transfer.Names{MaxComponents: 1}, nil},
		{"digests", []bundle.Image{planImage("a.io/x/y-z@" + a.String()), planImage("a.io/x-y/z@" + b.String())}, transfer.Names{MaxComponents: 1}, nil},
	} {
		test.names.To = "s.example"
		got, err := transfer.Destinations(&bundle.Plan{Images: test.images}, test.names)
		if test.says == nil {
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
			continue
		}
		if !errors.Is(err, transfer.ErrNaming) {
			t.Errorf("%s: got %v, %v", test.name, allNames(got), err)
			continue
		}
		for _, says := range test.says {
			if !strings.Contains(err.Error(), says) {
				t.Errorf("%s: the error does not say %s: %v", test.name, says, err)
			}
		}
	}
}

// TestNamingAttachments: what is attached follows its image, and where something
// names a subject, no image has the tag under which registries without the referrers
// API keep the list of it.
func TestNamingAttachments(t *testing.T) {
	image, child, sbom := digest.FromString("image"), digest.FromString("child"), digest.FromString("sbom")
	byDigest := "a.io/x/y@" + image.String()
	sig := "a.io/x/y:sha256-" + child.Encoded() + ".sig"
	base := []bundle.Image{planImage(byDigest), planImage(sig, attachTo(byDigest)), planImage("a.io/x/y@" + child.String()), planImage("a.io/x/y:1")}
	withSBOM := append(slices.Clone(base), planImage("a.io/x/y@"+sbom.String(), attachTo(byDigest)))
	s := func(tag string) string { return "s.example/p/x-y:" + tag }
	for _, test := range []struct {
		name   string
		naming transfer.Naming
		images []bundle.Image
		want   []string
	}{
		{"oc-mirror", transfer.NamingOCMirror, base, []string{
			s("sha256-" + image.Encoded()), s("sha256-" + child.Encoded() + ".sig"), s("sha256-" + child.Encoded()), s("1"),
		}},
		{"oc-mirror with a referrer", transfer.NamingOCMirror, withSBOM, []string{
			s("digest-" + image.Encoded()), s("sha256-" + child.Encoded() + ".sig"), s("digest-" + child.Encoded()), s("1"), s("digest-" + sbom.Encoded()),
		}},
		{"oc with a referrer", transfer.NamingOC, withSBOM, []string{
			s("837503bb"), s("sha256-" + child.Encoded() + ".sig"), s("b4461387"), s("1"), s("digest-" + sbom.Encoded()),
		}},
		{"path", transfer.NamingPath, withSBOM, []string{
			s("digest-" + image.Encoded()), s("sha256-" + child.Encoded() + ".sig"), s("digest-" + child.Encoded()), s("1"), s("digest-" + sbom.Encoded()),
		}},
	} {
		got, err := transfer.Destinations(&bundle.Plan{Images: test.images}, transfer.Names{To: "s.example/p", Naming: test.naming, MaxComponents: 2})
		if err != nil || !slices.Equal(allNames(got), test.want) {
			t.Errorf("%s: got %q, %v, want %q", test.name, allNames(got), err, test.want)
		}
	}
}

// TestNamesHold: of plans in which much is alike, under all namings, either somebody
// says which two sources would be one, or no name is of two digests, no path has too
// many components, and what is attached is with its image.
func TestNamesHold(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 9))
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	digests := []string{"@" + digest.FromString("1").String(), "@" + digest.FromString("2").String()}
	held, refused := 0, 0
	for range 3000 {
		plan := &bundle.Plan{}
		for range 1 + random.IntN(5) {
			reference := pick("a.io", "b.io:5000") + "/" + pick("x", "x-y", "x/y") + pick("", "/y", "-z", "/y/z") + pick(":1", ":2", ":1"+digests[0], digests[0], digests[1])
			if slices.ContainsFunc(plan.Images, func(i bundle.Image) bool { return i.Reference == reference }) {
				continue
			}
			image := planImage(reference, rootOf(pick("p", "q")))
			if _, d, ok := strings.Cut(reference, "@"); ok {
				image.Root.Digest = digest.Digest(d)
			}
			plan.Images = append(plan.Images, image)
			repository, _, _ := strings.Cut(reference, "@")
			if colon := strings.LastIndex(repository, ":"); colon > strings.LastIndex(repository, "/") {
				repository = repository[:colon]
			}
			for _, kind := range []string{pick("", ":sha256-"+image.Root.Digest.Encoded()+".sig"), pick("", "@"+digest.FromString(reference).String())} {
				if kind != "" && !slices.ContainsFunc(plan.Images, func(i bundle.Image) bool { return i.Reference == repository+kind }) {
					plan.Images = append(plan.Images, planImage(repository+kind, attachTo(reference)))
				}
			}
		}
		n := transfer.Names{
			To: pick("s.example", "s.example/p"), Naming: transfer.Naming(pick("path", "host", "oc", "oc-mirror")), MaxComponents: random.IntN(5),
		}
		got, err := transfer.Destinations(plan, n)
		if err != nil {
			named := 0
			for _, image := range plan.Images {
				if strings.Contains(err.Error(), image.Reference+" ") {
					named++
				}
			}
			if !errors.Is(err, transfer.ErrNaming) || named < 2 && !strings.Contains(err.Error(), "components") {
				t.Fatalf("%+v: %v", n, err)
			}
			refused++
			continue
		}
		held++
		places, listed := make(map[string]digest.Digest), make(map[string]bool)
		byReference := make(map[string]transfer.Destination)
		for i, d := range got {
			image := plan.Images[i]
			byReference[image.Reference] = d
			listed[d.Repository] = listed[d.Repository] || image.AttachedTo != "" && strings.Contains(image.Reference, "@")
			if most := n.MaxComponents; most > 0 && strings.Count(d.Repository, "/") > most || len(d.Tags) != 1 {
				t.Fatalf("%+v: %s is at %s", n, image.Reference, d)
			}
			if other, ok := places[d.String()]; ok && other != image.Root.Digest {
				t.Fatalf("%+v: %s is of two digests", n, d)
			}
			places[d.String()] = image.Root.Digest
		}
		for i, d := range got {
			if to := plan.Images[i].AttachedTo; to != "" && d.Repository != byReference[to].Repository {
				t.Fatalf("%+v: %s is at %s, its image at %s", n, plan.Images[i].Reference, d, byReference[to])
			}
			if listed[d.Repository] && d.Tags[0] == "sha256-"+plan.Images[i].Root.Digest.Encoded() {
				t.Fatalf("%+v: %s takes the name of a list", n, plan.Images[i].Reference)
			}
		}
	}
	if held < 500 || refused < 100 {
		t.Errorf("%d plans held and %d were refused, too few to tell anything", held, refused)
	}
}
