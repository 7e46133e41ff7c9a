package main

import (
	"strings"
	"testing"

	"satchel/fixtures"
)

// TestCatalogSays looks at what people are told of selections.
func TestCatalogSays(t *testing.T) {
	c := newConfigured(t)
	name := c.catalog.Reference()
	for _, test := range []struct {
		what      string
		arguments []string
		status    int
		says      string
	}{
		{"nothing behind the =", []string{"--catalog", name + "="}, exitUsage, "no operator stands behind the ="},
		{"one catalog twice", []string{"--catalog", name + "=alpha", "--catalog", name + "=beta"}, exitUsage, "is named twice: put both selections into one"},
		{"versions", []string{"--catalog", name + "=alpha:stable:1.1.0"}, 0, "  alpha, channel stable: 1.1.0, 1.2.0\n"},
		{"heads", []string{"--catalog", name + "=*"}, 0, "  gamma, channel stable: 3.1.4\n"},
		{"as it is", []string{"--catalog", name + "=alpha", "--catalog-as-is"}, 0, "it offers 3 operators, and only what was selected of them can be installed"},
		{"what is needed is kept out", []string{"--catalog", name + "=alpha", "--block", "alpha-operator"}, 0, "although alpha will lack it: " + c.upstream.Host() + "/alpha/alpha-operator@"},
		{"no such operator", []string{"--catalog", name + "=zzzzzzzzzz"}, exitFailed, "choose one of alpha, beta, gamma"},
		{"a requirement", []string{"--catalog", name + "=beta"}, 0, "to add it: alpha"},
	} {
		status, _, stderr := satchel(t, c.source.command("pack", append(test.arguments, "--dry-run")...)...)
		if status != test.status || !strings.Contains(stderr, test.says) {
			t.Errorf("%s: status %d, %s", test.what, status, stderr)
		}
	}
}

// TestCatalogReplaced brings one selection of a catalog after another: the second
// takes the tag, which is said, and the mirrors of both have names of their own.
func TestCatalogReplaced(t *testing.T) {
	c := newConfigured(t)
	site := startRegistry(t, fixtures.Options{})
	mirrors := make(map[string]bool)
	for i, operator := range []string{"alpha", "gamma"} {
		dir, resources := t.TempDir(), t.TempDir()
		mustSatchel(t, c.source.command("pack", "-o", dir, "--catalog", c.catalog.Reference()+"="+operator)...)
		status, _, stderr := satchel(t, "unpack", "--tls-verify=false", dir, "--to", site.Host()+"/m", "--resources", resources)
		if status != 0 || strings.Contains(stderr, "operators that only that catalog had are gone") != (i == 1) {
			t.Errorf("%s: status %d, %s", operator, status, stderr)
		}
		for line := range strings.Lines(readDir(t, resources)["imageDigestMirrorSet.yaml"]) {
			if name, ok := strings.CutPrefix(line, "  name: "); ok {
				mirrors[name] = true
			}
		}
	}
	if len(mirrors) != 2 {
		t.Errorf("mirror sets %v", mirrors)
	}
}
