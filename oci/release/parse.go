package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/blang/semver/v4"

	"satchel/oci"
)

const (
	maxTag           = 128 // of the distribution specification
	maxVersion       = 64
	maxComponentName = 63
	// longestArchitecture is one that no tag of a release exceeds.
	longestArchitecture = "ppc64le"

	kindMetadata   = "cincinnati-metadata-v0"
	kindReferences = "ImageStream"
	kindImage      = "DockerImage"
	versionStream  = "image.openshift.io/v1"
)

// validComponent is a name of DNS, which is also fit for a tag and a file name.
var validComponent = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)

// Parse reads the files of a payload. It fails for what the cluster-version
// operator refuses (openshift/cluster-version-operator, pkg/payload/payload.go:
// the kind of the metadata, a semantic version, the same version in both files),
// for what oc refuses (openshift/oc, pkg/cli/admin/release/mirror.go: images by
// digest and without tag; entries that are no DockerImage are passed over), and
// for what can be no tag: a version with build metadata, names that are none of
// DNS or stand twice. Files in which two readers could see different things are
// refused too. d.Verification is kept and not looked at, but for its size. The
// Payload holds the slices of d.
func Parse(d Documents) (*Payload, error) {
	p := &Payload{Documents: d}
	if err := p.parseMetadata(d.Metadata); err != nil {
		return nil, fmt.Errorf("release-metadata: %w", err)
	}
	if err := p.parseReferences(d.References); err != nil {
		return nil, fmt.Errorf("image-references: %w", err)
	}
	if len(d.Verification) > MaxVerification {
		return nil, fmt.Errorf("verification ConfigMap: %d bytes are more than %d", len(d.Verification), MaxVerification)
	}
	return p, nil
}

func (p *Payload) parseMetadata(data []byte) error {
	if err := checkDocument(data, MaxMetadata); err != nil {
		return err
	}
	all, err := fields(data, "kind", "version", "previous", "next", "metadata")
	if err != nil {
		return err
	}
	kind, err := value[string](all, "kind")
	if err != nil {
		return err
	}
	if kind != kindMetadata {
		return fmt.Errorf("kind %.80q is not %s", kind, kindMetadata)
	}
	if p.Version, err = value[string](all, "version"); err != nil {
		return err
	}
	if err := checkVersion(p.Version); err != nil {
		return err
	}
	if p.Previous, err = versions(all, "previous"); err != nil {
		return err
	}
	if p.Next, err = versions(all, "next"); err != nil {
		return err
	}
	metadata, err := value[map[string]json.RawMessage](all, "metadata")
	if err != nil {
		return err
	}
	p.Metadata = make(map[string]string)
	for key := range metadata {
		s, err := value[*string](metadata, key)
		if err != nil || s == nil {
			continue
		}
		// It is shown to people, and stands in what is written for a site.
		if strings.ContainsFunc(*s, unicode.IsControl) {
			return fmt.Errorf("metadata %.80q has control characters", key)
		}
		p.Metadata[key] = *s
	}
	return nil
}

// checkVersion takes versions that can stand in a tag as they are: "+" cannot.
func checkVersion(version string) error {
	if version == "" {
		return errors.New("it has no version")
	}
	if len(version) > maxVersion {
		return fmt.Errorf("version %.80q is longer than %d characters", version, maxVersion)
	}
	v, err := semver.Parse(version)
	if err != nil {
		return fmt.Errorf("version %q: %w", version, err)
	}
	if len(v.Build) > 0 {
		return fmt.Errorf("version %q has build metadata, which no tag can hold", version)
	}
	return nil
}

// versions reads a list of versions. oc refuses to build a release with others
// (openshift/oc, pkg/cli/admin/release/new.go).
func versions(all map[string]json.RawMessage, key string) ([]string, error) {
	list, err := value[[]string](all, key)
	if err != nil {
		return nil, err
	}
	if len(list) > MaxVersions {
		return nil, fmt.Errorf("%s: %d versions are more than %d", key, len(list), MaxVersions)
	}
	for _, version := range list {
		if len(version) > maxTag {
			return nil, fmt.Errorf("%s: version %.80q is longer than %d characters", key, version, maxTag)
		}
		if _, err := semver.Parse(version); err != nil {
			return nil, fmt.Errorf("%s: version %q: %w", key, version, err)
		}
	}
	return list, nil
}

