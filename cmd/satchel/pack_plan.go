package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"satchel/bundle"
	"satchel/oci/registry"
	"satchel/transfer"
)

// planned is what is to be packed, and from where.
type planned struct {
	prologue *bundle.Prologue
	sources  transfer.Sources
}

// choosePlan takes the plan of --plan, or that which an interrupted run left on
// the media, or else makes one.
func (f *packFlags) choosePlan(ctx context.Context, client *registry.Client, wanted *wantedImages, media *outputMedia) (*planned, error) {
	haves, err := f.readHaves()
	if err != nil {
		return nil, err
	}
	if f.plan != "" {
		return f.givenPlan(ctx, client, wanted, media)
	}
	for _, m := range media.media {
		plan, contents, err := bundle.ReadPlan(bundle.Medium{Name: m.Name, FS: m.Dir.FS()}, ".")
		if errors.Is(err, bundle.ErrNoPlan) {
			continue
		}
		if err != nil {
			return nil, err
		}
		sources := wanted.sources(client)
		err = f.release.pin(ctx, sources, wanted, plan)
		if err == nil {
			err = f.pinCatalogs(ctx, f.out, sources, wanted, plan)
		}
		if err != nil {
			return nil, fmt.Errorf("%s holds %s: %w", m.Name, plan.Name, err)
		}
		if err := f.sameSettings(plan, wanted, haves); err != nil {
			return nil, fmt.Errorf("%s holds %s: %w", m.Name, plan.Name, err)
		}
		// Whoever began it may have trusted others. (With --plan, what is made is what
		// the site has or verifies, and nobody is asked for keys.)
		if err := f.release.verifyPlanned(plan); err != nil {
			return nil, err
		}
		f.out.message("going on with %s, which was begun on %s", plan.Name, m.Name)
		f.sayMoved(ctx, sources, plan)
		return f.existingPlan(ctx, sources, plan, contents)
	}
	if f.span {
		f.out.message("nothing of a bundle is on %s: one is begun with volume 1", f.dirs[0])
	}
	return f.newPlan(ctx, wanted.sources(client), wanted, haves)
}

// errNoPlanThere says that what --plan names is none.
var errNoPlanThere = errors.New("no plan in")

// givenPlan reads --plan.
func (f *packFlags) givenPlan(ctx context.Context, client *registry.Client, wanted *wantedImages, media *outputMedia) (*planned, error) {
	info, err := os.Stat(f.plan)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	dir, name := filepath.Dir(f.plan), filepath.Base(f.plan)
	if info.IsDir() {
		dir, name = f.plan, "."
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	defer root.Close() // it is only read
	plan, contents, err := bundle.ReadPlan(bundle.Medium{Name: dir, FS: root.FS()}, name)
	if err != nil {
		return nil, fmt.Errorf("%w %s: %w", errNoPlanThere, f.plan, err)
	}
	if contents == nil {
		contents = media.manifests(plan)
	}
	return f.existingPlan(ctx, wanted.sourcesForPlan(client, plan), plan, contents)
}

// existingPlan makes what is written from a plan. Manifests that no volume gave
// are fetched by digest.
func (f *packFlags) existingPlan(ctx context.Context, sources transfer.Sources, plan *bundle.Plan, contents map[digest.Digest][]byte) (*planned, error) {
	if contents == nil {
		f.out.message("reading the manifests of %s", count(len(plan.Images), "image"))
		var err error
		if contents, err = transfer.FetchManifests(ctx, sources, plan, nil); err != nil {
			return nil, err
		}
	}
	prologue, err := bundle.NewPrologue(plan, contents)
	if err != nil {
		return nil, err
	}
	return &planned{prologue, sources}, sayReleases(f.out, plan)
}

// sayMoved says which tags name something else upstream than in the plan, which
// decides.
func (f *packFlags) sayMoved(ctx context.Context, sources transfer.Sources, plan *bundle.Plan) {
	for _, m := range transfer.Moved(ctx, sources, plan, 0) {
		if m.Err == nil {
			f.out.message("warning: %s names %s upstream by now; the plan's %s is packed", m.Reference, m.Now, m.Planned)
		}
	}
}

// newPlan reads the manifests and places everything.
func (f *packFlags) newPlan(ctx context.Context, sources transfer.Sources, wanted *wantedImages, haves *haves) (*planned, error) {
	selection, err := f.choose(ctx, f.out, sources, wanted, haves)
	if err != nil {
		return nil, err
	}
	f.saySelection(f.out, &selection)
	nameSelection(&selection, f.name)
	plan, prologue, err := bundle.NewPlan(selection, f.volumeSize.bytes)
	if err != nil {
		return nil, err
	}
	return &planned{prologue, sources}, sayReleases(f.out, plan)
}

// haves are the files of --have and --top-up.
type haves struct {
	have  []*transfer.Have
	topUp *transfer.Have
}

func (f *packFlags) readHaves() (*haves, error) {
	read := func(flag, name string) (*transfer.Have, error) {
		data, err := readBounded(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		h, err := transfer.ParseHave(data)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", flag, name, err)
		}
		return h, nil
	}
	h := &haves{}
	for _, name := range f.have {
		one, err := read("--have", name)
		if err != nil {
			return nil, err
		}
		h.have = append(h.have, one)
	}
	if f.topUp == "" {
		return h, nil
	}
	var err error
	h.topUp, err = read("--top-up", f.topUp)
	return h, err
}

// readBounded reads a file of a size that a document of a bundle can have. What is
// larger comes cut off behind that, and is refused by whoever parses it.
func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // it is only read
	return io.ReadAll(io.LimitReader(f, bundle.MaxDocument+1))
}

