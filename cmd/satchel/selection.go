package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"satchel/bundle"
	"satchel/oci/release"
	"satchel/transfer"
)

// selectionFlags say which images are wanted, and what of them; they are those of
// pack and of copy.
type selectionFlags struct {
	imagesFile    []string
	mappings      []string
	fromDir       string
	platforms     []string
	sparse        bool
	foreign       bool
	skip          bool
	noAttachments bool
	block         []string
	samples       string
	release       releaseFlags
	catalog       catalogFlags
	imageSet      imageSetFlags
}

func (f *selectionFlags) add(flags *pflag.FlagSet) {
	f.release.add(flags)
	f.catalog.add(flags)
	f.imageSet.add(flags)
	flags.StringArrayVar(&f.imagesFile, "images-file", nil, "`FILE` with one REF a line; # begins a comment")
	flags.StringArrayVar(&f.mappings, "mapping", nil, "`FILE` with SRC=DST lines as for oc image mirror -f: DST is kept for the site")
	flags.StringVar(&f.samples, "samples", "", "the images of the samples operator, by `FILE`, its exported ConfigMap imagestreamtag-to-image")
	flags.StringVar(&f.fromDir, "from-dir", "", "`DIR` that oc mirrored to, for REFs that begin with file://")
	flags.StringSliceVar(&f.platforms, "platform", nil, "keep only `OS/ARCH[/VARIANT]` of each image; may be repeated")
	flags.BoolVar(&f.sparse, "sparse", false, "with --platform, keep the index although children are left out")
	flags.BoolVar(&f.foreign, "foreign", false, "fetch foreign layers from their URLs instead of refusing them")
	flags.StringArrayVar(&f.block, "block", nil, "keep out images whose reference `REGEXP` matches, somewhere in it; may be repeated")
	flags.BoolVar(&f.noAttachments, "no-attachments", false, "leave out signatures, SBOMs and whatever else is attached to images")
	flags.BoolVar(&f.skip, "skip-missing", false, "leave out what the source does not have, record it, and end with status 4")
}

