package site

import (
	"fmt"
	"slices"
	"strings"

	"satchel/oci"
	"satchel/transfer/nodeconf"
	"satchel/transfer/samples"
)

// samplesPlan is what the samples operator is to be told.
type samplesPlan struct {
	// carried are the image streams whose images are all here.
	carried, skipped []string
	// registry is samplesRegistry; without one the streams keep the original names.
	registry string
	// why says what speaks against samplesRegistry, and is empty when nothing does.
	why string
	// unreachable are carried images by tag that nothing leads here.
	unreachable []string
}

// planSamples finds the streams whose images are all here, and whether one value of
// samplesRegistry leads each of them to where it is.
func planSamples(b Bundle, o Options) *samplesPlan {
	here := make(map[oci.Reference][]string) // the names at the site, without host's choice of tags
	for _, image := range b.Images {
		if image.Attachment {
			continue
		}
		if image.Source.Digest != "" {
			here[image.Source] = append(here[image.Source], image.Repository+"@"+string(image.Source.Digest))
		}
		for _, tag := range image.Tags {
			here[image.Source] = append(here[image.Source], image.Repository+":"+tag)
		}
	}
	p := &samplesPlan{}
	var tags []samples.Tag
	for _, stream := range o.Config.Samples.Streams {
		if slices.ContainsFunc(stream.Tags, func(t samples.Tag) bool { return len(here[t.Image]) == 0 }) {
			p.skipped = append(p.skipped, stream.Name)
			continue
		}
		p.carried = append(p.carried, stream.Name)
		tags = append(tags, stream.Tags...)
	}
	for _, name := range samples.Jenkins() {
		if !slices.Contains(p.carried, name) && !slices.Contains(p.skipped, name) {
			p.skipped = append(p.skipped, name)
		}
	}
	slices.Sort(p.skipped)
	p.registry, p.why = samplesRegistry(tags, here)
	if p.registry == "" && o.MirrorSets == ICSP {
		for _, t := range tags {
			if t.Image.Digest == "" && !slices.Contains(here[t.Image], t.Pullspec) {
				p.unreachable = append(p.unreachable, t.Pullspec)
			}
		}
	}
	return p
}

// samplesRegistry returns the value that leads all tags to where their images are: by
// the operator's rule, with the naming that was used. It is empty when there is none, and
// why not; and when all names are those at the site already.
func samplesRegistry(tags []samples.Tag, here map[oci.Reference][]string) (registry, why string) {
	moved := slices.IndexFunc(tags, func(t samples.Tag) bool { return !slices.Contains(here[t.Image], t.Pullspec) })
	if moved < 0 {
		return "", ""
	}
	for _, candidate := range registryCandidates(tags[moved].Pullspec, here[tags[moved].Image]) {
		wrong := slices.IndexFunc(tags, func(t samples.Tag) bool {
			return !slices.Contains(here[t.Image], samples.Rewrite(t.Pullspec, candidate))
		})
		if wrong < 0 {
			return candidate, ""
		}
		if t := tags[wrong]; why == "" {
			why = fmt.Sprintf("`%s` would lead to `%s`, and the image is `%s`", candidate, samples.Rewrite(t.Pullspec, candidate), here[t.Image][0])
		}
	}
	if why == "" {
		t := tags[moved]
		why = fmt.Sprintf("no value leads `%s` to `%s`", t.Pullspec, here[t.Image][0])
	}
	return "", why
}

// registryCandidates are the values that could make one of the names of a pullspec.
func registryCandidates(pullspec string, names []string) []string {
	var all []string
	add := func(candidate string, ok bool) {
		if ok && candidate != "" && !slices.Contains(all, candidate) && slices.Contains(names, samples.Rewrite(pullspec, candidate)) {
			all = append(all, candidate)
		}
	}
	_, path, _ := strings.Cut(pullspec, "/")
	for _, name := range names {
		add(strings.CutSuffix(name, "/"+path))
		add(strings.CutSuffix(name, "/"+pullspec))
	}
	return all
}

// checkSamples finds image configuration that makes the samples operator refuse its own:
// openshift/cluster-samples-operator, pkg/stub/handler.go,
// imageConfigBlocksImageStreamCreation.
func (c *configured) checkSamples(o Options, nodes nodeconf.Cluster) {
	p := c.samples
	if p == nil {
		return
	}
	const refuses = "the samples operator would refuse its configuration: "
	if len(p.carried) == 0 {
		c.find(nodeconf.Finding{
			Scope: "samples", Problem: "no image stream has all of its images in the bundle, so that nothing is written for the samples operator",
			Remedy: "pack with --samples and the same file, or leave the operator Removed",
		})
		return
	}
	if len(p.unreachable) != 0 {
		c.find(nodeconf.Finding{
			Scope: "samples", Problem: "samplesRegistry leads not to the images, and an ImageContentSourcePolicy is for digests only: nothing leads to " + list(p.unreachable),
			Remedy: "unpack without --naming, so that paths are kept, or write the mirror sets with --mirror-set idms",
		})
	}
	missing := func(has func(string) bool) []string {
		if p.registry != "" {
			return slices.DeleteFunc([]string{p.registry}, has)
		}
		return slices.DeleteFunc([]string{"registry.redhat.io", "quay.io"}, has)
	}
	if lacking := missing(func(name string) bool { return slices.Contains(nodes.Allowed, name) }); len(nodes.Allowed) != 0 && len(lacking) != 0 {
		c.find(nodeconf.Finding{
			Scope: "samples", Problem: refuses + "it wants " + strings.Join(lacking, " and ") + ", just so, among allowedRegistries",
			Remedy: "add it (--allow-registry), or leave the operator Removed",
		})
	}
	domain := func(name string) bool {
		return slices.ContainsFunc(nodes.Import, func(r nodeconf.ImportRegistry) bool { return strings.HasSuffix(name, r.Domain) })
	}
	if lacking := missing(domain); len(nodes.Import) != 0 && len(lacking) != 0 {
		remedy := "add it (--allow-import-registry), or leave the operator Removed"
		if strings.Contains(p.registry, "/") {
			remedy = "leave allowedRegistriesForImport away, unpack to a registry without a prefix, or leave the operator Removed"
		}
		c.find(nodeconf.Finding{
			Scope: "samples", Problem: refuses + "no domain of allowedRegistriesForImport is the end of " + strings.Join(lacking, " and of "), Remedy: remedy,
		})
	}
}

// samplesPatch is a merge patch for configs.samples.operator.openshift.io/cluster:
// openshift/api, samples/v1/types_config.go.
type samplesPatch struct {
	Spec struct {
		State    string   `yaml:"managementState"`
		Registry string   `yaml:"samplesRegistry"`
		Skipped  []string `yaml:"skippedImagestreams"`
	} `yaml:"spec"`
}

func (c *configured) samplesConfig() error {
	if c.samples == nil || len(c.samples.carried) == 0 {
		return nil
	}
	var p samplesPatch
	p.Spec.State, p.Spec.Registry, p.Spec.Skipped = "Managed", c.samples.registry, c.samples.skipped
	return c.add(samplesFile, p)
}
