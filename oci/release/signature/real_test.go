package signature_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"go.yaml.in/yaml/v3"

	"satchel/oci/release/signature"
)

const (
	releaseKey = "567E347AD0044ADE55BA8A5F199E2F91FD431D51"
	ciKey      = "D04761B116203B0C0859B61628B76E05B923888E"

	rhelDigest = digest.Digest("sha256:e3f12513a4b22a2d7c0e7c9207f52128113758d9d68c7d06b11a0ac7672966f7")
	ciDigest   = digest.Digest("sha256:edd9824f0404f1a139688017e7001370e2f3fbc088b94da84506653b473fe140")

	// What the file of 4.15.0 says, which has version 4; all others have version 3.
	release415 = digest.Digest("sha256:0da6316466d60a3a4535d5fed3589feb0391989982fba59d47d4c729912d6363")
)

func libraryGo(d digest.Digest) string {
	return "library-go/signatures/sha256=" + d.Encoded() + "/signature-1"
}

// realSignatures are those of Red Hat's release key.
var realSignatures = []struct {
	file      string
	digest    digest.Digest // empty: that of noo-bundle-image/manifest.json
	reference string
	created   int64
}{
	{"oc-mirror/e2e-signature-1", release415, "quay.io/openshift-release-dev/ocp-release:4.15.0-x86_64", 1708963212},
	{libraryGo(rhelDigest), rhelDigest, "registry.access.redhat.com/rhel7:7.6", 1554833664},
	{"oc-mirror/noo-bundle-image/signature-1", "", "registry.access.redhat.com/albo/aws-load-balancer-operator-bundle:0.0.1", 1659345427},
	{"oc-mirror/noo-bundle-image/signature-2", "", "registry.access.redhat.com/albo/aws-load-balancer-operator-bundle:0.0.1-20", 1659345427},
	{"oc-mirror/noo-bundle-image/signature-3", "", "registry.redhat.io/albo/aws-load-balancer-operator-bundle:0.0.1", 1659345428},
	{"oc-mirror/noo-bundle-image/signature-4", "", "registry.redhat.io/albo/aws-load-balancer-operator-bundle:0.0.1-20", 1659345428},
}

// TestRealSignatures verifies with each of the files that have the key: with a
// self-signature over SHA-1 or SHA-256, and with armor that lacks its empty line.
func TestRealSignatures(t *testing.T) {
	bundle := digest.FromBytes(realFile(t, "oc-mirror/noo-bundle-image/manifest.json"))
	for _, file := range []string{
		"keys/verifier-public-key-redhat-release.asc", "keys/graph-data/verifier-public-key-redhat-release.asc",
		"library-go/keyrings/redhat.txt", "library-go/keyrings/combined.txt",
	} {
		k := realKeyring(t, file)
		for _, s := range realSignatures {
			want := s.digest
			if want == "" {
				want = bundle
			}
			raw := realFile(t, s.file)
			got, err := signature.Verify(raw, want, k, now)
			if err != nil {
				t.Errorf("%s with %s: %v", s.file, file, err)
				continue
			}
			if got.Digest != want || got.Reference != s.reference || got.Fingerprint != releaseKey ||
				got.Created != time.Unix(s.created, 0).UTC() || !bytes.Equal(got.Raw, raw) || got.Keyring != file {
				t.Errorf("%s with %s: got %+v", s.file, file, got)
			}
		}
	}
}

