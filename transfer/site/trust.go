package site

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"
)

// MaxTrust bounds a file of certificates in bytes. All of them go into one ConfigMap, which
// is no larger than [MaxDocument].
const MaxTrust = MaxDocument

// Trust are the certificates of the authorities of a registry. The zero value has none
// and is not valid.
type Trust struct {
	host string
	// pem has only certificates.
	pem []byte
}

// Host is the registry, HOST[:PORT].
func (t Trust) Host() string { return t.host }

// validHost is what a key of a ConfigMap can say of a registry: no address of IP version 6.
var validHost = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,200}[A-Za-z0-9])?(:[0-9]{1,5})?$`)

// NewTrust reads the certificates in PEM that a registry, HOST[:PORT], is to be trusted
// by. Everything else is refused, private keys first of all: it would be published. What
// clusters will not be content with at the time now is among the warnings.
func NewTrust(registry string, data []byte, now time.Time) (t Trust, warnings []string, err error) {
	if !validHost.MatchString(registry) {
		return t, nil, fmt.Errorf("registry %.200q is not HOST[:PORT], as a ConfigMap can name it", registry)
	}
	if len(data) > MaxTrust {
		return t, nil, fmt.Errorf("%d bytes of certificates are more than %d", len(data), MaxTrust)
	}
	t.host = registry
	begins := bytes.Count(data, []byte("-----BEGIN "))
	if begins == 0 {
		return Trust{}, nil, errors.New("no certificate in PEM is in it")
	}
	n := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		n++
		if block.Type != "CERTIFICATE" {
			return Trust{}, nil, fmt.Errorf("a %.40q is in it: only certificates may be", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Trust{}, nil, fmt.Errorf("certificate %d: %w", n, err)
		}
		warnings = append(warnings, doubts(c, registry, now)...)
		t.pem = append(t.pem, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
	}
	if n != begins { // those that are broken were passed over
		return Trust{}, nil, fmt.Errorf("of %d blocks of PEM, %d can be read", begins, n)
	}
	return t, warnings, nil
}

// doubts says why a certificate may not do. The name of a registry stands in its own
// certificate, not in that of an authority.
func doubts(c *x509.Certificate, registry string, now time.Time) []string {
	var all []string
	doubt := func(format string, arguments ...any) {
		all = append(all, fmt.Sprintf("certificate %q: ", c.Subject.String())+fmt.Sprintf(format, arguments...))
	}
	const day = time.DateOnly
	if now.After(c.NotAfter) {
		doubt("it expired on %s", c.NotAfter.UTC().Format(day))
	}
	if now.Before(c.NotBefore) {
		doubt("it is not valid before %s", c.NotBefore.UTC().Format(day))
	}
	name := registry
	if h, _, err := net.SplitHostPort(registry); err == nil {
		name = h
	}
	names := len(c.DNSNames)+len(c.IPAddresses) != 0
	if names || !c.IsCA || strings.EqualFold(c.Subject.CommonName, name) {
		if err := c.VerifyHostname(name); err != nil {
			doubt("it has no subject alternative name for %s", name)
		}
	}
	return all
}

// trustName is that of the ConfigMap when the cluster has none.
const trustName = "satchel-registry-ca"

// updateServiceKey is where the update service looks for the authority of the registry of
// releases, whatever its name: openshift/cincinnati-operator,
// controllers (NameCertConfigMapKey).
const updateServiceKey = "updateservice-registry"

// trustKey is how a ConfigMap names a registry: a colon is not valid in a key
// (openshift/api, config/v1/types_image.go).
func trustKey(registry string) string { return strings.Replace(registry, ":", "..", 1) }

type configMapPatch struct {
	Data map[string]string `yaml:"data"`
}

type trustConfigMap struct {
	APIVersion string            `yaml:"apiVersion"`
	Kind       string            `yaml:"kind"`
	Metadata   metadata          `yaml:"metadata"`
	Data       map[string]string `yaml:"data"`
}

// trust writes the ConfigMap for additionalTrustedCA, or what is to be added to the one
// that is there, and the part of install-config.yaml. openshift/machine-config-operator
// writes each key to /etc/docker/certs.d/HOST[:PORT]/ca.crt on nodes.
func (c *configured) trust(b Bundle, all []Trust, there string) error {
	keys := make(map[string]string)
	certificates := make(map[string]bool)
	for _, t := range all {
		keys[trustKey(t.host)] = string(t.pem)
		if t.host == host(b.To) && len(b.Releases) != 0 {
			keys[updateServiceKey] = string(t.pem)
		}
		for block, rest := pem.Decode(t.pem); block != nil; block, rest = pem.Decode(rest) {
			certificates[string(pem.EncodeToMemory(block))] = true
		}
	}
	name, content := trustFile, any(trustConfigMap{"v1", "ConfigMap", metadata{trustName, "openshift-config"}, keys})
	if there != "" {
		name, content = trustPatchFile, configMapPatch{keys}
	}
	if err := c.add(name, content); err != nil {
		return err
	}
	// oc apply notes all of it in an annotation as well.
	if n := len(c.files[len(c.files)-1].Content); n > MaxDocument {
		return fmt.Errorf("the authorities of registries make a ConfigMap of %d bytes, more than %d: name fewer certificates", n, MaxDocument)
	}
	if len(b.Releases) == 0 {
		return nil
	}
	together := strings.Join(slices.Sorted(maps.Keys(certificates)), "")
	return c.add(trustBundleFile, map[string]string{"additionalTrustBundle": together})
}
