package transfer_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/transfer"
)

// A release for several architectures keeps its lists and the signatures of each
// of its manifests, byte for byte, and what is attached to the children.
func TestMultiRelease(t *testing.T) {
	up := newUpstream(t)
	r := up.release(t, "4.21.0", multi)
	children := r.Image.Manifests[:2]
	raws := make(map[digest.Digest][]string)
	for _, m := range r.Image.Manifests {
		d := m.Descriptor.Digest
		up.store.Remove(d)
		for _, name := range []string{"quay.io/a:1", "quay.io/b:2"} { // two each
			raw := fixtures.SignRelease(d, name)
			up.store.Add(d, raw)
			raws[d] = append(raws[d], string(raw))
		}
	}
	if prologue := up.plan(t, releaseVolume, r); !releasesOf(t, prologue)[0].LacksSigstore(prologue.Plan()) {
		t.Error("clusters take it without a sigstore signature")
	}
	attached := up.attach(t, r.Image, r.Component("cli").Image)
	prologue := up.plan(t, releaseVolume, r)
	got := releasesOf(t, prologue)[0]
	if got.Architecture != "multi" || got.Digest != r.Image.Root.Digest || got.LacksSigstore(prologue.Plan()) {
		t.Errorf("got %s, %s", got.Architecture, got.Digest)
	}
	for _, s := range got.Signatures {
		i := slices.Index(raws[s.Digest], string(s.Raw))
		if i < 0 {
			t.Fatalf("signature of %s is not what the store has, or is there twice", s.Digest)
		}
		raws[s.Digest] = slices.Delete(raws[s.Digest], i, i+1)
	}
	if len(got.Signatures) != 6 || got.Signatures[0].Digest != r.Image.Root.Digest {
		t.Errorf("%d signatures", len(got.Signatures))
	}
	verified, err := got.Verify(trusting(t))
	if err != nil || len(verified.Signatures) != 6 {
		t.Errorf("got %+v, %v", verified, err)
	}
	for _, image := range prologue.Plan().Images {
		for _, a := range attached {
			if a.Root.Digest == image.Root.Digest && image.AttachedTo != got.Reference && image.AttachedTo != r.Component("cli").Reference {
				t.Errorf("%s is attached to %q", image.Reference, image.AttachedTo)
			}
		}
	}
	site := serve(t, fixtures.Options{})
	if _, err := transfer.Unpack(t.Context(), up.pack(t, prologue), client(t), transfer.UnpackOptions{To: site.Host(), Trust: trusting(t)}); err != nil {
		t.Fatal(err)
	}
	pullsRelease(t, site, "", r, attached)

	// A child that is signed must be signed right.
	up.store.Add(children[1].Descriptor.Digest, fixtures.SignRelease(children[1].Descriptor.Digest, "quay.io/c:3")[:100])
	up.store.Remove(children[0].Descriptor.Digest)
	up.store.Add(children[0].Descriptor.Digest, fixtures.SignRelease(r.Image.Root.Digest, "quay.io/c:3"))
	_, err = up.tryPlan(t, transfer.SelectOptions{}, transfer.Wanted{Name: up.name(r)})
	if trust := mustAs[*transfer.TrustError](t, err); !strings.Contains(trust.Error(), string(children[0].Descriptor.Digest)) {
		t.Errorf("got %v", err)
	}
}

func releasesOf(t testing.TB, prologue *bundle.Prologue) []*transfer.PlannedRelease {
	t.Helper()
	releases, err := transfer.Releases(prologue.Plan())
	if err != nil || len(releases) == 0 {
		t.Fatalf("%d releases, %v", len(releases), err)
	}
	return releases
}

// From 4.21 on clusters want a sigstore signature.
func TestLacksSigstore(t *testing.T) {
	up := newUpstream(t)
	for version, lacks := range map[string]bool{"4.20.9": false, "4.21.0": true, "4.21.0-ec.1": true, "5.0.0": true} {
		prologue := up.plan(t, releaseVolume, up.release(t, version, few))
		if got := releasesOf(t, prologue)[0].LacksSigstore(prologue.Plan()); got != lacks {
			t.Errorf("%s: %t", version, got)
		}
	}
}

