package site

import (
	"regexp"
	"slices"
)

// madeFiles are the names that are made from something.
var madeFiles = regexp.MustCompile(`^(` + catalogSourcePrefix + `cs-[a-z0-9-]+\.yaml|` + clusterCatalogPrefix + `cc-[a-z0-9-]+\.yaml|signature-sha256-[0-9a-f]{16}\.json)$`)

// IsFile reports whether a file of that name is one that [Render] makes, of any bundle.
func IsFile(name string) bool {
	return madeFiles.MatchString(name) || slices.Contains([]string{
		readmeFile, digestMirrorsFile, tagMirrorsFile, policyFile, digestSourcesFile, contentSourcesFile, mappingFile, registriesFile, olderFile,
		imageConfigFile, trustFile, trustPatchFile, trustBundleFile, samplesFile, nodeRegistriesFile, nodePolicyFile, nodeSearchFile,
	}, name)
}
