package site_test

import (
	"strings"
	"testing"

	"satchel/oci"
	"satchel/transfer/site"
)

// inOrder looks for texts one after another.
func inOrder(t *testing.T, text string, wanted []string) {
	t.Helper()
	rest := text
	for _, want := range wanted {
		i := strings.Index(rest, want)
		switch {
		case i >= 0:
			rest = rest[i+len(want):]
		case strings.Contains(text, want):
			t.Errorf("README.md has %q too early", want)
		default:
			t.Errorf("README.md has no %q", want)
		}
	}
}

func TestReadmeOrder(t *testing.T) {
	b := newBundle("b")
	addRelease(t, &b, "4.99.10", "amd64", twoRepositories)
	addRelease(t, &b, "4.99.9", "amd64", twoRepositories)
	addImages(t, &b)
	text := render(t, b, site.Options{})["README.md"]
	newer, older := b.Releases[0], b.Releases[1]
	pullspec := func(r site.Release) string { return twoRepositories.release + "@" + string(r.Digest) }
	gather, _ := newer.Payload.Component("must-gather")
	inOrder(t, text, []string{
		"Credentials that may write are not the pull secret", "only the global pull secret", "internal registry cannot be the target", "subject alternative name",
		"`mirror.example..5000`",
		"oc get machineconfigpools -o custom-columns=NAME:.metadata.name,PAUSED:.spec.paused",
		"/usr/local/bin/cluster-backup.sh",
		`annotate machinehealthcheck --all --overwrite cluster.x-k8s.io/paused=""`,
		"credentialsMode", "satchel extract MEDIA --release 4.99.9 --credentials-requests", "satchel extract MEDIA --release 4.99.10 --credentials-requests",
		"cloudcredential.openshift.io/upgradeable-to=4.99.9",
		"oc apply -f signature-sha256-", "oc apply -f signature-sha256-", "oc apply -f imageDigestMirrorSet.yaml", "oc apply -f imageTagMirrorSet.yaml",
		"oc wait machineconfigpools",
		"oc adm upgrade --allow-explicit-upgrade --to-image " + pullspec(older),
		"oc adm upgrade --allow-explicit-upgrade --to-image " + releaseSource + "@" + string(older.Digest),
		"oc adm upgrade --allow-explicit-upgrade --to-image " + pullspec(newer),
		"oc adm upgrade --allow-explicit-upgrade --to-image " + releaseSource + "@" + string(newer.Digest),
		"annotate machinehealthcheck --all cluster.x-k8s.io/paused-",
		"install-config-imageDigestSources.yaml", "install-config-imageContentSources.yaml",
		"satchel extract MEDIA --release 4.99.10 --command openshift-install --mirror " + twoRepositories.release + " -o",
		"oc import-image is/must-gather -n openshift",
		"oc adm must-gather --image=" + twoRepositories.components + "@" + string(gather.Image.Digest),
		"registries.conf /etc/containers/registries.conf.d/",
		"mapping.txt",
	})
	if strings.Contains(text, "--force") || strings.Contains(text, "WARNING") {
		t.Errorf("a signed release is warned of:\n%s", text)
	}
}

