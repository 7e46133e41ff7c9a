package site

import (
	_ "embed"
	"slices"
	"strings"
	"unicode"
)

//go:embed readme_config.md.tmpl
var readmeConfigTemplate string

// readmeConfig is what the template of the configuration asks for.
type readmeConfig struct {
	// Refused are findings for which the cluster refuses the whole, Findings the
	// others.
	Refused, Findings []string
	// Known says that it is known what the cluster has.
	Known bool

	// Pulled are sources that the cluster has and that had to be allowed.
	Pulled string

	ImageConfig                            string // file
	Fields                                 []string
	TrustFile, TrustPatchFile, TrustName   string
	TrustBundleFile                        string
	Samples                                string // file
	SamplesRegistry, SamplesWhy            string
	Carried, Skipped                       []string
	TagMirrors                             bool
	NodeRegistries, NodePolicy, NodeSearch string // files
}

// readme says what there is, for README.md.
func (c *configured) readme(o Options) readmeConfig {
	v := readmeConfig{Known: o.Config.Existing != nil, Fields: c.fields, TagMirrors: o.MirrorSets != ICSP, TrustName: trustName, Pulled: plain(list(c.pulled))}
	for _, f := range c.findings {
		if f.Refused {
			v.Refused = append(v.Refused, plain(f.String()))
		} else {
			v.Findings = append(v.Findings, plain(f.String()))
		}
	}
	if v.Known && o.Config.Existing.TrustedCA != "" {
		v.TrustName = o.Config.Existing.TrustedCA
	}
	if p := c.samples; p != nil {
		v.SamplesRegistry, v.SamplesWhy, v.Carried, v.Skipped = p.registry, p.why, p.carried, p.skipped
	}
	has := func(name string) string {
		if slices.ContainsFunc(c.files, func(f File) bool { return f.Name == name }) {
			return name
		}
		return ""
	}
	v.ImageConfig, v.Samples = has(imageConfigFile), has(samplesFile)
	v.TrustFile, v.TrustPatchFile, v.TrustBundleFile = has(trustFile), has(trustPatchFile), has(trustBundleFile)
	v.NodeRegistries, v.NodePolicy, v.NodeSearch = has(nodeRegistriesFile), has(nodePolicyFile), has(nodeSearchFile)
	return v
}

// aboutConfig says what a file is for; it is empty for files of others.
func aboutConfig(name string) string {
	switch name {
	case imageConfigFile:
		return "change of the cluster's image configuration"
	case trustFile:
		return "authorities of the registry, for the cluster"
	case trustPatchFile:
		return "authorities of the registry, to be added to those that the cluster has"
	case trustBundleFile:
		return "part of install-config.yaml: authorities of the registry"
	case samplesFile:
		return "change of the samples operator's configuration"
	case nodeRegistriesFile, nodePolicyFile, nodeSearchFile:
		return "what nodes then have; to look at, not to apply"
	}
	return ""
}

// plain is for text in which there are names that someone else chose: one line without
// what would not be seen.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, oneLine(s))
}
