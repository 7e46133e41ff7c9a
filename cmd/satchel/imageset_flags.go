package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"satchel/oci"
	"satchel/oci/registry"
	"satchel/transfer"
	"satchel/transfer/imageset"
)

// imageSetFlags name an ImageSetConfiguration whose images are wanted.
type imageSetFlags struct {
	file   string
	ignore bool
	// archiveSize is what it says of volumes, in bytes; 0 when it says nothing.
	archiveSize int64
}

func (f *imageSetFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.file, "config", "", "what oc-mirror's ImageSetConfiguration `FILE` asks for; satchel config check says what that is")
	flags.BoolVar(&f.ignore, "ignore-unsupported", false, "with --config, pass over what satchel does not do")
}

// errUnsupported says that a configuration asks for what satchel does not do.
var errUnsupported = errors.New("it asks for what satchel does not do")

// read reads the file. What is wrong in it is said line by line.
func (f *imageSetFlags) read(out *output) (*imageset.Config, error) {
	data, err := readBounded(f.file)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	config, findings, err := imageset.Parse(data, f.file)
	if err != nil {
		return nil, usagef("--config: %w", err)
	}
	for _, finding := range findings {
		out.message("%s", finding.In(f.file))
	}
	if len(findings) > 0 && !f.ignore {
		return nil, usagef("--config %s: %w: --ignore-unsupported passes over that", f.file, errUnsupported)
	}
	f.archiveSize = config.ArchiveSize
	return config, nil
}

// okdGraph is the update graph of OKD, as openshift/oc-mirror has it in
// internal/pkg/release/const.go.
const okdGraph = "https://origin-release.ci.openshift.org/graph"

// addPlatform takes over which releases are wanted.
func (f *releaseFlags) addPlatform(p imageset.Platform, wanted *wantedImages) error {
	if p.Release != "" {
		if err := wanted.addRelease(p.Release); err != nil {
			return err
		}
	}
	for _, channel := range p.Channels {
		c := wantedChannel{name: channel.Name, graph: f.graph, from: channel.Min, to: channel.Max}
		switch {
		case channel.Min == "" && channel.Max == "" && !channel.Full:
		case channel.ShortestPath:
			c.reach = onPathWithFirst
		default:
			c.reach = allBetween
		}
		if channel.Type == "okd" && c.graph == defaultGraph {
			c.graph = okdGraph
		}
		for _, arch := range p.Architectures {
			c.arch = arch
			f.configured = append(f.configured, c)
		}
	}
	return nil
}

// addOperator takes over what is wanted of a catalog.
func (w *wantedImages) addOperator(o imageset.Operator) error {
	c := transfer.WantedCatalog{Request: o.Request(), TargetPath: o.TargetCatalog, TargetTag: o.TargetTag}
	var err error
	if o.Layout == "" {
		if c.Name, err = registry.ParseReference(o.Catalog); err != nil {
			return err
		}
	} else if c.Wanted, err = w.layoutCatalog(o.Layout, "", o.TargetCatalog, o.TargetTag); err != nil {
		return err
	}
	w.catalogs = append(w.catalogs, c)
	return nil
}

// addAdditional takes over an image with the place that it is to have.
func (w *wantedImages) addAdditional(image imageset.Image) error {
	ref, err := registry.ParseReference(image.Name)
	if err != nil {
		return err
	}
	wanted := transfer.Wanted{Name: ref}
	if image.TargetRepo != "" || image.TargetTag != "" {
		path, tag := image.TargetRepo, image.TargetTag
		if path == "" {
			path = ref.Path()
		}
		if tag == "" {
			tag = ref.Tag
		}
		if tag == "" {
			tag = transfer.DigestTag(ref.Digest)
		}
		wanted.Destinations = []string{path + ":" + tag}
	}
	w.images = append(w.images, wanted)
	return nil
}

// addConfig takes over all that a configuration asks for.
func (f *selectionFlags) addConfig(out *output, wanted *wantedImages) error {
	config, err := f.imageSet.read(out)
	if err != nil {
		return err
	}
	if err := f.release.addPlatform(config.Platform, wanted); err != nil {
		return fmt.Errorf("%s, line %d: %w", f.imageSet.file, config.Platform.Line, err)
	}
	for _, o := range config.Operators {
		if err := wanted.addOperator(o); err != nil {
			return fmt.Errorf("%s, line %d: %w", f.imageSet.file, o.Line, err)
		}
	}
	for _, image := range config.AdditionalImages {
		if err := wanted.addAdditional(image); err != nil {
			return fmt.Errorf("%s, line %d: %w", f.imageSet.file, image.Line, err)
		}
	}
	for _, b := range config.BlockedImages {
		pattern, err := blockPattern(b.Pattern)
		if err != nil {
			return usagef("%s, line %d: %w", f.imageSet.file, b.Line, err)
		}
		wanted.block = append(wanted.block, pattern)
	}
	return nil
}

// layoutCatalog names a catalog in an OCI image layout: by its name there, if that
// is a full reference, and otherwise as it is to be called, of an origin that
// nobody knows.
func (w *wantedImages) layoutCatalog(dir, entry, path, tag string) (transfer.Wanted, error) {
	label, err := w.open(dir)
	if err != nil {
		return transfer.Wanted{}, err
	}
	name, err := oci.SplitReference(entry)
	if err != nil {
		if path == "" {
			path = lastComponent(dir)
		}
		if tag == "" {
			tag = "latest"
		}
		if name, err = oci.SplitReference(unknownHost + "/" + path + ":" + tag); err != nil {
			return transfer.Wanted{}, usagef("oci:%s: it needs a name: %w", dir, err)
		}
	}
	return transfer.Wanted{Name: name, Local: label, Entry: entry}, nil
}

// lastComponent makes a component of a repository's name of a directory's.
func lastComponent(dir string) string {
	dir = strings.TrimRight(strings.ReplaceAll(dir, `\`, "/"), "/")
	dir = strings.ToLower(dir[strings.LastIndex(dir, "/")+1:])
	return strings.Trim(regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(dir, "-"), "-")
}
