package bundle_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
)

// TestPlanOrigins changes what the golden plans say of where bytes can be had.
func TestPlanOrigins(t *testing.T) {
	planJSON := planOf(t, releaseDir)
	at := -1
	for i, b := range editPlan(t, planJSON, func(*bundle.Plan) {}).Blobs {
		if b.Origin.Inline != nil {
			at = i
		}
	}
	large := make([]byte, bundle.MaxInline+1)
	fill := func(p *bundle.Plan, content []byte) {
		p.VolumeSize = 1 << 40
		b := &p.Blobs[at]
		old := b.Content
		b.Origin.Inline, b.Digest, b.Size = content, digest.FromBytes(content), int64(len(content))
		for i := range p.Attached {
			if p.Attached[i].Content == old {
				p.Attached[i].Content = b.Content
			}
		}
	}
	urls := []string{"https://one.example/layer"}
	for _, test := range []struct {
		name, says string
		edit       func(p *bundle.Plan)
	}{
		{"other bytes", "bytes in the plan are not it", func(p *bundle.Plan) { p.Blobs[at].Origin.Inline[0] ^= 1 }},
		{"fewer bytes", "bytes in the plan are not it", func(p *bundle.Plan) { p.Blobs[at].Origin.Inline = p.Blobs[at].Origin.Inline[1:] }},
		{"another size", "bytes in the plan are not it", func(p *bundle.Plan) { p.Blobs[at].Size++ }},
		{"another digest", "bytes in the plan are not it", func(p *bundle.Plan) { p.Blobs[at].Digest = digest.FromString("other") }},
		{"inline and held", "its bytes are in the plan, and it is held", func(p *bundle.Plan) { p.Blobs[at].Volume, p.Blobs[at].Held = 0, 1 }},
		{"too many bytes", "want 1 to 4194304", func(p *bundle.Plan) { fill(p, large) }},
		{"inline and a repository", "exactly one of", func(p *bundle.Plan) { p.Blobs[at].Origin.Repository = "quay.example/a" }},
		{"inline and local", "exactly one of", func(p *bundle.Plan) { p.Blobs[at].Origin.Local = "layout" }},
		{"inline and a URL", "exactly one of", func(p *bundle.Plan) { p.Blobs[at].Origin.URLs, p.Request.Foreign = urls, true }},
		{"from nowhere", "exactly one of", func(p *bundle.Plan) { p.Blobs[at].Origin = bundle.Origin{} }},
		{"derived and inline", "exactly one of", func(p *bundle.Plan) { p.Blobs[at].Origin.Derived = derived() }},
		{"derived by nobody", "derived: maker", func(p *bundle.Plan) {
			p.Blobs[0].Origin = bundle.Origin{Derived: derived()}
			p.Blobs[0].Origin.Derived.By = ""
		}},
		{"derived of a long recipe", "derived: maker", func(p *bundle.Plan) {
			p.Blobs[0].Origin = bundle.Origin{Derived: derived()}
			p.Blobs[0].Origin.Derived.Recipe = strings.Repeat("x", bundle.MaxRecipe+1)
		}},
		{"derived of no manifest", "is no manifest", func(p *bundle.Plan) {
			p.Blobs[0].Origin = bundle.Origin{Derived: derived()}
			p.Blobs[0].Origin.Derived.From.MediaType = "text/plain"
		}},
		{"derived from nowhere", "exactly one of", func(p *bundle.Plan) {
			p.Blobs[0].Origin = bundle.Origin{Derived: derived()}
			p.Blobs[0].Origin.Derived.Repository = ""
		}},
		{"derived from a path", "origin", func(p *bundle.Plan) {
			p.Blobs[0].Origin = bundle.Origin{Derived: derived()}
			p.Blobs[0].Origin.Derived.Repository = "quay.example/a b"
		}},
		{"a derived manifest", "or is derived", func(p *bundle.Plan) { p.Manifests[0].Origin = bundle.Origin{Derived: derived()} }},
		{"a URL that nobody asked for", "the request has no foreign layers", func(p *bundle.Plan) { p.Blobs[0].Origin = bundle.Origin{URLs: urls} }},
		{"a manifest from a URL", "it comes from a URL", func(p *bundle.Plan) {
			p.Manifests[0].Origin, p.Request.Foreign = bundle.Origin{URLs: urls}, true
		}},
		{"another manifest in the plan", "bytes in the plan are not it", func(p *bundle.Plan) { p.Manifests[0].Origin = bundle.Origin{Inline: []byte("{}")} }},
	} {
		refusePlan(t, test.name, test.says, planJSON, test.edit)
	}
	refusePlan(t, "the request has no foreign layers", "the request has no foreign layers", planOf(t, goldenDir), func(p *bundle.Plan) { p.Request.Foreign = false })
	for _, content := range [][]byte{{0}, large[1:]} {
		plan := editPlan(t, planJSON, func(p *bundle.Plan) { fill(p, content) })
		if !bytes.Equal(plan.Blobs[at].Origin.Inline, content) {
			t.Errorf("%d bytes are not read again", len(content))
		}
	}
	// No plan can be written that has it.
	s := newSource("empty")
	s.add(t, "registry.example/a:1")
	s.put(&s.selection.Blobs[0], "application/json", nil, bundle.Origin{Inline: []byte{}})
	if _, _, err := bundle.NewPlan(s.selection, 50_000); err == nil || !strings.Contains(err.Error(), "want 1 to 4194304") {
		t.Errorf("an empty blob: %v", err)
	}
}

