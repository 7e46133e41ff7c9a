package release_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"satchel/oci"
	"satchel/oci/release"
)

// FuzzParse has outside bytes as the files of a payload: what is taken can stand
// in tags, names of files and references as it is.
func FuzzParse(f *testing.F) {
	f.Add([]byte(goodStream), []byte(goodMetadata))
	f.Add([]byte(stream("5.0.0-ec.1", tag("a", image), `{"name":"b","from":null}`, tag("c.d-e", image))),
		[]byte(metadata("5.0.0-ec.1", `"previous":["4.22.0"]`, `"next":null`, `"metadata":{"url":"x","n":[{"a":{}}]}`)))
	f.Fuzz(func(t *testing.T, references, metadata []byte) {
		p, err := release.Parse(release.Documents{References: references, Metadata: metadata})
		if err != nil {
			return
		}
		if len(p.Components) == 0 {
			t.Error("no components")
		}
		seen := make(map[string]bool)
		for _, c := range p.Components {
			if seen[c.Name] {
				t.Errorf("component %q stands twice", c.Name)
			}
			seen[c.Name] = true
			if c.Image.Tag != "" || oci.CheckDigest(c.Image.Digest) != nil || oci.CheckRepository(c.Image.Repository) != nil {
				t.Errorf("component %q: %v", c.Name, c.Image)
			}
			if _, err := oci.SplitReference("quay.io/a/b:" + release.ComponentTag(p.Version, "ppc64le", c.Name)); err != nil {
				t.Error(err)
			}
		}
		for _, version := range slices.Concat([]string{p.Version}, p.Previous, p.Next) {
			if strings.Trim(version, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-+") != "" {
				t.Errorf("version %q", version)
			}
		}
		again, err := release.Parse(p.Documents)
		if err != nil || len(again.Components) != len(p.Components) {
			t.Errorf("again: %v", err)
		}
	})
}

// FuzzParseVerification has outside bytes as the verification ConfigMap, and
// asks that Read finds exactly what can be parsed.
func FuzzParseVerification(f *testing.F) {
	f.Add([]byte(configMap(aKey, aStore)))
	f.Add([]byte("a: &a [*a]\n--- # x\n" + configMap(aKey, aStore, "x: y") + "---\r\n{}"))
	f.Add([]byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"annotations":{"release.openshift.io/verification-config-map":""}},"data":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		v, err := release.ParseVerification(text)
		if err == nil {
			if len(v.Keys) == 0 || len(v.Stores) == 0 {
				t.Errorf("%+v", v)
			}
			for i, key := range v.Keys {
				if key.Name == "" || i > 0 && v.Keys[i-1].Name >= key.Name {
					t.Errorf("key %q", key.Name)
				}
			}
			for i, store := range v.Stores {
				if store.Name == "" || i > 0 && v.Stores[i-1].Name >= store.Name {
					t.Errorf("store %q", store.Name)
				}
			}
		}
		b := newBlobs()
		p, readErr := release.Read(t.Context(), b.open, b.image("{}", plain(t, payload(file{"release-manifests/x.yaml", string(text)})...)))
		if readErr != nil {
			t.Fatal(readErr)
		}
		if err == nil && !bytes.Equal(p.Documents.Verification, text) {
			t.Error("Read did not find it")
		}
	})
}

// FuzzRead has outside bytes as the topmost layer of an image, and as its config.
func FuzzRead(f *testing.F) {
	f.Add(plain(f, payload(file{"release-manifests/x.yaml", configMap(aKey, aStore)})...), "{}")
	f.Add(layer(f, payload()...), `{"architecture":"arm64","config":{"Labels":{"io.openshift.release":"4.18.1"}}}`)
	f.Add(layer(f, file{"release-manifests/.wh.x", ""}), "")
	whole := layer(f, payload()...)
	f.Fuzz(func(t *testing.T, top []byte, config string) {
		if len(top) > 16<<10 {
			return // it may expand to gigabytes
		}
		b := newBlobs()
		m := b.image(config, whole, top)
		p, err := release.Read(t.Context(), b.open, m)
		var mismatch *oci.MismatchError
		if err == nil && p.Version == "" || errors.As(err, &mismatch) || b.closed != len(b.opened) {
			t.Errorf("%+v, %v, %d opened, %d closed", p, err, len(b.opened), b.closed)
		}
		if c, err := release.ReadConfig(t.Context(), b.open, m); err == nil && c.Base != "" && oci.CheckDigest(c.Base) != nil {
			t.Errorf("%+v", c)
		}
	})
}
