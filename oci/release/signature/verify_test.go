package signature_test

import (
	"bytes"
	"crypto"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/opencontainers/go-digest"

	"satchel/oci/release/signature"
)

func testKeyring(t testing.TB, entities ...*openpgp.Entity) *signature.Keyring {
	t.Helper()
	return parse(t, "test", publicKeys(entities...))
}

func TestVerify(t *testing.T) {
	k := testKeyring(t, another(), signer())
	want := strings.ToUpper(digest.NewDigestFromBytes("sha256", signer().PrimaryKey.Fingerprint).Encoded())
	for _, o := range []messageOptions{
		{}, {version: 3}, {plain: true}, {version: 3, plain: true},
		{hash: crypto.SHA384}, {hash: crypto.SHA512}, {version: 3, hash: crypto.SHA512},
		{lifetime: 10 * 365 * 86400},
	} {
		raw := message(document(digestA), o)
		got, err := signature.Verify(raw, digestA, k, now)
		if err != nil {
			t.Errorf("%+v: %v", o, err)
			continue
		}
		if got.Digest != digestA || got.Reference != "quay.io/openshift-release-dev/ocp-release:4.15.0-x86_64" ||
			got.Fingerprint != want || got.Created != signedAt || got.Keyring != "test" || !bytes.Equal(got.Raw, raw) {
			t.Errorf("%+v: got %+v", o, got)
		}
	}
}

func TestVerifyReasons(t *testing.T) {
	content := document(digestA)
	good := message(content, messageOptions{plain: true})
	packets := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	o := messageOptions{key: signer().PrivateKey, hash: crypto.SHA256}
	head, sig := onePass(o, 8), signaturePacket(content, o, 8)
	for _, test := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"empty", nil, "signature is truncated"},
		{"too large", make([]byte, signature.MaxSize+1), "signature is larger than the limit"},
		{"as large as may be", make([]byte, signature.MaxSize), "not a signed OpenPGP message"},
		{"a web page", []byte("<html>"), "not a signed OpenPGP message"},
		{"armored", []byte("\n-----BEGIN PGP MESSAGE-----\n\n"), "not a signed OpenPGP message"},
		{"detached", sig, "not a signed OpenPGP message"},
		{"a key", publicKeys(signer()), "not a signed OpenPGP message"},
		{"not signed", literal(content), "not a signed OpenPGP message"},
		{"no signature", packets(head, literal(content)), "signature is truncated"},
		{"no content", packets(head, sig), "not a signed OpenPGP message"},
		{"only a head", head, "signature is truncated"},
		{"two contents", packets(head, literal(content), literal(content), sig), "not a signed OpenPGP message"},
		{"two signatures", packets(head, literal(content), sig, sig), "bytes after the end of the signature"},
		{"promises two", message(content, messageOptions{twice: true}), "not a signed OpenPGP message"},
		{"more in the compression", deflated(append(bytes.Clone(good), 0)), "bytes after the end of the signature"},
		{"two in the compression", deflated(packets(good, good)), "bytes after the end of the signature"},
		{"more after the compression", append(deflated(good), 0), "bytes after the end of the signature"},
		{"more after a compression of known length", append(framed(8, deflated(good)[1:]), 0), "bytes after the end of the signature"},
		{"compressed twice", deflated(deflated(good)), "not a signed OpenPGP message"},
		{"compressed by bzip2", []byte{0xa3, 3, 'B', 'Z', 'h'}, "not a signed OpenPGP message"},
		{"a bomb", deflated(bytes.Repeat([]byte{0}, 2<<20)), "not a signed OpenPGP message"},
		{"over SHA-1", message(content, messageOptions{hash: crypto.SHA1}), "not a signed OpenPGP message"},
		{"over SHA-1, version 3", message(content, messageOptions{hash: crypto.SHA1, version: 3}), "not a signed OpenPGP message"},
		{"as text", message(content, messageOptions{kind: packet.SigTypeText}), "not a signed OpenPGP message"},
		{"header in parts", packets([]byte{0xc4, 0xe0, 3, 12}, head[7:], literal(content), sig), "not a signed OpenPGP message"},
		{"head for another key", message(content, messageOptions{onePassKey: 1}), "not a signed OpenPGP message"},
		{"critical notation", message(content, messageOptions{critical: true}), "not a signed OpenPGP message"},
		{"another key", message(content, messageOptions{key: another().PrivateKey}), "unknown key"},
		{"another key, version 3", message(content, messageOptions{key: another().PrivateKey, version: 3}), "unknown key"},
		{"other content", packets(head, literal(document(digestB)), sig), "signature does not match what it signs"},
		{"expired", message(content, messageOptions{lifetime: 3600}), "expired signature"},
		{"another digest", message(document(digestB), messageOptions{}), "digest"},
		{"no document", message("{}", messageOptions{}), "payload"},
	} {
		got, err := signature.Verify(test.raw, digestA, testKeyring(t, signer()), now)
		if err == nil || got != nil {
			t.Errorf("%s: got %v, %v", test.name, got, err)
		} else if r := reason(t, err); r != test.want {
			t.Errorf("%s: got reason %q (%v), want %q", test.name, r, err, test.want)
		}
	}
	if _, err := signature.Verify(good, "sha512:00", testKeyring(t, signer()), now); err == nil {
		t.Error("a digest that is none was accepted")
	}
}

