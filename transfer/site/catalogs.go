package site

import (
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/oci"
)

// Catalog is one operator catalog at the site.
type Catalog struct {
	// Source is what was asked for.
	Source oci.Reference
	// Digest is that of the catalog at the site, which is not the source's when
	// it was filtered.
	Digest digest.Digest
	// Repository is HOST/PATH at the site, Tag its tag.
	Repository, Tag string
	// Extract says that the image holds no program of its own, so that the
	// cluster must take the catalog out of it, from Configs, with its own one.
	Extract bool
	// Configs is the directory of the catalog within the image: "/configs".
	Configs string
	// Packages are the names of the operators in it, for README.md; none means
	// that nothing is said of them.
	Packages []string
}

// reference is how the cluster names the catalog.
func (c Catalog) reference() string { return c.Repository + ":" + c.Tag }

// resource makes a Kubernetes name of a catalog as oc-mirror does
// (openshift/oc-mirror, internal/pkg/clusterresources): the prefix, the last
// component of the path and the beginning of the tag or digest.
func (c Catalog) resource(prefix string) string {
	last := c.Source.Repository[strings.LastIndexByte(c.Source.Repository, '/')+1:]
	suffix := c.Source.Tag
	if suffix == "" {
		suffix = c.Source.Digest.Encoded()
	}
	name := prefix + "-" + last + "-" + suffix[:min(len(suffix), 12)]
	return nameOfResource(name)
}

// nameOfResource makes a DNS-1123 label of any text.
func nameOfResource(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, s)
	s = strings.Trim(s[:min(len(s), 63)], "-")
	if s == "" {
		return "catalog"
	}
	return s
}

type metadata struct {
	Name      string `yaml:"name"`
	Namespace string `yaml:"namespace,omitempty"`
}

// catalogSource is operators.coreos.com/v1alpha1 of operator-framework/api.
type catalogSource struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       struct {
		SourceType    string         `yaml:"sourceType"`
		Image         string         `yaml:"image"`
		GRPCPodConfig *grpcPodConfig `yaml:"grpcPodConfig,omitempty"`
	} `yaml:"spec"`
}

type grpcPodConfig struct {
	ExtractContent struct {
		CacheDir   string `yaml:"cacheDir"`
		CatalogDir string `yaml:"catalogDir"`
	} `yaml:"extractContent"`
}

// clusterCatalog is olm.operatorframework.io/v1 of operator-framework/operator-controller.
type clusterCatalog struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   metadata `yaml:"metadata"`
	Spec       struct {
		Source struct {
			Type  string `yaml:"type"`
			Image struct {
				Ref string `yaml:"ref"`
			} `yaml:"image"`
		} `yaml:"source"`
	} `yaml:"spec"`
}

// catalogFiles renders a CatalogSource and a ClusterCatalog for each catalog.
func catalogFiles(catalogs []Catalog) ([]File, error) {
	var files []File
	taken := make(map[string]string)
	for _, c := range catalogs {
		source := catalogSource{APIVersion: "operators.coreos.com/v1alpha1", Kind: "CatalogSource"}
		source.Metadata = metadata{c.resource("cs"), "openshift-marketplace"}
		source.Spec.SourceType, source.Spec.Image = "grpc", c.reference()
		if c.Extract {
			source.Spec.GRPCPodConfig = &grpcPodConfig{}
			source.Spec.GRPCPodConfig.ExtractContent.CacheDir = "/tmp/cache"
			source.Spec.GRPCPodConfig.ExtractContent.CatalogDir = c.Configs
		}
		cluster := clusterCatalog{APIVersion: "olm.operatorframework.io/v1", Kind: "ClusterCatalog"}
		cluster.Metadata = metadata{Name: c.resource("cc")}
		cluster.Spec.Source.Type, cluster.Spec.Source.Image.Ref = "Image", c.reference()
		if other, ok := taken[source.Metadata.Name]; ok {
			return nil, fmt.Errorf("catalogs %s and %s would both be the CatalogSource %s", other, c.Source, source.Metadata.Name)
		}
		taken[source.Metadata.Name] = c.Source.String()
		for name, resource := range map[string]any{
			catalogSourcePrefix + source.Metadata.Name + ".yaml":   source,
			clusterCatalogPrefix + cluster.Metadata.Name + ".yaml": cluster,
		} {
			content, err := encode(resource)
			if err != nil {
				return nil, err
			}
			files = append(files, File{name, content})
		}
	}
	slices.SortFunc(files, func(x, y File) int { return strings.Compare(x.Name, y.Name) })
	return files, nil
}

// The beginnings of the names of files for catalogs.
const (
	catalogSourcePrefix  = "catalogSource-"
	clusterCatalogPrefix = "clusterCatalog-"
)
