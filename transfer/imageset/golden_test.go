package imageset_test

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"satchel/fixtures"
	"satchel/transfer/imageset"
)

// realFiles reads the configurations that others wrote.
func realFiles(t testing.TB) map[string][]byte {
	t.Helper()
	directory := filepath.Join("..", "..", "..", "shared", "data", "imagesetconfigs", "oc-mirror")
	entries, err := os.ReadDir(directory)
	fixtures.CheckShared(t, err)
	files := make(map[string][]byte)
	for _, e := range entries {
		if files[e.Name()], err = os.ReadFile(filepath.Join(directory, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// verdict is one file's entry in verdicts.golden.txt.
type verdict struct {
	word, asked string
	reasons     []string
}

func verdicts(t testing.TB) map[string]*verdict {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "verdicts.golden.txt"))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]*verdict)
	var last *verdict
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		text, indented := strings.CutPrefix(line, "  ")
		switch {
		case line == "" || line[0] == '#':
		case !indented:
			name, word, ok := strings.Cut(line, ": ")
			if !ok || all[name] != nil {
				t.Fatalf("line %q", line)
			}
			last = &verdict{word: word}
			all[name] = last
		case strings.HasPrefix(text, "channels "):
			last.asked = text
		default:
			last.reasons = append(last.reasons, text)
		}
	}
	return all
}

func wordFor(findings []imageset.Finding, err error) string {
	switch {
	case err != nil:
		return "refused"
	case len(findings) > 0:
		return "accepted with --ignore-unsupported"
	}
	return "accepted"
}

func askedBy(c *imageset.Config) string {
	packages := 0
	for _, o := range c.Operators {
		packages += len(o.Packages)
	}
	s := fmt.Sprintf("channels %d, operators %d, packages %d, images %d, blocked %d",
		len(c.Platform.Channels), len(c.Operators), packages, len(c.AdditionalImages), len(c.BlockedImages))
	if c.ArchiveSize != 0 {
		s += fmt.Sprintf(", archiveSize %d", c.ArchiveSize)
	}
	return s
}

// TestVerdicts compares with verdicts.golden.txt, which was written by hand.
func TestVerdicts(t *testing.T) {
	files, want := realFiles(t), verdicts(t)
	if names := slices.Sorted(maps.Keys(files)); !slices.Equal(names, slices.Sorted(maps.Keys(want))) || len(names) != 34 {
		t.Fatalf("%d files are %q, verdicts are on %q", len(names), names, slices.Sorted(maps.Keys(want)))
	}
	accepted := 0
	for name, data := range files {
		config, findings, err := imageset.Parse(data, name)
		w := want[name]
		if word := wordFor(findings, err); word != w.word {
			t.Errorf("%s: %s, want %s: %v %v", name, word, w.word, findings, err)
			continue
		}
		if len(findings) != len(w.reasons) {
			t.Errorf("%s: %v, want %q", name, findings, w.reasons)
			continue
		}
		for i, f := range findings {
			where, reason, _ := strings.Cut(w.reasons[i], ": ")
			key := f.Key
			if key == "" {
				key = "-"
			}
			if got := fmt.Sprintf("%d %s", f.Line, key); got != where || !strings.Contains(f.Problem, reason) {
				t.Errorf("%s: %s: %s, want %q", name, got, f.Problem, w.reasons[i])
			}
		}
		if err != nil {
			if config != nil {
				t.Errorf("%s: a Config with %v", name, err)
			}
			continue
		}
		accepted++
		checkAgree(t, config, findings, err)
		if got := askedBy(config); got != w.asked {
			t.Errorf("%s: %s, want %s", name, got, w.asked)
		}
	}
	if accepted < 26 {
		t.Errorf("%d files are accepted", accepted)
	}
}

