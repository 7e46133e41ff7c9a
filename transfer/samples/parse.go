package samples

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"satchel/transfer/exported"
)

// MaxConfigMap bounds an exported ConfigMap in bytes. A cluster keeps none that is
// larger than 1 MiB; its export has managed fields beside that.
const MaxConfigMap = 3 << 20

// ConfigMap is the name of the ConfigMap.
const ConfigMap = "imagestreamtag-to-image"

// Names of image streams are DNS-1123 subdomains, so that the first underscore of a
// key ends them; tags are those of images.
var (
	validStream = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	validTag    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

const maxStreamName = 253

// Parse reads the ConfigMap out of what oc get configmap -o yaml or -o json writes:
// alone, among several documents, or in a list. Other resources are passed over; a
// file without it, with two, or with a key or an image that is none is an error.
func Parse(data []byte) (*Samples, error) {
	resources, err := exported.Resources(data, MaxConfigMap)
	if err != nil {
		return nil, err
	}
	var found []exported.Resource
	for _, r := range resources {
		if r.Kind == "ConfigMap" && r.Name == ConfigMap {
			found = append(found, r)
		}
	}
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("no ConfigMap %s is in it: oc get configmap %[1]s -n openshift-cluster-samples-operator -o yaml writes it", ConfigMap)
	case len(found) > 1:
		return nil, fmt.Errorf("%d ConfigMaps %s are in it", len(found), ConfigMap)
	}
	var content struct {
		Data map[string]string `yaml:"data"`
	}
	if err := found[0].Decode(&content); err != nil {
		return nil, err
	}
	if len(content.Data) == 0 {
		return nil, fmt.Errorf("ConfigMap %s has no data", ConfigMap)
	}
	return fromData(content.Data)
}

func fromData(data map[string]string) (*Samples, error) {
	var keys []string
	for key := range data {
		keys = append(keys, key)
	}
	slices.Sort(keys) // so that the first error is always the same
	tags := make(map[string][]Tag)
	for _, key := range keys {
		stream, name, found := strings.Cut(key, "_")
		if !found || len(stream) > maxStreamName || !validStream.MatchString(stream) || !validTag.MatchString(name) {
			return nil, fmt.Errorf("key %.300q is not IMAGESTREAM_TAG", key)
		}
		image, err := reference(data[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if !InPayload(stream) {
			tags[stream] = append(tags[stream], Tag{name, data[key], image})
		}
	}
	if len(tags) == 0 {
		return nil, fmt.Errorf("ConfigMap %s names only images of the release, which come with it", ConfigMap)
	}
	s := &Samples{}
	for stream, all := range tags {
		slices.SortFunc(all, func(x, y Tag) int { return cmp.Compare(x.Name, y.Name) })
		s.Streams = append(s.Streams, Stream{stream, all})
	}
	slices.SortFunc(s.Streams, func(x, y Stream) int { return cmp.Compare(x.Name, y.Name) })
	return s, nil
}
