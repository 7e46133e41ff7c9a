package release_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"satchel/oci/release"
)

const hex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// stream is image-references of a version with these entries of spec.tags.
func stream(version string, tags ...string) string {
	return `{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"name":"` + version + `"},"spec":{"lookupPolicy":{"local":false},"tags":[` + strings.Join(tags, ",") + `]}}`
}

// tag is one entry of them.
func tag(name, image string) string {
	return `{"name":"` + name + `","annotations":{"a":"b"},"from":{"kind":"DockerImage","name":"` + image + `"},"generation":null}`
}

// metadata is release-metadata of a version with further members.
func metadata(version string, more ...string) string {
	return `{` + strings.Join(append([]string{`"kind":"cincinnati-metadata-v0","version":"` + version + `"`}, more...), ",") + `}`
}

func parse(references, metadata string) (*release.Payload, error) {
	return release.Parse(release.Documents{References: []byte(references), Metadata: []byte(metadata)})
}

const image = "quay.io/openshift-release-dev/ocp-v4.0-art-dev@sha256:" + hex

var (
	goodStream   = stream("4.18.1", tag("cli", image))
	goodMetadata = metadata("4.18.1", `"previous":[]`)
)

func TestParse(t *testing.T) {
	p, err := parse(
		stream("4.18.1",
			tag("zebra", "registry.example:5000/b@sha256:"+hex),
			tag("cli", image),
			`{"name":"imagestream","from":{"kind":"ImageStreamTag","name":"cli:latest"}}`,
			`{"name":"nowhere","from":null}`,
			`{"name":"nothing"}`,
			tag("cli-alias.v2", image),
		),
		metadata("4.18.1", `"previous":["4.17.9","4.18.0-rc.1"]`, `"next":["4.18.2"]`,
			`"metadata":{"url":"https://x","release.openshift.io/architecture":"multi","n":1,"l":["a"],"null":null,"o":{"url":"y"}}`, `"unknown":true`))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range p.Components {
		names = append(names, c.Name+"="+c.Image.String())
	}
	want := []string{"zebra=registry.example:5000/b@sha256:" + hex, "cli=" + image, "cli-alias.v2=" + image}
	if p.Version != "4.18.1" || !slices.Equal(names, want) {
		t.Errorf("%q: %q", p.Version, names)
	}
	if !slices.Equal(p.Previous, []string{"4.17.9", "4.18.0-rc.1"}) || !slices.Equal(p.Next, []string{"4.18.2"}) {
		t.Errorf("previous %q, next %q", p.Previous, p.Next)
	}
	if want := map[string]string{"url": "https://x", "release.openshift.io/architecture": "multi"}; !maps.Equal(p.Metadata, want) {
		t.Errorf("metadata: %q", p.Metadata)
	}
	if want := []string{"quay.io/openshift-release-dev/ocp-v4.0-art-dev", "registry.example:5000/b"}; !slices.Equal(p.Repositories(), want) {
		t.Errorf("repositories: %q", p.Repositories())
	}
	if c, ok := p.Component("cli-alias.v2"); !ok || c.Image.String() != image {
		t.Errorf("alias: %v", c)
	}
	if _, ok := p.Component("imagestream"); ok {
		t.Error("an ImageStreamTag is a component")
	}
	if p.Documents.Verification != nil {
		t.Error("there is a verification ConfigMap")
	}
}

func TestParseVersions(t *testing.T) {
	for version, good := range map[string]bool{
		"4.12.0": true, "4.8.0-0.ci-2021-05-03-215023": true, "5.0.0-ec.1": true,
		"4.18.0-" + strings.Repeat("a", 57): true, "4.18.0-" + strings.Repeat("a", 58): false,
		"": false, "4.18": false, "v4.18.1": false, "4.18.1+build": false, "4.18.01": false, "4.18.1 ": false,
		"4.18.1/../x": false, "4.18.1-a_b": false, "latest": false, "4.18.-1": false,
	} {
		p, err := parse(stream(version, tag("cli", image)), metadata(version))
		if (err == nil) != good || good && p.Version != version {
			t.Errorf("%q: %v", version, err)
		}
	}
}