// sameSettings refuses a plan that the same command would not have made.
func (f *packFlags) sameSettings(plan *bundle.Plan, wanted *wantedImages, haves *haves) error {
	var others []string
	differ := func(what string, here, there any) {
		others = append(others, fmt.Sprintf("%s %v instead of %v", what, there, here))
	}
	if f.name != "" && f.name != plan.Name {
		differ("--name", f.name, plan.Name)
	}
	if f.volumeSize.bytes != plan.VolumeSize {
		differ("--volume-size", f.volumeSize.bytes, plan.VolumeSize)
	}
	r := plan.Request
	if r.TopUp == "" { // which decides these
		if !slices.Equal(f.platforms, r.Platforms) {
			differ("--platform", f.platforms, r.Platforms)
		}
		if f.sparse != r.Sparse {
			differ("--sparse", f.sparse, r.Sparse)
		}
		if f.foreign != r.Foreign {
			differ("--foreign", f.foreign, r.Foreign)
		}
	}
	if f.noAttachments != r.NoAttachments {
		differ("--no-attachments", f.noAttachments, r.NoAttachments)
	}
	if requests := wanted.catalogRequests(); !slices.Equal(requests, r.Catalogs) || f.catalog.asIs != r.CatalogsAsIs {
		differ("--catalog", requests, r.Catalogs)
	}
	var block []string
	for _, pattern := range wanted.block {
		block = append(block, pattern.String())
	}
	if !slices.Equal(block, r.Block) {
		differ("--block", block, r.Block)
	}
	if f.release.request() != r.Channel {
		differ("--release-channel", f.release.request(), r.Channel)
	}
	if !slices.Equal(haves.digests(), r.Have) {
		others = append(others, "--have with other files")
	}
	if (haves.topUp == nil) != (r.TopUp == "") || haves.topUp != nil && haves.topUp.Digest != r.TopUp {
		others = append(others, "--top-up with another file")
	}
	if other := otherImage(plan, wanted); f.topUp == "" && other != "" {
		others = append(others, other)
	} else if other := otherOrigin(plan, wanted); f.topUp == "" && other != "" {
		others = append(others, other)
	}
	if len(others) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", errOtherSettings, strings.Join(others, "; "))
}

// digests are the SHA-256 of the files of --have, sorted as in a plan.
func (h *haves) digests() []digest.Digest {
	var all []digest.Digest
	for _, have := range h.have {
		all = append(all, have.Digest)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
