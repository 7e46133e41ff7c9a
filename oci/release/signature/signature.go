// Package signature checks the GPG signatures of OpenShift releases, and fetches
// them from where Red Hat publishes them.
//
// Such a signature ("atomic container signature") is one binary OpenPGP signed
// message: a one-pass header, a small JSON document that names the digest of the
// release image, and the signature over that document; mostly all of it is in
// one compressed packet. The trust comes from keyrings inside of the release
// (openshift/library-go, pkg/verify/verify.go and configmap.go): each of them must
// have made at least one signature.
//
// Start with [ParseKeyring], [Collect] and [VerifyAll].
//
// go-crypto reads the keys and checks signatures of version 4. Two things it
// does not do, so this package does them: it has dropped signatures of version
// 3, with which Red Hat signed until August 2023, up to about 4.13.10
// (openshift/oc-mirror, internal/pkg/release/signature.go); and its ReadMessage passes over what follows a message.
// No packet.Config of go-crypto is involved. The real keys come with
// self-signatures over SHA-1 in some files and over SHA-256 in others; keys are
// accepted with both, because what makes a key trusted is its fingerprint, not
// its self-signature. What signs a release must be SHA-256 or longer.
package signature

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// MaxSize is the largest signature in bytes, the limit that clusters have
// (openshift/library-go, pkg/verify/store/sigstore/sigstore.go).
const MaxSize = 50 << 10

// Signature is a signature that was verified.
type Signature struct {
	// Digest is what is signed: the digest of a release image, or of its list.
	Digest digest.Digest
	// Reference is the docker-reference under which the image was signed, not
	// empty. Nothing says that it is the name the image was fetched by, and its
	// grammar is not checked.
	Reference string
	// Fingerprint is that of the primary key, in upper-case hex, also when a
	// subkey signed.
	Fingerprint string
	// Created is when the signer says that it signed, in UTC.
	Created time.Time
	// Raw is the whole message as it was given, shared with the caller.
	Raw []byte
	// Keyring is the name of the keyring that has the key.
	Keyring string
}

// Verify returns what raw signs when it is exactly one signed message, signed by a
// key of the keyring, that says that want is the digest of an image. Neither the key
// nor the signature may have expired at now; clusters look at the signature's
// expiry only. A signature from the future is accepted, since clocks of
// disconnected sites are often behind.
//
// The errors are, in the order in which they are looked for: [ErrTooLarge],
// [ErrNotMessage], [ErrTruncated] and [ErrTrailing] wrapped, [*UnknownKeyError],
// [ErrMismatch] wrapped, [*KeyError], [*ExpiredError], [*PayloadError],
// [*DigestError].
//
// Bytes that OpenPGP does not sign may differ without being noticed, and without
// changing the result but for Raw: how the content is compressed, its file name and its date.
func Verify(raw []byte, want digest.Digest, k *Keyring, now time.Time) (*Signature, error) {
	if err := oci.CheckDigest(want); err != nil {
		return nil, err
	}
	if len(raw) > MaxSize {
		return nil, fmt.Errorf("%d bytes: %w of %d bytes", len(raw), ErrTooLarge, MaxSize)
	}
	m, err := parseMessage(raw)
	if err != nil {
		return nil, err
	}
	s, err := parseSigned(m)
	if err != nil {
		return nil, err
	}
	key, err := k.check(s, m.content, now)
	if err != nil {
		return nil, err
	}
	p, err := parsePayload(m.content)
	if err != nil {
		return nil, &PayloadError{Err: err}
	}
	if p.digest != string(want) {
		return nil, &DigestError{Want: want, Got: p.digest}
	}
	return &Signature{
		Digest:      want,
		Reference:   p.reference,
		Fingerprint: fingerprint(key),
		Created:     s.created.UTC(),
		Raw:         raw,
		Keyring:     k.Name,
	}, nil
}

