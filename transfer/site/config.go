package site

import (
	"fmt"
	"regexp"
	"slices"

	"satchel/transfer/nodeconf"
	"satchel/transfer/samples"
)

// Config is what of a cluster's configuration is made beside mirror sets, and what is
// known of the cluster. The zero value makes only what nodes have of the mirror sets.
type Config struct {
	// Allow makes allowedRegistries: of what they are now, the sources, the registries
	// at the site, the cluster's own one, what is insecure, and Allowed.
	Allow bool
	// Allowed, Blocked and Insecure are registries, HOST[:PORT][/PATH] or *.HOST.
	// Allowed counts with Allow only; Blocked and Allow exclude each other.
	Allowed, Blocked, Insecure []string
	// Search are registries that complete short names, HOST[:PORT].
	Search []string
	// Import are registries from which normal users may import, HOST[:PORT] with * and
	// ?, beside those at the site.
	Import []string
	// Trust are the authorities of registries, of each one.
	Trust []Trust
	// Samples are image streams of the samples operator; nil makes nothing of it.
	Samples *samples.Samples
	// Existing is what the cluster has; nil when that is not known.
	Existing *nodeconf.Cluster
}

// internalRegistry is the name of the cluster's own registry within it
// (status.internalRegistryHostname of the image configuration). Nothing excepts it from
// what has to be allowed.
const internalRegistry = "image-registry.openshift-image-registry.svc:5000"

// The names of the files. Those that begin with node- are not to be applied but what
// nodes then have.
const (
	imageConfigFile    = "imageConfig-patch.yaml"
	trustFile          = "registryCA.yaml"
	trustPatchFile     = "registryCA-patch.yaml"
	trustBundleFile    = "install-config-additionalTrustBundle.yaml"
	samplesFile        = "samplesConfig-patch.yaml"
	nodeRegistriesFile = "node-registries.conf"
	nodePolicyFile     = "node-policy.json"
	nodeSearchFile     = "node-01-image-searchRegistries.conf"
)

