package oci_test

import (
	"strings"
	"testing"

	"satchel/oci"
)

func TestCheckJSON(t *testing.T) {
	for _, test := range []struct {
		data string
		ok   bool
	}{
		{`{"a":[1,2,3]}`, true},
		{`{"a":[1,2,3,4]}`, false},
		{`{"a":"1,2,3,4,5,[[[["}`, true},
		{`{"a":"\",,,,,"}`, true},
		{`[[[1]]]`, true},
		{`[[[[1]]]]`, false},
		{`]`, false},
		{`,`, false},
		{``, true},
		{`"`, true},
		{`"\`, true},
	} {
		if err := oci.CheckJSON([]byte(test.data), 3, 3); (err == nil) != test.ok {
			t.Errorf("%s: %v", test.data, err)
		}
	}
}

// TestParseManifestBounded feeds manifests that are small on the wire and large
// in memory.
func TestParseManifestBounded(t *testing.T) {
	for _, content := range []string{
		`{"schemaVersion":2,"config":{},"layers":[` + strings.Repeat("{},", 1_000_000) + `{}]}`,
		`{"schemaVersion":2,"config":` + strings.Repeat(`{"annotations":`, 1000) + `1` + strings.Repeat("}", 1001),
	} {
		allocated := testing.AllocsPerRun(1, func() {
			if _, err := oci.ParseManifest(oci.MediaTypeManifest, []byte(content)); err == nil {
				t.Error("accepted")
			}
		})
		if allocated > 1000 {
			t.Errorf("%.0f allocations", allocated)
		}
	}
}

func TestParseManifestTwoSizes(t *testing.T) {
	d := `"digest":"sha256:` + strings.Repeat("a", 64) + `"`
	content := `{"schemaVersion":2,"manifests":[{"mediaType":"` + oci.MediaTypeManifest + `",` + d + `,"size":5},{"mediaType":"` +
		oci.MediaTypeManifest + `",` + d + `,"size":7}]}`
	if _, err := oci.ParseManifest(oci.MediaTypeIndex, []byte(content)); err == nil || !strings.Contains(err.Error(), "stated with 5 and with 7 bytes") {
		t.Errorf("got %v", err)
	}
}