// What upstream has deleted of a list is named with its image, or left out and
// noted; the signature of what is left out is left out too.
func TestMultiReleaseWithoutChild(t *testing.T) {
	const amd64, arm64 = 0, 1
	for _, test := range []struct {
		name   string
		of     func(r fixtures.Release) fixtures.Image
		remove int
	}{
		{"release", func(r fixtures.Release) fixtures.Image { return r.Image }, arm64},
		{"release, that of which the payload is read", func(r fixtures.Release) fixtures.Image { return r.Image }, amd64},
		{"component", func(r fixtures.Release) fixtures.Image { return r.Component("cli").Image }, arm64},
	} {
		up := newUpstream(t)
		r := up.release(t, "4.12.0", multi)
		up.store.Remove(r.Image.Root.Digest)
		r.Sign(fixtures.ReleaseKey(), up.store)
		image := test.of(r)
		gone := image.Manifests[test.remove].Descriptor.Digest
		up.registry.Remove(image.Repository, gone.String())
		reference := up.registry.Host() + "/" + image.Reference()

		_, err := up.tryPlan(t, transfer.SelectOptions{}, transfer.Wanted{Name: up.name(r)})
		if err == nil || !strings.Contains(err.Error(), string(gone)) || !strings.Contains(err.Error(), reference) {
			t.Errorf("%s: got %v", test.name, err)
		}
		prologue, err := up.tryPlan(t, transfer.SelectOptions{SkipMissing: true}, transfer.Wanted{Name: up.name(r)})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		plan := prologue.Plan()
		if len(plan.Missing) != 1 || plan.Missing[0].Digest != gone || plan.Missing[0].Image != reference || !strings.Contains(plan.Missing[0].Reason, "404") {
			t.Errorf("%s: missing is %+v", test.name, plan.Missing)
		}
		planned := releasesOf(t, prologue)[0]
		if slices.ContainsFunc(planned.Signatures, func(s transfer.ReleaseSignature) bool { return s.Digest == gone }) || len(planned.Signatures) < 2 {
			t.Errorf("%s: %d signatures", test.name, len(planned.Signatures))
		}
		site := serve(t, fixtures.Options{AllowSparse: true})
		receipt, err := transfer.Unpack(t.Context(), up.pack(t, prologue), client(t), transfer.UnpackOptions{To: site.Host(), Trust: trusting(t)})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if complete, _ := receipt.Complete(); complete {
			t.Errorf("%s: complete", test.name)
		}
		for _, i := range receipt.Images {
			if lacks := len(i.Lacks) == 1 && i.Lacks[0].Digest == gone; lacks != (i.Reference == reference) {
				t.Errorf("%s: %s lacks %+v", test.name, i.Reference, i.Lacks)
			}
		}
		siteHas(t, site, r, "openshift/release-images", "openshift/release")
	}
}

// Chosen platforms keep the signature of the list, which is what clusters ask for.
func TestSparseRelease(t *testing.T) {
	up := newUpstream(t)
	r := up.release(t, "4.12.0", multi)
	r.Sign(fixtures.ReleaseKey(), up.store)
	name := up.name(r)
	prologue, err := up.tryPlan(t, transfer.SelectOptions{Platforms: []string{"linux/arm64"}, Sparse: true}, transfer.Wanted{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	signed := make(map[digest.Digest]bool)
	for _, s := range releasesOf(t, prologue)[0].Signatures {
		signed[s.Digest] = true
	}
	if amd64, arm64 := r.Image.Manifests[0].Descriptor.Digest, r.Image.Manifests[1].Descriptor.Digest; !signed[r.Image.Root.Digest] || !signed[arm64] || signed[amd64] {
		t.Errorf("signatures of %v", signed)
	}
	// Without that, the digests that a release names would change.
	if _, err := up.tryPlan(t, transfer.SelectOptions{Platforms: []string{"linux/arm64"}}, transfer.Wanted{Name: name}); !errors.Is(err, transfer.ErrSparse) {
		t.Errorf("got %v", err)
	}
	// A release that is wanted twice, by tag and by digest, is there once.
	byDigest := transfer.Wanted{Name: oci.Reference{Repository: name.Repository, Digest: r.Image.Root.Digest}}
	prologue, err = up.tryPlan(t, transfer.SelectOptions{}, transfer.Wanted{Name: name}, byDigest, transfer.Wanted{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	destinations, err := transfer.Destinations(prologue.Plan(), transfer.Names{To: "registry.example"})
	if n := len(destinations); err != nil || n != 2+len(r.Components) || destinations[0].String() != destinations[n-1].String() {
		t.Errorf("got %v, %v", destinations, err)
	}
	for _, planned := range releasesOf(t, prologue) {
		if len(planned.Signatures) != 3 {
			t.Errorf("%s has %d signatures", planned.Reference, len(planned.Signatures))
		}
	}
}
