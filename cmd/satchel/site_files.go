package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"satchel/bundle"
	"satchel/oci"
	"satchel/oci/release"
	"satchel/transfer"
	"satchel/transfer/site"
)

// prepare finds out, before anything is moved, whether write will be allowed to
// write: a directory keeps the files of one bundle.
func (f *siteFlags) prepare(plan *bundle.Plan) error {
	if f.dir == "" {
		return nil
	}
	there, err := readBounded(filepath.Join(f.dir, "README.md"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("resources: %w", err)
	}
	title, _, _ := strings.Cut(strings.TrimPrefix(string(there), "# "), " at ")
	if title != plan.Name {
		return fmt.Errorf("%w: %s holds a README.md of %.80q, and this is %s", errOtherResources, f.dir, title, plan.Name)
	}
	return nil
}

// errOtherResources says that a directory has the files of another bundle.
var errOtherResources = errors.New("resources of another bundle")

// circumstances are what README.md says beside the plan.
type circumstances struct {
	// receipt is that of the replay; nil when nothing was moved yet.
	receipt *transfer.Receipt
	// copied says that there are no media.
	copied bool
	trust  trustFlags
	// insecure says that the registry was asked without --tls-verify.
	insecure bool
}

// render renders the site's configuration for a plan.
func (f *siteFlags) render(plan *bundle.Plan, c circumstances) ([]site.File, error) {
	trust, err := c.trust.trust()
	if err != nil {
		return nil, err
	}
	b, err := siteBundle(plan, f.names(), trust)
	if err != nil {
		return nil, err
	}
	if b.Lacking, err = lackingAt(plan, c.receipt); err != nil {
		return nil, err
	}
	b.Absent = absentFrom(plan, c.receipt)
	o := f.options()
	o.NoMedia = c.copied
	for _, key := range c.trust.keys {
		o.MediaFlags = append(o.MediaFlags, "--release-key "+shellWord(key))
	}
	if c.trust.allowUnsigned {
		o.MediaFlags = append(o.MediaFlags, "--allow-unsigned-release")
	}
	o.Unverified = c.insecure
	return f.config.render(b, o)
}

// write renders the site's configuration for a plan into the directory, if that
// was asked for, and returns the names of the files.
func (f *siteFlags) write(out *output, plan *bundle.Plan, c circumstances) ([]string, error) {
	if f.dir == "" {
		return nil, nil
	}
	files, err := f.render(plan, c)
	if err != nil {
		return nil, fmt.Errorf("resources: %w", err)
	}
	if err := f.prepare(plan); err != nil {
		return nil, err
	}
	_, err = os.Lstat(filepath.Join(f.dir, "README.md"))
	again := err == nil // of this bundle, as prepare found
	if err := os.MkdirAll(f.dir, 0o755); err != nil {
		return nil, fmt.Errorf("resources: %w", err)
	}
	// README.md says what the others are for, and whose they are: it comes when they are
	// there.
	slices.SortStableFunc(files, func(x, y site.File) int {
		if (x.Name == "README.md") == (y.Name == "README.md") {
			return 0
		}
		if x.Name == "README.md" {
			return 1
		}
		return -1
	})
	var names []string
	for _, file := range files {
		if err := writeResult(filepath.Join(f.dir, file.Name), file.Content); err != nil {
			return nil, fmt.Errorf("resources: %w", err)
		}
		names = append(names, file.Name)
	}
	if again {
		if err := removeStale(out, f.dir, names); err != nil {
			return nil, fmt.Errorf("resources: %w", err)
		}
	}
	out.message("%s for the site: begin with %s", count(len(files), "file"), filepath.Join(f.dir, "README.md"))
	f.config.say(out)
	return names, nil
}

// lackingAt lists, as people call them, the images that are not at the site after a
// replay.
func lackingAt(plan *bundle.Plan, receipt *transfer.Receipt) ([]string, error) {
	if receipt == nil {
		return nil, nil
	}
	called, err := componentNames(plan)
	if err != nil {
		return nil, err
	}
	var lacking []string
	for i := range receipt.Images {
		if image := &receipt.Images[i]; image.State != transfer.ImagePushed && image.State != transfer.ImagePresent || len(image.Lacks) > 0 {
			lacking = append(lacking, calledAs(called, image.Reference))
		}
	}
	for _, m := range plan.Missing {
		if m.Digest == "" {
			lacking = append(lacking, calledAs(called, m.Image))
		}
	}
	return lacking, nil
}

// componentNames says what the images of releases are: "4.12.0-x86_64 etcd".
func componentNames(plan *bundle.Plan) (map[string]string, error) {
	releases, err := transfer.Releases(plan)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string)
	for _, r := range releases {
		tag := release.Tag(r.Payload.Version, r.Architecture)
		names[r.Reference] = "release image of " + tag
		for _, c := range r.Payload.Components {
			if reference := c.Image.String(); names[reference] == "" {
				names[reference] = tag + " " + c.Name
			}
		}
	}
	return names, nil
}

