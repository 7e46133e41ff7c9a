package signature

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// signed is the signature packet of a message, of version 3 or 4: those that the
// OpenPGP of clusters knows.
type signed struct {
	keyID   uint64
	created time.Time
	expires time.Time // zero: never
	verify  func(key *packet.PublicKey, content []byte) error
}

// strongHash returns the hash algorithm with a number of RFC 4880, 9.4, when it may
// sign a release; else 0.
func strongHash(number byte) crypto.Hash {
	switch number {
	case 8:
		return crypto.SHA256
	case 9:
		return crypto.SHA384
	case 10:
		return crypto.SHA512
	}
	return 0
}

// parseSigned reads the signature packet. The one-pass header must agree with it,
// so that a reader that trusts the header sees the same.
func parseSigned(m *message) (*signed, error) {
	if len(m.signature) == 0 {
		return nil, fmt.Errorf("%w: signature packet is empty", ErrNotMessage)
	}
	var head signedHead
	var s *signed
	var err error
	switch version := m.signature[0]; version {
	case 3:
		head, s, err = parseV3(m.signature)
	case 4:
		head, s, err = parseV4(m.signature)
	default:
		err = fmt.Errorf("signature of version %d is not supported", version)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotMessage, err)
	}
	if head.kind != byte(packet.SigTypeBinary) {
		return nil, fmt.Errorf("%w: signature of type %#02x, not over binary data", ErrNotMessage, head.kind)
	}
	if strongHash(head.hash) == 0 {
		return nil, fmt.Errorf("%w: hash algorithm %d is not SHA-256, SHA-384 or SHA-512", ErrNotMessage, head.hash)
	}
	want := binary.BigEndian.AppendUint64([]byte{3, head.kind, head.hash, head.algorithm}, s.keyID)
	if !bytes.Equal(m.onePass[:12], want) {
		return nil, fmt.Errorf("%w: one-pass header and signature disagree", ErrNotMessage)
	}
	return s, nil
}

// signedHead is what a one-pass header repeats, beside the key ID.
type signedHead struct{ kind, hash, algorithm byte }

// parseV3 reads a signature of version 3 (RFC 4880, 5.2.2), by RSA only.
func parseV3(body []byte) (signedHead, *signed, error) {
	const fixed = 19 // bytes before the number
	if len(body) < fixed+2 || body[1] != 5 {
		return signedHead{}, nil, fmt.Errorf("signature packet of version 3 is malformed")
	}
	head := signedHead{kind: body[2], algorithm: body[15], hash: body[16]}
	if a := packet.PublicKeyAlgorithm(head.algorithm); a != packet.PubKeyAlgoRSA && a != packet.PubKeyAlgoRSASignOnly {
		return signedHead{}, nil, fmt.Errorf("signature of version 3 by algorithm %d, not RSA", head.algorithm)
	}
	hashed, tag := body[2:7], body[17:19]
	number := body[fixed+2:]
	if bits := int(binary.BigEndian.Uint16(body[fixed:])); len(number) != (bits+7)/8 {
		return signedHead{}, nil, fmt.Errorf("signature has %d bytes where %d bits belong", len(number), bits)
	}
	verify := func(key *packet.PublicKey, content []byte) error {
		public, ok := key.PublicKey.(*rsa.PublicKey)
		if !ok || byte(key.PubKeyAlgo) != head.algorithm {
			return fmt.Errorf("signature by RSA, key of algorithm %d", key.PubKeyAlgo)
		}
		hash := strongHash(head.hash)
		h := hash.New()
		h.Write(content)
		h.Write(hashed)
		sum := h.Sum(nil)
		if !bytes.Equal(sum[:2], tag) {
			return fmt.Errorf("first bytes of the hash differ")
		}
		padded := number
		if short := public.Size() - len(number); short > 0 {
			padded = slices.Concat(make([]byte, short), number)
		}
		return rsa.VerifyPKCS1v15(public, hash, sum, padded)
	}
	return head, &signed{
		keyID:   binary.BigEndian.Uint64(body[7:15]),
		created: time.Unix(int64(binary.BigEndian.Uint32(body[3:7])), 0),
		verify:  verify,
	}, nil
}

// parseV4 leaves the work to go-crypto.
func parseV4(body []byte) (signedHead, *signed, error) {
	framed := append(binary.BigEndian.AppendUint32([]byte{0xc0 | tagSignature, 255}, uint32(len(body))), body...)
	r := bytes.NewReader(framed)
	parsed, err := packet.Read(r)
	if err != nil {
		return signedHead{}, nil, fmt.Errorf("signature packet: %w", err)
	}
	sig, ok := parsed.(*packet.Signature)
	if !ok || r.Len() > 0 {
		return signedHead{}, nil, fmt.Errorf("signature packet: %d bytes too many", r.Len())
	}
	if sig.IssuerKeyId == nil {
		return signedHead{}, nil, fmt.Errorf("signature does not name its key")
	}
	for _, n := range sig.Notations {
		if n.IsCritical {
			return signedHead{}, nil, fmt.Errorf("signature with unknown critical notation %.80q", n.Name)
		}
	}
	s := &signed{keyID: *sig.IssuerKeyId, created: sig.CreationTime}
	s.expires = after(sig.CreationTime, sig.SigLifetimeSecs)
	s.verify = func(key *packet.PublicKey, content []byte) error {
		// go-crypto does not look at the first bytes of the hash in version 4;
		// clusters do (golang.org/x/crypto/openpgp/packet, public_key.go).
		tagged, h := sig.Hash.New(), sig.Hash.New()
		tagged.Write(content)
		if err := packet.VerifyHashTag(tagged, sig); err != nil {
			return err
		}
		h.Write(content)
		return key.VerifySignature(h, sig)
	}
	return signedHead{kind: body[1], algorithm: body[2], hash: body[3]}, s, nil
}

// after returns when a lifetime in seconds ends; the zero time when it does not.
func after(start time.Time, seconds *uint32) time.Time {
	if seconds == nil || *seconds == 0 {
		return time.Time{}
	}
	return start.Add(time.Duration(*seconds) * time.Second)
}
