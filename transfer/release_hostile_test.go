package transfer_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/oci/release"
	"satchel/transfer"
)

// forged is a copy of a plan, to be changed.
type forged struct{ *bundle.Plan }

func forge(t testing.TB, plan *bundle.Plan) forged {
	t.Helper()
	content, err := plan.Encode()
	if err != nil {
		t.Fatal(err)
	}
	copied, err := bundle.ParsePlan(content)
	if err != nil {
		t.Fatal(err)
	}
	return forged{copied}
}

// parse reads the plan again, as whoever gets it does.
func (f forged) parse() (*bundle.Plan, error) {
	content, err := f.Encode()
	if err != nil {
		return nil, err
	}
	return bundle.ParsePlan(content)
}

// attached returns the first that is attached of the kind.
func (f forged) attached(kind string) *bundle.Attached {
	return &f.Attached[slices.IndexFunc(f.Attached, func(a bundle.Attached) bool { return a.Type == kind })]
}

// document returns the bytes of what is attached.
func (f forged) document(kind string) []byte {
	d := f.attached(kind).Content.Digest
	return f.Blobs[slices.IndexFunc(f.Blobs, func(b bundle.Blob) bool { return b.Digest == d })].Origin.Inline
}

// replace puts other bytes in the place of what is attached.
func (f forged) replace(kind string, content []byte) {
	a := f.attached(kind)
	old := a.Content.Digest
	a.Content.Digest, a.Content.Size = digest.FromBytes(content), int64(len(content))
	if slices.ContainsFunc(f.Blobs, func(b bundle.Blob) bool { return b.Digest == a.Content.Digest }) {
		return
	}
	for i := range f.Blobs {
		if b := &f.Blobs[i]; b.Digest == old {
			b.Content, b.Origin.Inline = a.Content, content
		}
	}
}

// image returns the one with the root.
func (f forged) image(root digest.Digest) *bundle.Image {
	return &f.Images[slices.IndexFunc(f.Images, func(i bundle.Image) bool { return i.Root.Digest == root })]
}

const (
	referencesType = "release-image-references"
	metadataType   = "release-metadata"
	signatureType  = "release-signature"
)