// TestVerifySecond looks at the second in which something expires.
func TestVerifySecond(t *testing.T) {
	const hour = 3600
	short := newEntity(packet.PubKeyAlgoRSA, 2*hour) // made an hour before signedAt
	for _, test := range []struct {
		name   string
		entity *openpgp.Entity
		o      messageOptions
		what   string
	}{
		{"signature", signer(), messageOptions{lifetime: hour}, "signature"},
		{"key", short, messageOptions{key: short.PrivateKey, version: 3}, "key"},
	} {
		raw, k := message(document(digestA), test.o), testKeyring(t, test.entity)
		end := signedAt.Add(hour * time.Second)
		if _, err := signature.Verify(raw, digestA, k, end); err != nil {
			t.Errorf("%s, last second: %v", test.name, err)
		}
		if _, err := signature.Verify(raw, digestA, k, signedAt.Add(-10*hour*time.Second)); err != nil {
			t.Errorf("%s, a clock that is behind: %v", test.name, err)
		}
		_, err := signature.Verify(raw, digestA, k, end.Add(time.Second))
		var expired *signature.ExpiredError
		if !errors.As(err, &expired) || expired.What != test.what || !expired.At.Equal(end) || expired.KeyID != test.entity.PrimaryKey.KeyIdString() {
			t.Errorf("%s, a second later: %v", test.name, err)
		}
	}
}

func TestVerifyRevoked(t *testing.T) {
	e := newEntity(packet.PubKeyAlgoEdDSA, 0)
	raw := message(document(digestA), messageOptions{key: e.PrivateKey})
	if _, err := signature.Verify(raw, digestA, testKeyring(t, e), now); err != nil {
		t.Fatal(err)
	}
	if err := e.RevokeKey(packet.KeyRetired, "", nil); err != nil {
		t.Fatal(err)
	}
	_, err := signature.Verify(raw, digestA, testKeyring(t, e), signedAt)
	var bad *signature.KeyError
	if !errors.As(err, &bad) || bad.KeyID != e.PrimaryKey.KeyIdString() || bad.Reason != "revoked" {
		t.Errorf("got %v", err)
	}
}

func TestVerifySubkeys(t *testing.T) {
	e := newEntity(packet.PubKeyAlgoRSA, 0) // its encryption subkey could sign
	config := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return signedAt.Add(-time.Hour) }}
	if err := e.AddSigningSubkey(config); err != nil {
		t.Fatal(err)
	}
	encryption, signing := e.Subkeys[0], e.Subkeys[1]
	k := testKeyring(t, e)
	got, err := signature.Verify(message(document(digestA), messageOptions{key: signing.PrivateKey}), digestA, k, now)
	if err != nil || got.Fingerprint != k.Fingerprints()[0] {
		t.Errorf("signing subkey: got %v, %v", got, err)
	}
	_, err = signature.Verify(message(document(digestA), messageOptions{key: encryption.PrivateKey}), digestA, k, now)
	var unknown *signature.UnknownKeyError
	if !errors.As(err, &unknown) || unknown.KeyID != encryption.PublicKey.KeyIdString() {
		t.Errorf("encryption subkey: %v", err)
	}
	if err := e.RevokeSubkey(&e.Subkeys[1], packet.KeyCompromised, "", nil); err != nil {
		t.Fatal(err)
	}
	_, err = signature.Verify(message(document(digestA), messageOptions{key: signing.PrivateKey}), digestA, testKeyring(t, e), now)
	var bad *signature.KeyError
	if !errors.As(err, &bad) || bad.Reason != "revoked" {
		t.Errorf("revoked subkey: %v", err)
	}
}

