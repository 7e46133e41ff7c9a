package bundle_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// refusePlan fails the test unless a plan is refused with these words.
func refusePlan(t *testing.T, name, says string, planJSON []byte, edit func(*bundle.Plan)) {
	t.Helper()
	plan, err := bundle.ParsePlan(planJSON)
	if err != nil {
		t.Fatal(err)
	}
	edit(plan)
	edited, err := plan.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bundle.ParsePlan(edited); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v, want %q", name, err, says)
	}
}

// TestPlanHeld changes what the golden plan says of held blobs.
func TestPlanHeld(t *testing.T) {
	planJSON := open(t, goldenDir).Prologue.PlanJSON()
	good := editPlan(t, planJSON, func(*bundle.Plan) {})
	at := slices.IndexFunc(good.Blobs, func(b bundle.Blob) bool { return b.Held == 1 })
	cut := slices.IndexFunc(good.Blobs, func(b bundle.Blob) bool { return len(b.Extents) > 0 })
	for n := 1; n <= good.Volumes; n++ {
		for _, m := range good.Members(n) {
			if m.Blob.Held != 0 {
				t.Errorf("held blob %s is in volume %d", m.Blob.Digest, n)
			}
		}
	}
	const bad = "sha256:0"
	for _, test := range []struct {
		name, says string
		edit       func(p *bundle.Plan)
	}{
		{"held and whole", "exactly one", func(p *bundle.Plan) { p.Blobs[at].Volume = 1 }},
		{"held and cut", "exactly one", func(p *bundle.Plan) { p.Blobs[cut].Held = 1 }},
		{"neither", "exactly one", func(p *bundle.Plan) { p.Blobs[at].Held = 0 }},
		{"held by an image that is none", "held image 3 of 2", func(p *bundle.Plan) { p.Blobs[at].Held = 3 }},
		{"held by a number below 1", "held image -1 of 2", func(p *bundle.Plan) { p.Blobs[at].Held = -1 }},
		{"no held image", "held image 1 of 0", func(p *bundle.Plan) { p.Held = nil }},
		{"a bundle ID", "bundle ID", func(p *bundle.Plan) { p.Held[0].Bundle = bad }},
		{"a plan ID", "plan ID", func(p *bundle.Plan) { p.Held[0].Plan = bad }},
		{"no plan ID", "plan ID", func(p *bundle.Plan) { p.Held[0].Plan = "" }},
		{"a bundle's name", "name", func(p *bundle.Plan) { p.Held[0].Name = "../base" }},
		{"no name", "name", func(p *bundle.Plan) { p.Held[0].Name = "" }},
		{"a reference without tag", "reference", func(p *bundle.Plan) { p.Held[0].Reference = "registry.example/team/base" }},
		{"no reference", "reference", func(p *bundle.Plan) { p.Held[0].Reference = "" }},
		{"a reference with a control character", "reference", func(p *bundle.Plan) { p.Held[0].Reference = "registry.example/a\x1b:1" }},
		{"a repository that leads upwards", "repository", func(p *bundle.Plan) { p.Held[0].Repository = "quay.site.example/../x" }},
		{"a repository with a tag", "repository", func(p *bundle.Plan) { p.Held[0].Repository = "quay.site.example/x:1" }},
		{"what is there", "request", func(p *bundle.Plan) { p.Request.Have[0] = bad }},
		{"nothing that is there", "request", func(p *bundle.Plan) { p.Request.Have[0] = "" }},
		{"what is filled up", "request", func(p *bundle.Plan) { p.Request.TopUp = bad }},
	} {
		refusePlan(t, test.name, test.says, planJSON, test.edit)
	}
	// An image that holds nothing, and one of which only the reference is known.
	editPlan(t, planJSON, func(p *bundle.Plan) {
		p.Held = append(p.Held, bundle.HeldImage{Name: "x", Plan: digest.FromString("x"), Reference: "registry.example/x@" + string(digest.FromString("x"))})
	})
}

