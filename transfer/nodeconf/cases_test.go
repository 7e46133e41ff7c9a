package nodeconf_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"satchel/fixtures"
	"satchel/transfer/nodeconf"
)

// tableCase is a case of the tests of openshift/runtime-utils or
// openshift/machine-config-operator.
type tableCase struct {
	Name, Set, ExpectedRegistriesConf string
	Insecure, Blocked                 []string
	ICSPRules                         []struct {
		Spec struct{ RepositoryDigestMirrors []entry }
	}
	IDMSRules []struct {
		Spec struct{ ImageDigestMirrors []entry }
	}
	ITMSRules []struct {
		Spec struct{ ImageTagMirrors []entry }
	}
}

type entry struct {
	Source             string
	Mirrors            []string
	MirrorSourcePolicy nodeconf.SourcePolicy
}

func (c tableCase) cluster() nodeconf.Cluster {
	o := nodeconf.Cluster{Insecure: c.Insecure, Blocked: c.Blocked}
	add := func(to *[]nodeconf.Entry, entries []entry) {
		for _, e := range entries {
			*to = append(*to, nodeconf.Entry{Source: e.Source, Mirrors: e.Mirrors, Policy: e.MirrorSourcePolicy})
		}
	}
	for _, r := range c.IDMSRules {
		add(&o.IDMS, r.Spec.ImageDigestMirrors)
	}
	for _, r := range c.ITMSRules {
		add(&o.ITMS, r.Spec.ImageTagMirrors)
	}
	for _, r := range c.ICSPRules {
		add(&o.ICSP, r.Spec.RepositoryDigestMirrors)
	}
	return o
}

func tableCases(t testing.TB) []tableCase {
	t.Helper()
	root := filepath.Join("..", "..", "..", "shared", "data", "registries-conf", "table-cases")
	_, err := os.Stat(root)
	fixtures.CheckShared(t, err)
	names, err := filepath.Glob(filepath.Join(root, "*", "*.json"))
	if err != nil || len(names) != 18 {
		t.Fatalf("%d cases, %v", len(names), err)
	}
	all := make([]tableCase, len(names))
	for i, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, &all[i]); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// TestTableCases compares with what the cluster's own code writes, byte for byte.
func TestTableCases(t *testing.T) {
	entries := 0
	for _, c := range tableCases(t) {
		o := c.cluster()
		entries += len(o.IDMS) + len(o.ITMS) + len(o.ICSP)
		got, err := nodeconf.Registries(o)
		if err != nil || string(got) != c.ExpectedRegistriesConf {
			t.Errorf("%s, %s: %v\n%s\nwant\n%s", c.Set, c.Name, err, got, c.ExpectedRegistriesConf)
		}
	}
	if entries != 53 {
		t.Errorf("%d entries were read", entries)
	}
}

// TestCheckCases: the one that the machine config operator would refuse is that
// which sets two policies for a source.
func TestCheckCases(t *testing.T) {
	for _, c := range tableCases(t) {
		err := c.cluster().Check()
		var conflict *nodeconf.PolicyConflictError
		if (c.Name == "mirrorSourcePolicy") != errors.As(err, &conflict) || conflict == nil && err != nil {
			t.Errorf("%s, %s: %v", c.Set, c.Name, err)
		}
		if conflict != nil && (conflict.Source != "registry-b.com" || !strings.Contains(err.Error(), "AllowContactingSource in an ImageDigestMirrorSet and NeverContactSource in an ImageTagMirrorSet")) {
			t.Errorf("%v", err)
		}
	}
}
