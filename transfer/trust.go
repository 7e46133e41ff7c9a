package transfer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci/release"
	"satchel/oci/release/signature"
)

// TrustError says why a release is not trusted.
type TrustError struct {
	Reference string
	Digest    digest.Digest
	Err       error
}

func (e *TrustError) Error() string {
	return fmt.Sprintf("release %s, %s, is not trusted: %v", e.Reference, e.Digest, e.Err)
}

func (e *TrustError) Unwrap() error { return e.Err }

// UnknownKeyError says that a payload names a key that is not trusted.
type UnknownKeyError struct {
	// Keyring is the payload's name of it, Fingerprint in upper-case hexadecimal.
	Keyring, Fingerprint string
}

func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("key %s of %s is not a known one", e.Fingerprint, e.Keyring)
}

// ErrNoKeys is returned for payloads that name no keys, when none were given.
var ErrNoKeys = errors.New("its payload names no keys")

func (t Trust) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

// keyrings returns the payload's keyrings, of which each must have signed. All
// their keys must be known or given; a payload without keys is verified by those
// that were given.
func (t Trust) keyrings(v *release.Verification) ([]*signature.Keyring, error) {
	var given []string
	for _, k := range t.Keys {
		given = append(given, k.Fingerprints()...)
	}
	if len(v.Keys) == 0 {
		if len(t.Keys) == 0 {
			return nil, ErrNoKeys
		}
		return t.Keys, nil
	}
	var keyrings []*signature.Keyring
	for _, key := range v.Keys {
		k, err := signature.ParseKeyring(key.Name, key.Data)
		if err != nil {
			return nil, fmt.Errorf("keyring %s of the payload: %w", key.Name, err)
		}
		for _, fingerprint := range k.Fingerprints() {
			if _, known := signature.Known(fingerprint); !known && !slices.Contains(given, fingerprint) {
				return nil, &UnknownKeyError{Keyring: key.Name, Fingerprint: fingerprint}
			}
		}
		keyrings = append(keyrings, k)
	}
	return keyrings, nil
}

// verification reads the keys and stores of a payload; none are no error.
func verification(p *release.Payload) (*release.Verification, error) {
	if p.Documents.Verification == nil {
		return &release.Verification{}, nil
	}
	return release.ParseVerification(p.Documents.Verification)
}

// Verified is what is known of a release's signature.
type Verified struct {
	Signatures []signature.Signature
	// Unsigned says why there is no valid signature of the release image.
	Unsigned string
}

// Verify verifies the signatures that came with a release, offline: the keys are
// the payload's, which must be trusted. It returns a [*TrustError] when the
// release image has no valid signature, or another manifest has an invalid one,
// unless that is allowed.
func (r *PlannedRelease) Verify(t Trust) (*Verified, error) {
	verified, err := r.verify(t)
	if err == nil {
		return verified, nil
	}
	if !t.AllowUnsigned {
		return nil, &TrustError{Reference: r.Reference, Digest: r.Digest, Err: err}
	}
	return &Verified{Unsigned: err.Error()}, nil
}

func (r *PlannedRelease) verify(t Trust) (*Verified, error) {
	if r.Unsigned != "" {
		return nil, fmt.Errorf("it was packed without: %s", r.Unsigned)
	}
	v, err := verification(r.Payload)
	if err != nil {
		return nil, err
	}
	keyrings, err := t.keyrings(v)
	if err != nil {
		return nil, err
	}
	raws := map[digest.Digest][][]byte{r.Digest: nil}
	signed := []digest.Digest{r.Digest}
	for _, s := range r.Signatures {
		if _, ok := raws[s.Digest]; !ok {
			signed = append(signed, s.Digest)
		}
		raws[s.Digest] = append(raws[s.Digest], s.Raw)
	}
	verified := &Verified{}
	for _, d := range signed {
		signatures, err := signature.VerifyAll(raws[d], d, keyrings, t.now())
		if err != nil {
			return nil, err
		}
		verified.Signatures = append(verified.Signatures, signatures...)
	}
	return verified, nil
}

// verifyAll verifies the releases of a plan, and returns the references of those
// that are not signed but allowed.
func (t Trust) verifyAll(plan *bundle.Plan) (unsigned []string, err error) {
	releases, err := Releases(plan)
	if err != nil {
		return nil, err
	}
	for _, r := range releases {
		verified, err := r.Verify(t)
		if err != nil {
			return nil, err
		}
		if verified.Unsigned != "" {
			unsigned = append(unsigned, r.Reference)
		}
	}
	return unsigned, nil
}
