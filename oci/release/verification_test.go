package release_test

import (
	"fmt"
	"strings"
	"testing"

	"satchel/oci/release"
)

// configMap is a verification ConfigMap with these lines of data.
func configMap(data ...string) string {
	return "apiVersion: v1\nkind: ConfigMap\ndata:\n  " + strings.Join(data, "\n  ") + `
metadata:
  annotations:
    release.openshift.io/verification-config-map: ""
  name: release-verification
  namespace: openshift-config-managed
  namespace: openshift-config-managed
`
}

const (
	aKey   = "verifier-public-key-a: a's key"
	aStore = "store-a: https://a.example/signatures"
)

func TestParseVerification(t *testing.T) {
	good := configMap(aKey, aStore)
	for name, text := range map[string]string{
		"plain":                   good,
		"in the middle":           "a: b\n---\n" + good + "---\nc: d\n",
		"after what is no YAML":   "a: [\n\tb: {{ .X }}\n---\n" + good,
		"before it":               good + "---\n{{\n",
		"after an untaken one":    strings.Replace(good, "verification-config-map", "verification-config-map-not", 1) + "---\n" + good,
		"after another kind":      strings.Replace(good, "kind: ConfigMap", "kind: Secret", 1) + "---\n" + good,
		"after another version":   strings.Replace(good, "apiVersion: v1", "apiVersion: v2", 1) + "---\n" + good,
		"the first of two":        good + "---\n" + configMap("verifier-public-key-b: b", "store-b: https://b.example"),
		"CRLF":                    strings.ReplaceAll("---\n"+good+"---\n", "\n", "\r\n"),
		"directive":               "%YAML 1.1\n--- # comment\n" + good,
		"other data":              configMap(aKey, aStore, "other: x"),
		"the last of two keys":    configMap("verifier-public-key-a: b's", aKey, aStore),
		"space around":            configMap(aKey, "store-a: \"  https://a.example/signatures\\n\""),
		"aliases":                 "x: &key a's key\n" + configMap("verifier-public-key-a: *key", aStore),
		"a loop elsewhere":        "x: &a [*a]\n" + good,
		"annotation with a value": strings.Replace(good, `map: ""`, `map: "false"`, 1),
		"JSON": `{"kind":"ConfigMap","apiVersion":"v1","metadata":{"annotations":{"release.openshift.io/verification-config-map":null}},
			"data":{"store-a":"https:\/\/a.example\/signatures","verifier-public-key-a":"a's key"}}`,
	} {
		v, err := release.ParseVerification([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := fmt.Sprintf("%s %s", v.Keys, v.Stores); got != "[{a a's key}] [{a https://a.example/signatures}]" {
			t.Errorf("%s: %s", name, got)
		}
	}
	v, err := release.ParseVerification([]byte(configMap("store-z: file:///z", "verifier-public-key-z: one", "store-b: http://b", "verifier-public-key-b: two", "store-c: https://user:secret@c/d?e")))
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%s %s", v.Keys, v.Stores); got != "[{b two} {z one}] [{b http://b} {c https://user:secret@c/d?e} {z file:///z}]" {
		t.Errorf("not sorted: %s", got)
	}
}

func TestParseVerificationRefuses(t *testing.T) {
	var many []string
	for i := range 65 {
		many = append(many, fmt.Sprintf("verifier-public-key-%d: x", i))
	}
	good := configMap(aKey, aStore)
	for name, c := range map[string]struct{ text, want string }{
		"nothing":         {"", "annotation"},
		"null":            {"null", "annotation"},
		"a list":          {"[release.openshift.io/verification-config-map]", "annotation"},
		"no annotation":   {strings.Replace(good, "verification-config-map", "x", 1), "annotation"},
		"no YAML":         {good + "\n\tx", "annotation"},
		"a label":         {strings.Replace(good, "annotations:", "labels:", 1), "annotation"},
		"kind a list":     {strings.Replace(good, "kind: ConfigMap", "kind: [ConfigMap]", 1), "annotation"},
		"no data":         {strings.Replace(good, "data:", "binaryData:", 1), "0 keys and 0 stores"},
		"data null":       {strings.Replace(configMap(), "data:", "data: null", 1), "0 keys and 0 stores"},
		"data a list":     {configMap("- x"), "data"},
		"no keys":         {configMap(aStore), "0 keys and 1 stores"},
		"no stores":       {configMap(aKey), "1 keys and 0 stores"},
		"key a number":    {configMap("verifier-public-key-a: 1", aStore), "no text"},
		"key a map":       {configMap("verifier-public-key-a: {}", aStore), "no text"},
		"key null":        {configMap("verifier-public-key-a:", aStore), "no text"},
		"key binary":      {configMap("verifier-public-key-a: !!binary aGk=", aStore), "no text"},
		"key no name":     {configMap("verifier-public-key-: x", aStore), "name"},
		"key long":        {configMap("verifier-public-key-a: "+strings.Repeat("x", 200_000), aStore), "too long"},
		"store no name":   {configMap(aKey, "store-: https://x"), "name"},
		"store long":      {configMap(aKey, "store-a: https://"+strings.Repeat("x", 3000)), "too long"},
		"store no URL":    {configMap(aKey, "store-a: ':'"), "URL"},
		"store other":     {configMap(aKey, "store-a: ftp://secret@x/y"), "URL"},
		"store relative":  {configMap(aKey, "store-a: /etc"), "URL"},
		"store no host":   {configMap(aKey, "store-a: https:///x"), "URL"},
		"store empty":     {configMap(aKey, "store-a: ''"), "URL"},
		"store bad":       {configMap(aKey, "store-a: 'https://secret:%zz@x'"), "URL"},
		"store no dir":    {configMap(aKey, "store-a: 'file://'"), "URL"},
		"many":            {configMap(append(many, aStore)...), "more than"},
		"large":           {good + "#" + strings.Repeat("x", release.MaxVerification), "more than"},
		"merged in":       {"x: &a {store-b: https://x}\n" + configMap(aKey, "<<: *a"), "no text"},
		"only the first":  {configMap(aKey) + "---\n" + good, "1 keys and 0 stores"},
		"deep":            {"x: " + strings.Repeat("[", 20_000) + "\n---\n", "annotation"},
		"alias of alias":  {"x: &b *a\n" + good, "annotation"},
		"a broken marker": {"x: &a\n  - *a\n--- \n" + strings.Replace(good, "v1", "v3", 1), "annotation"},
	} {
		v, err := release.ParseVerification([]byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 400 {
			t.Errorf("%s: %v, %v", name, v, err)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: credentials in %v", name, err)
		}
	}
}