var platformPattern = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9_]+(/[a-z0-9.]+)?$`)

// blockPattern reads a regular expression of references, as a plan can state it.
func blockPattern(pattern string) (*regexp.Regexp, error) {
	if pattern == "" || bundle.CleanReason(pattern) != pattern {
		return nil, fmt.Errorf("%.200q is not 1 to %d characters of printable ASCII", pattern, bundle.MaxReason)
	}
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("%.200q is no regular expression: %w", pattern, err)
	}
	return compiled, nil
}

// names reports whether the flags name any image.
func (f *selectionFlags) names() bool {
	return len(f.imagesFile) > 0 || len(f.mappings) > 0 || f.release.names() || f.catalog.names() || f.samples != "" || f.imageSet.file != ""
}

func (f *selectionFlags) check(references []string) error {
	for _, p := range f.platforms {
		if !platformPattern.MatchString(p) {
			return usagef("--platform %q is not OS/ARCH[/VARIANT]", p)
		}
	}
	if f.sparse && len(f.platforms) == 0 {
		return usagef("--sparse means nothing without --platform")
	}
	tree := slices.ContainsFunc(references, func(s string) bool { return strings.HasPrefix(s, fileTransport) })
	if tree && f.fromDir == "" {
		return usagef("file:// is read from the directory that oc mirrored to: name it with --from-dir")
	}
	for _, pattern := range f.block {
		if _, err := blockPattern(pattern); err != nil {
			return usagef("--block %w", err)
		}
	}
	switch {
	case f.imageSet.ignore && f.imageSet.file == "":
		return usagef("--ignore-unsupported means nothing without --config")
	case f.catalog.asIs && len(f.catalog.requests) == 0 && f.imageSet.file == "":
		return usagef("--catalog-as-is means nothing without --catalog or --config")
	}
	return f.release.check()
}

// nameImages reads the REFs of the command line and of files.
func (f *selectionFlags) nameImages(ctx context.Context, out *output, wanted *wantedImages, references []string) error {
	if err := wanted.openTree(f.fromDir); err != nil {
		return err
	}
	if err := f.release.nameReleases(wanted); err != nil {
		return err
	}
	if err := f.catalog.nameCatalogs(wanted); err != nil {
		return err
	}
	for _, pattern := range f.block {
		wanted.block = append(wanted.block, regexp.MustCompile(pattern)) // as check saw
	}
	if f.imageSet.file != "" {
		if err := f.addConfig(out, wanted); err != nil {
			return err
		}
	}
	if err := wanted.sameCatalog(); err != nil {
		return err
	}
	if f.samples != "" {
		if err := wanted.addSamples(f.samples); err != nil {
			return err
		}
	}
	for _, s := range references {
		if err := wanted.add(s); err != nil {
			return err
		}
	}
	for _, name := range f.imagesFile {
		if err := wanted.addFile(name); err != nil {
			return err
		}
	}
	for _, name := range f.mappings {
		if err := wanted.addMapping(name); err != nil {
			return err
		}
	}
	if files := append(slices.Clone(f.imagesFile), f.imageSet.file); len(wanted.images)+len(wanted.releases)+len(wanted.catalogs)+
		len(f.release.channels()) == 0 && files[0] != "" {
		return usagef("no image named: %s names none", files[0])
	}
	return wanted.findReleases(ctx, out)
}

// choose reads what is wanted: releases, and then the manifests of all images.
func (f *selectionFlags) choose(ctx context.Context, out *output, sources transfer.Sources, wanted *wantedImages, haves *haves) (bundle.Selection, error) {
	o := transfer.SelectOptions{
		Platforms: f.platforms, Sparse: f.sparse, Foreign: f.foreign, Have: haves.have, SkipMissing: f.skip,
		NoAttachments: f.noAttachments, Channel: f.release.request(),
	}
	var err error
	if o.Releases, err = f.release.read(ctx, out, sources, wanted); err != nil {
		return bundle.Selection{}, err
	}
	wanted.dropParts(o.Releases)
	if o.Catalogs, err = f.readCatalogs(ctx, out, sources, wanted, nil); err != nil {
		return bundle.Selection{}, err
	}
	o.CatalogRequests, o.CatalogsAsIs, o.Block = wanted.catalogRequests(), f.catalog.asIs, wanted.block
	if haves.topUp != nil {
		out.message("reading the manifests of what %s lacks", haves.topUp.Name())
		return transfer.SelectTopUp(ctx, sources, haves.topUp, wanted.images, o)
	}
	images := len(wanted.images)
	for _, r := range o.Releases {
		images += len(r.Images)
	}
	for _, c := range o.Catalogs {
		images += 1 + len(c.Images)
	}
	out.message("reading the manifests of %s", count(images, "image"))
	selection, err := transfer.Select(ctx, sources, wanted.images, o)
	sayBlocked(out, &selection, o.Catalogs)
	if len(o.Releases) > 0 {
		selection.Name = releasesName(o.Releases)
	}
	return selection, err
}

// releasesName makes a bundle's name of the first and the last release in it.
func releasesName(releases []*transfer.Release) string {
	first, last := releases[0], releases[len(releases)-1]
	name := "openshift-"
	if first.Payload.Version != last.Payload.Version {
		name += first.Payload.Version + "-"
	}
	name += release.Tag(last.Payload.Version, last.Architecture)
	for _, r := range releases {
		if r.Architecture != last.Architecture {
			name += "-and-more"
			break
		}
	}
	return bundle.NameFrom(name)
}

// saySelection says what people should know of a selection before it is moved.
func (f *selectionFlags) saySelection(out *output, selection *bundle.Selection) {
	attached := 0
	for _, image := range selection.Images {
		if image.AttachedTo != "" {
			attached++
			continue
		}
		if len(f.platforms) > 0 && len(image.Platforms) == 0 {
			out.message("warning: %s is no index, and is packed whatever its platform is", image.Reference)
		}
	}
	if attached > 0 {
		out.message("%s attached to them: they travel along", countIs(attached, "signature or other content"))
	}
	for _, m := range selection.Missing {
		out.message("warning: left out, since the source does not have it: %s %s: %s", m.Image, m.Digest, m.Reason)
	}
}

// sayBlocked says what is kept out by choice, and which operators will lack it.
func sayBlocked(out *output, selection *bundle.Selection, catalogs []*transfer.Catalog) {
	needed := make(map[string][]string)
	for _, c := range catalogs {
		for _, w := range c.Images {
			needed[w.Name.String()] = append(needed[w.Name.String()], w.Operators...)
		}
	}
	for _, reference := range selection.Blocked {
		if operators := needed[reference]; len(operators) > 0 {
			out.message("warning: kept out, as --block or blockedImages has it, although %s will lack it: %s", strings.Join(operators, ", "), reference)
			continue
		}
		out.message("kept out, as --block or blockedImages has it: %s", reference)
	}
}

// countIs renders a number before a verb: "1 thing is", "2 things are".
func countIs(n int, what string) string {
	if n == 1 {
		return fmt.Sprintf("1 %s is", what)
	}
	return fmt.Sprintf("%d %ss are", n, what)
}
