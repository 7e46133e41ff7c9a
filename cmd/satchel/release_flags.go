package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"satchel/bundle"
	"satchel/oci/release"
	"satchel/oci/release/graph"
	"satchel/oci/release/signature"
	"satchel/transfer"
)

// releaseFlags name OpenShift releases and say which are trusted.
type releaseFlags struct {
	references  []string
	channel     string
	from, to    string
	arch        string
	graph       string
	allVersions bool
	stores      []string
	trust       trustFlags
	// configured are the channels of an ImageSetConfiguration.
	configured []wantedChannel
}

// defaultGraph is the update graph unless another is named.
const defaultGraph = graph.DefaultURL

func (f *releaseFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.references, "release", nil, "an OpenShift release, `REF` of its release image; may be repeated")
	flags.StringVar(&f.channel, "release-channel", "", "releases of an update `CHANNEL`, as in stable-4.16: its latest, or those from --from-version to --to-version")
	flags.StringVar(&f.from, "from-version", "", "with --release-channel, the `VERSION` that runs at the site")
	flags.StringVar(&f.to, "to-version", "", "with --release-channel, the `VERSION` to update to (default: the latest)")
	flags.StringVar(&f.arch, "arch", "amd64", "with --release-channel, the architecture: amd64, arm64, ppc64le, s390x or multi")
	flags.StringVar(&f.graph, "graph", defaultGraph, "with --release-channel or --config, the update graph, `URL|FILE`")
	flags.BoolVar(&f.allVersions, "all-versions", false, "with --release-channel, all versions between and not only the shortest path")
	flags.StringArrayVar(&f.stores, "signature-store", nil, "look for signatures of releases in `URL|DIR` too")
	f.trust.add(flags)
}

// trustFlags say which signatures of releases count.
type trustFlags struct {
	keys          []string
	allowUnsigned bool
}

func (f *trustFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.keys, "release-key", nil, "trust the OpenPGP public keys in `FILE` beside Red Hat's")
	flags.BoolVar(&f.allowUnsigned, "allow-unsigned-release", false, "take releases without a valid signature, and say so everywhere")
}

// trust reads the keys.
func (f *trustFlags) trust() (transfer.Trust, error) {
	t := transfer.Trust{AllowUnsigned: f.allowUnsigned}
	for _, name := range f.keys {
		data, err := readBounded(name)
		if err != nil {
			return t, fmt.Errorf("--release-key: %w", err)
		}
		k, err := signature.ParseKeyring(name, data)
		if err != nil {
			return t, fmt.Errorf("--release-key %s: %w", name, err)
		}
		t.Keys = append(t.Keys, k)
	}
	return t, nil
}

func (f *releaseFlags) names() bool {
	return len(f.references) > 0 || f.channel != "" || f.from != "" || f.to != "" || f.allVersions // check says what is wrong
}

func (f *releaseFlags) check() error {
	if f.channel == "" && (f.from != "" || f.to != "" || f.allVersions) {
		return usagef("--from-version, --to-version and --all-versions mean nothing without --release-channel")
	}
	if f.allVersions && f.from == "" {
		return usagef("--all-versions needs --from-version: the versions from there on are taken")
	}
	switch f.arch {
	case "x86_64":
		f.arch = "amd64"
	case "aarch64":
		f.arch = "arm64"
	case "amd64", "arm64", "ppc64le", "s390x", "multi":
	default:
		return usagef("--arch %q is not amd64, arm64, ppc64le, s390x or multi", f.arch)
	}
	return nil
}

// channels are those in whose graphs releases are found.
func (f *releaseFlags) channels() []wantedChannel {
	if f.channel == "" {
		return f.configured
	}
	c := wantedChannel{name: f.channel, arch: f.arch, graph: f.graph, from: f.from, to: f.to, reach: onPath}
	if f.allVersions {
		c.reach = onWays
	}
	return append([]wantedChannel{c}, f.configured...)
}

// request says in one line how releases are found in graphs; empty when they are
// not.
func (f *releaseFlags) request() string {
	var all []string
	for _, c := range f.channels() {
		all = append(all, c.request())
	}
	return strings.Join(all, "; ")
}

// nameReleases notes which releases are wanted by name; those of a channel are
// found when the plan is made.
func (f *releaseFlags) nameReleases(wanted *wantedImages) error {
	for _, s := range f.references {
		if err := wanted.addRelease(s); err != nil {
			return err
		}
	}
	return nil
}

// read finds the releases of the channel, and reads all.
func (f *releaseFlags) read(ctx context.Context, out *output, sources transfer.Sources, wanted *wantedImages) ([]*transfer.Release, error) {
	for _, c := range f.channels() {
		if err := c.find(ctx, out, wanted); err != nil {
			return nil, err
		}
	}
	if len(wanted.releases) == 0 {
		return nil, nil
	}
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	if wanted.tree != nil {
		o.Stores = append(o.Stores, wanted.treeStore())
	}
	out.message("reading %s and the signatures", count(len(wanted.releases), "release"))
	releases, err := transfer.ReadReleases(ctx, sources, wanted.releases, o)
	if err != nil {
		return nil, err
	}
	for _, r := range releases {
		if stated, ok := wanted.versions[r.Digest]; ok && stated != r.Payload.Version {
			return nil, fmt.Errorf("release %s: the update graph has it as version %s, and its payload says %s", r.Reference, stated, r.Payload.Version)
		}
	}
	return distinctReleases(releases), sameNames(releases)
}