func TestVerifyAll(t *testing.T) {
	one, two := parse(t, "one", publicKeys(signer())), parse(t, "two", publicKeys(another()))
	both := parse(t, "both", publicKeys(signer(), another()))
	a := message(document(digestA), messageOptions{})
	b := message(document(digestA), messageOptions{key: another().PrivateKey})
	elsewhere := message(document(digestB), messageOptions{})
	junk := []byte("junk")
	for _, test := range []struct {
		name     string
		raws     [][]byte
		keyrings []*signature.Keyring
		want     string // letters of the signatures and their keyrings, or of the keyring that is not satisfied
	}{
		{"one", [][]byte{a}, []*signature.Keyring{one}, "a one "},
		{"twice", [][]byte{a, bytes.Clone(a)}, []*signature.Keyring{one, both}, "a one "},
		{"two", [][]byte{junk, b, a, elsewhere}, []*signature.Keyring{one, two}, "b two a one "},
		{"keyrings that share a key", [][]byte{a, b}, []*signature.Keyring{both, one}, "a both b both "},
		{"one for two keyrings", [][]byte{a}, []*signature.Keyring{one, two}, "!two 1"},
		{"nothing valid", [][]byte{junk, elsewhere}, []*signature.Keyring{one}, "!one 2"},
		{"no signature", nil, []*signature.Keyring{one}, "!one 0"},
		{"no keyring", [][]byte{a}, nil, "error"},
	} {
		valid, err := signature.VerifyAll(test.raws, digestA, test.keyrings, now)
		var got strings.Builder
		for _, s := range valid {
			letter := "?"
			if bytes.Equal(s.Raw, a) {
				letter = "a"
			} else if bytes.Equal(s.Raw, b) {
				letter = "b"
			}
			got.WriteString(letter + " " + s.Keyring + " ")
		}
		var unsatisfied *signature.UnsatisfiedError
		if errors.As(err, &unsatisfied) {
			got.WriteString("!" + unsatisfied.Keyring + " " + string(rune('0'+len(unsatisfied.Reasons))))
			if unsatisfied.Digest != digestA || !strings.Contains(err.Error(), string(digestA)) {
				t.Errorf("%s: %v", test.name, err)
			}
		} else if err != nil {
			got.WriteString("error")
		}
		if got.String() != test.want {
			t.Errorf("%s: got %q (%v), want %q", test.name, got.String(), err, test.want)
		}
	}
	_, err := signature.VerifyAll([][]byte{junk, elsewhere}, digestA, []*signature.Keyring{one}, now)
	var other *signature.DigestError
	if !errors.As(err, &other) || !errors.Is(err, signature.ErrNotMessage) {
		t.Errorf("reasons are not found in %v", err)
	}
}

