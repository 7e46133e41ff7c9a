package site_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"satchel/transfer/site"
)

// now is a time at which the certificates of the tests are valid.
var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// certificate makes one that signs itself.
func certificate(t testing.TB, seed byte, change func(*x509.Certificate)) []byte {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	c := &x509.Certificate{
		SerialNumber: big.NewInt(int64(seed)), Subject: pkix.Name{CommonName: "Authority of the site"},
		NotBefore: now.AddDate(-1, 0, 0), NotAfter: now.AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
	}
	if change != nil {
		change(c)
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestNewTrust(t *testing.T) {
	authority := certificate(t, 1, nil)
	server := func(names ...string) []byte {
		return certificate(t, 2, func(c *x509.Certificate) {
			c.Subject.CommonName, c.DNSNames, c.IsCA = "mirror.example", names, false
		})
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("key")})
	for _, test := range []struct {
		name, registry string
		data           []byte
		warnings       []string
		err            string
	}{
		{"an authority needs no name", "mirror.example:5000", authority, nil, ""},
		{"text around it", "mirror.example", slices.Concat([]byte("# ours\n"), authority, []byte("the end\n")), nil, ""},
		{"the registry's own", "mirror.example:5000", server("mirror.example"), nil, ""},
		{"a wildcard", "mirror.example", server("*.example"), nil, ""},
		{"another's", "mirror.example:5000", slices.Concat(authority, server("other.example")),
			[]string{`certificate "CN=mirror.example": it has no subject alternative name for mirror.example`}, ""},
		{"only a common name", "mirror.example", server(), []string{`certificate "CN=mirror.example": it has no subject alternative name for mirror.example`}, ""},
		{"only a common name, and an authority", "mirror.example", certificate(t, 3, func(c *x509.Certificate) { c.Subject.CommonName = "Mirror.example" }),
			[]string{`certificate "CN=Mirror.example": it has no subject alternative name for mirror.example`}, ""},
		{"an address", "192.0.2.1:5000", certificate(t, 4, func(c *x509.Certificate) { c.IPAddresses, c.IsCA = []net.IP{net.IPv4(192, 0, 2, 1)}, false }), nil, ""},
		{"expired", "mirror.example", certificate(t, 5, func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, 0, -1) }),
			[]string{`certificate "CN=Authority of the site": it expired on 2030-01-01`}, ""},
		{"not yet", "mirror.example", certificate(t, 6, func(c *x509.Certificate) { c.NotBefore = now.AddDate(0, 0, 1) }),
			[]string{`certificate "CN=Authority of the site": it is not valid before 2030-01-03`}, ""},
		{"a key", "mirror.example", slices.Concat(authority, key), nil, `a "PRIVATE KEY" is in it: only certificates may be`},
		{"nothing", "mirror.example", nil, nil, "no certificate in PEM is in it"},
		{"no certificate", "mirror.example", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), nil, "certificate 1: "},
		{"one is broken", "mirror.example", slices.Concat(authority, []byte("-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n")), nil, "of 2 blocks of PEM, 1 can be read"},
		{"too much", "mirror.example", make([]byte, site.MaxTrust+1), nil, "250001 bytes of certificates are more than 250000"},
		{"IP version 6", "[::1]:5000", authority, nil, `registry "[::1]:5000" is not HOST[:PORT], as a ConfigMap can name it`},
		{"a path", "mirror.example/a", authority, nil, `registry "mirror.example/a" is not`},
	} {
		got, warnings, err := site.NewTrust(test.registry, test.data, now)
		if test.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), test.err) {
				t.Errorf("%s: %v, want %s", test.name, err, test.err)
			}
			continue
		}
		if err != nil || !slices.Equal(warnings, test.warnings) || got.Host() != test.registry {
			t.Errorf("%s: %q for %q, %v; want %q", test.name, warnings, got.Host(), err, test.warnings)
		}
	}
}

// FuzzNewTrust: nothing but whole certificates gets through.
func FuzzNewTrust(f *testing.F) {
	f.Add("mirror.example:5000", certificate(f, 1, nil))
	f.Add("a", []byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, registry string, data []byte) {
		trust, _, err := site.NewTrust(registry, data, now)
		if err != nil {
			return
		}
		files, err := site.Render(newBundle("b"), site.Options{Config: site.Config{Trust: []site.Trust{trust}}})
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if bytes.Contains(file.Content, []byte("PRIVATE")) {
				t.Errorf("%s has a key:\n%s", file.Name, file.Content)
			}
		}
	})
}