// calledAs renders a reference with what it is of a release.
func calledAs(names map[string]string, reference string) string {
	if name := names[reference]; name != "" {
		return reference + " (" + name + ")"
	}
	return reference
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_./:@=+-]+$`)

// shellWord quotes a word for a shell where it needs that.
func shellWord(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// siteBundle says of a plan what its images are at the site. Of releases, only
// what was verified counts as a signature.
func siteBundle(plan *bundle.Plan, names transfer.Names, trust transfer.Trust) (site.Bundle, error) {
	b := site.Bundle{Name: plan.Name, To: names.To}
	destinations, err := transfer.Destinations(plan, names)
	if err != nil {
		return b, err
	}
	byReference := make(map[string]transfer.Destination, len(plan.Images))
	placed := make(map[string]bool)
	var components string // the repository of components
	for i, image := range plan.Images {
		ref, err := oci.SplitReference(image.Reference)
		if err != nil {
			return b, err
		}
		byReference[image.Reference] = destinations[i]
		placed[image.Reference] = len(image.Destinations) > 0
		if image.Part == bundle.PartComponent {
			components = destinations[i].Repository
		}
		if image.Part == bundle.PartCatalog {
			continue // its CatalogSource names it where it is
		}
		b.Images = append(b.Images, site.Image{
			Source: ref, Digest: image.Root.Digest, Repository: destinations[i].Repository, Tags: destinations[i].Tags,
			Attachment: image.AttachedTo != "", Release: image.Part == bundle.PartRelease || image.Part == bundle.PartComponent,
		})
	}
	for _, c := range transfer.Catalogs(plan) {
		ref, err := oci.SplitReference(c.Reference)
		if err != nil {
			return b, err
		}
		to := byReference[c.Reference]
		b.Catalogs = append(b.Catalogs, site.Catalog{
			Source: ref, Digest: c.Digest, Repository: to.Repository, Tag: to.Tags[0], Configs: c.Configs, Extract: c.Extract, Packages: c.Packages,
			Placed: placed[c.Reference], Unchanged: c.Original == c.Digest,
		})
	}
	releases, err := transfer.Releases(plan)
	if err != nil {
		return b, err
	}
	for _, r := range releases {
		ref, err := oci.SplitReference(r.Reference)
		if err != nil {
			return b, err
		}
		verified, err := r.Verify(trust)
		if err != nil {
			return b, err
		}
		to := byReference[r.Reference]
		b.Releases = append(b.Releases, site.Release{
			Source: ref, Digest: r.Digest, Version: r.Payload.Version, Architecture: r.Architecture,
			Repository: to.Repository, Tag: to.Tags[0], Payload: r.Payload, ComponentRepository: components,
			Signatures: siteSignatures(verified), Unsigned: verified.Unsigned,
		})
	}
	return b, nil
}

// siteSignatures groups signatures by what they sign.
func siteSignatures(v *transfer.Verified) []site.Signature {
	var all []site.Signature
	for _, s := range v.Signatures {
		if n := len(all); n > 0 && all[n-1].Digest == s.Digest {
			all[n-1].Raw = append(all[n-1].Raw, s.Raw)
			continue
		}
		all = append(all, site.Signature{Digest: s.Digest, Raw: [][]byte{s.Raw}})
	}
	return all
}
