package signature

import (
	"fmt"

	"github.com/opencontainers/go-digest"
)

// Claim returns what a message says that it signs, the digest and the
// docker-reference. Nothing of it is verified: it is a hint where nothing better
// is known.
func Claim(raw []byte) (digest.Digest, string, error) {
	if len(raw) > MaxSize {
		return "", "", ErrTooLarge
	}
	m, err := parseMessage(raw)
	if err != nil {
		return "", "", err
	}
	p, err := parsePayload(m.content)
	if err != nil {
		return "", "", fmt.Errorf("content: %w", err)
	}
	return digest.Digest(p.digest), p.reference, nil
}
