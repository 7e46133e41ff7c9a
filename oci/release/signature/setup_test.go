package signature_test

import (
	"bytes"
	"compress/flate"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/opencontainers/go-digest"

	"satchel/fixtures"
	"satchel/oci/release/signature"
)

const (
	realData = "../../../../shared/data/signatures"

	digestA = digest.Digest("sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
	digestB = digest.Digest("sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")
)

var (
	signedAt = time.Date(2024, 2, 26, 16, 0, 12, 0, time.UTC)
	now      = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

// realFile reads a file that others wrote, and skips the test when there is none.
func realFile(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(filepath.FromSlash(realData), filepath.FromSlash(name)))
	fixtures.CheckShared(t, err)
	return data
}

func parse(t testing.TB, name string, data []byte) *signature.Keyring {
	t.Helper()
	k, err := signature.ParseKeyring(name, data)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func realKeyring(t testing.TB, name string) *signature.Keyring {
	t.Helper()
	return parse(t, name, realFile(t, name))
}

// newEntity makes a key pair that signs, with a lifetime in seconds, 0 for ever.
func newEntity(algorithm packet.PublicKeyAlgorithm, lifetime uint32) *openpgp.Entity {
	config := &packet.Config{
		Algorithm:       algorithm,
		RSABits:         2048,
		KeyLifetimeSecs: lifetime,
		Time:            func() time.Time { return signedAt.Add(-time.Hour) },
	}
	e, err := openpgp.NewEntity("Test", "", "test@example.com", config)
	if err != nil {
		panic(err)
	}
	return e
}

var (
	signer  = sync.OnceValue(func() *openpgp.Entity { return newEntity(packet.PubKeyAlgoRSA, 0) })
	another = sync.OnceValue(func() *openpgp.Entity { return newEntity(packet.PubKeyAlgoRSA, 0) })
)

// publicKeys is a binary keyring.
func publicKeys(entities ...*openpgp.Entity) []byte {
	var b bytes.Buffer
	for _, e := range entities {
		if err := e.Serialize(&b); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func document(d digest.Digest) string {
	return fmt.Sprintf(`{"critical": {"image": {"docker-manifest-digest": %q}, "type": "atomic container signature", `+
		`"identity": {"docker-reference": "quay.io/openshift-release-dev/ocp-release:4.15.0-x86_64"}}, `+
		`"optional": {"creator": "test", "timestamp": 1708963212}}`, d)
}

// messageOptions say how a message differs from one that gpg would make.
type messageOptions struct {
	key        *packet.PrivateKey // nil: that of signer
	version    int                // 3 or 4; 0: 4
	hash       crypto.Hash        // 0: SHA-256
	kind       packet.SignatureType
	lifetime   uint32
	critical   bool // a critical notation
	twice      bool // the one-pass header promises a second signature
	plain      bool // not compressed
	onePassKey uint64
}

func framed(tag byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0xc0 | tag, 255}, uint32(len(body))), body...)
}

func literal(content string) []byte {
	return framed(11, append([]byte("b\x08file.bin\x00\x00\x00\x01"), content...))
}

func onePass(o messageOptions, hashNumber byte) []byte {
	id := o.key.KeyId
	if o.onePassKey != 0 {
		id = o.onePassKey
	}
	last := byte(1)
	if o.twice {
		last = 0
	}
	return framed(4, append(binary.BigEndian.AppendUint64(
		[]byte{3, byte(o.kind), hashNumber, byte(o.key.PubKeyAlgo)}, id), last))
}

func deflated(plain []byte) []byte {
	b := bytes.NewBuffer([]byte{0xa3, 1}) // as gpg does: of no stated length
	w, err := flate.NewWriter(b, flate.BestCompression)
	if err != nil {
		panic(err)
	}
	w.Write(plain)
	w.Close()
	return b.Bytes()
}

// message signs content.
func message(content string, o messageOptions) []byte {
	if o.key == nil {
		o.key = signer().PrivateKey
	}
	if o.hash == 0 {
		o.hash = crypto.SHA256
	}
	number := map[crypto.Hash]byte{crypto.SHA1: 2, crypto.SHA256: 8, crypto.SHA384: 9, crypto.SHA512: 10}[o.hash]
	plain := bytes.Join([][]byte{onePass(o, number), literal(content), signaturePacket(content, o, number)}, nil)
	if o.plain {
		return plain
	}
	return deflated(plain)
}

func signaturePacket(content string, o messageOptions, hashNumber byte) []byte {
	h := o.hash.New()
	h.Write([]byte(content))
	if o.version == 3 {
		hashed := binary.BigEndian.AppendUint32([]byte{byte(o.kind)}, uint32(signedAt.Unix()))
		h.Write(hashed)
		sum := h.Sum(nil)
		number, err := rsa.SignPKCS1v15(rand.Reader, o.key.PrivateKey.(*rsa.PrivateKey), o.hash, sum)
		if err != nil {
			panic(err)
		}
		body := append([]byte{3, 5}, hashed...)
		body = binary.BigEndian.AppendUint64(body, o.key.KeyId)
		body = append(body, byte(o.key.PubKeyAlgo), hashNumber, sum[0], sum[1])
		number = bytes.TrimLeft(number, "\x00")
		body = binary.BigEndian.AppendUint16(body, uint16(8*len(number)))
		return framed(2, append(body, number...))
	}
	sig := &packet.Signature{
		Version: 4, SigType: o.kind, PubKeyAlgo: o.key.PubKeyAlgo, Hash: o.hash,
		CreationTime: signedAt, IssuerKeyId: &o.key.KeyId,
	}
	if o.lifetime != 0 {
		sig.SigLifetimeSecs = &o.lifetime
	}
	if o.critical {
		sig.Notations = []*packet.Notation{{Name: "a@example.com", Value: []byte("b"), IsCritical: true, IsHumanReadable: true}}
	}
	if err := sig.Sign(h, o.key, &packet.Config{NonDeterministicSignaturesViaNotation: new(bool)}); err != nil {
		panic(err)
	}
	var b bytes.Buffer
	if err := sig.Serialize(&b); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func armorText(t testing.TB, kind string, body []byte) string {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, kind, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(body)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
