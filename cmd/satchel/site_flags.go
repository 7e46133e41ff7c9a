package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"satchel/oci"
	"satchel/transfer"
)

// namings are the values of --naming.
var namings = []transfer.Naming{transfer.NamingPath, transfer.NamingHost, transfer.NamingOC, transfer.NamingOCMirror}

// ocComponents is the default of oc adm catalog mirror's --max-components.
const ocComponents = 2

// componentLimit is the value of --max-components; n is nil when nobody set it.
type componentLimit struct{ n *int }

func (c *componentLimit) components() int {
	if c.n == nil {
		return 0
	}
	return *c.n
}

// String implements [pflag.Value].
func (c *componentLimit) String() string {
	if c.n == nil {
		return ""
	}
	return strconv.Itoa(*c.n)
}

// Set implements [pflag.Value].
func (c *componentLimit) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 15)
	if err != nil {
		return fmt.Errorf("%q is not a number of components", s)
	}
	limit := int(n)
	c.n = &limit
	return nil
}

// Type implements [pflag.Value].
func (c *componentLimit) Type() string { return "number" }

// siteFlags say where images are at the site and which configuration is written
// for it.
type siteFlags struct {
	to                string
	naming            string
	maxComponents     componentLimit
	releaseRepository string
	dir               string
	mirrorSet         string
	scope             string
	never             bool // contact sources
	alsoMirror        []string
	config            siteConfigFlags
}

// add declares the flags; when is put before what they do.
func (f *siteFlags) add(flags *pflag.FlagSet, when string) {
	if when != "" {
		flags.StringVar(&f.to, "to", "", when+"the `REGISTRY[/PREFIX]` for which --resources is written, and names are checked")
	} else {
		flags.StringVar(&f.to, "to", "", "`REGISTRY[/PREFIX]` to push to, or oci:DIR for an OCI image layout")
	}
	f.addNames(flags)
	flags.StringVar(&f.dir, "resources", "", when+"write mirror sets, signatures and what else the cluster needs into `DIR`")
	f.addKinds(flags)
}

func (f *siteFlags) addNames(flags *pflag.FlagSet) {
	flags.StringVar(&f.naming, "naming", "path", "`NAMES` at the site: path (the source's repository path), host (with its host before it), oc (as oc adm catalog mirror names) or oc-mirror (as oc-mirror does)")
	flags.Var(&f.maxComponents, "max-components", "join the end of paths with dashes where they, with the prefix, have more than `N` components, for registries without nested repositories; 0 joins nothing (default 2 with --naming oc, else 0)")
	flags.StringVar(&f.releaseRepository, "release-repository", "", "put releases into the one repository `PATH` below the prefix, as oc adm release mirror does")
}

func (f *siteFlags) addKinds(flags *pflag.FlagSet) {
	flags.StringVar(&f.mirrorSet, "mirror-set", "idms", "`KIND` of mirror sets: idms, icsp (for clusters up to 4.12) or both")
	flags.StringVar(&f.scope, "mirror-set-scope", "repository", "`SCOPE` of mirror sets: repository, or namespace or registry where that is true of every image below it")
	flags.BoolVar(&f.never, "never-contact-source", false, "write mirrorSourcePolicy: NeverContactSource: nodes ask mirrors alone")
	flags.StringArrayVar(&f.alsoMirror, "also-mirror", nil, "name `REGISTRY[/PREFIX]` as a further mirror of everything; may be repeated")
	f.config.addExisting(flags)
}

var releaseRepositoryPattern = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

// check normalises the flags; needed says that a registry must be named.
func (f *siteFlags) check(needed bool) error {
	switch {
	case f.to == "" && needed:
		return usagef("--to is missing: name the registry")
	case !slices.Contains(namings, transfer.Naming(f.naming)):
		return usagef("--naming %q is not path, host, oc or oc-mirror", f.naming)
	case f.maxComponents.components() == 1 && f.naming == string(transfer.NamingOC):
		return usagef("--max-components 1 means nothing with --naming oc, which leaves the first component alone")
	case f.releaseRepository != "" && !releaseRepositoryPattern.MatchString(f.releaseRepository):
		return usagef("--release-repository %s is not a path in lower case, without registry, tag and digest", f.releaseRepository)
	case f.mirrorSet != "idms" && f.mirrorSet != "icsp" && f.mirrorSet != "both":
		return usagef("--mirror-set %q is not idms, icsp or both", f.mirrorSet)
	case f.never && f.mirrorSet != "idms":
		return usagef("--never-contact-source means nothing with --mirror-set %s: an ImageContentSourcePolicy cannot say it, and contradicts what can", f.mirrorSet)
	case f.scope != "" && f.scope != "repository" && f.scope != "namespace" && f.scope != "registry":
		return usagef("--mirror-set-scope %q is not repository, namespace or registry", f.scope)
	case (f.scope == "namespace" || f.scope == "registry") && f.naming == string(transfer.NamingOCMirror) && f.maxComponents.components() > 0:
		return usagef("--mirror-set-scope %s means nothing with --naming oc-mirror and --max-components: repositories are named then, as oc-mirror does", f.scope)
	}
	if f.to != "" {
		to, err := checkPrefix("--to", f.to)
		if err != nil {
			return err
		}
		f.to = to
	}
	if f.dir != "" && strings.HasPrefix(f.to, "oci:") {
		return usagef("--resources means nothing with a layout: no cluster pulls from it")
	}
	for i, mirror := range f.alsoMirror {
		prefix, err := checkPrefix("--also-mirror", mirror)
		if err != nil {
			return err
		}
		f.alsoMirror[i] = prefix
	}
	return f.config.read(f.dir, f.to)
}

// checkPrefix refuses what is not REGISTRY[/PREFIX] or oci:DIR.
func checkPrefix(flag, to string) (string, error) {
	if strings.Contains(to, "@") {
		return "", usagef("%s has an @: credentials do not belong there, name them with --authfile", flag)
	}
	to = strings.TrimSuffix(strings.TrimPrefix(to, "docker://"), "/")
	if to == "oci:" {
		return "", usagef("%s oci: names no directory", flag)
	}
	if strings.HasPrefix(to, "oci:") {
		return to, nil
	}
	host, _, _ := strings.Cut(to, "/")
	if oci.CheckRepository(to+"/x") != nil || !strings.ContainsAny(host, ".:[") && host != "localhost" {
		return "", usagef("%s %s is not HOST[:PORT] or HOST[:PORT]/PREFIX, the prefix in lower case, without http:// before it", flag, to)
	}
	return to, nil
}

// names are as package transfer takes them.
func (f *siteFlags) names() transfer.Names {
	n := transfer.Names{
		To: f.to, Naming: transfer.Naming(f.naming), ReleaseRepository: f.releaseRepository, MaxComponents: f.maxComponents.components(),
	}
	if n.Naming == transfer.NamingOC && f.maxComponents.n == nil {
		n.MaxComponents = ocComponents
	}
	if strings.HasPrefix(f.to, "oci:") {
		n.To = "" // a layout has full names
	}
	return n
}