// TestPlanMissing changes what the golden plan says of what the source did not
// have. What is refused in a plan is refused in an inventory.
func TestPlanMissing(t *testing.T) {
	b := open(t, goldenDir)
	for _, test := range []struct {
		name, says string
		m          bundle.Missing
	}{
		{"nothing", "neither digest nor image", bundle.Missing{Reason: "none"}},
		{"a digest", "missing", bundle.Missing{Digest: "sha256:0", Reason: "none"}},
		{"another algorithm", "missing", bundle.Missing{Digest: digest.Digest("sha512:" + strings.Repeat("0", 128)), Reason: "none"}},
		{"a reference", "missing", bundle.Missing{Image: "../a:1", Reason: "none"}},
		{"a reference without tag", "missing", bundle.Missing{Image: "registry.example/a", Reason: "none"}},
		{"no reason", "printable ASCII", bundle.Missing{Image: "registry.example/a:1"}},
		{"a long reason", "printable ASCII", bundle.Missing{Image: "registry.example/a:1", Reason: strings.Repeat("x", bundle.MaxReason+1)}},
		{"a reason with a control character", "printable ASCII", bundle.Missing{Image: "registry.example/a:1", Reason: "a\x1b[2J"}},
		{"a reason of two lines", "printable ASCII", bundle.Missing{Image: "registry.example/a:1", Reason: "a\nb"}},
		{"a reason in another script", "printable ASCII", bundle.Missing{Image: "registry.example/a:1", Reason: "größer"}},
		{"a deleted reason", "printable ASCII", bundle.Missing{Image: "registry.example/a:1", Reason: "\x7f"}},
	} {
		refusePlan(t, test.name, test.says, b.Prologue.PlanJSON(), func(p *bundle.Plan) { p.Missing[1] = test.m })
		inv := copyOf(t, b.Inventory)
		inv.Missing[1] = test.m
		encoded, err := inv.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.ParseInventory(encoded); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("inventory, %s: %v, want %q", test.name, err, test.says)
		}
	}
	editPlan(t, b.Prologue.PlanJSON(), func(p *bundle.Plan) {
		p.Missing = append(p.Missing, bundle.Missing{Digest: digest.FromString("x"), Reason: strings.Repeat("~ ", bundle.MaxReason/2)})
	})
	if bundle.MaxReason != 500 {
		t.Errorf("FORMAT.md says 500, not %d", bundle.MaxReason)
	}
}

func TestCleanReason(t *testing.T) {
	for dirty, clean := range map[string]string{
		"404 Not Found":           "404 Not Found",
		"a\x1b[2Jb\r\nc\x00\x7f":  "a?[2Jb??c??",
		"größer":                  "gr??er",
		"\xff":                    "?",
		strings.Repeat("ä", 600):  strings.Repeat("?", bundle.MaxReason),
		strings.Repeat("x", 1000): strings.Repeat("x", bundle.MaxReason),
	} {
		if got := bundle.CleanReason(dirty); got != clean {
			t.Errorf("%q: %q, want %q", dirty, got, clean)
		}
	}
}