// TestRealVerificationConfigMap verifies with the keys as a release carries them.
func TestRealVerificationConfigMap(t *testing.T) {
	var configMap struct{ Data map[string]string }
	if err := yaml.Unmarshal(realFile(t, "cluster-update-keys_configmap.rhel.yaml"), &configMap); err != nil {
		t.Fatal(err)
	}
	var keyrings []*signature.Keyring
	for name, data := range configMap.Data {
		if strings.HasPrefix(name, "verifier-public-key-") {
			keyrings = append(keyrings, parse(t, name, []byte(data)))
		}
	}
	for _, k := range keyrings {
		for _, f := range k.Fingerprints() {
			if _, ok := signature.Known(f); !ok {
				t.Errorf("keyring %s: key %s is not known", k.Name, f)
			}
		}
	}
	raw := realFile(t, "oc-mirror/e2e-signature-1")
	got, err := signature.VerifyAll([][]byte{raw, bytes.Clone(raw)}, release415, keyrings, now)
	if err != nil || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestRealKeys(t *testing.T) {
	for _, test := range []struct {
		file, fingerprint, known string
	}{
		{"keys/verifier-public-key-redhat-release.asc", releaseKey, "Red Hat, Inc. (release key 2)"},
		{"keys/graph-data/verifier-public-key-redhat-release.asc", releaseKey, "Red Hat, Inc. (release key 2)"},
		{"keys/verifier-public-key-redhat-beta-2.asc", "B08B659EE86AF623BC90E8DB938A80CAF21541EB", "Red Hat, Inc. (beta key 2)"},
		{"keys/graph-data/verifier-public-key-redhat-beta-2.asc", "B08B659EE86AF623BC90E8DB938A80CAF21541EB", "Red Hat, Inc. (beta key 2)"},
		{"keys/graph-data/verifier-public-key-redhat-release-auxiliary.asc", "6A6AA7C97C8890AEC6AEBFE2F76F66C3D4082792", ""},
		{"keys/verifier-public-key-openshift-ci.asc", ciKey, ""},
		{"keys/verifier-public-key-openshift-ci-2.asc", "20CCC7AD272DCD3AA169F12A65C28371F55D29A9", ""},
		{"keys/verifier-public-key-openshift-ci-3.asc", "FE526D8F6FEDC123BE219E45CF4B45E2071F0337", ""},
		{"keys/verifier-public-key-openshift-ci-4.asc", "6A9588F07F2D3AE7973AD2A9193E53CCD2E2F7A4", ""},
	} {
		got := realKeyring(t, test.file).Fingerprints()
		if len(got) != 1 || got[0] != test.fingerprint {
			t.Errorf("%s: got %q", test.file, got)
		}
		if name, ok := signature.Known(test.fingerprint); name != test.known || ok != (test.known != "") {
			t.Errorf("Known(%s): %q, %t", test.fingerprint, name, ok)
		}
	}
	if got := realKeyring(t, "library-go/keyrings/combined.txt").Fingerprints(); fmt.Sprint(got) != "["+releaseKey+" "+ciKey+"]" {
		t.Errorf("combined keyring: got %q", got)
	}
}

func TestRealBrokenKey(t *testing.T) {
	k, err := signature.ParseKeyring("buggy", realFile(t, "oc-mirror/buggy-ocp-sig-key.asc"))
	var broken *signature.KeyringError
	if !errors.As(err, &broken) || broken.Name != "buggy" || k != nil {
		t.Errorf("got %v, %v", k, err)
	}
}

// TestRealOtherKey is the signature of a CI build.
func TestRealOtherKey(t *testing.T) {
	raw := realFile(t, libraryGo(ciDigest))
	var unknown *signature.UnknownKeyError
	_, err := signature.Verify(raw, ciDigest, realKeyring(t, "keys/verifier-public-key-redhat-release.asc"), now)
	if !errors.As(err, &unknown) || unknown.KeyID != "28B76E05B923888E" || unknown.Keyring != "keys/verifier-public-key-redhat-release.asc" {
		t.Errorf("by another key: %v", err)
	}

	ci := realKeyring(t, "library-go/keyrings/simple.txt")
	before := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	got, err := signature.Verify(raw, ciDigest, ci, before)
	if err != nil {
		t.Fatal(err)
	}
	if got.Fingerprint != ciKey || got.Reference != "registry.svc.ci.openshift.org/ocp/release:4.0.0-0.ci-2019-04-19-181452" {
		t.Errorf("got %+v", got)
	}
	var expired *signature.ExpiredError
	if _, err := signature.Verify(raw, ciDigest, ci, now); !errors.As(err, &expired) || expired.What != "key" || expired.At.Year() != 2021 {
		t.Errorf("key that has expired: %v", err)
	}

	_, err = signature.VerifyAll([][]byte{raw}, ciDigest,
		[]*signature.Keyring{ci, realKeyring(t, "library-go/keyrings/redhat.txt")}, before)
	var unsatisfied *signature.UnsatisfiedError
	if !errors.As(err, &unsatisfied) || unsatisfied.Keyring != "library-go/keyrings/redhat.txt" || !errors.As(err, &unknown) {
		t.Errorf("one keyring of two: %v", err)
	}
}

func TestRealOtherDigest(t *testing.T) {
	raw := realFile(t, "oc-mirror/e2e-signature-1")
	_, err := signature.Verify(raw, rhelDigest, realKeyring(t, "library-go/keyrings/redhat.txt"), now)
	var other *signature.DigestError
	if !errors.As(err, &other) || other.Want != rhelDigest || other.Got != string(release415) {
		t.Errorf("got %v", err)
	}
}

func TestRealTwoMessages(t *testing.T) {
	first, second := realFile(t, "oc-mirror/noo-bundle-image/signature-1"), realFile(t, "oc-mirror/noo-bundle-image/signature-2")
	ci := realFile(t, libraryGo(ciDigest))
	k := realKeyring(t, "library-go/keyrings/combined.txt")
	bundle := digest.FromBytes(realFile(t, "oc-mirror/noo-bundle-image/manifest.json"))
	for _, test := range []struct {
		name  string
		parts [][]byte
	}{
		{"compressed", [][]byte{first, second}},
		{"the same twice", [][]byte{first, first}},
		{"compressed, plain", [][]byte{first, ci}},
		{"plain, compressed", [][]byte{ci, first}},
		{"a line feed", [][]byte{first, []byte("\n")}},
		{"a zero byte", [][]byte{ci, {0}}},
	} {
		_, err := signature.Verify(bytes.Join(test.parts, nil), bundle, k, now)
		if !errors.Is(err, signature.ErrTrailing) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestRealTruncated(t *testing.T) {
	k := realKeyring(t, "library-go/keyrings/combined.txt")
	for _, file := range []string{"oc-mirror/e2e-signature-1", libraryGo(rhelDigest), libraryGo(ciDigest)} {
		raw := realFile(t, file)
		for n := range raw {
			if _, err := signature.Verify(raw[:n], release415, k, now); !errors.Is(err, signature.ErrTruncated) {
				t.Errorf("%s cut to %d of %d bytes: %v", file, n, len(raw), err)
			}
		}
	}
}

// TestRealFlipped changes each byte in three ways. What is still accepted must say
// what the unharmed signature says: these are bytes that OpenPGP does not sign.
func TestRealFlipped(t *testing.T) {
	k := realKeyring(t, "library-go/keyrings/combined.txt")
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		file     string
		digest   digest.Digest
		accepted int
	}{
		// Name and date of the literal data, through compression; 26 bytes.
		{"oc-mirror/e2e-signature-1", release415, 35},
		{libraryGo(rhelDigest), rhelDigest, 39},
		// Not compressed: the four bytes of the date, and text format in the form u instead of t.
		{libraryGo(ciDigest), ciDigest, 4*3 + 1},
	} {
		raw := realFile(t, test.file)
		whole, err := signature.Verify(raw, test.digest, k, at)
		if err != nil {
			t.Fatal(err)
		}
		reasons, accepted := make(map[string]int), 0
		for i := range raw {
			for _, mask := range []byte{0x01, 0x10, 0xff} {
				flipped := bytes.Clone(raw)
				flipped[i] ^= mask
				got, err := signature.Verify(flipped, test.digest, k, at)
				if err != nil {
					reasons[reason(t, err)]++
					continue
				}
				accepted++
				got.Raw = whole.Raw
				if a, b := asJSON(t, got), asJSON(t, whole); a != b {
					t.Errorf("%s, byte %d ^ %#x: accepted as %s", test.file, i, mask, a)
				}
			}
		}
		if accepted != test.accepted {
			t.Errorf("%s: %d changes are accepted, want %d; refused: %v", test.file, accepted, test.accepted, reasons)
		}
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// reason names the kind of an error, which must be one that Verify documents.
func reason(t testing.TB, err error) string {
	t.Helper()
	for _, known := range []error{signature.ErrTooLarge, signature.ErrNotMessage, signature.ErrTruncated, signature.ErrTrailing, signature.ErrMismatch} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	var (
		unknown *signature.UnknownKeyError
		key     *signature.KeyError
		expired *signature.ExpiredError
		payload *signature.PayloadError
		other   *signature.DigestError
	)
	switch {
	case errors.As(err, &unknown):
		return "unknown key"
	case errors.As(err, &key):
		return "key"
	case errors.As(err, &expired):
		return "expired " + expired.What
	case errors.As(err, &payload):
		return "payload"
	case errors.As(err, &other):
		return "digest"
	}
	t.Errorf("error of an unknown kind: %v", err)
	return ""
}
