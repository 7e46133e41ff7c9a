package ocdir

import (
	"errors"
	"path"
	"regexp"
	"strings"
	"testing"

	"satchel/oci"
)

func TestGuess(t *testing.T) {
	for _, test := range []struct{ content, want, says string }{
		{`{"schemaVersion":2,"mediaType":"` + oci.MediaTypeDockerManifest + `"}`, oci.MediaTypeDockerManifest, ""},
		{`{"schemaVersion":2,"mediaType":"` + oci.MediaTypeDockerList + `"}`, oci.MediaTypeDockerList, ""},
		{`{"schemaVersion":2,"mediaType":"` + oci.MediaTypeManifest + `"}`, oci.MediaTypeManifest, ""},
		{`{"mediaType":"` + oci.MediaTypeIndex + `"}`, oci.MediaTypeIndex, ""},
		{`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json"}}`, oci.MediaTypeManifest, ""},
		{`{"schemaVersion":2,"config":{"mediaType":"application/vnd.docker.container.image.v1+json"}}`, oci.MediaTypeDockerManifest, ""},
		{`{"schemaVersion":2,"config":{"mediaType":"application/vnd.unknown"}}`, oci.MediaTypeManifest, ""},
		{`{"schemaVersion":2,"config":{}}`, oci.MediaTypeManifest, ""},
		{`{"schemaVersion":2,"config":{},"manifests":null}`, oci.MediaTypeManifest, ""},
		{`{"schemaVersion":2,"manifests":[{}]}`, oci.MediaTypeIndex, ""},
		{`{"schemaVersion":2,"manifests":[]}`, oci.MediaTypeIndex, ""},
		{`{"schemaVersion":2,"manifests":[],"config":null}`, oci.MediaTypeIndex, ""},
		{`{"schemaVersion":2,"manifests":[],"config":{}}`, "", "of an image manifest and of an index"},
		{`{"schemaVersion":2}`, "", "of neither"},
		{`{"schemaVersion":2,"mediaType":"application/x"}`, "", `"application/x"`},
		{`{"schemaVersion":3,"config":{}}`, "", "schema version 3"},
		{`{"config":{}}`, "", "schema version 0"},
		{`{}`, "", "schema version 0"},
		{`{"schemaVersion":1}`, "", "schema 1"},
		{`{"schemaVersion":1,"signatures":[]}`, "", "schema 1"},
		{`{"fsLayers":[]}`, "", "schema 1"},
		{`{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.v1+prettyjws"}`, "", "schema 1"},
		{`[]`, "", "cannot unmarshal"},
		{"\x1f\x8b\x08", "", "invalid character"},
		{``, "", "unexpected end"},
		{`{"schemaVersion":2,"config":[]}`, "", "cannot unmarshal"},
		{strings.Repeat("[", 100), "", "nested deeper"},
	} {
		got, err := guess([]byte(test.content))
		if got != test.want || (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%.100s: got %q, %v", test.content, got, err)
		}
		if test.says == "schema 1" && !errors.Is(err, oci.ErrSchema1) {
			t.Errorf("%s: %v", test.content, err)
		}
	}
}

// FuzzGuess looks that what is guessed is what the manifest can be read as.
func FuzzGuess(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json"},"layers":[]}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[{"mediaType":"x"}]}`))
	f.Add([]byte(`{"schemaVersion":2,"MEDIATYPE":"` + oci.MediaTypeIndex + `","config":null}`))
	f.Add([]byte(`{"schemaVersion":1,"fsLayers":[]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		got, err := guess(content)
		if err != nil {
			if got != "" {
				t.Errorf("%q with %v", got, err)
			}
			return
		}
		if !oci.IsManifest(got) {
			t.Errorf("got %q", got)
		}
		_, err = oci.ParseManifest(got, content)
		if err == nil {
			return
		}
		if errors.Is(err, oci.ErrSchema1) && !strings.Contains(err.Error(), "child") || strings.Contains(err.Error(), "was served as") {
			t.Errorf("%s: %v", got, err)
		}
		// What is ambiguous is refused even if it states a type.
		if strings.Contains(err.Error(), "has the fields of") && !strings.Contains(strings.ToLower(string(content)), "mediatype") && !strings.Contains(string(content), `\`) {
			t.Errorf("%s: %v", got, err)
		}
	})
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"file://openshift/release:4.12*", "file:///a/b", "a:*b*", "quay.io:1/a@sha256:" + strings.Repeat("a", 64), "localhost/x:**a"} {
		f.Add(s, "4.12.0-x86_64")
	}
	f.Fuzz(func(t *testing.T, s, tag string) {
		p, err := parsePattern(s)
		if err != nil {
			return
		}
		name := p.withoutHost()
		if err := checkRepository(name); err != nil || path.Clean("/"+name) != "/"+name || strings.ContainsAny(name, "\\:\x00 ") {
			t.Errorf("%q: repository %q, %v", s, name, err)
		}
		if p.glob != "" && !strings.Contains(p.glob, "*") && !isTag(p.glob) {
			t.Errorf("%q: tag %q", s, p.glob)
		}
		if p.digest != "" && (oci.CheckDigest(p.digest) != nil || strings.Contains(p.glob, "*")) {
			t.Errorf("%q: digest %q", s, p.digest)
		}
		if !isTag(tag) || p.glob == "" {
			return
		}
		// As oc does it.
		like := regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(p.glob), `\*`, ".*") + "$")
		if got := matches(p.glob, tag); got != like.MatchString(tag) {
			t.Errorf("%q matches %q: %t", p.glob, tag, got)
		}
	})
}
