package transfer_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/registry"
	"satchel/oci/release"
	"satchel/oci/release/signature"
	"satchel/transfer"
)

// releaseVolume is large enough for what a release says of itself.
const releaseVolume = 1 << 20

// upstream is a registry with releases, and a store with their signatures.
type upstream struct {
	registry *fixtures.Registry
	store    *fixtures.SignatureStore
	server   *httptest.Server
	client   *registry.Client
}

func newUpstream(t testing.TB) *upstream {
	t.Helper()
	u := &upstream{registry: serve(t, fixtures.Options{}), store: &fixtures.SignatureStore{}}
	u.server = httptest.NewServer(u.store)
	t.Cleanup(u.server.Close)
	u.client = client(t)
	return u
}

// release adds a signed release; edit changes what it is made of.
func (u *upstream) release(t testing.TB, version string, edit func(*fixtures.ReleaseSpec)) fixtures.Release {
	t.Helper()
	spec := fixtures.ReleaseSpec{Version: version, Registry: u.registry.Host(), Stores: map[string]string{"test": u.server.URL}}
	if edit != nil {
		edit(&spec)
	}
	r := fixtures.NewRelease(spec)
	if err := u.registry.Add(r.Images...); err != nil {
		t.Fatal(err)
	}
	u.sign(r)
	return r
}

func (u *upstream) sign(r fixtures.Release) {
	u.store.Add(r.Image.Root.Digest, fixtures.SignRelease(r.Image.Root.Digest, u.name(r).String()))
}

func (u *upstream) name(r fixtures.Release) oci.Reference {
	return oci.Reference{Repository: u.registry.Host() + "/" + r.Image.Repository, Tag: r.Image.Tag}
}

func (u *upstream) sources() transfer.Sources {
	return transfer.Sources{Registry: u.client, Referrers: u.client}
}

// trusting takes the fixtures' key for a release key.
func trusting(t testing.TB) transfer.Trust {
	t.Helper()
	k, err := signature.ParseKeyring("test", fixtures.ReleaseKey().Armored())
	if err != nil {
		t.Fatal(err)
	}
	return transfer.Trust{Keys: []*signature.Keyring{k}}
}

func (u *upstream) options(t testing.TB) transfer.ReleaseOptions {
	return transfer.ReleaseOptions{Trust: trusting(t), Open: func(url string) signature.Store {
		return signature.NewHTTPStore(url, u.server.Client())
	}}
}

// plan reads the releases and plans them.
func (u *upstream) plan(t testing.TB, volumeSize int64, releases ...fixtures.Release) *bundle.Prologue {
	t.Helper()
	return u.planOf(t, volumeSize, u.read(t, releases...))
}

