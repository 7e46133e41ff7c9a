package transfer_test

import (
	"slices"
	"strings"
	"testing"

	"satchel/bundle"
	"satchel/fixtures"
	"satchel/oci"
	"satchel/transfer"
)

// planned reads a release and plans it, with what is attached to one of its
// images.
func planned(t testing.TB, u *upstream) *bundle.Plan {
	t.Helper()
	r := u.release(t, "4.12.0", func(s *fixtures.ReleaseSpec) {
		s.Components = []string{"cli", "etcd"}
		s.Aliases = map[string]string{"cli-alias": "cli"}
	})
	second := u.release(t, "4.12.1", func(s *fixtures.ReleaseSpec) { s.Components = []string{"cli"} })
	u.attach(t, r.Component("cli").Image)
	return u.plan(t, releaseVolume, r, second).Plan()
}

// edits are instructions, of three bytes, that change a plan; the rest of the input
// is text for them.
type edits struct {
	forged
	text string
}

// word returns text of the input, or something that means something.
func (e *edits) word(n byte) string {
	words := []string{
		"", "openshift/release:4.12.0-x86_64-etcd", "openshift/release-images:4.12.1-x86_64", "x:1", "../x:1", "cli", "4.12.0", "4.12.1", "amd64", "multi",
		bundle.PartRelease, bundle.PartComponent, "quay.io/x/y:4.12.0-x86_64", "sha256-", `"name": "`, `"kind"`, "null", "@sha256:", "[[[",
	}
	for _, image := range e.Images {
		words = append(words, image.Reference, string(image.Root.Digest))
	}
	if n := int(n); n < len(words) {
		return words[n]
	}
	return e.text[:min(len(e.text), int(n))]
}

func (e *edits) do(what, which, with byte) {
	image, attached := &e.Images[int(which)%len(e.Images)], &e.Attached[int(which)%len(e.Attached)]
	word := e.word(with)
	switch what % 12 {
	case 0:
		image.Part = word
	case 1:
		image.AttachedTo = word
	case 2:
		image.Destinations = append(image.Destinations, word)
	case 3:
		image.Reference = word
	case 4:
		attached.Type = word
	case 5:
		attached.Subject = e.Images[int(with)%len(e.Images)].Root.Digest
	case 6:
		attached.Annotations["reference"] = word
	case 7:
		attached.Annotations["architecture"] = word
	case 8:
		attached.Annotations["unsigned"] = word
	case 9:
		e.Images[int(which)%len(e.Images)], e.Images[int(with)%len(e.Images)] = e.Images[int(with)%len(e.Images)], e.Images[int(which)%len(e.Images)]
	case 10:
		attached.Content = e.Attached[int(with)%len(e.Attached)].Content
	case 11:
		if content := e.document(attached.Type); len(content) > 0 {
			at := int(with) * len(content) / 256
			e.replace(attached.Type, slices.Concat(content[:at], []byte(e.text), content[at:]))
		}
	}
}

// Whatever is changed in the plan of two releases: either somebody says so, or all
// names are names, and each is of one digest.
func FuzzReleases(f *testing.F) {
	content, err := planned(f, newUpstream(f)).Encode()
	if err != nil {
		f.Fatal(err)
	}
	for what := range byte(12) {
		for with := range byte(3) {
			f.Add([]byte{what, with, with * 7}, "x")
		}
	}
	f.Add([]byte{7, 0, 255}, strings.Repeat("x", 32))
	f.Add([]byte{0, 1, 10, 6, 0, 20, 5, 0, 1}, "")
	f.Fuzz(func(t *testing.T, instructions []byte, text string) {
		plan, err := bundle.ParsePlan(content)
		if err != nil {
			t.Fatal(err)
		}
		e := &edits{forged{plan}, text}
		for ; len(instructions) >= 3 && len(instructions) < 100; instructions = instructions[3:] {
			e.do(instructions[0], instructions[1], instructions[2])
		}
		if plan, err = e.parse(); err != nil {
			return
		}
		for _, names := range []transfer.Names{
			{}, {To: "registry.example"}, {To: "registry.example/mirror", Naming: transfer.NamingHost}, {To: "registry.example", ReleaseRepository: "ocp4/openshift4"},
		} {
			destinations, err := transfer.Destinations(plan, names)
			if err != nil {
				continue
			}
			if names.To != "" {
				checkDestinations(t, "edited", plan, destinations)
			}
			for i, d := range destinations {
				if names.To != "" && !strings.HasPrefix(d.Repository, names.To+"/") || oci.CheckRepository(d.Repository) != nil {
					t.Errorf("image %s goes to %s", plan.Images[i].Reference, d)
				}
			}
		}
		releases, err := transfer.Releases(plan)
		if err != nil {
			return
		}
		for _, r := range releases {
			if verified, err := r.Verify(transfer.Trust{AllowUnsigned: true}); err != nil || verified.Unsigned == "" {
				t.Errorf("release %s is trusted without a key: %v", r.Reference, err)
			}
			r.LacksSigstore(plan)
		}
	})
}
