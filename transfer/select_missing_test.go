package transfer_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/layout"
	"satchel/oci/registry"
	"satchel/transfer"
)

var skipping = transfer.SelectOptions{SkipMissing: true}

// missing renders a list without the reasons, and checks these.
func missing(t testing.TB, s bundle.Selection, says string) []string {
	t.Helper()
	var all []string
	for _, m := range s.Missing {
		all = append(all, m.Image+" "+string(m.Digest))
		if !strings.Contains(m.Reason, says) || m.Reason != bundle.CleanReason(m.Reason) {
			t.Errorf("reason %q", m.Reason)
		}
	}
	return all
}

func TestSkipMissingImage(t *testing.T) {
	web, api, job := layered("web", "base", "web"), layered("api", "base", "api"), layered("job", "job")
	source := serve(t, fixtures.Options{}, web, job)
	if _, err := choose(t, source, transfer.SelectOptions{}, web, api, job); !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), "team/api:1") {
		t.Errorf("without --skip-missing: %v", err)
	}
	s, err := choose(t, source, skipping, web, api, job, api)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := missing(t, s, "404"), []string{source.Host() + "/team/api:1 "}; !slices.Equal(got, want) {
		t.Errorf("missing %q, want %q", got, want)
	}
	if len(s.Images) != 2 || len(s.Blobs) != 2 || s.Images[0].Reference != source.Host()+"/team/web:1" || s.Images[1].Reference != source.Host()+"/team/job:1" || s.Images[0].Sparse {
		t.Errorf("images %+v", s.Images)
	}
	prologue := planOf(t, s)
	if got := prologue.Incomplete(prologue.Plan().Missing); slices.Contains(got, true) {
		t.Errorf("images are incomplete: %v", got)
	}
	if _, err := choose(t, source, skipping, api, api); !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), "team/api:1") {
		t.Errorf("all are missing: %v", err)
	}
	s, err = choose(t, source, skipping, web, job)
	if err != nil || len(s.Missing) != 0 || len(s.Images) != 2 {
		t.Errorf("nothing is missing: %v, %+v", err, s.Missing)
	}
}