// What a plan says of releases is somebody's word. Nonsense is refused, by whoever
// is the first to see it, and names of images never get mixed up.
func TestHostileReleases(t *testing.T) {
	up := newUpstream(t)
	r := up.release(t, "4.12.0", few)
	second := up.release(t, "4.12.1", few)
	up.attach(t, r.Component("cli").Image)
	real := up.plan(t, releaseVolume, r, second).Plan()
	name := up.name(r).String()
	long := strings.Repeat("x", 33)
	edited := func(kind, old, with string) func(f forged) {
		return func(f forged) { f.replace(kind, bytes.ReplaceAll(f.document(kind), []byte(old), []byte(with))) }
	}
	for _, test := range []struct {
		name string
		edit func(f forged)
		says string // empty: it is taken
		is   error
	}{
		{"as it is", func(forged) {}, "", nil},
		{"references of another release", func(f forged) { f.replace(referencesType, second.References) }, "4.12.1", nil},
		{"metadata of another release", func(f forged) { f.replace(metadataType, second.Metadata) }, "4.12.0", nil},
		{"two of one version", func(f forged) {
			f.replace(referencesType, second.References)
			f.replace(metadataType, second.Metadata)
		}, up.name(second).String(), transfer.ErrNaming},
		{"no references", func(f forged) { f.attached(referencesType).Type = "unknown" }, "architecture", nil},
		{"nothing attached", func(f forged) { f.Attached = nil }, "architecture", nil},
		{"no metadata", func(f forged) { f.attached(metadataType).Type = "unknown" }, "release-metadata", nil},
		{"about another manifest", func(f forged) { f.attached(referencesType).Subject = r.Component("cli").Image.Root.Digest }, "architecture", nil},
		{"about nothing", func(f forged) { f.attached(referencesType).Subject = "" }, "architecture", nil},
		{"of another release", func(f forged) { f.attached(metadataType).Annotations["reference"] = up.name(second).String() }, "release-metadata", nil},
		{"of nothing", func(f forged) { f.attached(metadataType).Annotations = nil }, "release-metadata", nil},
		{"cut", func(f forged) { f.replace(referencesType, f.document(referencesType)[:1000]) }, "image-references", nil},
		{"no JSON", edited(metadataType, "{", "["), "release-metadata", nil},
		{"no architecture", func(f forged) { delete(f.attached(referencesType).Annotations, "architecture") }, "architecture", nil},
		{"architecture with a path", func(f forged) { f.attached(referencesType).Annotations["architecture"] = "../x" }, "architecture", nil},
		{"architecture in capitals", func(f forged) { f.attached(referencesType).Annotations["architecture"] = "AMD64" }, "architecture", nil},
		{"architecture of 33 letters", func(f forged) { f.attached(referencesType).Annotations["architecture"] = long }, "architecture", nil},
		{"tags of more than 128 letters", func(f forged) {
			f.attached(referencesType).Annotations["architecture"] = long[:32]
			version := "4.12.0-" + strings.Repeat("y", 57)
			edited(referencesType, `"name": "4.12.0"`, `"name": "`+version+`"`)(f)
			edited(metadataType, `"version": "4.12.0"`, `"version": "`+version+`"`)(f)
			edited(referencesType, `"name": "cli"`, `"name": "`+strings.Repeat("c", 31)+`"`)(f)
		}, "ccc", transfer.ErrNaming},
		{"component that is a path", edited(referencesType, `"name": "cli"`, `"name": "../cli"`), "component", nil},
		{"component with a tag's name", edited(referencesType, `"name": "cli"`, `"name": "cli:1"`), "component", nil},
		{"component twice", edited(referencesType, `"name": "cli"`, `"name": "etcd"`), "twice", nil},
		{"component by tag", edited(referencesType, "@sha256:", ":sha256-"), "digest", nil},
		{"component that is nowhere", edited(referencesType, r.Component("cli").Image.Root.Digest.Encoded(), long[:1]+digest.FromString("x").Encoded()[1:]), "digest", nil},
		{"component that is not in the plan", edited(referencesType, r.Component("cli").Image.Root.Digest.Encoded(), digest.FromString("x").Encoded()), "", nil},
		{"version with a plus", func(f forged) {
			edited(referencesType, `"name": "4.12.0"`, `"name": "4.12.0+1"`)(f)
			edited(metadataType, `"version": "4.12.0"`, `"version": "4.12.0+1"`)(f)
		}, "build metadata", nil},
		{"another part", func(f forged) { f.image(r.Image.Root.Digest).Part = "something" }, "part", nil},
		{"component as release", func(f forged) { f.image(r.Component("cli").Image.Root.Digest).Part = bundle.PartRelease }, "architecture", nil},
		{"attached to itself", func(f forged) { f.image(r.Image.Root.Digest).AttachedTo = name }, "attached", nil},
		{"attached in a circle", func(f forged) {
			f.image(r.Image.Root.Digest).AttachedTo = r.Component("cli").Reference
			f.image(r.Component("cli").Image.Root.Digest).AttachedTo = name
		}, "attached", nil},
		{"attached to nothing", func(f forged) { f.image(r.Component("cli").Image.Root.Digest).AttachedTo = "quay.io/x:1" }, "attached", nil},
		{"destination above", func(f forged) { f.image(r.Image.Root.Digest).Destinations = []string{"../x:1"} }, "destination", nil},
		{"destination from the root", func(f forged) { f.image(r.Image.Root.Digest).Destinations = []string{"/x:1"} }, "destination", nil},
		{"destination by digest", func(f forged) {
			f.image(r.Image.Root.Digest).Destinations = []string{"x@" + string(r.Image.Root.Digest)}
		}, "destination", nil},
		{"destination without a tag", func(f forged) { f.image(r.Image.Root.Digest).Destinations = []string{"x"} }, "destination", nil},
		{"destinations in two places", func(f forged) { f.image(r.Image.Root.Digest).Destinations = []string{"x:1", "y:1"} }, "different paths", nil},
		{"destination twice", func(f forged) { f.image(r.Image.Root.Digest).Destinations = []string{"x:1", "x:2", "x:1"} }, "twice", nil},
		{"destination too long", func(f forged) {
			f.image(r.Image.Root.Digest).Destinations = []string{strings.Repeat("x/", 119) + "x:1"}
		}, "longer", transfer.ErrNaming},
		{"destination of another component", func(f forged) {
			f.image(r.Component("cli").Image.Root.Digest).Destinations = []string{"openshift/release:4.12.0-x86_64-etcd"}
		}, "4.12.0-x86_64-etcd", transfer.ErrNaming},
	} {
		f := forge(t, real)
		test.edit(f)
		plan, err := f.parse()
		var destinations []transfer.Destination
		if err == nil {
			destinations, err = transfer.Destinations(plan, transfer.Names{To: "registry.example/mirror"})
		}
		if test.says != "" {
			if err == nil || !strings.Contains(err.Error(), test.says) || test.is != nil && !errors.Is(err, test.is) {
				t.Errorf("%s: got %v", test.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		checkDestinations(t, test.name, plan, destinations)
	}
}

// checkDestinations checks that names are names, each of one digest, and that what
// a release calls by a name has it.
func checkDestinations(t testing.TB, what string, plan *bundle.Plan, destinations []transfer.Destination) {
	t.Helper()
	roots := make(map[string]digest.Digest)
	for i, d := range destinations {
		if len(d.Tags) == 0 {
			t.Errorf("%s: image %s has no tag", what, plan.Images[i].Reference)
		}
		for _, tag := range d.Tags {
			name := d.Repository + ":" + tag
			if _, err := oci.SplitReference(name); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			if root := plan.Images[i].Root.Digest; roots[name] != "" && roots[name] != root {
				t.Errorf("%s: %s is of %s and %s", what, name, roots[name], root)
			}
			roots[name] = plan.Images[i].Root.Digest
		}
	}
	releases, err := transfer.Releases(plan)
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	for _, r := range releases {
		for _, c := range r.Payload.Components {
			i := slices.IndexFunc(plan.Images, func(i bundle.Image) bool { return i.Reference == c.Image.String() })
			tag := release.ComponentTag(r.Payload.Version, r.Architecture, c.Name)
			if i >= 0 && plan.Images[i].Part == bundle.PartComponent && len(plan.Images[i].Destinations) == 0 && !slices.Contains(destinations[i].Tags, tag) {
				t.Errorf("%s: %s has tags %v, and not %s", what, c.Image, destinations[i].Tags, tag)
			}
		}
	}
}

// Signatures are judged again wherever the bundle is used: a reason for their
// absence, a signature of something else or of another key, and none.
func TestHostileSignatures(t *testing.T) {
	up := newUpstream(t)
	r := up.release(t, "4.12.0", multi)
	r.Sign(fixtures.ReleaseKey(), up.store)
	root, child := r.Image.Root.Digest, r.Image.Manifests[0].Descriptor.Digest
	name := up.name(r).String()
	real := up.plan(t, releaseVolume, r).Plan()
	for _, test := range []struct {
		name  string
		edit  func(f forged)
		trust bool
	}{
		{"as it is", func(forged) {}, true},
		{"none", func(f forged) {
			f.Attached = slices.DeleteFunc(f.Attached, func(a bundle.Attached) bool { return a.Type == signatureType })
		}, false},
		{"of the children only", func(f forged) {
			f.Attached = slices.DeleteFunc(f.Attached, func(a bundle.Attached) bool { return a.Type == signatureType && a.Subject == root })
		}, false},
		{"of the root only", func(f forged) {
			f.Attached = slices.DeleteFunc(f.Attached, func(a bundle.Attached) bool { return a.Type == signatureType && a.Subject != root })
		}, true},
		{"said to be of another manifest", func(f forged) { f.attached(signatureType).Subject = child }, false},
		{"of another manifest", func(f forged) { f.replace(signatureType, fixtures.SignRelease(child, name)) }, false},
		{"by another key", func(f forged) {
			f.replace(signatureType, fixtures.OtherKey().Sign(fixtures.SignatureSpec{Digest: root, Reference: name}))
		}, false},
		{"cut", func(f forged) { raw := f.document(signatureType); f.replace(signatureType, raw[:len(raw)-1]) }, false},
		{"said to be without", func(f forged) { f.attached(referencesType).Annotations["unsigned"] = "no reason" }, false},
		{"without keys", func(f forged) {
			f.replace("release-verification", bytes.ReplaceAll(f.document("release-verification"), []byte("verifier-public-key"), []byte("no-key")))
		}, false},
	} {
		f := forge(t, real)
		test.edit(f)
		plan, err := f.parse()
		if err != nil {
			t.Fatal(err)
		}
		releases, err := transfer.Releases(plan)
		if err != nil {
			t.Fatal(err)
		}
		trust := trusting(t)
		verified, err := releases[0].Verify(trust)
		if test.trust {
			if err != nil || verified.Unsigned != "" || len(verified.Signatures) == 0 || verified.Signatures[0].Digest != root {
				t.Errorf("%s: got %+v, %v", test.name, verified, err)
			}
			continue
		}
		if e := mustAs[*transfer.TrustError](t, err); e.Digest != root || e.Reference != name {
			t.Errorf("%s: got %v", test.name, err)
		}
		trust.AllowUnsigned = true
		if verified, err = releases[0].Verify(trust); err != nil || verified.Unsigned == "" || len(verified.Signatures) != 0 {
			t.Errorf("%s: allowed: got %+v, %v", test.name, verified, err)
		}
	}
}

// No plan of a few megabytes keeps its reader busy for minutes: releases cannot
// all have the same large payload.
func TestHugeReleases(t *testing.T) {
	up := newUpstream(t)
	f := forge(t, up.plan(t, 100*releaseVolume, up.release(t, "4.12.0", few)).Plan())
	f.replace(metadataType, append(f.document(metadataType), bytes.Repeat([]byte{' '}, bundle.MaxInline-100_000)...))
	image, attached := f.Images[0], f.Attached
	for i := range 100 {
		again := image
		again.Reference = fmt.Sprintf("quay.io/again:%d", i)
		f.Images = append(f.Images, again)
		for _, a := range attached {
			a.Annotations = maps.Clone(a.Annotations)
			a.Annotations["reference"] = again.Reference
			f.Attached = append(f.Attached, a)
		}
	}
	if _, err := transfer.Releases(f.Plan); err == nil || !strings.Contains(err.Error(), "payloads of more than") {
		t.Errorf("got %v", err)
	}
}