// VerifyAll returns those of the signatures that are valid for want and a key of
// any of the keyrings, each once and in the order given, with the first keyring
// that has its key. Every keyring must have made at least one of them, else
// VerifyAll returns an [*UnsatisfiedError] for the first that has not. No keyring at
// all is an error: nothing would be verified.
func VerifyAll(raws [][]byte, want digest.Digest, keyrings []*Keyring, now time.Time) ([]Signature, error) {
	if len(keyrings) == 0 {
		return nil, fmt.Errorf("signature of %s: no keyring to verify it with", want)
	}
	raws = distinct(raws)
	found := make([]*Signature, len(raws))
	for _, k := range keyrings {
		var reasons []error
		satisfied := false
		for i, raw := range raws {
			s, err := Verify(raw, want, k, now)
			if err != nil {
				reasons = append(reasons, fmt.Errorf("signature %d: %w", i+1, err))
				continue
			}
			satisfied = true
			if found[i] == nil {
				found[i] = s
			}
		}
		if !satisfied {
			return nil, &UnsatisfiedError{Keyring: k.Name, Digest: want, Reasons: reasons}
		}
	}
	var valid []Signature
	for _, s := range found {
		if s != nil {
			valid = append(valid, *s)
		}
	}
	return valid, nil
}

// distinct leaves out what equals something before it.
func distinct(raws [][]byte) [][]byte {
	var kept [][]byte
	for _, raw := range raws {
		if !slices.ContainsFunc(kept, func(k []byte) bool { return string(k) == string(raw) }) {
			kept = append(kept, raw)
		}
	}
	return kept
}

// Reasons why bytes are no signed message, or not a signature of their content.
var (
	// ErrTooLarge: more bytes than clusters read.
	ErrTooLarge = errors.New("signature is larger than the limit")
	// ErrNotMessage: not OpenPGP, or not one binary message with one signature
	// of a kind that clusters accept and that is not weak.
	ErrNotMessage = errors.New("not a signed OpenPGP message")
	// ErrTruncated: the beginning of a message.
	ErrTruncated = errors.New("signature is truncated")
	// ErrTrailing: one whole message, and more bytes after it.
	ErrTrailing = errors.New("bytes after the end of the signature")
	// ErrMismatch: the key is known, but content and signature do not belong together.
	ErrMismatch = errors.New("signature does not match what it signs")
)

// UnknownKeyError says that a keyring does not have the key that signed, or that
// the key is not one for signing.
type UnknownKeyError struct {
	KeyID   string // 16 upper-case hex digits, as gpg shows it
	Keyring string
}

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("signed by key %s, which is no signing key of keyring %q", e.KeyID, e.Keyring)
}

// KeyError says that the key that signed must not be relied on.
type KeyError struct {
	KeyID  string // 16 upper-case hex digits
	Reason string // "revoked", or what else is wrong
}

func (e *KeyError) Error() string { return fmt.Sprintf("signed by key %s: %s", e.KeyID, e.Reason) }

// ExpiredError says that a signature, or the key that made it, has expired.
type ExpiredError struct {
	What  string // "signature" or "key"
	KeyID string // 16 upper-case hex digits
	At    time.Time
}

func (e *ExpiredError) Error() string {
	if e.What == "key" {
		return fmt.Sprintf("signed by key %s, which expired at %s", e.KeyID, e.At.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("%s by key %s expired at %s", e.What, e.KeyID, e.At.UTC().Format(time.RFC3339))
}

// PayloadError says that what is signed, rightly, is no statement about an image.
type PayloadError struct{ Err error }

func (e *PayloadError) Error() string { return "signed content: " + e.Err.Error() }
func (e *PayloadError) Unwrap() error { return e.Err }

// DigestError says that a signature is about another image.
type DigestError struct {
	Want digest.Digest
	Got  string // as it stands in the signed content
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("signature is for %.100q, not for %s", e.Got, e.Want)
}

// UnsatisfiedError says that no signature is valid for a keyring.
type UnsatisfiedError struct {
	Keyring string
	Digest  digest.Digest
	Reasons []error // one for each signature; none when there was no signature
}

func (e *UnsatisfiedError) Error() string {
	if len(e.Reasons) == 0 {
		return fmt.Sprintf("%s has no signature for keyring %q", e.Digest, e.Keyring)
	}
	texts := make([]string, len(e.Reasons))
	for i, reason := range e.Reasons {
		texts[i] = reason.Error()
	}
	return fmt.Sprintf("%s has no valid signature for keyring %q: %s", e.Digest, e.Keyring, strings.Join(texts, "; "))
}

// Unwrap lets errors.As find the reasons.
func (e *UnsatisfiedError) Unwrap() []error { return e.Reasons }