// TestPlanInlineText spells the bytes in the plan in other ways.
func TestPlanInlineText(t *testing.T) {
	s := newSource("text")
	s.add(t, "registry.example/a:1")
	content := []byte{0xFB, 0xEF, 0xFF, 0x01}
	s.put(&s.selection.Blobs[0], "application/octet-stream", content, bundle.Origin{Inline: content})
	_, prologue, err := bundle.NewPlan(s.selection, 50_000)
	if err != nil {
		t.Fatal(err)
	}
	const good = `"inline":"++//AQ=="`
	if _, err := bundle.ParsePlan(prologue.PlanJSON()); err != nil || !bytes.Contains(prologue.PlanJSON(), []byte(good)) {
		t.Fatalf("%v\n%s", err, prologue.PlanJSON())
	}
	for name, bad := range map[string]string{
		"no padding":                  `"inline":"++//AQ"`,
		"bits left over":              `"inline":"++//AR=="`,
		"the alphabet of URLs":        `"inline":"--__AQ=="`,
		"a line end":                  `"inline":"++//\nAQ=="`,
		"an escape":                   `"inline":"++\/\/AQ=="`,
		"hexadecimal digits":          `"inline":"fbefff01"`,
		"nothing":                     `"inline":""`,
		"null":                        `"inline":null`,
		"numbers":                     `"inline":[251,239,255,1]`,
		"twice":                       good + "," + good,
		"null beside it":              good + `,"local":null`,
		"an empty repository besides": good + `,"repository":""`,
	} {
		if _, err := bundle.ParsePlan(bytes.Replace(prologue.PlanJSON(), []byte(good), []byte(bad), 1)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestPlanAttached changes what the golden plan attaches. What can be told
// without the plan is refused in an inventory too.
func TestPlanAttached(t *testing.T) {
	b := open(t, releaseDir)
	planJSON := b.Prologue.PlanJSON()
	long := strings.Repeat("x", 64)
	annotate := func(key, value string) func(a *bundle.Attached) {
		return func(a *bundle.Attached) { a.Annotations[key] = value }
	}
	many := func(n int) func(a *bundle.Attached) {
		return func(a *bundle.Attached) {
			a.Annotations = map[string]string{}
			for i := range n {
				a.Annotations[fmt.Sprint(i)] = "x"
			}
		}
	}
	for _, test := range []struct {
		name, says string
		edit       func(a *bundle.Attached)
	}{
		{"a digest", "attached digest", func(a *bundle.Attached) { a.Content.Digest = "sha256:0" }},
		{"no digest", "attached digest", func(a *bundle.Attached) { a.Content.Digest = "" }},
		{"a size below 0", "size -1", func(a *bundle.Attached) { a.Content.Size = -1 }},
		{"no type", `type ""`, func(a *bundle.Attached) { a.Type = "" }},
		{"a long type", `type "xxxx`, func(a *bundle.Attached) { a.Type = long + "x" }},
		{"a type in upper case", `type "Release"`, func(a *bundle.Attached) { a.Type = "Release" }},
		{"a type like an option", `type "-x"`, func(a *bundle.Attached) { a.Type = "-x" }},
		{"a type with a dot behind it", `type "x."`, func(a *bundle.Attached) { a.Type = "x." }},
		{"a type of two lines", `type "x\ny"`, func(a *bundle.Attached) { a.Type = "x\ny" }},
		{"a type that is a path", `type "a/b"`, func(a *bundle.Attached) { a.Type = "a/b" }},
		{"a subject", "subject digest", func(a *bundle.Attached) { a.Subject = "sha256:0" }},
		{"a subject of another algorithm", "subject digest", func(a *bundle.Attached) { a.Subject = digest.Digest("sha512:" + strings.Repeat("0", 128)) }},
		{"many annotations", "17 annotations are more than 16", many(17)},
		{"an annotation without key", `annotation ""`, annotate("", "x")},
		{"a long key", `annotation "xxxx`, annotate(long+"x", "x")},
		{"a key in upper case", `annotation "Reference"`, annotate("Reference", "x")},
		{"a key with a control character", `annotation "a\x1b"`, annotate("a\x1b", "x")},
		{"an annotation without value", `annotation "x"`, annotate("x", "")},
		{"a long value", `annotation "x"`, annotate("x", strings.Repeat("x", 501))},
		{"a value of two lines", `annotation "x"`, annotate("x", "a\nb")},
		{"a value with a control character", `annotation "x"`, annotate("x", "\x1b[2J")},
		{"a value in another script", `annotation "x"`, annotate("x", "größer")},
		{"a deleted value", `annotation "x"`, annotate("x", "\x7f")},
	} {
		refusePlan(t, test.name, test.says, planJSON, func(p *bundle.Plan) { test.edit(&p.Attached[0]) })
		inv := copyOf(t, b.Inventory)
		test.edit(&inv.Attached[0])
		encoded, err := inv.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bundle.ParseInventory(encoded); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("inventory, %s: %v, want %q", test.name, err, test.says)
		}
	}
	for _, test := range []struct {
		name, says string
		edit       func(p *bundle.Plan)
	}{
		{"what is nowhere", "it is not in the plan", func(p *bundle.Plan) { p.Attached[0].Content.Digest = digest.FromString("other") }},
		{"a blob of another size", "it is not in the plan", func(p *bundle.Plan) { p.Attached[0].Content.Size++ }},
		{"a blob of another media type", "it is not in the plan", func(p *bundle.Plan) { p.Attached[0].Content.MediaType = "text/plain" }},
		{"a manifest of another size", "it is not in the plan", func(p *bundle.Plan) {
			p.Attached[0].Content = p.Manifests[0].Content
			p.Attached[0].Content.Size++
		}},
		{"about what is nowhere", "is not among the manifests", func(p *bundle.Plan) { p.Attached[0].Subject = digest.FromString("other") }},
		{"about a blob", "is not among the manifests", func(p *bundle.Plan) { p.Attached[0].Subject = p.Blobs[0].Digest }},
		{"about itself", "is not among the manifests", func(p *bundle.Plan) { p.Attached[0].Subject = p.Attached[0].Content.Digest }},
	} {
		refusePlan(t, test.name, test.says, planJSON, test.edit)
	}
	// What satchel does not write.
	for name, edit := range map[string]func(p *bundle.Plan){
		"the largest": func(p *bundle.Plan) {
			many(15)(&p.Attached[0])
			annotate(long, strings.Repeat("~ ", 250))(&p.Attached[0])
			p.Attached[0].Type = long
		},
		"the smallest": func(p *bundle.Plan) {
			p.Attached[0] = bundle.Attached{Content: p.Attached[0].Content, Type: "0"}
		},
		"a manifest": func(p *bundle.Plan) { p.Attached[0].Content = p.Manifests[0].Content },
		"about itself": func(p *bundle.Plan) {
			p.Attached[0].Content, p.Attached[0].Subject = p.Manifests[0].Content, p.Manifests[0].Digest
		},
		"the same again":     func(p *bundle.Plan) { p.Attached = append(p.Attached, p.Attached[0]) },
		"a held blob":        func(p *bundle.Plan) { p.Attached[0].Content = heldBlob(t, p) },
		"characters of HTML": func(p *bundle.Plan) { annotate("x", `<&>"\'`)(&p.Attached[0]) },
	} {
		want := bundle.Attached{}
		plan := editPlan(t, planJSON, func(p *bundle.Plan) {
			edit(p)
			want = p.Attached[0]
		})
		if got := plan.Attached[0]; got.Type != want.Type || got.Content != want.Content || got.Subject != want.Subject || !maps.Equal(got.Annotations, want.Annotations) {
			t.Errorf("%s: %+v is read as %+v", name, want, got)
		}
	}
}

func heldBlob(t testing.TB, p *bundle.Plan) bundle.Content {
	t.Helper()
	for _, b := range p.Blobs {
		if b.Held != 0 {
			return b.Content
		}
	}
	t.Fatal("no blob is held")
	return bundle.Content{}
}

// TestPlanManyAttached has more than a plan may attach, and fewer than a list may
// have.
func TestPlanManyAttached(t *testing.T) {
	t.Parallel()
	const one = `{"content":{"digest":"","mediaType":"","size":0},"type":""}`
	planJSON := `{"attached":[` + strings.Repeat(one+",", 100_000) + one + `],"blobs":[],"encoder":"","images":[],"manifests":[],"name":"a",` +
		`"request":{},"version":1,"volumeSize":1,"volumes":1}` + "\n"
	if _, err := bundle.ParsePlan([]byte(planJSON)); err == nil || !strings.Contains(err.Error(), "100001 attached contents are more than 100000") {
		t.Errorf("got %.600v", err)
	}
}

// TestGoldenRelease checks that the golden bundle with releases has what it is
// there for, in the plan and in the inventory alike.
func TestGoldenRelease(t *testing.T) {
	b := open(t, releaseDir)
	plan := b.Prologue.Plan()
	types, about, parts := map[string]int{}, map[string]int{}, map[string]int{}
	for i, a := range plan.Attached {
		types[a.Type]++
		for key := range a.Annotations {
			about[key]++
		}
		if got := b.Inventory.Attached[i]; got.Type != a.Type || got.Content != a.Content {
			t.Errorf("the inventory attaches %+v, the plan %+v", got, a)
		}
	}
	for i, image := range plan.Images {
		if parts["part "+image.Part]++; image.AttachedTo != "" {
			parts["attached"]++
		}
		if parts["destinations"] += len(image.Destinations); b.Inventory.Images[i].AttachedTo != image.AttachedTo || b.Inventory.Images[i].Part != image.Part {
			t.Errorf("the inventory has image %+v", b.Inventory.Images[i])
		}
	}
	for what, maps := range map[string][2]map[string]int{
		"types":       {types, {"release-image-references": 2, "release-metadata": 2, "release-verification": 2, "release-signature": 2, "example": 1}},
		"annotations": {about, {"reference": 8, "architecture": 2, "unsigned": 1}},
		"images":      {parts, {"part release": 2, "part component": 3, "part ": 3, "attached": 2, "destinations": 2}},
	} {
		if fmt.Sprint(maps[0]) != fmt.Sprint(maps[1]) {
			t.Errorf("%s are %v, want %v", what, maps[0], maps[1])
		}
	}
	if r := plan.Request; r.Channel == "" || len(r.Releases) != 2 || !r.Unsigned || plan.Held[0].Part != bundle.PartComponent {
		t.Errorf("request %+v, held %+v", r, plan.Held)
	}
}

// TestGoldenInline reads inline blobs from their members, which have the bytes
// that stand in the plan; and from the plan, when their volume is lost.
func TestGoldenInline(t *testing.T) {
	m := medium(readFiles(t, releaseDir))
	b := openFS(t, m)
	alone := openFS(t, m.without(m.volumes()[0], "inventory.json", "release.plan.json"))
	inline, lost := 0, 0
	for i := range b.Prologue.Plan().Blobs {
		blob := &b.Prologue.Plan().Blobs[i]
		if blob.Origin.Inline == nil {
			continue
		}
		inline++
		member := readBlob(t, b, blob)
		if !bytes.Equal(member, blob.Origin.Inline) {
			t.Errorf("blob %s: %q in the plan, %q in its volume", blob.Digest, blob.Origin.Inline, member)
		}
		// Once more without this package.
		if text := base64.StdEncoding.EncodeToString(member); !bytes.Contains(m["release.plan.json"], []byte(`"origin":{"inline":"`+text+`"}`)) {
			t.Errorf("blob %s: the plan does not have %s", blob.Digest, text)
		}
		if blob.Volume == 1 {
			lost++
			_, err := alone.Blob(t.Context(), alone.Prologue.Blob(blob.Digest), 0)
			mustAs[*bundle.MissingVolumeError](t, err)
		}
		if got := alone.Prologue.Blob(blob.Digest).Origin.Inline; !bytes.Equal(got, member) {
			t.Errorf("blob %s: %q in the plan of another volume", blob.Digest, got)
		}
	}
	if inline != 7 || lost == 0 {
		t.Errorf("%d blobs are inline, %d of them lost", inline, lost)
	}
}

// derived is an origin as of the layer of a catalog.
func derived() *bundle.Derived {
	return &bundle.Derived{
		By: "satchel-catalog/1", Recipe: "{}", Repository: "quay.example/catalog",
		From: bundle.Content{Digest: digest.FromString("manifest"), MediaType: "application/vnd.oci.image.manifest.v1+json", Size: 8},
	}
}

// TestPlanDerived reads a derived blob, and images that were kept out.
func TestPlanDerived(t *testing.T) {
	plan := editPlan(t, planOf(t, releaseDir), func(p *bundle.Plan) {
		p.Blobs[0].Origin = bundle.Origin{Derived: derived()}
		p.Blocked = []string{"quay.example/a:1", "quay.example/b:1"}
	})
	if got := plan.Blobs[0].Origin.Derived; got == nil || *got != *derived() || len(plan.Blocked) != 2 {
		t.Errorf("read as %+v, %q", got, plan.Blocked)
	}
	for name, blocked := range map[string][]string{"unsorted": {"quay.example/b:1", "quay.example/a:1"}, "no name": {"/etc/passwd"}} {
		refusePlan(t, name, "blocked image", planOf(t, releaseDir), func(p *bundle.Plan) { p.Blocked = blocked })
	}
}
