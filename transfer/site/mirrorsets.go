package site

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"satchel/transfer/nodeconf"
)

// MaxDocument is the size in bytes that no YAML document exceeds, its "---"
// included. It is the default and the maximum of oc's --max-icsp-size and
// --max-idms-size: what is larger may not fit the cluster's store once managed
// fields are added.
const MaxDocument = 250_000

// maxResourceName bounds names of Kubernetes resources (DNS-1123 subdomain).
const maxResourceName = 253

// mirrorKind is a kind of resource that holds mirrors: openshift/api,
// config/v1/types_image_{digest,tag}_mirror_set.go and
// operator/v1alpha1/types_image_content_source_policy.go.
type mirrorKind struct{ apiVersion, kind, field string }

var (
	digestMirrorSet     = mirrorKind{"config.openshift.io/v1", "ImageDigestMirrorSet", "imageDigestMirrors"}
	tagMirrorSet        = mirrorKind{"config.openshift.io/v1", "ImageTagMirrorSet", "imageTagMirrors"}
	contentSourcePolicy = mirrorKind{"operator.openshift.io/v1alpha1", "ImageContentSourcePolicy", "repositoryDigestMirrors"}
)

// inCluster is what the API server demands of sources and mirrors (the pattern
// in openshift/api, config/v1/types_image_digest_mirror_set.go, without
// wildcards). IP addresses of version 6 do not pass.
var inCluster = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*(:[0-9]+)?(/[a-z0-9]+((\.|_|__|-*)[a-z0-9]+)*)*$`)

// forClusters leaves out what the API server would refuse; with it the whole
// resource would be refused.
func forClusters(entries []entry) []entry {
	var valid []entry
	for _, e := range entries {
		mirrors := slices.DeleteFunc(slices.Clone(e.Mirrors), func(m string) bool { return !inCluster.MatchString(m) })
		if inCluster.MatchString(e.Source) && len(mirrors) != 0 {
			valid = append(valid, entry{Mirrors: mirrors, Source: e.Source})
		}
	}
	return valid
}

// clusterFiles renders mirror sets and, when there is a release to install, the
// parts of install-config.yaml.
func clusterFiles(b Bundle, o Options, digests, tags []entry) ([]File, error) {
	sets := o.MirrorSets
	digests, tags = forClusters(digests), forClusters(tags)
	var files []File
	add := func(name string, kind mirrorKind, entries []entry) error {
		content, err := kind.documents(b.Name, entries)
		files = append(files, File{name, content})
		return err
	}
	if sets != ICSP {
		if err := add(digestMirrorsFile, digestMirrorSet, o.withPolicy(digests)); err != nil {
			return nil, err
		}
		if err := add(tagMirrorsFile, tagMirrorSet, o.withPolicy(tags)); err != nil {
			return nil, err
		}
	}
	if sets != IDMS {
		if err := add(policyFile, contentSourcePolicy, digests); err != nil {
			return nil, err
		}
	}
	if len(b.Releases) == 0 || len(digests) == 0 {
		return files, nil
	}
	for _, part := range []struct{ name, field string }{
		{digestSourcesFile, "imageDigestSources"},
		{contentSourcesFile, "imageContentSources"},
	} {
		content, err := encode(map[string][]entry{part.field: digests})
		if err != nil {
			return nil, err
		}
		files = append(files, File{part.name, content})
	}
	return files, nil
}

// withPolicy says of each source whether it may be asked itself.
func (o Options) withPolicy(entries []entry) []entry {
	if !o.NeverContactSource {
		return entries
	}
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].Policy = nodeconf.NeverContactSource
	}
	return entries
}

// documents renders entries as resources of the kind, each after a "---" and
// none larger than [MaxDocument]; nothing when there are no entries.
func (k mirrorKind) documents(bundle string, entries []entry) ([]byte, error) {
	var out []byte
	all, err := encode(entries)
	if err != nil {
		return nil, err
	}
	for n := 0; len(entries) != 0; n++ {
		name := resourceName(bundle, all, n)
		frame, err := k.document(name, []entry{})
		if err != nil {
			return nil, err
		}
		size, count := len(frame), 0
		for _, e := range entries {
			text, err := encode([]entry{e})
			if err != nil {
				return nil, err
			}
			size += len(text) + bytes.Count(text, []byte("\n"))*len("  ") // it is indented
			if size > MaxDocument {
				break
			}
			count++
		}
		if count == 0 {
			return nil, fmt.Errorf("%s: source %s with %d mirrors is larger than %d bytes", k.kind, entries[0].Source, len(entries[0].Mirrors), MaxDocument)
		}
		document, err := k.document(name, entries[:count])
		if err != nil {
			return nil, err
		}
		if len(document) > MaxDocument {
			return nil, fmt.Errorf("%s %s has %d bytes, more than %d", k.kind, name, len(document), MaxDocument)
		}
		out = append(out, document...)
		entries = entries[count:]
	}
	return out, nil
}

func (k mirrorKind) document(name string, entries []entry) ([]byte, error) {
	content, err := encode(struct {
		APIVersion string             `yaml:"apiVersion"`
		Kind       string             `yaml:"kind"`
		Metadata   map[string]string  `yaml:"metadata"`
		Spec       map[string][]entry `yaml:"spec"`
	}{k.apiVersion, k.kind, map[string]string{"name": name}, map[string][]entry{k.field: entries}})
	return append([]byte("---\n"), content...), err
}

// encode writes YAML as oc does: two spaces, lists not indented further.
func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	e.CompactSeqIndent()
	if err := e.Encode(value); err != nil {
		return nil, fmt.Errorf("yaml: %w", err)
	}
	err := e.Close()
	return b.Bytes(), err
}

// resourceName makes satchel-NAME-HASH-N of the bundle's name and of all entries that
// the resources have together, as text: a DNS-1123 subdomain. The same entries keep
// their name; others never replace them, since a cluster may still need what an earlier
// bundle of that name brought. A name that has to be cut gets a hash of its own, so that
// two such names stay two.
func resourceName(bundle string, entries []byte, n int) string {
	letters := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' {
			return c
		}
		return '-'
	}, strings.ToLower(bundle))
	var labels []string
	for label := range strings.SplitSeq(letters, ".") {
		if label = strings.Trim(label, "-"); label != "" {
			labels = append(labels, label)
		}
	}
	name, suffix := "satchel", fmt.Sprintf("-%s-%d", shortHash(entries), n)
	if len(labels) != 0 {
		name += "-" + strings.Join(labels, ".")
	}
	if len(name)+len(suffix) > maxResourceName {
		suffix = "-" + shortHash([]byte(bundle)) + suffix
		name = strings.TrimRight(name[:maxResourceName-len(suffix)], ".-")
	}
	return name + suffix
}

// shortHash is what tells names apart that people read.
func shortHash(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:4])
}
