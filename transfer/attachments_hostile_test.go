package transfer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/transfer"
)

// listing is a source of referrers that says what it likes.
type listing func(ctx context.Context, repository string, d digest.Digest) ([]oci.Descriptor, error)

func (l listing) Referrers(ctx context.Context, repository string, d digest.Digest) ([]oci.Descriptor, error) {
	return l(ctx, repository, d)
}

// spdx is a referrer of an image, different for each label.
func spdx(image fixtures.Image, label string) fixtures.Image {
	return fixtures.NewReferrer(image.Repository, image.Root, "text/spdx", fixtures.NewBlob("text/spdx", []byte(label)))
}

// What a registry lists is asked for, and must say itself that it belongs to the
// image: other images are not attached to it, and neither is what is not there.
func TestHostileReferrers(t *testing.T) {
	web, api := layered("web", "web"), layered("api", "api").Named("team/web", "api")
	good, other := spdx(web, "good"), spdx(api, "other")
	gone := spdx(web, "gone")
	source := serve(t, fixtures.Options{}, web, api, good, other)
	for _, test := range []struct {
		name   string
		listed []oci.Descriptor
		err    error
		want   []digest.Digest
	}{
		{"what belongs to it", []oci.Descriptor{good.Root}, nil, []digest.Digest{good.Root.Digest}},
		{"it twice", []oci.Descriptor{good.Root, good.Root}, nil, []digest.Digest{good.Root.Digest}},
		{"an image", []oci.Descriptor{api.Root}, nil, nil},
		{"itself", []oci.Descriptor{web.Root}, nil, nil},
		{"what belongs to another", []oci.Descriptor{other.Root, good.Root}, nil, []digest.Digest{good.Root.Digest}},
		{"what is gone", []oci.Descriptor{gone.Root, good.Root}, nil, []digest.Digest{good.Root.Digest}},
		{"an error", nil, errors.New("it broke down"), nil},
	} {
		sources := transfer.Sources{Registry: client(t), Referrers: listing(func(_ context.Context, repository string, d digest.Digest) ([]oci.Descriptor, error) {
			if repository != source.Host()+"/team/web" || d != web.Root.Digest {
				return nil, fmt.Errorf("asked for %s in %s", d, repository)
			}
			return test.listed, test.err
		})}
		s, err := transfer.Select(t.Context(), sources, wanted(t, source.Host(), web), transfer.SelectOptions{})
		if test.err != nil {
			if !errors.Is(err, test.err) || !strings.Contains(err.Error(), "team/web:1") {
				t.Errorf("%s: got %v", test.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		var got []digest.Digest
		for _, image := range s.Images[1:] {
			if got = append(got, image.Root.Digest); image.AttachedTo != s.Images[0].Reference {
				t.Errorf("%s: %+v", test.name, image)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}

// A tag that only looks like an attachment, a broken one, and one that its registry
// does not give.
func TestHostileAttachmentTags(t *testing.T) {
	web := layered("web", "web")
	schema1 := fixtures.NewSchema1(web.Repository, fixtures.AttachmentTag(web.Root.Digest, ".sig"))
	index := fixtures.NewIndex(layered("api", "api")).Named(web.Repository, fixtures.AttachmentTag(web.Root.Digest, ".att"))
	foreign := fixtures.NewImage(fixtures.ImageSpec{Layers: []fixtures.Layer{fixtures.ForeignLayer("x", 10, "http://127.0.0.1:1/x")}}).
		Named(web.Repository, fixtures.AttachmentTag(web.Root.Digest, ".sbom"))
	for _, test := range []struct {
		name  string
		image fixtures.Image
		fault int
		is    error
		says  string
	}{
		{name: "an index is taken whole", image: index},
		{name: "schema 1", image: schema1, is: oci.ErrSchema1},
		{name: "foreign layers", image: foreign, is: transfer.ErrForeign},
		{name: "busy", image: index, fault: http.StatusServiceUnavailable, says: "503"},
		{name: "forbidden", image: index, fault: http.StatusForbidden, says: "403"},
	} {
		source := serve(t, fixtures.Options{}, web, test.image)
		if test.fault != 0 {
			failing(t, source, fixtures.Fault{Kind: fixtures.FaultAnswer, Status: test.fault}, func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, ".att") })
		}
		sources := transfer.Sources{Registry: client(t), Referrers: client(t)}
		s, err := transfer.Select(t.Context(), sources, wanted(t, source.Host(), web), transfer.SelectOptions{SkipMissing: true})
		if test.is == nil && test.says == "" {
			if err != nil || len(s.Images) != 2 || len(s.Manifests) != 3 {
				t.Errorf("%s: got %d images, %v", test.name, len(s.Images), err)
			}
			continue
		}
		if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "sha256-") {
			t.Errorf("%s: got %v", test.name, err)
		}
	}
}

// manyAttached plans an image with many attachments.
func manyAttached(t testing.TB, n int) (*bundle.Prologue, transfer.Sources, fixtures.Image, []fixtures.Image) {
	t.Helper()
	web := layered("web", "web")
	var all []fixtures.Image
	for i := range n {
		all = append(all, spdx(web, fmt.Sprint(i)))
	}
	source := serve(t, fixtures.Options{}, append([]fixtures.Image{web}, all...)...)
	sources := transfer.Sources{Registry: client(t), Referrers: client(t)}
	return plan(t, sources, source.Host(), 1<<20, transfer.SelectOptions{}, web), sources, web, all
}

// tagIndex puts content under the fallback tag of an image at the site.
func tagIndex(t testing.TB, site *fixtures.Registry, image fixtures.Image, mediaType string, content []byte) {
	t.Helper()
	blob := fixtures.NewBlob(mediaType, content)
	err := client(t).PushManifest(t.Context(), site.Host()+"/mirror/"+image.Repository, fixtures.AttachmentTag(image.Root.Digest, ""), blob.Descriptor, content)
	if err != nil {
		t.Fatal(err)
	}
}

// Attachments come side by side and share one list: none gets lost, and what stands
// there of others stays as it is.
func TestReferrersListedTogether(t *testing.T) {
	prologue, sources, web, all := manyAttached(t, 24)
	site := serve(t, fixtures.Options{RefuseReferrers: true, AllowSparse: true})
	own := `{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + string(digest.FromString("own")) + `","size":3,"x-unknown":[1, 2],"annotations":{"a":"b"}}`
	tagIndex(t, site, web, oci.MediaTypeIndex, []byte(`{"schemaVersion":2,"manifests":[`+own+`],"annotations":{"of":"the list"}}`))
	for range 2 {
		receipt, err := transfer.Copy(t.Context(), prologue, sources, client(t), transfer.CopyOptions{UnpackOptions: into(site)})
		if err != nil {
			t.Fatal(err)
		}
		if complete, _ := receipt.Complete(); !complete {
			t.Errorf("got %+v", receipt)
		}
	}
	d, content, err := client(t).Resolve(t.Context(), oci.Reference{Repository: site.Host() + "/mirror/team/web", Tag: fixtures.AttachmentTag(web.Root.Digest, "")})
	if err != nil || d.MediaType != oci.MediaTypeIndex {
		t.Fatalf("got %v, %v", d, err)
	}
	var list struct {
		MediaType   string
		Manifests   []json.RawMessage
		Annotations map[string]string
	}
	if err := json.Unmarshal(content, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Manifests) != 1+len(all) || strings.ReplaceAll(string(list.Manifests[0]), " ", "") != strings.ReplaceAll(own, " ", "") || list.Annotations["of"] != "the list" {
		t.Errorf("got %s", content)
	}
	for _, image := range all {
		if n := strings.Count(string(content), string(image.Root.Digest)); n != 1 {
			t.Errorf("%s is listed %d times", image.Root.Digest, n)
		}
	}
	if puts := puts(site.Stats()); len(slices.DeleteFunc(puts, func(s string) bool { return !strings.HasSuffix(s, fixtures.AttachmentTag(web.Root.Digest, "")) })) != 1+len(all) {
		t.Errorf("the list was written %d times", len(puts))
	}
}

// Where the list cannot be kept, the image is there and what is attached to it has
// failed: what stands under the tag is not overwritten.
func TestReferrersNotListed(t *testing.T) {
	prologue, sources, web, all := manyAttached(t, 1)
	image, err := web.Manifests[0].Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var entries []oci.Descriptor
	for i := range 10_000 {
		entries = append(entries, oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: digest.FromString(fmt.Sprint(i)), Size: 1})
	}
	full, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": oci.MediaTypeIndex, "manifests": entries})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, mediaType, says string
		content               []byte
	}{
		{"an image", web.Root.MediaType, "not a list of attachments", image},
		{"a list of Docker", oci.MediaTypeDockerList, "not a list of attachments", []byte(`{"schemaVersion":2,"mediaType":"` + oci.MediaTypeDockerList + `","manifests":[]}`)},
		{"a full list", oci.MediaTypeIndex, "10000 attachments", full},
	} {
		site := serve(t, fixtures.Options{RefuseReferrers: true, AllowSparse: true}, web.Named("mirror/"+web.Repository, "1"))
		tagIndex(t, site, web, test.mediaType, test.content)
		o := transfer.CopyOptions{UnpackOptions: into(site)}
		_, err := transfer.Copy(t.Context(), prologue, sources, client(t), o)
		if err == nil || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), all[0].Root.Digest.String()) || !strings.Contains(err.Error(), fixtures.AttachmentTag(web.Root.Digest, "")) {
			t.Errorf("%s: got %v", test.name, err)
		}
		o.KeepGoing = true
		receipt, err := transfer.Copy(t.Context(), prologue, sources, client(t), o)
		if err != nil || receipt.Images[0].State != transfer.ImagePresent || receipt.Images[1].State != transfer.ImageFailed || !strings.Contains(receipt.Images[1].Lacks[0].Reason, test.says) {
			t.Errorf("%s: got %+v, %v", test.name, receipt.Images, err)
		}
		if got := site.Digests()["mirror/team/web"][fixtures.AttachmentTag(web.Root.Digest, "")]; got != digest.FromBytes(test.content) {
			t.Errorf("%s: the tag names %s now", test.name, got)
		}
	}
}

