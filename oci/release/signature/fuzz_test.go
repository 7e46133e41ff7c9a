package signature_test

import (
	"encoding/json"
	"strings"
	"testing"

	"satchel/oci/release/signature"
)

// FuzzVerify: whatever is accepted is what the one key signed, and whatever is not is
// refused with an error of a known kind.
func FuzzVerify(f *testing.F) {
	for _, name := range []string{"gpg-signature.bin", "gpg-signature-zlib.bin", "gpg-signature-plain.bin", "gpg-key.bin"} {
		f.Add(made(f, name))
	}
	v3 := message(document(digestA), messageOptions{version: 3})
	f.Add(v3)
	f.Add(message(document(digestA), messageOptions{version: 3, plain: true}))
	k := parse(f, "gpg", made(f, "gpg-key.bin"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := signature.Verify(raw, digestA, k, signedAt)
		if err != nil {
			reason(t, err)
			return
		}
		if s.Digest != digestA || s.Reference != "quay.io/openshift-release-dev/ocp-release:4.15.0-x86_64" || !s.Created.Equal(signedAt) {
			t.Errorf("forged: %+v", s)
		}
	})
}

// FuzzParseKeyring: a keyring that is accepted has a key and can be asked.
func FuzzParseKeyring(f *testing.F) {
	key, raw := made(f, "gpg-key.bin"), made(f, "gpg-signature.bin")
	f.Add(key)
	f.Add([]byte(armorText(f, "PGP PUBLIC KEY BLOCK", key)))
	f.Add(raw)
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := signature.ParseKeyring("fuzz", data)
		if err != nil {
			return
		}
		if len(k.Fingerprints()) == 0 {
			t.Error("a keyring without a key")
		}
		if _, err := signature.Verify(raw, digestA, k, signedAt); err != nil {
			reason(t, err)
		}
	})
}

// FuzzPayload signs whatever comes: JSON that is strange enough must not be read
// as another statement than encoding/json reads.
func FuzzPayload(f *testing.F) {
	f.Add(document(digestA))
	f.Add(`{"critical":{}}`)
	k := parse(f, "test", publicKeys(signer()))
	f.Fuzz(func(t *testing.T, content string) {
		s, err := signature.Verify(message(content, messageOptions{plain: true}), digestA, k, now)
		if err != nil {
			if r := reason(t, err); r != "payload" && r != "digest" && r != signature.ErrTooLarge.Error() {
				t.Errorf("%q: %v", content, err)
			}
			return
		}
		checkStatement(t, content, s)
	})
}

// checkStatement compares with what clusters would read (openshift/library-go, pkg/verify/util).
func checkStatement(t *testing.T, content string, s *signature.Signature) {
	t.Helper()
	var read struct {
		Critical struct {
			Type  string `json:"type"`
			Image struct {
				Digest string `json:"docker-manifest-digest"`
			} `json:"image"`
			Identity struct {
				Reference string `json:"docker-reference"`
			} `json:"identity"`
		} `json:"critical"`
		Optional struct {
			Creator   string `json:"creator"`
			Timestamp int64  `json:"timestamp"`
		} `json:"optional"`
	}
	d := json.NewDecoder(strings.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&read); err != nil {
		t.Fatalf("%q is accepted, clusters say %v", content, err)
	}
	c := read.Critical
	if c.Type != "atomic container signature" || c.Image.Digest != string(s.Digest) || c.Identity.Reference != s.Reference || s.Reference == "" {
		t.Errorf("%q: got %+v, clusters read %+v", content, s, read)
	}
}
