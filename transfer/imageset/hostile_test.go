package imageset_test

import (
	"fmt"
	"strings"
	"testing"

	"satchel/transfer/imageset"
)

// TestBombs: few bytes that stand for much are refused, and soon.
func TestBombs(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("x0: &x0 [" + strings.Repeat("{name: a/b:c},", 100) + "]\n")
	for i := range 8 {
		fmt.Fprintf(&laughs, "x%d: &x%d [%s]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*x%d,", i), 100))
	}
	tests := []struct{ name, file, want string }{
		{"a billion laughs", v2 + laughs.String() + "mirror: {additionalImages: *x8}\n", "unknown key"},
		{"an anchor within itself", v2 + "mirror: &m\n  platform: *m\n", "unknown key"},
		{"a merge of itself", v2 + "mirror: &m\n  <<: *m\n", "merges what is no mapping, or itself"},
		{"a merge of much", v2 + "a: &a {" + many("a", 1000) + "}\nmirror:\n  <<: [" + strings.Repeat("*a,", 1000) + "]\n", "unknown key"},
		{"an image again and again", in("  additionalImages: [&a {name: a/b:c}," + strings.Repeat("*a,", 25_000) + "]\n"), "more than 50000 values"},
		{"deep", v2 + "mirror: " + strings.Repeat("[", 20_000), "yaml"},
		{"too large", v2 + strings.Repeat("#\n", imageset.MaxConfig/2), "bytes are more than"},
		{"much that is wrong", v2 + "mirror: {" + many("k", 10_000) + "}\n", "more than 500 findings"},
	}
	for _, test := range tests {
		config, findings, err := imageset.Parse([]byte(test.file), "f")
		checkAgree(t, config, findings, err)
		if err == nil || !strings.Contains(err.Error(), test.want) || len(findings) > imageset.MaxFindings+1 || len(err.Error()) > 100_000 {
			t.Errorf("%s: %.300v", test.name, err)
		}
	}

	// Packages with channels behind aliases: each list is small, their product is not.
	channels := "[" + strings.Repeat("{name: x},", 500) + "]"
	packages := "[{name: a, channels: &c " + channels + "}," + strings.Repeat("{name: a, channels: *c},", 500) + "]"
	operators := "[{catalog: 'oci:///a', packages: &p " + packages + "}," + strings.Repeat("{catalog: 'oci:///a', packages: *p},", 500) + "]"
	_, findings, err := imageset.Parse([]byte(in("  operators: "+operators+"\n")), "f")
	if err == nil || len(findings) != imageset.MaxFindings+1 {
		t.Errorf("%d findings, %.200v", len(findings), err)
	}
}

func many(prefix string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%s%d: 1,", prefix, i)
	}
	return b.String()
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(in(image + catalog)))
	f.Add([]byte(v1 + "storageConfig: {local: {path: x}}\narchiveSize: 4\nmirror: &m\n  <<: *m\n  platform: {graph: true, channels: [{name: a, minVersion: 1.2.3}]}\n"))
	f.Add([]byte(in("  operators: [{catalog: 'oci:///a', full: true, packages: [{name: a, minVersion: '1', channels: [{name: b}]}]}]\n  helm: {local: [{name: x}]}\n")))
	f.Fuzz(func(t *testing.T, data []byte) {
		config, findings, err := imageset.Parse(data, "f")
		checkAgree(t, config, findings, err)
		if err != nil {
			return
		}
		if config.Version == "" || config.ArchiveSize < 0 ||
			len(config.Platform.Channels)+len(config.Operators)+len(config.AdditionalImages) == 0 && config.Platform.Release == "" && len(findings) == 0 {
			t.Errorf("accepted: %+v", config)
		}
	})
}
