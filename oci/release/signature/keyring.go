package signature

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// MaxKeyring is the largest keyring in bytes, the size that a ConfigMap may have.
const MaxKeyring = 1 << 20

// Keyring is one or more public keys, any of which may sign for all. It does not
// change and may be used concurrently.
type Keyring struct {
	// Name is what the keyring is called in errors and in [Signature], as
	// "verifier-public-key-redhat".
	Name string

	entities openpgp.EntityList
}

// KeyringError says that bytes are no keyring.
type KeyringError struct {
	Name string
	Err  error
}

func (e *KeyringError) Error() string { return fmt.Sprintf("keyring %q: %v", e.Name, e.Err) }
func (e *KeyringError) Unwrap() error { return e.Err }

// ParseKeyring reads a keyring, armored or binary. Keys of kinds that are not
// supported are passed over, as clusters do, since they can verify nothing; with no
// key left, with private keys, and with a second armored block (clusters would not
// see it) it returns a [*KeyringError].
func ParseKeyring(name string, data []byte) (*Keyring, error) {
	entities, err := parseKeys(data)
	if err != nil {
		return nil, &KeyringError{Name: name, Err: err}
	}
	return &Keyring{Name: name, entities: entities}, nil
}

var armorBegin = []byte("-----BEGIN PGP ")

func parseKeys(data []byte) (openpgp.EntityList, error) {
	if len(data) > MaxKeyring {
		return nil, fmt.Errorf("%d bytes are more than %d", len(data), MaxKeyring)
	}
	if blocks := bytes.Count(data, armorBegin); blocks > 1 {
		return nil, fmt.Errorf("%d armored blocks, of which clusters read only the first", blocks)
	} else if blocks == 1 {
		var err error
		if data, err = dearmor(data); err != nil {
			return nil, err
		}
	}
	if len(data) == 0 {
		return nil, errors.New("no key")
	}
	entities, err := openpgp.ReadKeyRing(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("damaged, or not a keyring: %w", err)
	}
	if len(entities) == 0 {
		return nil, errors.New("no key")
	}
	for _, e := range entities {
		if e.PrivateKey != nil {
			return nil, fmt.Errorf("%s is a private key", fingerprint(e.PrimaryKey))
		}
	}
	return entities, nil
}

