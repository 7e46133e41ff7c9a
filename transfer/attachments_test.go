package transfer_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/transfer"
)

// attachedTo returns a signature as cosign attaches it by a tag, and an SBOM that
// names its subject.
func attachedTo(image fixtures.Image, d oci.Descriptor, label string) (signature, sbom fixtures.Image) {
	layer := fixtures.NewBlob("application/vnd.dev.cosign.simplesigning.v1+json", []byte(`{"critical":"`+label+d.Digest.Encoded()+`"}`))
	signature = fixtures.NewArtifact("", nil, layer).Named(image.Repository, "sha256-"+d.Digest.Encoded()+".sig")
	subject := oci.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
	sbom = fixtures.NewArtifact("application/spdx+json", &subject,
		fixtures.NewBlob("application/spdx+json", []byte(`{"of":"`+label+d.Digest.Encoded()+`"}`))).Named(image.Repository, "")
	return signature, sbom
}

// What is attached to images, and to the children of lists, travels byte for byte
// and is found at the site, whether it has the referrers API or not.
func TestAttachments(t *testing.T) {
	images := fixtures.Demo(1000, 2000)
	list, plain := images[0], images[4]
	var attached []fixtures.Image
	for _, image := range []fixtures.Image{list, plain} {
		for _, m := range image.Manifests {
			signature, sbom := attachedTo(image, m.Descriptor, "")
			attached = append(attached, signature, sbom)
		}
	}
	for _, source := range []fixtures.Options{{}, {RefuseReferrers: true}} {
		up := serve(t, source, append([]fixtures.Image{list, plain}, attached...)...)
		if source.RefuseReferrers {
			listFallback(t, up, attached)
		}
		c := client(t)
		sources := transfer.Sources{Registry: c, Referrers: c}
		selection, err := transfer.Select(t.Context(), sources, wanted(t, up.Host(), list, plain), transfer.SelectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(selection.Images) != 2+len(attached) {
			t.Errorf("%d images, %d are attached to two", len(selection.Images), len(attached))
		}
		without, err := transfer.Select(t.Context(), sources, wanted(t, up.Host(), list, plain), transfer.SelectOptions{NoAttachments: true})
		if err != nil || len(without.Images) != 2 || !without.Request.NoAttachments {
			t.Errorf("%d images without attachments, %v", len(without.Images), err)
		}
		selection.Name = "attached"
		_, prologue, err := bundle.NewPlan(selection, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, there := range []fixtures.Options{{}, {RefuseReferrers: true}} {
			site := serve(t, there)
			// Somebody else's attachment is there already.
			_, own := attachedTo(list, list.Manifests[0].Descriptor, "site's own")
			own = own.Named("mirror/"+own.Repository, "")
			if err := site.Add(list.Named("mirror/"+list.Repository, "x"), own); err != nil {
				t.Fatal(err)
			}
			if there.RefuseReferrers {
				listFallback(t, site, []fixtures.Image{own})
			}
			for range 2 { // the second time nothing is listed twice
				receipt, err := transfer.Copy(t.Context(), prologue, sources, client(t), transfer.CopyOptions{
					UnpackOptions: transfer.UnpackOptions{To: site.Host() + "/mirror"},
				})
				if err != nil {
					t.Fatal(err)
				}
				if complete, _ := receipt.Complete(); !complete {
					t.Errorf("got %+v", receipt)
				}
			}
			checkAttached(t, site, append([]fixtures.Image{own}, attached...))
		}
	}
}

// checkAttached checks that signatures have their tags, and that referrers are
// listed with their subjects, each once.
func checkAttached(t *testing.T, site *fixtures.Registry, attached []fixtures.Image) {
	t.Helper()
	c := client(t)
	for _, image := range attached {
		repository := site.Host() + "/mirror/" + strings.TrimPrefix(image.Repository, "mirror/")
		ref := oci.Reference{Repository: repository, Tag: image.Tag}
		if image.Tag == "" {
			ref.Digest = image.Root.Digest
		}
		d, content, err := c.Resolve(t.Context(), ref)
		if err != nil || d.Digest != image.Root.Digest {
			t.Errorf("%s: got %v, %v", ref, d, err)
			continue
		}
		m, err := oci.ParseManifest(d.MediaType, content)
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject == nil {
			continue
		}
		listed, err := c.Referrers(t.Context(), repository, m.Subject.Digest)
		if err != nil {
			t.Fatal(err)
		}
		same := func(l oci.Descriptor) bool { return l.Digest == d.Digest && l.ArtifactType == "application/spdx+json" }
		if i := slices.IndexFunc(listed, same); i < 0 || slices.ContainsFunc(listed[i+1:], same) {
			t.Errorf("%s is not listed once: %v", d.Digest, listed)
		}
	}
}

// listFallback writes what clients write where there is no referrers API.
func listFallback(t *testing.T, r *fixtures.Registry, attached []fixtures.Image) {
	t.Helper()
	c := client(t)
	lists := make(map[string][]oci.Descriptor)
	for _, image := range attached {
		content, err := image.Manifests[len(image.Manifests)-1].Bytes()
		if err != nil {
			t.Fatal(err)
		}
		var doc struct{ Subject *oci.Descriptor }
		if err := json.Unmarshal(content, &doc); err != nil {
			t.Fatal(err)
		}
		if doc.Subject != nil {
			key := image.Repository + ":sha256-" + doc.Subject.Digest.Encoded()
			lists[key] = append(lists[key], image.Root)
		}
	}
	for key, descriptors := range lists {
		content, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": oci.MediaTypeIndex, "manifests": descriptors})
		if err != nil {
			t.Fatal(err)
		}
		repository, tag, _ := strings.Cut(key, ":")
		index := fixtures.NewBlob(oci.MediaTypeIndex, content)
		if err := c.PushManifest(t.Context(), r.Host()+"/"+repository, tag, index.Descriptor, content); err != nil {
			t.Fatal(err)
		}
	}
}
