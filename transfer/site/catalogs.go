package site

import (
	"cmp"
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
	// Configs is the directory of the catalog within the image: "/configs". It is empty
	// when the catalog is a database.
	Configs string
	// Placed says that Repository and Tag were asked for, so that the resources are
	// called after them, not after Source.
	Placed bool
	// Unchanged says that the image is the one that has the name Source.
	Unchanged bool
	// Packages are the names of the operators in it, for README.md; none means
	// that nothing is said of them.
	Packages []string
}

// reference is how the cluster names the catalog.
func (c Catalog) reference() string { return c.Repository + ":" + c.Tag }

// resource makes a Kubernetes name of a catalog as oc-mirror does
// (openshift/oc-mirror, internal/pkg/clusterresources): the prefix, the last
// component of the path and the beginning of the tag or digest. A hash comes behind it.
func (c Catalog) resource(prefix, hash string) string {
	named := c.Source
	if c.Placed {
		named = oci.Reference{Repository: c.Repository, Tag: c.Tag}
	}
	last := named.Repository[strings.LastIndexByte(named.Repository, '/')+1:]
	suffix := named.Tag
	if suffix == "" {
		suffix = named.Digest.Encoded()
	}
	name := prefix + "-" + last + "-" + suffix[:min(len(suffix), 12)]
	if hash == "" {
		return nameOfResource(name, maxLabel)
	}
	return nameOfResource(name, maxLabel-1-len(hash)) + "-" + hash
}

// hashes returns, for each catalog, what is put behind its name: something for all that
// would have the name of another one.
func hashes(catalogs []Catalog) []string {
	made := make([]string, len(catalogs))
	for again := true; again; { // a longer name may be that of yet another one
		again = false
		named := make(map[string]int)
		for i, c := range catalogs {
			named[c.resource("cs", made[i])]++
		}
		for i, c := range catalogs {
			if made[i] == "" && named[c.resource("cs", "")] > 1 {
				made[i], again = shortHash([]byte(c.reference())), true
			}
		}
	}
	return made
}

// maxLabel bounds a DNS-1123 label.
const maxLabel = 63

// nameOfResource makes a DNS-1123 label of any text, no longer than limit.
func nameOfResource(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, s)
	s = strings.Trim(s[:min(len(s), limit)], "-")
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

// catalogFiles renders a CatalogSource for each catalog, and a ClusterCatalog for each
// that is file-based: OLM v1 reads no other (operator-framework/operator-controller,
// api/v1/clustercatalog_types.go).
func catalogFiles(catalogs []Catalog) ([]File, error) {
	catalogs = slices.CompactFunc(slices.SortedFunc(slices.Values(catalogs), func(x, y Catalog) int {
		return cmp.Or(cmp.Compare(x.reference(), y.reference()), cmp.Compare(x.Source.String(), y.Source.String()))
	}), func(x, y Catalog) bool { return x.reference() == y.reference() }) // one image, asked for by two names
	var files []File
	add := func(name string, resource any) error {
		content, err := encode(resource)
		files = append(files, File{name + ".yaml", content})
		return err
	}
	for i, hash := range hashes(catalogs) {
		c := catalogs[i]
		source := catalogSource{APIVersion: "operators.coreos.com/v1alpha1", Kind: "CatalogSource"}
		source.Metadata = metadata{c.resource("cs", hash), "openshift-marketplace"}
		source.Spec.SourceType, source.Spec.Image = "grpc", c.reference()
		if c.Extract {
			source.Spec.GRPCPodConfig = &grpcPodConfig{}
			source.Spec.GRPCPodConfig.ExtractContent.CacheDir = "/tmp/cache"
			source.Spec.GRPCPodConfig.ExtractContent.CatalogDir = c.Configs
		}
		if err := add(catalogSourcePrefix+source.Metadata.Name, source); err != nil {
			return nil, err
		}
		if c.Configs == "" {
			continue
		}
		cluster := clusterCatalog{APIVersion: "olm.operatorframework.io/v1", Kind: "ClusterCatalog"}
		cluster.Metadata = metadata{Name: c.resource("cc", hash)}
		cluster.Spec.Source.Type, cluster.Spec.Source.Image.Ref = "Image", c.reference()
		if err := add(clusterCatalogPrefix+cluster.Metadata.Name, cluster); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// unchanged are the catalogs that could be copied under their own names.
func unchanged(catalogs []Catalog) []Image {
	var images []Image
	for _, c := range catalogs {
		if c.Unchanged {
			images = append(images, Image{Source: c.Source, Digest: c.Digest, Repository: c.Repository, Tags: []string{c.Tag}})
		}
	}
	return images
}

// The beginnings of the names of files for catalogs.
const (
	catalogSourcePrefix  = "catalogSource-"
	clusterCatalogPrefix = "clusterCatalog-"
)
