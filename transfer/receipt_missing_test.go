package transfer_test

import (
	"encoding/json"
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

// neverHad packs web while the source does not have the other images, and returns
// the plan, with what it lacks.
func neverHad(t testing.TB, source *fixtures.Registry, o transfer.SelectOptions, web fixtures.Image, others ...transfer.Wanted) (prologue *bundle.Prologue, path string) {
	t.Helper()
	o.SkipMissing = true
	s, err := transfer.Select(t.Context(), transfer.Sources{Registry: client(t)}, append(wanted(t, source.Host(), web), others...), o)
	if err != nil {
		t.Fatal(err)
	}
	prologue = planOf(t, s)
	return prologue, writeBundle(t, prologue, newOrigin(web))
}

// What the bundle never had is told by the receipt, and comes later under the names
// that it should have had, whatever the naming is then.
func TestTopUpOfNeverHad(t *testing.T) {
	web, api := layered("web", "base", "web"), layered("api", "base", "api")
	job := fixtures.NewIndex(platformImage(false, linux("amd64", ""), "x"), platformImage(false, linux("arm64", ""), "x")).Named("team/job", "")
	source := serve(t, fixtures.Options{}, web)
	byDigest := transfer.Wanted{Name: oci.Reference{Repository: source.Host() + "/team/job", Digest: job.Root.Digest}}
	prologue, path := neverHad(t, source, transfer.SelectOptions{}, web, append(wanted(t, source.Host(), api), byDigest)...)
	if err := source.Add(api, job); err != nil {
		t.Fatal(err)
	}
	host := strings.ReplaceAll(source.Host(), ":", "-")
	for _, test := range []struct {
		naming    transfer.Naming
		copied    bool
		below     string
		digestTag string
		renamed   int // images whose names are told
	}{
		{transfer.NamingPath, false, "mirror/", "digest-", 0},
		{transfer.NamingPath, true, "mirror/", "digest-", 0},
		{transfer.NamingHost, false, "mirror/" + host + "/", "digest-", 2},
		{transfer.NamingOCMirror, false, "mirror/", "sha256-", 1},
	} {
		site := serve(t, fixtures.Options{})
		o := into(site)
		o.Naming = test.naming
		var receipt *transfer.Receipt
		var err error
		if test.copied {
			receipt, err = transfer.Copy(t.Context(), prologue, transfer.Sources{Registry: client(t)}, client(t), transfer.CopyOptions{UnpackOptions: o})
		} else {
			receipt, err = transfer.Unpack(t.Context(), openBundle(t, path), client(t), o)
		}
		if err != nil {
			t.Fatal(err)
		}
		if complete, damaged := receipt.Complete(); complete || damaged || len(receipt.Images) != 1 {
			t.Errorf("%s: complete %t, damaged %t, %+v", test.naming, complete, damaged, receipt.Images)
		}
		job := job.Named(job.Repository, test.digestTag+job.Root.Digest.Encoded())
		for i, image := range []fixtures.Image{api, job} {
			want := transfer.MissingImage{
				Destination: site.Host() + "/" + test.below + image.Reference(),
				Reference:   prologue.Plan().Missing[i].Image, Reason: prologue.Plan().Missing[i].Reason,
			}
			if len(receipt.Missing) != 2 || !sameJSON(t, receipt.Missing[i], want) {
				t.Errorf("%s: got %+v, want %+v", test.naming, receipt.Missing, want)
			}
		}
		s, err := transfer.SelectTopUp(t.Context(), transfer.Sources{Registry: client(t)}, carried(t, receipt), nil, transfer.SelectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		held, packed := heldBlobs(s)
		if len(s.Images) != 2 || len(packed) != 6 || len(held) != 1 || held[layerDigest("base")].Repository != site.Host()+"/"+test.below+"team/web" {
			t.Errorf("%s: %+v, packed %v, held %v", test.naming, s.Images, packed, held)
		}
		renamed := 0
		for _, image := range s.Images {
			renamed += len(image.Destinations)
		}
		if renamed != test.renamed {
			t.Errorf("%s: %d names are told, want %d: %+v", test.naming, renamed, test.renamed, s.Images)
		}
		second := unpack(t, smallBundle(t, s, []fixtures.Image{api, job}), site)
		if complete, _ := second.Complete(); !complete {
			t.Errorf("%s: %+v", test.naming, second)
		}
		for _, image := range []fixtures.Image{web, api, job} {
			pulls(t, site, test.below+image.Repository, image)
		}
		if n := len(site.Digests()); n != 3 {
			t.Errorf("%s: %d repositories: %v", test.naming, n, site.Digests())
		}
	}
}

func sameJSON(t testing.TB, a, b any) bool {
	t.Helper()
	one, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	two, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(one) == string(two)
}

// A component that the source did not have is told as that, and is packed with its
// release.
func TestTopUpOfMissingComponent(t *testing.T) {
	up := newUpstream(t)
	r := up.release(t, "4.12.0", few)
	cli := r.Component("cli").Image
	up.registry.Remove(cli.Repository, string(cli.Root.Digest))
	s, err := transfer.Select(t.Context(), up.sources(), nil, transfer.SelectOptions{Releases: up.read(t, r), SkipMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	path := up.packLacking(t, planOf(t, s), r.Images)
	site := serve(t, fixtures.Options{})
	receipt, err := transfer.Unpack(t.Context(), openBundle(t, path), client(t), transfer.UnpackOptions{To: site.Host() + "/mirror", Trust: trusting(t)})
	if err != nil {
		t.Fatal(err)
	}
	if len(receipt.Missing) != 1 || receipt.Missing[0].Part != bundle.PartComponent ||
		receipt.Missing[0].Destination != site.Host()+"/mirror/openshift/release:4.12.0-x86_64-cli" {
		t.Errorf("got %+v", receipt.Missing)
	}
	if _, err := transfer.SelectTopUp(t.Context(), up.sources(), carried(t, receipt), nil, transfer.SelectOptions{}); !errors.Is(err, transfer.ErrTopUpRelease) {
		t.Errorf("got %v", err)
	}
}

// What operators need was wanted with all platforms, and so was an image by digest.
func TestTopUpOfNeverHadPlatforms(t *testing.T) {
	web := layered("web", "base", "web")
	job := fixtures.NewIndex(platformImage(false, linux("amd64", ""), "x"), platformImage(false, linux("arm64", ""), "x")).Named("team/job", "1")
	for _, test := range []struct {
		name      string
		request   bundle.Request
		byDigest  bool
		manifests int
	}{
		{"all", bundle.Request{}, false, 3},
		{"one, by tag", bundle.Request{Platforms: []string{"linux/arm64"}}, false, 1},
		{"one, by digest", bundle.Request{Platforms: []string{"linux/arm64"}}, true, 3},
		{"sparse, by digest", bundle.Request{Platforms: []string{"linux/arm64"}, Sparse: true}, true, 2},
		{"a catalog, by tag", bundle.Request{Platforms: []string{"linux/arm64"}, Catalogs: []string{"site.example/olm/index:v1"}}, false, 3},
		{"a catalog, sparse", bundle.Request{Platforms: []string{"linux/arm64"}, Sparse: true, Catalogs: []string{"site.example/olm/index:v1"}}, true, 3},
	} {
		source := serve(t, fixtures.Options{}, web, job)
		receipt := receiptOf(t, plan(t, transfer.Sources{Registry: client(t)}, source.Host(), 1<<20, transfer.SelectOptions{}, web), "site.example", nil)
		reference := source.Host() + "/team/job:1"
		if test.byDigest {
			reference = source.Host() + "/team/job@" + job.Root.Digest.String()
		}
		receipt["missing"] = []map[string]any{{"reference": reference, "reason": "it was not there"}}
		receipt["request"] = test.request
		if s := topUp(t, source, receipt.encode(t), transfer.SelectOptions{}); len(s.Manifests) != test.manifests || len(s.Images) != 1 {
			t.Errorf("%s: %d manifests, want %d", test.name, len(s.Manifests), test.manifests)
		}
	}
}

// What the receipt says of missing images is nobody's word to be trusted.
func TestHaveChecksMissing(t *testing.T) {
	images, prologue := twoImages(t)
	receipt := func(missing any) []byte {
		r := receiptOf(t, prologue, "site.example", nil)
		r["missing"], r["to"] = missing, "site.example"
		return r.encode(t)
	}
	one := func(key string, value any) []byte {
		m := map[string]any{"reference": "source.example/team/job:1", "reason": "x", "destination": "site.example/team/job:1"}
		m[key] = value
		return receipt([]any{m})
	}
	renamed := func(key string, value any) []byte {
		m := map[string]any{"reference": "source.example/team/job:1", "destination": "site.example/team/renamed:1", key: value}
		return receipt([]any{m})
	}
	for _, test := range []struct {
		name string
		data []byte
		says string
	}{
		{"no list", receipt(map[string]any{}), "not a list"},
		{"lists", receipt([]any{[]any{}}), ""},
		{"no reference", one("reference", ""), "missing image"},
		{"bad reference", one("reference", "../job"), "../job"},
		{"neither tag nor digest", one("reference", "source.example/team/job"), "neither tag nor digest"},
		{"bad destination", one("destination", "http://site.example/x"), "destination"},
		{"bad part", one("part", "operator"), `part "operator"`},
		{"bad tag", renamed("tags", []string{"a/b"}), "source.example/team/job:1"},
		{"a tag twice", renamed("tags", []string{"1"}), "source.example/team/job:1"},
		{"no tag", renamed("destination", "site.example/team/renamed@"+digest.FromString("x").String()), "source.example/team/job:1"},
	} {
		if h, err := transfer.ParseHave(test.data); err == nil || h != nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, %v", test.name, h, err)
		}
	}

	// What is named twice counts once, what is there too not at all; and the list may
	// stand before that of the images.
	before := append([]byte(`{"missing":[{"reference":"source.example/team/web:1"},{"reference":"source.example/team/job:1"},`+
		`{"reference":"source.example/team/job:1","part":"component"}],`), receiptOf(t, prologue, "site.example", nil).encode(t)[1:]...)
	source := newOrigin(append(slices.Clone(images), layered("job", "base", "job"))...)
	s, err := transfer.SelectTopUp(t.Context(), source.sources(), parseHave(t, before), nil, transfer.SelectOptions{})
	if err != nil || len(s.Images) != 1 || s.Images[0].Reference != "source.example/team/job:1" {
		t.Errorf("got %+v, %v", s.Images, err)
	}
	if _, err := transfer.SelectTopUp(t.Context(), source.sources(), parseHave(t, receipt([]any{})), nil, transfer.SelectOptions{}); !errors.Is(err, transfer.ErrWhole) {
		t.Errorf("an empty list: %v", err)
	}
}