// TestIncompleteImages says which images lack something of what is missing.
func TestIncompleteImages(t *testing.T) {
	p := open(t, goldenDir).Prologue
	plan := p.Plan()
	shared := plan.Blobs[1].Digest // the layer that the first images share
	for name, test := range map[string]struct {
		missing []bundle.Missing
		want    []int
	}{
		"nothing":           {nil, nil},
		"what the plan has": {plan.Missing, []int{5}},
		"a shared layer":    {[]bundle.Missing{{Digest: shared, Reason: "none"}}, []int{0, 1, 2, 5}},
		"an image":          {[]bundle.Missing{{Image: plan.Images[3].Reference, Reason: "none"}}, []int{3}},
		"what is nowhere":   {[]bundle.Missing{{Digest: digest.FromString("x"), Reason: "none"}}, nil},
	} {
		var got []int
		for i, incomplete := range p.Incomplete(test.missing) {
			if incomplete {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: incomplete are %v, want %v", name, got, test.want)
		}
	}
}

// TestNewPrologue makes volumes again from a plan and manifests that were read.
func TestNewPrologue(t *testing.T) {
	b := open(t, goldenDir)
	p, err := bundle.NewPrologue(b.Prologue.Plan(), b.Prologue.Contents())
	if err != nil {
		t.Fatal(err)
	}
	m := medium(readFiles(t, goldenDir))
	dir := newDir(medium{})
	goldenSource(t).writeInto(t, dir, p)
	sameVolumes(t, "made again", dir.files, m)

	_, err = bundle.NewPrologue(editPlan(t, b.Prologue.PlanJSON(), func(p *bundle.Plan) { p.Encoder = "another" }), b.Prologue.Contents())
	if other := mustAs[*bundle.EncoderError](t, err); other.Plan != "another" || other.Satchel != bundle.EncoderVersion {
		t.Errorf("%+v", other)
	}
	contents := map[digest.Digest][]byte{}
	if _, err := bundle.NewPrologue(b.Prologue.Plan(), contents); err == nil {
		t.Error("accepted without manifests")
	}
	for d := range b.Prologue.Contents() {
		contents[d] = []byte("{}")
	}
	if _, err := bundle.NewPrologue(b.Prologue.Plan(), contents); err == nil {
		t.Error("accepted with other manifests")
	}
}

// TestPlanAllHeld plans a bundle of which the site has every blob.
func TestPlanAllHeld(t *testing.T) {
	s := newSource("held")
	s.add(t, "registry.example/a:1", layer{typeGzip, s.random(700)}, layer{typeTar, s.random(700)})
	s.selection.Held = []bundle.HeldImage{{Name: "first", Plan: digest.FromString("first"), Reference: "registry.example/a:1"}}
	for i := range s.selection.Blobs[0] {
		s.selection.Blobs[0][i].Held = 1
	}
	dir := t.TempDir()
	prologue, inventory := s.write(t, dir, 50_000)
	sizes, atMost := prologue.VolumeSizes()
	if len(inventory.Volumes) != 1 || len(inventory.Volumes[0].Members) != 0 || sizes[0] != inventory.Volumes[0].Size || atMost[0] {
		t.Errorf("volumes are %+v, planned are %v", inventory.Volumes, sizes)
	}
	if inventory.Images[0].Incomplete || inventory.Blobs[0].Image != 1 {
		t.Errorf("image %+v, blob %+v", inventory.Images[0], inventory.Blobs[0])
	}
	b := open(t, dir)
	if got, _ := scan(t, b, b.Volumes[0]); len(b.Damage)+len(got.damage) > 0 {
		t.Errorf("damage %v, %v", b.Damage, got.damage)
	}
}

// TestPlanExtents has extents that do not follow each other.
func TestPlanExtents(t *testing.T) {
	planJSON := newStanding(t).prologue.PlanJSON()
	for _, test := range []struct {
		name, says string
		edit       func(p *bundle.Plan)
	}{
		{"a member behind an extent that goes on elsewhere", "goes on after extent", func(p *bundle.Plan) { p.Blobs[5].Volume = 1 }},
		{"a member between two extents", "does not follow", func(p *bundle.Plan) { p.Blobs[3].Volume = 2 }},
		{"a volume passed over", "does not follow", func(p *bundle.Plan) { p.Blobs[4].Extents[2].Volume = 3 }},
		{"backwards", "does not follow", func(p *bundle.Plan) { p.Blobs[4].Extents[3].Volume = 1 }},
		{"a volume that is none", "in volume 4", func(p *bundle.Plan) { p.Blobs[4].Extents[4].Volume = 4 }},
		{"an empty extent", "of 0 bytes", func(p *bundle.Plan) { p.Blobs[4].Extents[4].Size = 0 }},
		{"too much", "add up", func(p *bundle.Plan) { p.Blobs[4].Extents[4].Size++ }},
		{"too little", "add up", func(p *bundle.Plan) { p.Blobs[4].Extents = p.Blobs[4].Extents[:4] }},
	} {
		refusePlan(t, test.name, test.says, planJSON, test.edit)
	}
}

// TestPlanHugeBlob plans blobs that are larger than USTAR's limit and smaller
// than a volume, which goes on behind them.
func TestPlanHugeBlob(t *testing.T) {
	sizes := []int64{1_000, bundle.MaxMember + 1_000, 2_000, 3*bundle.MaxMember + 7, 3_000}
	for _, perImage := range []int{1, len(sizes)} {
		plan, prologue, err := bundle.NewPlan(synthetic(sizes, perImage), 25_000_000_000)
		if err != nil {
			t.Fatal(err)
		}
		if cut := checkPlan(t, "huge", prologue); cut != 2 || plan.Volumes != 2 {
			t.Errorf("%d an image: %d blobs are cut, in %d volumes", perImage, cut, plan.Volumes)
		}
	}
}