var (
	validSearch    = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?$`)
	validImport    = regexp.MustCompile(`^[A-Za-z0-9*?]([A-Za-z0-9.*?-]*[A-Za-z0-9*?])?(:[0-9]{1,5})?$`)
	validConfigMap = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
)

// Check refuses names that no cluster should get, and registries that are allowed
// and blocked.
func (c *Config) Check() error {
	for _, name := range slices.Concat(c.Allowed, c.Blocked, c.Insecure) {
		if err := nodeconf.CheckRegistry(name); err != nil {
			return err
		}
	}
	for _, name := range c.Search {
		// containers/image, pkg/sysregistriesv2: a search registry is a host.
		if !validSearch.MatchString(name) {
			return fmt.Errorf("search registry %.200q is not HOST[:PORT]", name)
		}
	}
	for _, name := range c.Import {
		if !validImport.MatchString(name) {
			return fmt.Errorf("registry for import %.200q is not HOST[:PORT]", name)
		}
	}
	if c.Allow && len(c.Blocked) != 0 {
		return fmt.Errorf("registries that are allowed and registries that are blocked: a cluster takes one of the two lists only")
	}
	var hosts []string
	for _, t := range c.Trust {
		if slices.Contains(hosts, t.host) {
			return fmt.Errorf("registry %s has two authorities: put them into one file", t.host)
		}
		hosts = append(hosts, t.host)
	}
	if c.Existing != nil && c.Existing.TrustedCA != "" && !validConfigMap.MatchString(c.Existing.TrustedCA) {
		return fmt.Errorf("additionalTrustedCA of the cluster is %.80q, which is no name of a ConfigMap", c.Existing.TrustedCA)
	}
	return nil
}

// trusts reports whether nodes are told of the registry's certificate, or not to check
// it.
func (c *Config) trusts(registry string) bool {
	return nodeconf.InScopes(registry, c.Insecure) || c.Existing != nil && nodeconf.InScopes(registry, c.Existing.Insecure) ||
		slices.ContainsFunc(c.Trust, func(t Trust) bool { return t.host == host(registry) })
}

// configured is what is made of a [Config].
type configured struct {
	files    []File
	findings []nodeconf.Finding
	// fields are those of the image configuration that are replaced.
	fields  []string
	samples *samplesPlan
	// pulled are the sources of the cluster's mirror sets that had to be allowed.
	pulled []string
}

func (c *configured) find(f nodeconf.Finding) { c.findings = append(c.findings, f) }

func (c *configured) refused() bool {
	return slices.ContainsFunc(c.findings, func(f nodeconf.Finding) bool { return f.Refused })
}

func (c *configured) add(name string, value any) error {
	content, err := encode(value)
	c.files = append(c.files, File{name, content})
	return err
}

// RenderChecked is [Render], and says what would go wrong once a cluster has it all.
// README.md says that, too.
func RenderChecked(b Bundle, o Options) ([]File, []nodeconf.Finding, error) {
	var c configured
	files, err := render(b, o, &c)
	return files, c.findings, err
}

// configure makes the files and finds what would go wrong. clusters are the files of
// mirror sets.
func (c *configured) configure(b Bundle, o Options, clusters []File) error {
	if err := o.Config.Check(); err != nil {
		return err
	}
	ours, err := writtenMirrors(clusters)
	if err != nil {
		return err
	}
	var existing nodeconf.Cluster
	if o.Config.Existing != nil {
		existing = c.withoutReplaced(*o.Config.Existing, ours)
	}
	if o.Config.Samples != nil {
		c.samples = planSamples(b, o)
	}
	ours = c.withLists(b, o, ours, existing)
	existing = withoutLists(existing, ours)
	c.findings = append(c.findings, nodeconf.Conflicts(existing, ours)...)
	pullspecs, err := unresolved(b, clusters)
	if err != nil {
		return err
	}
	c.findings = append(c.findings, pullspecs...)
	nodes := existing.With(ours)
	c.checkPayload(b, nodes)
	c.checkSamples(o, nodes)
	if err := c.imageConfig(b, o, ours); err != nil {
		return err
	}
	if err := c.samplesConfig(); err != nil {
		return err
	}
	return c.nodeFiles(b, nodes)
}

// union returns both without what is there twice, a first.
func union(a, b []string) []string {
	var all []string
	there := make(map[string]bool)
	for _, s := range slices.Concat(a, b) {
		if !there[s] {
			there[s] = true
			all = append(all, s)
		}
	}
	return all
}

// hosts are the registries at the site.
func hosts(b Bundle, o Options) []string {
	all := []string{host(b.To)}
	for _, also := range o.AlsoMirror {
		all = union(all, []string{host(also)})
	}
	return all
}

// withLists adds the lists that are written: with what the cluster has in them, since
// they replace it.
func (c *configured) withLists(b Bundle, o Options, ours, existing nodeconf.Cluster) nodeconf.Cluster {
	given := o.Config
	if len(given.Insecure) != 0 {
		ours.Insecure = union(existing.Insecure, slices.Sorted(slices.Values(given.Insecure)))
	}
	if len(given.Blocked) != 0 {
		ours.Blocked = union(existing.Blocked, slices.Sorted(slices.Values(given.Blocked)))
	}
	if len(given.Search) != 0 { // their order counts
		ours.Search = union(existing.Search, given.Search)
	}
	if given.Allow {
		var own []string
		for _, e := range slices.Concat(ours.IDMS, ours.ITMS, ours.ICSP) {
			own = append(own, e.Source)
		}
		own = slices.Concat(own, hosts(b, o), []string{internalRegistry}, given.Allowed, existing.Insecure, given.Insecure)
		if c.samples != nil && c.samples.registry != "" {
			// The samples operator looks for just this text: pkg/stub/handler.go,
			// imageConfigBlocksImageStreamCreation.
			own = append(own, c.samples.registry)
		}
		if len(existing.Allowed) == 0 { // all of them may be pulled from today
			for _, e := range slices.Concat(existing.IDMS, existing.ITMS, existing.ICSP) {
				c.pulled = append(c.pulled, e.Source)
			}
			own = append(own, c.pulled...)
		}
		slices.Sort(own)
		ours.Allowed = union(existing.Allowed, own)
	}
	if len(given.Import) != 0 {
		ours.Import = importRegistries(existing.Import, union(hosts(b, o), given.Import), slices.Concat(given.Insecure, existing.Insecure))
	}
	return ours
}

// importRegistries adds domains to what is there; those that are insecure are insecure
// here, too.
func importRegistries(existing []nodeconf.ImportRegistry, domains, insecure []string) []nodeconf.ImportRegistry {
	all := slices.Clone(existing)
	for _, domain := range slices.Sorted(slices.Values(domains)) {
		r := nodeconf.ImportRegistry{Domain: domain, Insecure: slices.Contains(insecure, domain)}
		i := slices.IndexFunc(all, func(x nodeconf.ImportRegistry) bool { return x.Domain == domain })
		if i < 0 {
			all = append(all, r)
			continue
		}
		all[i].Insecure = all[i].Insecure || r.Insecure
	}
	return all
}

// imagePatch is a merge patch for image.config.openshift.io/cluster: openshift/api,
// config/v1/types_image.go.
type imagePatch struct {
	Spec struct {
		TrustedCA *metadata                 `yaml:"additionalTrustedCA,omitempty"`
		Import    []nodeconf.ImportRegistry `yaml:"allowedRegistriesForImport,omitempty"`
		Sources   *registrySources          `yaml:"registrySources,omitempty"`
	} `yaml:"spec"`
}

type registrySources struct {
	Allowed  []string `yaml:"allowedRegistries,omitempty"`
	Blocked  []string `yaml:"blockedRegistries,omitempty"`
	Search   []string `yaml:"containerRuntimeSearchRegistries,omitempty"`
	Insecure []string `yaml:"insecureRegistries,omitempty"`
}

// imageConfig writes the parts of image.config.openshift.io/cluster and the ConfigMap of
// authorities.
func (c *configured) imageConfig(b Bundle, o Options, ours nodeconf.Cluster) error {
	var p imagePatch
	if len(o.Config.Trust) != 0 {
		there := ""
		if o.Config.Existing != nil {
			there = o.Config.Existing.TrustedCA
		}
		if err := c.trust(b, o.Config.Trust, there); err != nil {
			return err
		}
		if there == "" {
			p.Spec.TrustedCA = &metadata{Name: trustName}
			c.fields = append(c.fields, "additionalTrustedCA")
		}
	}
	field := func(name string, n int) {
		if n != 0 {
			c.fields = append(c.fields, name)
		}
	}
	p.Spec.Import = ours.Import
	field("allowedRegistriesForImport", len(ours.Import))
	s := registrySources{ours.Allowed, ours.Blocked, ours.Search, ours.Insecure}
	if len(s.Allowed)+len(s.Blocked)+len(s.Search)+len(s.Insecure) != 0 {
		p.Spec.Sources = &s
	}
	field("registrySources.allowedRegistries", len(s.Allowed))
	field("registrySources.blockedRegistries", len(s.Blocked))
	field("registrySources.containerRuntimeSearchRegistries", len(s.Search))
	field("registrySources.insecureRegistries", len(s.Insecure))
	if len(c.fields) == 0 {
		return nil
	}
	return c.add(imageConfigFile, p)
}
