package transfer_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/transfer"
)

// packLacking packs without blobs, as if the source did not give them.
func (u *upstream) packLacking(t testing.TB, prologue *bundle.Prologue, images []fixtures.Image, lacks ...digest.Digest) string {
	t.Helper()
	source := newOrigin(images...)
	for i := range prologue.Plan().Blobs {
		if b := &prologue.Plan().Blobs[i]; b.Origin.Inline != nil {
			source.contents[b.Digest] = fixtures.NewBlob(b.MediaType, b.Origin.Inline)
		}
	}
	var leftOut []bundle.Missing
	for _, d := range lacks {
		leftOut = append(leftOut, bundle.Missing{Digest: d, Reason: "it could not be had"})
	}
	return writeBundle(t, prologue, source, leftOut...)
}

// lastBlob is one that no other image has.
func lastBlob(image fixtures.Image) digest.Digest {
	return image.Blobs[len(image.Blobs)-1].Descriptor.Digest
}

// What is lacking of a release comes under the names that the release gives it:
// attachments by a top-up, and its images with the release, which is packed again
// for a site that has the rest.
func TestReleaseFilledUp(t *testing.T) {
	up := newUpstream(t)
	r := up.release(t, "4.12.0", func(s *fixtures.ReleaseSpec) {
		few(s)
		s.Aliases = map[string]string{"cli-alias": "cli"}
	})
	cli := r.Component("cli").Image
	attached := up.attach(t, r.Image, cli)
	prologue := up.plan(t, releaseVolume, r)
	for what, lacks := range map[string][]digest.Digest{
		"component":     {lastBlob(cli)},
		"release image": {lastBlob(r.Image), lastBlob(r.Component("etcd").Image), lastBlob(attached[1])},
		"attachments":   {lastBlob(attached[0]), lastBlob(attached[2]), lastBlob(attached[3]), lastBlob(attached[5])},
	} {
		path := up.packLacking(t, prologue, slices.Concat(r.Images, attached), lacks...)
		for _, repository := range []string{"", "ocp4/openshift4"} {
			site := serve(t, fixtures.Options{})
			o := transfer.UnpackOptions{To: site.Host() + "/mirror", ReleaseRepository: repository, Trust: trusting(t), KeepGoing: true}
			receipt, err := transfer.Unpack(t.Context(), openBundle(t, path), client(t), o)
			if err != nil {
				t.Fatal(err)
			}
			if complete, _ := receipt.Complete(); complete {
				t.Fatalf("%s: complete", what)
			}
			inventory := parseHave(t, []byte(files(t, path)["inventory.json"]))
			if _, err := transfer.SelectTopUp(t.Context(), up.sources(), inventory, nil, transfer.SelectOptions{}); !errors.Is(err, transfer.ErrTopUpRelease) {
				t.Errorf("%s: by the inventory: %v", what, err)
			}
			s, err := transfer.SelectTopUp(t.Context(), up.sources(), carried(t, receipt), nil, transfer.SelectOptions{})
			if what != "attachments" {
				if !errors.Is(err, transfer.ErrTopUpRelease) {
					t.Errorf("%s: by the receipt: %v", what, err)
				}
				have := transfer.SelectOptions{Releases: up.read(t, r), Have: []*transfer.Have{carried(t, receipt), inventory}}
				if s, err = transfer.Select(t.Context(), up.sources(), nil, have); err != nil {
					t.Fatal(err)
				}
				s.Name = "again"
			} else if err != nil {
				t.Fatal(err)
			} else if _, packed := heldBlobs(s); !sameDigests(packed, lacks) {
				t.Errorf("%s: packed %v, want %v", what, packed, lacks)
			}
			site.ResetStats()
			_, prologue, err := bundle.NewPlan(s, releaseVolume)
			if err != nil {
				t.Fatal(err)
			}
			if receipt, err = transfer.Unpack(t.Context(), up.pack(t, prologue), client(t), o); err != nil {
				t.Fatal(err)
			}
			if complete, _ := receipt.Complete(); !complete {
				t.Errorf("%s: got %+v", what, receipt)
			}
			if got := stored(site); !sameDigests(got, lacks) {
				t.Errorf("%s: sent %v, want %v", what, got, lacks)
			}
			if repository == "" {
				pullsRelease(t, site, "mirror/", r, attached)
			} else {
				siteHas(t, site, r, "mirror/"+repository, "mirror/"+repository)
				for _, image := range attached {
					pulls(t, site, "mirror/"+repository, image)
				}
			}
			for repository, digests := range site.Digests() {
				if len(digests) > 0 && !slices.Contains([]string{"mirror/openshift/release", "mirror/openshift/release-images", "mirror/ocp4/openshift4"}, repository) {
					t.Errorf("%s: %s was written", what, repository)
				}
				for name := range digests {
					if name == "digest-"+cli.Root.Digest.Encoded() {
						t.Errorf("%s: %s:%s was written", what, repository, name)
					}
				}
			}
		}
	}
}