// sameNames refuses different releases that would have one name at the site.
func sameNames(releases []*transfer.Release) error {
	taken := make(map[string]*transfer.Release)
	for _, r := range releases {
		tag := release.Tag(r.Payload.Version, r.Architecture)
		if other := taken[tag]; other != nil && other.Digest != r.Digest {
			return fmt.Errorf("releases %s and %s are different, and both are %s", other.Reference, r.Reference, tag)
		}
		taken[tag] = r
	}
	return nil
}

// distinctReleases leaves out what is the same release under another name.
func distinctReleases(releases []*transfer.Release) []*transfer.Release {
	var kept []*transfer.Release
	for _, r := range releases {
		if !slices.ContainsFunc(kept, func(k *transfer.Release) bool { return k.Digest == r.Digest }) {
			kept = append(kept, r)
		}
	}
	return kept
}

// pin reads the releases that a plan has, to see whether they are what is wanted:
// what the plan says of them stands on a medium.
func (f *releaseFlags) pin(ctx context.Context, sources transfer.Sources, wanted *wantedImages, plan *bundle.Plan) error {
	if f.request() != plan.Request.Channel {
		return nil // which is refused anyway
	}
	if len(f.channels()) > 0 {
		for _, reference := range plan.Request.Releases {
			if err := wanted.addRelease(reference); err != nil {
				return err
			}
		}
	}
	for i := range wanted.releases {
		w := &wanted.releases[i]
		k := slices.IndexFunc(plan.Images, func(image bundle.Image) bool { return image.Reference == w.Name.String() })
		if k >= 0 && w.Root == "" {
			w.Root = plan.Images[k].Root.Digest
		}
	}
	if len(wanted.releases) == 0 {
		return nil
	}
	// Signatures were verified when the plan was made; here only names count.
	releases, err := transfer.ReadReleases(ctx, sources, wanted.releases, transfer.ReleaseOptions{Trust: transfer.Trust{AllowUnsigned: true}})
	if err != nil {
		return fmt.Errorf("%w: %w", errUnpinned, err)
	}
	releases = distinctReleases(releases)
	wanted.dropParts(releases)
	for _, r := range releases {
		wanted.components = append(wanted.components, r.Images...)
	}
	return nil
}

// verifyPlanned verifies the signatures of the releases of a plan.
func (f *releaseFlags) verifyPlanned(plan *bundle.Plan) error {
	trust, err := f.trust.trust()
	if err != nil {
		return err
	}
	releases, err := transfer.Releases(plan)
	if err != nil {
		return err
	}
	for _, r := range releases {
		if _, err := r.Verify(trust); err != nil {
			return err
		}
	}
	return nil
}

// errUnpinned says that the releases or catalogs of a plan cannot be compared with
// those that are wanted.
var errUnpinned = errors.New("a release or catalog of the plan cannot be read again")

// httpClient is for update graphs and signature stores.
func httpClient() *http.Client { return &http.Client{Timeout: time.Minute} }

func (f *releaseFlags) options() (o transfer.ReleaseOptions, err error) {
	if o.Trust, err = f.trust.trust(); err != nil {
		return o, err
	}
	client := httpClient()
	o.Open = func(url string) signature.Store {
		if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
			return nil // no payload says what is read on this machine
		}
		return signature.NewHTTPStore(url, client)
	}
	for _, name := range f.stores {
		if strings.Contains(name, "://") {
			o.Stores = append(o.Stores, signature.NewHTTPStore(name, client))
			continue
		}
		root, err := os.OpenRoot(name)
		if err != nil {
			return o, fmt.Errorf("--signature-store: %w", err)
		}
		o.Stores = append(o.Stores, signature.NewDirStore(root))
	}
	return o, nil
}

// sayReleases says what a plan holds of releases, and what is to be minded.
func sayReleases(out *output, plan *bundle.Plan) error {
	releases, err := transfer.Releases(plan)
	if err != nil {
		return err
	}
	for _, r := range releases {
		out.message("release %s: %s", release.Tag(r.Payload.Version, r.Architecture), count(len(r.Payload.Components), "component"))
		if r.Unsigned != "" {
			out.message("warning: release %s has no valid signature: %s", r.Reference, r.Unsigned)
		}
		if r.LacksSigstore(plan) {
			out.message("warning: clusters from 4.21 on refuse release images without a sigstore signature, and %s has none at its source", r.Reference)
		}
	}
	return nil
}

// nameSelection names a bundle: as asked, or after its first release or image.
func nameSelection(selection *bundle.Selection, name string) {
	switch {
	case name != "":
		selection.Name = name
	case selection.Name == "" && len(selection.Images) > 0:
		selection.Name = bundle.NameFrom(selection.Images[0].Reference)
	}
}
