package site

import (
	"slices"
	"strings"
)

func (v *readmeValues) takeFiles(files []File) {
	for _, f := range files {
		about := ""
		switch f.Name {
		case digestMirrorsFile:
			v.DigestMirrors = true
			about = "mirrors for images by digest; clusters from 4.13 on"
		case tagMirrorsFile:
			v.TagMirrors = true
			about = "mirrors for images by tag; clusters from 4.13 on"
		case policyFile:
			v.Policy = true
			about = "mirrors for images by digest; clusters up to 4.12"
		case digestSourcesFile:
			v.InstallParts = true
			about = "part of install-config.yaml; installers from 4.14 on"
		case contentSourcesFile:
			about = "part of install-config.yaml; installers up to 4.13"
		case mappingFile:
			v.MappingFile = mappingFile
			about = "what lies where, a line for each image and tag"
		case registriesFile:
			about = "mirrors for hosts outside a cluster"
		case olderFile:
			about = "the same for older podman and skopeo"
		default:
			if strings.HasPrefix(f.Name, catalogSourcePrefix) {
				v.CatalogSources = append(v.CatalogSources, f.Name)
				v.CatalogNames = append(v.CatalogNames, strings.TrimSuffix(strings.TrimPrefix(f.Name, catalogSourcePrefix), ".yaml"))
				about = "operator catalog, for clusters with OLM"
				break
			}
			if strings.HasPrefix(f.Name, clusterCatalogPrefix) {
				v.ClusterCatalogs = append(v.ClusterCatalogs, f.Name)
				about = "the same for OLM v1"
				break
			}
			if about = aboutConfig(f.Name); about != "" {
				break
			}
			v.SignatureFiles = append(v.SignatureFiles, f.Name)
			about = "signatures of a release, for the cluster"
		}
		v.Files = append(v.Files, readmeFileLine{f.Name, about})
	}
	slices.SortFunc(v.Files, func(x, y readmeFileLine) int { return strings.Compare(x.Name, y.Name) })
	slices.Sort(v.SignatureFiles)
	slices.Sort(v.CatalogSources)
	slices.Sort(v.ClusterCatalogs)
	slices.Sort(v.CatalogNames)
	v.ClusterMirrors = v.DigestMirrors || v.TagMirrors || v.Policy
	v.Both = v.Policy && (v.DigestMirrors || v.TagMirrors)
	switch {
	case v.DigestMirrors:
		v.MirrorSetFile = digestMirrorsFile
	case v.Policy:
		v.MirrorSetFile = policyFile
	}
}

func (v *readmeValues) takeCatalogs(catalogs []Catalog) {
	v.Catalogs = catalogs
	for _, c := range catalogs {
		name := "`" + c.Source.String() + "`"
		if c.Configs == "" {
			v.Databases = append(v.Databases, name)
		}
		if !c.Unchanged {
			v.Remade = append(v.Remade, name)
		}
	}
}

func (v *readmeValues) takeMirrors(sets MirrorSets, digests, tags []entry) {
	v.KindsOnCluster = "imagedigestmirrorsets,imagetagmirrorsets"
	switch sets {
	case ICSP:
		v.KindsOnCluster = "imagecontentsourcepolicies"
	case Both:
		v.KindsOnCluster += ",imagecontentsourcepolicies"
	}
	if sets != IDMS {
		for _, e := range tags {
			v.TagsWithoutMirror = append(v.TagsWithoutMirror, "`"+e.Source+"`")
		}
	}
	for _, e := range slices.Concat(digests, tags) {
		for _, name := range append([]string{e.Source}, e.Mirrors...) {
			if name = "`" + name + "`"; !inCluster.MatchString(strings.Trim(name, "`")) && !slices.Contains(v.Excluded, name) {
				v.Excluded = append(v.Excluded, name)
			}
		}
	}
	slices.Sort(v.Excluded)
}