// plain has the keys of the real files, for a decoder that checks nothing.
type plain struct {
	ArchiveSize int64 `yaml:"archiveSize"`
	Mirror      struct {
		Platform struct {
			Channels []struct {
				Name, Type   string
				MinVersion   string `yaml:"minVersion"`
				MaxVersion   string `yaml:"maxVersion"`
				ShortestPath bool   `yaml:"shortestPath"`
			}
			Architectures []string
		}
		Operators []struct {
			Catalog       string
			TargetCatalog string `yaml:"targetCatalog"`
			TargetTag     string `yaml:"targetTag"`
			Packages      []struct {
				Name           string
				DefaultChannel string `yaml:"defaultChannel"`
				MinVersion     string `yaml:"minVersion"`
				MaxVersion     string `yaml:"maxVersion"`
				Channels       []struct {
					Name       string
					MinVersion string `yaml:"minVersion"`
					MaxVersion string `yaml:"maxVersion"`
				}
			}
		}
		AdditionalImages []struct {
			Name       string
			TargetRepo string `yaml:"targetRepo"`
			TargetTag  string `yaml:"targetTag"`
		} `yaml:"additionalImages"`
		BlockedImages []struct{ Name string } `yaml:"blockedImages"`
	}
}

// TestRealValues compares every value with what a plain decoder reads.
func TestRealValues(t *testing.T) {
	for name, data := range realFiles(t) {
		config, _, err := imageset.Parse(data, name)
		if err != nil {
			continue
		}
		var p plain
		if err := yaml.Unmarshal(data, &p); err != nil {
			t.Fatal(err)
		}
		var got, want strings.Builder
		for _, c := range config.Platform.Channels {
			fmt.Fprintln(&got, "channel", c.Name, c.Type, c.Min, c.Max, c.ShortestPath)
		}
		for _, c := range p.Mirror.Platform.Channels {
			fmt.Fprintln(&want, "channel", c.Name, cmp.Or(c.Type, "ocp"), c.MinVersion, c.MaxVersion, c.ShortestPath)
		}
		if len(p.Mirror.Platform.Channels) > 0 && len(p.Mirror.Platform.Architectures) == 0 {
			p.Mirror.Platform.Architectures = []string{"amd64"}
		}
		fmt.Fprintln(&got, config.Platform.Architectures, config.ArchiveSize>>30)
		fmt.Fprintln(&want, p.Mirror.Platform.Architectures, p.ArchiveSize)
		for _, o := range config.Operators {
			if o.Layout != "" {
				o.Catalog = "oci://" + o.Layout
			}
			fmt.Fprintln(&got, "operator", o.Catalog, o.TargetCatalog, o.TargetTag)
			for _, k := range o.Packages {
				fmt.Fprintln(&got, "package", k.Name, k.DefaultChannel, k.Min, k.Max)
				for _, c := range k.Channels {
					fmt.Fprintln(&got, "its channel", c.Name, c.Min, c.Max)
				}
			}
		}
		for _, o := range p.Mirror.Operators {
			fmt.Fprintln(&want, "operator", o.Catalog, o.TargetCatalog, o.TargetTag)
			for _, k := range o.Packages {
				fmt.Fprintln(&want, "package", k.Name, k.DefaultChannel, k.MinVersion, k.MaxVersion)
				for _, c := range k.Channels {
					fmt.Fprintln(&want, "its channel", c.Name, c.MinVersion, c.MaxVersion)
				}
			}
		}
		for _, i := range config.AdditionalImages {
			fmt.Fprintln(&got, "image", i.Name, i.TargetRepo, i.TargetTag)
		}
		for _, i := range p.Mirror.AdditionalImages {
			fmt.Fprintln(&want, "image", strings.TrimPrefix(i.Name, "docker://"), i.TargetRepo, i.TargetTag)
		}
		for _, b := range config.BlockedImages {
			fmt.Fprintln(&got, "blocked", b.Pattern)
		}
		for _, b := range p.Mirror.BlockedImages {
			fmt.Fprintln(&want, "blocked", b.Name)
		}
		if got.String() != want.String() {
			t.Errorf("%s:\n%s\nwant\n%s", name, got.String(), want.String())
		}
	}
}