func (p *Payload) parseReferences(data []byte) error {
	if err := checkDocument(data, MaxReferences); err != nil {
		return err
	}
	stream, err := fields(data, "kind", "apiVersion", "metadata", "spec")
	if err != nil {
		return err
	}
	kind, err := value[string](stream, "kind")
	if err != nil {
		return err
	}
	apiVersion, err := value[string](stream, "apiVersion")
	if err != nil {
		return err
	}
	if kind != kindReferences || apiVersion != versionStream {
		return fmt.Errorf("%.80q of %.80q is not %s of %s", kind, apiVersion, kindReferences, versionStream)
	}
	metadata, err := fields(orNull(stream["metadata"]), "name")
	if err != nil {
		return fmt.Errorf("metadata: %w", err)
	}
	name, err := value[string](metadata, "name")
	if err != nil {
		return err
	}
	if name != p.Version {
		return fmt.Errorf("version %.80q is not that of release-metadata, %q", name, p.Version)
	}
	spec, err := fields(orNull(stream["spec"]), "tags")
	if err != nil {
		return fmt.Errorf("spec: %w", err)
	}
	tags, err := value[[]json.RawMessage](spec, "tags")
	if err != nil {
		return err
	}
	if len(tags) > MaxComponents {
		return fmt.Errorf("%d components are more than %d", len(tags), MaxComponents)
	}
	seen := make(map[string]bool)
	for i, tag := range tags {
		c, ok, err := p.component(tag)
		if err != nil {
			return fmt.Errorf("entry %d: %w", i+1, err)
		}
		if seen[c.Name] {
			return fmt.Errorf("component %q stands twice", c.Name)
		}
		seen[c.Name] = true
		if ok {
			p.Components = append(p.Components, c)
		}
	}
	if len(p.Components) == 0 {
		return errors.New("it names no components")
	}
	return nil
}

// component reads one entry of spec.tags; ok is false for what is no image.
func (p *Payload) component(tag json.RawMessage) (c Component, ok bool, err error) {
	all, err := fields(tag, "name", "from")
	if err != nil {
		return c, false, err
	}
	if c.Name, err = value[string](all, "name"); err != nil {
		return c, false, err
	}
	if len(c.Name) > maxComponentName || !validComponent.MatchString(c.Name) {
		return c, false, fmt.Errorf("component name %.80q is not 1 to %d of a-z, 0-9, dot and dash", c.Name, maxComponentName)
	}
	if t := ComponentTag(p.Version, longestArchitecture, c.Name); len(t) > maxTag {
		return c, false, fmt.Errorf("component %q: tag %q is longer than %d characters", c.Name, t, maxTag)
	}
	from, err := fields(orNull(all["from"]), "kind", "name")
	if err != nil {
		return c, false, fmt.Errorf("component %q: from: %w", c.Name, err)
	}
	kind, err := value[string](from, "kind")
	if err != nil {
		return c, false, fmt.Errorf("component %q: from: %w", c.Name, err)
	}
	if kind != kindImage {
		return c, false, nil
	}
	name, err := value[string](from, "name")
	if err != nil {
		return c, false, fmt.Errorf("component %q: from: %w", c.Name, err)
	}
	if len(name) > oci.MaxRepository+maxTag+100 {
		return c, false, fmt.Errorf("component %q: reference of %d characters", c.Name, len(name))
	}
	if c.Image, err = oci.SplitReference(name); err != nil {
		return c, false, fmt.Errorf("component %q: %w", c.Name, err)
	}
	if c.Image.Tag != "" {
		return c, false, fmt.Errorf("component %q: %q names its image not by digest alone", c.Name, name)
	}
	return c, true, nil
}

// orNull is the value of a key that may be missing.
func orNull(raw json.RawMessage) json.RawMessage {
	if raw == nil {
		return json.RawMessage("null")
	}
	return raw
}