func TestParseRefusesMetadata(t *testing.T) {
	if _, err := parse(goodStream, goodMetadata); err != nil {
		t.Fatal(err)
	}
	many := strings.TrimSuffix(strings.Repeat(`"4.1.1",`, release.MaxVersions+1), ",")
	for name, c := range map[string]struct{ metadata, want string }{
		"nothing":          {``, "unexpected end"},
		"null":             {`null`, "kind"},
		"a list":           {`[]`, "cannot unmarshal"},
		"no kind":          {`{"version":"4.18.1"}`, "kind"},
		"other kind":       {strings.Replace(goodMetadata, "-v0", "-v1", 1), "kind"},
		"kind null":        {`{"kind":null,"version":"4.18.1"}`, "kind"},
		"kind a number":    {`{"kind":0,"version":"4.18.1"}`, "kind"},
		"no version":       {`{"kind":"cincinnati-metadata-v0"}`, "no version"},
		"other version":    {metadata("4.18.2"), `"4.18.1" is not that of release-metadata, "4.18.2"`},
		"twice":            {metadata("4.18.2", `"version":"4.18.1"`), "twice"},
		"twice, escaped":   {metadata("4.18.1", `"versi\u006fn":"4.18.1"`), "twice"},
		"other case":       {metadata("4.18.1", `"Version":"4.18.2"`), `"Version" is not "version"`},
		"Kelvin":           {metadata("4.18.1", `"\u212aind":"x"`), `is not "kind"`},
		"previous no list": {metadata("4.18.1", `"previous":"4.17.0"`), "previous"},
		"previous numbers": {metadata("4.18.1", `"previous":[4.17]`), "previous"},
		"previous words":   {metadata("4.18.1", `"previous":["4.17.0","latest"]`), "latest"},
		"previous long":    {metadata("4.18.1", `"previous":["4.17.0-`+strings.Repeat("a", 130)+`"]`), "longer"},
		"previous many":    {metadata("4.18.1", `"previous":[`+many+`]`), "more than"},
		"next words":       {metadata("4.18.1", `"next":["\u001b[2J"]`), `"\x1b[2J"`},
		"metadata a list":  {metadata("4.18.1", `"metadata":[]`), "metadata"},
		"inner key twice":  {metadata("4.18.1", `"metadata":{"url":"a","b":[{"x":1}],"url":"b"}`), `"url" stands twice`},
		"key twice within": {metadata("4.18.1", `"metadata":{"b":[{},{"x":1,"x":1}]}`), `"x" stands twice`},
		"trailing":         {goodMetadata + "{}", "after top-level value"},
		"cut":              {goodMetadata[:len(goodMetadata)-1], "unexpected end"},
		"deep":             {metadata("4.18.1", `"metadata":{"x":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`}`), "deeper"},
		"large":            {goodMetadata + strings.Repeat(" ", release.MaxMetadata), "more than"},
	} {
		_, err := parse(goodStream, c.metadata)
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 600 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseRefusesReferences(t *testing.T) {
	var many []string
	for i := range release.MaxComponents + 1 {
		many = append(many, tag(fmt.Sprintf("c%d", i), image))
	}
	one := func(entry string) string { return stream("4.18.1", entry) }
	for name, c := range map[string]struct{ references, want string }{
		"nothing":            {``, "unexpected end"},
		"null":               {`null`, "ImageStream"},
		"other kind":         {strings.Replace(goodStream, "ImageStream", "List", 1), "ImageStream"},
		"other group":        {strings.Replace(goodStream, "image.openshift.io/v1", "image.openshift.io/v2", 1), "ImageStream"},
		"no metadata":        {strings.Replace(goodStream, `"metadata"`, `"x"`, 1), "release-metadata"},
		"metadata a list":    {strings.Replace(goodStream, `"metadata":{"name":"4.18.1"}`, `"metadata":[]`, 1), "metadata"},
		"other case":         {strings.Replace(goodStream, `"spec"`, `"Spec"`, 1), `"Spec" is not "spec"`},
		"spec twice":         {strings.Replace(goodStream, `"spec"`, `"spec":{},"spec"`, 1), "twice"},
		"no spec":            {`{"kind":"ImageStream","apiVersion":"image.openshift.io/v1","metadata":{"name":"4.18.1"}}`, "no components"},
		"no tags":            {one(``), "no components"},
		"no images":          {one(`{"name":"a","from":{"kind":"ImageStreamTag"}}`), "no components"},
		"tags no list":       {strings.Replace(goodStream, `"tags":[`, `"tags":{},"x":[`, 1), "tags"},
		"tag null":           {one(`null`), "name"},
		"tag a text":         {one(`"cli"`), "cannot unmarshal"},
		"many":               {stream("4.18.1", many...), "more than"},
		"twice":              {stream("4.18.1", tag("cli", image), tag("cli", image)), `"cli" stands twice`},
		"twice, once none":   {stream("4.18.1", tag("cli", image), `{"name":"cli"}`), `"cli" stands twice`},
		"no name":            {one(tag("", image)), "name"},
		"name upper":         {one(tag("Cli", image)), "name"},
		"name climbs":        {one(tag("../cli", image)), "name"},
		"name with space":    {one(tag("c li", image)), "name"},
		"name with newline":  {one(tag(`cli\n`, image)), "name"},
		"name ends in -":     {one(tag("cli-", image)), "name"},
		"name long":          {one(tag(strings.Repeat("a", 64), image)), "name"},
		"from a text":        {one(`{"name":"cli","from":"x"}`), "from"},
		"from kind":          {one(`{"name":"cli","from":{"kind":1}}`), "kind"},
		"from Kind":          {one(`{"name":"cli","from":{"Kind":"DockerImage","name":"` + image + `"}}`), "Kind"},
		"no image":           {one(`{"name":"cli","from":{"kind":"DockerImage"}}`), "HOST/PATH"},
		"tag":                {one(tag("cli", "quay.io/a/b:latest")), "not by digest alone"},
		"tag and digest":     {one(tag("cli", "quay.io/a/b:latest@sha256:"+hex)), "not by digest alone"},
		"bad digest":         {one(tag("cli", "quay.io/a/b@sha256:abc")), "digest"},
		"SHA-512":            {one(tag("cli", "quay.io/a/b@sha512:"+hex+hex)), "digest"},
		"digest upper":       {one(tag("cli", "quay.io/a/b@sha256:"+strings.ToUpper(hex))), "digest"},
		"no repository":      {one(tag("cli", "@sha256:"+hex)), "HOST/PATH"},
		"no host":            {one(tag("cli", "b@sha256:"+hex)), "HOST/PATH"},
		"transport":          {one(tag("cli", "docker://quay.io/a/b@sha256:"+hex)), "HOST/PATH"},
		"repository climbs":  {one(tag("cli", "quay.io/../b@sha256:"+hex)), "HOST/PATH"},
		"reference too long": {one(tag("cli", "quay.io/"+strings.Repeat("a/", 1000)+"b@sha256:"+hex)), "characters"},
		"trailing":           {goodStream + "x", "after top-level value"},
		"large":              {goodStream + strings.Repeat(" ", release.MaxReferences), "more than"},
	} {
		_, err := parse(c.references, goodMetadata)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "image-references: ") || len(err.Error()) > 600 {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Together they must fit a tag.
	version := "4.18.0-" + strings.Repeat("a", 57)
	if _, err := parse(stream(version, tag(strings.Repeat("c", 55), image)), metadata(version)); err != nil {
		t.Errorf("tag of 128 characters: %v", err)
	}
	if _, err := parse(stream(version, tag(strings.Repeat("c", 56), image)), metadata(version)); err == nil {
		t.Error("a tag of 129 characters was taken")
	}
	d := release.Documents{References: []byte(goodStream), Metadata: []byte(goodMetadata), Verification: make([]byte, release.MaxVerification+1)}
	if _, err := release.Parse(d); err == nil {
		t.Error("a large verification ConfigMap was taken")
	}
}

func TestTags(t *testing.T) {
	for architecture, want := range map[string]string{
		"amd64": "4.12.0-x86_64", "arm64": "4.12.0-aarch64", "ppc64le": "4.12.0-ppc64le", "s390x": "4.12.0-s390x",
		"multi": "4.12.0-multi", "": "4.12.0",
	} {
		if got := release.Tag("4.12.0", architecture); got != want {
			t.Errorf("%q: %q", architecture, got)
		}
		if got := release.ComponentTag("4.12.0", architecture, "cli"); got != want+"-cli" {
			t.Errorf("%q: %q", architecture, got)
		}
	}
}
