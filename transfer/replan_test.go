package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/registry"
	"satchel/transfer"
)

// localImage is a local source with one image, under any name.
type localImage struct {
	*origin
	root oci.Descriptor
}

func (l *localImage) Resolve(context.Context, string) (oci.Descriptor, error) { return l.root, nil }

func (l *localImage) Manifest(ctx context.Context, d oci.Descriptor) ([]byte, error) {
	return l.origin.Manifest(ctx, "", d)
}

func (l *localImage) Blob(ctx context.Context, d oci.Descriptor, offset, length int64) (io.ReadCloser, bool, error) {
	return l.origin.Blob(ctx, "", d, offset, length)
}

func TestMoved(t *testing.T) {
	amd, arm := platformImage(false, linux("amd64", ""), "x"), platformImage(false, linux("arm64", ""), "x")
	index := fixtures.NewIndex(arm, fixtures.NewIndex(amd)).Named("team/index", "1")
	gone, other := layered("gone", "x"), layered("other", "x")
	local := layered("local", "x")
	byDigest := layered("digest", "x").Named("team/digest", "")
	plain := layered("plain", "x")
	moved := layered("else", "y")
	source := serve(t, fixtures.Options{}, index, gone, other, byDigest, plain)
	sources := transfer.Sources{Registry: client(t), Layouts: map[string]transfer.Layout{"oci-layout-1": &localImage{newOrigin(local), local.Root}}}
	all := append(wanted(t, source.Host(), index, gone, other, byDigest, plain), transfer.Wanted{
		Name: oci.Reference{Repository: source.Host() + "/team/local", Tag: "1"}, Local: "oci-layout-1",
	})
	planned := func(o transfer.SelectOptions) *bundle.Plan {
		s, err := transfer.Select(t.Context(), sources, all, o)
		if err != nil {
			t.Fatal(err)
		}
		return planOf(t, s).Plan()
	}
	whole := planned(transfer.SelectOptions{})
	chosen := planned(transfer.SelectOptions{Platforms: []string{"linux/amd64"}})
	sparse := planned(transfer.SelectOptions{Platforms: []string{"linux/amd64"}, Sparse: true})
	for what, plan := range map[string]*bundle.Plan{"whole": whole, "chosen": chosen, "sparse": sparse} {
		if got := transfer.Moved(t.Context(), sources, plan, 1); len(got) != 0 {
			t.Errorf("%s, nothing has moved: %+v", what, got)
		}
	}

	larger := fixtures.NewIndex(index, layered("z", "z")).Named("team/index", "1")
	if err := source.Add(larger, moved.Named("team/other", "1"), moved.Named("team/plain", "2")); err != nil {
		t.Fatal(err)
	}
	source.Remove("team/gone", "1")
	source.Remove("team/digest", string(byDigest.Root.Digest))
	name := func(path string) string { return source.Host() + "/team/" + path + ":1" }
	rest := []transfer.MovedTag{
		{Reference: name("gone"), Planned: gone.Root.Digest, Err: registry.ErrNotFound},
		{Reference: name("other"), Planned: other.Root.Digest, Now: moved.Root.Digest},
	}
	withIndex := slices.Insert(slices.Clone(rest), 0, transfer.MovedTag{Reference: name("index"), Planned: index.Root.Digest, Now: larger.Root.Digest})
	check := func(what string, got, want []transfer.MovedTag) {
		t.Helper()
		if !slices.EqualFunc(got, want, func(a, b transfer.MovedTag) bool {
			return a.Reference == b.Reference && a.Planned == b.Planned && a.Now == b.Now && errors.Is(a.Err, b.Err)
		}) {
			t.Errorf("%s: got %+v, want %+v", what, got, want)
		}
	}
	check("whole", transfer.Moved(t.Context(), sources, whole, 0), withIndex)
	check("sparse", transfer.Moved(t.Context(), sources, sparse, 0), withIndex)
	check("chosen, and there still", transfer.Moved(t.Context(), sources, chosen, 0), rest)

	without := fixtures.NewIndex(arm, fixtures.NewIndex(arm)).Named("team/index", "1")
	if err := source.Add(without); err != nil {
		t.Fatal(err)
	}
	check("chosen, and no longer there", transfer.Moved(t.Context(), sources, chosen, 0),
		slices.Insert(slices.Clone(rest), 0, transfer.MovedTag{Reference: name("index"), Planned: amd.Root.Digest, Now: without.Root.Digest}))
	source.Remove("team/index", string(fixtures.NewIndex(arm).Root.Digest))
	check("chosen, and an index is not there", transfer.Moved(t.Context(), sources, chosen, 0),
		slices.Insert(slices.Clone(rest), 0, transfer.MovedTag{Reference: name("index"), Planned: amd.Root.Digest, Err: registry.ErrNotFound}))

	whole.Request.TopUp = digest.FromString("receipt")
	check("top-up", transfer.Moved(t.Context(), sources, whole, 0), nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, m := range transfer.Moved(ctx, sources, chosen, 0) {
		if !errors.Is(m.Err, context.Canceled) {
			t.Errorf("stopped: %+v", m)
		}
	}
}

func TestFetchManifests(t *testing.T) {
	images := fixtures.Demo(100, 200)
	local := layered("local", "x")
	source := serve(t, fixtures.Options{}, images...)
	layout := &localImage{newOrigin(local), local.Root}
	sources := transfer.Sources{Registry: client(t), Layouts: map[string]transfer.Layout{"oci-layout-1": layout}}
	all := append(wanted(t, source.Host(), images...), transfer.Wanted{Name: oci.Reference{Repository: "example.com/local", Tag: "1"}, Local: "oci-layout-1"})
	s, err := transfer.Select(t.Context(), sources, all, transfer.SelectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	prologue := planOf(t, s)
	plan, err := bundle.ParsePlan(prologue.PlanJSON())
	if err != nil {
		t.Fatal(err)
	}
	// Tags do not count any more.
	for _, image := range images {
		if image.Tag != "" {
			if err := source.Add(layered("else", "y").Named(image.Repository, image.Tag)); err != nil {
				t.Fatal(err)
			}
		}
	}
	source.ResetStats()
	var mu sync.Mutex
	told := make(map[string]digest.Digest)
	contents, err := transfer.FetchManifests(t.Context(), sources, plan, func(e transfer.Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Kind == transfer.ImageResolved {
			told[e.Image] = e.Digest
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	again, err := bundle.NewPrologue(plan, contents)
	if err != nil {
		t.Fatal(err)
	}
	if again.PlanID() != prologue.PlanID() || again.Size() != prologue.Size() {
		t.Errorf("got plan %s, %d bytes, want %s, %d", again.PlanID(), again.Size(), prologue.PlanID(), prologue.Size())
	}
	for _, image := range plan.Images {
		if told[image.Reference] != image.Root.Digest {
			t.Errorf("of %s was told %q", image.Reference, told[image.Reference])
		}
	}
	if got := source.Stats().Requests["GET manifest"]; got != len(plan.Manifests)-1 || len(told) != len(plan.Images) {
		t.Errorf("%d requests for %d manifests, %d events", got, len(plan.Manifests), len(told))
	}
	if _, err := transfer.FetchManifests(t.Context(), sources, plan, nil); err != nil {
		t.Error(err)
	}

	root := images[2].Root.Digest
	source.Remove(images[2].Repository, string(root))
	if _, err := transfer.FetchManifests(t.Context(), sources, plan, nil); !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), string(root)) {
		t.Errorf("removed: %v", err)
	}
	sources.Registry = newOrigin(images...)
	layout.contents[local.Root.Digest] = fixtures.NewBlob(oci.MediaTypeManifest, []byte("{}"))
	_, err = transfer.FetchManifests(t.Context(), sources, plan, nil)
	if mismatch := mustAs[*oci.MismatchError](t, err); mismatch.Want.Digest != local.Root.Digest {
		t.Errorf("wrong content: %v", err)
	}
	sources.Layouts = nil
	if _, err := transfer.FetchManifests(t.Context(), sources, plan, nil); err == nil || !strings.Contains(err.Error(), "oci-layout-1 is not named") {
		t.Errorf("not named: %v", err)
	}
}

// More than fits is refused before anything is fetched, and what has no place of
// its own is not looked for.
func TestFetchManifestsBounded(t *testing.T) {
	p := &bundle.Plan{}
	for n := range bundle.MaxManifestBytes/oci.MaxManifestSize + 1 {
		p.Manifests = append(p.Manifests, bundle.Manifest{
			Content: bundle.Content{Digest: digest.FromString(fmt.Sprint(n)), MediaType: oci.MediaTypeManifest, Size: oci.MaxManifestSize},
			Origin:  bundle.Origin{URLs: []string{"https://publisher.example/"}},
		})
	}
	if _, err := transfer.FetchManifests(t.Context(), transfer.Sources{}, p, nil); err == nil || !strings.Contains(err.Error(), "more than 536870912 bytes") {
		t.Errorf("got %v", err)
	}
	p.Manifests = p.Manifests[:1]
	if _, err := transfer.FetchManifests(t.Context(), transfer.Sources{}, p, nil); err == nil || !strings.Contains(err.Error(), "origin") {
		t.Errorf("got %v", err)
	}
}