// dearmor returns the bytes of the one armored block of data. It accepts, as gpg
// does, a block without the empty line that ends the headers: one of the files in
// openshift/cincinnati-graph-data is so.
func dearmor(data []byte) ([]byte, error) {
	block, err := armor.Decode(bytes.NewReader(data))
	if errors.Is(err, io.EOF) {
		start := bytes.Index(data, armorBegin)
		if end := bytes.IndexByte(data[start:], '\n'); end >= 0 {
			var mended bytes.Buffer
			mended.Write(data[start : start+end+1])
			mended.WriteByte('\n')
			mended.Write(data[start+end+1:])
			block, err = armor.Decode(&mended)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("armor: %w", err)
	}
	if block.Type != openpgp.PublicKeyType {
		return nil, fmt.Errorf("armored %.80q, not %q", block.Type, openpgp.PublicKeyType)
	}
	body, err := io.ReadAll(block.Body)
	if err != nil {
		return nil, fmt.Errorf("armor: %w", err)
	}
	return body, nil
}

// Fingerprints lists those of the primary keys in upper-case hex, in the order of
// the file. The caller owns the slice.
func (k *Keyring) Fingerprints() []string {
	list := make([]string, 0, len(k.entities))
	for _, e := range k.entities {
		list = append(list, fingerprint(e.PrimaryKey))
	}
	return list
}

// Known names the keys with which Red Hat signs OpenShift releases (openshift/
// cluster-update-keys, keys/), by the fingerprint of the primary key in hex. The keys
// of CI and OKD builds are not known, nor is Red Hat's auxiliary key, which no
// release names.
func Known(fingerprint string) (name string, ok bool) {
	switch strings.ToUpper(strings.ReplaceAll(fingerprint, " ", "")) {
	case "567E347AD0044ADE55BA8A5F199E2F91FD431D51":
		return "Red Hat, Inc. (release key 2)", true
	case "B08B659EE86AF623BC90E8DB938A80CAF21541EB":
		return "Red Hat, Inc. (beta key 2)", true
	}
	return "", false
}

func fingerprint(key *packet.PublicKey) string { return fmt.Sprintf("%X", key.Fingerprint) }

// check verifies that a key of the keyring signed content and that it can be
// relied on at now, and returns the primary key.
func (k *Keyring) check(s *signed, content []byte, now time.Time) (*packet.PublicKey, error) {
	id := fmt.Sprintf("%016X", s.keyID)
	var err error = &UnknownKeyError{KeyID: id, Keyring: k.Name}
	for _, c := range k.candidates(s.keyID) { // several only if someone made key IDs collide
		cause := s.verify(c.key, content)
		if cause != nil {
			err = fmt.Errorf("%w: key %s: %w", ErrMismatch, id, cause)
			continue
		}
		if reason := c.unusable(); reason != "" {
			return nil, &KeyError{KeyID: id, Reason: reason}
		}
		if at := c.expires(); !at.IsZero() && now.After(at) {
			return nil, &ExpiredError{What: "key", KeyID: id, At: at}
		}
		if !s.expires.IsZero() && now.After(s.expires) {
			return nil, &ExpiredError{What: "signature", KeyID: id, At: s.expires}
		}
		return c.entity.PrimaryKey, nil
	}
	return nil, err
}

// candidate is a key for signing with what its owner says of it.
type candidate struct {
	entity *openpgp.Entity
	key    *packet.PublicKey // primary key or subkey
	self   *packet.Signature // of the primary key about itself
	subkey *openpgp.Subkey   // nil for the primary key
}

// candidates lists the signing keys with a key ID. A key without usage flags is
// one, as for clusters.
func (k *Keyring) candidates(id uint64) []candidate {
	var list []candidate
	for _, e := range k.entities {
		self, _ := e.PrimarySelfSignature()
		if self == nil {
			continue
		}
		if e.PrimaryKey.KeyId == id && (!self.FlagsValid || self.FlagSign) {
			list = append(list, candidate{entity: e, key: e.PrimaryKey, self: self})
		}
		for i := range e.Subkeys {
			sub := &e.Subkeys[i]
			if sub.PublicKey.KeyId == id && sub.Sig.FlagsValid && sub.Sig.FlagSign && sub.PublicKey.CanSign() {
				list = append(list, candidate{entity: e, key: sub.PublicKey, self: self, subkey: sub})
			}
		}
	}
	return list
}

// unusable says why the key must not be relied on; empty when it may. A revocation
// counts whatever the clock says.
func (c *candidate) unusable() string {
	_, identity := c.entity.PrimarySelfSignature()
	if len(c.entity.Revocations) > 0 || identity != nil && len(identity.Revocations) > 0 {
		return "revoked"
	}
	if c.subkey == nil {
		return ""
	}
	if len(c.subkey.Revocations) > 0 {
		return "revoked"
	}
	// A primary key is what its fingerprint says. A subkey hangs on the
	// signature that binds it, which must therefore not be weak.
	if h := c.subkey.Sig.Hash; h != crypto.SHA256 && h != crypto.SHA384 && h != crypto.SHA512 {
		return fmt.Sprintf("subkey is bound by a signature over %s", h)
	}
	return ""
}

// expires returns the first time at which the key, or a signature that it needs,
// expires; zero when none does.
func (c *candidate) expires() time.Time {
	times := []time.Time{
		after(c.entity.PrimaryKey.CreationTime, c.self.KeyLifetimeSecs),
		after(c.self.CreationTime, c.self.SigLifetimeSecs),
	}
	if c.subkey != nil {
		times = append(times,
			after(c.key.CreationTime, c.subkey.Sig.KeyLifetimeSecs),
			after(c.subkey.Sig.CreationTime, c.subkey.Sig.SigLifetimeSecs))
	}
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}
