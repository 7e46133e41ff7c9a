package nodeconf_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"satchel/transfer/nodeconf"
)

// TestParseExportConfig reads all that an image configuration says, and what oc writes when
// there is nothing.
func TestParseExportConfig(t *testing.T) {
	const config = `{"apiVersion": "config.openshift.io/v1", "kind": "Image", "metadata": {"name": "cluster"}, "spec": {
    "additionalTrustedCA": {"name": "registry-cas"},
    "allowedRegistriesForImport": [{"domainName": "a.io", "insecure": true}, {"domainName": "*.b.io"}],
    "registrySources": {"allowedRegistries": ["a.io"], "containerRuntimeSearchRegistries": ["s.io"]}}}`
	got, err := nodeconf.ParseExport([]byte(config))
	if want := "{[] [] [] [] [] [a.io] [s.io] [{a.io true} {*.b.io false}] registry-cas}"; err != nil || fmt.Sprint(got) != want {
		t.Errorf("%v, %v\nwant %s", got, err, want)
	}
	both := got.With(nodeconf.Cluster{Import: []nodeconf.ImportRegistry{{Domain: "c.io"}}, TrustedCA: "new"})
	if want := "{[] [] [] [] [] [a.io] [s.io] [{a.io true} {*.b.io false} {c.io false}] new}"; fmt.Sprint(both) != want {
		t.Errorf("%v\nwant %s", both, want)
	}
	for _, nothing := range []string{"apiVersion: v1\nkind: List\nitems: []\n", `{"kind": "ImageDigestMirrorSetList", "items": []}`} {
		if got, err := nodeconf.ParseExport([]byte(nothing)); err != nil || fmt.Sprint(got) != fmt.Sprint(nodeconf.Cluster{}) {
			t.Errorf("%s: %v, %v", nothing, got, err)
		}
	}
	if _, err := nodeconf.ParseExport([]byte("kind: List\nitems: [{kind: Pod}]\n")); !errors.Is(err, nodeconf.ErrNoneInIt) {
		t.Errorf("a list of something else: %v", err)
	}
}

// TestParseExportOther: of a file that is something else it is said what was expected,
// and nothing of how it is read.
func TestParseExportOther(t *testing.T) {
	for content, where := range map[string]string{
		"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n": "line 1: ",
		"[1, 2]\n": "line 1: ",
		"kind: ImageTagMirrorSet\nmetadata: {name: x}\nspec:\n  imageTagMirrors: no\n":                 `ImageTagMirrorSet "x": line 4: `,
		"kind: ImageTagMirrorSet\nmetadata: {name: x}\nspec: {imageTagMirrors: [{mirrors: {a: b}}]}\n": `ImageTagMirrorSet "x": line 3: `,
		"a: b: c\n": "",
	} {
		_, err := nodeconf.ParseExport([]byte(content))
		if err == nil {
			t.Errorf("%q is read", content)
			continue
		}
		if got := err.Error(); !strings.HasPrefix(got, where+"it is not what oc get -o yaml or -o json writes of resources") || strings.Contains(got, "nodeconf") || strings.Contains(got, "unmarshal") {
			t.Errorf("%q: %s", content, got)
		}
	}
}

// FuzzParseExport: whatever the file is, what it is made of is found or refused, and the
// findings say what the cluster would say.
func FuzzParseExport(f *testing.F) {
	f.Add([]byte("kind: ImageDigestMirrorSet\nmetadata: {name: a}\nspec: {imageDigestMirrors: [{source: s.io, mirrors: [m.io], mirrorSourcePolicy: NeverContactSource}]}\n" +
		"---\nkind: Image\napiVersion: config.openshift.io/v1\nspec: {registrySources: {blockedRegistries: [b.io], insecureRegistries: ['*.c.io']}}\n"))
	f.Add([]byte(`{"kind":"List","items":[{"kind":"ImageTagMirrorSet","spec":{"imageTagMirrors":[{"source":"*.s.io","mirrors":["m.io/a","m.io/b"]}]}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := nodeconf.ParseExport(data)
		if err != nil {
			return
		}
		refused := false
		for _, finding := range nodeconf.Conflicts(c, nodeconf.Cluster{}) {
			refused = refused || finding.Refused
		}
		if err := c.Check(); (err != nil) != refused {
			t.Errorf("Check: %v, findings refuse it: %v", err, refused)
		}
		if _, err := nodeconf.Registries(c); err != nil && !refused {
			t.Errorf("Registries: %v, and nothing refuses it", err)
		}
	})
}
