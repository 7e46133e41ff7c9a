package signature_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"satchel/oci/release/signature"
)

// made reads a file of testdata. GnuPG 2.2.40 made them: a key, and three messages that it
// signed over the document of digestA, one of them without compression and
// valid for an hour.
func made(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestVerifyGPG(t *testing.T) {
	k := parse(t, "gpg", made(t, "gpg-key.bin"))
	for _, name := range []string{"gpg-signature.bin", "gpg-signature-zlib.bin", "gpg-signature-plain.bin"} {
		got, err := signature.Verify(made(t, name), digestA, k, signedAt.Add(time.Hour))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Created != signedAt || got.Fingerprint != "2230A5177DFFAE27E1D7A982B33591618C54631C" {
			t.Errorf("%s: got %+v", name, got)
		}
	}
	_, err := signature.Verify(made(t, "gpg-signature-plain.bin"), digestA, k, now)
	var expired *signature.ExpiredError
	if !errors.As(err, &expired) || expired.What != "signature" || !expired.At.Equal(signedAt.Add(time.Hour)) {
		t.Errorf("expired: %v", err)
	}
}

// TestVerifyCut cuts messages everywhere; all of it is the beginning of one.
func TestVerifyCut(t *testing.T) {
	k := parse(t, "gpg", made(t, "gpg-key.bin"))
	for _, name := range []string{"gpg-signature.bin", "gpg-signature-zlib.bin", "gpg-signature-plain.bin"} {
		raw := made(t, name)
		for n := range raw {
			if _, err := signature.Verify(raw[:n], digestA, k, signedAt); !errors.Is(err, signature.ErrTruncated) {
				t.Errorf("%s cut to %d of %d bytes: %v", name, n, len(raw), err)
			}
		}
	}
}