func (u *upstream) read(t testing.TB, releases ...fixtures.Release) []*transfer.Release {
	t.Helper()
	var wanted []transfer.Wanted
	for _, r := range releases {
		wanted = append(wanted, transfer.Wanted{Name: u.name(r)})
	}
	read, err := transfer.ReadReleases(t.Context(), u.sources(), wanted, u.options(t))
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func (u *upstream) planOf(t testing.TB, volumeSize int64, read []*transfer.Release) *bundle.Prologue {
	t.Helper()
	selection, err := transfer.Select(t.Context(), u.sources(), nil, transfer.SelectOptions{Releases: read})
	if err != nil {
		t.Fatal(err)
	}
	selection.Name = "releases"
	_, prologue, err := bundle.NewPlan(selection, volumeSize)
	if err != nil {
		t.Fatal(err)
	}
	return prologue
}

// pack makes the bundle, in a directory.
func (u *upstream) pack(t testing.TB, prologue *bundle.Prologue) *bundle.Bundle {
	t.Helper()
	path := t.TempDir()
	dir, err := bundle.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, _, err := packInto(t.Context(), dir, prologue, u.sources(), transfer.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	return openBundle(t, path)
}

// siteHas checks that every component is at the site by digest and by tag, and
// the release image too.
func siteHas(t *testing.T, site *fixtures.Registry, r fixtures.Release, images, components string) {
	t.Helper()
	c := client(t)
	check := func(repository, tag string, image fixtures.Image) {
		t.Helper()
		for _, ref := range []oci.Reference{
			{Repository: site.Host() + "/" + repository, Tag: tag},
			{Repository: site.Host() + "/" + repository, Digest: image.Root.Digest},
		} {
			d, _, err := c.Resolve(t.Context(), ref)
			if err != nil || d.Digest != image.Root.Digest || d.MediaType != image.Root.MediaType {
				t.Errorf("%s: got %v, %v", ref, d, err)
			}
		}
	}
	tag := r.Version + "-" + r.Architecture
	check(images, tag, r.Image)
	for _, component := range r.Components {
		check(components, tag+"-"+component.Name, component.Image)
	}
}

func TestRelease(t *testing.T) {
	up := newUpstream(t)
	r := up.release(t, "4.12.0", func(s *fixtures.ReleaseSpec) { s.Aliases = map[string]string{"cli-alias": "cli", "other-alias": "cli"} })
	prologue := up.plan(t, releaseVolume, r)
	b := up.pack(t, prologue)
	for _, test := range []struct{ name, repository, images, components string }{
		{"as oc-mirror", "", "mirror/openshift/release-images", "mirror/openshift/release"},
		{"as oc adm release mirror", "ocp4/openshift4", "mirror/ocp4/openshift4", "mirror/ocp4/openshift4"},
	} {
		o := transfer.UnpackOptions{ReleaseRepository: test.repository, Trust: trusting(t)}
		t.Run(test.name, func(t *testing.T) {
			site := serve(t, fixtures.Options{})
			o.To = site.Host() + "/mirror"
			receipt, err := transfer.Unpack(t.Context(), b, client(t), o)
			if err != nil {
				t.Fatal(err)
			}
			if complete, _ := receipt.Complete(); !complete {
				t.Errorf("not complete: %+v", receipt)
			}
			siteHas(t, site, r, test.images, test.components)
		})
		t.Run("copied "+test.name, func(t *testing.T) {
			site := serve(t, fixtures.Options{})
			o.To = site.Host() + "/mirror"
			receipt, err := transfer.Copy(t.Context(), prologue, up.sources(), client(t), transfer.CopyOptions{UnpackOptions: o})
			if err != nil {
				t.Fatal(err)
			}
			if complete, _ := receipt.Complete(); !complete {
				t.Errorf("not complete: %+v", receipt)
			}
			siteHas(t, site, r, test.images, test.components)
		})
	}
	releases, err := transfer.Releases(b.Prologue.Plan())
	if err != nil || len(releases) != 1 {
		t.Fatal(releases, err)
	}
	got := releases[0]
	if got.Payload.Version != "4.12.0" || got.Architecture != "amd64" || len(got.Payload.Components) != len(r.Components) ||
		len(got.Signatures) != 1 || got.Unsigned != "" || release.Tag("4.12.0", got.Architecture) != r.Image.Tag {
		t.Errorf("got %+v", got)
	}
	// Without the key, nobody believes the bundle.
	_, err = transfer.Unpack(t.Context(), b, client(t), transfer.UnpackOptions{To: "127.0.0.1:1"})
	if unknown := mustAs[*transfer.UnknownKeyError](t, err); unknown.Fingerprint != fixtures.ReleaseKey().Fingerprint() {
		t.Errorf("got %v", err)
	}
}

// Two neighbouring releases share what they can, and a site that has the first
// gets only what is new.
func TestNeighbours(t *testing.T) {
	up := newUpstream(t)
	shared := func(s *fixtures.ReleaseSpec) { s.Shared = "4.12" }
	first, second := up.release(t, "4.12.0", shared), up.release(t, "4.12.1", shared)
	alone := up.pack(t, up.plan(t, releaseVolume, first))
	both := up.plan(t, releaseVolume, first, second)
	seen := make(map[string]bool)
	for i := range both.Plan().Blobs {
		seen[string(both.Plan().Blobs[i].Digest)] = true
	}
	if len(seen) != len(both.Plan().Blobs) {
		t.Error("a blob stands twice")
	}
	site := serve(t, fixtures.Options{})
	o := transfer.UnpackOptions{To: site.Host(), Trust: trusting(t)}
	if _, err := transfer.Unpack(t.Context(), alone, client(t), o); err != nil {
		t.Fatal(err)
	}
	before := make(map[string]bool)
	for i := range alone.Prologue.Plan().Blobs {
		before[string(alone.Prologue.Plan().Blobs[i].Digest)] = true
	}
	receipt, err := transfer.Unpack(t.Context(), up.pack(t, both), client(t), o)
	if err != nil {
		t.Fatal(err)
	}
	var fresh int64
	for _, image := range second.Images {
		for _, c := range image.Blobs {
			if d := string(c.Descriptor.Digest); !before[d] {
				before[d] = true
				fresh += c.Descriptor.Size
			}
		}
	}
	if receipt.Blobs.PushedBytes != fresh {
		t.Errorf("pushed %d bytes, new are %d", receipt.Blobs.PushedBytes, fresh)
	}
	siteHas(t, site, first, "openshift/release-images", "openshift/release")
	siteHas(t, site, second, "openshift/release-images", "openshift/release")
}

func TestReleaseTrust(t *testing.T) {
	up := newUpstream(t)
	r := up.release(t, "4.12.0", nil)
	d, name := r.Image.Root.Digest, up.name(r)
	good := fixtures.SignRelease(d, name.String())
	other := fixtures.OtherKey().Sign(fixtures.SignatureSpec{Digest: d, Reference: name.String()})
	for _, test := range []struct {
		name       string
		signatures [][]byte
		says       string // empty: trusted
	}{
		{"good", [][]byte{good}, ""},
		{"one of two", [][]byte{other, good}, ""},
		{"none", nil, d.String()},
		{"another key", [][]byte{other}, "signed by key"},
		{"another digest", [][]byte{fixtures.SignRelease(r.Components[0].Image.Root.Digest, name.String())}, "not for"},
		{"cut", [][]byte{good[:len(good)-1]}, ""},
	} {
		up.store.Remove(d)
		up.store.Add(d, test.signatures...)
		read := func(o transfer.ReleaseOptions) ([]*transfer.Release, error) {
			return transfer.ReadReleases(t.Context(), up.sources(), []transfer.Wanted{{Name: name}}, o)
		}
		_, err := read(up.options(t))
		if wrong := test.says != "" || test.name == "cut"; (err != nil) != wrong || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v", test.name, err)
		} else if wrong {
			mustAs[*transfer.TrustError](t, err)
		}
		o := up.options(t)
		o.AllowUnsigned = true
		releases, err := read(o)
		if err != nil || (releases[0].Unsigned != "") != (test.says != "" || test.name == "cut") {
			t.Errorf("%s: allowed: got %v, %v", test.name, releases, err)
		}
	}
	up.store.Add(d, good)
	o := up.options(t)
	o.Keys = nil
	_, err := transfer.ReadReleases(t.Context(), up.sources(), []transfer.Wanted{{Name: name}}, o)
	if unknown := mustAs[*transfer.UnknownKeyError](t, err); unknown.Fingerprint != fixtures.ReleaseKey().Fingerprint() {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := transfer.ReadReleases(ctx, up.sources(), []transfer.Wanted{{Name: name}}, up.options(t)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// Whoever changes a bundle may well make a plan of it that is consistent; what it
// says of a release is compared with the release image, which is signed.
func TestForgedPayload(t *testing.T) {
	up := newUpstream(t)
	r := up.release(t, "4.12.0", nil)
	for what, edit := range map[string]func(*release.Documents){
		"image-references": func(d *release.Documents) {
			d.References = []byte(strings.Replace(string(d.References), `"name": "cli",`, `"name": "cli-not",`, 1))
		},
		"release-metadata": func(d *release.Documents) { d.Metadata = append(d.Metadata, '\n') },
		"verification ConfigMap": func(d *release.Documents) {
			d.Verification = append([]byte("# key of another\n"), d.Verification...)
		},
	} {
		read := up.read(t, r)
		documents := read[0].Payload.Documents
		edit(&documents)
		payload, err := release.Parse(documents)
		if err != nil {
			t.Fatal(err)
		}
		read[0].Payload = payload
		b := up.pack(t, up.planOf(t, releaseVolume, read))
		site := serve(t, fixtures.Options{})
		_, err = transfer.Unpack(t.Context(), b, client(t), transfer.UnpackOptions{To: site.Host(), Trust: trusting(t)})
		if forged := mustAs[*transfer.ForgedError](t, err); forged.What != what {
			t.Errorf("%s: got %v", what, err)
		}
		if n := site.Stats().Requests["manifest"]; n != 0 {
			t.Errorf("%s: %d requests for manifests", what, n)
		}
	}
}

// The tag of a release image is what an update begins with: it comes last, and
// only when every component is there.
func TestReleaseImageIsLast(t *testing.T) {
	up := newUpstream(t)
	r := up.release(t, "4.12.0", nil)
	whole := up.pack(t, up.plan(t, releaseVolume, r))
	plan := whole.Prologue.Plan()
	if plan.Volumes < 2 {
		t.Fatalf("%d volumes", plan.Volumes)
	}
	site := serve(t, fixtures.Options{})
	o := transfer.UnpackOptions{To: site.Host(), Trust: trusting(t)}
	part := openBundle(t, copyFiles(t, files(t, whole.Volumes[0].Medium), plan.VolumeName(plan.Volumes)))
	receipt, err := transfer.Unpack(t.Context(), part, client(t), o)
	if err != nil {
		t.Fatal(err)
	}
	pushed := receipt.Count(transfer.ImagePushed)
	if image := receipt.Images[0]; image.State != transfer.ImageMissing || len(image.Lacks) == 0 || pushed == 0 || pushed == len(receipt.Images)-1 {
		t.Errorf("got %+v of %d pushed", image, pushed)
	}
	name := oci.Reference{Repository: site.Host() + "/openshift/release-images", Tag: r.Image.Tag}
	if d, _, err := client(t).Resolve(t.Context(), name); err == nil {
		t.Errorf("%s is there already: %v", name, d)
	}
	if receipt, err = transfer.Unpack(t.Context(), whole, client(t), o); err != nil {
		t.Fatal(err)
	}
	if complete, _ := receipt.Complete(); !complete {
		t.Errorf("got %+v", receipt)
	}
	siteHas(t, site, r, "openshift/release-images", "openshift/release")
	puts := puts(site.Stats())
	if last := puts[len(puts)-1]; !strings.Contains(last, "release-images/"+r.Image.Tag) {
		t.Errorf("the last manifest is %s", last)
	}
}