func TestPayload(t *testing.T) {
	k := testKeyring(t, signer())
	const image, identity = `"image":{"docker-manifest-digest":"` + string(digestA) + `"}`, `"identity":{"docker-reference":"q/r:t"}`
	const kind = `"type":"atomic container signature"`
	const critical = `"critical":{` + kind + "," + image + "," + identity + "}"
	for _, test := range []struct {
		content string
		want    string // part of the error; empty: accepted
	}{
		{"{" + critical + "}", ""},
		{" \n{" + critical + `,"optional":{}}` + "\n", ""},
		{"{" + critical + `,"optional":{"timestamp":1700000000,"creator":"x"}}`, ""},
		{"{" + critical + "}{}", "not one JSON document"},
		{"{" + critical + "}{" + critical + "}", "not one JSON document"},
		{"", "not one JSON document"},
		{"{" + critical + "\xff}", "not UTF-8"},
		{"[]", "the document is not a JSON object"},
		{"null", "the document is not a JSON object"},
		{"{}", `the document lacks "critical"`},
		{`{"critical":null}`, "critical is not a JSON object"},
		{"{" + critical + `,"optional":null}`, "optional is not a JSON object"},
		{"{" + critical + "," + critical + "}", `key "critical" twice`},
		{"{" + critical + `,"extra":1}`, `unknown key "extra" in the document`},
		{"{" + strings.Replace(critical, "critical", "Critical", 1) + "}", `unknown key "Critical"`},
		{`{"critical":{` + kind + "," + image + "," + image + "," + identity + "}}", `key "image" twice in critical`},
		{`{"critical":{"Type":"atomic container signature",` + image + "," + identity + "}}", `unknown key "Type" in critical`},
		{`{"critical":{` + image + "," + identity + "}}", `critical lacks "type"`},
		{`{"critical":{` + kind + "," + identity + "}}", `critical lacks "image"`},
		{`{"critical":{` + kind + "," + image + "}}", `critical lacks "identity"`},
		{`{"critical":{` + kind + `,"image":{},` + identity + "}}", `critical.image lacks "docker-manifest-digest"`},
		{`{"critical":{` + kind + `,"image":{"docker-manifest-digest":1},` + identity + "}}", "docker-manifest-digest: not a string"},
		{`{"critical":{` + kind + `,"image":{"docker-manifest-digest":null},` + identity + "}}", "docker-manifest-digest: not a string"},
		{`{"critical":{` + kind + "," + image + `,"identity":{"docker-reference":""}}}`, "docker-reference is empty"},
		{`{"critical":{"type":"Atomic container signature",` + image + "," + identity + "}}", "type is"},
		{`{"critical":{"type":"cosign container image signature",` + image + "," + identity + "}}", "type is"},
		{"{" + critical + `,"optional":{"timestamp":"1"}}`, "timestamp: not a number"},
		{"{" + critical + `,"optional":{"timestamp":1.5}}`, "not a whole number"},
		{"{" + critical + `,"optional":{"timestamp":99999999999999999999}}`, "not a whole number"},
		{"{" + critical + `,"optional":{"creator":["x"]}}`, "creator: not a string"},
		{"{" + critical + `,"optional":{"x":1}}`, `unknown key "x" in optional`},
	} {
		_, err := signature.Verify(message(test.content, messageOptions{}), digestA, k, now)
		var payload *signature.PayloadError
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", test.content, err)
		case test.want != "" && (!errors.As(err, &payload) || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: got %v, want %q", test.content, err, test.want)
		}
	}
	// The digest is compared as text.
	upper := strings.Replace("{"+critical+"}", string(digestA), strings.ToUpper(string(digestA)), 1)
	_, err := signature.Verify(message(upper, messageOptions{}), digestA, k, now)
	var other *signature.DigestError
	if !errors.As(err, &other) {
		t.Errorf("digest in upper case: %v", err)
	}
}

func TestParseKeyring(t *testing.T) {
	binary := publicKeys(signer())
	armored := func(kind string, body []byte) string {
		return armorText(t, kind, body)
	}
	public := armored(openpgp.PublicKeyType, binary)
	var private bytes.Buffer
	if err := signer().SerializePrivateWithoutSigning(&private, nil); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, data, want string
	}{
		{"binary", string(binary), ""},
		{"armored", public, ""},
		{"text around", "a key:\n" + public + "\nthat was it\n", ""},
		{"Windows line ends", strings.ReplaceAll(public, "\n", "\r\n"), ""},
		{"no empty line", strings.Replace(public, "\n\n", "\n", 1), ""},
		{"empty", "", "no key"},
		{"text", "no key here", "damaged"},
		{"cut", string(binary[:len(binary)/2]), "damaged"},
		{"a bit of the key", string(flip(binary, 40)), "damaged"},
		{"two blocks", public + public, "2 armored blocks"},
		{"begin only", "-----BEGIN PGP PUBLIC KEY BLOCK-----", "armor"},
		{"begin line only", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n", "no key"},
		{"armored private", armored(openpgp.PrivateKeyType, private.Bytes()), "PRIVATE KEY BLOCK"},
		{"armored private as public", armored(openpgp.PublicKeyType, private.Bytes()), "is a private key"},
		{"binary private", private.String(), "is a private key"},
		{"a signature", string(message(document(digestA), messageOptions{plain: true})), "damaged"},
		{"too large", strings.Repeat("\x00", signature.MaxKeyring+1), "more than"},
	} {
		k, err := signature.ParseKeyring(test.name, []byte(test.data))
		if test.want == "" {
			if err != nil || k.Name != test.name || len(k.Fingerprints()) != 1 {
				t.Errorf("%s: got %v, %v", test.name, k, err)
			}
			continue
		}
		var bad *signature.KeyringError
		if !errors.As(err, &bad) || bad.Name != test.name || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, %v", test.name, k, err)
		}
	}
	if name, ok := signature.Known("567e 347a d004 4ade 55ba 8a5f 199e 2f91 fd43 1d51"); !ok || name == "" {
		t.Error("a fingerprint as gpg shows it is not known")
	}
}

func flip(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 1
	return data
}
