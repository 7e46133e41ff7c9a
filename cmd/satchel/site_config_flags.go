package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"satchel/transfer/nodeconf"
	"satchel/transfer/samples"
	"satchel/transfer/site"
)

// siteConfigFlags say what of a cluster's configuration is written beside mirror sets,
// and what is known of the cluster.
type siteConfigFlags struct {
	allow                                        bool
	allowed, blocked, insecure, search, imported []string
	authorities                                  []string
	samplesFile                                  string
	existing                                     string
	// made is what read makes of them; it is shared by copies of the flags.
	made *siteConfig
}

// siteConfig is what was read, and what was found when it was rendered.
type siteConfig struct {
	site.Config
	warnings []string
	findings []nodeconf.Finding
}

// addExisting declares the flag that all commands with resources have.
func (f *siteConfigFlags) addExisting(flags *pflag.FlagSet) {
	flags.StringVar(&f.existing, "existing", "", "compare the resources with what oc get -o yaml wrote of the cluster's mirror sets and image configuration: `FILE`, or a directory of such")
}

// add declares the others.
func (f *siteConfigFlags) add(flags *pflag.FlagSet) {
	flags.BoolVar(&f.allow, "allow-registries", false, "write allowedRegistries: the sources, the registries at the site, the cluster's own one, the insecure ones")
	flags.StringArrayVar(&f.allowed, "allow-registry", nil, "the same, and `REGISTRY`, HOST[:PORT][/PATH] or *.HOST; may be repeated")
	flags.StringArrayVar(&f.blocked, "block-registry", nil, "write blockedRegistries, with `REGISTRY`; may be repeated; not with allowed ones")
	flags.StringArrayVar(&f.insecure, "insecure-registry", nil, "write insecureRegistries, with `REGISTRY`; may be repeated")
	flags.StringArrayVar(&f.search, "search-registry", nil, "write containerRuntimeSearchRegistries, with `HOST[:PORT]`, in this order; may be repeated")
	flags.StringArrayVar(&f.imported, "allow-import-registry", nil, "write allowedRegistriesForImport, with the registries at the site and `HOST[:PORT]`, in which * and ? may stand; may be repeated")
	flags.StringArrayVar(&f.authorities, "registry-ca", nil, "write the ConfigMap for additionalTrustedCA, with the certificates in `[HOST[:PORT]=]FILE`, of the registry of --to if none is named; may be repeated")
	flags.StringVar(&f.samplesFile, "samples", "", "write the samples operator's configuration, for the ConfigMap imagestreamtag-to-image in `FILE` as oc get -o yaml wrote it")
}

// read checks the flags and reads the files that they name. dir is where resources
// are written, to the checked registry.
func (f *siteConfigFlags) read(dir, to string) error {
	if f.existing != "" && dir == "" {
		return usagef("--existing means nothing without --resources")
	}
	made := &siteConfig{Config: site.Config{
		Allow: f.allow || len(f.allowed) > 0, Allowed: f.allowed, Blocked: f.blocked, Insecure: f.insecure, Search: f.search, Import: f.imported,
	}}
	if err := made.Check(); err != nil {
		return &usageError{err}
	}
	for _, value := range f.authorities {
		if err := made.readTrust(value, to); err != nil {
			return err
		}
	}
	if f.samplesFile != "" {
		content, err := readBounded(f.samplesFile)
		if err != nil {
			return fmt.Errorf("--samples: %w", err)
		}
		if made.Samples, err = samples.Parse(content); err != nil {
			return usagef("--samples %s: %w", f.samplesFile, err)
		}
	}
	if f.existing != "" {
		existing, err := readExisting(f.existing)
		if err != nil {
			return fmt.Errorf("--existing: %w", err)
		}
		made.Existing = existing
	}
	if err := made.Check(); err != nil { // of what the files say, too
		return &usageError{err}
	}
	f.made = made
	return nil
}

// readTrust reads [HOST[:PORT]=]FILE.
func (c *siteConfig) readTrust(value, to string) error {
	registry, _, _ := strings.Cut(to, "/")
	name := value
	if before, after, ok := strings.Cut(value, "="); ok && !strings.Contains(before, "/") {
		registry, name = before, after
	}
	if name == "" {
		return usagef("--registry-ca %s names no file", value)
	}
	content, err := readBounded(name)
	if err != nil {
		return fmt.Errorf("--registry-ca: %w", err)
	}
	trust, warnings, err := site.NewTrust(registry, content, time.Now())
	if err != nil {
		return usagef("--registry-ca %s: %w", value, err)
	}
	c.Trust = append(c.Trust, trust)
	for _, w := range warnings {
		c.warnings = append(c.warnings, fmt.Sprintf("%s: %s", name, w))
	}
	return nil
}

// render renders all files, and keeps what was found.
func (f *siteConfigFlags) render(b site.Bundle, o site.Options) ([]site.File, error) {
	if f.made == nil {
		return site.Render(b, o)
	}
	o.Config = f.made.Config
	files, findings, err := site.RenderChecked(b, o)
	f.made.findings = findings
	return files, err
}

// say says what was found.
func (f *siteConfigFlags) say(out *output) {
	if f.made == nil {
		return
	}
	for _, w := range f.made.warnings {
		out.message("warning: %s", w)
	}
	sayFindings(out, f.made.findings)
}

// errRefused says that a cluster would not take the resources that were written.
var errRefused = errors.New("the cluster would refuse the resources that were written: README.md begins with the reason")

// refusal is the error of resources that the cluster would refuse.
func (f *siteConfigFlags) refusal() error {
	if f.made != nil && slices.ContainsFunc(f.made.findings, func(x nodeconf.Finding) bool { return x.Refused }) {
		return errRefused
	}
	return nil
}

// resourcesFinding is a finding in the result of satchel resources.
type resourcesFinding struct {
	// Scope is the source or registry that it is about, empty when it is about all.
	Scope   string `json:"scope,omitempty"`
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
	// Refused says that the cluster would refuse all of it.
	Refused bool `json:"refused,omitempty"`
}

// found lists the findings for the result.
func (f *siteConfigFlags) found() []resourcesFinding {
	all := []resourcesFinding{}
	if f.made != nil {
		for _, finding := range f.made.findings {
			all = append(all, resourcesFinding(finding))
		}
	}
	return all
}