// A registry that has the referrers API keeps the list itself, and is asked rather
// than told.
func TestReferrersAPIAtTheSite(t *testing.T) {
	prologue, sources, web, all := manyAttached(t, 3)
	site := serve(t, fixtures.Options{})
	if _, err := transfer.Copy(t.Context(), prologue, sources, client(t), transfer.CopyOptions{UnpackOptions: into(site)}); err != nil {
		t.Fatal(err)
	}
	if _, ok := site.Digests()["mirror/team/web"][fixtures.AttachmentTag(web.Root.Digest, "")]; ok {
		t.Error("a list was written")
	}
	listed, err := client(t).Referrers(t.Context(), site.Host()+"/mirror/team/web", web.Root.Digest)
	if err != nil || len(listed) != len(all) {
		t.Errorf("listed %v, %v", listed, err)
	}
	// One that does not say whether it has is a failure, and not one without.
	site = serve(t, fixtures.Options{})
	failing(t, site, fixtures.Fault{Kind: fixtures.FaultAnswer, Status: http.StatusInternalServerError}, func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/referrers/") })
	if _, err := transfer.Copy(t.Context(), prologue, sources, client(t), transfer.CopyOptions{UnpackOptions: into(site)}); !isStatus(http.StatusInternalServerError)(err) {
		t.Errorf("got %v", err)
	}
}