func TestSkipMissingChild(t *testing.T) {
	amd, arm := platformImage(false, linux("amd64", ""), "x"), platformImage(false, linux("arm64", ""), "x")
	s390x, riscv := platformImage(false, linux("s390x", ""), "x"), platformImage(false, linux("riscv64", ""), "x")
	inner := fixtures.NewIndex(s390x, riscv)
	image := fixtures.NewIndex(amd, arm, inner, inner).Named("team/web", "1")
	other := platformImage(false, linux("amd64", ""), "y").Named("team/other", "1")
	for _, test := range []struct {
		name      string
		remove    []digest.Digest
		platforms []string
		sparse    bool
		missing   []digest.Digest
		gone      bool // the whole image is
		manifests int
		isSparse  bool
		kept      []string
	}{
		{name: "nothing", manifests: 6, kept: []string{"linux/amd64", "linux/arm64", "linux/riscv64", "linux/s390x"}},
		{name: "an image", remove: []digest.Digest{arm.Root.Digest}, missing: []digest.Digest{arm.Root.Digest}, manifests: 5, isSparse: true, kept: []string{"linux/amd64", "linux/riscv64", "linux/s390x"}},
		{name: "an index", remove: []digest.Digest{inner.Root.Digest}, missing: []digest.Digest{inner.Root.Digest}, manifests: 3, isSparse: true, kept: []string{"linux/amd64", "linux/arm64"}},
		{name: "below an index", remove: []digest.Digest{riscv.Root.Digest}, missing: []digest.Digest{riscv.Root.Digest}, manifests: 5, isSparse: true, kept: []string{"linux/amd64", "linux/arm64", "linux/s390x"}},
		{name: "several", remove: []digest.Digest{riscv.Root.Digest, amd.Root.Digest}, missing: []digest.Digest{amd.Root.Digest, riscv.Root.Digest}, manifests: 4, isSparse: true, kept: []string{"linux/arm64", "linux/s390x"}},
		{
			name: "all", remove: []digest.Digest{amd.Root.Digest, arm.Root.Digest, inner.Root.Digest},
			missing: []digest.Digest{amd.Root.Digest, arm.Root.Digest, inner.Root.Digest}, manifests: 1, isSparse: true,
		},
		{name: "the root", remove: []digest.Digest{image.Root.Digest}, gone: true},
		{name: "the chosen one", remove: []digest.Digest{arm.Root.Digest}, platforms: []string{"linux/arm64"}, gone: true},
		{name: "not the chosen one", remove: []digest.Digest{arm.Root.Digest}, platforms: []string{"linux/amd64"}, manifests: 1, kept: []string{"linux/amd64"}},
		{name: "an index beside the chosen one", remove: []digest.Digest{inner.Root.Digest}, platforms: []string{"linux/amd64"}, manifests: 1, kept: []string{"linux/amd64"}},
		{
			name: "one of the chosen", remove: []digest.Digest{riscv.Root.Digest}, platforms: []string{"linux/amd64", "linux/riscv64"}, sparse: true,
			missing: []digest.Digest{riscv.Root.Digest}, manifests: 3, isSparse: true, kept: []string{"linux/amd64"},
		},
		{
			name: "not one of the chosen", remove: []digest.Digest{riscv.Root.Digest}, platforms: []string{"linux/amd64", "linux/s390x"}, sparse: true,
			manifests: 4, isSparse: true, kept: []string{"linux/amd64", "linux/s390x"},
		},
		{
			name: "an index where some are chosen", remove: []digest.Digest{inner.Root.Digest}, platforms: []string{"linux/amd64"}, sparse: true,
			missing: []digest.Digest{inner.Root.Digest}, manifests: 2, isSparse: true, kept: []string{"linux/amd64"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := serve(t, fixtures.Options{}, image, other)
			for _, d := range test.remove {
				source.Remove("team/web", string(d))
			}
			o := transfer.SelectOptions{Platforms: test.platforms, Sparse: test.sparse, SkipMissing: true}
			s, err := choose(t, source, o, other, image)
			if err != nil {
				t.Fatal(err)
			}
			reference := source.Host() + "/team/web:1"
			var want []string
			for _, d := range test.missing {
				want = append(want, reference+" "+string(d))
			}
			if test.gone {
				want = []string{reference + " "}
			}
			if got := missing(t, s, "404"); !slices.Equal(got, want) {
				t.Errorf("missing %q, want %q", got, want)
			}
			prologue := planOf(t, s)
			if test.gone {
				if len(s.Images) != 1 {
					t.Errorf("images %+v", s.Images)
				}
				return
			}
			got := s.Images[1]
			if got.Sparse != test.isSparse || !slices.Equal(got.Platforms, test.kept) || len(s.Manifests) != 1+test.manifests {
				t.Errorf("got %+v, %d manifests", got, len(s.Manifests))
			}
			if incomplete := prologue.Incomplete(s.Missing); incomplete[0] || incomplete[1] != (len(test.missing) > 0) {
				t.Errorf("incomplete: %v", incomplete)
			}
			// Nothing of what is missing is asked for as long as it is an error.
			o.SkipMissing = false
			_, err = choose(t, source, o, other, image)
			if len(test.missing) > 0 && (!errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), reference) || !strings.Contains(err.Error(), string(test.missing[0]))) {
				t.Errorf("without --skip-missing: %v", err)
			}
		})
	}
}

// A child that its own repository lacks may be there for another image: what is
// found must not depend on which is read first.
func TestSkipMissingElsewhere(t *testing.T) {
	amd, arm := platformImage(false, linux("amd64", ""), "x"), platformImage(false, linux("arm64", ""), "x")
	s390x, riscv := platformImage(false, linux("s390x", ""), "x"), platformImage(false, linux("riscv64", ""), "x")
	inner := fixtures.NewIndex(arm, s390x, riscv)
	web := fixtures.NewIndex(amd, inner).Named("team/web", "1")
	job := inner.Named("team/job", "1")
	source := serve(t, fixtures.Options{}, web, job)
	source.Remove("team/web", string(inner.Root.Digest))
	for _, images := range [][]fixtures.Image{{web, job}, {job, web}} {
		for range 5 {
			s, err := choose(t, source, skipping, images...)
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Missing) != 0 || s.Images[0].Sparse || s.Images[1].Sparse || len(s.Manifests) != 6 {
				t.Fatalf("got %+v, missing %+v", s.Images, s.Missing)
			}
			for _, m := range s.Manifests {
				if m.Digest == inner.Root.Digest && m.Origin.Repository != source.Host()+"/team/job" {
					t.Errorf("the child comes from %+v", m.Origin)
				}
			}
			planOf(t, s)
		}
	}
	// What the other one lacks below is missing for both.
	source.Remove("team/job", string(riscv.Root.Digest))
	s, err := choose(t, source, skipping, web, job)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{source.Host() + "/team/web:1 " + string(riscv.Root.Digest), source.Host() + "/team/job:1 " + string(riscv.Root.Digest)}
	if got := missing(t, s, "404"); !slices.Equal(got, want) || !s.Images[0].Sparse || !s.Images[1].Sparse {
		t.Errorf("missing %q, images %+v", got, s.Images)
	}
	planOf(t, s)
}