func TestReadmeUnsigned(t *testing.T) {
	const warning, sigstore = "is not signed as it has to be: ", "no sigstore signature"
	for _, test := range []struct {
		name       string
		edit       func(*site.Bundle)
		has, lacks []string
	}{
		{"reason", func(b *site.Bundle) { b.Releases[0].Unsigned = "the key\n\nis broken" },
			[]string{warning + "the key is broken.", "--force", "**no**", "the cluster will refuse it"}, []string{sigstore}},
		{"no signatures", func(b *site.Bundle) { b.Releases[0].Signatures = nil },
			[]string{warning + "no signature of its digest", "--force"}, []string{sigstore, "oc apply -f signature"}},
		{"of another digest", func(b *site.Bundle) { b.Releases[0].Signatures[0].Digest = digestOf("child") },
			[]string{warning + "no signature of its digest", "oc apply -f signature"}, nil},
		{"without .sig", func(b *site.Bundle) { b.Images = b.Images[:len(b.Images)-1] }, []string{sigstore}, []string{"--force"}},
		{"without .sig, before 4.21", func(b *site.Bundle) { b.Images, b.Releases[0].Version = b.Images[:len(b.Images)-1], "4.20.99" },
			nil, []string{sigstore, "--force"}},
		{"unknown origin", func(b *site.Bundle) { b.Releases[0].Source = oci.Reference{Repository: "file.invalid/x", Tag: "v"} },
			[]string{"--to-image " + twoRepositories.release}, []string{"--to-image file.invalid", "by its original name, which"}},
	} {
		b := newBundle("b")
		addRelease(t, &b, "4.99.1", "amd64", twoRepositories)
		test.edit(&b)
		text := render(t, b, site.Options{})["README.md"]
		for _, want := range test.has {
			if !strings.Contains(text, want) {
				t.Errorf("%s: README.md has no %q", test.name, want)
			}
		}
		for _, not := range test.lacks {
			if strings.Contains(text, not) {
				t.Errorf("%s: README.md has %q", test.name, not)
			}
		}
	}
}

// What is not at the site is said before anything else; commands have the flags
// that they need; old clusters are told what they need.
func TestReadmeCircumstances(t *testing.T) {
	b := newBundle("b")
	addRelease(t, &b, "4.12.5", "amd64", twoRepositories)
	whole := render(t, b, site.Options{})["README.md"]
	for _, not := range []string{"INCOMPLETE", "--tls-verify"} {
		if strings.Contains(whole, not) {
			t.Errorf("README.md has %q", not)
		}
	}
	if !strings.Contains(whole, "--mirror-set icsp") {
		t.Error("clusters up to 4.12 are not told of the policy")
	}
	if both := render(t, b, site.Options{MirrorSets: site.Both})["README.md"]; strings.Contains(both, "--mirror-set icsp") {
		t.Error("they are told although the policy is there")
	}
	for range 23 {
		b.Lacking = append(b.Lacking, "4.12.5-x86_64\n`etcd`")
	}
	text := render(t, b, site.Options{
		NoMedia: true, MediaFlags: []string{"--release-key k.asc"}, Unverified: true,
	})["README.md"]
	inOrder(t, text, []string{"# b at", "INCOMPLETE", "4.12.5-x86_64", "and 3 more", "The images of this bundle", "--tls-verify=false --credentials-requests"})
	if strings.Contains(text, "MEDIA") || strings.Contains(text, "k.asc") {
		t.Errorf("media are named where there are none:\n%s", text)
	}
	if text := render(t, b, site.Options{MediaFlags: []string{"--release-key k.asc"}})["README.md"]; !strings.Contains(text, "MEDIA --release 4.12.5 --release-key k.asc --credentials-requests") {
		t.Error("the command for media lacks its flags")
	}
}

// TestReadmeWithoutReleases: nothing of releases is in it.
func TestReadmeWithoutReleases(t *testing.T) {
	b := newBundle("b")
	addImages(t, &b)
	text := render(t, b, site.Options{})["README.md"]
	for _, not := range []string{"release", "upgrade", "etcd", "must-gather", "install-config", "machinehealthcheck", "satchel extract", "MEDIA", "signature"} {
		if strings.Contains(text, not) {
			t.Errorf("README.md has %q without a release:\n%s", not, text)
		}
	}
	inOrder(t, text, []string{"only the global pull secret", "oc apply -f imageDigestMirrorSet.yaml", "oc apply -f imageTagMirrorSet.yaml", "oc wait machineconfigpools", "registries.conf.d"})
	text = render(t, b, site.Options{MirrorSets: site.ICSP})["README.md"]
	inOrder(t, text, []string{"oc apply -f imageContentSourcePolicy.yaml", "no mirrors for images by tag", "`registry.example/org/by-tag`"})
}