// A site that has the first release gets what is new of the second, whether that is
// told by its receipt or by the inventory, and wherever the naming puts releases.
func TestHaveRelease(t *testing.T) {
	up := newUpstream(t)
	shared := func(s *fixtures.ReleaseSpec) { s.Shared = "4.12"; few(s) }
	first, second := up.release(t, "4.12.0", shared), up.release(t, "4.12.1", shared)
	// Referrers share their config, and those of the second are not where those of
	// the first are.
	referrer := func(image fixtures.Image) fixtures.Image {
		return fixtures.NewReferrer(image.Repository, image.Root, "text/spdx", fixtures.NewBlob("text/spdx", []byte(image.Root.Digest)))
	}
	one, two := referrer(first.Component("cli").Image), referrer(second.Image)
	if err := up.registry.Add(one, two); err != nil {
		t.Fatal(err)
	}
	prologue := up.plan(t, releaseVolume, first)
	path := up.packLacking(t, prologue, append(slices.Clone(first.Images), one))
	inventory := parseHave(t, []byte(files(t, path)["inventory.json"]))
	known := make(map[digest.Digest]bool)
	for i := range prologue.Plan().Blobs {
		known[prologue.Plan().Blobs[i].Digest] = true
	}
	for _, repository := range []string{"", "ocp4/openshift4"} {
		for _, what := range []string{"receipt", "inventory"} {
			site := serve(t, fixtures.Options{})
			o := transfer.UnpackOptions{To: site.Host() + "/mirror", ReleaseRepository: repository, Trust: trusting(t)}
			receipt, err := transfer.Unpack(t.Context(), openBundle(t, path), client(t), o)
			if err != nil {
				t.Fatal(err)
			}
			have := inventory
			if what == "receipt" {
				have = carried(t, receipt)
			}
			lean, err := up.tryPlan(t, transfer.SelectOptions{Have: []*transfer.Have{have}}, transfer.Wanted{Name: up.name(second)})
			if err != nil {
				t.Fatal(err)
			}
			var fresh []digest.Digest
			for i := range lean.Plan().Blobs {
				b := &lean.Plan().Blobs[i]
				if (b.Held != 0) != (known[b.Digest] && b.Origin.Inline == nil) {
					t.Errorf("%s: %s is held: %d", what, b.Digest, b.Held)
				}
				if b.Held == 0 && b.Origin.Inline == nil {
					fresh = append(fresh, b.Digest)
				}
			}
			site.ResetStats()
			receipt, err = transfer.Unpack(t.Context(), up.pack(t, lean), client(t), o)
			if err != nil {
				t.Errorf("%s, %q: %v", what, repository, err)
				continue
			}
			if complete, _ := receipt.Complete(); !complete {
				t.Errorf("%s: got %+v", what, receipt)
			}
			if got := stored(site); !sameDigests(got, fresh) {
				t.Errorf("%s: sent %v, want %v", what, got, fresh)
			}
			if repository == "" {
				pullsRelease(t, site, "mirror/", first, []fixtures.Image{one})
				pullsRelease(t, site, "mirror/", second, []fixtures.Image{two})
			}
		}
	}
}

// An inventory keeps where images are to be.
func TestTopUpKeepsDestinations(t *testing.T) {
	web := layered("web", "base", "web")
	source := newOrigin(web)
	w := wanted(t, "source.example", web)
	w[0].Destinations = []string{"elsewhere/web:1", "elsewhere/web:latest"}
	selection, err := transfer.Select(t.Context(), source.sources(), w, transfer.SelectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	have := parseHave(t, inventoryOf(t, planOf(t, selection), []fixtures.Image{web}, layerDigest("web")))
	s, err := transfer.SelectTopUp(t.Context(), source.sources(), have, nil, transfer.SelectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Images[0].Destinations; !slices.Equal(got, w[0].Destinations) {
		t.Errorf("got %v", got)
	}
}