// Only the answer that something is not there counts.
func TestSkipMissingOnly(t *testing.T) {
	amd, arm := platformImage(false, linux("amd64", ""), "x"), platformImage(false, linux("arm64", ""), "x")
	image := fixtures.NewIndex(amd, arm).Named("team/web", "1")
	other := layered("other", "other")
	for _, status := range []int{401, 403, 405, 410, 429, 500, 503} {
		for _, where := range []string{"/manifests/1", string(arm.Root.Digest)} {
			source := serve(t, fixtures.Options{Fault: func(_ int, r *http.Request) fixtures.Fault {
				if strings.HasSuffix(r.URL.Path, where) && strings.Contains(r.URL.Path, "team/web") {
					return fixtures.Fault{Kind: fixtures.FaultAnswer, Status: status}
				}
				return fixtures.Fault{}
			}}, image, other)
			_, err := choose(t, source, skipping, image, other)
			if err == nil || !strings.Contains(err.Error(), source.Host()+"/team/web:1") || !strings.Contains(err.Error(), where) {
				t.Errorf("%d for %s: %v", status, where, err)
			}
		}
	}
	// An index that could not be looked into is not one without the platform.
	inner := fixtures.NewIndex(arm)
	nested := fixtures.NewIndex(amd, inner).Named("team/web", "1")
	broken := serve(t, fixtures.Options{Fault: func(_ int, r *http.Request) fixtures.Fault {
		if strings.HasSuffix(r.URL.Path, string(inner.Root.Digest)) {
			return fixtures.Fault{Kind: fixtures.FaultAnswer, Status: 500}
		}
		return fixtures.Fault{}
	}}, nested, other)
	_, err := choose(t, broken, transfer.SelectOptions{Platforms: []string{"linux/arm64"}, SkipMissing: true}, nested, other)
	if err == nil || !strings.Contains(err.Error(), "500") {
		t.Errorf("an index that is broken: %v", err)
	}
	// A token server that is not there says nothing of images.
	source := serve(t, fixtures.Options{Bearer: true, Fault: func(_ int, r *http.Request) fixtures.Fault {
		if strings.Contains(r.URL.Path, "token") && strings.Contains(r.URL.RawQuery, "web") {
			return fixtures.Fault{Kind: fixtures.FaultAnswer, Status: http.StatusNotFound}
		}
		return fixtures.Fault{}
	}}, image, other)
	if s, err := choose(t, source, skipping, image, other); err == nil {
		t.Errorf("without a token: missing %+v", s.Missing)
	}
}

// What a layout does not have is missing too, and its path stands nowhere.
func TestSkipMissingLayout(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secret-path")
	l, err := layout.Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	amd, arm := platformImage(false, linux("amd64", ""), "x"), platformImage(false, linux("arm64", ""), "x")
	image := fixtures.NewIndex(amd, arm)
	for _, m := range image.Manifests {
		content, err := m.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if m.Descriptor.Digest != arm.Root.Digest {
			if err := l.PutManifest(t.Context(), m.Descriptor, content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.Tag(t.Context(), "web", image.Root); err != nil {
		t.Fatal(err)
	}
	sources := transfer.Sources{Layouts: map[string]transfer.Layout{"oci-layout-1": l}}
	named := func(path, entry string) transfer.Wanted {
		return transfer.Wanted{Name: oci.Reference{Repository: "example.com/" + path, Tag: "1"}, Local: "oci-layout-1", Entry: entry}
	}
	s, err := transfer.Select(t.Context(), sources, []transfer.Wanted{named("web", "web"), named("api", "api")}, skipping)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"example.com/web:1 " + string(arm.Root.Digest), "example.com/api:1 "}
	if got := missing(t, s, "oci-layout-1"); !slices.Equal(got, want) {
		t.Errorf("missing %q, want %q", got, want)
	}
	for _, m := range s.Missing {
		if strings.Contains(m.Reason, "secret-path") {
			t.Errorf("reason %q", m.Reason)
		}
	}
	planOf(t, s)
}
