//go:build unix

package ocdir_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// configMap writes what oc writes of signatures.
func configMap(d digest.Digest, signatures ...string) string {
	var data []string
	for n, s := range signatures {
		data = append(data, fmt.Sprintf("%q:%q", fmt.Sprintf("sha256-%s-%d", d.Encoded(), n+1), base64.StdEncoding.EncodeToString([]byte(s))))
	}
	slices.Sort(data) // "-10" is before "-2"
	return `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"sha256-` + d.Encoded() +
		`","namespace":"openshift-config-managed","creationTimestamp":null,"labels":{"release.openshift.io/verification-signatures":""}},"binaryData":{` +
		strings.Join(data, ",") + "}}\n"
}

func signatureFile(d digest.Digest) string {
	return "signature-sha256-" + d.Encoded()[:16] + ".json"
}

func TestSignatures(t *testing.T) {
	m := newMirror(t)
	m.image(release, "a", "1")
	// The digests are in the other order than the files.
	a, b := digest.FromString("a"), digest.FromString("b")
	if a < b {
		t.Fatal("choose others")
	}
	many := []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11\x00\xff"}
	m.write(configMap(a, many...), "config", "signature-renamed.json")
	m.write(configMap(b, "x"), "config", signatureFile(b))
	m.write("not looked at", "config", "other.json")
	m.write("not looked at", "config", signatureFile(a)+".bak")
	found, errs := m.open().Signatures()
	if len(errs) != 0 || len(found) != 2 {
		t.Fatalf("got %v, %v", found, errs)
	}
	if found[1].Digest != a || found[1].File != "config/signature-renamed.json" || len(found[1].Raw) != len(many) {
		t.Fatalf("got %v", found[1])
	}
	if found[0].Digest != b || found[0].File != "config/"+signatureFile(b) || len(found[0].Raw) != 1 || string(found[0].Raw[0]) != "x" {
		t.Errorf("got %v", found[0])
	}
	for n, raw := range found[1].Raw {
		if !bytes.Equal(raw, []byte(many[n])) {
			t.Errorf("signature %d is %q", n+1, raw)
		}
	}
}

func TestNoSignatures(t *testing.T) {
	m := newMirror(t)
	m.image(release, "a", "1")
	if found, errs := m.open().Signatures(); len(found) != 0 || len(errs) != 0 {
		t.Errorf("got %v, %v", found, errs)
	}
}

func TestSignaturesRefused(t *testing.T) {
	a, b := digest.FromString("a"), digest.FromString("b")
	good := configMap(a, "x")
	tests := []struct{ name, file, content, says string }{
		{"no JSON", "", "apiVersion: v1", "invalid character"},
		{"empty", "", "", "unexpected end"},
		{"a list", "", "[]", "cannot unmarshal"},
		{"another kind", "", strings.Replace(good, "ConfigMap", "Secret", 1), `kind "Secret"`},
		{"another version", "", strings.Replace(good, `"v1"`, `"v2"`, 1), `apiVersion "v2"`},
		{"no name", "", strings.Replace(good, `"name":"sha256-`+a.Encoded(), `"name":"`, 1), `name "" is not`},
		{"name with a colon", "", strings.ReplaceAll(good, "sha256-", "sha256:"), "is not that of a digest"},
		{"name with an underscore", "", strings.ReplaceAll(good, "sha256-", "sha256_"), "is not that of a digest"},
		{"of another digest", "", configMap(b, "x"), "it is for " + b.String()},
		{"key of another digest", "", strings.Replace(good, "sha256-"+a.Encoded()+"-1", "sha256-"+b.Encoded()+"-1", 1), "is not the name of a signature of " + a.String()},
		{"none", "", configMap(a), "it holds no signature"},
		{"an empty one", "", configMap(a, "x", ""), "-2\" of 0 bytes"},
		{"no base64", "", strings.Replace(good, `"eA=="`, `"?"`, 1), "illegal base64"},
		{"a large one", "", configMap(a, strings.Repeat("x", 50<<10+1)), "of 51201 bytes"},
		{"too many", "", configMap(a, make([]string, 1001)...), "more than 1000 elements"},
		{"a large file", "", good + strings.Repeat(" ", 2<<20), "are more than 2097152"},
		{"a name for a message", "signature-\x1b[31m.json", "", `"config/signature-\x1b[31m.json"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := newMirror(t)
			m.image(release, "a", "1")
			if test.file == "" {
				test.file = signatureFile(a)
			}
			m.write(test.content, "config", test.file)
			m.write(configMap(b, "y"), "config", signatureFile(b)) // it counts all the same
			found, errs := m.open().Signatures()
			if len(found) != 1 || found[0].Digest != b || len(errs) != 1 || !strings.Contains(errs[0].Error(), test.says) {
				t.Errorf("got %v, %v", found, errs)
			}
		})
	}
}

func TestSignaturesOutside(t *testing.T) {
	outside := newMirror(t)
	a := digest.FromString("a")
	outside.write(configMap(a, "x"), "config", signatureFile(a))
	file, dir := newMirror(t), newMirror(t)
	file.image(release, "a", "1")
	dir.image(release, "a", "1")
	file.link(outside.path("config", signatureFile(a)), "config", signatureFile(a))
	dir.link(outside.path("config"), "config")
	for what, m := range map[string]*mirror{"config/" + signatureFile(a): file, "config": dir} {
		found, errs := m.open().Signatures()
		if len(found) != 0 || len(errs) != 1 || !strings.Contains(errs[0].Error(), what+` is a link to "`+outside.dir) {
			t.Errorf("%s: got %v, %v", what, found, errs)
		}
	}
}

func writeOver(name, content string) error {
	return os.WriteFile(name, []byte(content), 0o600)
}
